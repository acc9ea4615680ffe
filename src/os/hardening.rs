//! What others on the machine may see of the memory of this process: nothing, since passwords and keys are in it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From now on the process leaves no core dump, and no other process of the same user can read its memory or its
/// environment (prctl(2), `PR_SET_DUMPABLE`; ptrace(2)).
///
/// # Errors
/// Where the system does not allow it, though it allows everybody as much.
pub fn forbid_memory_access() -> io::Result<()> {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, nothing)?;
    // The limit alone does not hold where the kernel pipes core dumps to a program (core(5)).
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_process_that_keeps_to_itself_cannot_be_dumped() {
        forbid_memory_access().expect("everybody may");

        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}
