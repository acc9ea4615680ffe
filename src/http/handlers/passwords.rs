//! Password change, and the validation of new passwords.

use serde::Serialize;

use super::sessions::TokenPair;
use crate::{
    accounts::{CurrentUser, EndedSessions, RequestedChange},
    http::{context::Context, error::ApiError, fields::Fields, response::Json},
    model::{Email, Name},
    passwords::AcceptedPassword,
};

/// The response of a password change.
#[derive(Serialize)]
pub struct PasswordChanged {
    message: &'static str,
    /// The tokens of the new session, if every session has ended.
    #[serde(flatten)]
    tokens: Option<TokenPair>,
}

/// `POST /change-password/`
pub async fn change(
    context: Context,
    current: CurrentUser,
    mut body: Fields,
) -> Result<Json<PasswordChanged>, ApiError> {
    let end_all = body.optional_boolean("end_all_sessions");
    let old = body.password("old_password");
    let owner = PasswordOwner { name: Some(&current.user.name), email: Some(&current.user.email) };
    let new = validated_password(&context, &mut body, "new_password", owner).await?;
    let valid = old.zip(new);
    if valid.as_ref().is_some_and(|(old, new)| new.password().is_same_as(old)) {
        body.add_error("new_password", "The new password must differ from the old one.");
    }
    let ((old, new), end_all) = body.finish(valid.zip(end_all))?;
    let ended = if end_all { EndedSessions::All } else { EndedSessions::Others };
    let change = RequestedChange { old, new, ended };
    let changed = context.accounts.change_password(&current, &change, &context.call).await;
    let tokens = changed.map_err(ApiError::for_password_field("old_password"))?.map(TokenPair::from);
    Ok(Json(PasswordChanged { message: "Password changed successfully", tokens }))
}

/// The fields of a password's owner that the password must not resemble; `None` if the request has no valid one.
pub struct PasswordOwner<'a> {
    pub name: Option<&'a Name>,
    pub email: Option<&'a Email>,
}

/// Takes a new password from a field, and adds an error for each violation of the password policy.
pub async fn validated_password(
    context: &Context,
    body: &mut Fields,
    field: &'static str,
    owner: PasswordOwner<'_>,
) -> Result<Option<AcceptedPassword>, ApiError> {
    let Some(password) = body.password(field) else { return Ok(None) };
    match context.accounts.validate_password(password, owner.name, owner.email).await? {
        Ok(password) => Ok(Some(password)),
        Err(violations) => {
            for violation in violations {
                body.add_error(field, violation.to_string());
            }
            Ok(None)
        }
    }
}
