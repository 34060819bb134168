//! Looks for recursion without bound, which no fuzzer finds by chance: inputs of the corpus with one short part repeated
//! thousands of times, run on a small stack.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Cause, Exit, ProcessError, Status};
use crashwise_core::read_regular;
use fastrand::Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::target::Target;

/// Inputs of one search.
const INPUTS: usize = 768;
/// Inputs of one process.
const AT_ONCE: usize = 256;
/// Bytes that the repeated parts take.
const LENGTH: usize = 16 << 10;
/// Inputs longer than this are not repeated from.
const LONGEST_BASE: u64 = 4096;
/// The longest part in bytes.
const LONGEST_PART: usize = 8;
/// The stack, in bytes.
const STACK: u64 = 512 << 10;
/// Crashes after which a search ends.
const CRASHES: usize = 12;

/// A search over the corpus of one target that takes flags as libFuzzer does.
#[derive(Debug)]
pub(in crate::fuzzing) struct Nesting<'a> {
    pub(in crate::fuzzing) target: &'a Target,
    pub(in crate::fuzzing) corpus: &'a Path,
    pub(in crate::fuzzing) work: PathBuf,
    pub(in crate::fuzzing) seed: u64,
}

/// An input that killed the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fuzzing) struct Killer {
    pub(in crate::fuzzing) input: Vec<u8>,
    pub(in crate::fuzzing) log: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Repeated {
    part: Vec<u8>,
    input: Vec<u8>,
}

impl Nesting<'_> {
    /// Runs what is made of the corpus, within `budget`, and returns what killed the target. Whether it does so on a stack of
    /// the usual size is for the caller to see.
    ///
    /// # Errors
    /// [`ProcessError`] if the target cannot be started, or the inputs not be written.
    pub(in crate::fuzzing) async fn search(
        &self,
        budget: Duration,
        cancel: &CancellationToken,
    ) -> Result<Vec<Killer>, ProcessError> {
        let until = Instant::now() + budget;
        let failed = |source: io::Error| ProcessError::Directory { path: self.work.clone(), source };
        let mut inputs = repeated(&bases(self.corpus), &mut Rng::with_seed(self.seed));
        fs::create_dir_all(&self.work).map_err(failed)?;
        for (at, one) in inputs.iter().enumerate() {
            fs::write(self.work.join(at.to_string()), &one.input).map_err(failed)?;
        }
        let mut waiting: Vec<usize> = (0..inputs.len()).rev().collect();
        let mut found = Vec::new();
        while !waiting.is_empty() && found.len() < CRASHES && !cancel.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let batch = waiting.len().saturating_sub(AT_ONCE);
            // A target may change its directory.
            let flags: Vec<OsString> =
                waiting[batch..].iter().rev().map(|at| self.work.join(at.to_string()).into()).collect();
            let limits = self.target.limits().with_stack(STACK);
            let spec = self.target.spec(&self.work, true, &flags).limits(limits).deadline(left);
            let exit = spec.run(cancel).await?;
            if exit.status.success() {
                waiting.truncate(batch);
                continue;
            }
            if matches!(exit.cause, Cause::Deadline | Cause::Cancelled) {
                break;
            }
            let Some(at) = last_run(&exit) else { break };
            while waiting.pop().is_some_and(|next| next != at) {}
            // A hang or too much memory, by a part that is repeated thousands of times, is a matter of patience.
            if exit.cause != Cause::Own || matches!(exit.status, Status::Code(70 | 71)) {
                continue;
            }
            let Some(one) = inputs.get_mut(at) else { break };
            let part = one.part.clone();
            waiting.retain(|other| inputs[*other].part != part);
            found.push(Killer {
                input: std::mem::take(&mut inputs[at].input),
                log: [exit.stdout.bytes(), exit.stderr.bytes()].concat(),
            });
        }
        // The folder goes with the campaign; what fills it need not stay so long.
        let _ = fs::remove_dir_all(&self.work);
        Ok(found)
    }
}

