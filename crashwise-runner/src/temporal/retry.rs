//! Asking for a run again, which takes over what another one has done.

use super::again::page_name;
use super::cluster::Cluster;
use super::error::ClusterError;
use super::fetch;
use super::handle::ClusterRun;
use super::hosted::paged;
use super::messages::{Carried, Kept, Order, RELEASE, Step};
use crate::engine::millis;
use crate::{RunStatus, RunnerError};
use crashwise_core::workflow::{StepErrorKind, StepKey};
use crashwise_core::{RelPath, RunId, Target, nearest};
use futures::{TryStreamExt, stream};
use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

/// Files that are shared at a time.
const AT_ONCE: usize = 8;

impl Cluster {
    /// A new run that takes over what a run without output has done, and goes on from the step that failed. What was done
    /// beside that step stays done.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`RunnerError::WrongState`] when the run goes on or has completed,
    /// [`ClusterError::Unsupported`] when the store holds too little of it, and what [`Cluster::check_workers`] says.
    pub async fn retry(&self, run: &RunId) -> Result<ClusterRun, ClusterError> {
        let (kept, steps) = self.kept(run, "retried").await?;
        if kept.ended.status == RunStatus::Completed {
            let (id, status) = (run.clone(), kept.ended.status);
            return Err(RunnerError::WrongState { id, status, wanted: "retried" }.into());
        }
        let failed = kept.ended.failed_step.clone();
        self.branch_off(kept, steps, |_, step| Some(&step.end.key) != failed.as_ref()).await
    }

    /// A new run that takes over what a run had done before a step, and carries out that step and what follows.
    ///
    /// # Errors
    ///
    /// As [`Cluster::retry`], and [`RunnerError::UnknownStep`] with the name that is nearest.
    pub async fn fork(&self, run: &RunId, step: &str) -> Result<ClusterRun, ClusterError> {
        let (kept, steps) = self.kept(run, "forked").await?;
        let Some(first) = steps.iter().find(|known| known.end.key.as_str() == step) else {
            let names = steps.iter().map(|step| step.end.key.as_str());
            let hint =
                nearest(step, names).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            return Err(RunnerError::UnknownStep { id: run.clone(), step: step.to_owned(), hint }.into());
        };
        let after = first.after;
        self.branch_off(kept, steps, move |place, _| place <= 2 * after).await
    }

    /// What is kept of a run that is over.
    async fn kept(&self, run: &RunId, wanted: &'static str) -> Result<(Kept, Vec<Step>), ClusterError> {
        let status = self.run(run).status().await?;
        if !status.is_final() {
            return Err(RunnerError::WrongState { id: run.clone(), status, wanted }.into());
        }
        fetch::kept(&self.store, run).await?.ok_or_else(|| ClusterError::Unsupported {
            what: format!(
                "the store holds nothing of run {run}, which was ended by the server or is too old"
            ),
        })
    }

    /// Begins a run that takes over those steps of another one that have a result and are wanted. Steps have odd places in the
    /// order in which they ended; what nothing is told of has even ones between them.
    async fn branch_off(
        &self,
        kept: Kept,
        steps: Vec<Step>,
        wanted: impl Fn(usize, &Step) -> bool,
    ) -> Result<ClusterRun, ClusterError> {
        self.check_workers(&kept.order.vertical, &[]).await?;
        let from = kept.order.run.clone();
        if let Target::Stored(target) = &kept.order.target
            && !self.store.has_target(target).await?
        {
            let what = format!("the target of run {from} is not in the store any more: ask for the run anew");
            return Err(ClusterError::Unsupported { what });
        }
        let run = RunId::generate();
        let taken = taken(steps, wanted);
        self.share(&from, &kept.order.root, &run, &taken).await?;
        let mut carried = Carried { mailbox: kept.mailbox, left: kept.order.timeout, ..Carried::default() };
        for page in paged(&taken) {
            let name = page_name(carried.pages.len());
            let path = RelPath::new(&name)
                .map_err(|error| ClusterError::server("naming what is taken over failed", error))?;
            let json = serde_json::to_vec(page)
                .map_err(|error| ClusterError::server("writing what is taken over failed", error))?;
            self.store.put_result(&run, &path, json).await?;
            carried.pages.push(name);
        }
        let order = Order {
            run: run.clone(),
            root: run.clone(),
            parent: None,
            release: RELEASE.to_owned(),
            submitted_ms: UNIX_EPOCH.elapsed().map_or(0, millis),
            forked_from: Some(from),
            carried: Some(Box::new(carried)),
            ..kept.order
        };
        // No idempotency key asks for it.
        self.begin(order, "").await.map_err(|error| self.not_begun(error))?;
        Ok(ClusterRun::new(self.clone(), run))
    }

    /// Lets the new run have the files of the steps that it takes over.
    async fn share(
        &self,
        from: &RunId,
        root: &RunId,
        to: &RunId,
        taken: &[Step],
    ) -> Result<(), ClusterError> {
        let keys: BTreeSet<&StepKey> = taken.iter().map(|step| &step.end.key).collect();
        let mut digests: BTreeSet<String> =
            taken.iter().filter_map(|step| Some(step.whole.as_ref()?.digest.clone())).collect();
        // With what children found, and outputs that were too large to travel.
        if let Some(whole) = fetch::steps(&self.store, from).await? {
            for step in whole.steps.iter().filter(|step| keys.contains(&step.key)) {
                digests.extend(step.findings.iter().chain(&step.artifacts).map(|file| file.digest.clone()));
            }
        }
        stream::iter(digests.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |digest| self.store.share_artifact(root, to, digest))
            .await?;
        Ok(())
    }
}

/// The steps that a new run takes over. Their places in the order of ends are those among themselves.
fn taken(steps: Vec<Step>, wanted: impl Fn(usize, &Step) -> bool) -> Vec<Step> {
    let mut told = 0;
    // How many of the first steps stay, by number.
    let mut stay = vec![0];
    let mut kept = Vec::new();
    for step in steps {
        let quiet = step.line().is_none();
        // What nothing is told of lies between those that ended before and after it.
        let place = if quiet { 2 * step.after } else { 2 * told + 1 };
        let result = matches!(&step.result(), Some(Ok(_)))
            || matches!(&step.result(), Some(Err(error)) if error.kind != StepErrorKind::OutcomeUnknown);
        let stays = result && !step.end.cleanup && wanted(place, &step);
        if !quiet {
            told += 1;
            stay.push(stay[told - 1] + usize::from(stays));
        }
        if stays {
            kept.push(step);
        }
    }
    for step in &mut kept {
        step.after = stay.get(step.after).copied().unwrap_or_default();
    }
    kept
}
