//! What somebody asks a runner to do.

use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{Isolation, RunId, Target};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A run that somebody asks for.
///
/// ```
/// use crashwise_core::Target;
/// use crashwise_runner::RunRequest;
/// use std::time::Duration;
///
/// let request = RunRequest::new("security_assessment", Target::Directory("src".into()))
///     .with_params(serde_json::json!({"depth": 3}))
///     .with_timeout(Duration::from_secs(600))
///     .with_priority(5);
/// assert_eq!(request.workflow, "security_assessment");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct RunRequest {
    /// The workflow's name.
    pub workflow: String,
    /// What it looks at.
    pub target: Target,
    /// Its parameters; null means the defaults.
    pub params: Value,
    /// Most time for the run, in place of the one of the workflow's metadata.
    pub timeout: Option<Duration>,
    /// A second request with the same key gets the run of the first.
    pub idempotency_key: Option<String>,
    /// Higher goes first among waiting runs.
    pub priority: i32,
    /// Whether steps may take results of other runs from the cache.
    pub use_cache: bool,
    /// Whether a process is started only if all that its sandbox or container promises can be enforced.
    pub require_sandbox: bool,
    /// How the run's tree is shared with others, in place of what the workflow's metadata says.
    pub isolation: Option<Isolation>,
    pub(crate) id: Option<RunId>,
    pub(crate) workflow_code: Option<Arc<dyn AnyWorkflow>>,
}

impl RunRequest {
    /// A run with default parameters.
    pub fn new(workflow: impl Into<String>, target: Target) -> Self {
        Self {
            workflow: workflow.into(),
            target,
            params: Value::Null,
            timeout: None,
            idempotency_key: None,
            priority: 0,
            use_cache: true,
            require_sandbox: false,
            isolation: None,
            id: None,
            workflow_code: None,
        }
    }

    /// Sets the parameters.
    #[must_use]
    pub fn with_params(mut self, params: Value) -> Self {
        self.params = params;
        self
    }

    /// Sets the most time for the run. Counted is the time in which it works or sleeps: not the time in which it is
    /// queued, paused, or waits for nothing but a person.
    #[must_use]
    pub fn with_timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Sets the key by which a repeated request is recognised.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Sets the priority; higher goes first among waiting runs.
    #[must_use]
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how the run's tree is shared with others, in place of what the workflow's metadata says. A workflow that writes
    /// to its tree cannot be run [`Shared`](Isolation::Shared).
    #[must_use]
    pub fn with_isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Runs every step, also those marked as cached.
    #[must_use]
    pub fn without_cache(mut self) -> Self {
        self.use_cache = false;
        self
    }

    /// Makes a step fail that starts a process in a sandbox or a container of which something is missing on the machine that
    /// carries it out: see [`crashwise_core::Protection`]. Results of other runs are not taken from the cache, for nobody knows
    /// how they were come by.
    #[must_use]
    pub fn with_required_sandbox(mut self) -> Self {
        self.require_sandbox = true;
        self
    }

    /// Sets the id that the run gets.
    #[must_use]
    pub fn with_id(mut self, id: RunId) -> Self {
        self.id = Some(id);
        self
    }
}

impl fmt::Debug for RunRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parameters may hold secrets.
        f.debug_struct("RunRequest")
            .field("workflow", &self.workflow)
            .field("target", &self.target)
            .field("timeout", &self.timeout)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}
