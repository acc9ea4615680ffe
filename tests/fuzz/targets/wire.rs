//! The bytes that a client sends on a connection to the whole service, through hyper.
#![no_main]

use std::{cell::RefCell, sync::LazyLock};

use postern::http::fuzzing::is_request_id;
use postern_fuzz::{Exchange, Response, TestService, parse_responses};
use serde_json::Value;

/// The errors of docs/api.md: a status, and a code if there is one.
static DOCUMENTED_ERRORS: LazyLock<Vec<(u16, Option<String>)>> = LazyLock::new(|| {
    let rows = include_str!("../../../docs/api.md").lines().map(|line| line.split('|').map(str::trim));
    let errors = rows.filter_map(|mut cells| {
        let status = cells.nth(1)?.parse().ok().filter(|status| *status >= 400)?;
        let code = cells.next()?.strip_prefix('`').and_then(|code| code.strip_suffix('`'));
        Some((status, code.map(str::to_owned)))
    });
    errors.collect()
});

thread_local! {
    static SERVICE: RefCell<TestService> = RefCell::new(TestService::start());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Exchange { requests, received } = SERVICE.with_borrow_mut(|service| service.exchange(bytes));
    let methods: Vec<_> = requests.iter().map(|(method, _)| method.as_str()).collect();
    let responses = parse_responses(&received, &methods);

    let (ours, of_hyper) = responses.split_at_checked(requests.len()).expect("a response to each request");
    for ((method, status), response) in requests.iter().zip(ours) {
        assert_eq!(response.status, *status, "responses in the order of the requests");
        check(method, response);
    }
    // hyper responds to a head that it cannot parse, and then closes the connection.
    assert!(of_hyper.len() <= 1, "{of_hyper:?}");
    for response in of_hyper {
        assert!([400, 414, 431].contains(&response.status) && response.body.is_empty(), "{response:?}");
    }
});

fn check(method: &str, response: &Response) {
    let Response { status, body, .. } = response;
    assert!(is_request_id(response.header("x-request-id").expect("an id").as_bytes()));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert!(response.header("cache-control").is_some());
    // No store is down, so a 5xx is a fault of Postern.
    assert!(*status < 500, "{response:?}");
    let challenge = response.header("www-authenticate");
    // A 403 has a challenge if an API key does not have the scope.
    assert!(challenge.is_none_or(|_| [401, 403].contains(status)), "{response:?}");
    assert!(challenge.is_some() || *status != 401, "{response:?}");
    assert_eq!(
        response.header("allow").is_some(),
        *status == 405 || (*status, method) == (204, "OPTIONS"),
        "{response:?}"
    );
    if !body.is_empty() {
        assert_eq!(response.header("content-type"), Some("application/json"), "{response:?}");
        let body: Value = serde_json::from_slice(body).expect("a body in JSON");
        assert!(body.is_object(), "{body}");
        assert_eq!(body.get("error").is_some(), *status >= 400, "{body}");
    }
    if *status >= 400 {
        check_error(method, response);
    } else {
        assert!([200, 201, 204].contains(status), "{response:?}");
    }
}

fn check_error(method: &str, response: &Response) {
    if method == "HEAD" {
        assert!(DOCUMENTED_ERRORS.iter().any(|(status, _)| *status == response.status), "{response:?}");
        return;
    }
    let body: Value = serde_json::from_slice(&response.body).expect("an error with a body");
    let code = body.get("code").map(|code| code.as_str().expect("a code as text").to_owned());
    assert!(DOCUMENTED_ERRORS.contains(&(response.status, code)), "{response:?}");
    assert!(body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{body}");
    let fields = body.get("fields").map(|fields| fields.as_object().expect("fields as an object"));
    for sentences in fields.into_iter().flat_map(|fields| fields.values()) {
        let sentences = sentences.as_array().expect("a list of sentences");
        assert!(!sentences.is_empty() && sentences.iter().all(Value::is_string), "{body}");
    }
    let known = ["error", "code", "fields"];
    assert!(body.as_object().into_iter().flat_map(|body| body.keys()).all(|name| known.contains(&name.as_str())));
}
