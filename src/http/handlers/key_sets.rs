//! The published keys: what it takes to check access tokens by oneself.

use crate::{
    http::{auth::Anonymous, context::Context, error::ApiError, extract::NoBody, response::CachedJson},
    tokens::KeySetFormat,
};

/// `GET /.well-known/paserk.json`: PASERK texts, for PASETO. No store is asked.
pub async fn paserk(context: Context, _: Anonymous, _: NoBody) -> Result<CachedJson, ApiError> {
    Ok(published(&context, KeySetFormat::Paserk))
}

/// `GET /.well-known/jwks.json`: a JWK Set, for JWTs. No store is asked.
pub async fn jwks(context: Context, _: Anonymous, _: NoBody) -> Result<CachedJson, ApiError> {
    Ok(published(&context, KeySetFormat::Jwk))
}

fn published(context: &Context, set: KeySetFormat) -> CachedJson {
    let text = context.accounts.access_tokens.published_keys(set).into();
    CachedJson { text, max_age: context.accounts.lifetimes.published_keys }
}
