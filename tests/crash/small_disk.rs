//! Disks that can be filled: a mounted one, and a simulated one for every machine.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

use crate::disk::Disk;
use crate::support::{Ended, LONG, Postern, Serving, missing, within};
use crate::targets::data_of;
use crate::targets::postern_with_data;

/// The program with its data on a disk that can be filled.
pub struct SmallDisk {
    postern: Postern,
    kind: Kind,
}

enum Kind {
    Pretended(Disk),
    Mounted(Mount),
}

/// A file system of a few megabytes, visible to one process and those that join its namespace.
struct Mount {
    holder: Child,
    data: PathBuf,
}

impl SmallDisk {
    /// Returns one of each kind that this machine allows.
    pub async fn each() -> Vec<Self> {
        let disk = Disk::new().await;
        let pretended = Self { postern: disk.under(postern_with_data()), kind: Kind::Pretended(disk) };
        let postern = postern_with_data();
        let mount = Mount::over(&data_of(&postern)).await;
        if mount.is_none() {
            missing("mounts", "`unshare` may mount no file system of a few megabytes: not tested on a real full disk");
        }
        let mounted = mount.map(|mount| Self { postern, kind: Kind::Mounted(mount) });
        [Some(pretended), mounted].into_iter().flatten().collect()
    }

    pub async fn serve(&self) -> Serving {
        self.postern.serve_by(self.command(&["serve"])).await
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.postern.prepared(self.command(arguments)).output();
        Ended::of(&within(LONG, "the command ends", output).await.expect("it starts"))
    }

    /// Leaves no space.
    pub fn fill(&self) {
        match &self.kind {
            Kind::Pretended(disk) => disk.fill(),
            Kind::Mounted(mount) => {
                let mut filler = fs::File::create(mount.filler()).expect("a file");
                let full = loop {
                    if let Err(error) = filler.write_all(&[0; 4096]) {
                        break error;
                    }
                };
                assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
            }
        }
    }

    /// Frees the space.
    pub fn clear(&self) {
        match &self.kind {
            Kind::Pretended(disk) => disk.clear(),
            Kind::Mounted(mount) => fs::remove_file(mount.filler()).expect("a file"),
        }
    }

    /// Returns a command that sees the disk.
    fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_postern");
        let mut command = match &self.kind {
            Kind::Pretended(_) => Command::new(program),
            Kind::Mounted(mount) => {
                let mut command = Command::new("nsenter");
                command.args(["--user", "--preserve-credentials", "--mount", "--target", &mount.holder_id()]);
                command.args(["--", program]);
                command
            }
        };
        command.args(arguments);
        command
    }
}

impl Mount {
    /// Returns `None` if this process may not mount.
    async fn over(data: &Path) -> Option<Self> {
        fs::create_dir(data).expect("a directory");
        let mount = r#"mount -t tmpfs -o size=4m,mode=0700 tmpfs "$1" && echo mounted && exec cat"#;
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]).arg(data);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut holder = command.spawn().ok()?;
        let mut mounted = [0; "mounted\n".len()];
        holder.stdout.as_mut().expect("a pipe").read_exact(&mut mounted).await.ok()?;
        Some(Self { holder, data: data.to_owned() })
    }

    /// Returns the path from outside of a file that takes the space.
    fn filler(&self) -> PathBuf {
        let inside = self.data.strip_prefix("/").expect("an absolute path").join("filler");
        PathBuf::from(format!("/proc/{}/root", self.holder_id())).join(inside)
    }

    fn holder_id(&self) -> String {
        self.holder.id().expect("it runs").to_string()
    }
}
