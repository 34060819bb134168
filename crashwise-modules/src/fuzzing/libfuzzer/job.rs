//! One process of a campaign, from its start to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Exit, ProcessError, Spec};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::heard::Heard;
use super::outcome::Ending;
use super::status::Status;

/// How late its lines may be: libFuzzer writes each in up to eight pieces, and at first thousands in a second.
const GATHER: Duration = Duration::from_millis(50);
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
    /// Whether it went on when its time was up, until it was ended.
    pub(super) deaf: bool,
}

/// When a process ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    /// When it is told to end between two inputs, if it does not see to that itself.
    pub(super) tell: Option<Instant>,
    /// When it is to end, and how long after that it is ended. While it reads its corpus it listens to nobody, and time is given
    /// until it has.
    pub(super) bound: Option<(Instant, Duration)>,
    /// When it must have ended.
    pub(super) until: Instant,
}

/// Something that a process said while it ran.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Status(Status),
    Counters(u64),
    /// A crash that the process survived: a panic that it caught, or the death of a process that it had forked.
    Caught {
        artifact: PathBuf,
        log: Vec<u8>,
    },
}

/// Runs one process until it ends, its `time` is up, or `cancel` is cancelled. It is first asked to stop, then killed. Its artifacts
/// lie in `work`: files elsewhere are not its own, whatever it prints.
pub(super) async fn run(
    spec: Spec,
    work: &Path,
    time: Time,
    cancel: &CancellationToken,
    listen: impl FnMut(Said),
) -> Result<Round, ProcessError> {
    let kill = CancellationToken::new();
    let asked = Instant::now();
    let mut running = spec.gather(GATHER).start(&kill).await?;
    // A container may take a second to start, on a busy machine several, which are not the target's.
    let took = asked.elapsed();
    let mut tell = time.tell.map(|at| at + took);
    let mut bound = time.bound.map(|(ends, grace)| (ends + took + grace, grace));
    let mut until = time.until + took;
    let (mut stopping, mut unheard, mut deaf) = (false, None, false);
    let mut heard = Heard::new(work, asked, listen);
    loop {
        let line = tokio::select! {
            biased;
            line = running.next_line() => line,
            () = cancel.cancelled(), if !stopping => {
                (stopping, tell, bound) = (true, None, None);
                until = Instant::now() + GRACE;
                running.interrupt();
                continue;
            }
            () = tokio::time::sleep_until(next(tell, bound, until)) => {
                let now = Instant::now();
                if tell.take_if(|at| *at <= now).is_some() {
                    unheard = Some(running.wind_down());
                } else if stopping {
                    kill.cancel();
                    until = now + GRACE;
                } else if until <= now || heard.fuzzed {
                    deaf = until > now;
                    (stopping, bound) = (true, None);
                    until = now + GRACE;
                    running.interrupt();
                } else {
                    bound = bound.map(|(_, grace)| (now + grace, grace));
                }
                continue;
            }
        };
        let Some(line) = line else { break };
        if heard.line(&line.text()) {
            bound = bound.map(|(at, grace)| (at.max(Instant::now() + grace), grace));
        }
    }
    // Output is over before its process where a target closes it, and then nothing is known of what it does. One that ends takes a
    // moment for that.
    let patient = next(tell, bound, until).max(Instant::now() + GRACE);
    let mut finish = std::pin::pin!(running.finish());
    let mut silent = false;
    let exit = tokio::select! {
        biased;
        exit = &mut finish => exit,
        () = cancel.cancelled() => {
            kill.cancel();
            finish.await
        }
        () = tokio::time::sleep_until(patient) => {
            silent = !stopping;
            kill.cancel();
            finish.await
        }
    };
    let mut ending = Ending::of(&exit, heard.began, heard.artifact.is_some());
    let artifact = heard.artifact(ending);
    if artifact.is_none() && (deaf || unheard == Some(exit.status)) {
        ending = Ending::Done;
    } else if silent {
        ending = Ending::Silent;
    } else if stopping && artifact.is_none() && matches!(ending, Ending::Crashed | Ending::Unusable) {
        // Death by our own signal, perhaps before it began.
        ending = Ending::Stopped;
    }
    Ok(Round {
        ending,
        exit,
        artifact,
        executions: heard.executions(),
        fuzzed: heard.fuzzed,
        wound_down: deaf || unheard.is_some(),
        deaf,
    })
}

/// When something is to be done about a process that is still there.
fn next(tell: Option<Instant>, bound: Option<(Instant, Duration)>, until: Instant) -> Instant {
    tell.into_iter().chain(bound.map(|(at, _)| at)).fold(until, Instant::min)
}

/// After how many seconds a process looks for what others found, which takes a look at each file: none alone, and the more
/// seldom the more there are.
pub(super) fn reload(jobs: usize, corpus: &Path) -> usize {
    if jobs == 1 {
        return NEVER;
    }
    1 + fs::read_dir(corpus).map_or(0, Iterator::count) / 5000
}
