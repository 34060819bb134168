//! Looking at runs.

use super::{RunStore, failed};
use crate::{RunStatus, RunnerError};
use crashwise_core::workflow::ApprovalRequest;
use crashwise_core::{RunId, Stats};
use rusqlite::{OptionalExtension, Row, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, Write};

/// Which runs to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunFilter {
    /// Only those of a workflow.
    pub workflow: Option<String>,
    /// Only those of a status.
    pub status: Option<RunStatus>,
    /// Only children of a run; without it, only runs that are no children.
    pub parent: Option<RunId>,
    /// At most so many, newest first; 0 means all.
    pub limit: u32,
}

impl RunFilter {
    /// All runs that are no children.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those of a workflow.
    #[must_use]
    pub fn with_workflow(mut self, name: impl Into<String>) -> Self {
        self.workflow = Some(name.into());
        self
    }

    /// Only those of a status.
    #[must_use]
    pub fn with_status(mut self, status: RunStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Only children of a run.
    #[must_use]
    pub fn with_parent(mut self, parent: RunId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// At most so many, newest first.
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// A line about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run.
    pub run_id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's version.
    pub workflow_version: String,
    /// What it looks at.
    pub target: String,
    /// Where it is.
    pub status: RunStatus,
    /// Whether a process carries it out right now; of runs that are over, false.
    pub owned: bool,
    /// Why it has no output.
    pub error: Option<String>,
    /// The run that began it.
    pub parent: Option<RunId>,
    /// The run that it was forked from.
    pub forked_from: Option<RunId>,
    /// When it was asked for, in milliseconds since 1970.
    pub submitted_ms: u64,
    /// When its status last changed, in milliseconds since 1970.
    pub updated_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
}

/// An event of a run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryEvent {
    /// 1 for the first.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// A word for what happened: `submitted`, `step_ended`, `decided`, ...
    pub kind: String,
    /// The step that it is about.
    pub step: Option<String>,
    /// The event in full.
    pub event: Value,
}

/// The latest statistics of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatestStats {
    /// The step's key.
    pub step: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The snapshot.
    pub stats: Stats,
}

const COLUMNS: &str = "id, workflow, version, target, status, owner, error, parent, forked_from, created_ms, updated_ms, ended_ms";

