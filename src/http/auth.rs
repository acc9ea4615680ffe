//! Who may call: the third column of the table.

use hyper::{HeaderMap, header};

use super::{context::Context, error::ApiError};
use crate::{
    accounts::{CurrentUser, Identity},
    api_keys::ApiClientName,
};

/// Admits callers, and hands what it knows of them to the handler.
pub trait Authenticator {
    /// What a handler gets to know of its caller.
    type Caller: Send;

    /// The caller, or why they are not admitted.
    fn admit(
        self,
        context: &Context,
        headers: &HeaderMap,
    ) -> impl Future<Output = Result<Self::Caller, ApiError>> + Send;
}

/// Everybody; nothing is known of them.
#[derive(Clone, Copy)]
pub struct Public;

/// A caller of whom nothing is known.
pub struct Anonymous;

/// Whoever has an access token of a session that is in force.
#[derive(Clone, Copy)]
pub struct SignedIn;

/// Whoever is [`SignedIn`], as far as others are told: the settings may have more accepted while the session store cannot
/// be reached.
#[derive(Clone, Copy)]
pub struct ForwardAuth;

/// Whoever has an operator's API key.
#[derive(Clone, Copy)]
pub struct ApiClient;

impl Authenticator for Public {
    type Caller = Anonymous;

    async fn admit(self, _: &Context, _: &HeaderMap) -> Result<Anonymous, ApiError> {
        Ok(Anonymous)
    }
}

impl Authenticator for SignedIn {
    type Caller = CurrentUser;

    async fn admit(self, context: &Context, headers: &HeaderMap) -> Result<CurrentUser, ApiError> {
        let token = bearer_token(headers)?;
        Ok(context.accounts.authenticate(token, &context.call).await?)
    }
}

impl Authenticator for ForwardAuth {
    type Caller = Identity;

    async fn admit(self, context: &Context, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let token = bearer_token(headers)?;
        let session_outage_policy = context.token_check.session_outage_policy;
        Ok(context.accounts.identify(token, session_outage_policy, &context.call).await?)
    }
}

impl Authenticator for ApiClient {
    type Caller = ApiClientName;

    async fn admit(self, context: &Context, headers: &HeaderMap) -> Result<ApiClientName, ApiError> {
        let key = bearer_token(headers)?;
        let name = context.token_check.api_clients.by_key(key).await.ok_or(ApiError::InvalidApiKey)?;
        // A request has one caller: nobody has set it before.
        let _ = context.api_client.set(name.clone());
        Ok(name)
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1).
pub fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let value = first.ok_or(ApiError::NotAuthenticated)?.as_bytes();
    // Which of two would count? Neither.
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
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        bearer_token(&headers).map(str::to_owned).map_err(|problem| problem.code().unwrap_or_default())
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!(token_of(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(token_of(&["bearer  abc"]), Ok("abc".to_owned()));
    }

    #[test]
    fn nothing_another_scheme_or_no_token_is_not_authenticated() {
        for values in [&[][..], &["Basic YTpi"], &["Basic ü"], &["Bearer"], &["Bearer "], &["BearerX abc"]] {
            assert_eq!(token_of(values), Err("not_authenticated"), "{values:?}");
        }
    }

    #[test]
    fn two_tokens_are_none() {
        assert_eq!(token_of(&["Bearer abc", "Bearer abc"]), Err("invalid_token"));
    }

    proptest! {
        #[test]
        fn a_token_is_what_stands_behind_the_scheme_without_the_blanks_around_it(
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
