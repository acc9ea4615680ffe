//! Password hashes of Django, which were imported with their users.

mod hash;
mod recipe;

pub use self::hash::{ImportedHash, UnusableHash};
pub(super) use self::recipe::{Work, WorkUnit};
