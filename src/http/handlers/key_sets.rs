//! The published keys: what it takes to check access tokens by oneself.

use crate::{
    http::{auth::Stranger, context::Context, error::Problem, extract::Nothing, response::Page},
    tokens::KeySet,
};

/// `GET /.well-known/paserk.json`: PASERK texts, for PASETO. No store is asked.
pub async fn paserk(context: Context, _: Stranger, _: Nothing) -> Result<Page, Problem> {
    Ok(published(&context, KeySet::Paserk))
}

/// `GET /.well-known/jwks.json`: a JWK Set, for JWTs. No store is asked.
pub async fn jwks(context: Context, _: Stranger, _: Nothing) -> Result<Page, Problem> {
    Ok(published(&context, KeySet::Jwk))
}

fn published(context: &Context, set: KeySet) -> Page {
    let text = context.accounts.access_tokens.published_keys(set).into();
    Page { text, max_age: context.accounts.lifetimes.published_keys }
}
