//! `POST /create-user/`

use serde_json::{Value, json};

use super::Service;
use crate::support::PASSWORD;

fn form(name: &str, email: &str, password: &str) -> Value {
    json!({"name": name, "email": email, "password": password})
}

#[tokio::test]
async fn sign_up_returns_a_message_and_both_tokens() {
    let service = Service::start().await;

    let body = service.sign_up("ada@example.org").await.expect(201);

    assert_eq!(body["message"], "User created successfully!");
    let mut fields: Vec<_> = body.as_object().expect("an object").keys().collect();
    fields.sort();
    assert_eq!(fields, ["access", "message", "refresh"]);
}

#[tokio::test]
async fn sign_up_opens_a_session() {
    let service = Service::start().await;

    let ada = service.signed_up("ada@example.org").await;

    ada.expect_valid().await;
    service.log_in("ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn name_and_email_are_normalised() {
    let service = Service::start().await;

    let body = form("  Zoe\u{308}\t", " Zoe@BÜCHER.example\n", PASSWORD);
    let access = service.post("/create-user/", body).send().await.expect(201)["access"].clone();

    let profile = service.get("/profile/").bearer(access.as_str().expect("a token")).send().await.expect(200);
    assert_eq!(profile["name"], "Zoë");
    assert_eq!(profile["email"], "zoe@xn--bcher-kva.example");
}

#[tokio::test]
async fn email_is_taken_in_any_case_and_spelling() {
    let service = Service::start().await;
    service.signed_up("ada@xn--bcher-kva.example").await;

    for email in ["ada@xn--bcher-kva.example", "ADA@XN--BCHER-KVA.EXAMPLE", " ada@bücher.example", "ada@BÜCHER.example"]
    {
        let problem = service.sign_up(email).await.expect_problem(409, "email_taken");
        assert_eq!(problem["fields"]["email"].as_array().map(Vec::len), Some(1), "{problem}");
    }
}

#[tokio::test]
async fn one_of_32_sign_ups_with_one_email_succeeds() {
    let service = Service::start().await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let server = (*service).clone();
        racing.spawn(async move { server.sign_up("ada@example.org").await.status });
    }

    let mut statuses = racing.join_all().await;

    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201], vec![409; 31]].concat());
    let calls = service.counting.calls();
    let count = |name: &str| calls.iter().filter(|call| **call == name).count();
    assert_eq!(count("sessions.open"), count("sessions.end") + 1, "a session whose user was not inserted is removed");
}

#[tokio::test]
async fn all_invalid_fields_are_reported_together() {
    let service = Service::start().await;

    let body = json!({"name": " ", "email": "ada", "password": "12345"});
    let problem = service.post("/create-user/", body).send().await.expect_problem(400, "validation_failed");

    insta::assert_json_snapshot!(problem, @r#"
    {
      "code": "validation_failed",
      "error": "Some fields are missing or not valid",
      "fields": {
        "email": [
          "Enter a valid email address."
        ],
        "name": [
          "This field may not be blank."
        ],
        "password": [
          "This password is too short. It must contain at least 8 characters.",
          "This password is entirely numeric."
        ]
      }
    }
    "#);
    assert_eq!(service.accounts.metrics.hashing.policy_checks.get_sample_count(), 0, "no estimate beside other errors");
}

#[tokio::test]
async fn every_violation_of_the_password_policy_is_reported() {
    let service = Service::start().await;

    let body = json!({"name": "Ada", "email": "ada@example.org", "password": "12345"});
    let errors = service.post("/create-user/", body).send().await.expect_field_errors("password");

    let expected = [
        "This password is too short. It must contain at least 8 characters.",
        "This password is entirely numeric.",
        "This password is too common or too easily guessed.",
    ];
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn missing_null_or_non_string_field_is_reported() {
    let service = Service::start().await;

    for (value, sentence) in [
        (None, "This field is required."),
        (Some(Value::Null), "This field may not be null."),
        (Some(json!(7)), "Not a valid string."),
        (Some(json!(true)), "Not a valid string."),
        (Some(json!(["x"])), "Not a valid string."),
        (Some(json!({"x": 1})), "Not a valid string."),
        (Some(json!("")), "This field may not be blank."),
    ] {
        let mut body = json!({});
        for field in ["name", "email", "password"] {
            if let Some(value) = &value {
                body[field] = value.clone();
            }
        }
        let problem = service.post("/create-user/", body).send().await.expect_problem(400, "validation_failed");
        for field in ["name", "email", "password"] {
            assert_eq!(problem["fields"][field], json!([sentence]), "{field}");
        }
    }
}

#[tokio::test]
async fn name_has_at_most_255_characters_and_no_control_characters() {
    let service = Service::start().await;
    let with_name = |name: &str| service.post("/create-user/", form(name, "ada@example.org", PASSWORD)).send();

    let too_long = with_name(&"ë".repeat(256)).await.expect_field_errors("name");
    assert_eq!(too_long, ["Ensure this field has no more than 255 characters."]);
    let control = with_name("Ada\u{0}").await.expect_field_errors("name");
    assert_eq!(control, ["Control characters are not allowed."]);

    with_name(&"ë".repeat(255)).await.expect(201);
}

#[tokio::test]
async fn email_has_at_most_254_characters() {
    let service = Service::start().await;
    let with_local = |length: usize| {
        let email = format!("{}@example.org", "a".repeat(length));
        service.post("/create-user/", form("Ada Lovelace", &email, PASSWORD)).send()
    };

    let too_long = with_local(243).await.expect_field_errors("email");
    assert_eq!(too_long, ["Ensure this field has no more than 254 characters."]);

    with_local(242).await.expect(201);
}

#[tokio::test]
async fn password_is_checked_against_name_and_email() {
    let service = Service::start().await;
    let with_password =
        |password: &str| service.post("/create-user/", form("Grace Hopper", "admiral@cobol.example", password)).send();

    let like_name = with_password("gracehopper1").await.expect_field_errors("password");
    assert_eq!(like_name, ["This password is too similar to the name."]);
    let like_email = with_password("admiral@cobol").await.expect_field_errors("password");
    assert!(like_email.contains(&"This password is too similar to the email.".to_owned()), "{like_email:?}");
    let common = with_password("password").await.expect_field_errors("password");
    assert_eq!(common, ["This password is too common or too easily guessed."]);
    let too_long = with_password(&"a1!ü".repeat(65)).await.expect_field_errors("password");
    assert_eq!(too_long, ["This password is too long. It must contain at most 256 characters."]);
}

#[tokio::test]
async fn password_is_taken_as_it_was_sent() {
    let service = Service::start().await;
    let password = " sečret pa\u{30a}ssphrase ";
    service.post("/create-user/", form("Ada", "ada@example.org", password)).send().await.expect(201);

    service.log_in("ada@example.org", password).await.expect(200);
    service.log_in("ada@example.org", " sečret påssphrase ").await.expect(200);
    service.log_in("ada@example.org", password.trim()).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn password_is_checked_before_any_hash() {
    let service = Service::start().await;

    service.post("/create-user/", form("Ada", "ada@example.org", "password")).send().await.expect(400);

    assert_eq!(service.accounts.hasher.hashes(), 0);
    assert_eq!(service.store_calls(), 0);
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let service = Service::start().await;
    let mut body = form("Ada", "ada@example.org", PASSWORD);
    body["administrator"] = json!(true);

    service.post("/create-user/", body).send().await.expect(201);
}
