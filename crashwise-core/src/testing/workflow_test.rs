//! A workflow against fakes, in virtual time.

use super::backend::{Entry, Fake, FakeCall, Script, TestBackend};
use crate::workflow::{
    AnyWorkflow, Decision, RunInfo, Session, StepFailure, StepKey, Workflow, WorkflowError,
};
use crate::{Finding, ModuleOutput, RunId, Workspace};
use serde::Deserialize;
use serde_json::Value;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Runs a workflow without an engine: steps that a fake answers do not run, the others do; time passes only when nothing
/// else can happen; people do what the script says.
///
/// ```
/// use crashwise_core::testing::WorkflowTest;
/// use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
/// use crashwise_core::{Metadata, ModuleOutput, Version};
/// use std::time::Duration;
///
/// struct Nightly;
///
/// impl Workflow for Nightly {
///     type Params = ();
///     type Output = u64;
///     fn metadata(&self) -> Metadata {
///         Metadata::new("nightly", Version::new(1, 0, 0), "Scans after a night.")
///     }
///     async fn run(&self, cx: &WorkflowContext, (): ()) -> Result<u64, WorkflowError> {
///         cx.sleep(Duration::from_secs(8 * 3600)).await?;
///         let scan = cx.step("scan").call_named("file_scanner", serde_json::json!({})).await?;
///         cx.approval("publish").granted().await?;
///         Ok(scan.counts.total())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let test = WorkflowTest::new(Nightly)
///     .fake("scan", |_| Ok(ModuleOutput::new("file_scanner", "1.0.0")))
///     .approve("publish", "ann");
/// let run = test.run(()).await;
/// assert_eq!(run.result.unwrap(), 0);
/// assert_eq!(run.elapsed, Duration::from_secs(8 * 3600));
/// test.replay_from_every_prefix(()).await.unwrap();
/// # }
/// ```
pub struct WorkflowTest<W: Workflow> {
    workflow: Arc<W>,
    script: Script,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// What happened.
#[derive(Debug)]
pub struct TestRun<T> {
    /// The output, or why there is none.
    pub result: Result<T, WorkflowError>,
    /// The steps in the order in which they began.
    pub order: Vec<StepKey>,
    /// Virtual time that passed.
    pub elapsed: Duration,
    /// Findings of the modules that really ran.
    pub findings: Vec<Finding>,
    history: Vec<Entry>,
}

impl<T> TestRun<T> {
    /// Panics unless these steps began in this order; others may have begun between them.
    #[track_caller]
    pub fn assert_order(&self, expected: &[&str]) {
        let mut began = self.order.iter();
        for step in expected {
            assert!(
                began.any(|key| key.as_str() == *step),
                "step {step:?} did not begin in the order {expected:?}; the order was {:?}",
                self.order.iter().map(StepKey::as_str).collect::<Vec<_>>()
            );
        }
    }

    /// Whether a step began.
    pub fn began(&self, step: &str) -> bool {
        self.order.iter().any(|key| key.as_str() == step)
    }
}

/// A replay that did not go as the run it replays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("replayed from its first {prefix} of {length} results, the workflow {difference}")]
pub struct ReplayMismatch {
    /// How many results were there already.
    pub prefix: usize,
    /// How many the whole run has.
    pub length: usize,
    /// What was different.
    pub difference: String,
}

impl<W: Workflow> WorkflowTest<W> {
    /// A test without fakes on an empty tree.
    pub fn new(workflow: W) -> Self {
        Self { workflow: Arc::new(workflow), script: Script::default(), files: Vec::new() }
    }

    /// Answers the steps whose key matches a pattern (`*` stands for one part: `fuzz/*/afl`). Later ones win.
    #[must_use]
    pub fn fake(
        self,
        pattern: &str,
        answer: impl Fn(&FakeCall) -> Result<ModuleOutput, StepFailure> + 'static,
    ) -> Self {
        self.fake_taking(pattern, Duration::ZERO, answer)
    }

    /// Answers after some virtual time.
    #[must_use]
    pub fn fake_taking(
        mut self,
        pattern: &str,
        takes: Duration,
        answer: impl Fn(&FakeCall) -> Result<ModuleOutput, StepFailure> + 'static,
    ) -> Self {
        self.script.fakes.push(Fake { pattern: pattern.to_owned(), takes, answer: Rc::new(answer) });
        self
    }

    /// Answers closures and children with a value.
    #[must_use]
    pub fn fake_value(self, pattern: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.fake(pattern, move |_| {
            let mut output = ModuleOutput::new("fake", "0.0.0");
            output.summary.output = value.clone();
            Ok(output)
        })
    }

    /// Says yes to an approval.
    #[must_use]
    pub fn approve(self, name: &str, by: &str) -> Self {
        self.decide(name, true, by, "")
    }

    /// Says no to an approval.
    #[must_use]
    pub fn reject(self, name: &str, by: &str, comment: &str) -> Self {
        self.decide(name, false, by, comment)
    }

    fn decide(mut self, name: &str, approved: bool, by: &str, comment: &str) -> Self {
        let decision = Decision { approved, by: by.to_owned(), comment: comment.to_owned(), at_ms: 0 };
        self.script.decisions.insert(name.to_owned(), decision);
        self
    }

    /// Sends a signal; several of one name arrive in this order.
    #[must_use]
    pub fn signal(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.script.signals.entry(name.to_owned()).or_default().push(value.into());
        self
    }

    /// Cancels the run after some virtual time.
    #[must_use]
    pub fn cancel_after(mut self, time: Duration) -> Self {
        self.script.cancel_at = Some(time);
        self
    }

