//! Query strings: parsing and validation.

use std::ops::RangeInclusive;

use hyper::{Request, body::Incoming};
use percent_encoding::percent_decode_str;

use super::{context::Context, error::ApiError, extract::FromRequest, field_errors::FieldErrors, fields::one_of};

/// The most parameters, which no endpoint has.
const MAX_PARAMETERS: usize = 32;

/// The longest value as it was sent, in bytes: percent-encoding triples the 254 characters of an email.
const MAX_VALUE_BYTES: usize = 1024;

/// The field of errors that concern no parameter that the endpoint has.
const WHOLE: &str = "query";

/// The parameters of a query string. A handler takes those that it knows; their errors are collected and returned together by
/// [`Query::finish`], and any other parameter is an error: a filter that is ignored would show too much.
pub struct Query {
    /// The names as they were sent, and the decoded values; `None` for a value that is no valid text.
    values: Vec<(String, Option<String>)>,
    known: Vec<&'static str>,
    errors: FieldErrors,
}

/// An input of a request without a query string. An option that is ignored, such as a dry run that an endpoint does not have,
/// would do what the client did not want.
pub struct WithoutQuery<I>(pub I);

impl FromRequest for Query {
    async fn from_request(request: Request<Incoming>, _: &Context) -> Result<Self, ApiError> {
        Ok(Self::parse(request.uri().query().unwrap_or_default()))
    }
}

impl<I: FromRequest> FromRequest for WithoutQuery<I> {
    async fn from_request(request: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        Query::parse(request.uri().query().unwrap_or_default()).finish(())?;
        I::from_request(request, context).await.map(Self)
    }
}

impl Query {
    /// Parses a query string, `a=b&c=d` in percent-encoding, in which `+` is a space.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let mut errors = FieldErrors::default();
        let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
        let parse = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), (value.len() <= MAX_VALUE_BYTES).then(|| decoded(value)).flatten())
        };
        let values = pairs.by_ref().take(MAX_PARAMETERS).map(parse).collect();
        if pairs.next().is_some() {
            errors.add(WHOLE, format!("Ensure there are at most {MAX_PARAMETERS} parameters."));
        }
        Self { values, known: Vec::new(), errors }
    }

    /// Returns whether the query has this parameter, and it was not taken yet.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(other, _)| other == name)
    }

    /// Takes a parameter and parses it. Returns `None` if it is missing, or if it is invalid, which [`Query::finish`] reports
    /// with the sentence that `parse` returns.
    pub fn optional<T, S: Into<String>>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, S>,
    ) -> Option<T> {
        self.known.push(name);
        let index = self.values.iter().position(|(other, _)| other == name)?;
        let (_, value) = self.values.remove(index);
        if self.has(name) {
            self.values.retain(|(other, _)| other != name);
            self.errors.add(name, "Give this parameter once.");
            return None;
        }
        let parsed = match value.as_deref() {
            None => Err("Not a valid string.".to_owned()),
            Some("") => Err("This field may not be blank.".to_owned()),
            Some(text) => parse(text).map_err(Into::into),
        };
        parsed.map_err(|sentence| self.errors.add(name, sentence)).ok()
    }

    /// Takes one of these values, by its name.
    pub fn choice<T: Copy>(&mut self, name: &'static str, all: &[T], name_of: fn(T) -> &'static str) -> Option<T> {
        self.optional(name, |text| one_of(text, all, name_of))
    }

    /// Takes a boolean; a missing one is `false`.
    pub fn boolean(&mut self, name: &'static str) -> bool {
        let value = self.optional(name, |text| text.parse().map_err(|_| "Must be a valid boolean."));
        value.unwrap_or_default()
    }

    /// Takes a number in decimal digits.
    pub fn number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        self.optional(name, |text| {
            let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| is_decimal && range.contains(number));
            number.ok_or_else(|| format!("Enter a number from {} to {}.", range.start(), range.end()))
        })
    }

    /// Adds an error that the handler found.
    pub fn add_error(&mut self, name: &'static str, sentence: impl Into<String>) {
        self.errors.add(name, sentence);
    }

    /// Returns what the handler took, if the query has no invalid and no other parameter.
    ///
    /// # Errors
    /// Returns [`ApiError::ValidationFailed`] with the errors of all parameters.
    pub fn finish<T>(mut self, taken: T) -> Result<T, ApiError> {
        if !self.values.is_empty() {
            let sentence = match self.known.as_slice() {
                [] => "Expected no parameters.".to_owned(),
                known => format!("Expected only these parameters: {}.", known.join(", ")),
            };
            self.errors.add(WHOLE, sentence);
        }
        if self.errors.is_empty() { Ok(taken) } else { Err(ApiError::ValidationFailed(self.errors)) }
    }
}

