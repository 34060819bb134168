//! Asking for a run on a cluster.

use super::cluster::Cluster;
use super::error::ClusterError;
use super::handle::ClusterRun;
use super::hosted::Hosted;
use super::messages::{DefinitionText, HISTORY, Order, PAYLOAD, RELEASE};
use super::queue_of;
use crate::definition::{Action, Definition, Source};
use crate::engine::{Known, millis};
use crate::{RunRequest, RunnerError};
use crashwise_core::archive::{PackOptions, Packed, pack};
use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{Fingerprint, RunId, Target, error_chain};
use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use tempfile::NamedTempFile;
use temporalio_client::errors::WorkflowStartError;
use temporalio_client::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowStartOptions};
use temporalio_common::{MemoValues, Priority};

/// What is asked of a cluster: a run, its workflow, and workflows as data that workers need not have.
#[derive(Debug)]
#[non_exhaustive]
pub struct Submission {
    /// The run.
    pub request: RunRequest,
    code: CodeOf,
    definitions: Vec<DefinitionText>,
    definition: Option<Definition>,
    tools: Vec<String>,
    history: u32,
}

struct CodeOf(Arc<dyn AnyWorkflow>);

impl std::fmt::Debug for CodeOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyWorkflow")
    }
}

impl Submission {
    /// A run of a workflow that the workers have too.
    pub fn new(request: RunRequest, workflow: Arc<dyn AnyWorkflow>) -> Self {
        Self {
            request,
            code: CodeOf(workflow),
            definitions: Vec::new(),
            definition: None,
            tools: Vec::new(),
            history: HISTORY,
        }
    }

    /// Says that the workflow is one as data, so that its steps are looked at before the run.
    #[must_use]
    pub fn with_definition(mut self, definition: Definition) -> Self {
        self.definition = Some(definition);
        self
    }

    /// Adds the text of a workflow as data, of the one that is run or of one that it runs.
    #[must_use]
    pub fn with_source(mut self, source: &Source) -> Self {
        // The folder of the client says nothing to a worker.
        let name = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned();
        self.definitions.push(DefinitionText {
            metadata: (name(&source.metadata.0), source.metadata.1.clone()),
            workflow: (name(&source.workflow.0), source.workflow.1.clone()),
        });
        self
    }

    /// Sets after how many events the run goes on in a new history (10,000 unless set), which takes along what was done. The
    /// server itself ends a run at 51,200.
    #[must_use]
    pub fn with_history_limit(mut self, events: u32) -> Self {
        self.history = events.clamp(10, 40_000);
        self
    }

    /// Sets the programs that the workers must have.
    #[must_use]
    pub fn with_tools(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.tools.extend(names);
        self
    }

    /// The verticals whose workers are needed, as far as that is known before the run.
    fn verticals(&self, own: &str) -> BTreeSet<String> {
        let steps = self.definition.iter().flat_map(Definition::steps);
        let of_steps = steps.filter(|step| matches!(step.action, Action::Module(_)));
        let mut verticals: BTreeSet<String> =
            of_steps.filter_map(|step| step.options.queue.clone()).collect();
        verticals.insert(own.to_owned());
        verticals
    }
}

