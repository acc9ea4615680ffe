//! A control group with a memory limit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

/// A control group with a memory limit, version 1 or 2. Removed on drop; its processes must have ended.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Creates a control group with a limit such as `256M`; `None` if this process may not.
    pub fn with_memory(limit: &str) -> Option<Self> {
        let places = [("memory", "memory.limit_in_bytes"), ("", "memory.max")];
        places.into_iter().find_map(|(hierarchy, file)| {
            let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(format!("postern-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&path).ok()?;
            let cgroup = Self(path);
            let file = cgroup.0.join(file);
            (file.exists() && fs::write(&file, limit).is_ok()).then_some(cgroup)
        })
    }

    /// Returns a command that runs the program in the control group.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
        command.arg(self.0.join("cgroup.procs")).arg(env!("CARGO_BIN_EXE_postern")).args(arguments);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while a process has not been reaped; an empty control group costs nothing.
        let _ = fs::remove_dir(&self.0);
    }
}
