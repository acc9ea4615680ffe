//! Files and directories that only their owner can access.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::text_files::{self, NotText, TextFileError};

const OWNER_ONLY: u32 = 0o600;

/// What the mode of a private file must be, for errors.
pub const EXPECTED_MODE: &str = "others must not read it and the group must not write it (chmod 600, or 440; a secret of \
                                 Docker Swarm needs `uid` and `mode: 0400`, one of Docker Compose has the mode of its file)";

/// Why a private file was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// The file could not be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others can read the file, or its group can write it.
    #[error("mode {mode:04o}: {EXPECTED_MODE}")]
    Exposed {
        /// The permission bits.
        mode: u32,
    },
    /// The content is not text.
    #[error(transparent)]
    NotText(#[from] NotText),
}

impl From<TextFileError> for NotPrivate {
    fn from(error: TextFileError) -> Self {
        match error {
            TextFileError::Io(error) => Self::Io(error),
            TextFileError::NotText(error) => Self::NotText(error),
        }
    }
}

/// Reads the text of a file that only its owner and group can read, without a byte-order mark. The group is allowed because
/// Kubernetes mounts Secrets as root:fsGroup with mode 0440.
///
/// # Errors
/// Returns [`NotPrivate::Exposed`] if others can read the file or the group can write it, [`NotPrivate::Io`] if it is
/// unreadable, and [`NotPrivate::NotText`] if it is not UTF-8.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, NotPrivate> {
    Ok(text_files::read_text(&mut open_unexposed(path)?)?)
}

/// As [`read_private`], for a file whose content is ASCII between bytes that do not count, such as PEM with comments.
///
/// # Errors
/// Those of [`read_private`]; only UTF-16 and UTF-32 are not text.
pub fn read_private_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, NotPrivate> {
    Ok(text_files::read_bytes(&mut open_unexposed(path)?)?)
}

fn open_unexposed(path: &Path) -> Result<fs::File, NotPrivate> {
    let file = text_files::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(NotPrivate::Exposed { mode });
    }
    Ok(file)
}

/// Creates a directory and its missing parents with mode 0700, and syncs them to disk.
///
/// # Errors
/// Returns the error of the system.
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_private_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        // Another process created it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        outcome => outcome.and_then(|()| sync_parent(directory)),
    }
}

/// Syncs a file or directory to disk.
///
/// # Errors
/// Returns the error of the system.
pub fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Syncs the parent directory of a file or directory to disk.
///
/// # Errors
/// Returns the error of the system.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        None => Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => sync(Path::new(".")),
        Some(parent) => sync(parent),
    }
}

/// Opens a file for appending, and creates it with mode 0600 if it is missing.
///
/// # Errors
/// Returns the error of the system.
pub fn open_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).open(path)
}

/// Creates an empty file with mode 0600.
///
/// # Errors
/// Returns an error if the path exists, even as a link, or if the file cannot be created.
pub fn create_private(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path).map(drop)
}

/// Creates an empty file with mode 0600, or empties it.
///
/// # Errors
/// Returns the error of the system.
pub fn create_private_anew(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(path)?;
    // A file left by an earlier attempt has kept its mode. A pipe or a terminal has none of ours.
    if file.metadata()?.is_file() {
        file.set_permissions(fs::Permissions::from_mode(OWNER_ONLY))?;
    }
    Ok(file)
}

/// A file with mode 0600 that gets its name when it is complete.
pub struct ReplacedFile {
    file: fs::File,
    temporary: PathBuf,
    path: PathBuf,
}

impl ReplacedFile {
    /// Creates the file under a temporary name beside `path`.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn create(path: &Path) -> io::Result<Self> {
        let temporary = Self::temporary_path(path);
        Ok(Self { file: create_private_anew(&temporary)?, temporary, path: path.to_owned() })
    }

    /// Returns the temporary name of the file with this path.
    pub fn temporary_path(path: &Path) -> PathBuf {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        temporary.into()
    }

    /// Syncs the file to disk, and gives it its name.
    ///
    /// # Errors
    /// Returns the error of the system.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        sync_parent(&self.path)
    }
}

impl io::Write for ReplacedFile {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.file.write(content)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Checks that the disk has space for another file of this size, by writing and deleting one beside `path`.
///
/// # Errors
/// Returns the error of the write.
pub fn check_room(path: &Path, size_bytes: usize) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".room");
    let _ = fs::remove_file(&beside);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&beside);
    let written = file.and_then(|mut file| file.write_all(&vec![0; size_bytes]));
    let _ = fs::remove_file(&beside);
    written
}

/// Sets the mode of a file to 0600.
///
/// # Errors
/// Returns the error of the system.
pub fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))
}

/// Writes a file with mode 0600 atomically, and syncs it to disk.
///
/// # Errors
/// Returns the error of the system.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = ReplacedFile::create(path)?;
    file.write_all(content)?;
    file.finish()
}
