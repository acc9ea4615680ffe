//! The memory and processors available to the process, by its cgroup (cgroups(7)) and the machine.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

/// Returns the memory available to the process, in bytes: the minimum of the machine's memory and the limits of its cgroup
/// and that cgroup's ancestors, version 1 or 2; `None` if all are unknown. `root` is `/`, or a test's copy of its layout.
#[must_use]
pub fn memory_limit(root: &Path) -> Option<u64> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let directories = memberships.lines().filter_map(|line| directories(root, line, "memory")).flatten();
    // Without a limit, the file contains `max` or a number larger than any machine's memory.
    let limit = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse().ok();
    let limits = directories.filter_map(|directory| {
        limit(directory.join("memory.max")).or_else(|| limit(directory.join("memory.limit_in_bytes")))
    });
    limits.chain(machine_bytes(root)).min()
}

/// Returns the number of processors available to the process: the minimum of its CPU affinity and the quotas of its cgroup
/// and that cgroup's ancestors, version 1 or 2, which may be fractions. `root` is `/`, or a test's copy of its layout.
#[must_use]
pub fn processors(root: &Path) -> f64 {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let directories = memberships.lines().filter_map(|line| directories(root, line, "cpu")).flatten();
    // With a quota, this number is the quota rounded down, otherwise the number of processors.
    let whole = thread::available_parallelism().map_or(1, usize::from);
    let whole = u32::try_from(whole).map_or(f64::MAX, f64::from);
    // Quota and period are in microseconds. Without a quota, the file contains `max` or a negative number.
    let read = |file: PathBuf| fs::read_to_string(file).ok();
    let quotas = directories.filter_map(|directory| {
        let both = read(directory.join("cpu.max")).or_else(|| {
            let quota = read(directory.join("cpu.cfs_quota_us"))?;
            Some(format!("{} {}", quota.trim(), read(directory.join("cpu.cfs_period_us"))?))
        })?;
        let (quota, period) = both.trim().split_once(' ')?;
        let quota = quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?;
        (quota > 0.0 && quota.is_finite()).then_some(quota)
    });
    let minimum = quotas.fold(f64::MAX, f64::min);
    // A larger quota than this was not rounded down to `whole`: the affinity limits the process.
    if minimum < whole + 1.0 { minimum } else { whole }
}

/// Returns the directories that may contain limits of a controller, for a line of `/proc/self/cgroup`. The line has the form
/// `number:controllers:path`; version 2 has no controllers.
fn directories(root: &Path, line: &str, controller: &str) -> Option<Vec<PathBuf>> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let mount = match controllers {
        "" => root.join("sys/fs/cgroup"),
        _ if controllers.split(',').any(|other| other == controller) => root.join("sys/fs/cgroup").join(controller),
        _ => return None,
    };
    let own = mount.join(path.trim_start_matches('/'));
    // In a container, the mount may be the container's own cgroup while the path starts at the machine's root. Callers skip
    // missing directories; the mount itself is the last one.
    let directories = own.ancestors().take_while(|directory| directory.starts_with(&mount));
    Some(directories.map(Path::to_owned).collect())
}

