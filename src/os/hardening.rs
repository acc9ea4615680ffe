//! Protection of the process memory, which contains passwords and keys.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Disables core dumps, and prevents other processes of the same user from reading the memory and environment of this one
/// (prctl(2), `PR_SET_DUMPABLE`; ptrace(2)).
///
/// # Errors
/// Returns the error of the system; neither call needs a privilege.
pub fn forbid_memory_access() -> io::Result<()> {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, nothing)?;
    // The kernel ignores the limit if it pipes core dumps to a program (core(5)).
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn process_with_protected_memory_cannot_be_dumped() {
        forbid_memory_access().expect("no privilege is needed");

        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}
