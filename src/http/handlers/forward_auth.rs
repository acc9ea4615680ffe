//! `/verify/`: forward authentication for reverse proxies.

use hyper::header::{HeaderName, HeaderValue};

use crate::{
    accounts::Identity,
    http::{context::Context, error::ApiError, extract::NoBody, response::Headers},
};

/// Any method, `/verify/` and below: who the request is from, for the proxy that asks before it passes the request on.
pub async fn verify(_: Context, identity: Identity, _: NoBody) -> Result<Headers, ApiError> {
    let mut headers = vec![
        header("x-user-id", &identity.user.id.to_string())?,
        header("x-user-email", identity.user.email.as_str())?,
        header("x-session-id", &identity.session.to_string())?,
    ];
    if identity.is_degraded {
        headers.push(header("x-postern-degraded", "true")?);
    }
    Ok(Headers(headers))
}

/// Refuses what would end a header and begin another one, or be read differently by whoever comes next. No address that
/// this service takes has such characters, but a store may have been filled by others.
fn header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), ApiError> {
    let is_harmless = value.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(value).ok().filter(|_| is_harmless);
    Ok((HeaderName::from_static(name), value.ok_or(ApiError::Internal)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_as_more_than_one_header_is_never_sent() {
        assert!(header("x-user-email", "a!#$%&'*+-/=?^_`{|}~@example.org").is_ok());
        for value in ["a\r\nX-User-Id: b", "a\nb", "a\0", "a b", "a\tb", "\u{e4}@example.org", "a\u{7f}"] {
            assert!(matches!(header("x-user-email", value), Err(ApiError::Internal)), "{value:?}");
        }
    }
}
