//! Entry points for the fuzz targets of `tests/fuzz`: the parsers of this module, one at a time.

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{auth, body, error::ApiError, fields::Fields, request_id, response};

/// The type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// A JSON object.
    Json,
    /// A form.
    Form,
}

/// The result of taking some text fields from a body.
#[derive(Debug, PartialEq)]
pub struct Taken<const N: usize> {
    /// The texts, in the order of the names.
    pub texts: [Option<String>; N],
    /// The `fields` of the error response; `Null` if all fields are valid.
    pub objections: Value,
}

/// Takes the texts of some fields from a body. Returns `None` if the response is `malformed_json`.
#[must_use]
pub fn take<const N: usize>(kind: BodyKind, body: &[u8], names: [&'static str; N]) -> Option<Taken<N>> {
    let mut fields = match kind {
        BodyKind::Json => Fields::parse_json(body),
        BodyKind::Form => Fields::parse_form(body),
    }?;
    let texts = names.map(|name| fields.text(name).map(|text| text.to_string()));
    let objections = match fields.finish(Some(())) {
        Err(ApiError::ValidationFailed(errors)) => json!(errors),
        _ => Value::Null,
    };
    Some(Taken { texts, objections })
}

/// Returns the token of some `Authorization` headers, or the error code. Returns `None` if a value is not valid in HTTP.
#[must_use]
pub fn bearer_token(values: &[&[u8]]) -> Option<Result<String, &'static str>> {
    let headers = headers(&header::AUTHORIZATION, values)?;
    let token = auth::bearer_token(&headers).map(str::to_owned);
    Some(token.map_err(|error| error.code().unwrap_or_default()))
}

/// Returns whether some `Content-Type` headers declare a JSON body. Returns `None` if a value is not valid in HTTP.
#[must_use]
pub fn is_json(values: &[&[u8]]) -> Option<bool> {
    headers(&header::CONTENT_TYPE, values).map(|headers| body::has_content_type(&headers, response::JSON))
}

/// Returns whether a client may choose this request id.
#[must_use]
pub fn is_request_id(id: &[u8]) -> bool {
    request_id::is_valid(id)
}

fn headers(name: &HeaderName, values: &[&[u8]]) -> Option<HeaderMap> {
    let values = values.iter().map(|value| Some((name.clone(), HeaderValue::from_bytes(value).ok()?)));
    values.collect()
}
