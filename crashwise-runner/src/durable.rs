//! What a runner with a state folder can do beside: carry on what others left, retry, fork.

use crate::engine::{Live, Past};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::{Event, Outcome, Record, Submission, Taken};
use crate::store::RunStore;
use crate::{RunHandle, RunStatus, Runner, RunnerError};
use crashwise_core::workflow::{StepErrorKind, StepKey};
use crashwise_core::{CancellationToken, RunId, nearest};
use std::sync::Arc;

/// The journal on the disk, as a runner has it.
#[derive(Debug, Clone)]
pub(crate) struct Durable {
    pub(crate) journal: Arc<SqliteJournal>,
    pub(crate) store: RunStore,
}

/// What [`Runner::recover`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// Runs that go on here.
    pub runs: Vec<RunHandle>,
    /// Runs that cannot go on here, and why: their workflow is not known, or what is stored of them is damaged.
    pub left: Vec<(RunId, RunnerError)>,
}

impl Runner {
    /// The runs of the state folder.
    ///
    /// # Errors
    ///
    /// [`RunnerError::NoStateDir`] when the runner has none.
    pub fn store(&self) -> Result<&RunStore, RunnerError> {
        self.durable().map(|durable| &durable.store)
    }

    fn durable(&self) -> Result<&Durable, RunnerError> {
        self.core().durable.as_ref().ok_or(RunnerError::NoStateDir)
    }

    /// Carries on the runs of the state folder that nobody carries out: finished steps return their stored results, the
    /// others are carried out. [`crate::RunnerBuilder::build`] does this unless told not to.
    ///
    /// # Errors
    ///
    /// [`RunnerError::NoStateDir`]; also when the journal cannot be read.
    pub fn recover(&self) -> Result<Recovered, RunnerError> {
        let mut recovered = Recovered { runs: Vec::new(), left: Vec::new() };
        for run in self.durable()?.journal.unowned().map_err(RunnerError::journal)? {
            match self.carry_on(&run) {
                Ok(live) => recovered.runs.push(self.here(live)),
                Err(error) => recovered.left.push((run, error)),
            }
        }
        Ok(recovered)
    }

    /// Carries on a run of the state folder that nobody carries out.
    pub(crate) fn carry_on(&self, run: &RunId) -> Result<Arc<Live>, RunnerError> {
        let core = self.core();
        let submission = self.submission(run)?;
        let known = core.code_for(&submission)?.clone();
        let cancel = CancellationToken::new();
        if let Some(parent) = &submission.parent
            && self.durable()?.store.status(parent).is_ok_and(RunStatus::is_final)
        {
            // Nobody waits for its result any more.
            cancel.cancel();
        }
        Ok(core.carry_on(Arc::new(submission), known, cancel, None))
    }

    fn submission(&self, run: &RunId) -> Result<Submission, RunnerError> {
        self.durable()?
            .journal
            .submission(run)
            .map_err(RunnerError::journal)?
            .ok_or_else(|| RunnerError::UnknownRun { id: run.clone() })
    }

    /// A new run that takes over what a run without output has done, and goes on from the step that failed. What was
    /// done beside that step stays done.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`RunnerError::WrongState`] when the run goes on or has completed.
    pub async fn retry(&self, run: &RunId) -> Result<RunHandle, RunnerError> {
        let (submission, records) = self.durable()?.store.records(run)?;
        let end = records.iter().find_map(|record| match &record.event {
            Event::Finished(end) => Some(end.clone()),
            _ => None,
        });
        let end = match end {
            Some(end) if end.status != RunStatus::Completed => end,
            other => {
                let status = other.map_or(self.durable()?.store.status(run)?, |end| end.status);
                return Err(RunnerError::WrongState { id: run.clone(), status, wanted: "retried" });
            }
        };
        let failed = end.failed_step;
        // An approval that was rejected is asked for again.
        let answered = records.iter().find_map(|record| match &record.event {
            Event::StepEnded(end) if end.kind == "approval" && Some(&end.key) == failed.as_ref() => {
                Some(end.module.clone())
            }
            _ => None,
        });
        let answers_it = |record: &Record| matches!(&record.event, Event::Decided { name, .. } if Some(name) == answered.as_ref());
        let kept = records
            .into_iter()
            .filter(|record| keeps(record) && ended(record) != failed.as_ref() && !answers_it(record));
        self.branch_off(submission, run, kept.collect()).await
    }

