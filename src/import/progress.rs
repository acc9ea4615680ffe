//! The progress of an import: a bar at a terminal, and otherwise a line from time to time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::logging::print_lines;

/// How often a line is printed.
const INTERVAL: Duration = Duration::from_secs(5);

const BAR: &str = "{msg} [{bar:40}] {human_pos} of {human_len} users, {eta} left";
const COUNTER: &str = "{msg}: {human_pos} users";

/// The progress of one step. It disappears from the terminal when it is dropped.
pub(super) struct Progress {
    step: &'static str,
    bar: ProgressBar,
    printed: Instant,
}

impl Progress {
    /// Starts a step with this number of users, if it is known.
    pub(super) fn start(step: &'static str, total: Option<u64>) -> Self {
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let style = ProgressStyle::with_template(if total.is_some() { BAR } else { COUNTER });
        bar.set_style(style.unwrap_or_else(|_| unreachable!("the templates are valid")));
        bar.set_message(step);
        Self { step, bar, printed: Instant::now() }
    }

    pub(super) fn advance(&mut self, users: u64) {
        self.bar.inc(users);
        if self.bar.is_hidden() && self.printed.elapsed() >= INTERVAL {
            self.printed = Instant::now();
            let total = self.bar.length().map(|total| format!(" of {total}")).unwrap_or_default();
            print_lines(&format!("postern: {}: {}{total} users", self.step, self.bar.position()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
