//! Standard output and standard error whose writer never waits for a reader.
//!
//! A pipe holds 64 kB, and a write to a full pipe blocks until somebody reads it. A node whose standard error is not read, or
//! whose parent is stopped, must keep running. [`Output`] therefore queues what is written. A thread of its own, which runs only
//! while there is something to write, passes it on. The queue is bounded in bytes. A piece that does not fit is dropped and
//! counted, and a line in its place reports how many are missing.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many bytes can wait for the reader: about 10,000 log lines. The number is a guess.
const CAPACITY: usize = 1 << 20;

/// The memory that a queued piece takes in addition to its bytes.
const OVERHEAD: usize = size_of::<Vec<u8>>();

/// The stack of the writing thread, in bytes. The thread only calls `write`.
const STACK: usize = 128 << 10;

/// How long the thread waits for another piece before it ends.
const LINGER: Duration = Duration::from_secs(1);

/// A queue in front of a writer. Clones share the queue.
///
/// ```
/// use chinwag::Output;
/// use std::time::Duration;
/// let output = Output::stderr();
/// output.line("listening");
/// assert!(output.flush_within(Duration::from_secs(5)));
/// ```
#[derive(Clone)]
pub struct Output(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when a piece has been queued.
    queued: Condvar,
    /// Notified when a piece has been written.
    written: Condvar,
}

struct State {
    /// The writer, or `None` while the thread has it.
    idle: Option<Box<dyn Write + Send>>,
    queue: VecDeque<Vec<u8>>,
    /// The size of the queue, with the overhead of each piece.
    bytes: usize,
    /// Whether the thread has taken a piece and not written it yet.
    writing: bool,
    /// The number of pieces that did not fit since the last report.
    dropped: u64,
    /// When the thread last finished a write, or got a piece after the queue was empty.
    progress: Instant,
}

impl Output {
    /// A queue in front of this writer.
    pub fn new(writer: impl Write + Send + 'static) -> Output {
        Output(Arc::new(Shared {
            state: Mutex::new(State {
                idle: Some(Box::new(writer)),
                queue: VecDeque::new(),
                bytes: 0,
                writing: false,
                dropped: 0,
                progress: Instant::now(),
            }),
            queued: Condvar::new(),
            written: Condvar::new(),
        }))
    }

    /// A queue in front of this process's standard output.
    pub fn stdout() -> Output {
        Output::new(io::stdout())
    }

    /// A queue in front of this process's standard error.
    pub fn stderr() -> Output {
        Output::new(io::stderr())
    }

    /// Queues bytes, or drops them if the queue is full. Never waits.
    pub fn push(&self, bytes: impl Into<Vec<u8>>) {
        self.queue(self.lock(), bytes.into());
    }

    /// Queues a line.
    pub fn line(&self, line: impl fmt::Display) {
        self.push(format!("{line}\n"));
    }

