//! The table of errors: status, code and sentence of each.

use std::time::Duration;

use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use serde::Serialize;

use super::{
    field_errors::FieldErrors,
    response::{Response, allow_header, json},
};
use crate::{
    accounts::{AccountError, UserAdminError},
    api_keys::Scope,
    passwords::{Overloaded, PolicyViolation},
    rate_limit::RateLimited,
    request_memory::BudgetExceeded,
    store::StoreError,
};

/// An error that a client receives.
#[derive(Debug)]
pub enum ApiError {
    /// No route matches the path.
    NotFound,
    /// The path does not support the method.
    MethodNotAllowed {
        /// The supported methods: the value of `Allow`.
        allow: String,
    },
    /// The body is not JSON, nor a form on an endpoint that accepts one.
    UnsupportedMediaType,
    /// The body has a `Content-Encoding`.
    UnsupportedContentCoding,
    /// The body is too large.
    TooLarge,
    /// The request head is too large.
    HeadTooLarge,
    /// The request body did not arrive in time.
    RequestTimeout,
    /// The request is malformed, or ambiguous between two readings.
    BadRequest,
    /// The body is not a JSON object or form, or has duplicate fields.
    MalformedJson,
    /// Fields are missing or invalid.
    ValidationFailed(FieldErrors),
    /// Another user has the email.
    EmailTaken,
    /// No active account has this email and password.
    InvalidCredentials,
    /// The request has no bearer token.
    NotAuthenticated,
    /// The access token is invalid, or its session or user is gone.
    InvalidToken,
    /// No API client has this API key.
    InvalidApiKey,
    /// The access token has expired.
    TokenExpired,
    /// The refresh token is invalid, or its session or user is gone.
    InvalidRefreshToken,
    /// The user has no valid session with this id.
    SessionNotFound,
    /// No user has this id.
    UserNotFound,
    /// The caller may not do this.
    PermissionDenied,
    /// The API key does not have this scope.
    InsufficientScope(Scope),
    /// The session was not authenticated with the password within this time.
    ReauthenticationRequired(Duration),
    /// Afterwards, no active administrator would have a password.
    LastAdministrator,
    /// This field does not hold the user's current password.
    WrongPassword(&'static str),
    /// Too many attempts failed.
    TooManyAttempts(RateLimited),
    /// The hashing queue is too long.
    Overloaded(Overloaded),
    /// The memory of requests is used up, or the slow body of this one had to end for others.
    MemoryExhausted,
    /// A store failed, and a retry may succeed.
    Unavailable(StoreError),
    /// The handler exceeded the deadline of the request.
    DeadlinePassed,
    /// A store failed, and no retry can succeed: it rejects a value or the operation, or holds invalid data.
    StoreFault(StoreError),
    /// A bug: the handler panicked, or an invariant is broken.
    Internal,
}

#[derive(Serialize)]
struct Body<'error> {
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    fields: &'error FieldErrors,
}

