//! One job of a campaign: processes, one after the other.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crashwise_core::process::ProcessError;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::campaign::Campaign;
use super::command::Share;
use super::events::CampaignEvent;
use super::inputs::read;
use super::job::{self, Round, Said, Time};
use super::outcome::{ArtifactKind, Ending, tail};
use super::standing::{Shared, lock};
use super::target::FlagsBy;
use super::turns::Turn;

/// Rounds in a row that may end without an input beyond the corpus before a job gives up.
const FRUITLESS: u32 = 50;
/// The shortest time that a process gets.
const SHORTEST: Duration = Duration::from_secs(1);
/// How much longer than one input may take a process may take to end when its time is up.
const GRACE: Duration = Duration::from_secs(3);

/// Why a target is of no use of which nothing is heard.
const SILENT: &str = "it closed its standard error, by which libFuzzer says what it does";

/// One job, and what it shares with the others.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    pub(super) campaign: &'a Campaign,
    pub(super) job: usize,
    pub(super) begin: Instant,
    pub(super) shared: &'a Mutex<Shared>,
    pub(super) cancel: &'a CancellationToken,
    pub(super) events: &'a mpsc::Sender<CampaignEvent>,
}

/// Whether a job goes on after a process.
enum After {
    On,
    /// Unless the other program can go on.
    Useless(String),
    End,
}

