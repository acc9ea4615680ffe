//! The id of a request: `X-Request-Id`.

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use uuid::Uuid;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An id of 1 to 128 characters of `[A-Za-z0-9._-]`.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the id that the client sent, or a new one if it sent none or an invalid one.
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(REQUEST_ID).filter(|id| is_valid(id.as_bytes())).cloned();
        Self(sent.unwrap_or_else(|| {
            HeaderValue::from_str(&Uuid::new_v4().to_string())
                .unwrap_or_else(|_| unreachable!("a UUID is visible ASCII"))
        }))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Returns whether these bytes can be a request id. Such an id needs no escaping in a log or a header.
pub fn is_valid(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=128).contains(&id.len()) && id.iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn request_id_has_1_to_128_safe_characters() {
        assert!(is_valid(b"a.B-3_4"));
        assert!(is_valid(&[b'x'; 128]));
        for id in [&b""[..], &[b'x'; 129], b"a b", b"a\nb", b"a\"b", "ä".as_bytes()] {
            assert!(!is_valid(id), "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn request_id_needs_no_escaping(
            id in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3),
                prop::collection::vec(prop::sample::select(&b"azAZ09._-"[..]), 120..136),
            ],
        ) {
            let expected = str::from_utf8(&id).is_ok_and(|id| {
                (1..=128).contains(&id.len()) && id.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-'))
            });

            prop_assert_eq!(is_valid(&id), expected);
        }
    }
}
