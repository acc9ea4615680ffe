//! The smuggling corpus: requests whose end two servers may see in different places. A sign-up follows the first of these
//! places, and a server that sees it as the end would carry the sign-up out.

use serde_json::json;

use crate::{client::post, support::PASSWORD};

/// The expected result of a probe with a victim's request right behind it. The sign-up is never carried out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// One response, 400 or 501, then the connection closes.
    Refused,
    /// At most the probe's own response, then the connection closes: the body is broken, or RFC 9112, section 6.3, has it
    /// closed because the request has both Content-Length and Transfer-Encoding.
    Closed,
    /// The body ends where its headers say, and the victim gets its own response.
    Framed,
    /// `Refused` or `Framed`: RFC 9112 allows both.
    RefusedOrFramed,
}
use Verdict::{Closed, Framed, Refused, RefusedOrFramed};

/// A request: its framing headers and its body. In both, `{smuggled}` is the sign-up, `{length}` the length of the body,
/// `{hex}` the length of the sign-up in hexadecimal, `{short}` the length of these digits with their line end, and `{big}`
/// 70,000 bytes.
#[derive(Debug)]
pub struct Probe {
    pub name: &'static str,
    pub verdict: Verdict,
    framing: &'static str,
    body: &'static str,
}

impl Probe {
    /// Returns the request's bytes. `line` is the method and the path, such as `POST /token/`.
    pub fn bytes(&self, line: &str, email: &str) -> String {
        let smuggled = sign_up(email, "smuggled").replace("Connection: close\r\n", "");
        let hex = format!("{:x}", smuggled.len());
        let fill = |text: &str| {
            let text = text.replace("{hex}", &hex).replace("{smuggled}", &smuggled);
            text.replace("{short}", &(hex.len() + 2).to_string()).replace("{big}", &"x".repeat(70_000))
        };
        let body = fill(self.body);
        let framing = fill(self.framing).replace("{length}", &body.len().to_string());
        let version = if framing.starts_with("HTTP/1.0") { "" } else { "HTTP/1.1\r\n" };
        format!(
            "{line} {version}{framing}\r\nHost: postern.test\r\nX-Request-Id: probe\r\n\
             Content-Type: application/json\r\n\r\n{body}"
        )
    }
}

/// Returns a sign-up request.
fn sign_up(email: &str, id: &str) -> String {
    let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
    post("/create-user/", id, &body.to_string())
}

const fn probe(verdict: Verdict, name: &'static str, framing: &'static str, body: &'static str) -> Probe {
    Probe { name, verdict, framing, body }
}

/// The chunks end before the sign-up, the length after it.
const CHUNKS_END_FIRST: &str = "0\r\n\r\n{smuggled}";
/// The length ends before the sign-up, the chunks after it.
const LENGTH_ENDS_FIRST: &str = "{hex}\r\n{smuggled}\r\n0\r\n\r\n";
const SMUGGLED: &str = "{smuggled}";