impl Relay<'_> {
    /// Runs processes until the campaign's time is up, its executions are done, or nothing can be gained any more.
    pub(super) async fn run(&self) -> Result<(), ProcessError> {
        let until = self.begin + self.campaign.budget;
        let work = self.campaign.place(self.job);
        let mut fruitless = [0; 2];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left < Duration::from_millis(200) || self.cancel.is_cancelled() {
                return Ok(());
            }
            let next = self.next();
            let Some((turn, patience)) = next else { return Ok(()) };
            let Some(round) = self.round(&work, &turn, patience, left, until).await? else { return Ok(()) };
            let after = match round.ending {
                Ending::Done if self.campaign.replay && round.executions > 0 => After::End,
                Ending::Done => {
                    lock(self.shared).heat.cool();
                    if round.executions == 0 && !round.wound_down {
                        After::Useless("the target executed nothing".to_owned())
                    } else {
                        After::On
                    }
                }
                Ending::Stopped => After::End,
                Ending::Silent => After::Useless(SILENT.to_owned()),
                Ending::Unusable => {
                    let said = tail(&round.exit.stderr.text());
                    After::Useless(format!("it did not fuzz ({}): {said}", round.exit.status))
                }
                Ending::Crashed | Ending::Memory => self.crashed(&work, &turn, &round, &mut fruitless).await,
            };
            match after {
                After::On => {}
                After::Useless(why) => {
                    if lock(self.shared).give_up(&turn, why) {
                        return Ok(());
                    }
                }
                After::End => return Ok(()),
            }
        }
    }

    /// The next process, and the seconds that one of its inputs may take; `None` when all executions are done.
    fn next(&self) -> Option<(Turn, u64)> {
        let shared = &mut *lock(self.shared);
        let mut turn = shared.turns.next(self.campaign.jobs)?;
        // With nothing at hand a bug that is easy to find is found again first.
        turn.fresh &= shared.heat.is_cool();
        // On a small stack a nesting that is known is found again before anything else.
        turn.roomy = !shared.heat.is_cool() && turn.own / 2 % 2 == 1;
        self.campaign.arrange(&mut shared.heat, turn.own.is_multiple_of(2));
        Some((turn, shared.patience))
    }

    /// Runs one process; `None` when nobody listens any more.
    async fn round(
        &self,
        work: &Path,
        turn: &Turn,
        patience: u64,
        left: Duration,
        until: Instant,
    ) -> Result<Option<Round>, ProcessError> {
        let Self { campaign, shared, events, .. } = *self;
        let (started, slice) = (Instant::now(), left.min(turn.slice));
        let program = usize::from(turn.native);
        let told = !campaign.replay && campaign.target.flags == FlagsBy::Arguments;
        let clock = !told || lock(shared).deaf[program] > 0;
        let ends = started + slice.max(SHORTEST);
        let time = Time {
            tell: (!clock).then_some(ends),
            // Of several processes; one that has all the time ends with the campaign.
            bound: (told && slice < left).then(|| (ends, Duration::from_secs(patience) + GRACE)),
            until: until + Duration::from_secs(2),
        };
        let spec = campaign.spec(&Share { turn, work, time: slice, clock, patience })?;
        let (mut caught, compares) = (Vec::new(), campaign.compares(turn));
        let listen = |said: Said| match said {
            Said::Caught { artifact, log } => {
                // A listener that is slow is waited for after the round.
                let crash = self.caught(turn, &artifact, log);
                if let Err(mpsc::error::TrySendError::Full(crash)) = events.try_send(crash) {
                    caught.push(crash);
                }
            }
            said => {
                let shared = &mut *lock(shared);
                shared.grew |= !compares && Shared::grows(&said);
                shared.listen(self.job, &said);
            }
        };
        let round = job::run(spec, work, time, self.cancel, listen).await?;
        campaign.gather(work);
        for crash in caught {
            if events.send(crash).await.is_err() {
                return Ok(None);
            }
        }
        let mut shared = lock(shared);
        shared.running[self.job] = (0, 0, None);
        shared.turns.ended(turn, started.elapsed(), round.executions);
        shared.deaf[program] += u64::from(round.deaf);
        Ok(Some(round))
    }

    /// A crash that a process survived.
    fn caught(&self, turn: &Turn, artifact: &Path, log: Vec<u8>) -> CampaignEvent {
        let mut shared = lock(self.shared);
        shared.progress.crashes += 1;
        CampaignEvent::Crash {
            kind: Some(ArtifactKind::Crash),
            input: read(artifact).ok(),
            log,
            executions: shared.turns.executed() + shared.running[self.job].0,
            native: turn.native,
        }
    }

    /// Tells of a crash that ended a process. `fruitless` counts those of each program that got nowhere.
    async fn crashed(&self, work: &Path, turn: &Turn, round: &Round, fruitless: &mut [u32; 2]) -> After {
        let Self { campaign, shared, .. } = *self;
        let log = [round.exit.stdout.bytes(), round.exit.stderr.bytes()].concat();
        let artifact: Option<&PathBuf> = round.artifact.as_ref();
        let kind = artifact.and_then(|path| ArtifactKind::of(path));
        let fruitful = round.fuzzed && round.executions > 2;
        let (executions, hurried) = {
            let mut shared = lock(shared);
            let hurried = kind == Some(ArtifactKind::Timeout) && shared.patience < campaign.target.patience;
            shared.note(kind, &log, fruitful, campaign.target.patience);
            (shared.turns.executed(), hurried)
        };
        // An input that no handler wrote down may still lie where the process and this one share a file.
        let input = artifact.and_then(|path| read(path).ok()).or_else(|| super::left::left_behind(work));
        let small = campaign.small_stack.load(Ordering::Relaxed) && !turn.roomy;
        // One that takes long gets more time in the next process.
        let empty = !round.fuzzed && !small && !hurried && input.as_deref().is_none_or(<[u8]>::is_empty);
        if !round.fuzzed {
            campaign.small_stack.store(false, Ordering::Relaxed);
        }
        let forgotten = !round.fuzzed && input.as_ref().is_some_and(|input| campaign.forget(input, turn));
        let fruitless = &mut fruitless[usize::from(turn.native)];
        *fruitless = if fruitful || forgotten { 0 } else { *fruitless + 1 };
        let crash = CampaignEvent::Crash { kind, input, log, executions, native: turn.native };
        if self.events.send(crash).await.is_err() {
            return After::End;
        }
        if empty {
            let how = match kind {
                Some(ArtifactKind::Timeout) => "it hangs on the empty input",
                // It may have closed the output by which libFuzzer says which input it was.
                None => "it dies before it tells that it fuzzes",
                Some(_) => "it crashes on the empty input",
            };
            return After::Useless(how.to_owned());
        }
        if *fruitless > FRUITLESS {
            return After::Useless("it crashes as soon as it starts".to_owned());
        }
        After::On
    }
}
