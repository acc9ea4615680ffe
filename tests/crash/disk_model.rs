//! A model of a disk after a power loss: it has all synced data, and any part of the unsynced data.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::journal::Call;
use crate::journal::Note;

/// The part of the unsynced data that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Nothing, as if only the process had been killed.
    Nothing,
    Everything,
    /// A pseudo-random part with this seed: whole writes, and sectors of others.
    Some(u64),
}

/// The files below a directory, by path; directories have no content.
pub type Files = BTreeMap<String, Option<Vec<u8>>>;

/// The unit in which a disk keeps or loses a write.
const SECTOR_BYTES: usize = 512;

/// A disk and its unsynced changes.
#[derive(Default)]
pub struct DiskModel {
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    /// The names as programs see them.
    names: Names,
    /// The names that are on disk.
    synced_names: Names,
    /// The unsynced changes of those, in order.
    unsynced_names: Vec<Vec<(String, Option<Entry>)>>,
}

type Names = BTreeMap<String, Entry>;

#[derive(Clone, Copy)]
enum Entry {
    Directory,
    File(usize),
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl DiskModel {
    /// Returns the disk after these calls.
    pub fn after(notes: &[Note]) -> Self {
        let mut model = Self::default();
        for note in notes {
            model.make(&note.call);
        }
        model
    }

    fn make(&mut self, call: &Call) {
        match call {
            Call::Create { path, inode } => {
                self.by_inode.insert(*inode, self.files.len());
                self.name(vec![(path.clone(), Some(Entry::File(self.files.len())))]);
                self.files.push(File::default());
            }
            Call::MakeDirectory { path } => self.name(vec![(path.clone(), Some(Entry::Directory))]),
            Call::Rename { from, to } => {
                let entry = self.names.get(from).copied();
                self.name(vec![(to.clone(), entry), (from.clone(), None)]);
            }
            Call::Remove { path } => {
                if let Some(Entry::File(removed)) = self.names.get(path).copied() {
                    // Another file may get its inode.
                    self.by_inode.retain(|_, file| *file != removed);
                }
                self.name(vec![(path.clone(), None)]);
            }
            Call::Write { inode, offset, data, .. } => self.change(*inode, Change::Write(*offset, data.clone())),
            Call::Truncate { inode, length } => self.change(*inode, Change::Truncate(*length)),
            Call::Sync { path, inode } => self.sync(path, *inode),
        }
    }

    fn name(&mut self, change: Vec<(String, Option<Entry>)>) {
        rename(&mut self.names, &change);
        self.unsynced_names.push(change);
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(file) = self.by_inode.get(&inode) {
            self.files[*file].unsynced.push(change);
        }
    }

    /// A file syncs its content, and a directory the names in it: syncing a file does not sync its name.
    fn sync(&mut self, path: &str, inode: u64) {
        if let Some(file) = self.by_inode.get(&inode) {
            let file = &mut self.files[*file];
            for change in file.unsynced.drain(..) {
                change.make(&mut file.synced, |_| true);
            }
            return;
        }
        let is_in = |change: &Vec<(String, _)>| change.iter().any(|(name, _)| parent(name) == path);
        for change in self.unsynced_names.extract_if(.., |change| is_in(change)) {
            rename(&mut self.synced_names, &change);
        }
    }

    /// Returns the files after the power loss. The index of SQLite's log is left out: it has no data of its own, and
    /// changes through a memory map.
    pub fn files(&self, loss: Loss) -> Files {
        let mut dice = Dice(if let Loss::Some(seed) = loss { seed } else { 0 });
        let kept = match loss {
            Loss::Nothing => self.unsynced_names.len(),
            Loss::Everything => 0,
            Loss::Some(_) => dice.below(self.unsynced_names.len() + 1),
        };
        let mut found = self.synced_names.clone();
        self.unsynced_names[..kept].iter().for_each(|change| rename(&mut found, change));
        found.retain(|path, _| !path.ends_with("-shm"));
        let file = |(path, entry)| match entry {
            Entry::Directory => (path, None),
            Entry::File(file) => (path, Some(self.files[file].content(loss, &mut dice))),
        };
        found.into_iter().map(file).collect()
    }
}

impl File {
    /// Returns its content.
    fn content(&self, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.synced.clone();
        for change in &self.unsynced {
            let fate = match loss {
                Loss::Nothing => 0,
                Loss::Everything => 1,
                Loss::Some(_) => dice.below(3),
            };
            match fate {
                0 => change.make(&mut content, |_| true),
                1 => {}
                _ => change.make(&mut content, |_| dice.below(2) == 0),
            }
        }
        content
    }
}

impl Change {
    /// Applies the change to a content, in the sectors that are kept.
    fn make(&self, content: &mut Vec<u8>, mut is_kept: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate(length) => {
                if is_kept(0) {
                    content.resize(*length, 0);
                }
            }
            Self::Write(offset, data) => {
                for (number, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                    if is_kept(number) {
                        let start = offset + number * SECTOR_BYTES;
                        content.resize(content.len().max(start + sector.len()), 0);
                        content[start..start + sector.len()].copy_from_slice(sector);
                    }
                }
            }
        }
    }
}

fn rename(names: &mut Names, change: &[(String, Option<Entry>)]) {
    for (name, entry) in change {
        match entry {
            Some(entry) => drop(names.insert(name.clone(), *entry)),
            None => drop(names.remove(name)),
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A deterministic generator (splitmix64, by Vigna).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).expect("below a size")
    }
}

/// Writes the files of one directory into another.
pub fn write(files: &Files, was_in: &Path, directory: &Path) {
    let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path).expect("a directory");
    make(directory);
    for (path, content) in files {
        let Ok(path) = Path::new(path).strip_prefix(was_in) else { continue };
        let path = directory.join(path);
        match content {
            None => make(&path),
            // A file is lost with its directory.
            Some(content) if path.parent().is_some_and(Path::is_dir) => {
                let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
                std::io::Write::write_all(&mut file.expect("a file"), content).expect("space");
            }
            Some(_) => {}
        }
    }
}

/// Returns the files in a directory.
pub fn read(directory: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.to_str().expect("UTF-8").to_owned();
        if path.is_dir() {
            files.extend(read(&path));
            files.insert(name, None);
        } else if !name.ends_with("-shm") {
            files.insert(name, Some(fs::read(&path).expect("a file")));
        }
    }
    files
}
