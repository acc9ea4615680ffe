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
    model::{
        Email, InvalidDisplayText, InvalidEmail, InvalidName, MAX_EMAIL_CHARACTERS, MAX_NAME_CHARACTERS, MAX_PAGE,
        Name, UserId,
    },
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

/// The error of a field that is missing.
const REQUIRED: &str = "This field is required.";

/// The value of a field. Text is wiped after use: any field may hold a secret.
enum FieldValue {
    Text(Zeroizing<String>),
    Boolean(bool),
    Null,
    /// An array, as it was sent.
    Array(Zeroizing<String>),
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
            FieldValue::Boolean(_) | FieldValue::Null | FieldValue::Array(_) | FieldValue::Other => None,
        }
    }

    /// Takes an optional boolean; a missing one is `false`.
    pub fn optional_boolean(&mut self, field: &'static str) -> Option<bool> {
        if self.has(field) { self.boolean(field) } else { Some(false) }
    }

    /// Takes a boolean.
    pub fn boolean(&mut self, field: &'static str) -> Option<bool> {
        let sentence = match self.take(field) {
            Some(FieldValue::Boolean(value)) => return Some(value),
            None => REQUIRED,
            Some(FieldValue::Null) => NULL,
            Some(FieldValue::Text(_) | FieldValue::Array(_) | FieldValue::Other) => "Must be a valid boolean.",
        };
        self.errors.add(field, sentence);
        None
    }

    /// Takes a field that may be missing. Returns `None` if it is missing, or if `take` finds it invalid, which
    /// [`Fields::finish`] reports.
    pub fn optional<T>(
        &mut self,
        field: &'static str,
        take: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<T> {
        if self.has(field) { take(self, field) } else { None }
    }

    /// Takes one of these values, by its name.
    pub fn choice<T: Copy>(&mut self, field: &'static str, all: &[T], name: fn(T) -> &'static str) -> Option<T> {
        let text = self.required_text(field)?;
        let choice = one_of(&text, all, name);
        choice.map_err(|sentence| self.errors.add(field, sentence)).ok()
    }

    /// Takes the ids of 1 to [`MAX_PAGE`] users.
    pub fn user_ids(&mut self, field: &'static str) -> Option<Vec<UserId>> {
        let sentence = match self.take(field) {
            Some(FieldValue::Array(json)) => match serde_json::from_str::<Vec<&RawValue>>(&json).unwrap_or_default() {
                items if items.is_empty() => "This list may not be empty.".to_owned(),
                items if items.len() > MAX_PAGE as usize => format!("Ensure this list has at most {MAX_PAGE} items."),
                items => match items.into_iter().map(user_id).collect() {
                    Some(ids) => return Some(ids),
                    None => "Expected the ids of users.".to_owned(),
                },
            },
            None => REQUIRED.to_owned(),
            Some(FieldValue::Null) => NULL.to_owned(),
            Some(FieldValue::Text(_) | FieldValue::Boolean(_) | FieldValue::Other) => "Expected a list.".to_owned(),
        };
        self.errors.add(field, sentence);
        None
    }

    /// Takes a password. White space alone is a valid password.
    pub fn password(&mut self, field: &'static str) -> Option<Password> {
        self.required_text(field).map(|text| Password::new(&text))
    }

    /// Takes a password that may be missing or null. An empty text is an error.
    pub fn optional_password(&mut self, field: &'static str) -> Option<Password> {
        if self.values.iter().any(|(name, value)| name == field && matches!(value, FieldValue::Null)) {
            return None;
        }
        self.optional(field, Self::password)
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
            Some(FieldValue::Boolean(_) | FieldValue::Array(_) | FieldValue::Other) => "Not a valid string.",
            None => REQUIRED,
        };
        self.errors.add(field, sentence);
        None
    }

    /// Returns whether the body has this field, and it was not taken yet.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.values.iter().any(|(name, _)| name == field)
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
            array if array.starts_with('[') => Some(Self::Array(Zeroizing::new(array.to_owned()))),
            _ => Some(Self::Other),
        }
    }
}

/// Returns the value with this name, or the sentence of the error.
pub fn one_of<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let named = all.iter().copied().find(|value| name(*value) == text);
    named.ok_or_else(|| format!("Choose one of: {}.", all.iter().copied().map(name).collect::<Vec<_>>().join(", ")))
}

fn user_id(json: &RawValue) -> Option<UserId> {
    serde_json::from_str::<String>(json.get()).ok()?.parse().ok()
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
mod tests;
