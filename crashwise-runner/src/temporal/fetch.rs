//! What a run did, from what is kept of it in the store.

use super::error::ClusterError;
use super::messages::{Ended, Kept, Line, Step};
use super::remote::Remote;
use crate::journal::{RunEnd, Submission};
use crate::results::ResultStore;
use crate::{RunReport, RunStatus, RunSummary, StepReport, report};
use crashwise_core::store::{Store, StoreErrorKind};
use crashwise_core::workflow::{Decision, StepKey};
use crashwise_core::{ArtifactRef, ModuleOutput, RelPath, RunId, SeverityCounts, Target};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;

/// The most bytes of a page, or of the record of a run.
const MOST: u64 = 64 << 20;

/// How deep children may lie.
const DEPTH: u32 = 32;

/// Downloads at a time.
const AT_ONCE: usize = 8;

/// The report of a run; none when nothing is kept of it.
pub(super) async fn report(store: &Store, run: &RunId) -> Result<Option<RunReport>, ClusterError> {
    // Futures of children lie in those of their parents, and need no thread of their own.
    fetch(store, run, DEPTH).await
}

fn fetch<'a>(
    store: &'a Store,
    run: &'a RunId,
    depth: u32,
) -> BoxFuture<'a, Result<Option<RunReport>, ClusterError>> {
    async move {
        let Some((Kept { order, ended, .. }, kept)) = kept(store, run).await? else { return Ok(None) };
        let remote = Arc::new(Remote::new(store.clone(), order.root.clone()));
        let results = ResultStore::temporary_with(Arc::clone(&remote) as _);
        let fetcher = Fetcher { store, remote: &remote, results: &results, run };
        let mut steps = Vec::new();
        for line in kept.iter().filter_map(Step::line) {
            steps.push(fetcher.complete(line, depth).await?);
        }
        let steps = report::in_order(steps);
        fetcher.files(&steps).await?;
        let (mut status, mut output, mut error) = (ended.status, ended.output, ended.error);
        let counted = {
            let (results, steps) = (results.clone(), steps.clone());
            tokio::task::spawn_blocking(move || report::count(&results, &steps)).await
        };
        let counts = match counted {
            Ok(Ok(counts)) => counts,
            Ok(Err(problem)) => {
                // Findings that cannot be read are not a result.
                error = Some(format!("findings of the steps cannot be read: {problem}"));
                if status == RunStatus::Completed {
                    (status, output) = (RunStatus::Failed, Value::Null);
                }
                report::sum(&steps)
            }
            Err(problem) => return Err(broken(run, problem)),
        };
        let end = RunEnd {
            coverage: report::coverage(&order.workflow, status, error.as_deref(), &steps),
            status,
            output,
            error,
            failed_step: ended.failed_step,
            counts,
            started_ms: ended.started_ms,
            duration_ms: ended.duration_ms,
        };
        let submission = Submission {
            id: order.run,
            workflow: order.workflow,
            version: order.version,
            target: order.asked,
            params: order.params.into(),
            timeout_ms: None,
            priority: order.priority,
            use_cache: order.use_cache,
            require_sandbox: order.require_sandbox,
            isolation: order.isolation_asked,
            idempotency_key: None,
            parent: order.parent,
            forked_from: order.forked_from,
            at_ms: order.submitted_ms,
        };
        Ok(Some(RunReport::new(&submission, end, steps, results)))
    }
    .boxed()
}

/// The end of a run and its steps, without the findings; none when nothing is kept of it.
pub(super) async fn steps(store: &Store, run: &RunId) -> Result<Option<KeptRun>, ClusterError> {
    let Some((kept, steps)) = kept(store, run).await? else { return Ok(None) };
    let lines: Vec<Line> = steps.iter().filter_map(Step::line).collect();
    let remote = Arc::new(Remote::new(store.clone(), kept.order.root.clone()));
    let results = ResultStore::temporary_with(Arc::clone(&remote) as _);
    let fetcher = Fetcher { store, remote: &remote, results: &results, run };
    let decided = |line: &Line| Some((line.report.key.clone(), line.decision.clone()?));
    let decisions = lines.iter().filter_map(decided).collect();
    let mut steps = Vec::new();
    for line in lines {
        steps.push(fetcher.complete(line, DEPTH).await?);
    }
    Ok(Some(KeptRun { ended: kept.ended, steps: report::in_order(steps), decisions }))
}

