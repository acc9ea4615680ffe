//! Request bodies, JSON objects and forms, and the fields that handlers take from them.
#![no_main]

use std::{collections::HashSet, fmt};

use postern::http::fuzzing::{BodyKind, Taken, take};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json};

/// The requested fields. One is requested twice, and is missing the second time.
const NAMES: [&str; 5] = ["refresh", "name", "a", "name", ""];

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    check_json(body);
    check_form(body);
});

fn check_json(body: &[u8]) {
    let taken = take(BodyKind::Json, body, NAMES);
    match str::from_utf8(body).map(serde_json::from_str::<Pairs>) {
        Err(_) => assert_eq!(taken, None, "not UTF-8"),
        Ok(Ok(Pairs(pairs))) if has_repeated(&pairs) => assert_eq!(taken, None, "a repeated field"),
        Ok(Ok(Pairs(pairs))) => assert_eq!(taken, Some(expected(pairs))),
        // In fields that are not requested, Postern accepts valid JSON that serde_json cannot represent.
        Ok(Err(error)) if taken.is_some() => {
            let unsupported =
                ["number out of range", "recursion limit", "lone leading surrogate", "unexpected end of hex escape"];
            assert!(unsupported.iter().any(|reason| error.to_string().starts_with(reason)), "{error}");
        }
        Ok(Err(_)) => {}
    }
}

fn check_form(body: &[u8]) {
    let pairs: Vec<_> = form_urlencoded::parse(body).map(|(name, value)| (name.into(), json!(value))).collect();
    let expected = (!has_repeated(&pairs)).then(|| expected(pairs));
    assert_eq!(take(BodyKind::Form, body, NAMES), expected);
}

fn has_repeated(pairs: &[(String, Value)]) -> bool {
    let mut names = HashSet::new();
    pairs.iter().any(|(name, _)| !names.insert(name))
}

/// Returns the expected result for these fields.
fn expected(mut pairs: Vec<(String, Value)>) -> Taken<{ NAMES.len() }> {
    let mut objections = serde_json::Map::new();
    let texts = NAMES.map(|name| {
        let value = pairs.iter().position(|(other, _)| other == name).map(|index| pairs.remove(index).1);
        let sentence = match value {
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(text),
            Some(Value::String(_)) => "This field may not be blank.",
            Some(Value::Null) => "This field may not be null.",
            Some(_) => "Not a valid string.",
            None => "This field is required.",
        };
        let sentences = objections.entry(name).or_insert_with(|| json!([]));
        sentences.as_array_mut().expect("a list").push(json!(sentence));
        None
    });
    Taken { texts, objections: if objections.is_empty() { Value::Null } else { objections.into() } }
}

/// The fields of an object in order, including repeated ones.
struct Pairs(Vec<(String, Value)>);

impl<'body> Deserialize<'body> for Pairs {
    fn deserialize<D: Deserializer<'body>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'body> Visitor<'body> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'body>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
