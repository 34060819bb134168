//! One process of a campaign, from its start to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Exit, ProcessError, Spec};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::left::CAUGHT;
use super::outcome::{ArtifactKind, Ending};
use super::status::{FinalStats, Status, StatusEvent, StatusLine};
use super::target::{FlagsBy, Target};

/// The longest log of a crash that the process survived, in bytes.
const LONGEST_LOG: usize = 64 << 10;
/// How long a process may take to end when asked to.
const GRACE: Duration = Duration::from_secs(3);

/// Seconds after which a process looks for what others found, if there are none: with 0 libFuzzer reads the clock once more
/// for each few inputs.
const NEVER: usize = 365 * 24 * 3600;

/// What one process did.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) ending: Ending,
    pub(super) exit: Exit,
    pub(super) artifact: Option<PathBuf>,
    pub(super) executions: u64,
    /// Whether it had read its corpus.
    pub(super) fuzzed: bool,
    /// Whether its time was up.
    pub(super) wound_down: bool,
}

/// Something that a process said while it ran.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Status(Status),
    Counters(u64),
    /// A crash that the process survived.
    Caught {
        artifact: PathBuf,
        log: Vec<u8>,
    },
}

/// Runs one process until it ends, its `time` is up, or `cancel` is cancelled. It is first asked to stop, then killed.
///
/// `time` is when it is to end between two inputs, if it does not see to that itself, and when it must.
pub(super) async fn run(
    spec: Spec,
    (mut ends, until): (Option<Instant>, Instant),
    cancel: &CancellationToken,
    mut listen: impl FnMut(Said),
) -> Result<Round, ProcessError> {
    let kill = CancellationToken::new();
    let mut running = spec.start(&kill).await?;
    let (mut stopping, mut unheard) = (false, None);
    let mut limit = until;
    let mut finals = FinalStats::default();
    let (mut executions, mut began, mut fuzzed, mut artifact) = (0, false, false, None);
    let mut caught: Option<Vec<u8>> = None;
    loop {
        let line = tokio::select! {
            biased;
            line = running.next_line() => line,
            () = cancel.cancelled(), if !stopping => {
                stopping = true;
                limit = Instant::now() + GRACE;
                running.interrupt();
                continue;
            }
            () = tokio::time::sleep_until(ends.unwrap_or(limit)), if ends.is_some() => {
                ends = None;
                unheard = Some(running.wind_down());
                continue;
            }
            () = tokio::time::sleep_until(limit) => {
                if stopping {
                    kill.cancel();
                    limit += GRACE;
                } else {
                    stopping = true;
                    limit = Instant::now() + GRACE;
                    running.interrupt();
                }
                continue;
            }
        };
        let Some(line) = line else { break };
        let text = line.text();
        if text.trim_end() == CAUGHT {
            caught = Some(Vec::new());
            continue;
        }
        if let Some(log) = &mut caught
            && log.len() < LONGEST_LOG
        {
            log.extend_from_slice(text.as_bytes());
            log.push(b'\n');
        }
        match StatusLine::parse(&text) {
            Some(StatusLine::Status(status)) => {
                began = true;
                fuzzed |= status.event != StatusEvent::Read;
                executions = status.executions;
                listen(Said::Status(status));
            }
            Some(StatusLine::Counters(count)) => listen(Said::Counters(count)),
            Some(StatusLine::Seed(_)) => began = true,
            Some(StatusLine::Final(name, value)) => finals.set(name, value),
            Some(StatusLine::Artifact(path)) => {
                let path = PathBuf::from(path);
                if let Some(log) = caught.take() {
                    listen(Said::Caught { artifact: path, log });
                } else if ArtifactKind::of(&path) != Some(ArtifactKind::SlowUnit) {
                    artifact = Some(path);
                }
            }
            Some(StatusLine::Slow) | None => {}
        }
    }
    let exit = running.finish().await;
    let mut ending = Ending::of(&exit, began, artifact.is_some());
    if artifact.is_none() && unheard == Some(exit.status) {
        ending = Ending::Done;
    } else if stopping && artifact.is_none() && matches!(ending, Ending::Crashed | Ending::Unusable) {
        // Death by our own signal, perhaps before it began.
        ending = Ending::Stopped;
    }
    Ok(Round {
        ending,
        exit,
        artifact,
        executions: finals.executions.unwrap_or(executions).max(executions),
        fuzzed,
        wound_down: unheard.is_some(),
    })
}

/// After how many seconds a process looks for what others found, which takes a look at each file: none alone, and the more
/// seldom the more there are.
pub(super) fn reload(jobs: usize, corpus: &Path) -> usize {
    if jobs == 1 {
        return NEVER;
    }
    1 + fs::read_dir(corpus).map_or(0, Iterator::count) / 5000
}

/// Whether processes are told when their time is up. One that sees to it itself reads the clock for each few inputs, which takes
/// a fiftieth of the time of a quick target.
pub(super) fn is_told(target: &Target, replay: bool) -> bool {
    !replay && target.flags == FlagsBy::Arguments
}
