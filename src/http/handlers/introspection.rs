//! `/introspect/`: token introspection (RFC 7662).

use serde::Serialize;

use crate::{
    api_keys::ApiClientName,
    http::{context::Context, error::ApiError, fields::JsonOrForm, response::Json},
};

/// The response about a token (RFC 7662, section 2.2).
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
    _: ApiClientName,
    JsonOrForm(mut body): JsonOrForm,
) -> Result<Json<Introspection>, ApiError> {
    let token = body.text("token");
    let token = body.finish(token)?;
    let claims = context.accounts.introspect(&token, &context.call).await?;
    let token = claims.map(|claims| ActiveToken {
        sub: claims.subject.to_string(),
        sid: claims.session.to_string(),
        iss: claims.issuer.clone(),
        aud: claims.audience.clone(),
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
    fn response_about_an_inactive_token_has_no_other_field() {
        let json = serde_json::to_string(&Introspection { active: false, token: None });

        assert_eq!(json.expect("JSON"), r#"{"active":false}"#);
    }
}
