//! The ids of imported users.

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::{Builder, Uuid};

use crate::{clock::unix_ms, model::UserId};

/// Separates these digests from others of the same text.
const CONTEXT: &[u8] = b"postern imported user\0";

/// Returns the id of a user that joined at this time and had this id in the other program: a UUIDv7 (RFC 9562, section 5.7) whose
/// random bits are a digest of the old id. Therefore each run gives a user the same id, and a former run is recognised.
///
/// Without a time, the milliseconds are those of 1970.
pub(super) fn imported_user_id(joined: Option<OffsetDateTime>, old_id: &str) -> UserId {
    // Programs write a UUID with hyphens, and some databases without.
    let old_id = Uuid::try_parse(old_id).map_or_else(|_| old_id.to_owned(), |id| id.hyphenated().to_string());
    let digest = Sha256::new().chain_update(CONTEXT).chain_update(old_id).finalize();
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    let milliseconds = joined.map_or(0, |joined| u64::try_from(unix_ms(joined)).unwrap_or_default());
    UserId(Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn id_depends_on_the_old_id_and_the_millisecond_alone() {
        let joined = Some(datetime!(2026-11-22 10:12:00.856 UTC));
        let id = imported_user_id(joined, "1");

        // A changed derivation would import everybody twice.
        assert_eq!(id.to_string(), "01a202bd-c4d8-7063-ba24-f10988edbdf1");
        assert_eq!(id, imported_user_id(Some(datetime!(2026-11-22 10:12:00.856_019 UTC)), "1"));
        assert_ne!(id, imported_user_id(joined, "2"));
        assert_ne!(id, imported_user_id(joined.map(|time| time + time::Duration::MILLISECOND), "1"));
        let uuid = "0f9e8d7c-6b5a-4c3d-8e1f-a0b1c2d3e4f5";
        assert_eq!(imported_user_id(joined, uuid), imported_user_id(joined, &uuid.replace('-', "").to_uppercase()));
        assert_eq!(&id.0.as_bytes()[6..], &imported_user_id(None, "1").0.as_bytes()[6..]);
    }
}
