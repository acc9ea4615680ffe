//! The memory and CPU budget of hashing.

use std::path::Path;

use bytesize::ByteSize;

use crate::{os::cgroup, passwords::HasherSettings};

/// The memory of an idle server in bytes: 25 MiB measured, plus a margin.
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

/// Returns the error if hashing exceeds a memory limit in bytes.
pub fn excess_memory(hashing: &HasherSettings, limit: u64) -> Option<String> {
    let (threads, memory_kib) = (hashing.threads as u64, hashing.parameters.memory_kib);
    let needed = threads * u64::from(memory_kib) * 1024 + BASELINE_MEMORY_BYTES;
    let excess = needed.checked_sub(limit).filter(|excess| *excess > 0)?;
    let [needed, excess, limit, rest] = [needed, excess, limit, BASELINE_MEMORY_BYTES].map(ByteSize::b);
    let memory = ByteSize::kib(memory_kib.into());
    Some(format!(
        "{memory} for each hashing thread (POSTERN_HASH_THREADS: {threads}) and {rest} for everything else are {needed}, \
         {excess} more than the memory limit of {limit}: lower memory or threads, or raise the limit"
    ))
}

/// Returns the maximum memory of each thread within a memory limit, in bytes.
pub fn share(threads: usize, limit: u64) -> u64 {
    limit.saturating_sub(BASELINE_MEMORY_BYTES) / (threads as u64)
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
    fn share_is_the_maximum_that_fits() {
        let memory_kib = u32::try_from(share(2, 70 * MIB) / 1024).expect("a size");
        let hashing = |memory_kib| {
            let parameters = HashParameters { memory_kib, ..hashing(2).parameters };
            HasherSettings { parameters, ..hashing(2) }
        };

        assert_eq!(excess_memory(&hashing(memory_kib), 70 * MIB), None);
        assert!(excess_memory(&hashing(memory_kib + 1), 70 * MIB).is_some());
        assert_eq!(share(2, MIB), 0);
    }
}
