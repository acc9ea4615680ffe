//! The progress of a migration.

use std::{fmt, time::Duration};

/// How often a step or a wait that takes long is reported.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What a migration is doing. Reported at the start of each step, and then every five seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationProgress {
    /// Another migration of the same database runs.
    WaitingForAnother {
        /// The process ID of its session in PostgreSQL, if it is known.
        session: Option<i32>,
    },
    /// A step of a migration runs.
    Step {
        /// The migration, such as `V6__administration`.
        migration: String,
        /// The number of the step, from 1.
        step: usize,
        /// How many steps the migration has.
        steps: usize,
        /// What the step does or waits for.
        activity: String,
    },
}

impl fmt::Display for MigrationProgress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingForAnother { session: Some(session) } => {
                write!(formatter, "waiting for another migration, session {session} of PostgreSQL")
            }
            Self::WaitingForAnother { session: None } => formatter.write_str("waiting for another migration"),
            Self::Step { migration, step, steps, activity } => {
                write!(formatter, "{migration}, step {step} of {steps}: {activity}")
            }
        }
    }
}

/// Receives the progress of a migration.
pub(super) type Report<'a> = &'a (dyn Fn(&MigrationProgress) + Sync);

/// Reports what one step does.
pub(super) struct StepReport<'a> {
    pub report: Report<'a>,
    pub migration: String,
    pub step: usize,
    pub steps: usize,
}

impl StepReport<'_> {
    pub(super) fn activity(&self, activity: impl Into<String>) {
        let Self { report, migration, step, steps } = self;
        report(&MigrationProgress::Step {
            migration: migration.clone(),
            step: *step,
            steps: *steps,
            activity: activity.into(),
        });
    }
}
