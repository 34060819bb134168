//! Where a campaign stands, shared by its jobs.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::events::Progress;
use super::heat::Heat;
use super::job::Said;
use super::outcome::ArtifactKind;
use super::status::StatusEvent;
use super::turns::{Turn, Turns};

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) turns: Turns,
    /// Executions of the running process of each job as last said, its rate, and when.
    pub(super) running: Vec<(u64, u64, Option<Instant>)>,
    pub(super) progress: Progress,
    pub(super) last_line: Option<Instant>,
    pub(super) last_find: Option<Instant>,
    /// When the corpus was last counted, and had last changed then.
    pub(super) counted: Option<(Instant, Option<SystemTime>)>,
    /// Seconds that one input may take before it is told of as a hang.
    pub(super) patience: u64,
    pub(super) heat: Heat,
    /// Processes of the target, and of the build without a sanitizer, that were not to be told that their time was up.
    pub(super) deaf: [u64; 2],
    /// Whether an input reached what another had not.
    pub(super) grew: bool,
    pub(super) cut_short: Option<String>,
    pub(super) without_native: Option<String>,
}

impl Shared {
    pub(super) fn note(&mut self, kind: Option<ArtifactKind>, log: &[u8], fruitful: bool, longest: u64) {
        self.progress.crashes += 1;
        if kind == Some(ArtifactKind::Timeout) {
            // The next hang need not take as long to be noticed, unless all inputs of a target do.
            self.patience =
                if fruitful { (self.patience / 2).max(1) } else { (self.patience * 2).min(longest) };
        }
        self.heat.note(kind, log);
    }

    /// Ends the campaign, or leaves it to the target alone if it is the other program that is of no use. True if it ends.
    pub(super) fn give_up(&mut self, turn: &Turn, why: String) -> bool {
        if turn.native {
            self.turns.give_up_native();
            self.without_native = Some(why);
        } else {
            self.cut_short = Some(why);
        }
        !turn.native
    }

    /// Whether a status tells of an input that reached what another had not.
    pub(super) fn grows(said: &Said) -> bool {
        matches!(said, Said::Status(status) if status.event == StatusEvent::New || status.corpus > 1)
    }

    pub(super) fn listen(&mut self, job: usize, said: &Said) {
        let now = Instant::now();
        match said {
            Said::Caught { .. } => {}
            Said::Counters(count) => self.progress.edges_total = self.progress.edges_total.max(*count),
            Said::Status(status) => {
                self.running[job] = (status.executions, status.per_second, Some(now));
                self.last_line = Some(now);
                let progress = &mut self.progress;
                if status.features > progress.features || status.edges > progress.edges {
                    self.last_find = Some(now);
                }
                progress.edges = progress.edges.max(status.edges);
                progress.features = progress.features.max(status.features);
            }
        }
    }

    /// Where the campaign stands now. libFuzzer prints a sign of life at powers of two only, so between two lines the
    /// executions are reckoned from the rate that the last one gave.
    pub(super) fn reckoned(
        &mut self,
        begin: Instant,
        before: &mut (u64, Instant),
        corpus: &Path,
    ) -> Progress {
        let now = Instant::now();
        let running: u64 = self
            .running
            .iter()
            .map(|(executions, rate, at)| {
                let since = at.map_or(0, |at| now.saturating_duration_since(at).as_millis());
                executions + u64::try_from(u128::from(*rate) * since / 1000).unwrap_or(0)
            })
            .sum();
        let executions = if self.last_line.is_some() {
            (self.turns.executed() + running).max(before.0)
        } else {
            self.turns.executed() + running
        };
        let seconds = now.saturating_duration_since(before.1).as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        if seconds > 0.2 {
            self.progress.per_second = executions.saturating_sub(before.0) as f64 / seconds;
        }
        *before = (executions, now);
        self.progress.executions = executions;
        self.progress.elapsed = now.saturating_duration_since(begin);
        let since = |at: Option<Instant>| now.saturating_duration_since(at.unwrap_or(begin));
        self.progress.stale_for = since(self.last_line);
        self.progress.last_find = since(self.last_find);
        let old = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) >= Duration::from_secs(1);
        if self.counted.as_ref().is_none_or(old) {
            let changed = fs::metadata(corpus).and_then(|data| data.modified()).ok();
            if changed.is_none() || self.counted.is_none_or(|(_, before)| before != changed) {
                self.progress.corpus = fs::read_dir(corpus).map_or(0, |entries| entries.count() as u64);
                self.progress.corpus += self.heat.left_out;
            }
            self.counted = Some((now, changed));
        }
        self.progress
    }
}

pub(super) fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
