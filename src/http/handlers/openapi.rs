//! The OpenAPI page.

use std::time::Duration;

use crate::http::{auth::Anonymous, context::Context, error::ApiError, extract::NoBody, response::CachedJson};

const PAGE: &str = include_str!("openapi.json");

/// It changes with a release.
const MAX_AGE: Duration = Duration::from_mins(5);

/// `GET /openapi.json`: everything that the public API answers. No store is asked.
pub async fn page(_: Context, _: Anonymous, _: NoBody) -> Result<CachedJson, ApiError> {
    Ok(CachedJson { text: PAGE.into(), max_age: MAX_AGE })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        http::{MethodFilter, routes},
        tokens::{AccessFormat, KeySetFormat},
    };

    /// The methods that a path of the page may have (OpenAPI 3.1, Path Item Object).
    const EVERY_METHOD: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

    fn page() -> Value {
        serde_json::from_str(PAGE).expect("the page is JSON")
    }

    #[test]
    fn the_page_lists_exactly_the_routes() {
        let router = routes::public();
        // The page has no pattern for the rest of a path, and no word for any method but the eight that it knows.
        let ours = router.routes().flat_map(|(method, path)| {
            let methods = if *method == MethodFilter::Any {
                EVERY_METHOD.map(str::to_owned).to_vec()
            } else {
                vec![method.to_string()]
            };
            methods.into_iter().map(move |method| format!("{method} {}", path.replace('*', "")))
        });

        let page = page();
        let paths = page["paths"].as_object().expect("paths");
        let listed = paths.iter().flat_map(|(path, item)| {
            let members = item.as_object().expect("an object").keys().map(|name| name.to_ascii_uppercase());
            let methods = members.filter(|name| EVERY_METHOD.contains(&name.as_str()));
            methods.map(move |method| format!("{method} {path}"))
        });

        // A path of which the page says that it is not there everywhere.
        let is_there =
            |route: &String| AccessFormat::publishes(KeySetFormat::Jwk) || route != "GET /.well-known/jwks.json";
        assert_eq!(listed.filter(is_there).collect::<BTreeSet<_>>(), ours.collect::<BTreeSet<_>>());
    }

    #[test]
    fn the_page_is_of_this_version() {
        assert_eq!(page()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    /// Every object on the page that has this member, with its JSON pointer.
    fn having(member: &str, place: String, value: &Value, found: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(object) => object.iter().map(|(name, child)| (name.replace('/', "~1"), child)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, child)| (i.to_string(), child)).collect(),
            _ => return,
        };
        for (name, child) in children {
            having(member, format!("{place}/{name}"), child, found);
        }
        if value.get(member).is_some() {
            found.push(place);
        }
    }

    #[test]
    fn every_example_is_what_its_schema_says() {
        let page = page();
        let mut places = Vec::new();
        having("examples", String::new(), &page, &mut places);

        assert!(places.len() > 5, "{places:?}");
        for place in places {
            let holder = page.pointer(&place).expect("a place on the page");
            let is_schema = place.starts_with("/components/schemas/");
            let mut schema = page.clone();
            schema["$ref"] = json!(format!("#{place}{}", if is_schema { "" } else { "/schema" }));
            let validator = jsonschema::draft202012::new(&schema).expect("a schema");
            let examples: Vec<&Value> = match &holder["examples"] {
                Value::Array(examples) => examples.iter().collect(),
                examples => examples.as_object().into_iter().flatten().map(|(_, example)| &example["value"]).collect(),
            };
            for example in examples {
                validator.validate(example).unwrap_or_else(|error| panic!("{place}: {error}"));
            }
        }
    }
}
