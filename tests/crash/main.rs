//! What a sudden end leaves behind: the program itself is killed, cut off from its stores, or robbed of power or space.

#![expect(clippy::duplicate_mod, reason = "the same sentences are compiled for each backend")]

mod api;
#[path = "../support/asking.rs"]
mod asking;
mod backups;
#[path = "../support/commands.rs"]
mod commands;
mod cuts;
mod disk;
mod full;
mod journal;
mod medium;
mod migrations;
#[path = "../support/page.rs"]
mod page;
mod places;
mod power;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/relay.rs"]
mod relay;
#[path = "../support/servers.rs"]
mod servers;
mod small_disk;
mod toll;
mod use_cases;
mod walk;

#[path = "."]
mod embedded {
    pub use crate::places::Embedded as Here;
    mod kills;
    mod storms;
}

#[path = "."]
mod postgres_redis {
    pub use crate::places::Servers as Here;
    mod kills;
    mod storms;
}
