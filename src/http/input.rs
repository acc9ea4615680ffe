//! What callers say: bodies, read within limits.

use std::{collections::HashSet, fmt};

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Request,
    body::{Body as _, Incoming},
    header,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::time::timeout_at;
use zeroize::Zeroizing;

use super::{
    problem::{FieldErrors, Problem},
    service::Context,
};
use crate::{
    accounts::{Email, InvalidEmail, InvalidName, MAX_EMAIL_CHARACTERS, MAX_NAME_CHARACTERS, Name},
    passwords::Password,
};

/// The largest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// What a handler reads from a request.
pub trait Input: Sized + Send {
    /// Reads it, or says what is wrong with it.
    fn read(request: Request<Incoming>, context: &Context) -> impl Future<Output = Result<Self, Problem>> + Send;
}

/// Nothing: a body is not asked for and not looked at.
pub struct Nothing;

impl Input for Nothing {
    async fn read(_: Request<Incoming>, _: &Context) -> Result<Self, Problem> {
        Ok(Self)
    }
}

/// The members of a JSON object. A handler takes what it needs; mistakes gather until [`Members::finish`].
pub struct Members {
    members: Vec<(String, Member)>,
    errors: FieldErrors,
}

/// The value of a member. Texts are wiped after use, since any of them may be a secret.
enum Member {
    Text(Zeroizing<String>),
    Null,
    Other,
}

impl Input for Members {
    async fn read(request: Request<Incoming>, context: &Context) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType);
        }
        // Refused by its declared length before any of it is asked for.
        if request.body().size_hint().lower() > u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) {
            return Err(Problem::TooLarge);
        }
        let body = read_body(request.into_body());
        let body = timeout_at(context.deadline, body).await.map_err(|_| Problem::RequestTimeout)??;
        // As a whole: serde_json would not look into the values that nobody asks for.
        let body = str::from_utf8(&body).map_err(|_| Problem::MalformedJson)?;
        Self::parse(body).ok_or(Problem::MalformedJson)
    }
}

impl Members {
    fn parse(body: &str) -> Option<Self> {
        let object: Object<'_> = serde_json::from_str(body).ok()?;
        let members = object.0.into_iter().map(|(name, value)| Some((name, Member::parse(value.get())?)));
        Some(Self { members: members.collect::<Option<_>>()?, errors: FieldErrors::default() })
    }

    /// A text that is not blank. It comes as it was sent: whoever parses it trims it, or does not.
    pub fn text(&mut self, member: &'static str) -> Option<Zeroizing<String>> {
        let text = self.present_text(member)?;
        if text.trim().is_empty() {
            self.errors.add(member, "This field may not be blank.");
            return None;
        }
        Some(text)
    }

    /// A password, which is blank only where it is empty.
    pub fn password(&mut self, member: &'static str) -> Option<Password> {
        self.present_text(member).map(|text| Password::new(&text))
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
    pub fn presented_email(&mut self, member: &'static str) -> Option<Result<Email, InvalidEmail>> {
        self.text(member).map(|text| text.parse())
    }

    /// Notes a mistake that the handler found.
    pub fn object_to(&mut self, member: &'static str, sentence: impl Into<String>) {
        self.errors.add(member, sentence);
    }

    /// What the handler took, where no mistake was found.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn finish<T>(self, taken: Option<T>) -> Result<T, Problem> {
        match taken {
            Some(taken) if self.errors.is_empty() => Ok(taken),
            _ => Err(Problem::ValidationFailed(self.errors)),
        }
    }

    fn present_text(&mut self, member: &'static str) -> Option<Zeroizing<String>> {
        let place = self.members.iter().position(|(name, _)| name == member);
        let sentence = match place.map(|place| self.members.swap_remove(place).1) {
            Some(Member::Text(text)) if !text.is_empty() => return Some(text),
            Some(Member::Text(_)) => "This field may not be blank.",
            Some(Member::Null) => "This field may not be null.",
            Some(Member::Other) => "Not a valid string.",
            None => "This field is required.",
        };
        self.errors.add(member, sentence);
        None
    }
}

/// Whether there is one content type, and it is `application/json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

async fn read_body(body: Incoming) -> Result<Zeroizing<Vec<u8>>, Problem> {
    // Its full size from the start: a buffer that grows leaves copies of what it held behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BODY_BYTES));
    let mut body = Limited::new(body, MAX_BODY_BYTES);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() { Problem::TooLarge } else { Problem::MalformedJson }
        })?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

impl Member {
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
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_one_object_without_repetition() {
        assert!(Members::parse(r#"{"name":"Ada","ignored":[1,{"a":null}]}"#).is_some());
        for json in ["", "[]", "null", r#""text""#, "1", r#"{"a":1}{}"#, r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#] {
            assert!(Members::parse(json).is_none(), "{json}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut members = Members::parse(r#"{"name":" ","email":"ada","password":7,"old":null}"#).expect("an object");

        let taken = (
            members.name("name"),
            members.email("email"),
            members.password("password").map(|_| ()),
            members.text("old"),
            members.text("new"),
        );
        assert!(matches!(taken, (None, None, None, None, None)));

        let Err(Problem::ValidationFailed(errors)) = members.finish::<()>(None) else { panic!("mistakes") };
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
            assert!(Members::parse(&format!(r#"{{"x":{value}}}"#)).is_some(), "{value}");
        }
    }

    #[test]
    fn there_is_one_content_type_and_it_may_have_parameters() {
        let is_json_of = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::CONTENT_TYPE, HeaderValue::from_static(value)));
            is_json(&values.fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            }))
        };

        assert!(is_json_of(&["application/json"]));
        assert!(is_json_of(&["Application/JSON ; charset=utf-8"]));
        for values in [&[][..], &["text/plain"], &["application/json-patch+json"], &["application/json", "text/plain"]]
        {
            assert!(!is_json_of(values), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in r#"[{}\[\]:,"\\\\ue0-9a-f\PC]{0,128}"#) {
            let _ = Members::parse(&body);
        }
    }
}
