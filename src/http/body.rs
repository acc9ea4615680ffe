//! Request bodies, read whole and within limits.

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap,
    body::{Body as _, Incoming},
    header,
};
use tokio::time::timeout_at;
use zeroize::Zeroizing;

use super::{context::Context, error::ApiError};

/// The media type of a form (WHATWG URL, section 5).
pub const FORM: &str = "application/x-www-form-urlencoded";

const MAX_BODY_BYTES: usize = 16 * 1024;

/// Returns whether there is exactly one `Content-Type`, and it has this media type. Parameters are ignored.
pub fn has_content_type(headers: &HeaderMap, media_type: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

/// Reads the whole body, within the size limit and the deadline of the request.
pub async fn read_body(body: Incoming, context: &Context) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    // Reject by the declared length before reading anything: hyper then sends no `100 Continue`.
    if body.size_hint().lower() > u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) {
        return Err(ApiError::TooLarge);
    }
    timeout_at(context.deadline, collect(body)).await.map_err(|_| ApiError::RequestTimeout)?
}

async fn collect(body: Incoming) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    // Allocate the full size: a buffer that grows leaves unwiped copies of its content behind.
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

    use super::{super::response::JSON, *};

    #[test]
    fn content_type_occurs_once_and_may_have_parameters() {
        let is_json = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
            }
            has_content_type(&headers, JSON)
        };

        assert!(is_json(&["application/json"]));
        assert!(is_json(&["Application/JSON ; charset=utf-8"]));
        for values in [&[][..], &["text/plain"], &["application/json-patch+json"], &["application/json", "text/plain"]]
        {
            assert!(!is_json(values), "{values:?}");
        }
    }
}
