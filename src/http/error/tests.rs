use std::{collections::BTreeSet, slice, time::Duration};

use serde_json::Value;

use super::*;

/// Returns one error of each variant.
fn all_errors() -> Vec<ApiError> {
    let unavailable = StoreError::Unavailable { store: "store", reason: "it is down".to_owned() };
    vec![
        ApiError::NotFound,
        ApiError::MethodNotAllowed { allow: "GET".to_owned() },
        ApiError::UnsupportedMediaType,
        ApiError::UnsupportedContentCoding,
        ApiError::TooLarge,
        ApiError::HeadTooLarge,
        ApiError::RequestTimeout,
        ApiError::BadRequest,
        ApiError::MalformedJson,
        ApiError::ValidationFailed(FieldErrors::default()),
        ApiError::EmailTaken,
        ApiError::InvalidCredentials,
        ApiError::NotAuthenticated,
        ApiError::InvalidToken,
        ApiError::InvalidApiKey,
        ApiError::TokenExpired,
        ApiError::InvalidRefreshToken,
        ApiError::SessionNotFound,
        ApiError::UserNotFound,
        ApiError::PermissionDenied,
        ApiError::InsufficientScope(Scope::Admin),
        ApiError::ReauthenticationRequired(Duration::from_hours(1)),
        ApiError::LastAdministrator,
        ApiError::WrongPassword("password"),
        ApiError::TooManyAttempts(RateLimited { limit: "account", wait: Duration::from_millis(2_001) }),
        ApiError::Overloaded(Overloaded { wait: Duration::from_millis(2_500) }),
        ApiError::MemoryExhausted,
        ApiError::Unavailable(unavailable),
        ApiError::DeadlinePassed,
        ApiError::StoreFault(StoreError::Corrupt { store: "store", reason: "it is torn".to_owned() }),
        ApiError::Internal,
    ]
}

#[test]
fn statuses_and_codes_do_not_change() {
    let errors = all_errors();
    let parts = errors.iter().map(ApiError::parts);
    let codes: Vec<_> = parts.map(|(status, code, _)| format!("{} {}", status.as_u16(), code.unwrap_or("–"))).collect();

    insta::assert_snapshot!(codes.join("\n"), @r"
    404 –
    405 method_not_allowed
    415 unsupported_media_type
    415 unsupported_media_type
    413 too_large
    431 head_too_large
    408 request_timeout
    400 bad_request
    400 malformed_json
    400 validation_failed
    409 email_taken
    401 invalid_credentials
    401 not_authenticated
    401 invalid_token
    401 invalid_token
    401 token_expired
    401 invalid_refresh_token
    404 session_not_found
    404 user_not_found
    403 permission_denied
    403 permission_denied
    401 reauthentication_required
    409 last_administrator
    400 wrong_password
    429 too_many_attempts
    503 overloaded
    503 overloaded
    503 unavailable
    503 unavailable
    500 –
    500 –
    ");
}

#[test]
fn only_an_outage_of_a_store_invites_a_retry() {
    let (store, reason) = ("store", "on purpose".to_owned());
    let errors = [
        StoreError::Unavailable { store, reason: reason.clone() },
        StoreError::Rejected { store, reason: reason.clone() },
        StoreError::Misconfigured { store, reason: reason.clone() },
        StoreError::Corrupt { store, reason },
    ];
    let response = |error| ApiError::from(AccountError::Store(error)).into_response();
    let is_retryable = |response: &Response| response.headers().contains_key(header::RETRY_AFTER);

    let responses = errors.map(response).map(|response| (response.status().as_u16(), is_retryable(&response)));

    assert_eq!(responses, [(503, true), (500, false), (500, false), (500, false)]);
}

#[test]
fn api_document_lists_all_statuses_and_codes() {
    let row = |(status, code, _): (StatusCode, Option<&str>, &str)| match code {
        Some(code) => format!("| {} | `{code}` |", status.as_u16()),
        None => format!("| {} | – |", status.as_u16()),
    };
    let expected: BTreeSet<_> = all_errors().iter().map(|error| row(error.parts())).collect();

    let status = |line: &str| line.split('|').nth(1).and_then(|cell| cell.trim().parse::<u16>().ok());
    let is_row = |line: &&str| status(line).is_some_and(|status| status >= 400);
    let rows = include_str!("../../../docs/api.md").lines().filter(is_row);
    let documented: BTreeSet<_> = rows.map(|line| line.split_inclusive('|').take(3).collect::<String>()).collect();

    assert_eq!(documented, expected);
}

/// Returns the codes that the schema of an OpenAPI response allows. `None` stands for an error without a code; a
/// response without a body has no codes.
fn codes_of(response: &Value) -> Vec<Option<String>> {
    if response.get("content").is_none() {
        return Vec::new();
    }
    let schema = &response["content"]["application/json"]["schema"];
    let kinds = schema["oneOf"].as_array().map_or(slice::from_ref(schema), Vec::as_slice);
    let codes = kinds.iter().flat_map(|kind| match &kind["allOf"][1]["properties"]["code"] {
        Value::Null => vec![None],
        code if code["const"].is_string() => vec![code["const"].as_str().map(str::to_owned)],
        code => code["enum"].as_array().into_iter().flatten().map(|code| code.as_str().map(str::to_owned)).collect(),
    });
    codes.collect()
}

#[test]
fn openapi_document_lists_all_statuses_and_codes() {
    let expected: BTreeSet<_> = all_errors()
        .iter()
        .map(ApiError::parts)
        .map(|(status, code, _)| (status.as_str().to_owned(), code.map(str::to_owned)))
        .collect();

    let document: Value = serde_json::from_str(include_str!("../handlers/openapi.json")).expect("JSON");
    let operations = document["paths"].as_object().into_iter().flatten().filter_map(|(_, item)| item.as_object());
    let responses = operations.flatten().filter_map(|(_, operation)| operation["responses"].as_object()).flatten();
    let shared = responses.filter_map(|(status, response)| Some((status.as_str(), response["$ref"].as_str()?)));
    // Responses that belong to no operation: the request was rejected before it reached one.
    let unrouted = [
        ("404", "#/components/responses/NotFound"),
        ("405", "#/components/responses/MethodNotAllowed"),
        ("400", "#/components/responses/BadRequest"),
        ("431", "#/components/responses/HeadTooLarge"),
    ];
    let listed = shared.chain(unrouted).flat_map(|(status, reference)| {
        let response = document.pointer(reference.trim_start_matches('#')).expect("a response");
        codes_of(response).into_iter().map(move |code| (status.to_owned(), code))
    });

    assert_eq!(listed.collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn bodies_of_404_and_500_do_not_change() {
    for (error, body) in [
        (ApiError::NotFound, r#"{"error":"The endpoint was not found"}"#),
        (ApiError::Internal, r#"{"error":"Internal server error"}"#),
    ] {
        let collected = http_body_util::BodyExt::collect(error.into_response().into_body()).await;
        assert_eq!(collected.expect("a whole body").to_bytes(), body);
    }
}

#[test]
fn retry_after_is_in_whole_seconds_rounded_up() {
    let retry_after = |error: ApiError| error.into_response().headers()[header::RETRY_AFTER].clone();

    assert_eq!(retry_after(ApiError::Overloaded(Overloaded { wait: Duration::from_millis(2_500) })), "3");
    assert_eq!(retry_after(ApiError::DeadlinePassed), "1");
}
