//! What of this ring is no use to anybody but the fuzz targets of `tests/fuzz`: its parsers, each by itself.

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{auth, body, error::ApiError, extract::Fields, request_log};

/// What a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// A JSON object.
    Json,
    /// A form.
    Form,
}

/// What a handler makes of a body when it asks for some members.
#[derive(Debug, PartialEq)]
pub struct Taken<const N: usize> {
    /// The texts, in the order in which they were asked for.
    pub texts: [Option<String>; N],
    /// What it objects to: the `fields` of its answer. `Null` where it goes on.
    pub objections: Value,
}

/// Asks a body for the texts of some members; `None` where it is answered `malformed_json`.
#[must_use]
pub fn take<const N: usize>(kind: BodyKind, body: &[u8], names: [&'static str; N]) -> Option<Taken<N>> {
    let mut members = match kind {
        BodyKind::Json => Fields::parse_json(body),
        BodyKind::Form => Fields::parse_form(body),
    }?;
    let texts = names.map(|name| members.text(name).map(|text| text.to_string()));
    let objections = match members.finish(Some(())) {
        Err(ApiError::ValidationFailed(errors)) => json!(errors),
        _ => Value::Null,
    };
    Some(Taken { texts, objections })
}

/// The token of some `Authorization` headers, or the code of the refusal; `None` where HTTP has no such header.
#[must_use]
pub fn bearer_token(values: &[&[u8]]) -> Option<Result<String, &'static str>> {
    let headers = headers(&header::AUTHORIZATION, values)?;
    let token = auth::bearer_token(&headers).map(str::to_owned);
    Some(token.map_err(|problem| problem.code().unwrap_or_default()))
}

/// Whether some `Content-Type` headers say that a body is a JSON object; `None` where HTTP has no such header.
#[must_use]
pub fn is_json(values: &[&[u8]]) -> Option<bool> {
    headers(&header::CONTENT_TYPE, values).map(|headers| body::is_of_type(&headers, body::JSON))
}

/// Whether a request may bring this as its id.
#[must_use]
pub fn is_request_id(id: &[u8]) -> bool {
    request_log::is_request_id(id)
}

fn headers(name: &HeaderName, values: &[&[u8]]) -> Option<HeaderMap> {
    let values = values.iter().map(|value| Some((name.clone(), HeaderValue::from_bytes(value).ok()?)));
    values.collect()
}
