//! What a client sends on a connection: to the whole service, through hyper, as bytes.
#![no_main]

use std::{cell::RefCell, sync::LazyLock};

use postern::http::fuzzing::is_request_id;
use postern_fuzz::{Answer, Conversation, Served, answers};
use serde_json::Value;

/// What README.md says of refusals: a status, and a code where there is one.
static REFUSALS: LazyLock<Vec<(u16, Option<String>)>> = LazyLock::new(|| {
    let rows = include_str!("../../../docs/api.md").lines().map(|line| line.split('|').map(str::trim));
    let refusals = rows.filter_map(|mut cells| {
        let status = cells.nth(1)?.parse().ok().filter(|status| *status >= 400)?;
        let code = cells.next()?.strip_prefix('`').and_then(|code| code.strip_suffix('`'));
        Some((status, code.map(str::to_owned)))
    });
    refusals.collect()
});

thread_local! {
    static SERVED: RefCell<Served> = RefCell::new(Served::start());
}

libfuzzer_sys::fuzz_target!(|said: &[u8]| {
    let Conversation { asked, sent } = SERVED.with_borrow_mut(|served| served.converse(said));
    let methods: Vec<_> = asked.iter().map(|(method, _)| method.as_str()).collect();
    let answers = answers(&sent, &methods);

    let (ours, of_hyper) = answers.split_at_checked(asked.len()).expect("an answer to each request");
    for ((method, status), answer) in asked.iter().zip(ours) {
        assert_eq!(answer.status, *status, "answers come in the order of the requests");
        judge(method, answer);
    }
    // To a head that it cannot read; and nothing comes after that.
    assert!(of_hyper.len() <= 1, "{of_hyper:?}");
    for answer in of_hyper {
        assert!([400, 414, 431].contains(&answer.status) && answer.body.is_empty(), "{answer:?}");
    }
});

fn judge(method: &str, answer: &Answer) {
    let Answer { status, body, .. } = answer;
    assert!(is_request_id(answer.header("x-request-id").expect("an id").as_bytes()));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("cache-control").is_some());
    // Nothing is down, and nothing is ours to be sorry for.
    assert!(*status < 500, "{answer:?}");
    assert_eq!(answer.header("www-authenticate").is_some(), *status == 401, "{answer:?}");
    assert_eq!(answer.header("allow").is_some(), *status == 405 || (*status, method) == (204, "OPTIONS"), "{answer:?}");
    if !body.is_empty() {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        let body: Value = serde_json::from_slice(body).expect("a body is JSON");
        assert!(body.is_object(), "{body}");
        assert_eq!(body.get("error").is_some(), *status >= 400, "{body}");
    }
    if *status >= 400 {
        judge_refusal(method, answer);
    } else {
        assert!([200, 201, 204].contains(status), "{answer:?}");
    }
}

fn judge_refusal(method: &str, answer: &Answer) {
    if method == "HEAD" {
        assert!(REFUSALS.iter().any(|(status, _)| *status == answer.status), "{answer:?}");
        return;
    }
    let body: Value = serde_json::from_slice(&answer.body).expect("a refusal has a body");
    let code = body.get("code").map(|code| code.as_str().expect("a code is a text").to_owned());
    assert!(REFUSALS.contains(&(answer.status, code)), "{answer:?}");
    assert!(body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{body}");
    let fields = body.get("fields").map(|fields| fields.as_object().expect("fields are an object"));
    for sentences in fields.into_iter().flat_map(|fields| fields.values()) {
        let sentences = sentences.as_array().expect("a list of sentences");
        assert!(!sentences.is_empty() && sentences.iter().all(Value::is_string), "{body}");
    }
    let known = ["error", "code", "fields"];
    assert!(body.as_object().into_iter().flat_map(|body| body.keys()).all(|name| known.contains(&name.as_str())));
}
