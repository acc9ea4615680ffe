//! Two things measured beside each other, and how many times as long the first one takes.

use std::{
    cell::Cell,
    hint::black_box,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use tokio::runtime::Runtime;

/// A group of measurements, which become the rows of a table.
pub struct Group<'criterion> {
    criterion: BenchmarkGroup<'criterion, WallTime>,
    rows: Vec<String>,
}

/// How long so many runs took, of ours and of what stands beside it.
struct Sample {
    runs: u64,
    ours: Duration,
    bare: Duration,
}

impl<'criterion> Group<'criterion> {
    /// A group of this name.
    pub fn new(criterion: &'criterion mut Criterion, name: &str) -> Self {
        let mut criterion = criterion.benchmark_group(name);
        // Each sample counts as much as any other: all of them are of the same number of runs.
        criterion.sampling_mode(SamplingMode::Flat);
        Self { criterion, rows: Vec::new() }
    }

    /// Measures ours beside something bare; both are told how often to run, and say how long that took.
    pub fn measure(
        &mut self,
        names: [&str; 2],
        mut ours: impl FnMut(u64) -> Duration,
        mut bare: impl FnMut(u64) -> Duration,
    ) {
        let mut samples: Vec<Sample> = Vec::new();
        self.criterion.bench_function(names[0], |bencher| {
            bencher.iter_custom(|runs| {
                // In turns, and each in turn first: whatever the first one leaves behind, the other one does too.
                let sample = if samples.len().is_multiple_of(2) {
                    let ours = ours(runs);
                    Sample { runs, ours, bare: bare(runs) }
                } else {
                    let bare = bare(runs);
                    Sample { runs, ours: ours(runs), bare }
                };
                let ours = sample.ours;
                samples.push(sample);
                ours
            });
        });
        self.rows.extend(row(names, &samples));
    }

    /// Prints the table.
    pub fn print(self) {
        self.criterion.finish();
        if !self.rows.is_empty() {
            println!("| what | Postern | beside | bare | ratio (middle half) |\n|---|---|---|---|---|");
            println!("{}\n", self.rows.join("\n"));
        }
    }
}

/// Runs something as often as asked, and says how long that took.
pub fn timed<T>(mut routine: impl FnMut() -> T) -> impl FnMut(u64) -> Duration {
    move |runs| {
        let started = Instant::now();
        for _ in 0..runs {
            black_box(routine());
        }
        started.elapsed()
    }
}

/// Runs something asynchronous as often as asked, one run after the other, and says how long that took.
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

/// How many run something at once, where it is done by servers beside us. One alone would measure, more than anything
/// else, whether a server's process happens to sit on the processor that its client sits on: 23 or 120 µs, for the same.
pub const CALLERS: usize = 8;

/// Runs something asynchronous as often as asked, by [`CALLERS`] at once, each of whom knows its number, and says how long
/// that took.
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

/// A row of the table; none where nothing was measured, because it was left out or run only once.
fn row([ours_name, bare_name]: [&str; 2], samples: &[Sample]) -> Option<String> {
    // While criterion warms up, the number of runs changes from sample to sample.
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
    let ratios = sorted(|sample| sample.ours.as_secs_f64() / sample.bare.as_secs_f64());
    let ours = median(&sorted(|sample| seconds_a_run(sample.ours, sample.runs)));
    let bare = median(&sorted(|sample| seconds_a_run(sample.bare, sample.runs)));
    let (ours, bare) = (time_text(ours), time_text(bare));
    let (low, ratio, high) = (ratios[ratios.len() / 4], median(&ratios), ratios[ratios.len() * 3 / 4]);
    Some(format!("| {ours_name} | {ours} | {bare_name} | {bare} | {ratio:.2} ({low:.2}–{high:.2}) |"))
}

#[expect(clippy::cast_precision_loss, reason = "nobody runs anything 2⁵³ times")]
fn seconds_a_run(all: Duration, runs: u64) -> f64 {
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
