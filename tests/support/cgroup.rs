//! A control group with a limit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

/// A control group with a limit, version 1 or 2. Removed on drop; its processes must have ended.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Creates a control group with a memory limit such as `256M`; `None` if this process may not.
    pub fn with_memory(limit: &str) -> Option<Self> {
        Self::create([("memory", "memory.limit_in_bytes", limit), ("", "memory.max", limit)])
    }

    /// Creates a control group that may use this many CPUs, in tenths; `None` if this process may not.
    pub fn with_cpu_tenths(tenths: u32) -> Option<Self> {
        // In each period of 100 ms, the default of both versions.
        let microseconds = tenths * 10_000;
        let (quota, max) = (microseconds.to_string(), format!("{microseconds} 100000"));
        Self::create([("cpu", "cpu.cfs_quota_us", &quota), ("", "cpu.max", &max)])
    }

    /// Creates a control group in the first hierarchy that has this file, and writes the limit to it.
    fn create(places: [(&str, &str, &str); 2]) -> Option<Self> {
        places.into_iter().find_map(|(hierarchy, file, limit)| {
            let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(format!("postern-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&path).ok()?;
            let cgroup = Self(path);
            let file = cgroup.0.join(file);
            (file.exists() && fs::write(&file, limit).is_ok()).then_some(cgroup)
        })
    }

    /// Returns a command that runs the program in the control group.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_postern"), arguments)
    }

    /// Returns a command that runs another build of the program in the control group.
    pub fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
        command.arg(self.0.join("cgroup.procs")).arg(program).args(arguments);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while a process has not been reaped; an empty control group costs nothing.
        let _ = fs::remove_dir(&self.0);
    }
}
