//! Password change, and new passwords in bodies.

use serde::Serialize;

use super::sessions::TokenPair;
use crate::{
    accounts::{CurrentUser, EndedSessions, RequestedChange},
    http::{context::Context, error::ApiError, fields::Fields, response::Json},
    model::{Email, Name},
    passwords::CandidatePassword,
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
    let new = new_password(&context, &mut body, "new_password", owner);
    if old.as_ref().zip(new.as_ref()).is_some_and(|(old, new)| new.password().is_same_as(old)) {
        body.add_error("new_password", "The new password must differ from the old one.");
    }
    let ((old, end_all), new) = finish_with_password(body, "new_password", old.zip(end_all), new)?;
    let ended = if end_all { EndedSessions::All } else { EndedSessions::Others };
    let change = RequestedChange { old, new, ended };
    let changed = context.accounts.change_password(&current, change, &context.call).await;
    let tokens = changed.map_err(ApiError::of_password_change)?.map(TokenPair::from);
    Ok(Json(PasswordChanged { message: "Password changed successfully", tokens }))
}

/// The fields of a password's owner that the password must not resemble; `None` if the request has no valid one.
#[derive(Clone, Copy)]
pub struct PasswordOwner<'a> {
    pub name: Option<&'a Name>,
    pub email: Option<&'a Email>,
}

/// Takes a new password from a field. Its strength remains to be estimated.
pub fn new_password(
    context: &Context,
    body: &mut Fields,
    field: &'static str,
    owner: PasswordOwner<'_>,
) -> Option<CandidatePassword> {
    let password = body.password(field)?;
    Some(context.accounts.policy.check(password, owner.name, owner.email))
}

/// Returns a new password with the other values of its body. If another field is invalid, reports it together with the
/// violations of the password; otherwise the use case reports these, after it has estimated the strength as well.
pub fn finish_with_password<T>(
    mut body: Fields,
    field: &'static str,
    others: Option<T>,
    password: Option<CandidatePassword>,
) -> Result<(T, CandidatePassword), ApiError> {
    if others.is_none() || body.has_errors() {
        for violation in password.iter().flat_map(CandidatePassword::violations) {
            body.add_error(field, violation.to_string());
        }
    }
    body.finish(others.zip(password))
}
