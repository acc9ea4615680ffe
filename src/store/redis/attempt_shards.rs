//! The keys in which the buckets of attempts are stored.

use crate::store::Bucket;

/// The default number of shards: 1,048,576 buckets take 49 MiB.
const SHARDS: u32 = 8192;

/// A fixed number of shards, each a hash in one key, in any slot of a cluster.
///
/// The shard of a bucket follows from its key, a keyed digest, so no client can choose it. A shard holds at most
/// [`AttemptShards::MAX_BUCKETS`], so all buckets together are bounded although no key counts them.
pub(super) struct AttemptShards(u32);

impl AttemptShards {
    /// The maximum number of buckets in a shard. Redis keeps a hash of at most `hash-max-listpack-entries` (default 512)
    /// fields in a compact form, in which a full shard takes 6.2 kB, 48 bytes for each bucket (Redis 7.0.15, `MEMORY
    /// USAGE`).
    pub(super) const MAX_BUCKETS: u32 = 128;

    /// Creates as many shards as hold at most `max_buckets`, at least one.
    pub(super) fn holding(max_buckets: u32) -> Self {
        Self((max_buckets / Self::MAX_BUCKETS).max(1))
    }

    /// Returns the key of a bucket's shard.
    pub(super) fn key(&self, bucket: &Bucket) -> String {
        let [first, second, third, fourth, ..] = bucket.key.0;
        format!("attempts:{:x}", u32::from_be_bytes([first, second, third, fourth]) % self.0)
    }

    /// Returns the field of a bucket in its shard.
    pub(super) fn field(bucket: &Bucket) -> Vec<u8> {
        [bucket.key.0.as_slice(), bucket.limit.name.as_bytes()].concat()
    }
}

impl Default for AttemptShards {
    fn default() -> Self {
        Self(SHARDS)
    }
}
