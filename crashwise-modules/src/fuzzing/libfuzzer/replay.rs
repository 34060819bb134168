use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Cause, Exit, Level, ProcessError, Status, Stdin};
use memchr::memmem;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::debugger;
use super::left::LONGEST;
use super::target::{FlagsBy, Target};
use crate::fuzzing::triage::{CrashReport, Scope, signal_name, signature, triage};

/// Runs single inputs of a target.
#[derive(Debug, Clone)]
pub struct Replay {
    target: Target,
    work: PathBuf,
    scope: Scope,
}

/// What one input did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replayed {
    /// Whether it crashed, hung or took too much memory.
    pub crashed: bool,
    /// The crash, as the log tells of it.
    pub report: Option<CrashReport>,
    /// What the process printed.
    pub log: Vec<u8>,
    /// How the program ended.
    pub status: Status,
}

impl Replay {
    /// Replays in `work`, with the code judged by `scope`.
    pub fn new(target: Target, work: impl Into<PathBuf>, scope: Scope) -> Self {
        Self { target, work: work.into(), scope }
    }

    /// The same with less patience for an input, in seconds.
    pub(crate) fn briefly(&self, patience: u64) -> Self {
        let target = self.target.clone().with_patience(patience.min(self.target.patience));
        Self { target, ..self.clone() }
    }

    /// Runs one input once.
    ///
    /// # Errors
    /// [`ProcessError`] if the target cannot be started, or the input not be written.
    pub async fn run(&self, input: &[u8], cancel: &CancellationToken) -> Result<Replayed, ProcessError> {
        self.once(input, true, cancel).await
    }

    /// The same without names in its report, which is quicker.
    pub(crate) async fn quick(
        &self,
        input: &[u8],
        cancel: &CancellationToken,
    ) -> Result<Replayed, ProcessError> {
        self.once(input, false, cancel).await
    }

