//! Request bodies, read whole and within limits.

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Request,
    body::{Body as _, Incoming},
    header,
};
use tokio::time::timeout_at;
use zeroize::Zeroizing;

use super::{context::Context, error::ApiError};
use crate::request_memory::{BudgetExceeded, MemoryShare};

/// The media type of a form (WHATWG URL, section 5).
pub const FORM: &str = "application/x-www-form-urlencoded";

const MAX_BODY_BYTES: usize = 16 * 1024;

/// The most trailers, and the most bytes of them.
const MAX_TRAILERS: usize = 64;
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// The size of a segment: a login or a sign-up has a few hundred bytes.
const SEGMENT_BYTES: usize = 1024;

/// Returns whether there is exactly one `Content-Type`, and it has this media type. Parameters are ignored.
pub fn has_content_type(headers: &HeaderMap, media_type: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

/// Returns whether the body has a coding, such as `gzip`. No coding is decoded. `identity`, which clients should not send, is none
/// (RFC 9110, sections 8.4 and 12.5.3).
fn has_content_coding(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// A body that has been read whole.
pub struct WholeBody(Zeroizing<Vec<u8>>);

impl WholeBody {
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// Reads the whole body, within the size limit, the memory of the request and its deadline.
pub async fn read_body(request: Request<Incoming>, context: &Context) -> Result<WholeBody, ApiError> {
    if has_content_coding(request.headers()) {
        return Err(ApiError::UnsupportedContentCoding);
    }
    let body = request.into_body();
    // Reject by the declared length before reading anything: hyper then sends no `100 Continue`.
    if body.size_hint().lower() > u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) {
        return Err(ApiError::TooLarge);
    }
    let incomplete = context.state.memory.incomplete_body();
    tokio::select! {
        biased;
        () = incomplete.ended() => Err(ApiError::MemoryExhausted),
        read = timeout_at(context.deadline, collect(body, &context.state.memory)) => {
            read.map_err(|_| ApiError::RequestTimeout)?
        }
    }
}

async fn collect(body: Incoming, memory: &MemoryShare) -> Result<WholeBody, ApiError> {
    let mut segments = Segments::default();
    let mut body = Limited::new(body, MAX_BODY_BYTES);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() { ApiError::TooLarge } else { ApiError::MalformedJson }
        })?;
        if let Some(data) = frame.data_ref() {
            segments.append(data, memory)?;
        }
        if frame.trailers_ref().is_some_and(are_too_large) {
            return Err(ApiError::MalformedJson);
        }
    }
    Ok(segments.join(memory)?)
}

/// Returns whether trailers exceed the limits that hyper has for those of HTTP/1, with the bytes counted as there. Trailers are
/// ignored otherwise.
fn are_too_large(trailers: &HeaderMap) -> bool {
    let lines = trailers.iter().map(|(name, value)| name.as_str().len() + ": \r\n".len() + value.len());
    trailers.len() > MAX_TRAILERS || lines.sum::<usize>() > MAX_TRAILER_BYTES
}

/// The part of a body that has arrived, in segments that are wiped and never reallocated: a buffer that grows leaves unwiped
/// copies of its content behind, and one of the full size takes 16 KiB for each byte of a slow client.
#[derive(Default)]
struct Segments(Vec<Zeroizing<Vec<u8>>>);

impl Segments {
    /// Appends data. Each segment is charged before it is allocated.
    fn append(&mut self, mut data: &[u8], memory: &MemoryShare) -> Result<(), BudgetExceeded> {
        while !data.is_empty() {
            let Some(segment) = self.0.last_mut().filter(|segment| segment.len() < SEGMENT_BYTES) else {
                memory.grow(charged(SEGMENT_BYTES))?;
                self.0.push(Zeroizing::new(Vec::with_capacity(SEGMENT_BYTES)));
                continue;
            };
            let (fitting, rest) = data.split_at(data.len().min(SEGMENT_BYTES - segment.len()));
            segment.extend_from_slice(fitting);
            data = rest;
        }
        Ok(())
    }

    /// Returns the body in one piece, as parsers need it: the only segment, or one copy of the exact size.
    fn join(mut self, memory: &MemoryShare) -> Result<WholeBody, BudgetExceeded> {
        if self.0.len() <= 1 {
            return Ok(WholeBody(self.0.pop().unwrap_or_default()));
        }
        let length = self.0.iter().map(|segment| segment.len()).sum();
        memory.grow(charged(length))?;
        let mut whole = Zeroizing::new(Vec::with_capacity(length));
        for segment in self.0 {
            whole.extend_from_slice(&segment);
        }
        Ok(WholeBody(whole))
    }
}

/// Returns what an allocation is charged: its bytes and what the allocator adds.
fn charged(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(16)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use std::{net::Ipv4Addr, sync::Arc};

    use super::{super::response::JSON, *};
    use crate::{
        metrics::{MemoryUse, Metrics},
        model::ClientNetwork,
        request_memory::{Payer, RequestBudget},
    };

    /// Returns the memory of a request in a budget of this many bytes.
    fn memory(limit: u64) -> MemoryShare {
        let budget = Arc::new(RequestBudget::new(limit, Metrics::new("").request_memory));
        let payer = Payer::TrustedProxy(ClientNetwork::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)));
        budget.charge(payer, MemoryUse::Request, 0).expect("nothing fits")
    }

    #[test]
    fn segments_are_not_reallocated_and_join_to_the_body() {
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(5000).collect();
        for piece in [1, 7, SEGMENT_BYTES, 3000] {
            let (mut segments, memory) = (Segments::default(), memory(1 << 20));
            for data in body.chunks(piece) {
                segments.append(data, &memory).expect("it fits");
            }

            assert!(segments.0.iter().all(|segment| segment.capacity() == SEGMENT_BYTES));
            assert_eq!(segments.0.len(), 5);
            let whole = segments.join(&memory).expect("it fits");
            assert_eq!((whole.as_slice(), whole.0.capacity()), (&body[..], body.len()));
        }
    }

    #[test]
    fn small_body_is_one_segment_without_a_copy() {
        let (mut segments, memory) = (Segments::default(), memory(charged(SEGMENT_BYTES)));

        segments.append(b"{}", &memory).expect("it fits");

        assert_eq!(segments.join(&memory).expect("no further charge").as_slice(), b"{}");
    }

    #[test]
    fn segment_is_charged_before_it_is_allocated() {
        let (mut segments, memory) = (Segments::default(), memory(charged(SEGMENT_BYTES)));

        assert_eq!(segments.append(&[0; SEGMENT_BYTES + 1], &memory), Err(BudgetExceeded));

        assert_eq!(segments.0.len(), 1);
    }

    #[test]
    fn content_coding_is_every_coding_but_identity() {
        let has_coding = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            has_content_coding(&headers)
        };

        for values in [&[][..], &[""], &["identity"], &["Identity, identity"], &["identity", ""], &[" , "]] {
            assert!(!has_coding(values), "{values:?}");
        }
        for values in [&["gzip"][..], &["br"], &["x"], &["identity, gzip"], &["identity", "deflate"], &["identity;q=0"]]
        {
            assert!(has_coding(values), "{values:?}");
        }
    }

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