    /// A new run that takes over what a run had done before a step, and carries out that step and what follows. The name of
    /// a scope stands for its first step.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`RunnerError::UnknownStep`] with the name that is nearest.
    pub async fn fork(&self, run: &RunId, step: &str) -> Result<RunHandle, RunnerError> {
        let (submission, records) = self.durable()?.store.records(run)?;
        let named = |key: &StepKey| key.as_str() == step;
        // A sleep, an item or a branch lies below the name that the workflow gave it.
        let below = |key: &StepKey| key.as_str().strip_prefix(step).is_some_and(|rest| rest.starts_with('/'));
        let find = |is_it: &dyn Fn(&StepKey) -> bool| {
            records.iter().find(|record| record.event.step().is_some_and(is_it))
        };
        let Some(first) = find(&named).or_else(|| find(&below)).map(|record| record.seq) else {
            let steps = records.iter().filter_map(|record| record.event.step()).map(StepKey::as_str);
            let hint =
                nearest(step, steps).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            return Err(RunnerError::UnknownStep { id: run.clone(), step: step.to_owned(), hint });
        };
        let kept = records.into_iter().filter(|record| record.seq < first && keeps(record));
        self.branch_off(submission, run, kept.collect()).await
    }

    async fn branch_off(
        &self,
        from: Submission,
        run: &RunId,
        kept: Vec<Record>,
    ) -> Result<RunHandle, RunnerError> {
        let core = self.core();
        let known = core.code_for(&from)?.clone();
        let now = core.clock.now_ms();
        let submission = Arc::new(Submission {
            id: RunId::generate(),
            idempotency_key: None,
            parent: None,
            forked_from: Some(run.clone()),
            at_ms: now,
            ..from
        });
        let created = core.journal.create(&submission).await.map_err(RunnerError::journal)?;
        let crate::journal::Created::New(mut log) = created else {
            return Err(RunnerError::DuplicateRun { id: submission.id.clone() });
        };
        if let Some((last, before)) = kept.split_last() {
            for record in before {
                log.note(record.at_ms, record.event.clone());
            }
            log.append(last.at_ms, &last.event).kept().await.map_err(RunnerError::journal)?;
        }
        let taken = Taken { log, past: Past::of(kept) };
        let live = core.carry_on(submission, known, CancellationToken::new(), Some(taken));
        Ok(self.here(live))
    }

    /// Finds the run of a request that was made before.
    pub(crate) fn known_run(&self, id: &RunId) -> Result<RunHandle, RunnerError> {
        let Ok(durable) = self.durable() else { return Err(RunnerError::UnknownRun { id: id.clone() }) };
        let summary = durable.store.summary(id)?;
        if !summary.status.is_final() && !summary.owned {
            // Its process died, so this one carries it on.
            return self.carry_on(id).map(|live| self.here(live));
        }
        Ok(self.there(id, durable.store.clone()))
    }

    /// Stops carrying out runs and lets go of them, without ending them: another process, or the next, carries them on.
    /// Steps that run are stopped and will be carried out again.
    pub async fn shutdown(&self) {
        let core = self.core();
        core.closing.cancel();
        for live in core.going_on() {
            let mut progress = live.watch();
            while let crate::engine::Progress::At(_) = progress.now() {
                progress.changed().await;
            }
        }
        if let Ok(durable) = self.durable() {
            // Everything handed over before is on the disk when this has been done.
            let _ = durable.journal.writer().exec(|_| Ok(())).await;
            durable.journal.let_go();
        }
    }
}

/// Whether a new run can take an event over: results, and what came from outside.
fn keeps(record: &Record) -> bool {
    match &record.event {
        Event::StepEnded(end) => {
            !end.cleanup
                && match &end.outcome {
                    Outcome::Value { .. } => true,
                    Outcome::Error { error, .. } => {
                        !matches!(error.kind, StepErrorKind::Cancelled | StepErrorKind::OutcomeUnknown)
                    }
                }
        }
        Event::Signalled { .. } | Event::Decided { .. } => true,
        _ => false,
    }
}

fn ended(record: &Record) -> Option<&StepKey> {
    match &record.event {
        Event::StepEnded(end) => Some(&end.key),
        _ => None,
    }
}
