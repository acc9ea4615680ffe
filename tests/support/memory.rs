//! The memory of a server.

use super::program::Serving;

impl Serving {
    /// Returns a value of `/proc/PID/status`, in bytes.
    pub fn memory_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        value.and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("a number of kibibytes") * 1024
    }
}
