//! THE error → response table.

use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::response::{Response, json, methods};
use crate::{accounts::AccountError, passwords::Overloaded, rate_limit::RateLimited, store::StoreError};

/// Why a request was not answered as its caller wished.
#[derive(Debug)]
pub enum ApiError {
    /// No such path.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed {
        /// Which ones.
        allow: String,
    },
    /// The body has another type than JSON, or than a form where one is taken.
    UnsupportedMediaType,
    /// The body is too large.
    TooLarge,
    /// Head or body did not arrive in time.
    RequestTimeout,
    /// What has arrived is no request, or could be read as two.
    BadRequest,
    /// The head is too large, or has too many headers.
    HeadTooLarge,
    /// The body is not one JSON object, or form, without repeated members.
    MalformedJson,
    /// Members are missing or wrong.
    ValidationFailed(FieldErrors),
    /// Another user has the email.
    EmailTaken,
    /// Email and password open no account.
    InvalidCredentials,
    /// No access token was sent.
    NotAuthenticated,
    /// The access token is worth nothing.
    InvalidToken,
    /// The API key is no operator's.
    InvalidApiKey,
    /// The access token was worth something once.
    TokenExpired,
    /// The refresh token is worth nothing.
    InvalidRefreshToken,
    /// The user has no such session.
    SessionNotFound,
    /// This member should hold the user's password, and does not.
    WrongPassword(&'static str),
    /// Too many attempts have failed.
    TooManyAttempts(RateLimited),
    /// Too many passwords wait to be hashed.
    Overloaded(Overloaded),
    /// A store that is needed did not answer.
    Unavailable(StoreError),
    /// The request was not answered in time.
    DeadlinePassed,
    /// A store holds what it should not.
    Corrupt(StoreError),
    /// A mistake of ours.
    Internal,
}

#[derive(Serialize)]
struct Body<'problem> {
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    fields: &'problem FieldErrors,
}

impl ApiError {
    /// Status, code, and the sentence for the client. The 404 and the 500 have no code: they are those of the API that
    /// this service replaces.
    #[rustfmt::skip]
    fn answer(&self) -> (StatusCode, Option<&'static str>, &'static str) {
        match self {
            Self::NotFound                => (StatusCode::NOT_FOUND,              None,                           "The endpoint was not found"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED,     Some("method_not_allowed"),     "This method is not allowed here"),
            Self::UnsupportedMediaType    => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_media_type"), "Send the body as application/json"),
            Self::TooLarge                => (StatusCode::PAYLOAD_TOO_LARGE,      Some("too_large"),              "The body is larger than 16 KiB"),
            Self::RequestTimeout          => (StatusCode::REQUEST_TIMEOUT,        Some("request_timeout"),        "The request did not arrive in time"),
            Self::BadRequest              => (StatusCode::BAD_REQUEST,            Some("bad_request"),            "This is not a request that can be read in one way"),
            Self::HeadTooLarge            => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Some("head_too_large"), "The head is larger than 32 KiB (16 KiB over HTTP/2), or has more than 64 headers"),
            Self::MalformedJson           => (StatusCode::BAD_REQUEST,            Some("malformed_json"),         "The body is not a JSON object with each member once"),
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
            Self::Overloaded(_)           => (StatusCode::SERVICE_UNAVAILABLE,    Some("overloaded"),             "Too many requests at once: try again soon"),
            Self::Unavailable(_)
            | Self::DeadlinePassed        => (StatusCode::SERVICE_UNAVAILABLE,    Some("unavailable"),            "The service is not available right now: try again soon"),
            Self::Corrupt(_)
            | Self::Internal              => (StatusCode::INTERNAL_SERVER_ERROR,  None,                           "Internal server error"),
        }
    }

    /// The code that clients may rely on.
    pub fn code(&self) -> Option<&'static str> {
        self.answer().1
    }

    /// What broke, where something did: for the log.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Unavailable(error) | Self::Corrupt(error) => Some(error.to_string()),
            Self::Overloaded(error) => Some(error.to_string()),
            Self::TooManyAttempts(error) => Some(error.to_string()),
            _ => None,
        }
    }

    /// The response.
    pub fn into_response(self) -> Response {
        let (status, code, error) = self.answer();
        let fields = self.fields();
        let mut response = json(status, &Body { error, code, fields: &fields });
        let headers = response.headers_mut();
        match &self {
            Self::MethodNotAllowed { allow } => {
                headers.insert(header::ALLOW, methods(allow));
            }
            Self::InvalidToken | Self::InvalidApiKey | Self::TokenExpired => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="postern", error="invalid_token""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            _ if status == StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="postern""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::TooLarge | Self::RequestTimeout | Self::BadRequest | Self::HeadTooLarge => {
                // The rest of the request is still on its way, and nobody will read it.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_seconds()));
            }
            _ => {}
        }
        response
    }

    fn fields(&self) -> FieldErrors {
        let mut fields = FieldErrors::default();
        match self {
            Self::ValidationFailed(errors) => return errors.clone(),
            Self::EmailTaken => fields.add("email", "A user with this email already exists."),
            Self::WrongPassword(member) => fields.add(member, "The password is wrong."),
            _ => {}
        }
        fields
    }

    fn retry_after_seconds(&self) -> u64 {
        match self {
            // Not a moment too early.
            Self::TooManyAttempts(RateLimited { wait, .. }) => {
                wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
            }
            Self::Overloaded(Overloaded { wait }) => wait.as_secs() + 1,
            _ => 1,
        }
    }
}

