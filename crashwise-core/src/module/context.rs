//! What a running module sees and where it pushes its results.

use super::{ModuleError, ModuleInfo};
use crate::{ArtifactRef, Coverage, Finding, FoundBy, Gap, RunId, Stats, Workspace};
use serde_json::Value;
use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Receives what modules push. The engine's executor is one, the test harness is one.
pub trait ModuleHost: Send + Sync {
    /// Keeps a finding. Called from any thread.
    fn report(&self, finding: Finding) -> io::Result<()>;

    /// Passes on live statistics; lossy.
    fn stats(&self, stats: Stats);

    /// Notes that the step is alive, with what a later attempt needs to go on from here.
    fn heartbeat(&self, details: Value);

    /// Stores a file and returns its reference.
    fn store(&self, name: &str, content: &mut dyn Read) -> io::Result<ArtifactRef>;

    /// Stores a file that is in memory as a whole.
    fn store_bytes(&self, name: &str, content: Vec<u8>) -> io::Result<ArtifactRef> {
        self.store(name, &mut content.as_slice())
    }

    /// Opens a stored file, also one of an earlier step.
    fn open(&self, artifact: &ArtifactRef) -> io::Result<Box<dyn Read + Send>>;
}

/// Which run, step and attempt a module is running for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepIdentity {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The step's key, e.g. `fuzz/0/afl`.
    pub step: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// What the run looks at, by a name that is the same in the next run; see [`Target::project`](crate::Target::project).
    pub project: Option<String>,
}

impl StepIdentity {
    /// The first attempt of a step.
    pub fn new(run: RunId, workflow: impl Into<String>, step: impl Into<String>) -> Self {
        Self { run, workflow: workflow.into(), step: step.into(), attempt: 1, project: None }
    }

    /// Sets the attempt; 1 is the first.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets what the run looks at.
    #[must_use]
    pub fn with_project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }
}

/// What a running module sees and where it pushes its results. Clones are handles to the same context.
#[derive(Clone)]
pub struct ModuleContext {
    inner: Arc<Inner>,
}

struct Inner {
    identity: StepIdentity,
    found_by: FoundBy,
    workspace: Workspace,
    host: Arc<dyn ModuleHost>,
    cancel: CancellationToken,
    deadline: Option<Instant>,
    last_heartbeat: Option<Value>,
    coverage: Mutex<Coverage>,
    artifacts: Mutex<Vec<ArtifactRef>>,
}

impl ModuleContext {
    /// The context of one attempt. `last_heartbeat` is what the attempt before left behind.
    pub fn new(
        identity: StepIdentity,
        module: &ModuleInfo,
        workspace: Workspace,
        host: Arc<dyn ModuleHost>,
    ) -> Self {
        let found_by = FoundBy { module: module.name.clone(), version: module.version.clone(), tool: None };
        Self {
            inner: Arc::new(Inner {
                identity,
                found_by,
                workspace,
                host,
                cancel: CancellationToken::new(),
                deadline: None,
                last_heartbeat: None,
                coverage: Mutex::default(),
                artifacts: Mutex::default(),
            }),
        }
    }

    /// Sets the token that asks the module to stop. Before the context is shared.
    #[must_use]
    pub fn with_cancel(self, cancel: CancellationToken) -> Self {
        self.change(|inner| inner.cancel = cancel)
    }

