//! An imported hash: its text, and the comparison of passwords with it.

use std::fmt;

use argon2::Argon2;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use bcrypt::BASE_64 as BASE64_BCRYPT;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::recipe::{Recipe, UnusableHash, Work};

/// The longest text, in bytes. Django's column has at most 128 characters; models of other projects may have more.
const MAX_ENCODED_BYTES: usize = 512;
/// The bytes that bcrypt reads of a password.
const BCRYPT_PASSWORD_BYTES: usize = 72;
/// The shortest hash of Argon2, in bytes: the default of argon2-cffi before 21.2. A shorter one matches other passwords too.
const MIN_ARGON2_HASH_BYTES: usize = 16;
/// The shortest salt of Argon2, in bytes (RFC 9106, section 3.1).
const MIN_ARGON2_SALT_BYTES: usize = 8;

/// A password hash of Django that can be verified: PBKDF2, Argon2, bcrypt or scrypt.
pub struct ImportedHash {
    recipe: Recipe,
    recipe_text: String,
    salt: Vec<u8>,
    hash: Zeroizing<Vec<u8>>,
}

impl ImportedHash {
    /// Parses Django's encoded form, such as `pbkdf2_sha256$1000000$salt$hash`. Accepts only what Django itself verifies: it
    /// compares encoded forms, so a number with leading zeros or a hash in another base64 never matches.
    ///
    /// # Errors
    /// Returns [`UnusableHash`] if Postern never verifies this hash.
    pub fn parse(encoded: &str) -> Result<Self, UnusableHash> {
        let (algorithm, rest) = encoded.split_once('$').ok_or(UnusableHash::Algorithm)?;
        let parse = match algorithm {
            "pbkdf2_sha256" | "pbkdf2_sha1" => Self::parse_pbkdf2,
            "argon2" => Self::parse_argon2,
            "bcrypt" | "bcrypt_sha256" => Self::parse_bcrypt,
            "scrypt" => Self::parse_scrypt,
            _ => return Err(UnusableHash::Algorithm),
        };
        if encoded.len() > MAX_ENCODED_BYTES || encoded.contains('\0') {
            return Err(UnusableHash::Malformed);
        }
        parse(algorithm, rest)
    }

    /// Returns a hash with this recipe that matches no known password, made without the time of a hash.
    ///
    /// # Errors
    /// Returns [`UnusableHash`] if the text is not a recipe.
    ///
    /// # Panics
    /// Panics if the operating system has no random bytes.
    pub fn dummy(recipe: &str) -> Result<Self, UnusableHash> {
        let recipe = Recipe::parse(recipe)?;
        let mut random = [0; 80];
        getrandom::fill(&mut random).expect("random bytes from the operating system");
        let (salt, hash) = random.split_at(16);
        let length = match &recipe {
            Recipe::Pbkdf2Sha256 { .. } | Recipe::Argon2 { .. } => 32,
            Recipe::Pbkdf2Sha1 { .. } => 20,
            Recipe::Scrypt { .. } => 64,
            Recipe::Bcrypt { .. } | Recipe::BcryptSha256 { .. } => 23,
        };
        Ok(Self::new(recipe, salt.to_vec(), hash[..length].to_vec()))
    }

    /// Returns the algorithm and the cost parameters, without salt and hash, such as `pbkdf2_sha256$1000000`.
    #[must_use]
    pub fn recipe(&self) -> &str {
        &self.recipe_text
    }

