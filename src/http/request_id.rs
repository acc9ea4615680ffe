//! The id of a request: `X-Request-Id`.

use std::cell::RefCell;

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use uuid::{Builder, fmt::Hyphenated};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The random bytes that a thread gets from the operating system at once: those of 256 ids. One system call for each id takes
/// 4 % of the CPU time of `GET /healthz`.
const RANDOM_BYTES: usize = 256 * 16;

/// An id of 1 to 128 characters of `[A-Za-z0-9._-]`.
#[derive(Debug, Clone)]
pub struct RequestId(Text);

#[derive(Debug, Clone)]
enum Text {
    /// A UUID.
    Generated([u8; Hyphenated::LENGTH]),
    Sent(HeaderValue),
}

impl RequestId {
    /// Returns the id that the client sent, or a new one if it sent none or an invalid one.
    ///
    /// A new id is a UUIDv4 of random bytes from the operating system, which each thread gets for 256 ids at once. So ids do
    /// not repeat, and nobody can predict one from others. A reader of the process's memory can predict the next ones: an id
    /// is no secret, and nothing is granted for one.
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(REQUEST_ID).filter(|id| is_valid(id.as_bytes())).cloned();
        Self(sent.map_or_else(|| Text::Generated(new_uuid()), Text::Sent))
    }

    pub fn as_str(&self) -> &str {
        let bytes = match &self.0 {
            Text::Generated(uuid) => uuid,
            Text::Sent(value) => value.as_bytes(),
        };
        str::from_utf8(bytes).unwrap_or_default()
    }

    pub fn to_header(&self) -> HeaderValue {
        match &self.0 {
            Text::Generated(uuid) => {
                HeaderValue::from_bytes(uuid).unwrap_or_else(|_| unreachable!("a UUID is visible ASCII"))
            }
            Text::Sent(value) => value.clone(),
        }
    }
}

/// Returns the text of a new UUIDv4.
fn new_uuid() -> [u8; Hyphenated::LENGTH] {
    thread_local! {
        static RANDOM: RefCell<RandomBytes> = const { RefCell::new(RandomBytes::used_up()) };
    }
    let random = RANDOM.with_borrow_mut(RandomBytes::next);
    let mut text = [0; Hyphenated::LENGTH];
    Builder::from_random_bytes(random).into_uuid().hyphenated().encode_lower(&mut text);
    text
}

/// Random bytes, each of which is used once.
struct RandomBytes {
    bytes: [u8; RANDOM_BYTES],
    used: usize,
}

impl RandomBytes {
    const fn used_up() -> Self {
        Self { bytes: [0; RANDOM_BYTES], used: RANDOM_BYTES }
    }

    fn next(&mut self) -> [u8; 16] {
        if self.used == RANDOM_BYTES {
            getrandom::fill(&mut self.bytes).expect("random bytes from the operating system");
            self.used = 0;
        }
        let next = self.bytes[self.used..].first_chunk().copied();
        self.used += 16;
        next.unwrap_or_else(|| unreachable!("16 divides the number of bytes"))
    }
}

/// Returns whether these bytes can be a request id. Such an id needs no escaping in a log or a header.
pub fn is_valid(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=128).contains(&id.len()) && id.iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn new_ids(count: usize) -> Vec<String> {
        (0..count).map(|_| RequestId::of(&HeaderMap::new()).as_str().to_owned()).collect()
    }

    #[test]
    fn new_ids_are_random_uuids() {
        for id in new_ids(2 * RANDOM_BYTES / 16 + 1) {
            let uuid: Uuid = id.parse().expect("a UUID");
            assert_eq!((uuid.get_version_num(), uuid.get_variant(), id.len()), (4, uuid::Variant::RFC4122, 36), "{id}");
        }
    }

    #[test]
    fn ids_of_concurrent_threads_differ() {
        const THREADS: usize = 8;
        const IDS: usize = 1000;

        let threads = [(); THREADS].map(|()| thread::spawn(|| new_ids(IDS)));

        let ids: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().expect("ids")).collect();
        assert_eq!(ids.len(), THREADS * IDS);
    }

    #[test]
    fn valid_id_of_the_client_is_kept() {
        for (sent, is_kept) in [("trace-1", true), ("trace 1", false)] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(sent))]);

            let id = RequestId::of(&headers);

            assert_eq!((id.as_str() == sent, id.to_header() == sent), (is_kept, is_kept), "{sent}");
        }
    }

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
