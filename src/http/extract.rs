//! What callers say: in bodies, and in the parameters of paths.

use std::{collections::HashSet, fmt, str::FromStr};

use hyper::{Request, body::Incoming};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    body::{FORM, JSON, is_of_type, read_body},
    context::Context,
    error::{ApiError, FieldErrors},
};
use crate::{
    model::{Email, InvalidEmail, InvalidName, MAX_EMAIL_CHARACTERS, MAX_NAME_CHARACTERS, Name},
    passwords::Password,
};

/// What a handler reads from a request.
pub trait FromRequest: Sized + Send {
    /// Reads it, or says what is wrong with it.
    fn read(request: Request<Incoming>, context: &Context) -> impl Future<Output = Result<Self, ApiError>> + Send;
}

/// Nothing: a body is not asked for and not looked at.
pub struct NoBody;

impl FromRequest for NoBody {
    async fn read(_: Request<Incoming>, _: &Context) -> Result<Self, ApiError> {
        Ok(Self)
    }
}

/// What stands in the path in place of the pattern's parameter. It is taken as it was sent, without percent-decoding: ids
/// have no character that needs it.
pub struct Path<T>(pub T);

/// What a path may have a parameter for.
pub trait PathParameter: FromStr + Send {
    /// What is answered to a text that is none: the same as to one that names nothing, since both name nothing.
    fn unknown() -> ApiError;

    /// The parameter of a request's path.
    fn of(parameter: Option<&str>) -> Result<Self, ApiError> {
        parameter.and_then(|text| text.parse().ok()).ok_or_else(Self::unknown)
    }
}

impl<T: PathParameter> FromRequest for Path<T> {
    async fn read(_: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        T::of(context.parameter.as_deref()).map(Self)
    }
}

/// The members of a JSON object. A handler takes what it needs; mistakes gather until [`Fields::finish`].
pub struct Fields {
    members: Vec<(String, Field)>,
    errors: FieldErrors,
}

/// The value of a member. Texts are wiped after use, since any of them may be a secret.
enum Field {
    Text(Zeroizing<String>),
    Null,
    Other,
}

/// The same from a JSON object or a form (`application/x-www-form-urlencoded`), whichever it is said to be.
pub struct JsonOrForm(pub Fields);

impl FromRequest for Fields {
    async fn read(request: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        if !is_of_type(request.headers(), JSON) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let body = read_body(request.into_body(), context).await?;
        Self::parse_json(&body).ok_or(ApiError::MalformedJson)
    }
}

impl FromRequest for JsonOrForm {
    async fn read(request: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        if !is_of_type(request.headers(), FORM) {
            return Fields::read(request, context).await.map(Self);
        }
        let body = read_body(request.into_body(), context).await?;
        Fields::parse_form(&body).map(Self).ok_or(ApiError::MalformedJson)
    }
}

impl Fields {
    /// One JSON object in UTF-8, none of whose members is given twice.
    pub fn parse_json(body: &[u8]) -> Option<Self> {
        // As a whole: serde_json would not look into the values that nobody asks for.
        let body = str::from_utf8(body).ok()?;
        let object: Object<'_> = serde_json::from_str(body).ok()?;
        let members = object.0.into_iter().map(|(name, value)| Some((name, Field::parse(value.get())?)));
        Some(Self { members: members.collect::<Option<_>>()?, errors: FieldErrors::default() })
    }

    /// Whatever bytes it has, a form can be read; but none of its members is given twice (RFC 6749, section 3.2).
    pub fn parse_form(body: &[u8]) -> Option<Self> {
        let mut members: Vec<(String, Field)> = Vec::new();
        let mut names = HashSet::new();
        for (name, value) in form_urlencoded::parse(body) {
            let value = Field::Text(Zeroizing::new(value.into_owned()));
            if !names.insert(name.clone()) {
                return None;
            }
            members.push((name.into_owned(), value));
        }
        Some(Self { members, errors: FieldErrors::default() })
    }

    /// A text that is not blank. It comes as it was sent: whoever parses it trims it, or does not.
    pub fn text(&mut self, member: &'static str) -> Option<Zeroizing<String>> {
        let text = self.required_text(member)?;
        if text.trim().is_empty() {
            self.errors.add(member, "This field may not be blank.");
            return None;
        }
        Some(text)
    }