impl ApiError {
    /// Returns the status, the code and the sentence for the client. The 404 and the 500 have no code: their bodies
    /// equal those of the API that Postern replaces.
    #[rustfmt::skip]
    pub fn parts(&self) -> (StatusCode, Option<&'static str>, &'static str) {
        match self {
            Self::NotFound                => (StatusCode::NOT_FOUND,              None,                           "The endpoint was not found"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED,     Some("method_not_allowed"),     "This method is not allowed here"),
            Self::UnsupportedMediaType    => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_media_type"), "Send the body as application/json"),
            Self::UnsupportedContentCoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_media_type"), "Send the body without a Content-Encoding"),
            Self::HeadTooLarge            => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Some("head_too_large"), "The request has more than 64 headers, or a head of more than 32 KiB"),
            Self::TooLarge                => (StatusCode::PAYLOAD_TOO_LARGE,      Some("too_large"),              "The body is larger than 16 KiB"),
            Self::RequestTimeout          => (StatusCode::REQUEST_TIMEOUT,        Some("request_timeout"),        "The request did not arrive in time"),
            Self::BadRequest              => (StatusCode::BAD_REQUEST,            Some("bad_request"),            "The request is malformed or ambiguous"),
            Self::MalformedJson           => (StatusCode::BAD_REQUEST,            Some("malformed_json"),         "The body must be a JSON object without duplicate fields"),
            Self::ValidationFailed(_)     => (StatusCode::BAD_REQUEST,            Some("validation_failed"),      "Some fields are missing or not valid"),
            Self::EmailTaken              => (StatusCode::CONFLICT,               Some("email_taken"),            "A user with this email already exists"),
            Self::InvalidCredentials      => (StatusCode::UNAUTHORIZED,           Some("invalid_credentials"),    "No active account has this email and password"),
            Self::NotAuthenticated        => (StatusCode::UNAUTHORIZED,           Some("not_authenticated"),      "Sign in first"),
            Self::InvalidToken            => (StatusCode::UNAUTHORIZED,           Some("invalid_token"),          "The access token is not valid"),
            Self::InvalidApiKey           => (StatusCode::UNAUTHORIZED,           Some("invalid_token"),          "The API key is not valid"),
            Self::TokenExpired            => (StatusCode::UNAUTHORIZED,           Some("token_expired"),          "The access token has expired"),
            Self::InvalidRefreshToken     => (StatusCode::UNAUTHORIZED,           Some("invalid_refresh_token"),  "The refresh token is not valid"),
            Self::SessionNotFound         => (StatusCode::NOT_FOUND,              Some("session_not_found"),      "There is no such session"),
            Self::UserNotFound            => (StatusCode::NOT_FOUND,              Some("user_not_found"),         "No user has this id"),
            Self::PermissionDenied
            | Self::InsufficientScope(_)  => (StatusCode::FORBIDDEN,              Some("permission_denied"),      "You may not do this"),
            Self::ReauthenticationRequired(_) => (StatusCode::UNAUTHORIZED,       Some("reauthentication_required"), "Confirm your password first"),
            Self::LastAdministrator       => (StatusCode::CONFLICT,               Some("last_administrator"),     "This is the last administrator who can log in"),
            Self::WrongPassword(_)        => (StatusCode::BAD_REQUEST,            Some("wrong_password"),         "The password is wrong"),
            Self::TooManyAttempts(_)      => (StatusCode::TOO_MANY_REQUESTS,      Some("too_many_attempts"),      "Too many attempts: try again later"),
            Self::Overloaded(_)
            | Self::MemoryExhausted       => (StatusCode::SERVICE_UNAVAILABLE,    Some("overloaded"),             "Too many requests at once: try again soon"),
            Self::Unavailable(_)
            | Self::DeadlinePassed        => (StatusCode::SERVICE_UNAVAILABLE,    Some("unavailable"),            "The service is not available right now: try again soon"),
            Self::StoreFault(_)
            | Self::Internal              => (StatusCode::INTERNAL_SERVER_ERROR,  None,                           "Internal server error"),
        }
    }

    /// Returns the code, which is part of the API, unlike the sentence.
    pub fn code(&self) -> Option<&'static str> {
        self.parts().1
    }

    /// Returns the cause for the log: clients never see it.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Unavailable(error) | Self::StoreFault(error) => Some(error.to_string()),
            Self::Overloaded(error) => Some(error.to_string()),
            Self::TooManyAttempts(error) => Some(error.to_string()),
            Self::MemoryExhausted => Some(BudgetExceeded.to_string()),
            _ => None,
        }
    }

    pub fn into_response(self) -> Response {
        let (status, code, error) = self.parts();
        let fields = self.fields();
        let mut response = json(status, &Body { error, code, fields: &fields });
        let headers = response.headers_mut();
        match &self {
            Self::MethodNotAllowed { allow } => {
                headers.insert(header::ALLOW, allow_header(allow));
            }
            // Distinguishes this 415 from that of another media type (RFC 9110, section 15.5.16).
            Self::UnsupportedContentCoding => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::InvalidToken | Self::InvalidApiKey | Self::TokenExpired => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="postern", error="invalid_token""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            // RFC 6750, section 3.1.
            Self::InsufficientScope(scope) => {
                let name = scope.name();
                let challenge = format!(r#"Bearer realm="postern", error="insufficient_scope", scope="{name}""#);
                headers.insert(header::WWW_AUTHENTICATE, ascii(challenge));
            }
            // A step-up challenge (RFC 9470, section 3).
            Self::ReauthenticationRequired(max_age) => {
                let challenge = format!(
                    r#"Bearer realm="postern", error="insufficient_user_authentication", max_age={}"#,
                    max_age.as_secs()
                );
                headers.insert(header::WWW_AUTHENTICATE, ascii(challenge));
            }
            _ if status == StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="postern""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            _ if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_seconds()));
            }
            _ => {}
        }
        // The rest of the request is never read.
        if matches!(
            self,
            Self::TooLarge | Self::HeadTooLarge | Self::RequestTimeout | Self::BadRequest | Self::MemoryExhausted
        ) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn fields(&self) -> FieldErrors {
        let mut fields = FieldErrors::default();
        match self {
            Self::ValidationFailed(errors) => return errors.clone(),
            Self::EmailTaken => fields.add("email", "A user with this email already exists."),
            Self::WrongPassword(field) => fields.add(field, "The password is wrong."),
            _ => {}
        }
        fields
    }

    fn retry_after_seconds(&self) -> u64 {
        match self {
            // Round up: a retry must not come too early.
            Self::TooManyAttempts(RateLimited { wait, .. }) => {
                wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
            }
            Self::Overloaded(Overloaded { wait }) => wait.as_secs() + 1,
            _ => 1,
        }
    }
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| unreachable!("the text is visible ASCII"))
}

