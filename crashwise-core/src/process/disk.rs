//! Watches how much a tree of processes writes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often at least and at most the room that is left is asked for.
const LOOK: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// Bytes that are not written in less than a second.
const QUICK: u64 = 4 << 30;
/// How often the files are looked through, even if nothing seems to have been written.
const SURELY: Duration = Duration::from_secs(5);

/// Returns when `roots` hold more than `limit` bytes more than at the first look.
///
/// Files are looked through when their file systems have lost so much room that they may have grown by half of what they
/// still may, and every few seconds.
pub(super) async fn grown_past(roots: Vec<PathBuf>, limit: u64) {
    let roots: Arc<[PathBuf]> = roots.into();
    let measure = || {
        let roots = Arc::clone(&roots);
        async move { tokio::task::spawn_blocking(move || roots.iter().map(|root| allocated(root)).sum()).await }
    };
    let space = || -> Vec<u64> { roots.iter().map(|root| room(root)).collect() };
    let (mut then, mut at) = (space(), Instant::now());
    let before: u64 = measure().await.unwrap_or(0);
    let (mut took, mut left) = (at.elapsed(), limit);
    loop {
        tokio::time::sleep(look(left)).await;
        let now = space();
        let lost = then.iter().zip(&now).any(|(then, now)| then.saturating_sub(*now) >= left / 2);
        // A corpus of many files takes long to look through, which must not cost more than a hundredth of a core.
        if at.elapsed() < took * 100 || (!lost && at.elapsed() < SURELY) {
            continue;
        }
        (then, at) = (now, Instant::now());
        let measured = measure().await;
        took = at.elapsed();
        if let Ok(now) = measured {
            let now: u64 = now;
            let grown = now.saturating_sub(before);
            if grown > limit {
                return;
            }
            left = limit - grown;
        }
    }
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
