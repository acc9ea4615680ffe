//! Checks requests to the public listener, and its responses, against the OpenAPI page.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock, Mutex},
};

use hyper::{
    Method,
    body::Bytes,
    header::{self, HeaderMap, HeaderValue},
    http::request::Parts,
};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::Response;

static PAGE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../src/http/handlers/openapi.json")).expect("the page is JSON")
});

/// Headers of HTTP itself, or added to every response by settings: the page does not name them.
const HEADERS_OF_HTTP: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "strict-transport-security",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// Headers of every response: the page describes them once, among its components.
const HEADERS_FOR_BROWSERS: [&str; 4] =
    ["Content-Security-Policy", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy"];

/// A JSON pointer into the page (RFC 6901), with every `$ref` followed.
#[derive(Clone)]
struct Pointer(String);

impl Pointer {
    fn at(pointer: &str) -> Option<Self> {
        let value = PAGE.pointer(pointer)?;
        match value["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
            // The validator follows the `$ref` of a schema, which may have siblings.
            Some(target) if value.as_object().is_some_and(|object| object.len() == 1) => Self::at(target),
            _ => Some(Self(pointer.to_owned())),
        }
    }

    fn below(&self, field: &str) -> Option<Self> {
        Self::at(&format!("{}/{}", self.0, field.replace('~', "~0").replace('/', "~1")))
    }

    fn value(&self) -> &'static Value {
        PAGE.pointer(&self.0).expect("a pointer into the page")
    }

    /// Checks a value against the schema here.
    fn check(&self, value: &Value) -> Result<(), String> {
        let errors: Vec<_> = self.validator().iter_errors(value).map(|error| error.to_string()).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("{}: {}", self.0, errors.join("; "))) }
    }

    /// Compiles each schema once.
    fn validator(&self) -> Arc<Validator> {
        static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
        let mut compiled = COMPILED.lock().expect("no test panics while it compiles");
        let validator = compiled.entry(self.0.clone()).or_insert_with(|| {
            let mut schema = PAGE.clone();
            schema["$ref"] = json!(format!("#{}", self.0));
            let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
            Arc::new(options.build(&schema).unwrap_or_else(|error| panic!("{}: {error}", self.0)))
        });
        Arc::clone(validator)
    }
}

/// The responses that the page allows for a request.
enum Expected {
    /// Any response of this operation.
    Operation(Pointer),
    /// This response only.
    Only { status: u16, entry: Pointer, allow: Option<BTreeSet<String>> },
    /// 204, with these methods in `Allow`.
    Options { allow: BTreeSet<String> },
}

/// Checks that the page allows this response to this request.
///
/// # Errors
/// The difference.
pub fn check(request: &Parts, body: &Bytes, response: &Response) -> Result<(), String> {
    match expected(&request.method, request.uri.path()) {
        Expected::Operation(operation) => {
            let entry = operation.below("responses").and_then(|all| all.below(&response.status.to_string()));
            let entry = entry.ok_or_else(|| format!("{}: {} is not on the page", operation.0, response.status))?;
            check_response(&entry, response, &request.method)?;
            // A request that succeeds must be one that the page allows: what it refuses must not be accepted.
            if (200..300).contains(&response.status) { check_request(&operation, request, body) } else { Ok(()) }
        }
        Expected::Only { status, entry, allow } => {
            expect(response.status == status, || format!("{} in place of {status}", response.status))?;
            check_response(&entry, response, &request.method)?;
            allow.map_or(Ok(()), |allow| check_allow(&allow, response))
        }
        Expected::Options { allow } => {
            expect(response.status == 204 && response.body.is_empty(), || format!("{response:?} to OPTIONS"))?;
            check_allow(&allow, response)
        }
    }
}

fn expected(method: &Method, path: &str) -> Expected {
    let entry = |name: &str| Pointer::at(&format!("/components/responses/{name}")).expect("a response");
    let Some(item) = path_item(path) else {
        return Expected::Only { status: 404, entry: entry("NotFound"), allow: None };
    };
    let named = item.below(&method.as_str().to_ascii_lowercase());
    // `HEAD` goes with `GET`. An item with every method that the page can name has also those that it cannot.
    let goes_with_get = *method == Method::HEAD || item.below("trace").is_some();
    match named.or_else(|| item.below("get").filter(|_| goes_with_get)) {
        Some(operation) => Expected::Operation(operation),
        None if method == Method::OPTIONS => Expected::Options { allow: allowed(&item) },
        None => {
            let entry = entry("MethodNotAllowed");
            Expected::Only { status: 405, entry, allow: Some(allowed(&item)) }
        }
    }
}

