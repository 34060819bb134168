use std::borrow::Cow;
use std::io::PipeWriter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::drive::{Ended, Pump};
use super::{Cause, Enforcement, Exit, Status, Usage, supervisor};

/// Which output a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line of output, without its end. A line longer than 64 KiB comes in pieces of that size.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// Where it was written.
    pub stream: Stream,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Line {
    /// The line as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// A process that was started. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Running {
    pub(super) signals: Signals,
    pub(super) cut: CutOnDrop,
    pub(super) lines: Option<mpsc::Receiver<Line>>,
    pub(super) driver: JoinHandle<Option<Ended>>,
    pub(super) stdout: Pump,
    pub(super) stderr: Pump,
    pub(super) enforcement: Enforcement,
}

impl Running {
    /// The next line of either stream; `None` when both have ended. Lines of one stream come in order.
    ///
    /// The process waits while nobody takes its lines. Dropping the future loses nothing.
    pub async fn next_line(&mut self) -> Option<Line> {
        self.lines.as_mut()?.recv().await
    }

    /// Waits for the end. Lines that were not taken are still in the captured output, up to its cap.
    pub async fn finish(self) -> Exit {
        let Self { cut: _cut, lines, driver, stdout, stderr, enforcement, .. } = self;
        drop(lines);
        let ended = driver.await.ok().flatten();
        let (stdout, stderr) = tokio::join!(stdout.finish(), stderr.finish());
        let (status, cause, usage) = match ended {
            Some(ended) => (ended.outcome.status, ended.cause, ended.outcome.usage),
            None => (Status::Unknown, Cause::Cancelled, Usage::default()),
        };
        Exit { status, cause, stdout, stderr, usage, enforcement }
    }

    /// Asks the program to end (`SIGINT` to its process group, or to the program of a container), and returns at once.
    pub fn interrupt(&self) {
        self.signals.send(libc::SIGINT);
    }

    /// Asks it to end after what it is at (`SIGUSR1` as with [`Running::interrupt`], which libFuzzer takes so), and returns at once: how a
    /// program ends that does not know the signal.
    pub fn wind_down(&self) -> Status {
        self.signals.send(libc::SIGUSR1);
        Status::Signal(libc::SIGUSR1)
    }

    /// What is enforced on it.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }
}

/// By whom a signal reaches the program.
#[derive(Debug)]
pub(super) enum Signals {
    /// The process group of this supervisor.
    Supervisor(u32),
    /// The engine.
    #[cfg(feature = "container")]
    Container(super::container::Signaller),
}

impl Signals {
    fn send(&self, signal: i32) {
        match self {
            Self::Supervisor(leader) => supervisor::signal_group(*leader, signal),
            #[cfg(feature = "container")]
            Self::Container(signaller) => signaller.send(signal),
        }
    }
}

/// Kills the tree when the last holder of a [`Running`] goes.
#[derive(Debug)]
pub(super) struct CutOnDrop(pub(super) Lifeline);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// The pipe whose closing makes the supervisor kill the tree, or the guardian have a container removed.
#[derive(Debug, Clone)]
pub(super) struct Lifeline {
    pipe: Arc<Mutex<Option<PipeWriter>>>,
    #[cfg(feature = "container")]
    cut: tokio_util::sync::CancellationToken,
}

impl Lifeline {
    pub(super) fn new(pipe: PipeWriter) -> Self {
        Self {
            pipe: Arc::new(Mutex::new(Some(pipe))),
            #[cfg(feature = "container")]
            cut: tokio_util::sync::CancellationToken::new(),
        }
    }

    pub(super) fn cut(&self) {
        #[cfg(feature = "container")]
        self.cut.cancel();
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    #[cfg(feature = "container")]
    pub(super) fn was_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    #[cfg(feature = "container")]
    pub(super) async fn is_cut(&self) {
        self.cut.cancelled().await;
    }
}

/// How long an output that stays open after the whole tree is dead is read on: it was handed to a process outside.
pub(super) const LINGER: Duration = Duration::from_millis(500);