    /// Returns the memory of a comparison, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.recipe.memory_bytes()
    }

    /// Returns the work of a comparison.
    pub(crate) fn work(&self) -> Work {
        self.recipe.work()
    }

    /// Returns whether this is the hash of a password, in constant time once the password is hashed. The password is not
    /// normalised.
    pub(crate) fn matches(&self, password: &str) -> bool {
        let mut computed = Zeroizing::new(vec![0; self.hash.len()]);
        self.hash_into(password.as_bytes(), &mut computed);
        computed.ct_eq(&self.hash).into()
    }

    fn new(recipe: Recipe, salt: Vec<u8>, hash: Vec<u8>) -> Self {
        Self { recipe_text: recipe.to_string(), recipe, salt, hash: Zeroizing::new(hash) }
    }

    /// Parses the rest of `pbkdf2_sha256$rounds$salt$hash`.
    fn parse_pbkdf2(algorithm: &str, rest: &str) -> Result<Self, UnusableHash> {
        let [rounds, salt, hash] = parts(rest)?;
        let recipe = Recipe::pbkdf2(algorithm, rounds)?;
        let length = if matches!(recipe, Recipe::Pbkdf2Sha1 { .. }) { 20 } else { 32 };
        Ok(Self::new(recipe, text_salt(salt)?, text_hash(hash, length)?))
    }

    /// Parses the rest of `scrypt$n$salt$r$p$hash`.
    fn parse_scrypt(_: &str, rest: &str) -> Result<Self, UnusableHash> {
        let [n, salt, r, p, hash] = parts(rest)?;
        Ok(Self::new(Recipe::scrypt(n, r, p)?, text_salt(salt)?, text_hash(hash, 64)?))
    }

    /// Parses the rest of `argon2$argon2id$v=19$m=102400,t=2,p=8$salt$hash`, which is that of the reference implementation.
    fn parse_argon2(_: &str, rest: &str) -> Result<Self, UnusableHash> {
        let (rest, hash) = rest.rsplit_once('$').ok_or(UnusableHash::Malformed)?;
        let (recipe, salt) = rest.rsplit_once('$').ok_or(UnusableHash::Malformed)?;
        let recipe = Recipe::argon2(recipe)?;
        let decode = |text| BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| UnusableHash::Malformed);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        if salt.len() < MIN_ARGON2_SALT_BYTES || hash.len() < MIN_ARGON2_HASH_BYTES {
            return Err(UnusableHash::Malformed);
        }
        Ok(Self::new(recipe, salt, hash))
    }

    /// Parses the rest of `bcrypt$$2b$12$` with 22 characters of salt and 31 of hash.
    fn parse_bcrypt(algorithm: &str, rest: &str) -> Result<Self, UnusableHash> {
        let ["", "2a" | "2b" | "2y", cost, salt_and_hash] = parts(rest)? else { return Err(UnusableHash::Malformed) };
        let recipe = Recipe::bcrypt(algorithm, cost)?;
        let (salt, hash) = salt_and_hash.split_at_checked(22).ok_or(UnusableHash::Malformed)?;
        let decode = |text| BASE64_BCRYPT.decode(text).map_err(|_| UnusableHash::Malformed);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        if (salt.len(), hash.len()) != (16, 23) {
            return Err(UnusableHash::Malformed);
        }
        Ok(Self::new(recipe, salt, hash))
    }

    fn hash_into(&self, password: &[u8], hash: &mut [u8]) {
        match &self.recipe {
            Recipe::Pbkdf2Sha256 { rounds } => pbkdf2_hmac::<Sha256>(password, &self.salt, *rounds, hash),
            Recipe::Pbkdf2Sha1 { rounds } => pbkdf2_hmac::<Sha1>(password, &self.salt, *rounds, hash),
            Recipe::Argon2 { algorithm, version, params } => {
                let argon2 = Argon2::new(*algorithm, *version, params.clone());
                let outcome = argon2.hash_password_into(password, &self.salt, hash);
                outcome.unwrap_or_else(|error| panic!("failed to compute Argon2 within its limits: {error}"));
            }
            Recipe::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(*log_n, *r, *p);
                let params = params.unwrap_or_else(|_| unreachable!("the parameters are within the limits"));
                let outcome = scrypt::scrypt(password, &self.salt, &params, hash);
                outcome.unwrap_or_else(|_| unreachable!("64 bytes are a valid length"));
            }
            Recipe::Bcrypt { cost } => bcrypt_into(*cost, &self.salt, password, hash),
            Recipe::BcryptSha256 { cost } => {
                let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(password)));
                bcrypt_into(*cost, &self.salt, &*lower_hex(&digest), hash);
            }
        }
    }
}

/// Prints only the recipe: the hash is enough to guess the password offline.
impl fmt::Debug for ImportedHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ImportedHash").field("recipe", &self.recipe_text).finish_non_exhaustive()
    }
}

/// Splits at `$` into exactly this many parts.
fn parts<const N: usize>(text: &str) -> Result<[&str; N], UnusableHash> {
    text.split('$').collect::<Vec<_>>().try_into().map_err(|_| UnusableHash::Malformed)
}

/// Returns a salt that Django uses as text.
fn text_salt(salt: &str) -> Result<Vec<u8>, UnusableHash> {
    if salt.is_empty() { Err(UnusableHash::Malformed) } else { Ok(salt.as_bytes().to_vec()) }
}

/// Decodes a hash of this many bytes in padded base64.
fn text_hash(hash: &str, length: usize) -> Result<Vec<u8>, UnusableHash> {
    let decoded = BASE64_STANDARD.decode(hash).map_err(|_| UnusableHash::Malformed)?;
    if decoded.len() == length { Ok(decoded) } else { Err(UnusableHash::Malformed) }
}

/// Computes bcrypt of the first 72 bytes of a password, which ends with a NUL if it is shorter.
fn bcrypt_into(cost: u32, salt: &[u8], password: &[u8], hash: &mut [u8]) {
    let mut key = Zeroizing::new([0; BCRYPT_PASSWORD_BYTES]);
    let length = password.len().min(BCRYPT_PASSWORD_BYTES);
    key[..length].copy_from_slice(&password[..length]);
    let salt = salt.try_into().unwrap_or_else(|_| unreachable!("a salt of bcrypt has 16 bytes"));
    let computed = Zeroizing::new(bcrypt::bcrypt(cost, salt, &key[..BCRYPT_PASSWORD_BYTES.min(length + 1)]));
    hash.copy_from_slice(&computed[..hash.len()]);
}

fn lower_hex(digest: &[u8; 32]) -> Zeroizing<[u8; 64]> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = Zeroizing::new([0; 64]);
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    hex
}

#[cfg(test)]
mod tests;