/// The end of a run, and its steps.
pub(super) struct KeptRun {
    pub(super) ended: Ended,
    pub(super) steps: Vec<StepReport>,
    pub(super) decisions: Vec<(StepKey, Decision)>,
}

/// The record of a run, and all its steps.
pub(super) async fn kept(store: &Store, run: &RunId) -> Result<Option<(Kept, Vec<Step>)>, ClusterError> {
    let Some(mut kept) = stored::<Kept>(store, run, super::RECORD).await? else { return Ok(None) };
    let mut steps = Vec::new();
    for page in 0..kept.ended.pages {
        let name = format!("steps-{page}.json");
        let Some(page) = stored::<Vec<Step>>(store, run, &name).await? else {
            return Err(broken(run, format!("{name} is missing")));
        };
        steps.extend(page);
    }
    steps.append(&mut kept.steps);
    Ok(Some((kept, steps)))
}

struct Fetcher<'a> {
    store: &'a Store,
    remote: &'a Arc<Remote>,
    results: &'a ResultStore,
    run: &'a RunId,
}

impl Fetcher<'_> {
    /// A step with what did not travel with it.
    async fn complete(&self, line: Line, depth: u32) -> Result<StepReport, ClusterError> {
        let Line { report: mut step, whole, .. } = line;
        if let Some(whole) = whole {
            self.download(&whole).await?;
            let file = self.results.open(&whole).map_err(|error| broken(self.run, error))?;
            let output: ModuleOutput = serde_json::from_reader(std::io::BufReader::new(file))
                .map_err(|error| broken(self.run, error))?;
            step.coverage = Some(output.coverage);
            step.artifacts = output.artifacts;
        }
        let Some(child) = step.child.clone() else { return Ok(step) };
        if depth == 0 {
            return Err(broken(self.run, format!("children lie deeper than {DEPTH}")));
        }
        if let Some(found) = fetch(self.store, &child, depth - 1).await? {
            step.coverage = Some(found.coverage.clone());
            step.counts = found.counts;
            step.findings = found.steps.iter().flat_map(|step| step.findings.clone()).collect();
            step.artifacts = found.artifacts().cloned().collect();
        }
        Ok(step)
    }

    /// Downloads the findings. Other files are fetched when they are opened.
    async fn files(&self, steps: &[StepReport]) -> Result<(), ClusterError> {
        let findings: Vec<&ArtifactRef> = steps.iter().flat_map(|step| &step.findings).collect();
        stream::iter(findings.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |artifact| self.download(artifact))
            .await
    }

    async fn download(&self, artifact: &ArtifactRef) -> Result<(), ClusterError> {
        let root = self.remote.root().clone();
        let got = self.remote.download(self.results, artifact, &root).await;
        got.map_err(|error| broken(self.run, error))
    }
}

/// Something of a run in the store; none when it is not there.
async fn stored<T: DeserializeOwned>(
    store: &Store,
    run: &RunId,
    name: &str,
) -> Result<Option<T>, ClusterError> {
    let path = RelPath::new(name).map_err(|error| broken(run, error))?;
    match store.result(run, &path, MOST).await {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| broken(run, error)),
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn broken(run: &RunId, cause: impl Into<Box<dyn Error + Send + Sync>>) -> ClusterError {
    ClusterError::Record { id: run.clone(), source: cause.into() }
}

/// The report of a run of which nothing is kept.
pub(super) fn without_record(summary: &RunSummary, error: String) -> RunReport {
    let target = Target::Directory(summary.target.clone().into());
    let status = if summary.status.is_final() && summary.status != RunStatus::Completed {
        summary.status
    } else {
        RunStatus::Failed
    };
    let end = RunEnd {
        status,
        output: Value::Null,
        failed_step: None,
        counts: SeverityCounts::default(),
        coverage: report::coverage(&summary.workflow, status, Some(&error), &[]),
        error: Some(error),
        started_ms: summary.submitted_ms,
        duration_ms: summary.ended_ms.unwrap_or(summary.submitted_ms).saturating_sub(summary.submitted_ms),
    };
    let (id, workflow) = (summary.run_id.clone(), summary.workflow.clone());
    let version = summary.workflow_version.clone();
    let submission = Submission {
        parent: summary.parent.clone(),
        ..Submission::plain(id, workflow, version, target, summary.submitted_ms)
    };
    RunReport::new(&submission, end, Vec::new(), ResultStore::temporary())
}