/// Returns the item whose path template matches, with or without the trailing slash.
fn path_item(path: &str) -> Option<Pointer> {
    let is_instance = |template: &str| {
        let (template, path) = (template.strip_suffix('/').unwrap_or(template), path.strip_suffix('/').unwrap_or(path));
        let (templates, segments) = (template.split('/'), path.split('/'));
        // `{rest}` matches everything that follows, and any other parameter one segment.
        let is_as_long = if template.ends_with("/{rest}") { usize::le } else { usize::eq };
        is_as_long(&templates.clone().count(), &segments.clone().count())
            && templates.zip(segments).all(|(template, segment)| template.starts_with('{') || template == segment)
    };
    let paths = Pointer::at("/paths")?;
    let template = paths.value().as_object()?.keys().find(|template| is_instance(template))?;
    paths.below(template)
}

/// Returns the methods of a path: those on the page, `HEAD` if there is `GET`, and `OPTIONS`.
fn allowed(item: &Pointer) -> BTreeSet<String> {
    let names = item.value().as_object().into_iter().flatten().map(|(name, _)| name.to_ascii_uppercase());
    let methods: BTreeSet<_> = names.filter(|name| name != "PARAMETERS").collect();
    let implied = methods.contains("GET").then(|| "HEAD".to_owned());
    methods.into_iter().chain(implied).chain(["OPTIONS".to_owned()]).collect()
}

fn check_allow(allow: &BTreeSet<String>, response: &Response) -> Result<(), String> {
    let allowed: BTreeSet<_> = response.text("allow").split(", ").map(str::to_owned).collect();
    expect(allowed == *allow, || format!("Allow lists {allowed:?}, the page {allow:?}"))
}

fn check_response(entry: &Pointer, response: &Response, method: &Method) -> Result<(), String> {
    check_headers(entry, &response.headers)?;
    let content_type = response.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if entry.below("content").is_none() {
        let is_empty = content_type.is_none() && response.body.is_empty();
        return expect(is_empty, || format!("{}: the page has no body", entry.0));
    }
    expect(content_type == Some(b"application/json"), || format!("{}: {content_type:?}", entry.0))?;
    let media_type = entry.below("content").and_then(|content| content.below("application/json"));
    let schema = media_type.and_then(|media_type| media_type.below("schema")).ok_or("no schema")?;
    if method == Method::HEAD {
        return expect(response.body.is_empty(), || "HEAD has a body".to_owned());
    }
    let body = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
    schema.check(&body)
}

/// Checks that the response has every header that the page names, with a value that it allows, and no other header.
fn check_headers(entry: &Pointer, headers: &HeaderMap) -> Result<(), String> {
    let expected = entry.below("headers").ok_or("a response without headers")?;
    let for_browsers = Pointer::at("/components/headers").ok_or("no headers")?;
    let of_response = expected.value().as_object().into_iter().flatten().map(|(name, _)| (&expected, name.as_str()));
    let named: Vec<_> = of_response.chain(HEADERS_FOR_BROWSERS.map(|name| (&for_browsers, name))).collect();
    for (place, name) in &named {
        let header = place.below(name).ok_or_else(|| format!("{name} leads nowhere"))?;
        let mut values = headers.get_all(*name).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        if value.is_none() && header.value()["required"] == json!(false) {
            continue;
        }
        let value = value.ok_or_else(|| format!("{}: {name} is missing", entry.0))?;
        expect(values.next().is_none(), || format!("{}: {name} is there twice", entry.0))?;
        let schema = header.below("schema").ok_or_else(|| format!("{name} has no schema"))?;
        let is_number = schema.value()["type"] == "integer";
        schema.check(&if is_number { serde_json::from_str(value).unwrap_or_default() } else { json!(value) })?;
    }
    let is_named = |name: &str| named.iter().any(|(_, named)| named.eq_ignore_ascii_case(name));
    match headers.keys().find(|name| !is_named(name.as_str()) && !HEADERS_OF_HTTP.contains(&name.as_str())) {
        Some(name) => Err(format!("{}: {name} is not on the page", entry.0)),
        None => Ok(()),
    }
}

fn check_request(operation: &Pointer, request: &Parts, body: &Bytes) -> Result<(), String> {
    let is_secured = operation.value()["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
    let is_signed_in = request.headers.contains_key(header::AUTHORIZATION);
    expect(is_signed_in || !is_secured, || format!("{}: served without a token", operation.0))?;
    let Some(content) = operation.below("requestBody").and_then(|body| body.below("content")) else { return Ok(()) };
    let content_type = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().to_ascii_lowercase();
    let media_type = content.below(essence.trim()).ok_or_else(|| format!("a body of {essence:?} is accepted"))?;
    let body = match essence.trim() {
        "application/x-www-form-urlencoded" => form_urlencoded::parse(body).collect(),
        _ => serde_json::from_slice(body).map_err(|error| error.to_string())?,
    };
    media_type.below("schema").ok_or("no schema")?.check(&body)
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
