//! The published keys, with which other services verify access tokens offline.

use crate::{
    http::{auth::Anonymous, context::Context, error::ApiError, extract::NoBody, response::CachedJson},
    tokens::KeySetFormat,
};

/// `GET /.well-known/paserk.json`: the keys as PASERK texts, for PASETO. Calls no store.
pub async fn paserk(context: Context, _: Anonymous, _: NoBody) -> Result<CachedJson, ApiError> {
    Ok(key_set(&context, KeySetFormat::Paserk))
}

/// `GET /.well-known/jwks.json`: the keys as a JWK Set, for JWTs. Calls no store.
pub async fn jwks(context: Context, _: Anonymous, _: NoBody) -> Result<CachedJson, ApiError> {
    Ok(key_set(&context, KeySetFormat::Jwk))
}

fn key_set(context: &Context, format: KeySetFormat) -> CachedJson {
    let text = context.accounts.access_tokens.published_keys(format).into();
    CachedJson { text, max_age: context.accounts.lifetimes.published_keys }
}