    /// A password, which is blank only where it is empty.
    pub fn password(&mut self, member: &'static str) -> Option<Password> {
        self.required_text(member).map(|text| Password::new(&text))
    }

    /// A name to be set.
    pub fn name(&mut self, member: &'static str) -> Option<Name> {
        let parsed = self.text(member)?.parse();
        let sentence = match parsed {
            Ok(name) => return Some(name),
            Err(InvalidName::Blank) => "This field may not be blank.".to_owned(),
            Err(InvalidName::TooLong) => {
                format!("Ensure this field has no more than {MAX_NAME_CHARACTERS} characters.")
            }
            Err(InvalidName::ControlCharacter) => "Control characters are not allowed.".to_owned(),
        };
        self.errors.add(member, sentence);
        None
    }

    /// An email address to be set.
    pub fn email(&mut self, member: &'static str) -> Option<Email> {
        let parsed = self.text(member)?.parse();
        let sentence = match parsed {
            Ok(email) => return Some(email),
            Err(InvalidEmail::TooLong) => {
                format!("Ensure this field has no more than {MAX_EMAIL_CHARACTERS} characters.")
            }
            Err(InvalidEmail::Malformed) => "Enter a valid email address.".to_owned(),
        };
        self.errors.add(member, sentence);
        None
    }

    /// An email address to log in with: one that nobody can have is no mistake of its own.
    pub fn login_email(&mut self, member: &'static str) -> Option<Result<Email, InvalidEmail>> {
        self.text(member).map(|text| text.parse())
    }

    /// Notes a mistake that the handler found.
    pub fn add_error(&mut self, member: &'static str, sentence: impl Into<String>) {
        self.errors.add(member, sentence);
    }

    /// What the handler took, where no mistake was found.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn finish<T>(self, taken: Option<T>) -> Result<T, ApiError> {
        match taken {
            Some(taken) if self.errors.is_empty() => Ok(taken),
            _ => Err(ApiError::ValidationFailed(self.errors)),
        }
    }

    fn required_text(&mut self, member: &'static str) -> Option<Zeroizing<String>> {
        let place = self.members.iter().position(|(name, _)| name == member);
        let sentence = match place.map(|place| self.members.swap_remove(place).1) {
            Some(Field::Text(text)) if !text.is_empty() => return Some(text),
            Some(Field::Text(_)) => "This field may not be blank.",
            Some(Field::Null) => "This field may not be null.",
            Some(Field::Other) => "Not a valid string.",
            None => "This field is required.",
        };
        self.errors.add(member, sentence);
        None
    }
}

impl Field {
    /// Reads a value of which only the syntax is known to be right; `None` where it is a text with half a surrogate pair.
    fn parse(json: &str) -> Option<Self> {
        match json {
            "null" => Some(Self::Null),
            text if text.starts_with('"') => {
                serde_json::from_str(text).ok().map(|text| Self::Text(Zeroizing::new(text)))
            }
            _ => Some(Self::Other),
        }
    }
}

