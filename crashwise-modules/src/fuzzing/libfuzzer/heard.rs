//! What a process of a campaign says, line by line.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::job::Said;
use super::left::CAUGHT;
use super::outcome::{ArtifactKind, Ending};
use super::status::{FinalStats, StatusEvent, StatusLine};
use crate::fuzzing::triage::{StackHash, signature};

/// The longest log of a crash that the process survived, in bytes.
const LONGEST_LOG: usize = 64 << 10;
/// Inputs that a process can execute in a second at most.
const FASTEST: u64 = 50_000_000;

/// What was heard of a process so far.
pub(super) struct Heard<'a, L> {
    /// Where its artifacts lie: files elsewhere are not its own, whatever it prints.
    work: &'a Path,
    begin: Instant,
    listen: L,
    /// Whether it is a fuzzer.
    pub(super) began: bool,
    /// Whether it has read its corpus.
    pub(super) fuzzed: bool,
    pub(super) artifact: Option<PathBuf>,
    executions: u64,
    finals: FinalStats,
    caught: Option<Vec<u8>>,
    children: Children,
}

impl<'a, L: FnMut(Said)> Heard<'a, L> {
    pub(super) fn new(work: &'a Path, begin: Instant, listen: L) -> Self {
        Self {
            work,
            begin,
            listen,
            began: false,
            fuzzed: false,
            artifact: None,
            executions: 0,
            finals: FinalStats::default(),
            caught: None,
            children: Children::default(),
        }
    }

    /// Takes a line; whether it tells that the corpus was read by now.
    pub(super) fn line(&mut self, text: &str) -> bool {
        if text.trim_end() == CAUGHT {
            self.caught = Some(Vec::new());
            return false;
        }
        if let Some(log) = &mut self.caught
            && log.len() < LONGEST_LOG
        {
            log.extend_from_slice(text.as_bytes());
            log.push(b'\n');
        }
        match StatusLine::parse(text).filter(|line| !impossible(line, self.begin)) {
            Some(StatusLine::Status(status)) => {
                self.began = true;
                // A process that goes on has not crashed.
                if let Some(path) = self.artifact.take() {
                    self.children.died(path, &mut self.listen);
                }
                self.executions = status.executions;
                (self.listen)(Said::Status(status));
                let read = !self.fuzzed && status.event != StatusEvent::Read;
                self.fuzzed |= read;
                return read;
            }
            Some(StatusLine::Counters(count)) => (self.listen)(Said::Counters(count)),
            Some(StatusLine::Seed(_)) => self.began = true,
            Some(StatusLine::Final(name, value)) => self.finals.set(name, value),
            Some(StatusLine::Artifact(path)) => self.written(PathBuf::from(path)),
            Some(StatusLine::Slow) => {}
            None => self.children.hear(text.as_bytes()),
        }
        false
    }

    fn written(&mut self, path: PathBuf) {
        if path.parent() != Some(self.work) {
            return;
        }
        if let Some(log) = self.caught.take() {
            (self.listen)(Said::Caught { artifact: path, log });
        } else if ArtifactKind::of(&path) != Some(ArtifactKind::SlowUnit)
            && let Some(earlier) = self.artifact.replace(path)
        {
            self.children.died(earlier, &mut self.listen);
        }
    }

    /// The artifact of a process that ended so.
    pub(super) fn artifact(&mut self, ending: Ending) -> Option<PathBuf> {
        if matches!(ending, Ending::Done | Ending::Stopped)
            && let Some(path) = self.artifact.take()
        {
            self.children.died(path, &mut self.listen);
        }
        self.artifact.take()
    }

    /// Inputs that it executed.
    pub(super) fn executions(&self) -> u64 {
        self.finals.executions.unwrap_or(self.executions).max(self.executions)
    }
}

/// Processes that a target forked, which die by libFuzzer's handlers: they print a report and write an artifact, and the target
/// goes on.
#[derive(Debug, Default)]
struct Children {
    /// What was printed last, as no line of libFuzzer's own.
    said: VecDeque<u8>,
    /// Those that were told of.
    told: BTreeSet<Option<StackHash>>,
}

impl Children {
    fn hear(&mut self, line: &[u8]) {
        self.said.extend(line);
        self.said.push_back(b'\n');
        let over = self.said.len().saturating_sub(LONGEST_LOG);
        self.said.drain(..over);
    }

    /// Tells of a death, once for each stack: an artifact for every second input would fill the disk.
    fn died(&mut self, artifact: PathBuf, listen: &mut impl FnMut(Said)) {
        let log = Vec::from(std::mem::take(&mut self.said));
        if self.told.insert(signature(&log)) {
            listen(Said::Caught { artifact: artifact.clone(), log });
        }
        let _ = fs::remove_file(artifact);
    }
}

/// Whether a target made up a line of libFuzzer's: no program executes that many inputs in the time since `begin`.
fn impossible(line: &StatusLine<'_>, begin: Instant) -> bool {
    let most = FASTEST.saturating_mul(begin.elapsed().as_secs() + 1);
    match line {
        StatusLine::Status(status) => status.executions > most,
        StatusLine::Final("number_of_executed_units", count) => *count > most,
        _ => false,
    }
}
