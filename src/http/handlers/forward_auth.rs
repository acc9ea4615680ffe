//! `/verify/`: forward authentication for reverse proxies.

use hyper::header::{HeaderName, HeaderValue};

use crate::{
    accounts::Identity,
    http::{context::Context, error::ApiError, extract::NoBody, response::Headers},
};

/// Any method, `/verify/` and below: returns the user and session of a request to the proxy that forwards it.
pub async fn verify(_: Context, identity: Identity, _: NoBody) -> Result<Headers, ApiError> {
    let mut headers = vec![
        header("x-user-id", &identity.user.id.to_string())?,
        header("x-user-email", identity.user.email.as_str())?,
        // Always: no user has proved yet to receive mail at this address.
        header("x-user-email-verified", "false")?,
        header("x-session-id", &identity.session.to_string())?,
    ];
    if identity.is_degraded {
        headers.push(header("x-postern-degraded", "true")?);
    }
    Ok(Headers(headers))
}

/// Returns a header, or an error if the value could inject another header or be parsed differently by the proxy. A valid
/// [`Email`] never does, but other programs may have written to the store.
///
/// [`Email`]: crate::model::Email
fn header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), ApiError> {
    let is_safe = value.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(value).ok().filter(|_| is_safe);
    Ok((HeaderName::from_static(name), value.ok_or(ApiError::Internal)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_value_that_could_inject_a_header_is_rejected() {
        assert!(header("x-user-email", "a!#$%&'*+-/=?^_`{|}~@example.org").is_ok());
        for value in ["a\r\nX-User-Id: b", "a\nb", "a\0", "a b", "a\tb", "\u{e4}@example.org", "a\u{7f}"] {
            assert!(matches!(header("x-user-email", value), Err(ApiError::Internal)), "{value:?}");
        }
    }
}
