//! Measures an operation and its baseline in turns, and prints the ratios of their durations.

use std::{
    cell::Cell,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use futures_util::future::join_all;
use tokio::runtime::Runtime;

/// A group of measurements, the rows of a table.
pub struct Group<'criterion> {
    criterion: BenchmarkGroup<'criterion, WallTime>,
    rows: Vec<String>,
}

/// The durations of a number of runs.
struct Sample {
    runs: u64,
    postern: Duration,
    baseline: Duration,
}

impl<'criterion> Group<'criterion> {
    /// Creates a group with this name.
    pub fn new(criterion: &'criterion mut Criterion, name: &str) -> Self {
        let mut criterion = criterion.benchmark_group(name);
        // The same number of runs in each sample, so that all samples have equal weight.
        criterion.sampling_mode(SamplingMode::Flat);
        Self { criterion, rows: Vec::new() }
    }

    /// Measures Postern and a baseline. Both functions run a given number of times and return the duration.
    pub fn measure(
        &mut self,
        names: [&str; 2],
        mut postern: impl FnMut(u64) -> Duration,
        mut baseline: impl FnMut(u64) -> Duration,
    ) {
        let mut samples: Vec<Sample> = Vec::new();
        self.criterion.bench_function(names[0], |bencher| {
            bencher.iter_custom(|runs| {
                // The order alternates, so that each side runs equally often in the wake of the other.
                let sample = if samples.len().is_multiple_of(2) {
                    let postern = postern(runs);
                    Sample { runs, postern, baseline: baseline(runs) }
                } else {
                    let baseline = baseline(runs);
                    Sample { runs, postern: postern(runs), baseline }
                };
                let postern = sample.postern;
                samples.push(sample);
                postern
            });
        });
        self.rows.extend(row(names, &samples));
    }

    /// Prints the table.
    pub fn print(self) {
        self.criterion.finish();
        if !self.rows.is_empty() {
            println!(
                "| operation | Postern | baseline | baseline figure | ratio (middle half) |\n|---|---|---|---|---|"
            );
            println!("{}\n", self.rows.join("\n"));
        }
    }
}

/// Makes a function that runs a routine a number of times and returns the duration.
pub fn timed<T>(mut routine: impl FnMut() -> T) -> impl FnMut(u64) -> Duration {
    move |runs| {
        let started = Instant::now();
        for _ in 0..runs {
            black_box(routine());
        }
        started.elapsed()
    }
}

/// Makes a function that runs an asynchronous routine a number of times, one after the other, and returns the duration.
pub fn timed_async<T>(runtime: &Runtime, mut routine: impl AsyncFnMut() -> T) -> impl FnMut(u64) -> Duration {
    move |runs| {
        runtime.block_on(async {
            let started = Instant::now();
            for _ in 0..runs {
                black_box(routine().await);
            }
            started.elapsed()
        })
    }
}

/// The number of concurrent callers of another server. A single caller would mainly measure whether client and server run on
/// the same processor: 23 or 120 µs for the same call.
pub const CALLERS: usize = 8;

/// Makes a function that runs an asynchronous routine a number of times by [`CALLERS`] concurrent callers and returns the
/// duration. The routine gets the number of its caller.
pub fn timed_at_once<T>(runtime: &Runtime, routine: impl AsyncFn(usize) -> T) -> impl FnMut(u64) -> Duration {
    move |runs| {
        runtime.block_on(async {
            let (routine, left, started) = (&routine, &Cell::new(runs), Instant::now());
            let callers = (0..CALLERS).map(|caller| async move {
                while let Some(others) = left.get().checked_sub(1) {
                    left.set(others);
                    black_box(routine(caller).await);
                }
            });
            join_all(callers).await;
            started.elapsed()
        })
    }
}

/// Returns a row of the table, or `None` if there are too few samples: the measurement was filtered out or run only once.
fn row([operation, baseline_name]: [&str; 2], samples: &[Sample]) -> Option<String> {
    // During criterion's warm-up, the number of runs varies.
    let runs = samples.last()?.runs;
    let samples: Vec<_> = samples.iter().filter(|sample| sample.runs == runs).collect();
    if samples.len() < 4 {
        return None;
    }
    let sorted = |value: fn(&Sample) -> f64| {
        let mut values: Vec<_> = samples.iter().map(|sample| value(sample)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let ratios = sorted(|sample| sample.postern.as_secs_f64() / sample.baseline.as_secs_f64());
    let postern = median(&sorted(|sample| seconds_per_run(sample.postern, sample.runs)));
    let baseline = median(&sorted(|sample| seconds_per_run(sample.baseline, sample.runs)));
    let (postern, baseline) = (time_text(postern), time_text(baseline));
    let (low, ratio, high) = (ratios[ratios.len() / 4], median(&ratios), ratios[ratios.len() * 3 / 4]);
    Some(format!("| {operation} | {postern} | {baseline_name} | {baseline} | {ratio:.2} ({low:.2}–{high:.2}) |"))
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2⁵³ runs")]
fn seconds_per_run(all: Duration, runs: u64) -> f64 {
    all.as_secs_f64() / runs as f64
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn time_text(seconds: f64) -> String {
    match seconds {
        under if under < 1e-6 => format!("{:.0} ns", seconds * 1e9),
        under if under < 1e-3 => format!("{:.1} µs", seconds * 1e6),
        _ => format!("{:.1} ms", seconds * 1e3),
    }
}