    /// Adds a file to the tree that real modules look at.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.into(), content.as_ref().to_vec()));
        self
    }

    /// Runs the workflow.
    pub async fn run(&self, params: W::Params) -> TestRun<W::Output> {
        match serde_json::to_value(params) {
            Ok(params) => self.run_from(params, &[]).await,
            Err(error) => TestRun {
                result: Err(error.into()),
                order: Vec::new(),
                elapsed: Duration::ZERO,
                findings: Vec::new(),
                history: Vec::new(),
            },
        }
    }

    /// Runs the workflow once, then again from each prefix of its history, as an engine does after a crash at that
    /// point: the same steps must be asked for, with the same fingerprints, and the same output must come out.
    pub async fn replay_from_every_prefix(&self, params: W::Params) -> Result<(), ReplayMismatch> {
        let mismatch = |prefix, length, difference| ReplayMismatch { prefix, length, difference };
        let params = serde_json::to_value(params).map_err(|error| mismatch(0, 0, error.to_string()))?;
        let whole = self.run_from(params.clone(), &[]).await;
        let length = whole.history.len();
        for prefix in 0..=length {
            let replay = self.run_from(params.clone(), &whole.history[..prefix]).await;
            if let Some(difference) = difference(&whole, &replay) {
                return Err(mismatch(prefix, length, difference));
            }
        }
        Ok(())
    }

    async fn run_from(&self, params: Value, recorded: &[Entry]) -> TestRun<W::Output> {
        let mut run = TestRun {
            result: Err(WorkflowError::failed("the test could not begin")),
            order: Vec::new(),
            elapsed: Duration::ZERO,
            findings: Vec::new(),
            history: Vec::new(),
        };
        let prepared = RunId::new("test-run-00000001").map_err(|error| error.to_string()).and_then(|id| {
            let tree = self.tree().map_err(|error| format!("the test's tree could not be made: {error}"))?;
            Ok((id, tree))
        });
        let (id, tree) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => {
                run.result = Err(WorkflowError::failed(problem));
                return run;
            }
        };
        let workflow: Arc<dyn AnyWorkflow> = Arc::<W>::clone(&self.workflow);
        let info = RunInfo::new(id, workflow.metadata().name);
        let backend = TestBackend::new(info, self.script.clone(), Workspace::owned(tree.path()), recorded);
        let state = Rc::clone(&backend.state);
        let session = Session::new(workflow, Rc::new(backend));
        let result = drive(&state, session.run(params)).await;
        let unwound = drive(&state, async { Ok(session.unwind(result.is_ok()).await) }).await;
        run.result = unwound
            .and(result)
            .and_then(|output| W::Output::deserialize(output).map_err(WorkflowError::from));
        run.order = state.started.take();
        run.elapsed = state.clock.now();
        run.findings = state.host.findings();
        run.history = state.history.take();
        run
    }

    fn tree(&self) -> std::io::Result<tempfile::TempDir> {
        let tree = tempfile::tempdir()?;
        for (path, content) in &self.files {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(tree.path()))?;
            std::fs::write(path, content)?;
        }
        Ok(tree)
    }
}

/// Polls a future; when it can go on only later, lets virtual time pass.
async fn drive<T>(
    state: &super::backend::State,
    future: impl Future<Output = Result<T, WorkflowError>>,
) -> Result<T, WorkflowError> {
    let mut future = pin!(future);
    poll_fn(|task| {
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(task) {
                return Poll::Ready(result);
            }
            if state.in_flight.get() > 0 {
                return Poll::Pending;
            }
            if !state.clock.advance() {
                let waiting: Vec<String> = state.waiting.borrow().iter().cloned().collect();
                let what = if waiting.is_empty() { "something".into() } else { waiting.join(", ") };
                return Poll::Ready(Err(WorkflowError::failed(format!(
                    "the workflow waits for ever for {what}"
                ))));
            }
        }
    })
    .await
}

fn difference<T>(whole: &TestRun<T>, replay: &TestRun<T>) -> Option<String> {
    let sorted = |run: &TestRun<T>| {
        let mut entries = run.history.clone();
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries
    };
    let (expected, found) = (sorted(whole), sorted(replay));
    // A child that is done is not run again, so its own steps are not asked for.
    let in_child = |entry: &Entry| {
        let below = |child: &Entry| entry.key.as_str().starts_with(&format!("{}/", child.key));
        expected.iter().any(|child| child.kind == "child" && below(child))
    };
    for entry in &expected {
        match found.iter().find(|other| other.key == entry.key) {
            None if in_child(entry) => {}
            None => return Some(format!("did not ask for step {}", entry.key)),
            Some(other) if other.fingerprint != entry.fingerprint => {
                return Some(format!("asked for something else in step {}", entry.key));
            }
            // An attempt that starts over ends later, so what depends on the clock may differ.
            Some(other) if other.result != entry.result && !["now", "approval"].contains(&entry.kind) => {
                return Some(format!("got another result from step {}", entry.key));
            }
            Some(_) => {}
        }
    }
    let extra = found.iter().find(|entry| expected.iter().all(|other| other.key != entry.key));
    if let Some(entry) = extra {
        return Some(format!("asked for step {}, which the run did not", entry.key));
    }
    match (&whole.result, &replay.result) {
        (Ok(_), Err(error)) => Some(format!("failed: {error}")),
        (Err(error), Ok(_)) => Some(format!("succeeded where the run failed: {error}")),
        _ => None,
    }
}

impl<W: Workflow> std::fmt::Debug for WorkflowTest<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkflowTest").field("files", &self.files.len()).finish_non_exhaustive()
    }
}
