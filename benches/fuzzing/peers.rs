//! The programs that are compared, and how they are started.

use super::measure::children_seconds;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What executes a target.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// The program itself, as the child of `FuzzModule` does.
    Inside,
    /// libFuzzer, built as by cargo-fuzz without a sanitizer.
    Outside,
}

/// Seconds after which a bug counts as not found.
const PATIENCE: u64 = 60;

pub struct Peers {
    dir: PathBuf,
}

impl Peers {
    /// The programs in `dir`, made there if there are none.
    pub fn open(dir: &Path) -> Self {
        if !dir.join("inside/bin/empty").is_file() {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fuzzing/prepare.sh");
            #[expect(clippy::disallowed_methods, reason = "a script of the bench")]
            let status = Command::new(script).arg(dir).status().expect("the script starts");
            assert!(status.success(), "the targets could not be built: {status}");
        }
        Self { dir: dir.to_owned() }
    }

    pub fn program(&self, peer: Peer, target: &str) -> PathBuf {
        let part = match peer {
            Peer::Inside => "inside/bin",
            Peer::Outside => "outside/bin",
        };
        self.dir.join(part).join(target)
    }

    fn command(&self, peer: Peer, target: &str, flags: &[String], folder: &Path) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the bare program")]
        let mut command = Command::new(self.program(peer, target));
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        match peer {
            Peer::Outside => command.args(flags),
            Peer::Inside => {
                command.env("CRASHWISE_FUZZ_TARGET", target).env("CRASHWISE_FUZZ_FLAGS", flags.join("\u{1f}"))
            }
        };
        command
    }

    /// Executes a target so many times, with an empty corpus that grows in a folder, and returns the seconds of CPU time that it
    /// took.
    pub fn fuzz(&self, peer: Peer, target: &str, runs: u32, seed: usize) -> f64 {
        let folder = tempfile::tempdir().expect("a folder");
        let corpus = folder.path().join("corpus");
        std::fs::create_dir(&corpus).expect("a folder");
        let flags = [
            format!("-runs={runs}"),
            format!("-seed={seed}"),
            format!("-artifact_prefix={}/", folder.path().display()),
            corpus.display().to_string(),
        ];
        let before = children_seconds();
        let output = self.command(peer, target, &flags, folder.path()).output().expect("it starts");
        assert!(output.status.success(), "{target}: {}", String::from_utf8_lossy(&output.stderr));
        children_seconds() - before
    }

    /// Executions and seconds of CPU time up to the first crash; `None` if there is none within a minute.
    pub fn first_crash(&self, peer: Peer, target: &str, recursion: bool, seed: u32) -> Option<(f64, f64)> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut flags = vec![
            format!("-max_total_time={PATIENCE}"),
            format!("-seed={seed}"),
            format!("-artifact_prefix={}/", folder.path().display()),
            "-print_final_stats=1".into(),
        ];
        if recursion {
            // What the module gives its child; libFuzzer passes over what it does not know.
            flags.extend(["-stack_kib=256".into(), "-repeat=1".into()]);
        }
        let before = children_seconds();
        let mut child = self.command(peer, target, &flags, folder.path()).spawn().expect("it starts");
        let mut executions = 0.0_f64;
        let mut found = false;
        for line in BufReader::new(child.stderr.take().expect("a pipe")).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let count = line
                .strip_prefix('#')
                .and_then(|rest| rest.split_once('\t'))
                .map(|(count, _)| count)
                .or_else(|| line.strip_prefix("stat::number_of_executed_units: "));
            executions =
                count.and_then(|count| count.trim().parse().ok()).map_or(executions, |n| executions.max(n));
            if line.contains("Test unit written to") && line.contains("crash-") {
                found = true;
                // In the program itself panics are survived.
                if matches!(peer, Peer::Inside) && !recursion {
                    child.kill().expect("it is ours");
                }
            }
        }
        child.wait().expect("it ends");
        found.then(|| (executions, children_seconds() - before))
    }
}
