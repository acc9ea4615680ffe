//! Sign-up, and the profile of the current user.

use serde::Serialize;

use super::passwords::{PasswordOwner, finish_with_password, new_password};
use crate::{
    accounts::{CurrentUser, SignUp},
    clock::rfc3339,
    http::{
        auth::Anonymous,
        context::Context,
        error::ApiError,
        extract::NoBody,
        fields::Fields,
        response::{Created, Json, NoContent},
    },
    model::User,
};

/// The response of a sign-up.
#[derive(Serialize)]
pub struct SignedUp {
    message: &'static str,
    access: String,
    refresh: String,
}

/// `POST /create-user/`
pub async fn sign_up(context: Context, _: Anonymous, mut body: Fields) -> Result<Created<SignedUp>, ApiError> {
    let (name, email) = (body.name("name"), body.email("email"));
    let owner = PasswordOwner { name: name.as_ref(), email: email.as_ref() };
    let password = new_password(&context, &mut body, "password", owner);
    let ((name, email), password) = finish_with_password(body, "password", name.zip(email), password)?;
    context.client.check_sign_up();
    let sign_up = SignUp { name, email, password };
    let tokens = context.accounts.sign_up(sign_up, &context.call).await?;
    let message = "User created successfully!";
    Ok(Created(SignedUp { message, access: tokens.access, refresh: tokens.refresh }))
}

/// The profile of the current user.
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
pub async fn profile(_: Context, current: CurrentUser, _: NoBody) -> Result<Json<Profile>, ApiError> {
    Ok(Json(current.user.into()))
}

/// `PATCH /profile/`
pub async fn rename(context: Context, current: CurrentUser, mut body: Fields) -> Result<Json<Profile>, ApiError> {
    let name = body.name("name");
    let name = body.finish(name)?;
    let user = context.accounts.rename(&current, name, &context.call).await?;
    Ok(Json(user.into()))
}

/// `DELETE /profile/`
pub async fn delete(context: Context, current: CurrentUser, mut body: Fields) -> Result<NoContent, ApiError> {
    let password = body.password("password");
    let password = body.finish(password)?;
    context.accounts.delete_account(&current, &password, &context.call).await?;
    Ok(NoContent)
}