impl Cluster {
    /// Asks for a run: looks whether there are workers for it, uploads what it looks at, and begins it. It goes on whatever
    /// becomes of this process.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Parameters`], what [`Cluster::check_workers`] says, [`ClusterError::Unsupported`] for what this engine
    /// cannot do, and [`RunnerError::DuplicateRun`] or [`RunnerError::KeyReused`].
    pub async fn submit(&self, submission: Submission) -> Result<ClusterRun, ClusterError> {
        let known = Known::new(Arc::clone(&submission.code.0))?;
        let metadata = &known.metadata;
        let verticals = submission.verticals(&metadata.vertical);
        let Submission { request, definitions, tools, history, .. } = submission;
        let params = metadata.check_parameters(request.params).map_err(RunnerError::Parameters)?;
        for vertical in &verticals {
            let tools = if *vertical == metadata.vertical { &tools[..] } else { &[] };
            self.check_workers(vertical, tools).await?;
        }
        let limit = request
            .timeout
            .or_else(|| metadata.requirements.resources.timeout.map(crashwise_core::Span::duration));
        let target = self.bring(&request.target).await?;
        let by_key = request.idempotency_key.as_ref().map(|key| run_of_key(key));
        let run = match by_key {
            Some(run) => run?,
            None => request.id.unwrap_or_else(RunId::generate),
        };
        let asks = asks(&metadata.name, &target, &params);
        let order = Order {
            run: run.clone(),
            root: run.clone(),
            parent: None,
            workflow: metadata.name.clone(),
            version: metadata.version.to_string(),
            release: RELEASE.to_owned(),
            params,
            target,
            project: request.target.project(),
            asked: request.target,
            isolation: request.isolation.unwrap_or(metadata.workspace_isolation),
            isolation_asked: request.isolation,
            vertical: metadata.vertical.clone(),
            timeout: limit,
            use_cache: request.use_cache,
            require_sandbox: request.require_sandbox,
            priority: request.priority,
            submitted_ms: UNIX_EPOCH.elapsed().map_or(0, millis),
            definitions,
            history,
            forked_from: None,
            carried: None,
        };
        let bytes = serde_json::to_vec(&order).map_or(usize::MAX, |json| json.len());
        if bytes > PAYLOAD / 2 {
            let what = format!(
                "its parameters and workflows have {bytes} bytes, and Temporal carries {}",
                PAYLOAD / 2
            );
            return Err(ClusterError::Unsupported { what });
        }
        match self.begin(order, &asks).await {
            Ok(()) => Ok(ClusterRun::new(self.clone(), run)),
            Err(WorkflowStartError::AlreadyStarted { .. }) => match request.idempotency_key {
                None => Err(RunnerError::DuplicateRun { id: run }.into()),
                Some(key) => {
                    let known = ClusterRun::new(self.clone(), run.clone());
                    if known.asks().await?.is_some_and(|known| known == asks) {
                        Ok(known)
                    } else {
                        Err(RunnerError::KeyReused { key, id: run }.into())
                    }
                }
            },
            Err(error) => Err(self.not_begun(error)),
        }
    }

    /// Begins the run of an order.
    pub(super) async fn begin(&self, order: Order, asks: &str) -> Result<(), WorkflowStartError> {
        let mut memo = MemoValues::new();
        memo.insert("workflow", order.workflow.clone());
        memo.insert("version", order.version.clone());
        memo.insert("target", order.asked.to_string());
        memo.insert("submitted_ms", order.submitted_ms);
        memo.insert("asks", asks.to_owned());
        if let Some(from) = &order.forked_from {
            memo.insert("forked_from", from.as_str().to_owned());
        }
        let mut priority = Priority::default();
        priority.priority_key = u32::try_from(3 - order.priority.clamp(-2, 2)).ok();
        let options = WorkflowStartOptions::new(queue_of(&order.vertical), order.run.as_str())
            .id_reuse_policy(WorkflowIdReusePolicy::RejectDuplicate)
            .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
            .priority(priority)
            .memo(memo)
            .static_summary(order.workflow.clone())
            .build();
        self.client.start_workflow(Hosted::run, order, options).await.map(drop)
    }

    pub(super) fn not_begun(&self, error: WorkflowStartError) -> ClusterError {
        match error {
            WorkflowStartError::Rpc(status) => self.status("beginning the run failed", status),
            error => ClusterError::server("beginning the run failed", error),
        }
    }

    /// Brings a target to where workers find it.
    async fn bring(&self, target: &Target) -> Result<Target, ClusterError> {
        match target {
            Target::Directory(path) => {
                let path = path.clone();
                let packed = tokio::task::spawn_blocking(move || packed(&path)).await;
                let file =
                    packed.map_err(|error| ClusterError::server("packing the target failed", error))??;
                Ok(Target::Stored(self.store.put_target(file.path()).await?))
            }
            Target::Archive(path) => Ok(Target::Stored(self.store.put_target(path).await?)),
            other => Ok(other.clone()),
        }
    }
}

/// Identifies what a run asks for.
fn asks(workflow: &str, target: &Target, params: &serde_json::Value) -> String {
    let target = target.to_string();
    Fingerprint::of(["asks", workflow, &target, &params.to_string()]).as_str().to_owned()
}

/// The run of an idempotency key.
fn run_of_key(key: &str) -> Result<RunId, ClusterError> {
    let digits = Fingerprint::of(["key", key]);
    RunId::new(format!("key-{}", &digits.as_str()[..28]))
        .map_err(|error| ClusterError::server("naming the run failed", error))
}

fn packed(directory: &Path) -> Result<NamedTempFile, ClusterError> {
    let io = |error| ClusterError::io(format!("packing {} failed", directory.display()), error);
    let file = NamedTempFile::new().map_err(io)?;
    let mut out = BufWriter::new(file.reopen().map_err(io)?);
    let _: Packed = pack(directory, &mut out, &PackOptions::new()).map_err(|error| {
        ClusterError::io(
            format!("packing {} failed", directory.display()),
            std::io::Error::other(error_chain(&error)),
        )
    })?;
    out.flush().map_err(io)?;
    Ok(file)
}
