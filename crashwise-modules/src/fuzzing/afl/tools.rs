//! A target as AFL++ runs it, and the tools that run it too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Limits, ProcessError, Spec};
use crashwise_core::read_regular;
use tokio_util::sync::CancellationToken;

use crate::fuzzing::libfuzzer::Target;

/// What AFL++ needs to run without a person: no screen, no look at the machine's settings.
const VARIABLES: [(&str, &str); 7] = [
    // `afl-cmin` refuses to work below /tmp, which is not shared here.
    ("AFL_ALLOW_TMP", "1"),
    ("AFL_NO_UI", "1"),
    ("AFL_SKIP_CPUFREQ", "1"),
    ("AFL_NO_AFFINITY", "1"),
    ("AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES", "1"),
    ("AFL_FUZZER_STATS_UPDATE_INTERVAL", "1"),
    ("AFL_NO_COLOR", "1"),
];

/// A program that was built with AFL's compiler.
#[derive(Debug, Clone)]
pub(in crate::fuzzing) struct AflTarget {
    /// How an input is replayed, and the limits.
    pub(in crate::fuzzing) target: Target,
    /// The arguments under AFL++; `@@` stands for the input's path.
    pub(in crate::fuzzing) args: Vec<String>,
}

impl AflTarget {
    /// A process of one of AFL's programs on this target, in `directory`, with its own arguments first.
    pub(super) fn spec(&self, program: &str, directory: &Path, args: &[&str]) -> Spec {
        let target = &self.target;
        let mut spec = Spec::new(program)
            .args(args)
            .arg("--")
            .arg(&target.program)
            .args(&self.args)
            .directory(directory)
            .level(target.level)
            .env("TMPDIR", directory)
            .env("AFL_HANG_TMOUT", (target.patience * 1000).to_string())
            .read(&target.program)
            .output_cap(2 << 20)
            .limits(
                Limits::new()
                    .with_memory((target.memory + 512) << 20)
                    .with_sparse_memory()
                    .with_processes(256)
                    .with_file_size(1 << 30)
                    .with_disk(4 << 30),
            );
        for (name, value) in VARIABLES {
            spec = spec.env(name, value);
        }
        for (name, value) in &target.env {
            spec = spec.env(name, value);
        }
        let spec = target.image.iter().fold(spec, Spec::image);
        target.readable.iter().fold(spec, Spec::read)
    }

    /// Writes the inputs of `from` that reach something of their own into `into`, by `afl-cmin`. False if it did not come to
    /// its end: then `into` is not to be used.
    pub(in crate::fuzzing) async fn cmin(
        &self,
        (from, into): (&Path, &Path),
        work: &Path,
        budget: Duration,
        cancel: &CancellationToken,
    ) -> Result<bool, ProcessError> {
        folder(work)?;
        let (near_from, near_into) = (beside(work, from), beside(work, into));
        let (from_text, into_text) = (near_from.to_string_lossy(), near_into.to_string_lossy());
        // It makes its folder itself, and wants none before.
        let spec = self.spec("afl-cmin", work, &["-i", &from_text, "-o", &into_text]);
        let above = into.parent().unwrap_or(work);
        let exit = spec.read(from).write(above).deadline(budget).run(cancel).await?;
        let full = fs::read_dir(into)
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_file())));
        Ok(exit.status.success() && full)
    }

    /// A smaller input that ends alike, by `afl-tmin`; whether it is the same crash is for the caller to see.
    pub(in crate::fuzzing) async fn tmin(
        &self,
        input: &[u8],
        work: &Path,
        budget: Duration,
        cancel: &CancellationToken,
    ) -> Result<Option<Vec<u8>>, ProcessError> {
        folder(work)?;
        let (from, into): (PathBuf, PathBuf) = (work.join("large"), work.join("small"));
        fs::write(&from, input).map_err(|source| failed(work, source))?;
        let (from_text, into_text) = (from.to_string_lossy(), into.to_string_lossy());
        let time = (self.target.patience * 1000).to_string();
        let spec =
            self.spec("afl-tmin", work, &["-i", &from_text, "-o", &into_text, "-t", &time, "-m", "none"]);
        let exit = spec.deadline(budget).run(cancel).await?;
        Ok(read_regular(&into, input.len() as u64).ok().filter(|_| exit.status.success()))
    }
}

/// `path` as seen from the folder `work` beside it: what begins with `/dev/`, such as a folder in memory, `afl-showmap` takes for a device
/// that it need not make, and `afl-cmin` then finds no traces.
fn beside(work: &Path, path: &Path) -> PathBuf {
    match path.file_name() {
        Some(name) if path.parent() == work.parent() => Path::new("..").join(name),
        _ => path.to_owned(),
    }
}

fn failed(path: &Path, source: io::Error) -> ProcessError {
    ProcessError::Directory { path: path.to_owned(), source }
}

pub(super) fn folder(path: &Path) -> Result<(), ProcessError> {
    fs::create_dir_all(path).map_err(|source| failed(path, source))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::beside;

    #[test]
    fn folders_beside_each_other_are_named_without_what_is_above() {
        for (work, path, expect) in [
            ("/dev/shm/x/merge", "/dev/shm/x/all", "../all"),
            ("/dev/shm/x/merge", "/dev/shm/y/all", "/dev/shm/y/all"),
            ("/", "/", "/"),
        ] {
            assert_eq!(beside(Path::new(work), Path::new(path)), Path::new(expect), "{work} {path}");
        }
    }
}
