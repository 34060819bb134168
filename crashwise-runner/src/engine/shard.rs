//! Threads on which workflow code runs.
//!
//! Workflow futures are `!Send`, so each lives on one thread from its begin to its end. Steps run elsewhere.

use super::spin::Spinning;
use futures::future::LocalBoxFuture;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

type Job = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// Threads on which workflow code runs. They end when what they run has ended and the shards are dropped.
pub(crate) struct Shards {
    threads: Vec<mpsc::UnboundedSender<Job>>,
    next: AtomicUsize,
}

impl Shards {
    /// So many threads on a machine of so many processors.
    pub(crate) fn new(number: usize, processors: usize) -> io::Result<Self> {
        let threads = (0..number.max(1)).map(|one| start(one, processors)).collect::<io::Result<_>>()?;
        Ok(Self { threads, next: AtomicUsize::new(0) })
    }

    /// Runs a future on one of the threads.
    pub(crate) fn spawn(&self, job: impl FnOnce() -> LocalBoxFuture<'static, ()> + Send + 'static) {
        let shard = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        // A thread ends before its sender only when the process ends.
        drop(self.threads[shard].send(Box::new(job)));
    }
}

fn start(number: usize, processors: usize) -> io::Result<mpsc::UnboundedSender<Job>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
    std::thread::Builder::new().name(format!("crashwise-runs-{number}")).spawn(move || {
        let local = LocalSet::new();
        local.spawn_local(async move {
            while let Some(job) = jobs.recv().await {
                tokio::task::spawn_local(job());
            }
        });
        runtime.block_on(Spinning::new(local, processors));
    })?;
    Ok(sender)
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