impl ApiError {
    /// The problem of a request whose `member` was to hold the user's password.
    pub fn confirmed_by(member: &'static str) -> impl Fn(AccountError) -> Self {
        move |refusal| match refusal {
            AccountError::WrongPassword => Self::WrongPassword(member),
            refusal => refusal.into(),
        }
    }
}

/// Why a head is not taken, whoever it asks for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// It is none, or could be read in two ways.
    Malformed,
    /// It is too large, or has too many headers.
    TooLarge,
    /// It has not arrived in time.
    TooSlow,
}

impl From<HeadError> for ApiError {
    fn from(bad: HeadError) -> Self {
        match bad {
            HeadError::Malformed => Self::BadRequest,
            HeadError::TooLarge => Self::HeadTooLarge,
            HeadError::TooSlow => Self::RequestTimeout,
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(refusal: AccountError) -> Self {
        match refusal {
            AccountError::EmailTaken => Self::EmailTaken,
            AccountError::InvalidCredentials => Self::InvalidCredentials,
            AccountError::InvalidAccessToken => Self::InvalidToken,
            AccountError::AccessTokenExpired => Self::TokenExpired,
            AccountError::InvalidRefreshToken => Self::InvalidRefreshToken,
            AccountError::SessionNotFound => Self::SessionNotFound,
            AccountError::WrongPassword => Self::WrongPassword("password"),
            AccountError::RateLimited(rate_limited) => Self::TooManyAttempts(rate_limited),
            AccountError::Overloaded(overloaded) => Self::Overloaded(overloaded),
            AccountError::Store(error @ StoreError::Unavailable { .. }) => Self::Unavailable(error),
            AccountError::Store(error @ StoreError::Corrupt { .. }) => Self::Corrupt(error),
        }
    }
}

/// What is wrong with each member, in the order in which it was found.
#[derive(Debug, Clone, Default)]
pub struct FieldErrors(Vec<(&'static str, Vec<String>)>);

impl FieldErrors {
    /// Adds a sentence to a member.
    pub fn add(&mut self, member: &'static str, sentence: impl Into<String>) {
        match self.0.iter_mut().find(|(name, _)| *name == member) {
            Some((_, sentences)) => sentences.push(sentence.into()),
            None => self.0.push((member, vec![sentence.into()])),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for FieldErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (member, sentences) in &self.0 {
            map.serialize_entry(member, sentences)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, slice, time::Duration};

    use serde_json::Value;

    use super::*;

    /// One of each.
    fn every_problem() -> Vec<ApiError> {
        let broken = StoreError::Unavailable { store: "store", reason: "it is down".to_owned() };
        vec![
            ApiError::NotFound,
            ApiError::MethodNotAllowed { allow: "GET".to_owned() },
            ApiError::UnsupportedMediaType,
            ApiError::TooLarge,
            ApiError::RequestTimeout,
            ApiError::BadRequest,
            ApiError::HeadTooLarge,
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
            ApiError::Unavailable(broken),
            ApiError::DeadlinePassed,
            ApiError::Corrupt(StoreError::Corrupt { store: "store", reason: "it is torn".to_owned() }),
            ApiError::Internal,
        ]
    }

    #[test]
    fn statuses_and_codes_are_those_that_clients_rely_on() {
        let answers = every_problem().into_iter().map(|problem| problem.answer());
        let codes: Vec<_> =
            answers.map(|(status, code, _)| format!("{} {}", status.as_u16(), code.unwrap_or("–"))).collect();

        insta::assert_snapshot!(codes.join("\n"), @r"
        404 –
        405 method_not_allowed
        415 unsupported_media_type
        413 too_large
        408 request_timeout
        400 bad_request
        431 head_too_large
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
        503 unavailable
        503 unavailable
        500 –
        500 –
        ");
    }

    #[test]
    fn the_readme_lists_exactly_these_statuses_and_codes() {
        let row = |(status, code, _): (StatusCode, Option<&str>, &str)| match code {
            Some(code) => format!("| {} | `{code}` |", status.as_u16()),
            None => format!("| {} | – |", status.as_u16()),
        };
        let ours: BTreeSet<_> = every_problem().iter().map(|problem| row(problem.answer())).collect();

        let status = |line: &str| line.split('|').nth(1).and_then(|cell| cell.trim().parse::<u16>().ok());
        let is_row = |line: &&str| status(line).is_some_and(|status| status >= 400);
        let readme = include_str!("../../docs/api.md").lines().filter(is_row);
        let documented: BTreeSet<_> =
            readme.map(|line| line.split_inclusive('|').take(3).collect::<String>()).collect();

        assert_eq!(documented, ours);
    }

    /// Each refusal that a response of the page may be: the codes that its schema admits. One without a body is none.
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
    fn the_openapi_page_lists_exactly_these_statuses_and_codes() {
        let ours: BTreeSet<_> = every_problem()
            .iter()
            .map(ApiError::answer)
            .map(|(status, code, _)| (status.as_str().to_owned(), code.map(str::to_owned)))
            .collect();

        let page: Value = serde_json::from_str(include_str!("handlers/openapi.json")).expect("the page is JSON");
        let operations = page["paths"].as_object().into_iter().flatten().filter_map(|(_, item)| item.as_object());
        let responses = operations.flatten().filter_map(|(_, operation)| operation["responses"].as_object()).flatten();
        let shared = responses.filter_map(|(status, response)| Some((status.as_str(), response["$ref"].as_str()?)));
        // What no operation answers: there is none on such a path, or with such a method, or in such a head.
        let everywhere = [
            ("404", "#/components/responses/NotFound"),
            ("405", "#/components/responses/MethodNotAllowed"),
            ("400", "#/components/responses/BadRequest"),
            ("431", "#/components/responses/HeadTooLarge"),
        ];
        let listed = shared.chain(everywhere).flat_map(|(status, reference)| {
            let response = page.pointer(reference.trim_start_matches('#')).expect("a response");
            codes_of(response).into_iter().map(move |code| (status.to_owned(), code))
        });

        assert_eq!(listed.collect::<BTreeSet<_>>(), ours);
    }

    #[tokio::test]
    async fn the_404_and_the_500_are_those_of_the_api_that_this_one_replaces() {
        for (problem, body) in [
            (ApiError::NotFound, r#"{"error":"The endpoint was not found"}"#),
            (ApiError::Internal, r#"{"error":"Internal server error"}"#),
        ] {
            let collected = http_body_util::BodyExt::collect(problem.into_response().into_body()).await;
            assert_eq!(collected.expect("a whole body").to_bytes(), body);
        }
    }

    #[test]
    fn retry_after_is_told_in_whole_seconds_rounded_up() {
        let retry_after = |problem: ApiError| problem.into_response().headers()[header::RETRY_AFTER].clone();

        assert_eq!(retry_after(ApiError::Overloaded(Overloaded { wait: Duration::from_millis(2_500) })), "3");
        assert_eq!(retry_after(ApiError::DeadlinePassed), "1");
    }
}