/// Returns the text of a value; `None` if it is not UTF-8 or has a control character.
fn decoded(value: &str) -> Option<String> {
    let spaced = value.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().ok()?;
    (!text.contains(char::is_control)).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Takes the text `a`, the number `n` and the boolean `b`, and returns them or the errors.
    fn taken(query: &str) -> Result<(Option<String>, Option<u32>, bool), Value> {
        let mut query = Query::parse(query);
        let taken = (
            query.optional("a", |text| text.parse::<String>().map_err(|never| never.to_string())),
            query.number("n", 1..=200),
            query.boolean("b"),
        );
        query.finish(taken).map_err(|error| match error {
            ApiError::ValidationFailed(errors) => json!(errors),
            error => panic!("{error:?}"),
        })
    }

    #[test]
    fn parameters_are_percent_decoded() {
        let expected = Some("z&=+ ü".to_owned());

        assert_eq!(taken("&b=true&&a=z%26=%2B+%C3%BC&n=200&"), Ok((expected, Some(200), true)));
        assert_eq!(taken(""), Ok((None, None, false)));
    }

    #[test]
    fn unknown_parameter_is_an_error() {
        for query in ["c", "c=1&a=x", "%61=x", "A=x", "a%20=x", "=x", "a[]=x"] {
            let errors = taken(query).expect_err(query);
            assert_eq!(errors, json!({"query": ["Expected only these parameters: a, n, b."]}), "{query}");
        }
        assert!(Query::parse("a=x").finish(()).is_err());
    }

    #[test]
    fn repeated_parameter_is_an_error() {
        assert_eq!(taken("a=x&b=true&a=x&a=y"), Err(json!({"a": ["Give this parameter once."]})));
    }

    #[test]
    fn invalid_text_is_an_error() {
        let long = format!("a={}", "x".repeat(MAX_VALUE_BYTES + 1));
        for query in ["a=%ff", "a=%C3", "a=%00", "a=%0d%0aX-Evil:1", "a=%7F", "a=%C2%85", &long] {
            assert_eq!(taken(query), Err(json!({"a": ["Not a valid string."]})), "{query}");
        }
        assert_eq!(
            taken("a=&b"),
            Err(json!({"a": ["This field may not be blank."], "b": ["This field may not be blank."]}))
        );
    }

    #[test]
    fn number_and_boolean_have_one_form() {
        for query in ["n=0", "n=201", "n=-1", "n=%2B1", "n=1.0", "n=1e1", "n=99999999999", "n=x", "n= 1", "n=１"] {
            assert_eq!(taken(query), Err(json!({"n": ["Enter a number from 1 to 200."]})), "{query}");
        }
        for query in ["b=1", "b=True", "b=yes", "b=null"] {
            assert_eq!(taken(query), Err(json!({"b": ["Must be a valid boolean."]})), "{query}");
        }
    }

    #[test]
    fn parameters_are_limited_in_number() {
        let query = "a=x&".repeat(10_000);

        let errors = taken(&query).expect_err("too many");

        assert_eq!(errors["query"][0], "Ensure there are at most 32 parameters.");
    }

    proptest! {
        #[test]
        fn text_round_trips(value in "[^\\p{Cc}]{1,80}") {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("a", &value).finish();

            prop_assert_eq!(taken(&query), Ok((Some(value), None, false)));
        }

        #[test]
        fn no_query_makes_the_parser_panic(query in "[a-c=&%+0-9\\PC]{0,64}") {
            let _ = taken(&query);
        }
    }
}
