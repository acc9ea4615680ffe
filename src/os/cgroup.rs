//! What the process may take of memory and processors: what its cgroup allows (cgroups(7)), and what the machine has.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

/// The most memory that the process may take, in bytes: the least of the limits of its cgroup and of those above it, of
/// either version, and of what the machine has. `None` where nothing tells. `root` is `/`, or a tree that looks like it.
#[must_use]
pub fn memory_limit(root: &Path) -> Option<u64> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let places = memberships.lines().filter_map(|line| places(root, line, "memory")).flatten();
    // A limit that is none says `max`, or a number larger than any machine.
    let limit = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse().ok();
    let limits = places
        .filter_map(|place| limit(place.join("memory.max")).or_else(|| limit(place.join("memory.limit_in_bytes"))));
    limits.chain(machine_bytes(root)).min()
}

/// How many processors the process may use at once: the least of the quotas of its cgroup and of those above it, of either
/// version, which may be a fraction, and of the processors that it may run on. `root` is `/`, or a tree that looks like it.
#[must_use]
pub fn processors(root: &Path) -> f64 {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let places = memberships.lines().filter_map(|line| places(root, line, "cpu")).flatten();
    // Rounded down from the quota where there is one, and counted otherwise.
    let whole = thread::available_parallelism().map_or(1, usize::from);
    let whole = u32::try_from(whole).map_or(f64::MAX, f64::from);
    // By microseconds of each period. A quota that is none says `max`, or less than nothing.
    let read = |file: PathBuf| fs::read_to_string(file).ok();
    let quotas = places.filter_map(|place| {
        let both = read(place.join("cpu.max")).or_else(|| {
            let quota = read(place.join("cpu.cfs_quota_us"))?;
            Some(format!("{} {}", quota.trim(), read(place.join("cpu.cfs_period_us"))?))
        })?;
        let (quota, period) = both.trim().split_once(' ')?;
        let quota = quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?;
        (quota > 0.0 && quota.is_finite()).then_some(quota)
    });
    let least = quotas.fold(f64::MAX, f64::min);
    // Less than a whole one more, or the quota is not what it was rounded from.
    if least < whole + 1.0 { least } else { whole }
}

/// Where the limits of a controller are, for a line of `/proc/self/cgroup`: `number:controllers:path`, where version 2 has no
/// controllers.
fn places(root: &Path, line: &str, controller: &str) -> Option<Vec<PathBuf>> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let mount = match controllers {
        "" => root.join("sys/fs/cgroup"),
        _ if controllers.split(',').any(|other| other == controller) => root.join("sys/fs/cgroup").join(controller),
        _ => return None,
    };
    let place = mount.join(path.trim_start_matches('/'));
    // In a container, the mount may begin with its own cgroup while the path begins with the machine's: what is not there
    // is passed over, and the mount itself comes last.
    let places = place.ancestors().take_while(|place| place.starts_with(&mount));
    Some(places.map(Path::to_owned).collect())
}

/// What the machine has: the first line of `/proc/meminfo`.
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

    /// The limit in a tree of these files, beside a machine of 2 MiB.
    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        memory_limit(tree(files).path())
    }

    /// A tree of these files, beside a machine of 2 MiB.
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
    fn the_limit_is_that_of_the_cgroup() {
        let files = [("proc/self/cgroup", "0::/pod/postern\n"), ("sys/fs/cgroup/pod/postern/memory.max", "1000000\n")];

        assert_eq!(limit(&files), Some(1_000_000));
    }

    #[test]
    fn the_least_limit_counts_of_the_cgroup_and_of_those_above() {
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
    fn a_cgroup_of_version_1_has_its_limit_in_another_place() {
        let files = [
            ("proc/self/cgroup", "9:name=systemd:/\n5:cpu,cpuacct:/\n4:hugetlb,memory:/docker/1a2b\n0::/\n"),
            ("sys/fs/cgroup/memory/docker/1a2b/memory.limit_in_bytes", "700000\n"),
            ("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", NO_LIMIT_V1),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1),
        ];

        assert_eq!(limit(&files), Some(700_000));
    }

    #[test]
    fn a_container_whose_mount_begins_with_its_own_cgroup_has_the_limit_of_the_mount() {
        let version_1 = [
            ("proc/self/cgroup", "4:memory:/kubepods/pod/1a2b\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "700000\n"),
        ];
        let version_2 = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "700000\n")];

        assert_eq!(limit(&version_1), Some(700_000));
        assert_eq!(limit(&version_2), Some(700_000));
    }

    #[test]
    fn without_a_limit_or_with_a_larger_one_it_is_what_the_machine_has() {
        let version_2 = |limit| [("proc/self/cgroup", "0::/postern\n"), ("sys/fs/cgroup/postern/memory.max", limit)];
        let version_1 = [
            ("proc/self/cgroup", "4:memory:/postern\n"),
            ("sys/fs/cgroup/memory/postern/memory.limit_in_bytes", NO_LIMIT_V1),
        ];

        for files in [&version_2("max\n")[..], &version_2("99999999\n"), &version_1, &[]] {
            assert_eq!(limit(files), Some(2 * 1024 * 1024), "{files:?}");
        }
    }

    /// The processors that a tree of these files leaves.
    fn processors_of(files: &[(&str, &str)]) -> f64 {
        let root = tree(files);
        processors(root.path())
    }

    #[test]
    fn a_quota_of_processors_may_be_a_fraction_of_one() {
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
    fn without_a_quota_or_with_a_larger_one_there_are_the_processors_of_the_machine() {
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
    fn where_nothing_tells_there_is_no_limit() {
        assert_eq!(memory_limit(Path::new("/no/such/tree")), None);
    }
}
