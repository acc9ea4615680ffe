//! A disk that fails on command: `disk.c`, between the program and its files.

use std::{fs, path::PathBuf};

use tokio::process::Command;

use crate::journal;
use crate::journal::Note;
use crate::support::Postern;
use crate::targets::data_of;

/// The disk of one program.
pub struct Disk {
    commands: tempfile::TempDir,
}

impl Disk {
    pub async fn new() -> Self {
        let disk = Self { commands: tempfile::tempdir().expect("a temporary directory") };
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]).arg(disk.command_file("disk.so"));
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/disk.c")).args(["-ldl", "-lpthread"]);
        let compiled = command.output().await.expect("`cc`, which SQLite is compiled by too");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        disk
    }

    /// Puts the data of the program on this disk.
    pub fn under(&self, postern: Postern) -> Postern {
        let text = |path: PathBuf| path.to_str().expect("a text").to_owned();
        let data = text(data_of(&postern));
        postern
            .with("LD_PRELOAD", text(self.command_file("disk.so")))
            .with("DISK_COMMANDS", text(self.commands.path().to_owned()))
            .with("DISK_FILES", data)
    }

    /// Kills the program at this point, counted from 1 from now on.
    pub fn kill_at(&self, point: usize) {
        let draft = self.command_file("draft");
        fs::write(&draft, point.to_string()).expect("a file");
        fs::rename(draft, self.command_file("fatal")).expect("a file");
    }

    /// Ends that.
    pub fn spare(&self) {
        fs::remove_file(self.command_file("fatal")).expect("a command");
    }

    /// Leaves no space.
    pub fn fill(&self) {
        fs::write(self.command_file("full"), "").expect("a file");
    }

    /// Ends that.
    pub fn clear(&self) {
        fs::remove_file(self.command_file("full")).expect("a command");
    }

    /// Starts to record every change.
    pub fn keep_journal(&self) {
        fs::write(self.command_file("journal"), "").expect("a file");
    }

    /// Returns the length of the journal, in bytes.
    pub fn journal_bytes(&self) -> usize {
        usize::try_from(fs::metadata(self.command_file("journal")).expect("a journal").len()).expect("a length")
    }

    /// Returns the records so far.
    pub fn journal(&self) -> Vec<Note> {
        journal::read(&fs::read(self.command_file("journal")).expect("a journal"))
    }

    /// Returns the path of a command file.
    fn command_file(&self, name: &str) -> PathBuf {
        self.commands.path().join(name)
    }
}
