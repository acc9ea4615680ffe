//! The table of errors: status, code and sentence of each.

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
    accounts::AccountError,
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
    /// The body is too large.
    TooLarge,
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
            Self::SessionNotFound         => (StatusCode::NOT_FOUND,              Some("session_not_found"),      "You have no such session"),
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
            Self::InvalidToken | Self::InvalidApiKey | Self::TokenExpired => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="postern", error="invalid_token""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
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
        if matches!(self, Self::TooLarge | Self::RequestTimeout | Self::BadRequest | Self::MemoryExhausted) {
            // The rest of the request is never read.
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
            AccountError::PolicyViolations(violations) => Self::policy_violations("password", &violations),
            AccountError::RateLimited(rate_limited) => Self::TooManyAttempts(rate_limited),
            AccountError::Overloaded(overloaded) => Self::Overloaded(overloaded),
            AccountError::Store(error) if error.is_outage() => Self::Unavailable(error),
            AccountError::Store(error) => Self::StoreFault(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, slice, time::Duration};

    use serde_json::Value;

    use super::*;

    /// Returns one error of each variant.
    fn all_errors() -> Vec<ApiError> {
        let unavailable = StoreError::Unavailable { store: "store", reason: "it is down".to_owned() };
        vec![
            ApiError::NotFound,
            ApiError::MethodNotAllowed { allow: "GET".to_owned() },
            ApiError::UnsupportedMediaType,
            ApiError::TooLarge,
            ApiError::RequestTimeout,
            ApiError::BadRequest,
            ApiError::MalformedJson,
            ApiError::ValidationFailed(FieldErrors::default()),
            ApiError::EmailTaken,
            ApiError::InvalidCredentials,
            ApiError::NotAuthenticated,
            ApiError::InvalidToken,
            ApiError::InvalidApiKey,
            ApiError::TokenExpired,
            ApiError::InvalidRefreshToken,
            ApiError::SessionNotFound,
            ApiError::WrongPassword("password"),
            ApiError::TooManyAttempts(RateLimited { limit: "account", wait: Duration::from_millis(2_001) }),
            ApiError::Overloaded(Overloaded { wait: Duration::from_millis(2_500) }),
            ApiError::MemoryExhausted,
            ApiError::Unavailable(unavailable),
            ApiError::DeadlinePassed,
            ApiError::StoreFault(StoreError::Corrupt { store: "store", reason: "it is torn".to_owned() }),
            ApiError::Internal,
        ]
    }

    #[test]
    fn statuses_and_codes_do_not_change() {
        let errors = all_errors();
        let parts = errors.iter().map(ApiError::parts);
        let codes: Vec<_> =
            parts.map(|(status, code, _)| format!("{} {}", status.as_u16(), code.unwrap_or("–"))).collect();

        insta::assert_snapshot!(codes.join("\n"), @r"
        404 –
        405 method_not_allowed
        415 unsupported_media_type
        413 too_large
        408 request_timeout
        400 bad_request
        400 malformed_json
        400 validation_failed
        409 email_taken
        401 invalid_credentials
        401 not_authenticated
        401 invalid_token
        401 invalid_token
        401 token_expired
        401 invalid_refresh_token
        404 session_not_found
        400 wrong_password
        429 too_many_attempts
        503 overloaded
        503 overloaded
        503 unavailable
        503 unavailable
        500 –
        500 –
        ");
    }

    #[test]
    fn only_an_outage_of_a_store_invites_a_retry() {
        let (store, reason) = ("store", "on purpose".to_owned());
        let errors = [
            StoreError::Unavailable { store, reason: reason.clone() },
            StoreError::Rejected { store, reason: reason.clone() },
            StoreError::Misconfigured { store, reason: reason.clone() },
            StoreError::Corrupt { store, reason },
        ];
        let response = |error| ApiError::from(AccountError::Store(error)).into_response();
        let is_retryable = |response: &Response| response.headers().contains_key(header::RETRY_AFTER);

        let responses = errors.map(response).map(|response| (response.status().as_u16(), is_retryable(&response)));

        assert_eq!(responses, [(503, true), (500, false), (500, false), (500, false)]);
    }

    #[test]
    fn api_document_lists_all_statuses_and_codes() {
        let row = |(status, code, _): (StatusCode, Option<&str>, &str)| match code {
            Some(code) => format!("| {} | `{code}` |", status.as_u16()),
            None => format!("| {} | – |", status.as_u16()),
        };
        let expected: BTreeSet<_> = all_errors().iter().map(|error| row(error.parts())).collect();

        let status = |line: &str| line.split('|').nth(1).and_then(|cell| cell.trim().parse::<u16>().ok());
        let is_row = |line: &&str| status(line).is_some_and(|status| status >= 400);
        let rows = include_str!("../../docs/api.md").lines().filter(is_row);
        let documented: BTreeSet<_> = rows.map(|line| line.split_inclusive('|').take(3).collect::<String>()).collect();

        assert_eq!(documented, expected);
    }

    /// Returns the codes that the schema of an OpenAPI response allows. `None` stands for an error without a code; a
    /// response without a body has no codes.
    fn codes_of(response: &Value) -> Vec<Option<String>> {
        if response.get("content").is_none() {
            return Vec::new();
        }
        let schema = &response["content"]["application/json"]["schema"];
        let kinds = schema["oneOf"].as_array().map_or(slice::from_ref(schema), Vec::as_slice);
        let codes = kinds.iter().flat_map(|kind| match &kind["allOf"][1]["properties"]["code"] {
            Value::Null => vec![None],
            code if code["const"].is_string() => vec![code["const"].as_str().map(str::to_owned)],
            code => {
                code["enum"].as_array().into_iter().flatten().map(|code| code.as_str().map(str::to_owned)).collect()
            }
        });
        codes.collect()
    }

    #[test]
    fn openapi_document_lists_all_statuses_and_codes() {
        let expected: BTreeSet<_> = all_errors()
            .iter()
            .map(ApiError::parts)
            .map(|(status, code, _)| (status.as_str().to_owned(), code.map(str::to_owned)))
            .collect();

        let document: Value = serde_json::from_str(include_str!("handlers/openapi.json")).expect("JSON");
        let operations = document["paths"].as_object().into_iter().flatten().filter_map(|(_, item)| item.as_object());
        let responses = operations.flatten().filter_map(|(_, operation)| operation["responses"].as_object()).flatten();
        let shared = responses.filter_map(|(status, response)| Some((status.as_str(), response["$ref"].as_str()?)));
        // Responses that belong to no operation: the request was rejected before it reached one.
        let unrouted = [
            ("404", "#/components/responses/NotFound"),
            ("405", "#/components/responses/MethodNotAllowed"),
            ("400", "#/components/responses/BadRequest"),
        ];
        let listed = shared.chain(unrouted).flat_map(|(status, reference)| {
            let response = document.pointer(reference.trim_start_matches('#')).expect("a response");
            codes_of(response).into_iter().map(move |code| (status.to_owned(), code))
        });

        assert_eq!(listed.collect::<BTreeSet<_>>(), expected);
    }

    #[tokio::test]
    async fn bodies_of_404_and_500_do_not_change() {
        for (error, body) in [
            (ApiError::NotFound, r#"{"error":"The endpoint was not found"}"#),
            (ApiError::Internal, r#"{"error":"Internal server error"}"#),
        ] {
            let collected = http_body_util::BodyExt::collect(error.into_response().into_body()).await;
            assert_eq!(collected.expect("a whole body").to_bytes(), body);
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_rounded_up() {
        let retry_after = |error: ApiError| error.into_response().headers()[header::RETRY_AFTER].clone();

        assert_eq!(retry_after(ApiError::Overloaded(Overloaded { wait: Duration::from_millis(2_500) })), "3");
        assert_eq!(retry_after(ApiError::DeadlinePassed), "1");
    }
}
