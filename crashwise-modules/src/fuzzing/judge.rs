//! What becomes of a crash: confirmed, made smaller, kept, and reported once.

use std::fmt::Write;
use std::time::Duration;

use crashwise_core::{Gap, GapReason, ModuleError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cargo::address_space;
use super::corpora::{About, Kept};
use super::finding;
use super::libfuzzer::{ArtifactKind, FlagsBy, Replay, Replayed, Target, tail};
use super::session::{Ready, Session, module_error};
use super::triage::{CrashReport, Sighting, triage};

/// Seconds after which an input is taken for one of a hang that is known, if it is in the same loop.
const BRIEF: u64 = 2;

/// How long an overflow of the small stack is made longer at most, before the time is up.
const AMPLIFIED: Duration = Duration::from_mins(1);
/// How long after the end of the time those that wait are made longer, all together.
const RESERVE: Duration = Duration::from_secs(10);

/// Bytes of inputs that the command of a replay holds itself.
const TYPED: usize = 256;

/// A crash as a campaign tells of it.
pub(super) struct Seen {
    pub(super) kind: Option<ArtifactKind>,
    pub(super) input: Option<Vec<u8>>,
    pub(super) log: Vec<u8>,
    pub(super) executions: u64,
    /// Whether the build without a sanitizer crashed.
    pub(super) native: bool,
}

/// A build of a target that tells of a crash again.
pub(super) struct Witness {
    pub(super) replay: Replay,
    /// How one types the replay, as in [`Ready::command`].
    pub(super) command: String,
    /// As [`Ready::runner`].
    pub(super) runner: Option<String>,
    /// Whether it is built without a sanitizer, beside one with.
    pub(super) native: bool,
}

/// What crashes of a target are replayed by.
pub(super) struct Witnesses {
    pub(super) target: Witness,
    /// Its build without a sanitizer.
    pub(super) native: Option<Witness>,
}

impl Witnesses {
    /// Those to be asked about a crash, the best first: what a sanitizer says of it is worth more than what the program does.
    fn of(&self, native: bool) -> impl DoubleEndedIterator<Item = &Witness> {
        std::iter::once(&self.target).chain(self.native.as_ref().filter(|_| native))
    }

    /// Runs an input up to `tries` times by each, until one tells of a crash; by the last one and what it did then if none does.
    async fn ask(
        &self,
        native: bool,
        input: &[u8],
        tries: u32,
        cancel: &CancellationToken,
    ) -> Result<Option<(&Witness, Replayed)>, ModuleError> {
        let mut last = None;
        for by in self.of(native) {
            for _ in 0..tries {
                if cancel.is_cancelled() {
                    return Ok(last);
                }
                let replayed = by.replay.run(input, cancel).await.map_err(module_error)?;
                let told = replayed.report.is_some();
                last = Some((by, replayed));
                if told {
                    return Ok(last);
                }
            }
        }
        Ok(last)
    }
}

/// What is said of a crash beside its report.
struct Telling<'a> {
    by: &'a Witness,
    log: &'a [u8],
    input: Option<&'a [u8]>,
    sure: bool,
    executions: Option<u64>,
    /// Of a crash that an earlier run found.
    known: Option<&'a About>,
}

