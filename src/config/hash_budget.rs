//! Hashing within the limits of the process.

use std::path::Path;

use bytesize::ByteSize;

use crate::{os::cgroup, passwords::HasherSettings};

/// What a server takes that hashes nothing and has no connections, in bytes: 25 MiB by measurement, and some to spare.
pub const BASELINE_MEMORY_BYTES: u64 = 32 << 20;

/// The most memory that this process may take, in bytes.
pub fn memory_limit() -> Option<u64> {
    cgroup::memory_limit(Path::new("/"))
}

/// Half a processor: what requests need that hash nothing, some hundred of them a second.
const CPU_HEADROOM: f64 = 0.5;

/// Whether so many threads leave less than half a processor of those that this process may use.
pub fn is_oversubscribed(threads: usize) -> bool {
    leaves_too_little(threads, cgroup::processors(Path::new("/")))
}

fn leaves_too_little(threads: usize, processors: f64) -> bool {
    u32::try_from(threads).map_or(f64::MAX, f64::from) > processors - CPU_HEADROOM
}

/// Why a server cannot hash like this within a memory limit in bytes, if so.
pub fn excess_memory(hashing: &HasherSettings, limit: u64) -> Option<String> {
    let (threads, memory_kib) = (hashing.threads as u64, hashing.parameters.memory_kib);
    let needed = threads * u64::from(memory_kib) * 1024 + BASELINE_MEMORY_BYTES;
    let excess = needed.checked_sub(limit).filter(|excess| *excess > 0)?;
    let [needed, excess, limit, rest] = [needed, excess, limit, BASELINE_MEMORY_BYTES].map(ByteSize::b);
    let memory = ByteSize::kib(memory_kib.into());
    Some(format!(
        "{memory} for each hashing thread (POSTERN_HASH_THREADS: {threads}) and {rest} for all else are {needed}, {excess} \
         more than the memory limit of {limit}: lower either, or raise the limit"
    ))
}

/// The most memory that each of so many hashes at once can have within a limit, in bytes.
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
    fn what_hashes_at_once_and_all_else_fit_into_the_limit_or_by_how_much_they_do_not() {
        assert_eq!(excess_memory(&hashing(2), 70 * MIB), None);
        assert_eq!(
            excess_memory(&hashing(4), 70 * MIB).expect("too much"),
            "19.0 MiB for each hashing thread (POSTERN_HASH_THREADS: 4) and 32.0 MiB for all else are 108.0 MiB, 38.0 MiB \
             more than the memory limit of 70.0 MiB: lower either, or raise the limit"
        );
    }

    #[test]
    fn half_a_processor_is_left_to_all_else() {
        for (threads, processors, is_too_little) in [(1, 1.0, true), (1, 2.0, false), (2, 2.0, true), (2, 2.5, false)] {
            assert_eq!(leaves_too_little(threads, processors), is_too_little, "{threads} of {processors}");
        }
    }

    #[test]
    fn lanes_share_the_memory_of_a_hash() {
        let parameters = HashParameters { lanes: 4, ..hashing(2).parameters };

        assert_eq!(excess_memory(&HasherSettings { parameters, ..hashing(2) }, 70 * MIB), None);
    }

    #[test]
    fn the_share_of_each_hash_is_what_just_fits() {
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
