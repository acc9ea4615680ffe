//! The changes of a disk, call by call, as `disk.c` records them.

/// A recorded call.
#[derive(Debug)]
pub struct Note {
    pub call: Call,
    /// The length of the journal after it, in bytes.
    pub journal_bytes: usize,
}

/// The change. Files are identified by their inodes, which a rename keeps.
#[derive(Debug)]
pub enum Call {
    Create { path: String, inode: u64 },
    MakeDirectory { path: String },
    Rename { from: String, to: String },
    Remove { path: String },
    Write { path: String, inode: u64, offset: usize, data: Vec<u8> },
    Truncate { inode: u64, length: usize },
    Sync { path: String, inode: u64 },
}

/// Returns the records of a journal, without one that is incomplete.
pub fn read(journal: &[u8]) -> Vec<Note> {
    let (mut rest, mut notes) = (journal, Vec::new());
    while let Some((call, after)) = read_call(rest) {
        rest = after;
        notes.push(Note { call, journal_bytes: journal.len() - rest.len() });
    }
    notes
}

fn read_call(journal: &[u8]) -> Option<(Call, &[u8])> {
    let (head, rest) = journal.split_at_checked(40)?;
    let [kind, inode, offset, path_bytes, data_bytes] =
        [0, 1, 2, 3, 4].map(|field| u64::from_ne_bytes(head[8 * field..][..8].try_into().expect("eight bytes")));
    let length = |bytes: u64| usize::try_from(bytes).expect("a length");
    let (path, rest) = rest.split_at_checked(length(path_bytes))?;
    let (data, rest) = rest.split_at_checked(length(data_bytes))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let (path, offset) = (text(path), length(offset));
    let call = match u8::try_from(kind).map(char::from) {
        Ok('c') => Call::Create { path, inode },
        Ok('d') => Call::MakeDirectory { path },
        Ok('r') => Call::Rename { from: path, to: text(data) },
        Ok('u') => Call::Remove { path },
        Ok('w') => Call::Write { path, inode, offset, data: data.to_vec() },
        Ok('t') => Call::Truncate { inode, length: offset },
        Ok('s') => Call::Sync { path, inode },
        _ => panic!("no such call: {kind}"),
    };
    Some((call, rest))
}
