//! Password hashes of Django, which were imported with their users.

mod hash;
mod recipe;

pub(super) use self::recipe::{Work, WorkUnit};
pub use self::{hash::ImportedHash, recipe::UnusableHash};
