//! The headers of a request that Postern reads itself, given once or several times: a line of the input for each.
#![no_main]

use postern::http::fuzzing::{bearer_token, is_json, is_request_id};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let values: Vec<&[u8]> = if input.is_empty() { Vec::new() } else { input.split(|byte| *byte == b'\n').collect() };
    judge_authorization(&values);
    judge_content_type(&values);
    judge_request_id(input);
});

fn judge_authorization(values: &[&[u8]]) {
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

fn judge_content_type(values: &[&[u8]]) {
    let Some(is_json) = is_json(values) else { return };
    let essence = |value: &[u8]| String::from_utf8_lossy(value).split(';').next().unwrap_or_default().to_lowercase();
    let is_one = matches!(values, [value] if essence(value).trim_matches([' ', '\t']) == "application/json");
    assert_eq!(is_json, is_one);
}

fn judge_request_id(id: &[u8]) {
    let harmless = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    let is_harmless = str::from_utf8(id).is_ok_and(|id| id.chars().all(|character| harmless.contains(character)));
    assert_eq!(is_request_id(id), is_harmless && !id.is_empty() && id.len() <= 128);
}
