//! What callers say: bodies, read within limits.

use std::fmt;

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Request,
    body::{Body as _, Incoming},
    header,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
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
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(is_json) {
            return Err(Problem::UnsupportedMediaType);
        }
        // Refused by its declared length before any of it is asked for.
        if request.body().size_hint().lower() > u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX) {
            return Err(Problem::TooLarge);
        }
        let body = read_body(request.into_body());
        let body = timeout_at(context.deadline, body).await.map_err(|_| Problem::RequestTimeout)??;
        let object: Object = serde_json::from_slice(&body).map_err(|_| Problem::MalformedJson)?;
        Ok(Self { members: object.0, errors: FieldErrors::default() })
    }
}

impl Members {
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

/// Whether a content type is `application/json`, whatever its parameters.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
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

/// A JSON object, no member of which is given twice (RFC 8259, section 4, leaves it to us which one would count).
struct Object(Vec<(String, Member)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members: Vec<(String, Member)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, member)) = map.next_entry::<String, Member>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom("a member given twice"));
            }
            members.push((name, member));
        }
        Ok(Object(members))
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Member, E> {
        Ok(Member::Text(Zeroizing::new(text)))
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(json: &str) -> Option<Members> {
        let object: Object = serde_json::from_str(json).ok()?;
        Some(Members { members: object.0, errors: FieldErrors::default() })
    }

    #[test]
    fn a_body_is_one_object_without_repetition() {
        assert!(members(r#"{"name":"Ada","ignored":[1,{"a":null}]}"#).is_some());
        for json in ["", "[]", "null", r#""text""#, "1", r#"{"a":1}{}"#, r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#] {
            assert!(members(json).is_none(), "{json}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut members = members(r#"{"name":" ","email":"ada","password":7,"old":null}"#).expect("an object");

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
    fn a_content_type_may_have_parameters() {
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON ; charset=utf-8"));
        assert!(!is_json("application/json-patch+json"));
        assert!(!is_json("text/plain"));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = serde_json::from_slice::<Object>(&bytes);
        }
    }
}