/// Returns the memory of the machine, by `/proc/meminfo`.
fn machine_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))?;
    Some(kibibytes.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:        2048 kB\nMemFree:          512 kB\n");
    const NO_LIMIT_V1: &str = "9223372036854771712\n";

    /// Returns the limit with these files on a machine with 2 MiB.
    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        memory_limit(tree(files).path())
    }

    /// Creates a tree of these files, with a machine of 2 MiB.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (path, text) in files.iter().chain([&MACHINE]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn memory_limit_is_that_of_the_cgroup() {
        let files = [("proc/self/cgroup", "0::/pod/postern\n"), ("sys/fs/cgroup/pod/postern/memory.max", "1000000\n")];

        assert_eq!(limit(&files), Some(1_000_000));
    }

    #[test]
    fn memory_limit_is_the_minimum_of_all_ancestors() {
        for (own, above, top) in [("500000", "600000", "max"), ("max", "500000", "600000"), ("600000", "max", "500000")]
        {
            let files = [
                ("proc/self/cgroup", "0::/pod/postern\n"),
                ("sys/fs/cgroup/pod/postern/memory.max", own),
                ("sys/fs/cgroup/pod/memory.max", above),
                ("sys/fs/cgroup/memory.max", top),
            ];

            assert_eq!(limit(&files), Some(500_000), "{own} {above} {top}");
        }
    }

    #[test]
    fn memory_limit_of_cgroup_version_1_is_found() {
        let files = [
            ("proc/self/cgroup", "9:name=systemd:/\n5:cpu,cpuacct:/\n4:hugetlb,memory:/docker/1a2b\n0::/\n"),
            ("sys/fs/cgroup/memory/docker/1a2b/memory.limit_in_bytes", "700000\n"),
            ("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", NO_LIMIT_V1),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1),
        ];

        assert_eq!(limit(&files), Some(700_000));
    }

    #[test]
    fn memory_limit_of_a_container_is_that_of_its_mount() {
        let version_1 = [
            ("proc/self/cgroup", "4:memory:/kubepods/pod/1a2b\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "700000\n"),
        ];
        let version_2 = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "700000\n")];

        assert_eq!(limit(&version_1), Some(700_000));
        assert_eq!(limit(&version_2), Some(700_000));
    }

    #[test]
    fn memory_limit_is_at_most_that_of_the_machine() {
        let version_2 = |limit| [("proc/self/cgroup", "0::/postern\n"), ("sys/fs/cgroup/postern/memory.max", limit)];
        let version_1 = [
            ("proc/self/cgroup", "4:memory:/postern\n"),
            ("sys/fs/cgroup/memory/postern/memory.limit_in_bytes", NO_LIMIT_V1),
        ];

        for files in [&version_2("max\n")[..], &version_2("99999999\n"), &version_1, &[]] {
            assert_eq!(limit(files), Some(2 * 1024 * 1024), "{files:?}");
        }
    }

    /// Returns the number of processors with these files.
    fn processors_of(files: &[(&str, &str)]) -> f64 {
        let root = tree(files);
        processors(root.path())
    }

    #[test]
    fn processor_quota_may_be_a_fraction() {
        let version_2 = [("proc/self/cgroup", "0::/postern\n"), ("sys/fs/cgroup/postern/cpu.max", "25000 100000\n")];
        let version_1 = [
            ("proc/self/cgroup", "1:cpu:/postern\n"),
            ("sys/fs/cgroup/cpu/postern/cpu.cfs_quota_us", "25000\n"),
            ("sys/fs/cgroup/cpu/postern/cpu.cfs_period_us", "100000\n"),
        ];

        for files in [&version_2[..], &version_1] {
            assert!((processors_of(files) - 0.25).abs() < f64::EPSILON, "{files:?}");
        }
    }

    #[test]
    fn processors_are_at_most_those_of_the_machine() {
        let machine = processors(Path::new("/no/such/tree"));
        let version_2 = |quota| [("proc/self/cgroup", "0::/postern\n"), ("sys/fs/cgroup/postern/cpu.max", quota)];
        let version_1 = [
            ("proc/self/cgroup", "1:cpu:/postern\n"),
            ("sys/fs/cgroup/cpu/postern/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/postern/cpu.cfs_period_us", "100000\n"),
        ];

        assert!(machine >= 1.0);
        for files in [&version_2("max 100000\n")[..], &version_2("900000000 100000\n"), &version_1, &[]] {
            assert!((processors_of(files) - machine).abs() < f64::EPSILON, "{files:?}");
        }
    }

    #[test]
    fn unknown_memory_has_no_limit() {
        assert_eq!(memory_limit(Path::new("/no/such/tree")), None);
    }
}
