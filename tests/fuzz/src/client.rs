//! Parses the responses of a server as a client does.

/// A response (RFC 9112).
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a header, if there is one.
    ///
    /// # Panics
    /// Panics if the header is repeated or its value is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} is repeated");
        Some(str::from_utf8(value).expect("a value in UTF-8"))
    }
}

/// Parses the responses to requests with these methods, and those after them. Leaves out interim responses.
///
/// # Panics
/// Panics if the bytes are not a sequence of responses.
#[must_use]
pub fn parse_responses(mut bytes: &[u8], methods: &[&str]) -> Vec<Response> {
    let mut responses = Vec::new();
    while !bytes.is_empty() {
        let method = methods.get(responses.len()).copied().unwrap_or_default();
        let (response, rest) = parse_response(bytes, method);
        bytes = rest;
        if response.status >= 200 {
            responses.push(response);
        }
    }
    responses
}

fn parse_response<'bytes>(bytes: &'bytes [u8], method: &str) -> (Response, &'bytes [u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        panic!("expected a response head: {}", bytes.escape_ascii());
    };
    let headers = head.headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.to_owned()));
    let mut response = Response { status: head.code.expect("a status"), headers: headers.collect(), body: Vec::new() };
    let rest = &bytes[length..];
    let has_no_body = method == "HEAD" || response.status < 200 || response.status == 204;
    let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let (body, rest) = if has_no_body { (&[][..], rest) } else { rest.split_at_checked(length).expect("a whole body") };
    body.clone_into(&mut response.body);
    (response, rest)
}
