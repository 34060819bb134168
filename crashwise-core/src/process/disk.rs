//! Watches how much a tree of processes writes.

use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tokio::sync::oneshot;

use super::{ProcessError, Spec, plan};

/// How often at least and at most the room that is left is asked for.
const LOOK: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// By how many nanoseconds a look may be late.
const SLACK: Option<NonZeroU64> = NonZeroU64::new(100_000_000);
/// Bytes that are not written in less than a second.
const QUICK: u64 = 4 << 30;
/// How often the files are looked through, even if nothing seems to have been written.
const SURELY: Duration = Duration::from_secs(5);

/// A thread that looks at what is written until it is dropped. A timer of the runtime would wake the host several times for each
/// look.
#[derive(Debug)]
pub(super) struct Watch {
    over: oneshot::Receiver<()>,
    _end: mpsc::Sender<()>,
}

impl Watch {
    /// Watches whether what `spec` may write comes to hold more bytes than its limit allows, beyond those that it holds now.
    ///
    /// Files are looked through when their file systems have lost so much room that they may have grown by half of what they
    /// still may, and every few seconds.
    pub(super) fn of(spec: &Spec) -> Result<Option<Self>, ProcessError> {
        let Some(limit) = spec.limits.disk else { return Ok(None) };
        let roots = plan::writable(spec);
        let (tell, over) = oneshot::channel();
        let (end, ended) = mpsc::channel();
        let look = move || {
            // With another timer it wakes nobody.
            let _ = rustix::thread::set_current_timer_slack(SLACK);
            if grows_past(&roots, limit, &ended) {
                let _ = tell.send(());
            }
        };
        let thread = thread::Builder::new().name("crashwise-disk".into()).stack_size(128 << 10).spawn(look);
        match thread {
            Ok(_) => Ok(Some(Self { over, _end: end })),
            Err(source) => Err(ProcessError::thread(spec, source)),
        }
    }

    /// Returns when they do.
    pub(super) async fn exceeded(&mut self) {
        if (&mut self.over).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Looks until there is more, or until `ended` says that nobody wants to know.
fn grows_past(roots: &[PathBuf], limit: u64, ended: &mpsc::Receiver<()>) -> bool {
    let space = || -> Vec<u64> { roots.iter().map(|root| room(root)).collect() };
    let measure = || -> u64 { roots.iter().map(|root| allocated(root)).sum() };
    let (mut then, mut at) = (space(), Instant::now());
    let before = measure();
    let (mut took, mut left) = (at.elapsed(), limit);
    while ended.recv_timeout(look(left)) == Err(RecvTimeoutError::Timeout) {
        let now = space();
        let lost = then.iter().zip(&now).any(|(then, now)| then.saturating_sub(*now) >= left / 2);
        // A corpus of many files takes long to look through, which must not cost more than a hundredth of a core.
        if at.elapsed() < took * 100 || (!lost && at.elapsed() < SURELY) {
            continue;
        }
        (then, at) = (now, Instant::now());
        let grown = measure().saturating_sub(before);
        took = at.elapsed();
        if grown > limit {
            return true;
        }
        left = limit - grown;
    }
    false
}

/// When to look again if there may be `left` bytes more.
fn look(left: u64) -> Duration {
    Duration::from_millis(left / (QUICK / 1000)).clamp(LOOK[0], LOOK[1])
}

/// Bytes that the file system of `path` has left.
fn room(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |room| room.f_bavail.saturating_mul(room.f_frsize))
}

/// Bytes allocated below `root`, following no link, looking at no more than 100,000 entries.
fn allocated(root: &Path) -> u64 {
    let mut total = 0;
    let mut seen = 0;
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            if seen > 100_000 {
                return total;
            }
            let Ok(data) = entry.metadata() else { continue };
            total += data.blocks() * 512;
            if data.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    total
}