/// The input that ran when the process died, by the name that libFuzzer prints before each.
fn last_run(exit: &Exit) -> Option<usize> {
    let log = exit.stderr.text();
    let path = Path::new(log.lines().rev().find_map(|line| line.strip_prefix("Running: "))?.trim());
    path.file_name()?.to_str()?.parse().ok()
}

/// Short inputs of a folder, in the order of their names.
fn bases(corpus: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(corpus).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let inputs = paths.into_iter().filter_map(|path| read_regular(&path, LONGEST_BASE).ok());
    inputs.filter(|input| !input.is_empty()).take(INPUTS).collect()
}

/// Inputs in which a part is repeated; most with a part that no other has.
fn repeated(bases: &[Vec<u8>], rng: &mut Rng) -> Vec<Repeated> {
    let mut made: Vec<Repeated> = Vec::new();
    let (mut parts, mut places) = (BTreeSet::new(), BTreeSet::new());
    if bases.is_empty() {
        return made;
    }
    for turn in 0..INPUTS * 4 {
        let which = rng.usize(0..bases.len());
        let base = &bases[which];
        let len = rng.usize(1..=LONGEST_PART.min(base.len()));
        let at = rng.usize(0..=base.len() - len);
        let part = base[at..at + len].to_vec();
        // The same part behind another beginning is worth a try when there is nothing else.
        let fresh = parts.insert(part.clone()) || turn >= INPUTS * 2;
        if made.len() == INPUTS || !fresh || !places.insert((which, at, len)) {
            continue;
        }
        let times = LENGTH / len;
        let input = [&base[..at], &part.repeat(times), &base[at + len..]].concat();
        made.push(Repeated { part, input });
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Overflows where an input has more than 9000 brackets, hangs where it has as many stars.
    const SCRIPT: &str = r#"#!/bin/sh
for arg in "$@"; do
  case $arg in -*) continue ;; esac
  echo "Running: $arg" >&2
  count() { tr -dc "$1" <"$arg" | wc -c; }
  if [ "$(count '[')" -gt 9000 ]; then
    echo "==7==ERROR: AddressSanitizer: stack-overflow on address 0x7 (pc 0x5 bp 0x7 sp 0x7 T0)" >&2
    for n in 0 1 2 3 4 5; do echo "    #$n 0x1 in value src/parse.c:3:5" >&2; done
    exit 77
  fi
  [ "$(count '*')" -gt 9000 ] && exit 70
done
exit 0
"#;

    #[tokio::test]
    async fn what_nests_without_bound_is_found_once() {
        let directory = tempfile::tempdir().expect("directory");
        let script = directory.path().join("target.sh");
        fs::write(&script, SCRIPT).expect("write");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
        let corpus = directory.path().join("corpus");
        fs::create_dir(&corpus).expect("corpus");
        for (name, input) in [("a", "["), ("b", "*"), ("c", "x"), ("d", "")] {
            fs::write(corpus.join(name), input).expect("write");
        }
        let target = Target::new("demo", script);
        let work = directory.path().join("nesting");
        let nesting = Nesting { target: &target, corpus: &corpus, work: work.clone(), seed: 1 };
        let found = nesting.search(Duration::from_mins(5), &CancellationToken::new()).await.expect("starts");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].input, b"[".repeat(LENGTH));
        assert!(String::from_utf8_lossy(&found[0].log).contains("stack-overflow") && !work.exists());
    }

    #[test]
    fn parts_differ_and_the_rest_stays() {
        let made = repeated(&[b"(a;b)".to_vec()], &mut Rng::with_seed(7));
        let parts: BTreeSet<&Vec<u8>> = made.iter().map(|one| &one.part).collect();
        assert_eq!(parts.len(), 15, "all parts of five bytes");
        for one in &made {
            assert!(one.input.len() <= LENGTH + 4, "{:?}", one.part);
            let text = String::from_utf8_lossy(&one.input);
            assert!(one.part.contains(&b'(') || text.starts_with('('), "{:?}", one.part);
        }
        assert_eq!(made, repeated(&[b"(a;b)".to_vec()], &mut Rng::with_seed(7)));
        assert!(repeated(&[], &mut Rng::with_seed(7)).is_empty());
    }
}
