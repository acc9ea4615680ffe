//! What a client makes of the bytes that a server sends.

/// An answer (RFC 9112).
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, their names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that is there once, and is a text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} is there once");
        Some(str::from_utf8(value).expect("a header that is text"))
    }
}

/// The answers to requests with these methods, and those that the server gave unasked; interim ones are left out.
///
/// # Panics
/// Where what was sent is anything but answers, one after the other.
#[must_use]
pub fn answers(mut sent: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !sent.is_empty() {
        let method = methods.get(answers.len()).copied().unwrap_or_default();
        let (answer, rest) = answer(sent, method);
        sent = rest;
        if answer.status >= 200 {
            answers.push(answer);
        }
    }
    answers
}

fn answer<'sent>(sent: &'sent [u8], method: &str) -> (Answer, &'sent [u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(sent) else {
        panic!("no head of an answer: {}", sent.escape_ascii());
    };
    let headers = head.headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.to_owned()));
    let mut answer = Answer { status: head.code.expect("a status"), headers: headers.collect(), body: Vec::new() };
    let rest = &sent[length..];
    let is_bare = method == "HEAD" || answer.status < 200 || answer.status == 204;
    let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let (body, rest) = if is_bare { (&[][..], rest) } else { rest.split_at_checked(length).expect("a whole body") };
    answer.body = body.to_owned();
    (answer, rest)
}