    /// Sets the moment at which the attempt is stopped. Before the context is shared.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Instant>) -> Self {
        self.change(|inner| inner.deadline = deadline)
    }

    /// Sets what the attempt before left behind. Before the context is shared.
    #[must_use]
    pub fn with_last_heartbeat(self, details: Option<Value>) -> Self {
        self.change(|inner| inner.last_heartbeat = details)
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            change(inner);
        }
        self
    }

    /// Which run, step and attempt this is.
    pub fn identity(&self) -> &StepIdentity {
        &self.inner.identity
    }

    /// The tree to look at.
    pub fn workspace(&self) -> &Workspace {
        &self.inner.workspace
    }

    /// Pushes a finding. Fills in who found it and, unless set, its fingerprint.
    pub fn report(&self, mut finding: Finding) -> Result<(), ModuleError> {
        let found_by = finding.found_by.get_or_insert_with(|| self.inner.found_by.clone());
        found_by.module.clone_from(&self.inner.found_by.module);
        if finding.fingerprint.is_none() {
            finding.fingerprint = Some(finding.default_fingerprint());
        }
        self.inner
            .host
            .report(finding)
            .map_err(|error| ModuleError::failed_to("keeping a finding failed", error))
    }

    /// Says that something should have been looked at and was not. The result becomes partial.
    pub fn not_covered(&self, gap: Gap) {
        self.coverage().push(gap);
    }

    /// Counts what was looked at, e.g. `("files", 1)`.
    pub fn covered(&self, unit: &str, count: u64) {
        self.coverage().add(unit, count);
    }

    /// Counts what was left out because the user said so.
    pub fn excluded(&self, unit: &str, count: u64) {
        self.coverage().exclude(unit, count);
    }

    /// Takes over coverage that was kept elsewhere.
    pub fn merge_coverage(&self, part: Coverage) {
        self.coverage().merge(part);
    }

    fn coverage(&self) -> std::sync::MutexGuard<'_, Coverage> {
        self.inner.coverage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The coverage so far, its gaps sorted. For the engine, when the module is done.
    pub fn take_coverage(&self) -> Coverage {
        let mut coverage = std::mem::take(&mut *self.coverage());
        coverage.sort();
        coverage
    }

    /// The files stored so far. For the engine, when the module is done.
    pub fn take_artifacts(&self) -> Vec<ArtifactRef> {
        std::mem::take(&mut *self.inner.artifacts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Passes on live statistics; lossy, never waits.
    pub fn stats(&self, stats: Stats) {
        self.inner.host.stats(stats);
    }

    /// Says that the step is alive, with what a later attempt needs to go on from here.
    pub fn heartbeat(&self, details: Value) {
        self.inner.host.heartbeat(details);
    }

    /// What the last heartbeat of an earlier attempt said.
    pub fn last_heartbeat(&self) -> Option<&Value> {
        self.inner.last_heartbeat.as_ref()
    }

    /// Stores a file with the results of the run.
    pub fn store(&self, name: &str, mut content: impl Read) -> Result<ArtifactRef, ModuleError> {
        self.stored(name, self.inner.host.store(name, &mut content))
    }

    /// Stores a file that is in memory as a whole with the results of the run: nothing is written where its content is
    /// stored already.
    pub fn store_bytes(&self, name: &str, content: Vec<u8>) -> Result<ArtifactRef, ModuleError> {
        self.stored(name, self.inner.host.store_bytes(name, content))
    }

    fn stored(&self, name: &str, stored: io::Result<ArtifactRef>) -> Result<ArtifactRef, ModuleError> {
        let artifact = stored
            .map_err(|error| ModuleError::failed_to(format!("storing artifact {name:?} failed"), error))?;
        self.inner.artifacts.lock().unwrap_or_else(PoisonError::into_inner).push(artifact.clone());
        Ok(artifact)
    }

    /// Opens a stored file, also one of an earlier step.
    pub fn open(&self, artifact: &ArtifactRef) -> Result<Box<dyn Read + Send>, ModuleError> {
        self.inner.host.open(artifact).map_err(|error| {
            ModuleError::failed_to(format!("opening artifact {:?} failed", artifact.name), error)
        })
    }

    /// Whether the module should stop. Cheap: ask it between files or chunks.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancel.is_cancelled()
    }

    /// Completes when the module should stop.
    pub async fn cancelled(&self) {
        self.inner.cancel.cancelled().await;
    }

    /// The token behind [`Self::is_cancelled`], to hand to child tasks and processes.
    pub fn cancel_token(&self) -> &CancellationToken {
        &self.inner.cancel
    }

    /// The moment at which the attempt is stopped, if it has one.
    pub fn deadline(&self) -> Option<Instant> {
        self.inner.deadline
    }

    /// Runs work that keeps a processor busy on a thread meant for that. A panic in it is passed on.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let cx = self.clone();
        match tokio::task::spawn_blocking(move || work(&cx)).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The pool refuses work only when the runtime shuts down, and then nobody awaits this.
            Err(_) => std::future::pending().await,
        }
    }
}

impl fmt::Debug for ModuleContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleContext")
            .field("identity", &self.inner.identity)
            .field("workspace", &self.inner.workspace)
            .finish_non_exhaustive()
    }
}
