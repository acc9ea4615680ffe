//! The judge of these tests: whatever the public listener is asked and answers must be what its OpenAPI page says.

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

use crate::asking::Answer;

static PAGE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../src/http/handlers/openapi.json")).expect("the page is JSON")
});

/// Headers that HTTP itself has, or that settings put on every answer, and that no page names.
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

/// Headers of every answer: the page describes them once, among its components.
const HEADERS_FOR_BROWSERS: [&str; 4] =
    ["Content-Security-Policy", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy"];

/// A place on the page: a JSON pointer (RFC 6901), behind every `$ref`.
#[derive(Clone)]
struct Place(String);

impl Place {
    fn at(pointer: &str) -> Option<Self> {
        let value = PAGE.pointer(pointer)?;
        match value["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
            // A schema's `$ref` may have siblings, and is for the validator to follow.
            Some(target) if value.as_object().is_some_and(|object| object.len() == 1) => Self::at(target),
            _ => Some(Self(pointer.to_owned())),
        }
    }

    fn below(&self, member: &str) -> Option<Self> {
        Self::at(&format!("{}/{}", self.0, member.replace('~', "~0").replace('/', "~1")))
    }

    fn value(&self) -> &'static Value {
        PAGE.pointer(&self.0).expect("a place on the page")
    }

    /// What is wrong with a value by the schema that stands here.
    fn check(&self, value: &Value) -> Result<(), String> {
        let errors: Vec<_> = self.validator().iter_errors(value).map(|error| error.to_string()).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("{}: {}", self.0, errors.join("; "))) }
    }

    /// Compiled once: a test that asks a thousand times is no test of the compiler.
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

/// What the page foresees for a request.
enum Foreseen {
    /// This operation, by whatever it may answer.
    Operation(Place),
    /// This response, and none but it.
    Only { status: u16, response: Place, allow: Option<BTreeSet<String>> },
    /// 204, and the methods.
    Options { allow: BTreeSet<String> },
}

/// Whether the page foresees this answer to this request.
///
/// # Errors
/// What it does not foresee.
pub fn judge(request: &Parts, body: &Bytes, answer: &Answer) -> Result<(), String> {
    match foreseen(&request.method, request.uri.path()) {
        Foreseen::Operation(operation) => {
            let response = operation.below("responses").and_then(|all| all.below(&answer.status.to_string()));
            let response = response.ok_or_else(|| format!("{}: {} is not foreseen", operation.0, answer.status))?;
            judge_answer(&response, answer, &request.method)?;
            // Whatever is done was asked for as the page says: so nothing that it refuses is accepted.
            if (200..300).contains(&answer.status) { judge_request(&operation, request, body) } else { Ok(()) }
        }
        Foreseen::Only { status, response, allow } => {
            expect(answer.status == status, || format!("{} in place of {status}", answer.status))?;
            judge_answer(&response, answer, &request.method)?;
            allow.map_or(Ok(()), |allow| judge_allow(&allow, answer))
        }
        Foreseen::Options { allow } => {
            expect(answer.status == 204 && answer.body.is_empty(), || format!("{answer:?} to OPTIONS"))?;
            judge_allow(&allow, answer)
        }
    }
}

fn foreseen(method: &Method, path: &str) -> Foreseen {
    let response = |name: &str| Place::at(&format!("/components/responses/{name}")).expect("a response");
    let Some(item) = path_item(path) else {
        return Foreseen::Only { status: 404, response: response("NotFound"), allow: None };
    };
    let named = item.below(&method.as_str().to_ascii_lowercase());
    // `HEAD` goes with `GET`; and what has every method that the page can name has also those that it cannot.
    let goes_with_get = *method == Method::HEAD || item.below("trace").is_some();
    match named.or_else(|| item.below("get").filter(|_| goes_with_get)) {
        Some(operation) => Foreseen::Operation(operation),
        None if method == Method::OPTIONS => Foreseen::Options { allow: allowed(&item) },
        None => {
            let response = response("MethodNotAllowed");
            Foreseen::Only { status: 405, response, allow: Some(allowed(&item)) }
        }
    }
}

