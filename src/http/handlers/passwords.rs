//! Password change, and what every new password goes through.

use super::sessions::Message;
use crate::{
    accounts::CurrentUser,
    http::{context::Context, error::Problem, extract::Members, response::Json},
    model::{Email, Name},
    passwords::AcceptedPassword,
};

/// `POST /change-password/`
pub async fn change(context: Context, current: CurrentUser, mut body: Members) -> Result<Json<Message>, Problem> {
    let old = body.password("old_password");
    let (name, email) = (&current.user.name, &current.user.email);
    let new = judged(&context, &mut body, "new_password", Some(name), Some(email)).await?;
    let valid = old.zip(new);
    if valid.as_ref().is_some_and(|(old, new)| new.password().is_same_as(old)) {
        body.object_to("new_password", "The new password must differ from the old one.");
    }
    let (old, new) = body.finish(valid)?;
    let changed = context.accounts.change_password(&current, &old, &new, &context.call).await;
    changed.map_err(Problem::confirmed_by("old_password"))?;
    Ok(Json(Message { message: "Password changed successfully" }))
}

/// A member that holds a new password: one sentence for each objection to it.
pub async fn judged(
    context: &Context,
    body: &mut Members,
    member: &'static str,
    name: Option<&Name>,
    email: Option<&Email>,
) -> Result<Option<AcceptedPassword>, Problem> {
    let Some(password) = body.password(member) else { return Ok(None) };
    match context.accounts.judge(password, name, email).await? {
        Ok(password) => Ok(Some(password)),
        Err(objections) => {
            for objection in objections {
                body.object_to(member, objection.to_string());
            }
            Ok(None)
        }
    }
}
