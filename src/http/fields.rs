//! The fields of a request body: parsing and validation.

use std::{collections::HashSet, fmt};

use hyper::{Request, body::Incoming};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    body::{FORM, has_content_type, read_body},
    context::Context,
    error::ApiError,
    extract::FromRequest,
    field_errors::FieldErrors,
    response::JSON,
};
use crate::{
    model::{Email, InvalidDisplayText, InvalidEmail, InvalidName, MAX_EMAIL_CHARACTERS, MAX_NAME_CHARACTERS, Name},
    passwords::Password,
};

/// The fields of a JSON object. A handler takes the fields that it needs; their errors are collected and returned
/// together by [`Fields::finish`].
pub struct Fields {
    values: Vec<(String, FieldValue)>,
    errors: FieldErrors,
}

/// The error of a field that is null.
const NULL: &str = "This field may not be null.";

/// The value of a field. Text is wiped after use: any field may hold a secret.
enum FieldValue {
    Text(Zeroizing<String>),
    Boolean(bool),
    Null,
    Other,
}

/// The fields of a JSON object or a form (`application/x-www-form-urlencoded`), depending on `Content-Type`.
pub struct JsonOrForm(pub Fields);

impl FromRequest for Fields {
    async fn from_request(request: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        if !has_content_type(request.headers(), JSON) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let body = read_body(request, context).await?;
        Self::parse_json(body.as_slice()).ok_or(ApiError::MalformedJson)
    }
}

impl FromRequest for JsonOrForm {
    async fn from_request(request: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        if !has_content_type(request.headers(), FORM) {
            return Fields::from_request(request, context).await.map(Self);
        }
        let body = read_body(request, context).await?;
        Fields::parse_form(body.as_slice()).map(Self).ok_or(ApiError::MalformedJson)
    }
}

impl Fields {
    /// Parses a JSON object in UTF-8. Returns `None` if it is invalid or has duplicate fields.
    pub fn parse_json(body: &[u8]) -> Option<Self> {
        // Check the whole body: serde_json does not validate the UTF-8 of a `RawValue`.
        let body = str::from_utf8(body).ok()?;
        let object: Object<'_> = serde_json::from_str(body).ok()?;
        let values = object.0.into_iter().map(|(name, value)| Some((name, FieldValue::parse(value.get())?)));
        Some(Self { values: values.collect::<Option<_>>()?, errors: FieldErrors::default() })
    }

    /// Parses a form. Every sequence of bytes is a form; returns `None` only if it has duplicate fields (RFC 6749, section
    /// 3.2).
    pub fn parse_form(body: &[u8]) -> Option<Self> {
        let mut values: Vec<(String, FieldValue)> = Vec::new();
        let mut names = HashSet::new();
        for (name, value) in form_urlencoded::parse(body) {
            let value = FieldValue::Text(Zeroizing::new(value.into_owned()));
            if !names.insert(name.clone()) {
                return None;
            }
            values.push((name.into_owned(), value));
        }
        Some(Self { values, errors: FieldErrors::default() })
    }

    /// Takes a text that is not blank. The text is not trimmed.
    pub fn text(&mut self, field: &'static str) -> Option<Zeroizing<String>> {
        let text = self.required_text(field)?;
        if text.trim().is_empty() {
            self.errors.add(field, "This field may not be blank.");
            return None;
        }
        Some(text)
    }

    /// Takes a text that may be missing. Any other value is ignored.
    pub fn optional_text(&mut self, field: &'static str) -> Option<Zeroizing<String>> {
        match self.take(field)? {
            FieldValue::Text(text) => Some(text),
            FieldValue::Boolean(_) | FieldValue::Null | FieldValue::Other => None,
        }
    }

    /// Takes an optional boolean; a missing one is `false`.
    pub fn optional_boolean(&mut self, field: &'static str) -> Option<bool> {
        let sentence = match self.take(field) {
            Some(FieldValue::Boolean(value)) => return Some(value),
            None => return Some(false),
            Some(FieldValue::Null) => NULL,
            Some(FieldValue::Text(_) | FieldValue::Other) => "Must be a valid boolean.",
        };
        self.errors.add(field, sentence);
        None
    }

    /// Takes a password. White space alone is a valid password.
    pub fn password(&mut self, field: &'static str) -> Option<Password> {
        self.required_text(field).map(|text| Password::new(&text))
    }