    /// Queues bytes. While the queue is full, waits for as long as the reader takes something at least every `stall`, and then
    /// drops the bytes. This is for output that is produced faster than it is read, on a thread that may wait.
    pub fn wait_and_push(&self, bytes: impl Into<Vec<u8>>, stall: Duration) {
        let bytes = bytes.into();
        let mut state = self.lock();
        while !state.fits(bytes.len()) {
            let Some(left) = stall.checked_sub(state.progress.elapsed()) else { break };
            let waited = self.0.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.queue(state, bytes);
    }

    /// Waits until everything queued is written, for at most this long. Returns whether everything was written.
    pub fn flush_within(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let mut state = self.lock();
        loop {
            if state.queue.is_empty() && state.dropped == 0 && !state.writing {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.0.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, mut state: MutexGuard<'_, State>, bytes: Vec<u8>) {
        if !state.fits(bytes.len()) {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        if let Some(report) = state.report() {
            state.put(report);
        }
        state.put(bytes);
        if let Some(writer) = state.idle.take() {
            let shared = self.0.clone();
            let thread = std::thread::Builder::new().name("chinwag-output".to_owned()).stack_size(STACK);
            if thread.spawn(move || shared.write_to(writer)).is_err() {
                // the writer is lost with the thread, so nothing more can be written
                state.queue.clear();
                state.bytes = CAPACITY;
            }
        }
        drop(state);
        self.0.queued.notify_one();
    }
}

impl State {
    /// A queue that is empty takes a piece of any length.
    fn fits(&self, length: usize) -> bool {
        self.bytes == 0 || self.bytes + length + OVERHEAD <= CAPACITY
    }

    fn put(&mut self, bytes: Vec<u8>) {
        if self.queue.is_empty() && !self.writing {
            self.progress = Instant::now();
        }
        self.bytes += bytes.len() + OVERHEAD;
        self.queue.push_back(bytes);
    }

    /// The line that replaces the dropped pieces.
    fn report(&mut self) -> Option<Vec<u8>> {
        match mem::take(&mut self.dropped) {
            0 => None,
            1 => Some(b"chinwag: 1 line was dropped here because nobody read this output\n".to_vec()),
            lines => Some(format!("chinwag: {lines} lines were dropped here because nobody read this output\n").into()),
        }
    }
}

impl Shared {
    /// Writes queued pieces until the queue has been empty for a while.
    fn write_to(self: Arc<Shared>, mut writer: Box<dyn Write + Send>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let piece = match state.queue.pop_front() {
                Some(piece) => {
                    state.bytes -= piece.len() + OVERHEAD;
                    piece
                }
                None => match state.report() {
                    Some(report) => report,
                    None => {
                        let waited = self.queued.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
                        state = waited.0;
                        if state.queue.is_empty() && waited.1.timed_out() {
                            state.queue = VecDeque::new();
                            state.idle = Some(writer);
                            return;
                        }
                        continue;
                    }
                },
            };
            state.writing = true;
            drop(state);
            // the thread goes on without a reader
            let _ = writer.write_all(&piece).and_then(|()| writer.flush());
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.writing = false;
            state.progress = Instant::now();
            self.written.notify_all();
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { bytes, dropped, .. } = &*self.lock();
        f.debug_struct("Output").field("queued_bytes", bytes).field("dropped", dropped).finish_non_exhaustive()
    }
}

/// Each buffer is queued as a whole, so that the lines of several writers do not mix.
impl Write for Output {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.push(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes a piece for each permit.
    struct Reader {
        permits: mpsc::Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.permits.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.read.lock().unwrap().extend_from_slice(buffer);
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output() -> (Output, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (permit, permits) = mpsc::channel();
        let read = Arc::<Mutex<Vec<u8>>>::default();
        (Output::new(Reader { permits, read: read.clone() }), permit, read)
    }

    fn text(read: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(read.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn pieces_that_do_not_fit_are_dropped_counted_and_reported_in_their_place() {
        let (output, permit, read) = output();
        let line = "x".repeat(CAPACITY / 4);
        // the thread has one piece, and the queue holds three more
        output.line(&line);
        let until = Instant::now() + Duration::from_secs(30);
        while !output.lock().writing {
            assert!(Instant::now() < until, "the thread takes nothing");
            std::thread::yield_now();
        }
        for _ in 1..10 {
            output.line(&line);
        }
        assert!(!output.flush_within(Duration::ZERO));
        let dropped = output.lock().dropped;
        assert_eq!(dropped, 6);
        for _ in 0..=10 {
            permit.send(()).unwrap();
        }
        assert!(output.flush_within(Duration::from_secs(30)));
        output.line("later");
        permit.send(()).unwrap();
        assert!(output.flush_within(Duration::from_secs(30)));
        let text = text(&read);
        let lines: Vec<&str> = text.lines().collect();
        let kept = usize::try_from(10 - dropped).unwrap();
        assert_eq!(lines.len(), kept + 2, "{}", lines.len());
        assert!(lines[..kept].iter().all(|kept| *kept == line));
        assert_eq!(lines[kept], format!("chinwag: {dropped} lines were dropped here because nobody read this output"));
        assert_eq!(lines[kept + 1], "later");
    }

    #[test]
    fn a_piece_larger_than_the_queue_is_written_when_the_queue_is_empty() {
        let (output, permit, read) = output();
        permit.send(()).unwrap();
        output.push(vec![b'x'; 2 * CAPACITY]);
        assert!(output.flush_within(Duration::from_secs(30)));
        assert_eq!(read.lock().unwrap().len(), 2 * CAPACITY);
    }

    #[test]
    fn a_writer_that_waits_loses_nothing_to_a_reader_that_reads() {
        let (output, permit, read) = output();
        let line = vec![b'x'; CAPACITY / 2];
        let waiting = std::thread::spawn(move || {
            for _ in 0..20 {
                output.wait_and_push(line.clone(), Duration::from_secs(30));
            }
            assert!(output.flush_within(Duration::from_secs(30)));
        });
        for _ in 0..20 {
            permit.send(()).unwrap();
        }
        waiting.join().unwrap();
        assert_eq!(read.lock().unwrap().len(), 20 * (CAPACITY / 2));
    }

    #[test]
    fn the_thread_ends_when_there_is_nothing_to_write_and_begins_again() {
        let (output, permit, read) = output();
        for round in 1..=2 {
            permit.send(()).unwrap();
            output.line(round);
            assert!(output.flush_within(Duration::from_secs(30)));
            let until = Instant::now() + Duration::from_secs(30);
            while output.lock().idle.is_none() {
                assert!(Instant::now() < until, "the thread goes on");
                std::thread::yield_now();
            }
        }
        assert_eq!(text(&read), "1\n2\n");
    }
}
