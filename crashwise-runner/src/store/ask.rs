//! Asking things of runs that another process carries out.

use super::{RunStore, failed};
use crate::engine::Control;
use crate::failpoint;
use crate::{RunReport, RunStatus, RunnerError};
use crashwise_core::RunId;
use crashwise_core::workflow::Decision;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often an answer is looked for.
const EVERY: Duration = Duration::from_millis(20);

/// How long a living process may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl RunStore {
    /// Asks a run to stop, as [`crate::RunHandle::cancel`]. When no process carries the run out, the wish is kept and
    /// obeyed by the one that takes it.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`RunnerError::WrongState`].
    pub async fn cancel(&self, run: &RunId) -> Result<(), RunnerError> {
        self.ask(run, Control::Cancel).await
    }

    /// Asks a run to pause, as [`crate::RunHandle::pause`].
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`].
    pub async fn pause(&self, run: &RunId) -> Result<(), RunnerError> {
        self.ask(run, Control::Pause).await
    }

    /// Lets a paused run go on, as [`crate::RunHandle::resume`].
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`].
    pub async fn resume(&self, run: &RunId) -> Result<(), RunnerError> {
        self.ask(run, Control::Resume).await
    }

    /// Says yes or no to an approval, as [`crate::RunHandle::approve`].
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`], and [`RunnerError::AlreadyDecided`].
    pub async fn decide(
        &self,
        run: &RunId,
        name: &str,
        approved: bool,
        by: &str,
        comment: &str,
    ) -> Result<(), RunnerError> {
        let decision = Decision { approved, by: by.to_owned(), comment: comment.to_owned(), at_ms: now_ms() };
        self.ask(run, Control::Decide { name: name.to_owned(), decision }).await
    }

    /// Sends a signal, as [`crate::RunHandle::signal`].
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`].
    pub async fn signal(&self, run: &RunId, name: &str, value: Value) -> Result<(), RunnerError> {
        self.ask(run, Control::Signal { name: name.to_owned(), value }).await
    }

    /// Waits until a run is over, whoever carries it out. Returns nothing when nobody does any more.
    ///
    /// # Errors
    ///
    /// As [`Self::report`].
    pub async fn wait(&self, run: &RunId) -> Result<Option<RunReport>, RunnerError> {
        loop {
            let summary = self.summary(run)?;
            if summary.status.is_final() {
                return self.report(run).map(Some);
            }
            if !summary.owned {
                return Ok(None);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    pub(crate) async fn ask(&self, run: &RunId, control: Control) -> Result<(), RunnerError> {
        let summary = self.summary(run)?;
        let wrong =
            |status: RunStatus| RunnerError::WrongState { id: run.clone(), status, wanted: control.wanted() };
        if summary.status.is_final() {
            return Err(wrong(summary.status));
        }
        let body = serde_json::to_string(&control)
            .map_err(|error| RunnerError::storage("a command is not JSON", error))?;
        failpoint::pass("before ask");
        let row = {
            let connection = self.writing()?;
            connection
                .execute(
                    "INSERT INTO controls(run, body, at_ms) VALUES (?1, ?2, ?3)",
                    params![run.as_str(), body, i64::try_from(now_ms()).unwrap_or(i64::MAX)],
                )
                .map_err(failed("writing a command failed"))?;
            connection.last_insert_rowid()
        };
        failpoint::pass("after ask");
        let began = Instant::now();
        loop {
            if let Some(answer) = self.answer(row)? {
                return answer.into_result(run, control.wanted());
            }
            let now = self.summary(run)?;
            if now.status.is_final() {
                // It ended before it saw the command, or by it.
                return match (self.answer(row)?, &control) {
                    (Some(answer), _) => answer.into_result(run, control.wanted()),
                    (None, Control::Cancel) if now.status == RunStatus::Cancelled => Ok(()),
                    (None, _) => Err(wrong(now.status)),
                };
            }
            if !now.owned {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let cause = "the process that carries it out does not answer";
                return Err(RunnerError::storage(format!("run {run} did not take the command"), cause));
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn answer(&self, row: i64) -> Result<Option<Answer>, RunnerError> {
        let found: Option<Option<String>> = self
            .lock()?
            .prepare_cached("SELECT answer FROM controls WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([row], |row| row.get(0)).optional())
            .map_err(failed("reading an answer failed"))?;
        Ok(found.flatten().and_then(|text| serde_json::from_str(&text).ok()))
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done,
    WrongState { status: RunStatus },
    AlreadyDecided { name: String },
    Failed { message: String },
}

impl Answer {
    pub(crate) fn of(result: &Result<(), RunnerError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(RunnerError::WrongState { status, .. }) => Self::WrongState { status: *status },
            Err(RunnerError::AlreadyDecided { name, .. }) => Self::AlreadyDecided { name: name.clone() },
            Err(other) => Self::Failed { message: other.chain() },
        }
    }

    fn into_result(self, run: &RunId, wanted: &'static str) -> Result<(), RunnerError> {
        let id = run.clone();
        match self {
            Self::Done => Ok(()),
            Self::WrongState { status } => Err(RunnerError::WrongState { id, status, wanted }),
            Self::AlreadyDecided { name } => Err(RunnerError::AlreadyDecided { id, name }),
            Self::Failed { message } => {
                Err(RunnerError::storage(format!("run {run} could not be {wanted}"), message))
            }
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
