//! Where lines go: to standard error, at once or, for lines that may wait, many in one write.
//!
//! Must never lose a line while the process lives, tear a line, or have anybody wait longer than for the writing
//! itself. A log that nobody reads any more is no error.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use super::shards::{SHARDS, Shards};

/// As much as a pipe takes in one piece (`PIPE_BUF`), so that lines stay whole where processes share one.
const BATCH: usize = 4096;

/// Takes lines and writes them.
pub(super) struct Output {
    /// Lines of one thread, as a rule, that wait.
    batches: Shards<Vec<u8>>,
    /// A line waits, or has waited until a moment ago: the flusher is about to come.
    is_waiting: AtomicBool,
    /// No line may wait any more.
    is_closed: AtomicBool,
    flusher: OnceLock<Thread>,
    sink: Sink,
}

/// Writes whole lines; what cannot be written is lost.
pub(super) type Sink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Has the lines written that wait, when it is dropped; after that every line is written at once.
#[must_use = "when it is dropped, no line waits any more"]
pub struct LogGuard(Option<(Arc<Output>, JoinHandle<()>)>);

/// Standard error.
pub(super) fn standard_error() -> Sink {
    Box::new(|lines| {
        // There is nowhere to complain.
        let _ = io::stderr().write_all(lines);
    })
}

impl Output {
    /// Lines that may wait are written after `delay` at the latest; zero: at once.
    pub(super) fn start(sink: Sink, delay: Duration) -> (Arc<Self>, LogGuard) {
        let output = Arc::new(Self {
            batches: Shards::default(),
            is_waiting: AtomicBool::new(false),
            is_closed: AtomicBool::new(delay.is_zero()),
            flusher: OnceLock::new(),
            sink,
        });
        if delay.is_zero() {
            return (output, LogGuard::none());
        }
        let flushed = output.clone();
        let Ok(thread) = thread::Builder::new().name("log".to_owned()).spawn(move || flushed.flush_in_time(delay))
        else {
            output.is_closed.store(true, Ordering::SeqCst);
            return (output, LogGuard::none());
        };
        let _ = output.flusher.set(thread.thread().clone());
        let guard = LogGuard(Some((output.clone(), thread)));
        (output, guard)
    }

    /// Writes a line, which has its line break, and before it what waits of this thread.
    pub(super) fn write(&self, line: &str) {
        let mut batch = self.batch();
        self.append(&mut batch, line);
        self.flush(&mut batch);
    }

    /// The same for a line that may wait for others.
    pub(super) fn write_soon(&self, line: &str) {
        let mut batch = self.batch();
        self.append(&mut batch, line);
        // Both flags are read after the line was put into its batch, and set before the batches are looked through: the
        // line is seen there, or the flag here.
        if self.is_closed.load(Ordering::SeqCst) {
            return self.flush(&mut batch);
        }
        drop(batch);
        if !self.is_waiting.load(Ordering::SeqCst)
            && !self.is_waiting.swap(true, Ordering::SeqCst)
            && let Some(flusher) = self.flusher.get()
        {
            flusher.unpark();
        }
    }

    /// This thread's batch.
    fn batch(&self) -> MutexGuard<'_, Vec<u8>> {
        self.batches.lock(Shards::<Vec<u8>>::own_number())
    }

    fn append(&self, batch: &mut Vec<u8>, line: &str) {
        if batch.len() + line.len() > BATCH {
            self.flush(batch);
        }
        batch.extend_from_slice(line.as_bytes());
    }

    /// The batch stays locked, so that lines of a thread keep their order.
    fn flush(&self, batch: &mut Vec<u8>) {
        if !batch.is_empty() {
            (self.sink)(batch);
            batch.clear();
            // A line of unusual length was there.
            batch.shrink_to(BATCH);
        }
    }

    fn flush_all(&self) {
        for shard in 0..SHARDS {
            self.flush(&mut self.batches.lock(shard));
        }
    }

    /// The flusher's work: it sleeps until a line waits, lets others join it for `delay`, and writes them all.
    fn flush_in_time(&self, delay: Duration) {
        while !self.is_closed.load(Ordering::SeqCst) {
            if !self.is_waiting.load(Ordering::SeqCst) {
                thread::park();
                continue;
            }
            thread::park_timeout(delay);
            self.is_waiting.store(false, Ordering::SeqCst);
            self.flush_all();
        }
    }
}

