//! Argon2id hashes as PHC strings, computed in memory that is reused from hash to hash.

use argon2::{
    Algorithm, Argon2, Block, KeyId, Params, ParamsBuilder, Version,
    password_hash::phc::{self, Output, ParamsString, Salt},
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::password::Password;
use crate::model::PasswordHash;

/// The length of a salt (RFC 9106, section 3.1, recommends 16 bytes).
const SALT_BYTES: usize = 16;
/// The length of a hash (RFC 9106, section 4, recommends 32 bytes).
const HASH_BYTES: usize = 32;
/// The key id of a hash of a [`PasswordForm::Trimmed`]. Argon2 does not use it, so a previous version of Postern compares the
/// hash with the password as typed.
const TRIMMED_KEY_ID: &[u8] = b"trimmed";

/// What is hashed of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordForm {
    /// All of it.
    AsTyped,
    /// Without white space at its ends.
    Trimmed,
}

/// The cost parameters of Argon2id (RFC 9106, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashParameters {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes. One thread computes them one after the other.
    pub lanes: u32,
}

impl HashParameters {
    /// Converts from Argon2's own type.
    #[must_use]
    pub fn of(params: &Params) -> Self {
        Self { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() }
    }

    /// Converts to Argon2's own type.
    ///
    /// # Errors
    /// Returns the reason if a parameter is out of Argon2's range.
    pub fn params(self) -> Result<Params, String> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES)).map_err(|error| error.to_string())
    }
}

/// The memory of a hashing thread, reused from hash to hash.
pub struct Scratch {
    blocks: Vec<Block>,
    /// The number of blocks for a hash with the current parameters.
    size: usize,
}

impl Scratch {
    /// Prepares memory for hashes with these parameters, without allocating it.
    pub fn new(params: &Params) -> Self {
        Self { blocks: Vec::new(), size: params.block_count() }
    }

    /// Returns the blocks, allocated at the first hash so that an idle service does not hold them.
    fn blocks(&mut self) -> &mut [Block] {
        self.blocks.resize(self.size, Block::default());
        &mut self.blocks
    }
}

/// A stored hash, parsed.
pub struct ParsedHash {
    input: HashInput,
    hash: Output,
}

impl ParsedHash {
    /// Parses a PHC string. Returns `None` for anything but Argon2id, version 19.
    pub fn parse(hash: &PasswordHash) -> Option<Self> {
        let parsed = phc::PasswordHash::new(hash.as_phc()).ok()?;
        let is_supported =
            parsed.algorithm == Algorithm::Argon2id.ident() && parsed.version == Some(Version::V0x13.into());
        let params = Params::try_from(&parsed).ok().filter(|_| is_supported)?;
        let is_trimmed = params.keyid() == TRIMMED_KEY_ID;
        let form = if is_trimmed { PasswordForm::Trimmed } else { PasswordForm::AsTyped };
        Some(Self { input: HashInput { params, salt: parsed.salt?, form }, hash: parsed.hash? })
    }

    pub fn parameters(&self) -> HashParameters {
        HashParameters::of(&self.input.params)
    }

    /// Returns what was hashed of the password.
    pub fn form(&self) -> PasswordForm {
        self.input.form
    }

    /// Returns whether this is the hash of a password, in constant time once the password is hashed.
    pub fn matches(&self, password: &Password, scratch: &mut Scratch) -> bool {
        let mut computed = Zeroizing::new(vec![0; self.hash.len()]);
        self.input.hash(password, &mut computed, scratch);
        computed.ct_eq(self.hash.as_bytes()).into()
    }
}

/// Hashes a password with a new salt.
pub fn new_hash(password: &Password, form: PasswordForm, params: Params, scratch: &mut Scratch) -> PasswordHash {
    let input = HashInput { params, salt: random_salt(), form };
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    input.hash(password, &mut *hash, scratch);
    input.into_phc(&*hash)
}

/// Returns random bytes in the form of a hash with these parameters: a hash that matches no known password, made without the
/// time of a hash.
pub fn dummy_hash(params: Params) -> PasswordHash {
    let mut hash = [0; HASH_BYTES];
    getrandom::fill(&mut hash).expect("random bytes from the operating system");
    HashInput { params, salt: random_salt(), form: PasswordForm::AsTyped }.into_phc(&hash)
}

fn random_salt() -> Salt {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).expect("random bytes from the operating system");
    Salt::new(&salt).unwrap_or_else(|_| unreachable!("a salt may have 16 bytes"))
}

/// The inputs of a hash, except the password.
struct HashInput {
    params: Params,
    salt: Salt,
    form: PasswordForm,
}

impl HashInput {
    fn hash(&self, password: &Password, hash: &mut [u8], scratch: &mut Scratch) {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let bytes = match self.form {
            PasswordForm::AsTyped => password.as_str().as_bytes(),
            PasswordForm::Trimmed => password.trimmed().as_bytes(),
        };
        // A hash with larger, earlier parameters does not fit; its memory is allocated and freed again.
        let outcome = if self.params.block_count() > scratch.size {
            argon2.hash_password_into(bytes, &self.salt, hash)
        } else {
            argon2.hash_password_into_with_memory(bytes, &self.salt, hash, scratch.blocks())
        };
        outcome.unwrap_or_else(|error| panic!("failed to hash with valid parameters, salt and lengths: {error}"));
    }

    fn into_phc(self, hash: &[u8]) -> PasswordHash {
        let params = match self.form {
            PasswordForm::AsTyped => Ok(self.params),
            PasswordForm::Trimmed => with_key_id(&self.params, TRIMMED_KEY_ID),
        };
        let encoded = params.ok().and_then(|params| ParamsString::try_from(&params).ok()).zip(Output::new(hash).ok());
        let (params, hash) = encoded.unwrap_or_else(|| unreachable!("valid parameters and 32 bytes have a PHC string"));
        let phc = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params,
            salt: Some(self.salt),
            hash: Some(hash),
        };
        PasswordHash::new(phc.to_string())
    }
}

fn with_key_id(params: &Params, key_id: &[u8]) -> argon2::Result<Params> {
    let mut builder = ParamsBuilder::new();
    builder.m_cost(params.m_cost()).t_cost(params.t_cost()).p_cost(params.p_cost()).keyid(KeyId::new(key_id)?);
    builder.build()
}
