//! The memory and CPU budget of hashing, and the memory that it leaves for requests.

use std::{ops::RangeInclusive, path::Path};

use bytesize::ByteSize;

use crate::{os::cgroup, passwords::HasherSettings};

/// The memory of the server itself in bytes, besides the pages of its executable, which the kernel can reclaim: 3 MiB measured
/// when idle, 5 MiB of dictionaries of weak passwords, 16 MiB of remembered access tokens, and a margin.
pub const BASELINE_MEMORY_BYTES: u64 = 32 << 20;

/// Returns the memory limit of this process in bytes.
pub fn memory_limit() -> Option<u64> {
    cgroup::memory_limit(Path::new("/"))
}

/// The CPUs for requests that hash nothing: enough for about a hundred requests per second.
const CPU_HEADROOM: f64 = 0.5;

/// Returns whether this number of threads leaves less than half a CPU of the quota of this process.
pub fn is_oversubscribed(threads: usize) -> bool {
    exceeds_cpus(threads, cgroup::processors(Path::new("/")))
}

fn exceeds_cpus(threads: usize, cpus: f64) -> bool {
    u32::try_from(threads).map_or(f64::MAX, f64::from) > cpus - CPU_HEADROOM
}

/// The bounds of the default memory of requests, in bytes: a hundred connections, and more than any load has needed.
const DEFAULT_REQUEST_MEMORY: RangeInclusive<u64> = 4 << 20..=1 << 30;

/// The default memory of requests if no limit is known, in bytes.
const REQUEST_MEMORY_WITHOUT_LIMIT: u64 = 64 << 20;

/// Returns the default memory of connections and requests in bytes: half of what hashing leaves of the memory limit. The other
/// half covers the allocator, the buffers of the kernel, and what is freed a little later than it is given back.
pub fn default_request_memory(hashing: &HasherSettings, limit: Option<u64>) -> u64 {
    let Some(limit) = limit else { return REQUEST_MEMORY_WITHOUT_LIMIT };
    let half = limit.saturating_sub(needed_memory(hashing)) / 2;
    half.clamp(*DEFAULT_REQUEST_MEMORY.start(), *DEFAULT_REQUEST_MEMORY.end())
}

/// Returns the error if hashing and requests exceed a memory limit in bytes.
pub fn excess_request_memory(hashing: &HasherSettings, bytes: u64, limit: u64) -> Option<String> {
    let rest = limit.saturating_sub(needed_memory(hashing));
    (bytes > rest).then(|| {
        let [memory, limit, rest] = [bytes, limit, rest].map(ByteSize::b);
        format!("{memory} is more than the {rest} that hashing and the server leave of the memory limit of {limit}")
    })
}

/// Returns what hashing, the server, and requests of this many bytes leave of the memory limit in bytes, if there is one.
pub fn free_memory(hashing: &HasherSettings, request_bytes: u64) -> Option<u64> {
    Some(memory_limit()?.saturating_sub(needed_memory(hashing)).saturating_sub(request_bytes))
}

/// Returns the memory of hashing and of an idle server in bytes.
fn needed_memory(hashing: &HasherSettings) -> u64 {
    let (threads, memory_kib) = (hashing.threads as u64, hashing.parameters.memory_kib);
    threads * u64::from(memory_kib) * 1024 + BASELINE_MEMORY_BYTES
}

/// Returns the error if hashing exceeds a memory limit in bytes.
pub fn excess_memory(hashing: &HasherSettings, limit: u64) -> Option<String> {
    let (threads, memory_kib) = (hashing.threads as u64, hashing.parameters.memory_kib);
    let needed = needed_memory(hashing);
    let excess = needed.checked_sub(limit).filter(|excess| *excess > 0)?;
    let [needed, excess, limit, rest] = [needed, excess, limit, BASELINE_MEMORY_BYTES].map(ByteSize::b);
    let memory = ByteSize::kib(memory_kib.into());
    Some(format!(
        "{memory} for each hashing thread (POSTERN_HASH_THREADS: {threads}) and {rest} for everything else are {needed}, \
         {excess} more than the memory limit of {limit}: lower memory or threads, or raise the limit"
    ))
}

/// Returns the maximum memory of each thread within a memory limit, in bytes. A third of what the server leaves stays free for
/// connections and requests.
pub fn share(threads: usize, limit: u64) -> u64 {
    limit.saturating_sub(BASELINE_MEMORY_BYTES) / 3 * 2 / (threads as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::passwords::HashParameters;

    const MIB: u64 = 1 << 20;

    fn hashing(threads: usize) -> HasherSettings {
        let parameters = HashParameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
        HasherSettings { parameters, threads, max_wait: Duration::from_secs(2) }
    }

    #[test]
    fn excess_over_the_memory_limit_is_reported() {
        assert_eq!(excess_memory(&hashing(2), 70 * MIB), None);
        assert_eq!(
            excess_memory(&hashing(4), 70 * MIB).expect("too much"),
            "19.0 MiB for each hashing thread (POSTERN_HASH_THREADS: 4) and 32.0 MiB for everything else are 108.0 MiB, \
             38.0 MiB more than the memory limit of 70.0 MiB: lower memory or threads, or raise the limit"
        );
    }

    #[test]
    fn half_a_cpu_stays_free() {
        for (threads, cpus, exceeds) in [(1, 1.0, true), (1, 2.0, false), (2, 2.0, true), (2, 2.5, false)] {
            assert_eq!(exceeds_cpus(threads, cpus), exceeds, "{threads} of {cpus}");
        }
    }

    #[test]
    fn lanes_share_the_memory_of_a_hash() {
        let parameters = HashParameters { lanes: 4, ..hashing(2).parameters };

        assert_eq!(excess_memory(&HasherSettings { parameters, ..hashing(2) }, 70 * MIB), None);
    }

    #[test]
    fn share_leaves_a_third_for_requests() {
        let limit = 92 * MIB;
        let parameters = HashParameters { memory_kib: 20 * 1024, ..hashing(2).parameters };

        assert_eq!(share(2, limit), 20 * MIB);
        assert_eq!(default_request_memory(&HasherSettings { parameters, ..hashing(2) }, Some(limit)), 10 * MIB);
        assert_eq!(share(2, MIB), 0);
    }

    #[test]
    fn requests_get_half_of_what_hashing_leaves() {
        let default = |limit| default_request_memory(&hashing(2), limit) / MIB;

        assert_eq!(default(Some(256 * MIB)), (256 - 32 - 2 * 19) / 2);
        assert_eq!([Some(70 * MIB), Some(1 << 40), None].map(default), [4, 1024, 64]);
    }

    #[test]
    fn requests_beyond_the_memory_limit_are_reported() {
        assert_eq!(excess_request_memory(&hashing(2), 30 * MIB, 100 * MIB), None);
        assert_eq!(
            excess_request_memory(&hashing(2), 31 * MIB, 100 * MIB).expect("too much"),
            "31.0 MiB is more than the 30.0 MiB that hashing and the server leave of the memory limit of 100.0 MiB"
        );
    }
}
