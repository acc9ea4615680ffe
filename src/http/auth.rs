//! Authentication: the third column of the route table.

use hyper::{HeaderMap, header};

use super::{context::Context, error::ApiError};
use crate::{
    accounts::{CurrentUser, Identity},
    api_keys::{ApiClientName, Scope},
};

/// Authenticates the caller of a route.
pub trait Authenticator {
    /// The caller, as the handler receives it.
    type Caller: Send;

    /// Returns the caller, or the error if the caller may not use the route.
    fn authenticate(
        self,
        context: &Context,
        headers: &HeaderMap,
    ) -> impl Future<Output = Result<Self::Caller, ApiError>> + Send;
}

/// Accepts every request, without authentication.
#[derive(Clone, Copy)]
pub struct Public;

/// The caller of a [`Public`] route.
pub struct Anonymous;

/// Accepts an access token whose session is valid.
#[derive(Clone, Copy)]
pub struct SignedIn;

/// Accepts the same tokens as [`SignedIn`]. If the session store is unavailable, [`SessionOutagePolicy`] decides.
///
/// [`SessionOutagePolicy`]: crate::accounts::SessionOutagePolicy
#[derive(Clone, Copy)]
pub struct ForwardAuth;

/// Accepts an API key with [`Scope::Introspect`].
#[derive(Clone, Copy)]
pub struct ApiClient;

impl Authenticator for Public {
    type Caller = Anonymous;

    async fn authenticate(self, _: &Context, _: &HeaderMap) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

impl Authenticator for SignedIn {
    type Caller = CurrentUser;

    async fn authenticate(self, context: &Context, headers: &HeaderMap) -> Result<CurrentUser, ApiError> {
        let token = bearer_token(headers)?;
        Ok(context.accounts.authenticate(token, &context.call).await?)
    }
}

impl Authenticator for ForwardAuth {
    type Caller = Identity;

    async fn authenticate(self, context: &Context, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let token = bearer_token(headers)?;
        let session_outage_policy = context.token_check.session_outage_policy;
        Ok(context.accounts.identify(token, session_outage_policy, &context.call).await?)
    }
}

impl Authenticator for ApiClient {
    type Caller = ApiClientName;

    async fn authenticate(self, context: &Context, headers: &HeaderMap) -> Result<ApiClientName, ApiError> {
        let key = bearer_token(headers)?;
        let client = context.api_client(key).await.ok_or(ApiError::InvalidApiKey)?;
        if client.scopes.permit(Scope::Introspect) {
            Ok(client.name)
        } else {
            Err(ApiError::InsufficientScope(Scope::Introspect))
        }
    }
}

/// Returns the token of `Authorization: Bearer …` (RFC 6750, section 2.1).
pub fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let value = first.ok_or(ApiError::NotAuthenticated)?.as_bytes();
    // A proxy may check one header and Postern the other: reject both.
    if second.is_some() {
        return Err(ApiError::InvalidToken);
    }
    let space = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = (&value[..space], value[space..].trim_ascii());
    if !scheme.eq_ignore_ascii_case(b"bearer") || token.is_empty() {
        return Err(ApiError::NotAuthenticated);
    }
    str::from_utf8(token).map_err(|_| ApiError::InvalidToken)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn token_of(values: &[&str]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        bearer_token(&headers).map(str::to_owned).map_err(|error| error.code().unwrap_or_default())
    }

    #[test]
    fn scheme_is_case_insensitive() {
        assert_eq!(token_of(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(token_of(&["bearer  abc"]), Ok("abc".to_owned()));
    }

    #[test]
    fn no_header_other_scheme_or_no_token_is_not_authenticated() {
        for values in [&[][..], &["Basic YTpi"], &["Basic ü"], &["Bearer"], &["Bearer "], &["BearerX abc"]] {
            assert_eq!(token_of(values), Err("not_authenticated"), "{values:?}");
        }
    }

    #[test]
    fn two_authorization_headers_are_rejected() {
        assert_eq!(token_of(&["Bearer abc", "Bearer abc"]), Err("invalid_token"));
    }

    proptest! {
        #[test]
        fn token_follows_the_scheme_and_is_trimmed(
            scheme in "[Bb][Ee][Aa][Rr][Ee][Rr]|[A-Za-z]{1,8}", blanks in "[ \\t]{0,2}", token in "[!-~ü\t ]{0,20}",
        ) {
            let token = token.trim_matches(['\t', ' ']);
            let expected = if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
                Ok(token.to_owned())
            } else {
                Err("not_authenticated")
            };

            prop_assert_eq!(token_of(&[&format!("{scheme} {blanks}{token}{blanks}")]), expected);
        }
    }
}
