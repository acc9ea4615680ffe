//! Crashes: the program is killed, or loses its connections, its power or its disk space.

#![expect(clippy::duplicate_mod, reason = "the same sentences are compiled for each backend")]

mod backups;
mod crash_points;
mod disk;
mod disk_model;
mod fault_gate;
mod full_disk;
mod journal;
mod lost_connections;
mod migrations;
mod power_loss;
mod small_disk;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;
mod targets;
mod use_cases;

#[path = "."]
mod embedded {
    pub use crate::targets::Embedded as Here;
    mod kills;
    mod kills_under_load;
}

#[path = "."]
mod postgres_redis {
    pub use crate::targets::Servers as Here;
    mod kills;
    mod kills_under_load;
}
