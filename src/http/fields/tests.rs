//! Tests of the fields of bodies.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn json_body_is_one_object_without_duplicate_fields() {
    assert!(Fields::parse_json(br#"{"name":"Ada","ignored":[1,{"a":null}]}"#).is_some());
    for json in ["", "[]", "null", r#""text""#, "1", r#"{"a":1}{}"#, r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#] {
        assert!(Fields::parse_json(json.as_bytes()).is_none(), "{json}");
    }
}

#[test]
fn all_field_errors_are_returned_together() {
    let mut fields = Fields::parse_json(br#"{"name":" ","email":"ada","password":7,"old":null}"#).expect("an object");

    let taken = (
        fields.name("name"),
        fields.email("email"),
        fields.password("password").map(|_| ()),
        fields.text("old"),
        fields.text("new"),
    );
    assert!(matches!(taken, (None, None, None, None, None)));

    let Err(ApiError::ValidationFailed(errors)) = fields.finish::<()>(None) else {
        panic!("expected validation errors")
    };
    insta::assert_json_snapshot!(errors, @r#"
    {
      "name": [
        "This field may not be blank."
      ],
      "email": [
        "Enter a valid email address."
      ],
      "password": [
        "Not a valid string."
      ],
      "old": [
        "This field may not be null."
      ],
      "new": [
        "This field is required."
      ]
    }
    "#);
}

#[test]
fn ignored_field_may_have_any_json_value() {
    for value in ["1e999", "-0.0", "[[[[]]]]", r#"{"a":1,"a":1}"#, &"9".repeat(400)] {
        assert!(Fields::parse_json(format!(r#"{{"x":{value}}}"#).as_bytes()).is_some(), "{value}");
    }
}

#[test]
fn form_is_decoded_into_fields() {
    let mut fields = Fields::parse_form(b"token=v4.public.a-b_c&hint=a+b%26%C3%BC&blank=").expect("a form");

    let token = fields.text("token").expect("a text");
    let hint = fields.text("hint").expect("a text");
    assert_eq!((token.as_str(), hint.as_str()), ("v4.public.a-b_c", "a b&\u{fc}"));
    assert!(fields.text("blank").is_none() && fields.text("missing").is_none());
    assert!(matches!(fields.finish(Some(())), Err(ApiError::ValidationFailed(_))));
}

#[test]
fn form_with_duplicate_fields_is_rejected() {
    assert!(Fields::parse_form(b"token=a&token=a").is_none());
    assert!(Fields::parse_form(b"token=a&other=&%6Fther").is_none());
}

#[test]
fn any_bytes_are_a_form() {
    for body in [&b""[..], b"&&", b"token", b"=", b"%", b"token=%zz%ff", b"\xff=\0"] {
        assert!(Fields::parse_form(body).is_some(), "{body:?}");
    }
}

/// Returns a strategy for small JSON values.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        r#"[ a"\\\n\x00\u{e9}\u{1f600}]{0,4}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 8, 3, |value| prop::collection::vec(value, 0..3).prop_map(Value::from))
}

/// Takes the texts of three fields, and returns them and whether there are errors.
fn taken(fields: Option<Fields>) -> Option<(Vec<Option<String>>, bool)> {
    let mut fields = fields?;
    let texts = ["a", "b", "c"].map(|name| fields.text(name).map(|text| text.to_string()));
    Some((texts.to_vec(), fields.finish(Some(())).is_err()))
}

/// Returns the expected result of [`taken`] for a body with these fields; `None` if some are duplicates.
fn expected(fields: &[(String, Value)]) -> Option<(Vec<Option<String>>, bool)> {
    let names: HashSet<_> = fields.iter().map(|(name, _)| name).collect();
    let text = |name| fields.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.as_str());
    let texts = ["a", "b", "c"].map(|name| text(name).filter(|text| !text.trim().is_empty()).map(str::to_owned));
    (names.len() == fields.len()).then(|| (texts.to_vec(), texts.contains(&None)))
}

proptest! {
    #[test]
    fn no_body_makes_the_parser_panic(body in r#"[{}\[\]:,"\\\\ue0-9a-f\PC]{0,128}"#) {
        let _ = Fields::parse_json(body.as_bytes());
    }

    #[test]
    fn fields_of_an_object_round_trip(
        fields in prop::collection::vec(("[abcd]", json_value()), 0..5), blank in "[ \t\r\n]",
    ) {
        let field = |(name, value): &(String, Value)| format!("{blank}\"{name}\"{blank}:{value}");
        let body = format!("{blank}{{{}}}{blank}", fields.iter().map(field).collect::<Vec<_>>().join(","));

        prop_assert_eq!(taken(Fields::parse_json(body.as_bytes())), expected(&fields), "{}", body);
    }

    #[test]
    fn fields_of_a_form_round_trip(
        fields in prop::collection::vec(("[abcd]", "[ a&=%+\u{e9}\\x00]{0,4}"), 0..5),
    ) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let fields: Vec<_> = fields.into_iter().map(|(name, text)| (name, Value::from(text))).collect();

        prop_assert_eq!(taken(Fields::parse_form(body.as_bytes())), expected(&fields), "{}", body);
    }
}
