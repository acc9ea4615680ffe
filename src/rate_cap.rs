//! A limit on how often something happens.

use std::time::Duration;

use tokio::time::Instant;

/// Allows a number of events in each period. A period begins with the first event after the last period.
#[derive(Debug)]
pub struct RateCap {
    events: u32,
    period: Duration,
    began: Option<Instant>,
    left: u32,
}

impl RateCap {
    /// Allows this many events per period.
    #[must_use]
    pub const fn new(events: u32, period: Duration) -> Self {
        Self { events, period, began: None, left: 0 }
    }

    /// Returns whether an event at this time is allowed, and counts it.
    pub fn allows(&mut self, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.duration_since(began) >= self.period) {
            (self.began, self.left) = (Some(now), self.events);
        }
        let is_allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_allows_its_number_of_events() {
        let mut cap = RateCap::new(2, Duration::from_mins(1));
        let start = Instant::now();

        let at = [0, 1, 59, 60, 119, 119, 121].map(|seconds| cap.allows(start + Duration::from_secs(seconds)));

        assert_eq!(at, [true, true, false, true, true, false, true]);
    }
}
