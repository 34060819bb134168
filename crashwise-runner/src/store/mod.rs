//! The runs of a state folder, for any process: list, look, ask things of them, tidy up.

mod ask;
mod look;
mod open;
mod prune;
mod verify;

pub(crate) use ask::Answer;
pub use look::{HistoryEvent, LatestStats, RunFilter, RunSummary};
pub use open::OpenStep;
pub use prune::Pruned;
pub use verify::Verdict;

use crate::engine::Past;
use crate::journal::sqlite::{Access, Blobs, Durability, LaterReader, open};
use crate::journal::{JournalError, Record, Submission};
use crate::results::ResultStore;
use crate::{RunReport, RunStatus, RunnerError, report};
use crashwise_core::RunId;
use rusqlite::Connection;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

/// The runs of a state folder. Needs no runner, and works beside processes that carry out runs there.
///
/// ```
/// use crashwise_runner::{RunFilter, RunStore, Runner};
///
/// let folder = tempfile::tempdir()?;
/// let runner = Runner::builder().state_dir(folder.path()).build()?;
/// let store = RunStore::open(folder.path())?;
/// assert!(store.list(&RunFilter::new())?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RunStore {
    folder: PathBuf,
    connection: Arc<LaterReader>,
    blobs: Blobs,
    results: ResultStore,
}

impl RunStore {
    /// Opens the journal of a state folder.
    ///
    /// # Errors
    ///
    /// When there is none, or the file is not a journal or was written by a later version.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, RunnerError> {
        let store = Self::later(folder.into());
        drop(store.lock()?);
        Ok(store)
    }

    /// The same, opened when it is first needed.
    pub(crate) fn later(folder: PathBuf) -> Self {
        Self {
            blobs: Blobs::reader(&folder),
            results: ResultStore::reader(folder.join("results")),
            connection: Arc::new(LaterReader::new(folder.clone())),
            folder,
        }
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The report of a run. Of one that has not ended: its steps so far, with failed coverage.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`]; also when what is stored is damaged.
    pub fn report(&self, run: &RunId) -> Result<RunReport, RunnerError> {
        let summary = self.summary(run)?;
        let (submission, records) = self.records(run)?;
        let past = Past::of(records);
        let steps = crate::steps::in_order(&past.steps);
        let end = match past.finished {
            Some(end) => *end,
            None => report::unfinished(&submission, summary.status, past.started_ms, &steps),
        };
        Ok(RunReport::new(&submission, end, steps, self.results.clone()))
    }

    /// Where a run is.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`].
    pub fn status(&self, run: &RunId) -> Result<RunStatus, RunnerError> {
        Ok(self.summary(run)?.status)
    }

    pub(crate) fn records(&self, run: &RunId) -> Result<(Submission, Vec<Record>), RunnerError> {
        let (records, _) = self.chain(run).map_err(RunnerError::journal)?;
        match records.first().map(|first| &first.event) {
            Some(crate::journal::Event::Submitted(submission)) => Ok(((**submission).clone(), records)),
            _ => Err(RunnerError::journal(JournalError::Corrupt {
                run: run.clone(),
                seq: 1,
                problem: "it is not the request for the run".to_owned(),
            })),
        }
    }

    fn chain(&self, run: &RunId) -> Result<(Vec<Record>, [u8; 32]), JournalError> {
        use crate::journal::sqlite::read;
        let connection = self.connection.lock()?;
        match read::number_of(&connection, run)? {
            Some(no) => read::records(&connection, &self.blobs, no, run),
            None => Ok((Vec::new(), [0; 32])),
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, Connection>, RunnerError> {
        self.connection.lock().map_err(RunnerError::journal)
    }

    /// A connection that may write.
    fn writing(&self) -> Result<Connection, RunnerError> {
        open(&self.folder, Access::Write(Durability::Sync)).map_err(RunnerError::journal)
    }
}

impl fmt::Debug for RunStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn failed(context: &'static str) -> impl FnOnce(rusqlite::Error) -> RunnerError {
    move |error| RunnerError::storage(context, error)
}
