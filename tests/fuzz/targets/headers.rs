//! The request headers that Postern parses, with one or more header lines: each line of the input is one.
#![no_main]

use postern::http::fuzzing::{bearer_token, is_json, is_request_id};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let values: Vec<&[u8]> = if input.is_empty() { Vec::new() } else { input.split(|byte| *byte == b'\n').collect() };
    check_authorization(&values);
    check_content_type(&values);
    check_request_id(input);
});

fn check_authorization(values: &[&[u8]]) {
    let Some(token) = bearer_token(values) else { return };
    let expected = match values {
        [] => Err("not_authenticated"),
        [value] => {
            let rest = value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
            match rest.map(|(_, token)| token.trim_ascii()) {
                None | Some([]) => Err("not_authenticated"),
                Some(token) => String::from_utf8(token.to_owned()).map_err(|_| "invalid_token"),
            }
        }
        _ => Err("invalid_token"),
    };
    assert_eq!(token, expected);
}

fn check_content_type(values: &[&[u8]]) {
    let Some(is_json) = is_json(values) else { return };
    let essence = |value: &[u8]| String::from_utf8_lossy(value).split(';').next().unwrap_or_default().to_lowercase();
    let expected = matches!(values, [value] if essence(value).trim_matches([' ', '\t']) == "application/json");
    assert_eq!(is_json, expected);
}

fn check_request_id(id: &[u8]) {
    let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    let is_allowed = str::from_utf8(id).is_ok_and(|id| id.chars().all(|character| allowed.contains(character)));
    assert_eq!(is_request_id(id), is_allowed && !id.is_empty() && id.len() <= 128);
}
