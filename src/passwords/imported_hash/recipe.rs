//! The algorithms of imported hashes with their cost parameters, and the limits of these.

use std::fmt;

use argon2::{Algorithm, Params, Version};

/// The most memory of a comparison, in KiB: OWASP's parameters for scrypt (Password Storage Cheat Sheet: N = 2¹⁷, r = 8,
/// p = 1) take 128 MiB and some KiB. Django's Argon2 takes 100 MiB, its scrypt 16 MiB.
const MAX_MEMORY_KIB: u64 = 129 * 1024;
/// The most rounds of PBKDF2: three times those of Django 5.2, which has raised them by a quarter a year.
const MAX_PBKDF2_ROUNDS: u64 = 3_000_000;
/// The most memory × passes of Argon2, in KiB: eight times those of Django (102,400 KiB, 2 passes).
const MAX_ARGON2_WORK: u64 = 8 * 2 * 102_400;
/// The highest cost of bcrypt, which takes four times as long as Django's (12).
const MAX_BCRYPT_COST: u64 = 14;
/// The lowest cost that bcrypt allows.
const MIN_BCRYPT_COST: u64 = 4;
/// The most N × r × p of scrypt: eight times that of Django (2¹⁴, 8, 5).
const MAX_SCRYPT_WORK: u64 = 8 * 16_384 * 8 * 5;
/// The least N of scrypt. With a smaller one, most of the time is that of PBKDF2, which [`Recipe::work`] leaves out.
const MIN_SCRYPT_N: u32 = 1_024;
/// The most r × p of scrypt, for which PBKDF2 makes 1 MiB. Django has 40.
const MAX_SCRYPT_BLOCKS: u64 = 8_192;

/// An algorithm with its cost parameters, which are within the limits. `Display` is the text in the table of recipes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    Pbkdf2Sha256 { rounds: u32 },
    Pbkdf2Sha1 { rounds: u32 },
    Argon2 { algorithm: Algorithm, version: Version, params: Params },
    Scrypt { log_n: u8, r: u32, p: u32 },
    Bcrypt { cost: u32 },
    BcryptSha256 { cost: u32 },
}

/// What the duration of a hash is proportional to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkUnit {
    Pbkdf2Sha256Round,
    Pbkdf2Sha1Round,
    /// A KiB in a pass.
    Argon2Block,
    /// A 128 byte block, written and read.
    ScryptBlock,
    /// The two key expansions of a round.
    BcryptRound,
}

/// The work of a hash or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    pub unit: WorkUnit,
    pub amount: u64,
}

/// The reason why an imported hash is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableHash {
    /// Not an algorithm that is verified, such as `md5`.
    #[error("unknown or insecure algorithm")]
    Algorithm,
    /// A known algorithm, but its parameters, salt or hash are malformed.
    #[error("malformed hash")]
    Malformed,
    /// Its parameters are over the limits.
    #[error("too costly parameters")]
    TooCostly,
}

impl Recipe {
    /// Parses the parameters of PBKDF2.
    pub fn pbkdf2(algorithm: &str, rounds: &str) -> Result<Self, UnusableHash> {
        let rounds = whole_number(rounds, 1, MAX_PBKDF2_ROUNDS)?;
        match algorithm {
            "pbkdf2_sha256" => Ok(Self::Pbkdf2Sha256 { rounds }),
            "pbkdf2_sha1" => Ok(Self::Pbkdf2Sha1 { rounds }),
            _ => Err(UnusableHash::Algorithm),
        }
    }

    /// Parses the parameters of Argon2: `argon2id$v=19$m=102400,t=2,p=8`, without a version for 16.
    pub fn argon2(text: &str) -> Result<Self, UnusableHash> {
        let (algorithm, rest) = text.split_once('$').ok_or(UnusableHash::Malformed)?;
        let algorithm = Algorithm::new(algorithm).map_err(|_| UnusableHash::Malformed)?;
        let (version, costs) = match rest.split_once('$') {
            Some(("v=16", costs)) => (Version::V0x10, costs),
            Some(("v=19", costs)) => (Version::V0x13, costs),
            Some(_) => return Err(UnusableHash::Malformed),
            None => (Version::V0x10, rest),
        };
        let mut costs = costs.split(',');
        let mut cost = |prefix, max| {
            let text = costs.next().and_then(|cost| cost.strip_prefix(prefix)).ok_or(UnusableHash::Malformed)?;
            whole_number(text, 1, max)
        };
        let memory_kib = cost("m=", MAX_MEMORY_KIB)?;
        let passes = cost("t=", MAX_ARGON2_WORK)?;
        let lanes = cost("p=", MAX_MEMORY_KIB)?;
        if costs.next().is_some() {
            return Err(UnusableHash::Malformed);
        }
        let params = Params::new(memory_kib, passes, lanes, None).map_err(|_| UnusableHash::Malformed)?;
        Self::Argon2 { algorithm, version, params }.limited(MAX_ARGON2_WORK)
    }

