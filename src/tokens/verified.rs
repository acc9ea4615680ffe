//! Verified access tokens, remembered until they expire.

use std::{
    fmt,
    hash::{Hash, Hasher},
    hint::black_box,
    sync::Arc,
};

use parking_lot::RwLock;
use quick_cache::{DefaultHashBuilder, Equivalent, Weighter, sync::Cache};

use super::claims::Claims;
use crate::keys::Keyring;

/// Maximum memory of the remembered tokens, in bytes: 21,000 tokens of the default format. A token that is not remembered
/// costs its verification again.
const MAX_BYTES: u64 = 16 << 20;

/// Memory of an entry besides its texts, in bytes: the claims (144), the entry and its share of a table that doubles (100 to
/// 160), and the headers of the allocations.
const ENTRY_BYTES: usize = 300;

/// The approximate memory of a remembered token of the default format, in bytes: the cache sizes its shards by it.
const TYPICAL_BYTES: u64 = 800;

/// Remembers the claims of verified tokens by the whole text of the token. Needs no memory until there is one.
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
    tokens: Cache<TokenText, Arc<Claims>, TokenBytes, DefaultHashBuilder>,
}

/// The text of a verified token. Only its hash and the comparison read it; `Debug` hides it.
#[derive(Eq)]
struct TokenText(Box<str>);

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
        if !Arc::ptr_eq(&current.keyring, keyring) {
            *current = Arc::new(TokensOfKeyring::new(Arc::clone(keyring)));
        }
        Arc::clone(&current)
    }
}

impl TokensOfKeyring {
    fn new(keyring: Arc<Keyring>) -> Self {
        let typical_entries = usize::try_from(MAX_BYTES / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self { keyring, tokens: Cache::with_weighter(typical_entries, MAX_BYTES, TokenBytes) }
    }

    /// Returns the keyring.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the claims of a remembered token.
    pub fn find(&self, token: &str) -> Option<Arc<Claims>> {
        self.tokens.get(token)
    }

    /// Remembers a token that this keyring has verified.
    pub fn remember(&self, token: &str, claims: Arc<Claims>) {
        self.tokens.insert(TokenText(token.into()), claims);
    }

    /// Forgets a token.
    pub fn forget(&self, token: &str) {
        self.tokens.remove(token);
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VerifiedTokens").finish_non_exhaustive()
    }
}

impl Hash for TokenText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As the `str` by which a token is found.
        self.0.hash(state);
    }
}

impl PartialEq for TokenText {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

impl Equivalent<TokenText> for str {
    fn equivalent(&self, remembered: &TokenText) -> bool {
        is_same(self, &remembered.0)
    }
}

impl Weighter<TokenText, Arc<Claims>> for TokenBytes {
    fn weight(&self, token: &TokenText, claims: &Arc<Claims>) -> u64 {
        let texts = [&*token.0, &claims.issuer, &claims.audience, &claims.id];
        (ENTRY_BYTES + texts.map(str::len).into_iter().sum::<usize>()) as u64
    }
}

/// Compares in a time that depends on the lengths only, so that a forger does not learn how much of a guess is right. Takes
/// 10 ns for a token; `subtle` compares byte by byte, in 0.7 µs.
fn is_same(presented: &str, remembered: &str) -> bool {
    let pairs = presented.bytes().zip(remembered.bytes());
    let difference = pairs.fold(0, |difference, (one, other)| difference | (one ^ other));
    presented.len() == remembered.len() && black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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
    fn memory_is_bounded_and_holds_20_000_typical_tokens() {
        let tokens = TokensOfKeyring::new(keyring());
        assert!(tokens.tokens.is_empty());

        for number in 0..40_000 {
            tokens.remember(&format!("{number:0497}"), claims());
        }

        let (bytes, number) = (tokens.tokens.weight(), tokens.tokens.len());
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
        assert!(number >= 20_000, "{number} tokens");
    }

    proptest! {
        #[test]
        fn comparison_agrees_with_that_of_str(one in "[ab]{0,4}", other in "[ab]{0,4}") {
            prop_assert_eq!(is_same(&one, &other), one == other);
        }
    }
}