impl RunStore {
    /// Runs, newest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn list(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, RunnerError> {
        let mut conditions = vec!["1"];
        let mut values: Vec<String> = Vec::new();
        if let Some(parent) = &filter.parent {
            conditions.push("parent = ?");
            values.push(parent.to_string());
        } else {
            conditions.push("parent IS NULL");
        }
        if let Some(workflow) = &filter.workflow {
            conditions.push("workflow = ?");
            values.push(workflow.clone());
        }
        if let Some(status) = filter.status {
            conditions.push("status = ?");
            values.push(status.as_str().to_owned());
        }
        let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE {} ORDER BY created_ms DESC, no DESC LIMIT {limit}",
            conditions.join(" AND ")
        );
        let rows = {
            let connection = self.lock()?;
            let mut statement = connection.prepare(&query).map_err(failed("listing runs failed"))?;
            statement
                .query_map(params_from_iter(values), raw)
                .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
                .map_err(failed("listing runs failed"))?
        };
        rows.into_iter().map(|row| self.summed_up(row)).collect()
    }

    /// A line about a run.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`].
    pub fn summary(&self, run: &RunId) -> Result<RunSummary, RunnerError> {
        let row = self
            .lock()?
            .prepare_cached(&format!("SELECT {COLUMNS} FROM runs WHERE id = ?1"))
            .and_then(|mut statement| statement.query_row([run.as_str()], raw).optional())
            .map_err(failed("looking up a run failed"))?;
        match row {
            Some(row) => self.summed_up(row),
            None => Err(RunnerError::UnknownRun { id: run.clone() }),
        }
    }

    fn summed_up(&self, row: Raw) -> Result<RunSummary, RunnerError> {
        let bad = |error| RunnerError::storage("a run in the journal has a broken id", error);
        let id = |text: Option<String>| text.map(RunId::new).transpose().map_err(bad);
        let status = RunStatus::from_word(&row.status).ok_or_else(|| {
            RunnerError::storage(
                "a run in the journal has a broken status",
                format!("{:?} is none", row.status),
            )
        })?;
        Ok(RunSummary {
            run_id: RunId::new(row.id).map_err(bad)?,
            workflow: row.workflow,
            workflow_version: row.version,
            target: row.target,
            status,
            owned: !status.is_final()
                && crate::journal::sqlite::Owner::is_alive(&self.folder, row.owner.as_deref()),
            error: row.error,
            parent: id(row.parent)?,
            forked_from: id(row.forked_from)?,
            submitted_ms: row.times.0,
            updated_ms: row.times.1,
            ended_ms: row.times.2,
        })
    }

    /// The runs whose id begins with a text.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn matching(&self, prefix: &str) -> Result<Vec<RunId>, RunnerError> {
        let connection = self.lock()?;
        let mut statement = connection
            .prepare_cached(
                "SELECT id FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY no DESC LIMIT 100",
            )
            .map_err(failed("looking up runs failed"))?;
        let found = statement
            .query_map([prefix], |row| row.get::<_, String>(0))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(failed("looking up runs failed"))?;
        Ok(found.into_iter().filter_map(|id| RunId::new(id).ok()).collect())
    }

    /// What happened in a run, in order. The chain of hashes is checked on the way.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`]; also when what is stored is damaged.
    pub fn history(&self, run: &RunId) -> Result<Vec<HistoryEvent>, RunnerError> {
        self.summary(run)?;
        let (_, records) = self.records(run)?;
        records
            .into_iter()
            .map(|record| {
                let event = serde_json::to_value(&record.event)
                    .map_err(|error| RunnerError::storage("an event is not JSON", error))?;
                Ok(HistoryEvent {
                    seq: record.seq,
                    at_ms: record.at_ms,
                    kind: record.event.kind().to_owned(),
                    step: record.event.step().map(ToString::to_string),
                    event,
                })
            })
            .collect()
    }

    /// Writes the history of a run, one JSON object a line.
    ///
    /// # Errors
    ///
    /// As [`Self::history`], and when `out` cannot be written.
    pub fn export(&self, run: &RunId, out: &mut dyn Write) -> Result<(), RunnerError> {
        for event in self.history(run)? {
            serde_json::to_writer(&mut *out, &event).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// The approvals that a run waits for.
    ///
    /// # Errors
    ///
    /// As [`Self::history`].
    pub fn waiting_approvals(&self, run: &RunId) -> Result<Vec<ApprovalRequest>, RunnerError> {
        use crate::journal::Event;
        let summary = self.summary(run)?;
        if summary.status.is_final() {
            return Ok(Vec::new());
        }
        let (_, records) = self.records(run)?;
        let mut waiting: Vec<(String, ApprovalRequest)> = Vec::new();
        for record in records {
            match record.event {
                Event::ApprovalRequested { key, request, .. } => {
                    waiting.retain(|(known, _)| known != key.as_str());
                    waiting.push((key.as_str().to_owned(), request));
                }
                Event::StepEnded(end) => waiting.retain(|(known, _)| known != end.key.as_str()),
                Event::Decided { name, .. } => {
                    if let Some(at) = waiting.iter().position(|(_, request)| request.name == name) {
                        waiting.remove(at);
                    }
                }
                _ => {}
            }
        }
        Ok(waiting.into_iter().map(|(_, request)| request).collect())
    }

    /// The latest statistics of a run's steps, as the process that carries it out last wrote them.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn stats(&self, run: &RunId) -> Result<Vec<LatestStats>, RunnerError> {
        let connection = self.lock()?;
        let mut statement = connection
            .prepare_cached("SELECT step, at_ms, body FROM stats WHERE run = ?1 ORDER BY step")
            .map_err(failed("reading statistics failed"))?;
        let rows = statement
            .query_map([run.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, unsigned(row, 1)?, row.get::<_, String>(2)?))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(failed("reading statistics failed"))?;
        Ok(rows
            .into_iter()
            .filter_map(|(step, at_ms, body)| {
                serde_json::from_str(&body).ok().map(|stats| LatestStats { step, at_ms, stats })
            })
            .collect())
    }
}

struct Raw {
    id: String,
    workflow: String,
    version: String,
    target: String,
    status: String,
    owner: Option<String>,
    error: Option<String>,
    parent: Option<String>,
    forked_from: Option<String>,
    times: (u64, u64, Option<u64>),
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        id: row.get(0)?,
        workflow: row.get(1)?,
        version: row.get(2)?,
        target: row.get(3)?,
        status: row.get(4)?,
        owner: row.get(5)?,
        error: row.get(6)?,
        parent: row.get(7)?,
        forked_from: row.get(8)?,
        times: (
            unsigned(row, 9)?,
            unsigned(row, 10)?,
            row.get::<_, Option<i64>>(11)?.and_then(|ms| u64::try_from(ms).ok()),
        ),
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
