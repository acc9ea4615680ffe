//! Bodies, read whole and within limits.

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap,
    body::{Body as _, Incoming},
    header,
};
use tokio::time::timeout_at;
use zeroize::Zeroizing;

use super::{context::Context, error::ApiError};

/// The type of a body that is a JSON object.
pub const JSON: &str = "application/json";

/// The type of a body that is a form (WHATWG URL, section 5).
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The largest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Whether there is one content type, and it is this one, whatever its parameters.
pub fn is_of_type(headers: &HeaderMap, content_type: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(content_type.as_bytes())
}

/// The whole body, within its size and the request's time.
pub async fn read_body(body: Incoming, context: &Context) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    // Refused by its declared length before any of it is asked for.
    if body.size_hint().lower() > u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) {
        return Err(ApiError::TooLarge);
    }
    timeout_at(context.deadline, collect(body)).await.map_err(|_| ApiError::RequestTimeout)?
}

async fn collect(body: Incoming) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    // Its full size from the start: a buffer that grows leaves copies of what it held behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BODY_BYTES));
    let mut body = Limited::new(body, MAX_BODY_BYTES);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() { ApiError::TooLarge } else { ApiError::MalformedJson }
        })?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn there_is_one_content_type_and_it_may_have_parameters() {
        let is_json_of = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::CONTENT_TYPE, HeaderValue::from_static(value)));
            let headers = values.fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            });
            is_of_type(&headers, JSON)
        };

        assert!(is_json_of(&["application/json"]));
        assert!(is_json_of(&["Application/JSON ; charset=utf-8"]));
        for values in [&[][..], &["text/plain"], &["application/json-patch+json"], &["application/json", "text/plain"]]
        {
            assert!(!is_json_of(values), "{values:?}");
        }
    }
}
