//! Files and directories that are for their owner alone.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use zeroize::Zeroizing;

const OWNER_ONLY: u32 = 0o600;

/// Why a file that is for its owner alone was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// The system does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others may read it, or the group may write it.
    #[error("mode {mode:04o}: others must not read it and the group must not write it (chmod 600, or 440)")]
    Exposed {
        /// Its permission bits.
        mode: u32,
    },
}

/// Reads a file that owner and group alone may read: a Secret is mounted as root:fsGroup 0440.
///
/// # Errors
/// Where others may read it or the group may write it, or what the system says.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, NotPrivate> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(NotPrivate::Exposed { mode });
    }
    Ok(Zeroizing::new(io::read_to_string(file)?))
}

/// Makes a directory and its parents, with mode 0700 where they are not there yet, so that a power cut finds them.
///
/// # Errors
/// What the system says.
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_private_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        outcome => outcome.and_then(|()| sync_parent(directory)),
    }
}

/// Waits until a file or directory is on disk.
///
/// # Errors
/// What the system says.
pub fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Waits until the directory that holds this file or directory is on disk.
///
/// # Errors
/// What the system says.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        None => Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => sync(Path::new(".")),
        Some(parent) => sync(parent),
    }
}

/// Opens a file to append to; where it is not there, it is made with mode 0600.
///
/// # Errors
/// What the system says.
pub fn open_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).open(path)
}

/// Makes an empty file with mode 0600, where there is nothing, not even a link.
///
/// # Errors
/// What the system says.
pub fn create_private(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path).map(drop)
}

/// Whether another file of this size can be written beside this one. It is removed again.
///
/// # Errors
/// What the system says.
pub fn check_room(path: &Path, size_bytes: usize) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".room");
    let _ = fs::remove_file(&beside);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&beside);
    let written = file.and_then(|mut file| file.write_all(&vec![0; size_bytes]));
    let _ = fs::remove_file(&beside);
    written
}

/// Gives a file mode 0600.
///
/// # Errors
/// What the system says.
pub fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))
}

/// Writes a file with mode 0600 that is there as a whole, on disk, or not at all.
///
/// # Errors
/// What the system says.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&temporary)?;
    // Where an earlier attempt has left the file behind, it keeps the mode that it had.
    file.set_permissions(fs::Permissions::from_mode(OWNER_ONLY))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}