impl LogGuard {
    /// Where no line waits.
    pub(super) fn none() -> Self {
        Self(None)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some((output, flusher)) = self.0.take() {
            output.is_closed.store(true, Ordering::SeqCst);
            flusher.thread().unpark();
            // It logs nothing and cannot panic, but for the sink.
            let _ = flusher.join();
            output.flush_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// An output, and what it writes, write by write.
    fn recorded(delay: Duration) -> (Arc<Output>, LogGuard, mpsc::Receiver<String>) {
        let (sender, written) = mpsc::channel();
        let sink = move |lines: &[u8]| {
            let _ = sender.send(String::from_utf8_lossy(lines).into_owned());
        };
        let (output, guard) = Output::start(Box::new(sink), delay);
        (output, guard, written)
    }

    #[test]
    fn lines_that_may_wait_go_with_the_next_that_may_not() {
        let (output, _guard, written) = recorded(FOREVER);
        output.write_soon("a\n");
        output.write_soon("b\n");
        output.write("c\n");
        assert_eq!(written.recv_timeout(PATIENCE).expect("a write"), "a\nb\nc\n");
    }

    #[test]
    fn a_line_does_not_wait_for_ever() {
        let (output, _guard, written) = recorded(Duration::from_millis(1));
        for line in ["a\n", "b\n", "c\n"] {
            output.write_soon(line);
            assert_eq!(written.recv_timeout(PATIENCE).expect("a write"), line);
        }
    }

    #[test]
    fn a_delay_of_zero_has_every_line_written_at_once() {
        let (output, _guard, written) = recorded(Duration::ZERO);
        output.write_soon("a\n");
        output.write_soon("b\n");
        assert_eq!(written.try_iter().collect::<Vec<_>>(), ["a\n", "b\n"]);
    }

    #[test]
    fn writes_are_whole_lines_and_no_longer_than_a_pipe_takes_in_one_piece() {
        let (output, guard, written) = recorded(FOREVER);
        let line = format!("{}\n", "x".repeat(999));
        (0..9).for_each(|_| output.write_soon(&line));
        drop(guard);
        let written: Vec<_> = written.try_iter().collect();
        assert_eq!(written.iter().map(String::len).collect::<Vec<_>>(), [4000, 4000, 1000]);
        assert!(written.iter().all(|lines| lines.ends_with('\n')));
    }

    #[test]
    fn a_line_longer_than_a_batch_is_written_whole_and_in_order() {
        let (output, guard, written) = recorded(FOREVER);
        let long = format!("{}\n", "x".repeat(3 * BATCH));
        output.write_soon("before\n");
        output.write_soon(&long);
        output.write_soon("behind\n");
        drop(guard);
        assert_eq!(written.try_iter().collect::<Vec<_>>(), ["before\n", &long, "behind\n"]);
    }

    #[test]
    fn what_waits_is_written_at_the_end_and_what_comes_later_at_once() {
        let (output, guard, written) = recorded(FOREVER);
        let other = output.clone();
        thread::spawn(move || other.write_soon("of a thread that has ended\n")).join().expect("no panic");
        drop(guard);
        output.write_soon("late\n");
        assert_eq!(written.try_iter().collect::<Vec<_>>(), ["of a thread that has ended\n", "late\n"]);
    }

    #[test]
    fn no_line_of_many_threads_is_lost_or_torn() {
        let (output, guard, written) = recorded(Duration::from_millis(1));
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let output = output.clone();
                thread::spawn(move || (0..2000).for_each(|line| output.write_soon(&format!("{thread} {line}\n"))))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        drop(guard);
        let written: String = written.try_iter().collect();
        for thread in 0..8 {
            let prefix = format!("{thread} ");
            let lines = written.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::parse);
            assert!(lines.eq((0..2000).map(Ok)), "thread {thread}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_any_more_is_no_error() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let sink = move |lines: &[u8]| {
            let _ = (&writer).write_all(lines);
        };
        let (output, guard) = Output::start(Box::new(sink), FOREVER);
        output.write("a\n");
        (0..BATCH).for_each(|_| output.write_soon("b\n"));
        drop(guard);
        assert!(output.batch().is_empty());
    }
}
