//! The command of one process of a campaign.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crashwise_core::process::{ProcessError, Spec};

use super::campaign::{Campaign, directory};
use super::job;
use super::turns::{FRESH, Turn};

/// Bytes of the inputs of every other process.
const SHORT: u64 = 64;
/// Flags of the in-process engine for [`Campaign::small_stack`].
const SMALL_STACK: [&str; 2] = ["-stack_kib=256", "-repeat=1"];

/// What one process gets.
#[derive(Debug)]
pub(super) struct Share<'a> {
    pub(super) turn: &'a Turn,
    /// Where it works.
    pub(super) work: &'a Path,
    /// How long it may fuzz.
    pub(super) time: Duration,
    /// Whether it sees to its time itself.
    pub(super) clock: bool,
    /// Seconds that one input may take.
    pub(super) patience: u64,
}

impl Campaign {
    /// Whether a process keeps inputs for what they compare, which may be anything: numbers of processes, the time.
    pub(super) fn compares(&self, turn: &Turn) -> bool {
        turn.slice < self.budget && turn.own % 4 == 3
    }

    pub(super) fn spec(&self, share: &Share<'_>) -> Result<Spec, ProcessError> {
        let Share { turn, work, .. } = *share;
        let mut flags: Vec<OsString> = vec![
            format!("-artifact_prefix={}/", work.display()).into(),
            "-print_final_stats=1".into(),
            format!("-reload={}", job::reload(self.jobs, &self.corpus)).into(),
        ];
        if share.clock {
            let seconds = share.time.as_secs() + u64::from(share.time.subsec_nanos() > 0);
            flags.push(format!("-max_total_time={seconds}").into());
        }
        if self.replay {
            flags.push("-runs=0".into());
        } else if let Some(runs) = turn.runs {
            flags.push(format!("-runs={runs}").into());
        }
        if self.seed != 0 {
            let number = u32::try_from(turn.number - 1).unwrap_or(u32::MAX);
            flags.push(format!("-seed={}", self.seed.wrapping_add(number).max(1)).into());
        }
        flags.push(format!("-timeout={}", share.patience).into());
        let sliced = turn.slice < self.budget;
        if self.compares(turn) {
            flags.push("-use_value_profile=1".into());
        }
        let short = (sliced && turn.own.is_multiple_of(2)).then_some(SHORT);
        if let Some(longest) = self.longest.into_iter().chain(short).min() {
            flags.push(format!("-max_len={longest}").into());
        }
        if self.small_stack.load(Ordering::Relaxed) && !turn.roomy {
            flags.extend(SMALL_STACK.map(OsString::from));
        }
        let mut readable: Vec<&Path> = Vec::new();
        if let Some(dictionary) = &self.dictionary {
            flags.push(format!("-dict={}", dictionary.display()).into());
            readable.push(dictionary);
        }
        let target = self.native.as_ref().filter(|_| turn.native).unwrap_or(&self.target);
        if turn.fresh {
            let fresh = work.join(FRESH);
            flags.push(fresh.clone().into());
            directory(&fresh)?;
            return Ok(readable.into_iter().fold(target.spec(work, false, &flags), Spec::read));
        }
        flags.push(self.corpus.clone().into());
        let only = turn.native.then(|| self.native_only());
        for seeds in self.seeds.iter().chain(&only).filter(|seeds| seeds.is_dir()) {
            flags.push(seeds.into());
            readable.push(seeds);
        }
        let spec = target.spec(work, false, &flags).write(&self.corpus);
        Ok(readable.into_iter().fold(spec, Spec::read))
    }
}