    /// Takes a new name of the user.
    pub fn name(&mut self, field: &'static str) -> Option<Name> {
        let parsed = self.text(field)?.parse();
        let sentence = match parsed {
            Ok(name) => return Some(name),
            Err(InvalidName::Text(InvalidDisplayText::Blank)) => "This field may not be blank.".to_owned(),
            Err(InvalidName::TooLong) => {
                format!("Ensure this field has no more than {MAX_NAME_CHARACTERS} characters.")
            }
            Err(InvalidName::Text(InvalidDisplayText::ControlCharacter)) => {
                "Control characters are not allowed.".to_owned()
            }
            Err(InvalidName::Text(InvalidDisplayText::BidiFormatting)) => {
                "Bidirectional formatting characters are not allowed.".to_owned()
            }
        };
        self.errors.add(field, sentence);
        None
    }

    /// Takes a new email address of the user.
    pub fn email(&mut self, field: &'static str) -> Option<Email> {
        let parsed = self.text(field)?.parse();
        let sentence = match parsed {
            Ok(email) => return Some(email),
            Err(InvalidEmail::TooLong) => {
                format!("Ensure this field has no more than {MAX_EMAIL_CHARACTERS} characters.")
            }
            Err(InvalidEmail::Malformed) => "Enter a valid email address.".to_owned(),
        };
        self.errors.add(field, sentence);
        None
    }

    /// Takes an email address to log in with. An invalid address is not a field error: the login fails as it does for an
    /// unknown one.
    pub fn login_email(&mut self, field: &'static str) -> Option<Result<Email, InvalidEmail>> {
        self.text(field).map(|text| Email::of_existing_account(&text))
    }

    /// Adds an error that the handler found.
    pub fn add_error(&mut self, field: &'static str, sentence: impl Into<String>) {
        self.errors.add(field, sentence);
    }

    /// Returns whether a field is invalid.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Returns the values that the handler took, if no field is invalid.
    ///
    /// # Errors
    /// Returns [`ApiError::ValidationFailed`] with the errors of all fields.
    pub fn finish<T>(self, taken: Option<T>) -> Result<T, ApiError> {
        match taken {
            Some(taken) if self.errors.is_empty() => Ok(taken),
            _ => Err(ApiError::ValidationFailed(self.errors)),
        }
    }

    fn required_text(&mut self, field: &'static str) -> Option<Zeroizing<String>> {
        let sentence = match self.take(field) {
            Some(FieldValue::Text(text)) if !text.is_empty() => return Some(text),
            Some(FieldValue::Text(_)) => "This field may not be blank.",
            Some(FieldValue::Null) => NULL,
            Some(FieldValue::Boolean(_) | FieldValue::Other) => "Not a valid string.",
            None => "This field is required.",
        };
        self.errors.add(field, sentence);
        None
    }

    fn take(&mut self, field: &str) -> Option<FieldValue> {
        let index = self.values.iter().position(|(name, _)| name == field)?;
        Some(self.values.swap_remove(index).1)
    }
}

impl FieldValue {
    /// Parses a JSON value whose syntax is valid. Returns `None` if it is a text with a lone surrogate.
    fn parse(json: &str) -> Option<Self> {
        match json {
            "null" => Some(Self::Null),
            "true" => Some(Self::Boolean(true)),
            "false" => Some(Self::Boolean(false)),
            text if text.starts_with('"') => {
                serde_json::from_str(text).ok().map(|text| Self::Text(Zeroizing::new(text)))
            }
            _ => Some(Self::Other),
        }
    }
}

/// A JSON object without duplicate names (RFC 8259, section 4, leaves their meaning open).
struct Object<'body>(Vec<(String, &'body RawValue)>);

impl<'body> Deserialize<'body> for Object<'body> {
    fn deserialize<D: Deserializer<'body>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'body> Visitor<'body> for ObjectVisitor {
    type Value = Object<'body>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'body>>(self, mut map: A) -> Result<Object<'body>, A::Error> {
        let mut values: Vec<(String, &RawValue)> = Vec::new();
        let mut names = HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom("duplicate field"));
            }
            values.push((name, value));
        }
        Ok(Object(values))
    }
}

#[cfg(test)]
mod tests {
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
        let mut fields =
            Fields::parse_json(br#"{"name":" ","email":"ada","password":7,"old":null}"#).expect("an object");

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
}
