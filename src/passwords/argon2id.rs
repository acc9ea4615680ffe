//! Argon2id with memory that is reused from hash to hash, in PHC strings.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{self, Output, ParamsString, Salt},
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::password::Password;
use crate::model::PasswordHash;

/// Bytes of salt (RFC 9106, section 3.1, recommends 16).
const SALT_BYTES: usize = 16;
/// Bytes of hash (RFC 9106, section 4, recommends 32).
const HASH_BYTES: usize = 32;

/// The cost of a hash: parameters of Argon2id (RFC 9106, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashParameters {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes. They are computed one after the other: each thread hashes one password.
    pub lanes: u32,
}

impl HashParameters {
    /// What a hash with these parameters costs.
    #[must_use]
    pub fn of(params: &Params) -> Self {
        Self { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() }
    }

    /// The parameters in Argon2's own type.
    ///
    /// # Errors
    /// Where they are out of Argon2's range.
    pub fn params(self) -> Result<Params, String> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES)).map_err(|error| error.to_string())
    }
}

/// The memory of a thread, reused from hash to hash.
pub struct Scratch {
    blocks: Vec<Block>,
    /// How many blocks a hash with the current parameters needs.
    size: usize,
}

impl Scratch {
    /// Memory for hashes with these parameters, none of it taken yet.
    pub fn new(params: &Params) -> Self {
        Self { blocks: Vec::new(), size: params.block_count() }
    }

    /// The blocks, taken from the system at the first hash: an idle service does without.
    fn blocks(&mut self) -> &mut [Block] {
        self.blocks.resize(self.size, Block::default());
        &mut self.blocks
    }
}

/// A stored hash, taken apart.
pub struct ParsedHash {
    recipe: HashInput,
    hash: Output,
}

impl ParsedHash {
    /// `None` for anything but Argon2id, version 19.
    pub fn parse(hash: &PasswordHash) -> Option<Self> {
        let parsed = phc::PasswordHash::new(hash.as_phc()).ok()?;
        let is_ours = parsed.algorithm == Algorithm::Argon2id.ident() && parsed.version == Some(Version::V0x13.into());
        let params = Params::try_from(&parsed).ok().filter(|_| is_ours)?;
        Some(Self { recipe: HashInput { params, salt: parsed.salt? }, hash: parsed.hash? })
    }

    /// What it cost.
    pub fn parameters(&self) -> HashParameters {
        HashParameters::of(&self.recipe.params)
    }

    /// Whether this is the password that was hashed.
    pub fn matches(&self, password: &Password, memory: &mut Scratch) -> bool {
        let mut computed = Zeroizing::new(vec![0; self.hash.len()]);
        self.recipe.hash(password, &mut computed, memory);
        computed.ct_eq(self.hash.as_bytes()).into()
    }
}

/// Hashes a password with a new salt.
pub fn new_hash(password: &Password, params: Params, memory: &mut Scratch) -> PasswordHash {
    let recipe = HashInput { params, salt: random_salt() };
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    recipe.hash(password, &mut *hash, memory);
    recipe.phc_text(&*hash)
}

/// A hash that is random and so that of no password, with the parameters that a new one would have: computing it would delay the start.
pub fn dummy_hash(params: Params) -> PasswordHash {
    let mut hash = [0; HASH_BYTES];
    getrandom::fill(&mut hash).expect("the system's random numbers are there once it has started");
    HashInput { params, salt: random_salt() }.phc_text(&hash)
}

fn random_salt() -> Salt {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).expect("the system's random numbers are there once it has started");
    Salt::new(&salt).unwrap_or_else(|_| unreachable!("16 bytes are within the range of a salt"))
}

/// What is done to a password.
struct HashInput {
    params: Params,
    salt: Salt,
}

impl HashInput {
    fn hash(&self, password: &Password, hash: &mut [u8], memory: &mut Scratch) {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let bytes = password.as_str().as_bytes();
        // A hash of earlier, larger parameters gets memory of its own, which goes when it is done.
        let outcome = if self.params.block_count() > memory.size {
            argon2.hash_password_into(bytes, &self.salt, hash)
        } else {
            argon2.hash_password_into_with_memory(bytes, &self.salt, hash, memory.blocks())
        };
        outcome.unwrap_or_else(|error| panic!("parameters, salt and lengths were checked before: {error}"));
    }

    fn phc_text(self, hash: &[u8]) -> PasswordHash {
        let texts = ParamsString::try_from(&self.params).ok().zip(Output::new(hash).ok());
        let (params, hash) = texts.unwrap_or_else(|| unreachable!("checked parameters and 32 bytes have a PHC text"));
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