/// The path of the page that a request's path is an instance of, with or without its trailing slash.
fn path_item(path: &str) -> Option<Place> {
    let is_instance = |template: &str| {
        let (template, path) = (template.strip_suffix('/').unwrap_or(template), path.strip_suffix('/').unwrap_or(path));
        let (templates, segments) = (template.split('/'), path.split('/'));
        // `{rest}` stands for everything that follows, and every other parameter for one segment.
        let is_as_long = if template.ends_with("/{rest}") { usize::le } else { usize::eq };
        is_as_long(&templates.clone().count(), &segments.clone().count())
            && templates.zip(segments).all(|(template, segment)| template.starts_with('{') || template == segment)
    };
    let paths = Place::at("/paths")?;
    let template = paths.value().as_object()?.keys().find(|template| is_instance(template))?;
    paths.below(template)
}

/// The methods that a path has: those that are named, `HEAD` beside `GET`, and `OPTIONS`.
fn allowed(item: &Place) -> BTreeSet<String> {
    let names = item.value().as_object().into_iter().flatten().map(|(name, _)| name.to_ascii_uppercase());
    let methods: BTreeSet<_> = names.filter(|name| name != "PARAMETERS").collect();
    let implied = methods.contains("GET").then(|| "HEAD".to_owned());
    methods.into_iter().chain(implied).chain(["OPTIONS".to_owned()]).collect()
}

fn judge_allow(allow: &BTreeSet<String>, answer: &Answer) -> Result<(), String> {
    let told: BTreeSet<_> = answer.text("allow").split(", ").map(str::to_owned).collect();
    expect(told == *allow, || format!("Allow tells {told:?}, the page {allow:?}"))
}

fn judge_answer(response: &Place, answer: &Answer, method: &Method) -> Result<(), String> {
    judge_headers(response, &answer.headers)?;
    let content_type = answer.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if response.below("content").is_none() {
        let is_empty = content_type.is_none() && answer.body.is_empty();
        return expect(is_empty, || format!("{}: no body is foreseen", response.0));
    }
    expect(content_type == Some(b"application/json"), || format!("{}: {content_type:?}", response.0))?;
    let media_type = response.below("content").and_then(|content| content.below("application/json"));
    let schema = media_type.and_then(|media_type| media_type.below("schema")).ok_or("no schema")?;
    if method == Method::HEAD {
        return expect(answer.body.is_empty(), || "HEAD has a body".to_owned());
    }
    let body = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    schema.check(&body)
}

/// Every header that the page names is there and says what it may; no other is there.
fn judge_headers(response: &Place, headers: &HeaderMap) -> Result<(), String> {
    let foreseen = response.below("headers").ok_or("a response without headers")?;
    let for_browsers = Place::at("/components/headers").ok_or("no headers")?;
    let of_response = foreseen.value().as_object().into_iter().flatten().map(|(name, _)| (&foreseen, name.as_str()));
    let named: Vec<_> = of_response.chain(HEADERS_FOR_BROWSERS.map(|name| (&for_browsers, name))).collect();
    for (place, name) in &named {
        let header = place.below(name).ok_or_else(|| format!("{name} leads nowhere"))?;
        let mut values = headers.get_all(*name).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        if value.is_none() && header.value()["required"] == json!(false) {
            continue;
        }
        let value = value.ok_or_else(|| format!("{}: {name} is missing", response.0))?;
        expect(values.next().is_none(), || format!("{}: {name} is there twice", response.0))?;
        let schema = header.below("schema").ok_or_else(|| format!("{name} has no schema"))?;
        let is_number = schema.value()["type"] == "integer";
        schema.check(&if is_number { serde_json::from_str(value).unwrap_or_default() } else { json!(value) })?;
    }
    let is_named = |name: &str| named.iter().any(|(_, named)| named.eq_ignore_ascii_case(name));
    match headers.keys().find(|name| !is_named(name.as_str()) && !HEADERS_OF_HTTP.contains(&name.as_str())) {
        Some(name) => Err(format!("{}: {name} is not foreseen", response.0)),
        None => Ok(()),
    }
}

fn judge_request(operation: &Place, request: &Parts, body: &Bytes) -> Result<(), String> {
    let is_secured = operation.value()["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
    let is_signed_in = request.headers.contains_key(header::AUTHORIZATION);
    expect(is_signed_in || !is_secured, || format!("{}: a stranger is served", operation.0))?;
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