    /// Whether leaks can be looked for: the sanitizers of some compilers cannot read about their own threads in the sandbox,
    /// and end each process as if it had crashed.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn finds_leaks(&self, cancel: &CancellationToken) -> Result<bool, ProcessError> {
        let log = self.once(b"", false, cancel).await?.log;
        Ok(memmem::find(&log, b"LeakSanitizer has encountered a fatal error").is_none())
    }

    async fn once(
        &self,
        input: &[u8],
        names: bool,
        cancel: &CancellationToken,
    ) -> Result<Replayed, ProcessError> {
        let failed = |source: io::Error| ProcessError::Directory { path: self.work.clone(), source };
        fs::create_dir_all(&self.work).map_err(failed)?;
        let path = self.work.join("input");
        fs::write(&path, input).map_err(failed)?;
        let plain = self.target.flags == FlagsBy::Input;
        let patience = Duration::from_secs(self.target.patience + if plain { 0 } else { 20 });
        let prefix = format!("-artifact_prefix={}/again-", self.work.display());
        let flags: [OsString; 3] = [prefix.into(), "-runs=1".into(), path.into_os_string()];
        let mut spec = self.target.spec(&self.work, names, &flags).deadline(patience);
        if plain && !self.target.args.iter().any(|arg| arg.contains("@@")) {
            spec = spec.stdin(Stdin::Bytes(input.to_vec()));
        }
        let exit = spec.run(cancel).await?;
        let mut log = [exit.stdout.bytes(), exit.stderr.bytes()].concat();
        if plain || exit.cause == Cause::Deadline {
            log.extend(ending(&exit, self.target.patience));
        }
        if exit.cause == Cause::Own && matches!(exit.status, Status::Signal(_)) {
            log.extend(self.stack(&log, names, &flags, cancel).await?);
        }
        if names {
            log = self.named(log).await;
        }
        let crashed = match exit.cause {
            Cause::Cancelled => false,
            Cause::Own if plain => fatal(&exit, &log),
            Cause::Own => !exit.status.success() || died(&log),
            _ => true,
        };
        let report = if crashed && names { triage(&log, &self.scope) } else { None };
        Ok(Replayed { crashed, report, log, status: exit.status })
    }

    /// A log whose stacks have names: children of this program print addresses only.
    pub(crate) async fn named(&self, log: Vec<u8>) -> Vec<u8> {
        #[cfg(feature = "in-process")]
        if self.target.flags.is_variable() {
            let raw = log.clone();
            let looked_up = tokio::task::spawn_blocking(move || crate::fuzzing::in_process::named(&raw));
            return looked_up.await.unwrap_or(log);
        }
        log
    }

    /// The stack of a program that died of a signal, if its log has none and a debugger knows: without it all its crashes would
    /// be one.
    async fn stack(
        &self,
        log: &[u8],
        names: bool,
        flags: &[OsString],
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>, ProcessError> {
        let told = triage(log, &self.scope).is_some_and(|report| !report.frames.is_empty());
        let plain = self.target.flags == FlagsBy::Input;
        let stdin = flags.last().filter(|_| plain && !self.target.args.iter().any(|arg| arg.contains("@@")));
        let Some(target) = debugger::below(&self.target, stdin.map(Path::new)).filter(|_| !told) else {
            return Ok(Vec::new());
        };
        let patience = Duration::from_secs(self.target.patience + 20);
        let exit = target.spec(&self.work, names, flags).deadline(patience).run(cancel).await?;
        Ok(debugger::told(&exit.stdout.text()).unwrap_or_default().into_bytes())
    }

    /// A smaller input with the same crash, found within `budget` by leaving out and simplifying parts; the input
    /// itself if there is none.
    ///
    /// # Errors
    /// [`ProcessError`] if the target can no longer be started.
    pub async fn minimise(
        &self,
        input: &[u8],
        budget: Duration,
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>, ProcessError> {
        let until = Instant::now() + budget;
        let Some(crash) = &self.known(&self.once(input, false, cancel).await?.log) else {
            return Ok(input.to_vec());
        };
        let mut best = input.to_vec();
        let mut part = best.len().div_ceil(2).max(1);
        // Chunks of halving size are left out, then single bytes are made plain.
        loop {
            let mut shrunk = false;
            let mut at = 0;
            while at < best.len() && !best.is_empty() {
                if Instant::now() >= until || cancel.is_cancelled() {
                    return Ok(best);
                }
                let end = (at + part).min(best.len());
                let candidate = [&best[..at], &best[end..]].concat();
                if self.same(&candidate, crash, cancel).await? {
                    best = candidate;
                    shrunk = true;
                } else {
                    at = end;
                }
            }
            if part == 1 && !shrunk {
                break;
            }
            part = if part == 1 { 1 } else { part / 2 };
        }
        for at in 0..best.len().min(64) {
            if Instant::now() >= until || cancel.is_cancelled() {
                break;
            }
            if best[at] == b'0' {
                continue;
            }
            let mut candidate = best.clone();
            candidate[at] = b'0';
            if self.same(&candidate, crash, cancel).await? {
                best = candidate;
            }
        }
        Ok(best)
    }

    /// Repeats the part of an input that is repeated most, more and more often within `budget`, until the target overflows
    /// its stack; the longer input and what it did.
    ///
    /// # Errors
    /// [`ProcessError`] if the target can no longer be started.
    pub async fn amplify(
        &self,
        input: &[u8],
        budget: Duration,
        cancel: &CancellationToken,
    ) -> Result<Option<(Vec<u8>, Replayed)>, ProcessError> {
        let until = Instant::now() + budget;
        let Some((run, period)) = repeated(input) else { return Ok(None) };
        let (before, rest) = input.split_at(run.start);
        let (part, after) = rest.split_at(run.len() / period * period);
        let mut times = 8;
        while before.len() + part.len() * times + after.len() <= LONGEST
            && Instant::now() < until
            && !cancel.is_cancelled()
        {
            let longer = [before, &part.repeat(times), after].concat();
            if !self.quick(&longer, cancel).await?.crashed {
                times *= 4;
                continue;
            }
            let replayed = self.run(&longer, cancel).await?;
            if replayed.report.as_ref().is_some_and(|report| report.kind == "stack-overflow") {
                return Ok(Some((longer, replayed)));
            }
            times *= 4;
        }
        Ok(None)
    }

    async fn same(
        &self,
        input: &[u8],
        crash: &str,
        cancel: &CancellationToken,
    ) -> Result<bool, ProcessError> {
        let replayed = self.once(input, false, cancel).await?;
        Ok(replayed.crashed && self.known(&replayed.log).as_deref() == Some(crash))
    }

    /// What a crash is known by: of a hang, which is interrupted anywhere, nothing but that it hangs.
    fn known(&self, log: &[u8]) -> Option<String> {
        let kind = triage(log, &self.scope)?.kind;
        if kind == "timeout" { Some(kind) } else { Some(signature(log)?.as_str().to_owned()) }
    }

    /// How one types the replay of `input`, a path.
    pub fn command(&self, input: &str) -> String {
        let target = self.target.clone().with_level(Level::None);
        let env: Vec<String> = target.env.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
        let args: Vec<String> = target.args.iter().map(|arg| format!(" {arg}")).collect();
        format!("{}{}{} {input}", env.concat(), target.program.display(), args.concat())
    }
}

/// Whether a program that is no libFuzzer target crashed: an exit code alone may be its opinion of the input.
fn fatal(exit: &Exit, log: &[u8]) -> bool {
    matches!(exit.status, Status::Signal(_)) || (!exit.status.success() && signature(log).is_some())
}

/// Whether a process of the target died by a sanitizer's or libFuzzer's handler: of one that it forked its exit code tells nothing.
fn died(log: &[u8]) -> bool {
    [&b"==ERROR: "[..], b"== ERROR: libFuzzer: "].iter().any(|head| memmem::find(log, head).is_some())
}

/// What libFuzzer would have said about the end of a program that does without it, or on a machine too busy for it to say so.
fn ending(exit: &Exit, patience: u64) -> Vec<u8> {
    let text = match (exit.cause, exit.status) {
        (Cause::Deadline, _) => format!("\n==1== ERROR: libFuzzer: timeout after {patience} seconds\n"),
        (Cause::Memory, _) => "\n==1== ERROR: libFuzzer: out-of-memory\n".to_owned(),
        (Cause::Own, Status::Signal(number)) => {
            let name = u64::try_from(number).ok().and_then(signal_name).unwrap_or("SIGKILL");
            format!("\nthe program received signal {name}\n")
        }
        _ => String::new(),
    };
    text.into_bytes()
}

/// The longest stretch in which a part of at most eight bytes is repeated, and the length of the part.
fn repeated(input: &[u8]) -> Option<(Range<usize>, usize)> {
    let mut best: Option<(Range<usize>, usize)> = None;
    for period in 1..=8 {
        let mut start = 0;
        for at in 0..input.len() {
            if at + period < input.len() && input[at] == input[at + period] {
                continue;
            }
            // Up to the end of the last whole part.
            let end = (at + period).min(input.len());
            let longer = best.as_ref().is_none_or(|(range, _)| end - start > range.len());
            if end - start >= 2 * period && longer {
                best = Some((start..end, period));
            }
            start = at + 1;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::repeated;

    #[test]
    fn what_is_repeated_most_is_found() {
        for (input, expect) in [
            (&b"abc"[..], None),
            (b"", None),
            (b"x[[[[[[y", Some((1..7, 1))),
            (b"ab{}{}{}{}{}c", Some((2..12, 2))),
            (b"aa-=-=-=-=", Some((2..10, 2))),
        ] {
            assert_eq!(repeated(input), expect, "{input:?}");
        }
    }
}
