//! Whether two paths name one file.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// How many links Linux follows in a path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// What a path names.
#[derive(PartialEq, Eq)]
enum Identity {
    /// A file or a directory.
    Existing { device: u64, inode: u64 },
    /// The resolved path of a file that does not exist yet.
    Missing(PathBuf),
}

/// Returns whether two paths name one regular file, also by links, or would if they were created.
pub fn is_same_file(first: &Path, second: &Path) -> bool {
    matches!((identity(first), identity(second)), (Some(first), Some(second)) if first == second)
}

/// Returns what a path names, unless it is a device or a pipe, or cannot be looked up.
fn identity(path: &Path) -> Option<Identity> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() => {
            Some(Identity::Existing { device: found.dev(), inode: found.ino() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => resolved(path).map(Identity::Missing),
        Ok(_) | Err(_) => None,
    }
}

/// Returns the path of a missing file in its resolved directory, after the links that name it.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let directory = match path.parent()? {
            parent if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
        let directory = directory.canonicalize().ok()?;
        let Ok(target) = fs::read_link(&path) else { return Some(directory.join(path.file_name()?)) };
        path = directory.join(target);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_file_is_recognised_by_every_name_of_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("sub")).expect("a directory");
        fs::write(path("file"), "").expect("a file");
        fs::hard_link(path("file"), path("hard")).expect("a link");
        symlink("file", path("link")).expect("a link");
        symlink("missing", path("dangling")).expect("a link");
        symlink(".", path("here")).expect("a link");
        symlink("endless", path("endless")).expect("a link");

        for (first, second, is_same) in [
            ("file", "sub/../file", true),
            ("file", "hard", true),
            ("file", "link", true),
            ("missing", "here/./missing", true),
            ("dangling", "sub/../missing", true),
            ("file", "missing", false),
            ("missing", "other", false),
            ("sub/missing", "missing", false),
            ("none/missing", "none/missing", false),
            ("endless", "endless", false),
        ] {
            assert_eq!(is_same_file(&path(first), &path(second)), is_same, "{first} {second}");
        }
        assert!(!is_same_file(Path::new("/dev/null"), Path::new("/dev/null")));
    }
}
