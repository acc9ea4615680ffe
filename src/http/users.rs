//! Sign-up and profile.

use serde::Serialize;

use super::{
    access::Stranger,
    input::{Members, Nothing},
    output::{Created, Json},
    passwords::judged,
    problem::Problem,
    service::Context,
};
use crate::{
    accounts::{CurrentUser, SignUp},
    clock::rfc3339,
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
    let tokens = context.accounts.register(sign_up, context.client, &context.store_time).await?;
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

/// `GET /profile/`
pub async fn profile(_: Context, current: CurrentUser, _: Nothing) -> Result<Json<Profile>, Problem> {
    let user = current.user;
    Ok(Json(Profile {
        name: user.name.as_str().to_owned(),
        email: user.email.as_str().to_owned(),
        creation_date: rfc3339(user.created),
    }))
}
