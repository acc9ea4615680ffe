//! Email addresses.
#![no_main]

use postern::model::{Email, MAX_EMAIL_CHARACTERS};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(email) = text.parse::<Email>() else { return };
    let address = email.as_str();

    assert!((1..=MAX_EMAIL_CHARACTERS).contains(&address.len()), "{address}");
    // No syntax of headers, logs or files of addresses.
    assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte)), "{address}");
    assert!(!address.bytes().any(|byte| byte.is_ascii_uppercase()), "{address}");
    let (local, domain) = address.split_once('@').expect("a local part and a domain");
    assert!(!domain.contains('@') && !local.starts_with('.') && !local.ends_with('.') && !local.contains(".."));
    assert!(domain.split('.').count() >= 2, "{address}");
    assert!(domain.split('.').all(is_label), "{address}");
    assert!(domain.parse::<std::net::IpAddr>().is_err(), "{address}");
    assert_eq!(address.parse::<Email>().as_ref(), Ok(&email), "the normal form is stable");
    assert_eq!(format!(" {address}\n").parse::<Email>(), Ok(email), "space is trimmed");
});

/// Returns whether a text is a label of a host name (RFC 1123, section 2.1).
fn is_label(label: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(is_allowed) && !label.starts_with('-') && !label.ends_with('-')
}
