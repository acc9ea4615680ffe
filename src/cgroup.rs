//! The memory that the process may take: what its cgroup allows (cgroups(7)), and what the machine has.
//!
//! CPUs are not read here: `std::thread::available_parallelism` goes by the quota of the process's cgroup and of those above
//! it, of both versions, rounded down and at least 1, and by the processors that the process may run on.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The most memory that the process may take, in bytes: the least of the limits of its cgroup and of those above it, of
/// either version, and of what the machine has. `None` where nothing tells. `root` is `/`, or a tree that looks like it.
#[must_use]
pub fn memory_limit(root: &Path) -> Option<u64> {
    let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let files = memberships.lines().filter_map(|line| limit_files(root, line)).flatten();
    // A limit that is none says `max`, or a number larger than any machine.
    let limits = files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.chain(machine_bytes(root)).min()
}

/// The files that may hold a limit, for a line of `/proc/self/cgroup`: `number:controllers:path`, where version 2 has no
/// controllers.
fn limit_files(root: &Path, line: &str) -> Option<Vec<PathBuf>> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let mount = root.join(mount);
    let place = mount.join(path.trim_start_matches('/'));
    // In a container, the mount may begin with its own cgroup while the path begins with the machine's: what is not there
    // is passed over, and the mount itself comes last.
    let places = place.ancestors().take_while(|place| place.starts_with(&mount));
    Some(places.map(|place| place.join(file)).collect())
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
        let root = tempfile::tempdir().expect("a temporary directory");
        for (path, text) in files.iter().chain([&MACHINE]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        memory_limit(root.path())
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

    #[test]
    fn where_nothing_tells_there_is_no_limit() {
        assert_eq!(memory_limit(Path::new("/no/such/tree")), None);
    }
}