impl From<UserAdminError> for ApiError {
    fn from(error: UserAdminError) -> Self {
        match error {
            UserAdminError::NoSuchUser(_) => Self::UserNotFound,
            UserAdminError::EmailTaken => Self::EmailTaken,
            UserAdminError::LastAdministrator => Self::LastAdministrator,
            UserAdminError::MembersOnly => Self::PermissionDenied,
            UserAdminError::SessionNotFound => Self::SessionNotFound,
            UserAdminError::PolicyViolations(violations) => Self::policy_violations("password", &violations),
            UserAdminError::Overloaded(overloaded) => Self::Overloaded(overloaded),
            UserAdminError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_outage() { Self::Unavailable(error) } else { Self::StoreFault(error) }
    }
}

impl From<BudgetExceeded> for ApiError {
    fn from(_: BudgetExceeded) -> Self {
        Self::MemoryExhausted
    }
}

impl ApiError {
    /// Converts the error of a password change: the fields of the two passwords are `old_password` and `new_password`.
    pub fn of_password_change(error: AccountError) -> Self {
        match error {
            AccountError::WrongPassword => Self::WrongPassword("old_password"),
            AccountError::PolicyViolations(violations) => Self::policy_violations("new_password", &violations),
            error => error.into(),
        }
    }

    fn policy_violations(field: &'static str, violations: &[PolicyViolation]) -> Self {
        let mut errors = FieldErrors::default();
        for violation in violations {
            errors.add(field, violation.to_string());
        }
        Self::ValidationFailed(errors)
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::EmailTaken => Self::EmailTaken,
            AccountError::InvalidCredentials => Self::InvalidCredentials,
            AccountError::InvalidAccessToken => Self::InvalidToken,
            AccountError::AccessTokenExpired => Self::TokenExpired,
            AccountError::InvalidRefreshToken => Self::InvalidRefreshToken,
            AccountError::SessionNotFound => Self::SessionNotFound,
            AccountError::WrongPassword => Self::WrongPassword("password"),
            AccountError::LastAdministrator => Self::LastAdministrator,
            AccountError::PolicyViolations(violations) => Self::policy_violations("password", &violations),
            AccountError::RateLimited(rate_limited) => Self::TooManyAttempts(rate_limited),
            AccountError::Overloaded(overloaded) => Self::Overloaded(overloaded),
            AccountError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
