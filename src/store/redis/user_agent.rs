//! User agents as a session stores them.
//!
//! Redis keeps a hash in its compact form while no value is longer than `hash-max-listpack-value`, 64 bytes by default. The
//! user agent of a browser is longer. So its common parts are stored as one control character each, which no user agent
//! contains, and what does not fit into the first field continues in a second one. With 10,000 sessions of 10,000 users,
//! which Chrome opened, a session and its index take 673 bytes if the address is IPv4 and 692 if it is IPv6 (`used_memory` of
//! Redis 7.0.15 with jemalloc 5.3.0). With two fields but without the codes it is 756, and 1,428 in one field of plain text.

/// The longest value that a hash in its compact form may have, in bytes.
const MAX_VALUE_BYTES: usize = 64;

/// The common parts of user agents, and the control character that stands for each. A part that another one begins with comes
/// after it.
///
/// Stored sessions have these codes: a code is never used for another part. A version that does not know a code shows it as
/// U+FFFD.
///
/// A tab is no code, because a `User-Agent` may have one. ESC and line ends are none either, because they disturb terminals.
const PARTS: [(char, &str); 14] = [
    ('\u{1}', ") AppleWebKit/537.36 (KHTML, like Gecko) "),
    ('\u{2}', ") AppleWebKit/605.1.15 (KHTML, like Gecko) "),
    ('\u{3}', ") Gecko/20100101 "),
    ('\u{4}', "Mozilla/5.0 (Linux; "),
    ('\u{5}', "Mozilla/5.0 ("),
    ('\u{13}', "; Win64; x64; rv:"),
    ('\u{6}', "; Win64; x64"),
    ('\u{7}', "; Intel Mac OS X 10"),
    ('\u{8}', "; Linux x86_64"),
    ('\u{e}', "; CPU iPhone OS "),
    ('\u{f}', "; CPU OS "),
    ('\u{10}', " like Mac OS X"),
    ('\u{11}', "; rv:"),
    ('\u{12}', ".0.0.0 "),
];

/// Encodes a cleaned user agent. Returns the value of the first field, and that of the second one or an empty text.
pub(super) fn encode(user_agent: &str) -> (String, String) {
    let mut first = user_agent.to_owned();
    for (code, part) in PARTS {
        first = first.replace(part, code.encode_utf8(&mut [0; 4]));
    }
    let second = first.split_off(first.floor_char_boundary(MAX_VALUE_BYTES));
    (first, second)
}

/// Decodes a user agent from the values of both fields. One that an earlier version stored, in the first field and without
/// codes, stays as it is.
pub(super) fn decode(first: &str, second: &str) -> String {
    let mut user_agent = String::new();
    for character in first.chars().chain(second.chars()) {
        match PARTS.iter().find(|(code, _)| *code == character) {
            Some((_, part)) => user_agent.push_str(part),
            None => user_agent.push(character),
        }
    }
    user_agent
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{DisplayText, MAX_USER_AGENT_BYTES};

    /// The longest field with which a session takes at most 256 bytes in Redis, if its address has 39 characters.
    const SMALL_BYTES: usize = 36;

    const BROWSERS: [&str; 8] = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 \
         Edg/131.0.0.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 \
         Safari/605.1.15",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 \
         Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 \
         Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
    ];

    fn stored(user_agent: &str) -> String {
        DisplayText::cleaned(user_agent).truncated(MAX_USER_AGENT_BYTES).as_str().to_owned()
    }

    #[test]
    fn user_agent_of_a_browser_is_short() {
        for browser in BROWSERS.map(stored) {
            let (first, second) = encode(&browser);

            assert!(first.len() <= SMALL_BYTES && second.is_empty(), "{browser}: {} bytes", first.len());
            assert_eq!(decode(&first, &second), browser);
        }
    }

    #[test]
    fn long_user_agent_continues_in_a_second_field() {
        let agent = "ë".repeat(MAX_USER_AGENT_BYTES / 2);

        let (first, second) = encode(&agent);

        assert_eq!((first.len(), second.len()), (MAX_VALUE_BYTES, MAX_USER_AGENT_BYTES - MAX_VALUE_BYTES));
    }

    proptest! {
        #[test]
        fn any_user_agent_is_decoded_as_it_was(
            parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 3),
            texts in prop::collection::vec(".{0,40}", 3),
        ) {
            let pieces: Vec<_> = parts.iter().zip(texts).map(|((_, part), text)| [part, text.as_str()].concat()).collect();
            let user_agent = stored(&pieces.concat());

            let (first, second) = encode(&user_agent);

            prop_assert!(first.len() <= MAX_VALUE_BYTES && second.len() <= MAX_VALUE_BYTES);
            prop_assert_eq!(decode(&first, &second), user_agent);
        }
    }
}