#[rustfmt::skip]
pub const CORPUS: &[Probe] = &[
    probe(Closed, "CL.TE", "Content-Length: {length}\r\nTransfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Closed, "TE.CL", "Content-Length: {short}\r\nTransfer-Encoding: chunked", LENGTH_ENDS_FIRST),
    probe(Closed, "TE first", "Transfer-Encoding: chunked\r\nContent-Length: {length}", CHUNKS_END_FIRST),
    probe(Closed, "TE first, CL short", "Transfer-Encoding: chunked\r\nContent-Length: {short}", LENGTH_ENDS_FIRST),
    probe(Closed, "CL.0", "Content-Length: 0\r\nTransfer-Encoding: chunked", LENGTH_ENDS_FIRST),

    probe(Refused, "space before the colon", "Content-Length: {length}\r\nTransfer-Encoding : chunked", CHUNKS_END_FIRST),
    probe(Refused, "tab before the colon", "Content-Length: {length}\r\nTransfer-Encoding\t: chunked", CHUNKS_END_FIRST),
    probe(Closed, "tab after the colon", "Content-Length: {length}\r\nTransfer-Encoding:\tchunked", CHUNKS_END_FIRST),
    probe(Closed, "no space", "Content-Length: {length}\r\nTransfer-Encoding:chunked", CHUNKS_END_FIRST),
    probe(Refused, "space before the name", "Content-Length: {length}\r\n Transfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Refused, "folded", "Content-Length: {length}\r\nTransfer-Encoding:\r\n chunked", CHUNKS_END_FIRST),
    probe(Refused, "folded after a comma", "Content-Length: {length}\r\nTransfer-Encoding: identity,\r\n\tchunked", CHUNKS_END_FIRST),
    probe(Refused, "folded into another", "Content-Length: {length}\r\nX: y\r\n\tTransfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Refused, "vertical tab", "Content-Length: {length}\r\nTransfer-Encoding: \x0bchunked", CHUNKS_END_FIRST),
    probe(Refused, "form feed", "Content-Length: {length}\r\nTransfer-Encoding: chunked\x0c", CHUNKS_END_FIRST),
    probe(Refused, "no-break space", "Content-Length: {length}\r\nTransfer-Encoding: \u{a0}chunked", CHUNKS_END_FIRST),
    probe(Refused, "xchunked", "Content-Length: {length}\r\nTransfer-Encoding: xchunked", CHUNKS_END_FIRST),
    probe(Refused, "chunk", "Content-Length: {length}\r\nTransfer-Encoding: chunk", CHUNKS_END_FIRST),
    probe(Refused, "chunked, identity", "Content-Length: {length}\r\nTransfer-Encoding: chunked, identity", CHUNKS_END_FIRST),
    probe(Refused, "identity, chunked", "Content-Length: {length}\r\nTransfer-Encoding: identity, chunked", CHUNKS_END_FIRST),
    probe(Refused, "chunked, chunked", "Content-Length: {length}\r\nTransfer-Encoding: chunked, chunked", CHUNKS_END_FIRST),
    probe(Refused, "chunked,", "Content-Length: {length}\r\nTransfer-Encoding: chunked,", CHUNKS_END_FIRST),
    probe(Refused, "two TE", "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity", CHUNKS_END_FIRST),
    probe(Refused, "two TE, reversed", "Content-Length: {length}\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Closed, "capitals", "Content-Length: {length}\r\nTRANSFER-ENCODING: CHUNKED", CHUNKS_END_FIRST),
    probe(Refused, "quoted", "Content-Length: {length}\r\nTransfer-Encoding: \"chunked\"", CHUNKS_END_FIRST),
    probe(Refused, "a parameter", "Content-Length: {length}\r\nTransfer-Encoding: chunked;q=1", CHUNKS_END_FIRST),
    probe(Refused, "an empty TE", "Content-Length: {length}\r\nTransfer-Encoding:", CHUNKS_END_FIRST),
    probe(Closed, "TE after LF", "Content-Length: {length}\r\nX: y\nTransfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Refused, "TE after CR", "Content-Length: {length}\r\nX: y\rTransfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Refused, "CR before the colon", "Content-Length: {length}\r\nTransfer-Encoding\r: chunked", CHUNKS_END_FIRST),
    probe(Refused, "NUL before the name", "Content-Length: {length}\r\n\0Transfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Refused, "NUL after the name", "Content-Length: {length}\r\nTransfer-Encoding\0: chunked", CHUNKS_END_FIRST),
    probe(Refused, "NUL after the value", "Content-Length: {length}\r\nTransfer-Encoding: chunked\0", CHUNKS_END_FIRST),
    probe(Framed, "an underscore", "Content-Length: {length}\r\nTransfer_Encoding: chunked", CHUNKS_END_FIRST),

    probe(Refused, "identity alone", "Transfer-Encoding: identity", SMUGGLED),
    probe(Refused, "gzip alone", "Transfer-Encoding: gzip", SMUGGLED),
    probe(Refused, "chunked, then gzip", "Transfer-Encoding: chunked, gzip", CHUNKS_END_FIRST),
    probe(Refused, "chunked, then gzip, on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", CHUNKS_END_FIRST),
    probe(Refused, "xchunked alone", "Transfer-Encoding: xchunked", CHUNKS_END_FIRST),
    probe(Refused, "chunked twice", "Transfer-Encoding: chunked, chunked", CHUNKS_END_FIRST),
    probe(Refused, "chunked twice, on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Refused, "gzip, then chunked", "Transfer-Encoding: gzip, chunked", CHUNKS_END_FIRST),
    probe(Refused, "identity, then chunked", "Transfer-Encoding: identity, chunked", CHUNKS_END_FIRST),
    probe(Refused, "TE in HTTP/1.0", "HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked", CHUNKS_END_FIRST),
    probe(Refused, "TE and CL in HTTP/1.0", "HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked", CHUNKS_END_FIRST),

    probe(Refused, "two lengths", "Content-Length: 0\r\nContent-Length: {length}", SMUGGLED),
    probe(Refused, "two lengths, reversed", "Content-Length: {length}\r\nContent-Length: 0", SMUGGLED),
    probe(Refused, "two lengths in one line", "Content-Length: 0, {length}", SMUGGLED),
    probe(RefusedOrFramed, "a length twice", "Content-Length: {length}\r\nContent-Length: {length}", SMUGGLED),
    probe(RefusedOrFramed, "a length twice in one line", "Content-Length: {length}, {length}", SMUGGLED),
    probe(RefusedOrFramed, "leading zeros", "Content-Length: 000{length}", SMUGGLED),
    probe(Framed, "white space around a length", "Content-Length: \t {length} \t", SMUGGLED),
    probe(Refused, "a plus", "Content-Length: +{length}", SMUGGLED),
    probe(Refused, "a minus", "Content-Length: -{length}", SMUGGLED),
    probe(Refused, "hexadecimal", "Content-Length: 0x10", SMUGGLED),
    probe(Refused, "a space within", "Content-Length: 0 {length}", SMUGGLED),
    probe(Refused, "a fraction", "Content-Length: {length}.0", SMUGGLED),
    probe(Refused, "an exponent", "Content-Length: 1e3", SMUGGLED),
    probe(Refused, "an underscore within", "Content-Length: 0_{length}", SMUGGLED),
    probe(Refused, "digits of another script", "Content-Length: \u{663}", SMUGGLED),
    probe(Refused, "no digits", "Content-Length:", SMUGGLED),
    probe(Refused, "a comma before", "Content-Length: ,{length}", SMUGGLED),
    probe(Refused, "a comma after", "Content-Length: {length},", SMUGGLED),
    probe(Refused, "a vertical tab after", "Content-Length: {length}\x0b", SMUGGLED),
    probe(Refused, "NUL within", "Content-Length: 0\0{length}", SMUGGLED),
    probe(Refused, "space before the colon of a length", "Content-Length : {length}", SMUGGLED),
    probe(Refused, "folded length", "Content-Length:\r\n {length}", SMUGGLED),
    probe(Refused, "2^64", "Content-Length: 18446744073709551616", SMUGGLED),
    probe(Refused, "2^64 + 1", "Content-Length: 18446744073709551617", SMUGGLED),
    probe(Closed, "2^63", "Content-Length: 9223372036854775808", SMUGGLED),

    probe(Framed, "one chunk", "Transfer-Encoding: chunked", "{hex}\r\n{smuggled}\r\n0\r\n\r\n"),
    probe(Framed, "an extension", "Transfer-Encoding: chunked", "{hex};a=b;c=\"d\"\r\n{smuggled}\r\n0;e\r\n\r\n"),
    probe(Framed, "trailers that smuggle", "Transfer-Encoding: chunked", "0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"),
    probe(Closed, "a size with 0x", "Transfer-Encoding: chunked", "0x0\r\n\r\n{smuggled}"),
    probe(Framed, "spaces after a size", "Transfer-Encoding: chunked", "{hex} \t\r\n{smuggled}\r\n0 \r\n\r\n"),
    probe(Closed, "a size with a plus", "Transfer-Encoding: chunked", "+0\r\n\r\n{smuggled}"),
    probe(Closed, "a size with a minus", "Transfer-Encoding: chunked", "-0\r\n\r\n{smuggled}"),
    probe(Closed, "a size with an underscore", "Transfer-Encoding: chunked", "0_0\r\n\r\n{smuggled}"),
    probe(Closed, "a size behind a space", "Transfer-Encoding: chunked", " 0\r\n\r\n{smuggled}"),
    probe(Closed, "no size", "Transfer-Encoding: chunked", "\r\n\r\n{smuggled}"),
    probe(Closed, "no size, but an extension", "Transfer-Encoding: chunked", ";a\r\n\r\n{smuggled}"),
    probe(Closed, "2^64 as a size", "Transfer-Encoding: chunked", "10000000000000000\r\n\r\n{smuggled}"),
    probe(Closed, "2^64 and more as a size", "Transfer-Encoding: chunked", "100000000000000{hex}0\r\n{smuggled}\r\n0\r\n\r\n"),
    probe(Closed, "2^68 - 1 as a size", "Transfer-Encoding: chunked", "fffffffffffffffff\r\n{smuggled}"),
    probe(Closed, "a size of NUL", "Transfer-Encoding: chunked", "\x000\r\n\r\n{smuggled}"),
    probe(Closed, "LF after a size", "Transfer-Encoding: chunked", "5\nhello\r\n0\r\n\r\n{smuggled}"),
    probe(Closed, "CR after a size", "Transfer-Encoding: chunked", "5\rhello\r\n0\r\n\r\n{smuggled}"),
    probe(Closed, "LF in an extension", "Transfer-Encoding: chunked", "5;a\nb\r\nhello\r\n0\r\n\r\n{smuggled}"),
    probe(Closed, "CR in an extension", "Transfer-Encoding: chunked", "5;a\rb\r\nhello\r\n0\r\n\r\n{smuggled}"),
    probe(Closed, "a long extension", "Transfer-Encoding: chunked", "5;{big}\r\nhello\r\n0\r\n\r\n{smuggled}"),
    probe(Closed, "a chunk longer than its size", "Transfer-Encoding: chunked", "5\r\nhelloXX0\r\n\r\n{smuggled}"),
    probe(Closed, "LF after a chunk", "Transfer-Encoding: chunked", "5\r\nhello\n0\r\n\r\n{smuggled}"),
    probe(Closed, "LF at the end of the chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\n\n{smuggled}"),
    probe(Closed, "no end of the trailers", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
    probe(Closed, "long trailers", "Transfer-Encoding: chunked", "0\r\nX: {big}\r\n\r\n{smuggled}"),
];
