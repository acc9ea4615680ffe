//! The thread that writes the queue.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use tracing::warn;

use super::line_queue::{Batch, Line, LineCounts, LineKind, LineQueue};

/// The most bytes of one write, unless a single line is longer: `PIPE_BUF` of Linux. A write of at most that many bytes to a
/// pipe is not mixed with those of other processes, and is not cut off if the process ends meanwhile (pipe(7)).
const MAX_WRITE_BYTES: usize = 4096;

/// The pause before another attempt to write to a full pipe that another process has made non-blocking.
const FULL_PIPE_PAUSE: Duration = Duration::from_millis(10);

/// Writes the lines of a queue.
pub(super) struct LineWriter<'queue, W> {
    queue: &'queue LineQueue,
    output: W,
    /// How many of the dropped lines were reported.
    reported: LineCounts,
    /// Whether the last write failed.
    is_failing: bool,
    /// Whether the last line that was written is incomplete.
    is_cut_off: bool,
}

impl<'queue, W: Write> LineWriter<'queue, W> {
    pub fn new(queue: &'queue LineQueue, output: W) -> Self {
        Self { queue, output, reported: LineCounts::default(), is_failing: false, is_cut_off: false }
    }

    /// Writes lines for as long as the process runs.
    pub fn run(mut self) -> ! {
        let mut batch = Batch::new();
        loop {
            self.queue.take(&mut batch);
            self.write(&batch);
            self.report_dropped();
        }
    }

    /// Writes a batch. Lines that cannot be written, because the reader is gone or a disk is full, are dropped.
    fn write(&mut self, batch: &Batch) {
        let (mut bytes, mut lines) = (batch.bytes.as_slice(), batch.lines.as_slice());
        while !lines.is_empty() {
            let (count, length) = leading_lines(lines, MAX_WRITE_BYTES);
            let count = count.max(1);
            let length = length.max(lines[0].length);
            let written = self.write_bytes(&bytes[..length]);
            for line in &lines[leading_lines(lines, written).0..count] {
                self.queue.count_dropped(line.kind, 1);
            }
            (bytes, lines) = (&bytes[length..], &lines[count..]);
        }
    }

    /// Writes the bytes of lines until a write fails, and returns how many were written.
    fn write_bytes(&mut self, bytes: &[u8]) -> usize {
        // The rest of a line that a full disk has cut off is lost: the next line must not continue it.
        if self.is_cut_off {
            self.is_cut_off = write_all(&mut self.output, b"\n") == 0;
        }
        let written = if self.is_cut_off { 0 } else { write_all(&mut self.output, bytes) };
        self.is_failing = written < bytes.len();
        self.is_cut_off |= written > 0 && bytes[written - 1] != b'\n';
        written
    }

    /// Logs how many lines were dropped since the last report, once lines can be written again.
    fn report_dropped(&mut self) {
        let dropped = self.queue.dropped();
        if self.is_failing || dropped == self.reported {
            return;
        }
        let [audit, server, request] = LineKind::ALL.map(|kind| dropped[kind] - self.reported[kind]);
        self.reported = dropped;
        warn!(audit, server, request, "dropped log lines that were not read in time");
    }
}

/// Returns how many lines at the start fit into this many bytes, and their length.
fn leading_lines(lines: &[Line], max_bytes: usize) -> (usize, usize) {
    let (mut count, mut length) = (0, 0);
    while let Some(line) = lines.get(count).filter(|line| length + line.length <= max_bytes) {
        (count, length) = (count + 1, length + line.length);
    }
    (count, length)
}

