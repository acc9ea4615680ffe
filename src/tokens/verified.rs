//! Verified access tokens, which are remembered.

use std::{
    fmt,
    hash::{Hash, Hasher},
    mem,
    sync::Arc,
};

use parking_lot::RwLock;
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::claims::Claims;
use crate::keys::Keyring;

/// Maximum memory of the remembered tokens, in bytes: more than 40,000 tokens. A token that is not remembered costs its
/// verification again.
const MAX_BYTES: u64 = 16 << 20;

/// Memory of an entry besides its texts, in bytes: the claims (144), the entry and its share of a table that doubles (80 to
/// 110), and the headers of the allocations.
const ENTRY_BYTES: usize = 280;

/// The approximate memory of a remembered token, in bytes: the cache sizes its shards by it.
const TYPICAL_BYTES: u64 = 340;

/// The number of parts of the cache, each with a lock and an equal share of the bytes.
const SHARDS: usize = 16;

/// Remembers the claims of verified tokens by the digest of the whole text of the token. Needs no memory until there is one.
///
/// The tokens belong to the keyring that verified them: a lookup with another keyring finds none of them, and a verification
/// that ends after a change of keys remembers its token with the previous keyring only. A token of a removed key is therefore
/// unknown as soon as the key is.
pub(super) struct VerifiedTokens {
    current: RwLock<Arc<TokensOfKeyring>>,
}

/// The tokens that one keyring has verified.
pub(super) struct TokensOfKeyring {
    /// Held, so that its address identifies it.
    keyring: Arc<Keyring>,
    // Only verified tokens enter, so nobody can choose texts that collide: the hash, which has a random key, needs no
    // cryptographic strength.
    tokens: Cache<TokenDigest, Arc<Claims>, TokenBytes>,
}

/// SHA-256 (FIPS 180-4) of a verified token. No two texts with one digest are known, and no token is found from its digest. It
/// takes less memory than the text.
struct TokenDigest([u8; 32]);

/// The memory of an entry.
#[derive(Clone)]
struct TokenBytes;

impl VerifiedTokens {
    /// Creates an empty set for tokens of this keyring.
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self { current: RwLock::new(Arc::new(TokensOfKeyring::new(keyring))) }
    }

    /// Returns the tokens that `keyring` has verified. Forgets those of another keyring.
    pub fn of(&self, keyring: &Arc<Keyring>) -> Arc<TokensOfKeyring> {
        let current = Arc::clone(&self.current.read());
        if Arc::ptr_eq(&current.keyring, keyring) {
            return current;
        }
        let mut current = self.current.write();
        if Arc::ptr_eq(&current.keyring, keyring) {
            return Arc::clone(&current);
        }
        let tokens = Arc::new(TokensOfKeyring::new(Arc::clone(keyring)));
        let former = mem::replace(&mut *current, Arc::clone(&tokens));
        // Freed without the lock, because all tokens take milliseconds.
        drop(current);
        drop(former);
        tokens
    }
}

impl TokensOfKeyring {
    fn new(keyring: Arc<Keyring>) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(MAX_BYTES / TYPICAL_BYTES).unwrap_or(usize::MAX))
            .weight_capacity(MAX_BYTES)
            .build();
        let options = options.unwrap_or_else(|_| unreachable!("both capacities are set"));
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { keyring, tokens: Cache::with_options(options, TokenBytes, hasher, lifecycle) }
    }

    /// Returns the keyring.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the claims of a remembered token.
    pub fn find(&self, token: &str) -> Option<Arc<Claims>> {
        self.tokens.get(&TokenDigest::of(token))
    }

    /// Remembers a token that this keyring has verified.
    pub fn remember(&self, token: &str, claims: Arc<Claims>) {
        self.tokens.insert(TokenDigest::of(token), claims);
    }

    /// Forgets a token.
    pub fn forget(&self, token: &str) {
        self.tokens.remove(&TokenDigest::of(token));
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VerifiedTokens").finish_non_exhaustive()
    }
}

impl TokenDigest {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl Hash for TokenDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenDigest {}

impl Weighter<TokenDigest, Arc<Claims>> for TokenBytes {
    fn weight(&self, _: &TokenDigest, claims: &Arc<Claims>) -> u64 {
        let texts = [&claims.issuer, &claims.audience, &claims.id];
        (ENTRY_BYTES + texts.map(String::len).into_iter().sum::<usize>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{
        keys::testing::keyring,
        model::{SessionId, UserId},
    };

    fn claims() -> Arc<Claims> {
        Arc::new(Claims {
            issuer: "postern".to_owned(),
            subject: UserId(Uuid::from_u128(1)),
            audience: "postern".to_owned(),
            issued: OffsetDateTime::UNIX_EPOCH,
            expires: OffsetDateTime::UNIX_EPOCH,
            id: "x".repeat(22),
            session: SessionId(Uuid::from_u128(2)),
        })
    }

    #[test]
    fn keyring_finds_only_the_tokens_that_it_verified() {
        let (first, second) = (keyring(), keyring());
        let verified = VerifiedTokens::new(Arc::clone(&first));

        verified.of(&first).remember("token", claims());

        assert_eq!(verified.of(&first).find("token"), Some(claims()));
        assert_eq!(verified.of(&first).find("tokem"), None);
        assert_eq!(verified.of(&second).find("token"), None);
        assert_eq!(verified.of(&first).find("token"), None, "a change of keys forgets all tokens");
    }

    #[test]
    fn late_verification_is_not_remembered_with_the_new_keys() {
        let (first, second) = (keyring(), keyring());
        let verified = VerifiedTokens::new(Arc::clone(&first));
        let under_way = verified.of(&first);

        verified.of(&second);
        under_way.remember("token", claims());

        assert_eq!(verified.of(&second).find("token"), None);
        assert_eq!(verified.of(&first).find("token"), None);
    }

    #[test]
    fn memory_is_bounded_and_holds_40_000_tokens() {
        let tokens = TokensOfKeyring::new(keyring());
        assert!(tokens.tokens.is_empty());

        for number in 0..80_000 {
            tokens.remember(&format!("{number:0497}"), claims());
        }

        let (bytes, number) = (tokens.tokens.weight(), tokens.tokens.len());
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
        assert!(number >= 40_000, "{number} tokens");
    }
}