    /// Parses the parameters of scrypt.
    pub fn scrypt(n: &str, r: &str, p: &str) -> Result<Self, UnusableHash> {
        let n: u32 = whole_number(n, 2, MAX_SCRYPT_WORK)?;
        let (r, p) = (whole_number(r, 1, MAX_SCRYPT_BLOCKS)?, whole_number(p, 1, MAX_SCRYPT_BLOCKS)?);
        if !n.is_power_of_two() {
            return Err(UnusableHash::Malformed);
        }
        if u64::from(r) * u64::from(p) > MAX_SCRYPT_BLOCKS {
            return Err(UnusableHash::TooCostly);
        }
        if n < MIN_SCRYPT_N {
            return Err(UnusableHash::Algorithm);
        }
        let log_n = u8::try_from(n.ilog2()).map_err(|_| UnusableHash::Malformed)?;
        Self::Scrypt { log_n, r, p }.limited(MAX_SCRYPT_WORK)
    }

    /// Parses the cost of bcrypt, in two digits.
    pub fn bcrypt(algorithm: &str, cost: &str) -> Result<Self, UnusableHash> {
        if cost.len() != 2 {
            return Err(UnusableHash::Malformed);
        }
        let cost = whole_number(cost.strip_prefix('0').unwrap_or(cost), MIN_BCRYPT_COST, MAX_BCRYPT_COST)?;
        match algorithm {
            "bcrypt" => Ok(Self::Bcrypt { cost }),
            "bcrypt_sha256" => Ok(Self::BcryptSha256 { cost }),
            _ => Err(UnusableHash::Algorithm),
        }
    }

    /// Parses what `Display` writes.
    pub fn parse(text: &str) -> Result<Self, UnusableHash> {
        let (algorithm, costs) = text.split_once('$').ok_or(UnusableHash::Malformed)?;
        match (algorithm, &*costs.split('$').collect::<Vec<_>>()) {
            ("argon2", _) => Self::argon2(costs),
            ("scrypt", [n, r, p]) => Self::scrypt(n, r, p),
            ("bcrypt" | "bcrypt_sha256", [cost]) => Self::bcrypt(algorithm, cost),
            ("pbkdf2_sha256" | "pbkdf2_sha1", [rounds]) => Self::pbkdf2(algorithm, rounds),
            _ => Err(UnusableHash::Algorithm),
        }
    }

    fn limited(self, max_work: u64) -> Result<Self, UnusableHash> {
        let is_within = self.work().amount <= max_work && self.memory_bytes() <= MAX_MEMORY_KIB * 1024;
        if is_within { Ok(self) } else { Err(UnusableHash::TooCostly) }
    }

    /// Returns the work of a hash.
    pub fn work(&self) -> Work {
        let (unit, amount) = match self {
            Self::Pbkdf2Sha256 { rounds } => (WorkUnit::Pbkdf2Sha256Round, u64::from(*rounds)),
            Self::Pbkdf2Sha1 { rounds } => (WorkUnit::Pbkdf2Sha1Round, u64::from(*rounds)),
            Self::Argon2 { params, .. } => {
                (WorkUnit::Argon2Block, u64::from(params.m_cost()) * u64::from(params.t_cost()))
            }
            Self::Scrypt { log_n, r, p } => (WorkUnit::ScryptBlock, (u64::from(*r) * u64::from(*p)) << log_n),
            Self::Bcrypt { cost } | Self::BcryptSha256 { cost } => (WorkUnit::BcryptRound, 1 << cost),
        };
        Work { unit, amount }
    }

    /// Returns the memory of a hash, in bytes, without what is less than 10 KiB.
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Self::Argon2 { params, .. } => u64::from(params.m_cost()) * 1024,
            Self::Scrypt { log_n, r, p } => 128 * u64::from(*r) * ((1 << log_n) + u64::from(*p) + 1),
            Self::Pbkdf2Sha256 { .. } | Self::Pbkdf2Sha1 { .. } | Self::Bcrypt { .. } | Self::BcryptSha256 { .. } => 0,
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pbkdf2Sha256 { rounds } => write!(formatter, "pbkdf2_sha256${rounds}"),
            Self::Pbkdf2Sha1 { rounds } => write!(formatter, "pbkdf2_sha1${rounds}"),
            Self::Argon2 { algorithm, version, params } => {
                let (version, m, t, p) = (u32::from(*version), params.m_cost(), params.t_cost(), params.p_cost());
                write!(formatter, "argon2${algorithm}$v={version}$m={m},t={t},p={p}")
            }
            Self::Scrypt { log_n, r, p } => write!(formatter, "scrypt${}${r}${p}", 1_u64 << log_n),
            Self::Bcrypt { cost } => write!(formatter, "bcrypt${cost:02}"),
            Self::BcryptSha256 { cost } => write!(formatter, "bcrypt_sha256${cost:02}"),
        }
    }
}

/// Parses a number as Django writes it: decimal digits without a sign or leading zeros.
fn whole_number(text: &str, min: u64, max: u64) -> Result<u32, UnusableHash> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() && !text.starts_with('0');
    if !is_canonical {
        return Err(UnusableHash::Malformed);
    }
    // A number that does not fit is over every limit.
    match text.parse().unwrap_or(u64::MAX) {
        number if number < min => Err(UnusableHash::Malformed),
        number if number > max => Err(UnusableHash::TooCostly),
        number => u32::try_from(number).map_err(|_| UnusableHash::TooCostly),
    }
}