impl Session<'_> {
    /// Replays the crashes that earlier runs found: those that still happen are reported, the others noted as fixed. Those
    /// for which `budget` does not suffice are a gap when nothing else is replayed.
    pub(super) async fn known(
        &self,
        ready: &Ready,
        witnesses: &Witnesses,
        kept: &Kept<'_>,
        budget: Duration,
    ) -> Result<(), ModuleError> {
        let until = Instant::now() + budget;
        let cancel = self.cx.cancel_token();
        for (crash, about, input) in kept.crashes().await {
            let what = format!("known crash {} of {}", crash.key, ready.target.name);
            let Some(input) = input else {
                self.cx.not_covered(Gap::new(what, GapReason::Failed, "its input was not kept"));
                continue;
            };
            if cancel.is_cancelled() || Instant::now() >= until {
                if self.options.replay {
                    self.cx.not_covered(Gap::new(what, GapReason::Failed, "there was no time to replay it"));
                }
                continue;
            }
            let asked = witnesses.ask(about.native, &input, 1, cancel).await?;
            let Some((by, replayed)) = asked.filter(|_| !cancel.is_cancelled()) else { continue };
            self.state().replayed += 1;
            let Some(report) = replayed.report else {
                if about.native && !by.native {
                    // The build that it happens in is not there.
                    if self.options.replay {
                        let why = "it happens only without a sanitizer";
                        self.cx.not_covered(Gap::new(what, GapReason::Unsupported, why));
                    }
                } else if replayed.crashed {
                    let why = "the target died without a report";
                    self.cx.not_covered(Gap::new(what, GapReason::Malformed, why));
                } else {
                    kept.mark(&crash.key, &about, true).await;
                    self.state().fixed.push(format!("{}: {}", ready.target.name, about.title));
                }
                continue;
            };
            kept.mark(&crash.key, &about, false).await;
            if self.is_new(ready, &report, None) {
                self.state().recurring += 1;
                let telling = Telling {
                    by,
                    log: &replayed.log,
                    input: Some(&input),
                    sure: true,
                    executions: None,
                    known: Some(&about),
                };
                self.report(ready, &report, &telling)?;
            }
        }
        Ok(())
    }

    /// Confirms a crash and reports it when it is new. False when it is a stack overflow of the small stack alone.
    pub(super) async fn crash(
        &self,
        ready: &Ready,
        witnesses: &Witnesses,
        kept: &Kept<'_>,
        seen: Seen,
    ) -> Result<bool, ModuleError> {
        let Seen { kind, mut input, log, executions, native } = seen;
        let replay = &witnesses.target.replay;
        let log = replay.named(log).await;
        let cancel = self.cx.cancel_token();
        // To make one more overflow of the default stack from a nesting that is known takes long and tells nothing.
        if ready.recursion
            && triage(&log, &self.scope)
                .is_some_and(|report| self.state().kin.nests(&ready.target.name, &report))
        {
            return Ok(true);
        }
        let slow = kind == Some(ArtifactKind::Timeout);
        if let (true, Some(input)) = (slow && self.state().kin.hung(&ready.target.name), &input) {
            // One that takes this long in a loop that is known need not be waited for to its end.
            let report = replay.briefly(BRIEF).run(input, cancel).await.map_err(module_error)?.report;
            if report.is_none_or(|report| self.state().kin.hangs(&ready.target.name, &report)) {
                return Ok(true);
            }
        }
        let mut by = witnesses.of(native).next_back().unwrap_or(&witnesses.target);
        let mut confirmed = None;
        if let Some(input) = &input {
            let tries = if slow { 1 } else { 3 };
            if let Some((witness, replayed)) = witnesses.ask(native, input, tries, cancel).await? {
                by = witness;
                confirmed = replayed.report.map(|report| (report, replayed.log));
            }
        }
        let overflow = |report: &CrashReport| report.kind == "stack-overflow";
        if ready.recursion
            && confirmed.is_none()
            && triage(&log, &self.scope).is_some_and(|report| overflow(&report))
        {
            // It overflowed the small stack; a longer one of its kind must overflow the default one.
            let time = (self.end() + RESERVE).saturating_duration_since(Instant::now()).min(AMPLIFIED);
            let longer = match &input {
                Some(input) => tokio::time::timeout(time, replay.amplify(input, AMPLIFIED, cancel)).await,
                None => Ok(Ok(None)),
            };
            let Ok(longer) = longer else {
                let what = format!("an overflow of a small stack by {}", ready.target.name);
                let why = "there was no time to see whether the default stack overflows too";
                self.cx.not_covered(Gap::new(what, GapReason::Failed, why));
                return Ok(false);
            };
            let Some((longer, replayed)) = longer.map_err(module_error)? else { return Ok(false) };
            confirmed = replayed.report.map(|report| (report, replayed.log));
            input = Some(longer);
        }
        let sure = confirmed.is_some();
        let told = if sure { None } else { triage(&log, &self.scope) };
        if !sure && (slow || told.as_ref().is_some_and(|report| report.kind == "timeout")) {
            // It took longer than inputs may before they are looked at, and not longer than they may.
            return Ok(true);
        }
        let found = confirmed.or_else(|| Some((told?, log.clone())));
        let Some((report, log)) = found else {
            let what = format!("a crash of {}", ready.target.name);
            let why = format!("the target died without a report: {}", tail(&String::from_utf8_lossy(&log)));
            self.cx.not_covered(Gap::new(what, GapReason::Malformed, why));
            return Ok(true);
        };
        let once_more = match report.kind.as_str() {
            "timeout" => Some(by.replay.briefly(BRIEF)),
            "out-of-memory" => Some(by.replay.clone()),
            _ => None,
        };
        let again = match (&input, once_more) {
            (Some(input), Some(replay)) if sure && !self.state().known.contains(&report.major) => {
                replay.run(input, cancel).await.map_err(module_error)?.report
            }
            _ => None,
        };
        // One that happens but once has the stack of the build that it happened in.
        let told = (ready.target.name.clone(), report.kind.clone(), report.message.clone());
        if (!sure && self.state().told_of.contains(&told)) || !self.is_new(ready, &report, again.as_ref()) {
            return Ok(true);
        }
        self.state().told_of.insert(told);
        // Kept before it is made smaller, which takes a while.
        if let Some(input) = input.as_ref().filter(|_| sure) {
            kept.keep(&report, input, by.native).await;
        }
        let small = match input {
            Some(input) if sure => {
                let small = self.smaller(ready, &by.replay, &report, &input).await?;
                if small != input {
                    kept.keep(&report, &small, by.native).await;
                }
                Some(small)
            }
            input => input,
        };
        let telling = Telling {
            by,
            log: &log,
            input: small.as_deref(),
            sure,
            executions: Some(executions),
            known: None,
        };
        self.report(ready, &report, &telling)?;
        Ok(true)
    }

    /// A smaller input with the same crash, if there is time to find one.
    async fn smaller(
        &self,
        ready: &Ready,
        replay: &Replay,
        report: &CrashReport,
        input: &[u8],
    ) -> Result<Vec<u8>, ModuleError> {
        let cancel = self.cx.cancel_token();
        // Crashes that are looked at when the time is up get no more than one alone.
        let budget = self
            .options
            .minimise
            .min((self.end() + self.options.minimise).saturating_duration_since(Instant::now()));
        let same = async |input: &[u8]| {
            let again = replay.run(input, cancel).await.ok().and_then(|replayed| replayed.report);
            again.is_some_and(|other| {
                other.major == report.major || (other.kind == report.kind && other.kind == "timeout")
            })
        };
        if report.kind == "timeout" {
            // Each one that still hangs takes a second; at the end it must hang for as long as an input may take.
            let small = replay.briefly(1).minimise(input, budget, cancel).await.map_err(module_error)?;
            let hangs = small.len() < input.len() && same(&small).await;
            return Ok(if hangs { small } else { input.to_vec() });
        }
        let until = Instant::now() + budget;
        let mut first = input.to_vec();
        if let Some(afl) = ready.afl().filter(|_| input.len() > 64) {
            let small = afl.tmin(input, &self.place(ready).join("tmin"), budget / 2, cancel).await;
            if let Ok(Some(small)) = small
                && same(&small).await
            {
                first = small;
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        replay.minimise(&first, left, cancel).await.map_err(module_error)
    }

    /// Records a crash; whether it is not one that was seen.
    fn is_new(&self, ready: &Ready, report: &CrashReport, again: Option<&CrashReport>) -> bool {
        let state = &mut *self.state();
        if state.known.contains(&report.major) || !state.kin.is_known(&ready.target.name, report, again) {
            return state.known.see(report) == Sighting::New;
        }
        false
    }

    fn report(&self, ready: &Ready, report: &CrashReport, telling: &Telling<'_>) -> Result<(), ModuleError> {
        let name = format!("crashes/{}-{}", ready.target.name, &report.major.as_str()[..12]);
        let bases = ["", ready.base.as_str()];
        let mut finding = finding::of(report, self.cx.workspace(), &bases, ready.place.as_ref())
            .map_err(ModuleError::failed)?;
        finding = finding
            .with_evidence("target", ready.target.name.as_str())
            .with_evidence("engine", ready.engine)
            .with_evidence("reproducible", telling.sure)
            .with_artifact(self.cx.store(&format!("{name}/report.txt"), telling.log)?);
        if telling.by.native {
            finding = finding.with_evidence("without_sanitizer_only", true);
        }
        if let Some(executions) = telling.executions {
            finding = finding.with_evidence("executions_at_discovery", executions);
        }
        if let Some(about) = telling.known {
            finding = finding
                .with_evidence("first_found_by", about.run.as_str())
                .with_evidence("was_fixed", about.fixed);
        }
        if let Some(input) = telling.input {
            let file = format!("{name}/input");
            let typed = &limited(telling.by, &ready.target, &report.kind);
            let command =
                if typed.contains("@@") { typed.replace("@@", &file) } else { format!("{typed} {file}") };
            let test = regression(&ready.target.name, report, input, typed);
            finding = finding
                .with_evidence("input_size", input.len() as u64)
                .with_evidence("replay", format!("{}{command}", written(&file, input)))
                .with_artifact(self.cx.store(&file, input)?)
                .with_artifact(self.cx.store(&format!("{name}/regression.rs"), test.as_bytes())?);
        }
        self.cx.report(finding)?;
        self.state().reported += 1;
        Ok(())
    }
}

/// The command with the limit that an input ran into: without it, libFuzzer waits for twenty minutes, and a program without a
/// sanitizer gets what it asks for.
fn limited(by: &Witness, target: &Target, kind: &str) -> String {
    let allocates = matches!(kind, "out-of-memory" | "rss-limit-exceeded" | "allocation-size-too-big");
    let flag = match kind {
        "timeout" => format!(" -timeout={}", target.patience),
        _ if allocates => format!(" -rss_limit_mb={}", target.memory),
        _ => String::new(),
    };
    let flag = if target.flags == FlagsBy::Arguments { flag } else { String::new() };
    let limit = match &by.runner {
        Some(runner) if allocates => format!("{runner}='prlimit --as={}' ", address_space(target)),
        _ => String::new(),
    };
    format!("{limit}{}{flag}", by.command)
}

/// The command that writes a small input to `file`, to stand before the one that replays it: what a report names lies in the store of the
/// run, and not where the report is read. Empty for inputs over [`TYPED`].
fn written(file: &str, input: &[u8]) -> String {
    if input.len() > TYPED {
        return String::new();
    }
    let mut bytes = String::new();
    for byte in input {
        // What a shell and `printf` take as it is.
        if byte.is_ascii_alphanumeric() {
            bytes.push(char::from(*byte));
        } else {
            let _ = write!(bytes, "\\{byte:03o}");
        }
    }
    let folder = file.rsplit_once('/').map_or(".", |(folder, _)| folder);
    format!("mkdir -p {folder} && printf '{bytes}' > {file} && ")
}

/// A test that replays the input through the target, to be put among the project's own tests.
fn regression(target: &str, report: &CrashReport, input: &[u8], command: &str) -> String {
    let name: String = target
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let bytes: String =
        input.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    let title: String = report.title().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let command = if command.contains("@@") { command.to_owned() } else { format!("{command} @@") };
    format!(
        "/// {title}\n#[test]\nfn fuzz_{name}_{}() {{\n    let input: &[u8] = b\"{bytes}\";\n    \
         let path = std::env::temp_dir().join(\"fuzz-{name}-{}\");\n    std::fs::write(&path, input).unwrap();\n    \
         let command = {command:?}.replace(\"@@\", &path.display().to_string());\n    \
         let status = std::process::Command::new(\"sh\").args([\"-c\", &command]).status().unwrap();\n    \
         assert!(status.success(), \"{{command}}: {{status}}\");\n}}\n",
        &report.major.as_str()[..12],
        &report.major.as_str()[..12],
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crashwise_core::process::Spec;
    use tokio_util::sync::CancellationToken;

    use super::{FlagsBy, Replay, TYPED, Target, Witness, limited, written};
    use crate::fuzzing::triage::Scope;

    #[test]
    fn commands_say_the_limit_that_an_input_ran_into() {
        let target = Target::new("demo", "/out/demo").with_memory(1024).with_patience(7);
        let script = target.clone().with_flags(FlagsBy::Input);
        for (target, kind, native, expect) in [
            (&target, "timeout", false, "./demo -timeout=7"),
            (&target, "rss-limit-exceeded", false, "./demo -rss_limit_mb=1024"),
            (&target, "segv", false, "./demo"),
            (&target, "out-of-memory", true, "RUN='prlimit --as=1610612736' ./demo -rss_limit_mb=1024"),
            (&target, "abrt", true, "./demo"),
            (&script, "timeout", false, "./demo"),
        ] {
            let by = Witness {
                replay: Replay::new(target.clone(), "/out", Scope::new()),
                command: "./demo".into(),
                runner: native.then(|| "RUN".into()),
                native,
            };
            assert_eq!(limited(&by, target, kind), expect, "{kind}");
        }
    }

    #[tokio::test]
    async fn commands_write_small_inputs_byte_for_byte() {
        let input: Vec<u8> = (0..=255).rev().collect();
        let folder = tempfile::tempdir().expect("a folder");
        let command = format!("{}true", written("crashes/a-1/input", &input));
        let spec = Spec::new("sh").args(["-c", command.as_str()]).directory(folder.path());
        let exit = spec.run(&CancellationToken::new()).await.expect("a shell");
        assert!(exit.status.success(), "{command}: {}", exit.stderr.text());
        assert_eq!(fs::read(folder.path().join("crashes/a-1/input")).expect("written"), input);
        assert_eq!(written("crashes/a-1/input", &[0; TYPED + 1]), "");
    }
}
