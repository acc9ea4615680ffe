//! How fast things are, each beside the bare primitive that it cannot do without.
//!
//!     scripts/with-stores cargo bench --all-features --bench speed
//!     cargo bench --bench speed -- tokens
//!
//! Prints what criterion says, and for each group a table of ratios: how many times as long ours takes. Both sides of a
//! ratio are measured in turns, so that what slows the machine down for a while slows down both. `-- --test` runs
//! everything once and prints no table.
//!
//! Only the public API is used. The group `stores` needs the servers of `scripts/with-stores`.

mod bare;
mod beside;
mod http;
mod passwords;
mod service;
mod stores;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;
mod tokens;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let criterion = Criterion::default().without_plots().sample_size(50).warm_up_time(Duration::from_secs(1));
    let mut criterion = criterion.configure_from_args();
    tokens::measure(&mut criterion);
    passwords::measure(&mut criterion);
    http::measure(&mut criterion);
    stores::measure(&mut criterion);
    criterion.final_summary();
}
