//! Checking that history is what was written.

use super::{RunFilter, RunStore};
use crate::RunnerError;
use crate::journal::JournalError;
use crashwise_core::RunId;

/// Whether the history of a run is what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Every event is there, in its place, with its content.
    Intact {
        /// How many there are.
        events: u64,
    },
    /// An event is not what was written, or is missing.
    Damaged {
        /// The number of the event, from 1.
        seq: u64,
        /// What is wrong.
        problem: String,
    },
}

impl RunStore {
    /// Checks the chain of hashes over a run's history, and that the files its events name are there with their content.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`]; also when the journal cannot be read at all.
    pub fn verify(&self, run: &RunId) -> Result<Verdict, RunnerError> {
        let summary = self.summary(run)?;
        match self.chain(run) {
            Ok((records, _)) => {
                let events = records.len() as u64;
                let over =
                    records.iter().any(|record| matches!(record.event, crate::journal::Event::Finished(_)));
                if events == 0 || over != summary.status.is_final() {
                    let problem =
                        format!("the run is listed as {}, which its events do not say", summary.status);
                    return Ok(Verdict::Damaged { seq: events.max(1), problem });
                }
                Ok(Verdict::Intact { events })
            }
            Err(JournalError::Corrupt { seq, problem, .. }) => Ok(Verdict::Damaged { seq, problem }),
            Err(error) => Err(RunnerError::journal(error)),
        }
    }

    /// Checks all runs, children included; gives those that are damaged.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read at all.
    pub fn verify_all(&self) -> Result<Vec<(RunId, Verdict)>, RunnerError> {
        let mut waiting: Vec<RunId> =
            self.list(&RunFilter::new())?.into_iter().map(|run| run.run_id).collect();
        let mut damaged = Vec::new();
        while let Some(run) = waiting.pop() {
            let verdict = self.verify(&run)?;
            if let Verdict::Damaged { .. } = verdict {
                damaged.push((run.clone(), verdict));
            }
            waiting
                .extend(self.list(&RunFilter::new().with_parent(run))?.into_iter().map(|child| child.run_id));
        }
        damaged.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(damaged)
    }
}
