//! What other services are told, through their proxy (`/verify/`) or because they ask (`/introspect/`).

use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::{
    input::{JsonOrForm, Nothing},
    output::{Headers, Json},
    problem::Problem,
    service::Context,
};
use crate::{
    accounts::{Identity, WithoutSessions},
    operators::{OperatorName, Operators},
};

/// To whom other services are vouched for, and when.
#[derive(Debug)]
pub struct Vouching {
    /// Who may introspect tokens.
    pub operators: Operators,
    /// What `/verify/` answers while the session store cannot be reached.
    pub without_sessions: WithoutSessions,
}

/// Any method, `/verify/` and below: who the request is from, for the proxy that asks before it passes the request on.
pub async fn verify(_: Context, identity: Identity, _: Nothing) -> Result<Headers, Problem> {
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
fn header(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue), Problem> {
    let is_harmless = value.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(value).ok().filter(|_| is_harmless);
    Ok((HeaderName::from_static(name), value.ok_or(Problem::Internal)?))
}

/// What an operator is told of a token (RFC 7662, section 2.2).
#[derive(Serialize)]
pub struct Introspection {
    active: bool,
    #[serde(flatten)]
    token: Option<ActiveToken>,
}

#[derive(Serialize)]
struct ActiveToken {
    sub: String,
    sid: String,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    token_type: &'static str,
}

/// `POST /introspect/`
pub async fn introspect(
    context: Context,
    _: OperatorName,
    JsonOrForm(mut body): JsonOrForm,
) -> Result<Json<Introspection>, Problem> {
    let token = body.text("token");
    let token = body.finish(token)?;
    let claims = context.accounts.introspect(&token, &context.call).await?;
    let token = claims.map(|claims| ActiveToken {
        sub: claims.subject.to_string(),
        sid: claims.session.to_string(),
        iss: claims.issuer,
        aud: claims.audience,
        iat: claims.issued.unix_timestamp(),
        exp: claims.expires.unix_timestamp(),
        token_type: "Bearer",
    });
    Ok(Json(Introspection { active: token.is_some(), token }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_as_more_than_one_header_is_never_sent() {
        assert!(header("x-user-email", "a!#$%&'*+-/=?^_`{|}~@example.org").is_ok());
        for value in ["a\r\nX-User-Id: b", "a\nb", "a\0", "a b", "a\tb", "\u{e4}@example.org", "a\u{7f}"] {
            assert!(matches!(header("x-user-email", value), Err(Problem::Internal)), "{value:?}");
        }
    }

    #[test]
    fn of_a_token_that_is_worth_nothing_nothing_else_is_told() {
        let told = serde_json::to_string(&Introspection { active: false, token: None });

        assert_eq!(told.expect("JSON"), r#"{"active":false}"#);
    }
}
