//! Sign-up, and what users do with their own profile.

use serde::Serialize;

use super::passwords::judged;
use crate::{
    accounts::{CurrentUser, SignUp},
    clock::rfc3339,
    http::{
        auth::Stranger,
        context::Context,
        error::Problem,
        extract::{Members, Nothing},
        response::{Created, Json, NoContent},
    },
    model::User,
};

/// What a sign-up is answered.
#[derive(Serialize)]
pub struct Registered {
    message: &'static str,
    access: String,
    refresh: String,
}

/// `POST /create-user/`
pub async fn register(context: Context, _: Stranger, mut body: Members) -> Result<Created<Registered>, Problem> {
    let (name, email) = (body.name("name"), body.email("email"));
    let password = judged(&context, &mut body, "password", name.as_ref(), email.as_ref()).await?;
    let valid = name.zip(email).zip(password);
    let ((name, email), password) = body.finish(valid)?;
    let sign_up = SignUp { name, email, password };
    let tokens = context.accounts.register(sign_up, &context.call).await?;
    let message = "User created successfully!";
    Ok(Created(Registered { message, access: tokens.access, refresh: tokens.refresh }))
}

/// What the current user is shown of themselves.
#[derive(Serialize)]
pub struct Profile {
    name: String,
    email: String,
    creation_date: String,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        Self {
            name: user.name.as_str().to_owned(),
            email: user.email.as_str().to_owned(),
            creation_date: rfc3339(user.created),
        }
    }
}

/// `GET /profile/`
pub async fn profile(_: Context, current: CurrentUser, _: Nothing) -> Result<Json<Profile>, Problem> {
    Ok(Json(current.user.into()))
}

/// `PATCH /profile/`
pub async fn rename(context: Context, current: CurrentUser, mut body: Members) -> Result<Json<Profile>, Problem> {
    let name = body.name("name");
    let name = body.finish(name)?;
    let user = context.accounts.rename(&current, name, &context.call).await?;
    Ok(Json(user.into()))
}

/// `DELETE /profile/`
pub async fn delete(context: Context, current: CurrentUser, mut body: Members) -> Result<NoContent, Problem> {
    let password = body.password("password");
    let password = body.finish(password)?;
    let deleted = context.accounts.delete_account(&current, &password, &context.call).await;
    deleted.map_err(Problem::confirmed_by("password"))?;
    Ok(NoContent)
}