/// A JSON object, no member of which is given twice (RFC 8259, section 4, leaves it to us which one would count).
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
        let mut members: Vec<(String, &RawValue)> = Vec::new();
        let mut names = HashSet::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom("a member given twice"));
            }
            members.push((name, value));
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_body_is_one_object_without_repetition() {
        assert!(Fields::parse_json(br#"{"name":"Ada","ignored":[1,{"a":null}]}"#).is_some());
        for json in ["", "[]", "null", r#""text""#, "1", r#"{"a":1}{}"#, r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#] {
            assert!(Fields::parse_json(json.as_bytes()).is_none(), "{json}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut members =
            Fields::parse_json(br#"{"name":" ","email":"ada","password":7,"old":null}"#).expect("an object");

        let taken = (
            members.name("name"),
            members.email("email"),
            members.password("password").map(|_| ()),
            members.text("old"),
            members.text("new"),
        );
        assert!(matches!(taken, (None, None, None, None, None)));

        let Err(ApiError::ValidationFailed(errors)) = members.finish::<()>(None) else { panic!("mistakes") };
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
    fn a_value_that_nobody_asks_for_may_be_any_json() {
        for value in ["1e999", "-0.0", "[[[[]]]]", r#"{"a":1,"a":1}"#, &"9".repeat(400)] {
            assert!(Fields::parse_json(format!(r#"{{"x":{value}}}"#).as_bytes()).is_some(), "{value}");
        }
    }

    #[test]
    fn a_form_is_read_like_a_json_object() {
        let mut members = Fields::parse_form(b"token=v4.public.a-b_c&hint=a+b%26%C3%BC&blank=").expect("a form");

        let token = members.text("token").expect("a text");
        let hint = members.text("hint").expect("a text");
        assert_eq!((token.as_str(), hint.as_str()), ("v4.public.a-b_c", "a b&\u{fc}"));
        assert!(members.text("blank").is_none() && members.text("missing").is_none());
        assert!(matches!(members.finish(Some(())), Err(ApiError::ValidationFailed(_))));
    }

    #[test]
    fn no_member_of_a_form_is_given_twice() {
        assert!(Fields::parse_form(b"token=a&token=a").is_none());
        assert!(Fields::parse_form(b"token=a&other=&%6Fther").is_none());
    }

    #[test]
    fn a_form_of_any_bytes_is_read() {
        for body in [&b""[..], b"&&", b"token", b"=", b"%", b"token=%zz%ff", b"\xff=\0"] {
            assert!(Fields::parse_form(body).is_some(), "{body:?}");
        }
    }

    #[test]
    fn a_parameter_that_cannot_be_read_is_answered_like_one_that_names_nothing() {
        #[derive(Debug, PartialEq)]
        struct Number(u8);
        impl FromStr for Number {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
        impl PathParameter for Number {
            fn unknown() -> ApiError {
                ApiError::NotFound
            }
        }

        assert!(matches!(Number::of(Some("7")), Ok(Number(7))));
        for parameter in [None, Some("x"), Some("%37"), Some("256")] {
            assert!(matches!(Number::of(parameter), Err(ApiError::NotFound)), "{parameter:?}");
        }
    }

    /// Some JSON value, and not a large one.
    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            r#"[ a"\\\n\x00\u{e9}\u{1f600}]{0,4}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 8, 3, |value| prop::collection::vec(value, 0..3).prop_map(Value::from))
    }

    /// What a handler takes that asks for three members, and whether it objects.
    fn taken(members: Option<Fields>) -> Option<(Vec<Option<String>>, bool)> {
        let mut members = members?;
        let texts = ["a", "b", "c"].map(|name| members.text(name).map(|text| text.to_string()));
        Some((texts.to_vec(), members.finish(Some(())).is_err()))
    }

    /// The same by the whole list of members, of which none is to be given twice.
    fn expected(members: &[(String, Value)]) -> Option<(Vec<Option<String>>, bool)> {
        let names: HashSet<_> = members.iter().map(|(name, _)| name).collect();
        let text = |name| members.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.as_str());
        let texts = ["a", "b", "c"].map(|name| text(name).filter(|text| !text.trim().is_empty()).map(str::to_owned));
        (names.len() == members.len()).then(|| (texts.to_vec(), texts.contains(&None)))
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in r#"[{}\[\]:,"\\\\ue0-9a-f\PC]{0,128}"#) {
            let _ = Fields::parse_json(body.as_bytes());
        }

        #[test]
        fn what_is_taken_from_an_object_is_what_is_in_it(
            members in prop::collection::vec(("[abcd]", json_value()), 0..5), blank in "[ \t\r\n]",
        ) {
            let member = |(name, value): &(String, Value)| format!("{blank}\"{name}\"{blank}:{value}");
            let body = format!("{blank}{{{}}}{blank}", members.iter().map(member).collect::<Vec<_>>().join(","));

            prop_assert_eq!(taken(Fields::parse_json(body.as_bytes())), expected(&members), "{}", body);
        }

        #[test]
        fn what_is_taken_from_a_form_is_what_is_in_it(
            members in prop::collection::vec(("[abcd]", "[ a&=%+\u{e9}\\x00]{0,4}"), 0..5),
        ) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&members).finish();
            let members: Vec<_> = members.into_iter().map(|(name, text)| (name, Value::from(text))).collect();

            prop_assert_eq!(taken(Fields::parse_form(body.as_bytes())), expected(&members), "{}", body);
        }
    }
}
