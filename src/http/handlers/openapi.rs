//! The OpenAPI document.

use std::time::Duration;

use crate::http::{auth::Anonymous, context::Context, error::ApiError, extract::NoBody, response::CachedJson};

const DOCUMENT: &str = include_str!("openapi.json");

/// How long caches may store the document, which changes with each release.
const MAX_AGE: Duration = Duration::from_mins(5);

/// `GET /openapi.json`: the description of the public API and of the admin API, wherever that is served. Calls no store.
pub async fn document(_: Context, _: Anonymous, _: NoBody) -> Result<CachedJson, ApiError> {
    Ok(CachedJson { text: DOCUMENT.into(), max_age: MAX_AGE })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        http::{MethodFilter, routes},
        model::{EventKind, Statistic},
        tokens::{AccessFormat, KeySetFormat},
    };

    /// The methods of a path (OpenAPI 3.1, Path Item Object).
    const EVERY_METHOD: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

    fn parsed() -> Value {
        serde_json::from_str(DOCUMENT).expect("JSON")
    }

    #[test]
    fn document_lists_all_routes() {
        let router = routes::public().with(routes::admin());
        // OpenAPI has no pattern for the rest of a path, and only these methods.
        let expected = router.routes().flat_map(|(method, path)| {
            let methods = if *method == MethodFilter::Any {
                EVERY_METHOD.map(str::to_owned).to_vec()
            } else {
                vec![method.to_string()]
            };
            methods.into_iter().map(move |method| format!("{method} {}", path.replace('*', "")))
        });

        let document = parsed();
        let paths = document["paths"].as_object().expect("paths");
        let listed = paths.iter().flat_map(|(path, item)| {
            let names = item.as_object().expect("an object").keys().map(|name| name.to_ascii_uppercase());
            let methods = names.filter(|name| EVERY_METHOD.contains(&name.as_str()));
            methods.map(move |method| format!("{method} {path}"))
        });

        // The document describes this path as optional.
        let is_served =
            |route: &String| AccessFormat::publishes(KeySetFormat::Jwk) || route != "GET /.well-known/jwks.json";
        assert_eq!(listed.filter(is_served).collect::<BTreeSet<_>>(), expected.collect::<BTreeSet<_>>());
    }

    #[test]
    fn document_lists_all_kinds_of_events_and_statistics() {
        let document = parsed();
        let schemas = &document["components"]["schemas"];

        assert_eq!(schemas["EventKind"]["enum"], json!(EventKind::ALL.map(EventKind::name).as_slice()));
        let hour = &schemas["Statistics"]["properties"]["hours"]["items"];
        let names: Vec<_> = ["hour"].into_iter().chain(Statistic::ALL.map(Statistic::name)).collect();
        assert_eq!(hour["required"], json!(names));
    }

    #[test]
    fn document_has_the_version_of_the_crate() {
        assert_eq!(parsed()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    /// Collects the JSON pointers of all objects that have this field.
    fn find_objects_with(field: &str, pointer: String, value: &Value, found: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(object) => object.iter().map(|(name, child)| (name.replace('/', "~1"), child)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, child)| (i.to_string(), child)).collect(),
            _ => return,
        };
        for (name, child) in children {
            find_objects_with(field, format!("{pointer}/{name}"), child, found);
        }
        if value.get(field).is_some() {
            found.push(pointer);
        }
    }

    #[test]
    fn examples_match_their_schemas() {
        let document = parsed();
        let mut pointers = Vec::new();
        find_objects_with("examples", String::new(), &document, &mut pointers);

        assert!(pointers.len() > 5, "{pointers:?}");
        for pointer in pointers {
            let holder = document.pointer(&pointer).expect("the pointer was found");
            let is_schema = pointer.starts_with("/components/schemas/");
            let mut schema = document.clone();
            // A fragment of a URI has no braces.
            let fragment = pointer.replace('{', "%7B").replace('}', "%7D");
            schema["$ref"] = json!(format!("#{fragment}{}", if is_schema { "" } else { "/schema" }));
            let validator = jsonschema::draft202012::new(&schema).expect("a schema");
            let examples: Vec<&Value> = match &holder["examples"] {
                Value::Array(examples) => examples.iter().collect(),
                examples => examples.as_object().into_iter().flatten().map(|(_, example)| &example["value"]).collect(),
            };
            for example in examples {
                validator.validate(example).unwrap_or_else(|error| panic!("{pointer}: {error}"));
            }
        }
    }
}
