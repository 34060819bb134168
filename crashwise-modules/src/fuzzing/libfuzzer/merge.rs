use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::ProcessError;
use tokio_util::sync::CancellationToken;

use super::target::Target;

/// Makes a corpus smaller: of the inputs that reach the same, the smallest stay.
#[derive(Debug, Clone)]
pub struct Merge {
    target: Target,
    work: PathBuf,
    budget: Duration,
}

impl Merge {
    /// A merge by `target`, which works in `work`, within a minute.
    pub fn new(target: Target, work: impl Into<PathBuf>) -> Self {
        Self { target, work: work.into(), budget: Duration::from_mins(1) }
    }

    /// Sets the wall time.
    #[must_use]
    pub fn with_budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Writes the inputs of `from` that are worth keeping into `into`. False if it did not come to its end, or the target
    /// cannot merge: then `into` is not to be used.
    ///
    /// # Errors
    /// [`ProcessError`] if the target cannot be started, or the folders not be made.
    pub async fn run(
        &self,
        from: &Path,
        into: &Path,
        cancel: &CancellationToken,
    ) -> Result<bool, ProcessError> {
        if self.target.flags != super::FlagsBy::Arguments {
            return Ok(false);
        }
        for path in [&self.work, into] {
            let failed = |source: io::Error| ProcessError::Directory { path: path.to_owned(), source };
            fs::create_dir_all(path).map_err(failed)?;
        }
        let control = self.work.join("control");
        let flags: [OsString; 5] = [
            "-merge=1".into(),
            format!("-merge_control_file={}", control.display()).into(),
            format!("-artifact_prefix={}/", self.work.display()).into(),
            into.into(),
            from.into(),
        ];
        let spec = self.target.spec(&self.work, false, &flags).read(from).write(into).deadline(self.budget);
        let exit = spec.run(cancel).await?;
        let full = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        Ok(exit.status.success() && full(into))
    }
}