/// Writes bytes, also to a non-blocking pipe, until that fails. Returns how many were written.
fn write_all(output: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(FULL_PIPE_PAUSE),
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use parking_lot::Mutex;

    use super::*;

    /// The longest wait for the thread that writes.
    const TEST_TIMEOUT: Duration = Duration::from_secs(10);

    /// An output that the test can stall or break.
    #[derive(Clone, Default)]
    struct Output(Arc<OutputState>);

    #[derive(Default)]
    struct OutputState {
        written: Mutex<Vec<Vec<u8>>>,
        /// Blocks the next write until its sender is dropped.
        gate: Mutex<Option<mpsc::Receiver<()>>>,
        /// How many bytes fit before each further write fails; no limit without it.
        space: Mutex<Option<usize>>,
    }

    impl Output {
        fn stall(&self) -> mpsc::Sender<()> {
            let (release, gate) = mpsc::channel();
            *self.0.gate.lock() = Some(gate);
            release
        }

        fn set_space(&self, bytes: Option<usize>) {
            *self.0.space.lock() = bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.written.lock().concat()).expect("UTF-8")
        }
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gate = self.0.gate.lock().take();
            if let Some(gate) = gate {
                // An error: the sender was dropped.
                let _ = gate.recv();
            }
            let mut space = self.0.space.lock();
            let count = space.map_or(bytes.len(), |space| space.min(bytes.len()));
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *space = space.map(|space| space - count);
            self.0.written.lock().push(bytes[..count].to_vec());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (&'static LineQueue, Output) {
        let queue: &LineQueue = Box::leak(Box::new(LineQueue::new()));
        let output = Output::default();
        let writer = LineWriter::new(queue, output.clone());
        thread::spawn(|| writer.run());
        (queue, output)
    }

    fn dropped(queue: &LineQueue) -> [u64; 3] {
        queue.dropped().by_name().map(|(_, count)| count)
    }

    #[test]
    fn lines_of_all_kinds_keep_their_order() {
        let (queue, output) = start();
        let lines: Vec<_> = (0..30_000).map(|number| (LineKind::ALL[number % 3], format!("{number}\n"))).collect();

        for chunk in lines.chunks(1000) {
            for (kind, line) in chunk {
                queue.add(*kind, line.as_bytes());
            }
            queue.wait_until_written(TEST_TIMEOUT);
        }

        assert!(output.text().lines().map(str::parse).eq((0..30_000).map(Ok::<u32, _>)));
        assert_eq!(dropped(queue), [0, 0, 0]);
    }

    #[test]
    fn write_has_whole_lines_and_at_most_pipe_buf() {
        let (queue, output) = start();
        let release = output.stall();
        queue.add(LineKind::Server, b"first\n");
        let lengths = [300, 5000, 300, 4095, 4096, 1];
        for length in lengths.into_iter().chain([200; 50]) {
            queue.add(LineKind::Audit, format!("{}\n", "x".repeat(length)).as_bytes());
        }

        drop(release);
        queue.wait_until_written(TEST_TIMEOUT);

        let written = output.0.written.lock();
        let lengths: Vec<_> = written.iter().map(Vec::len).collect();
        assert!(lengths.len() < 12 && lengths.iter().sum::<usize>() == 23_854, "{lengths:?}");
        for write in written.iter() {
            let lines = write.strip_suffix(b"\n").expect("whole lines");
            assert!(write.len() <= MAX_WRITE_BYTES || !lines.contains(&b'\n'), "{lengths:?}");
        }
    }

    #[test]
    fn stalled_output_delays_no_caller_and_no_end() {
        let (queue, output) = start();
        let _release = output.stall();
        for _ in 0..100_000 {
            queue.add(LineKind::Request, b"a line of a request, which is not read\n");
        }

        let began = std::time::Instant::now();
        queue.wait_until_written(Duration::from_millis(50));

        assert!(began.elapsed() < TEST_TIMEOUT, "{:?}", began.elapsed());
        assert!(dropped(queue)[LineKind::Request as usize] > 10_000);
    }

    #[test]
    fn request_lines_displace_no_others() {
        let (queue, output) = start();
        let release = output.stall();
        let line = format!("{}\n", "x".repeat(300));
        for _ in 0..1000 {
            for _ in 0..10 {
                queue.add(LineKind::Request, line.as_bytes());
            }
            queue.add(LineKind::Audit, b"audit\n");
            queue.add(LineKind::Server, b"server\n");
        }

        drop(release);
        queue.wait_until_written(TEST_TIMEOUT);

        let text = output.text();
        assert_eq!((text.matches("audit\n").count(), text.matches("server\n").count()), (1000, 1000));
        let [audit, server, request] = dropped(queue);
        assert!(audit == 0 && server == 0 && request > 1000, "{request}");
        assert_eq!(u64::try_from(text.matches("x\n").count()), Ok(10_000 - request));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (queue, output) = start();
        output.set_space(Some("first\nsec".len()));
        for line in ["first\n", "second\n", "third\n"] {
            queue.add(LineKind::Server, line.as_bytes());
            queue.wait_until_written(TEST_TIMEOUT);
        }
        assert_eq!((output.text().as_str(), dropped(queue)), ("first\nsec", [0, 2, 0]));

        output.set_space(None);
        queue.add(LineKind::Server, b"fourth\n");
        queue.wait_until_written(TEST_TIMEOUT);

        assert_eq!((output.text().as_str(), dropped(queue)), ("first\nsec\nfourth\n", [0, 2, 0]));
    }
}
