//! One attempt of a step.

use super::host::{Beat, Host};
use super::stage::Stage;
use crate::engine::{after, at, panic_text};
use crashwise_core::workflow::{InlineStep, StepErrorKind, StepFailure, StepKey};
use crashwise_core::{
    AnyModule, CancellationToken, Coverage, ModuleContext, ModuleHost, ModuleInfo, ModuleKind, ModuleOutput,
    Protection, StepIdentity, Summary, Workspace,
};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinHandle};

/// How long a module that is asked to stop may take to hand in what it has.
const GRACE: Duration = Duration::from_secs(1);

/// What a step does.
pub(crate) enum Work {
    Module(Arc<dyn AnyModule>, Arc<Value>),
    Closure(InlineStep),
}

impl Work {
    pub(crate) fn is_module(&self) -> bool {
        matches!(self, Self::Module(..))
    }

    /// What is said of it; of a closure, that it belongs to its workflow.
    pub(crate) fn info(&self, stage: &impl Stage) -> ModuleInfo {
        match self {
            Self::Module(module, _) => module.info(),
            Self::Closure(_) => ModuleInfo::new(
                stage.info().workflow.clone(),
                stage.workflow_version(),
                ModuleKind::Analyzer,
                "",
            ),
        }
    }
}

/// One attempt of a step.
pub(crate) struct Attempt<'a, S> {
    pub(crate) stage: &'a S,
    pub(crate) key: &'a StepKey,
    pub(crate) number: u32,
    pub(crate) info: &'a ModuleInfo,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) limit: Option<Instant>,
    pub(crate) limit_text: Cow<'static, str>,
    pub(crate) silence: Option<Duration>,
    pub(crate) heartbeat: Option<Value>,
    pub(crate) beat: Beat,
}

/// What came of an attempt.
pub(crate) struct Finished {
    pub(crate) result: Result<Summary, StepFailure>,
    pub(crate) found: ModuleOutput,
    pub(crate) heartbeat: Option<Value>,
}

type Done = (Result<Summary, StepFailure>, ModuleOutput);

impl<S: Stage> Attempt<'_, S> {
    pub(crate) async fn carry_out(self, work: &Work) -> Finished {
        let mut found = ModuleOutput::default();
        if let Work::Module(..) = work {
            found.module.clone_from(&self.info.name);
            found.version.clone_from(&self.info.version);
        }
        let workspace = if self.info.requires_workspace || !work.is_module() {
            match self.workspace(work).await {
                Ok(workspace) => workspace,
                Err(failure) => return Finished { result: Err(failure), found, heartbeat: None },
            }
        } else {
            Workspace::in_place("")
        };
        let host = Arc::new(Host::new(
            self.stage.results().clone(),
            self.stage.stats().clone(),
            Arc::clone(self.stage.info()),
            self.key.clone(),
            Arc::clone(&self.beat),
        ));
        let cx = self.context(workspace, Arc::clone(&host) as Arc<dyn ModuleHost>);
        // Not a child of the stop token: what stops an attempt also cuts it off in the end, see below.
        let token = cx.cancel_token().clone();
        let protection = Protection::new(self.stage.requires_sandbox());
        let task = self.spawn(work, &cx, Arc::clone(&host), found.clone(), &protection);
        let mut task = Running { task: Some(task), token, pool: self.stage.pool().clone() };
        let why = tokio::select! {
            biased;
            joined = task.join() => match finished(joined, &host) {
                Ok(finished) => return finished,
                // What follows here and below is rare, and would make the future of every step large.
                Err(failure) => {
                    protected(&cx, &protection);
                    return Box::pin(self.salvage(Err(failure), cx, &host, found)).await;
                }
            },
            () = self.stop.cancelled() => StepFailure::new(StepErrorKind::Cancelled, self.stage.why_stopped()),
            () = at(self.limit) => StepFailure::new(StepErrorKind::TimedOut, self.limit_text.as_ref()),
            silence = silent(&host, self.silence) => StepFailure::new(
                StepErrorKind::TimedOut,
                format!("no heartbeat for {}", crashwise_core::Span::new(silence)),
            ),
        };
        // Should it be left behind, what it started until now is known.
        protected(&cx, &protection);
        Box::pin(self.cut_off(why, task, cx, &host, found)).await
    }

    /// Asks the work to stop, and leaves it behind when it does not.
    async fn cut_off(
        &self,
        why: StepFailure,
        mut task: Running,
        cx: ModuleContext,
        host: &Arc<Host>,
        found: ModuleOutput,
    ) -> Finished {
        task.token.cancel();
        if let Ok(joined) = tokio::time::timeout(GRACE, task.join()).await {
            // It handed in what it has; that it was stopped is still what came of it.
            let mut finished = match finished(joined, host) {
                Ok(finished) => finished,
                Err(failure) => self.salvage(Err(failure), cx, host, found).await,
            };
            if !matches!(&finished.result, Err(failure) if failure.kind() == StepErrorKind::Panicked) {
                finished.result = Err(why);
            }
            return finished;
        }
        task.abort();
        let why = StepFailure::new(
            why.kind(),
            format!("{}; it did not stop within {} s and was left behind", why.message(), GRACE.as_secs()),
        );
        self.salvage(Err(why), cx, host, found).await
    }

    async fn workspace(&self, work: &Work) -> Result<Workspace, StepFailure> {
        match self.stage.workspace().await {
            // A closure need not look at the target at all.
            Err(_) if !work.is_module() => Ok(Workspace::in_place("")),
            other => other,
        }
    }

    fn context(&self, workspace: Workspace, host: Arc<dyn ModuleHost>) -> ModuleContext {
        let identity = StepIdentity::new(
            self.stage.info().run.clone(),
            self.stage.info().workflow.clone(),
            self.key.as_str(),
        )
        .with_attempt(self.number)
        .with_project(self.stage.project());
        ModuleContext::new(identity, self.info, workspace, host)
            .with_deadline(super::earlier(self.limit, self.stage.deadline()))
            .with_last_heartbeat(self.heartbeat.clone())
    }

    /// Starts the work on the pool. What it found is stored there as well.
    fn spawn(
        &self,
        work: &Work,
        cx: &ModuleContext,
        host: Arc<Host>,
        mut found: ModuleOutput,
        protection: &Arc<Protection>,
    ) -> JoinHandle<Done> {
        let pool = self.stage.pool();
        let (cx, protection) = (cx.clone(), Arc::clone(protection));
        match work {
            Work::Module(module, config) => {
                let (module, config) = (Arc::clone(module), Arc::clone(config));
                pool.spawn(async move {
                    let result = Arc::clone(&protection).over(module.run_json(&cx, (*config).clone())).await;
                    protected(&cx, &protection);
                    let result = result.map_err(|error| StepFailure::from_module(&error));
                    let kept = keep(&cx, &host, &mut found).await;
                    (kept.and(result), found)
                })
            }
            Work::Closure(closure) => {
                let closure = Arc::clone(closure);
                pool.spawn(async move {
                    let result = Arc::clone(&protection).over(closure(cx.clone())).await;
                    protected(&cx, &protection);
                    let result = result.map(|output| Summary { output, ..Summary::new() });
                    let kept = keep(&cx, &host, &mut found).await;
                    (kept.and(result), found)
                })
            }
        }
    }

    /// Keeps what was found before the work ended without handing it in.
    async fn salvage(
        &self,
        result: Result<Summary, StepFailure>,
        cx: ModuleContext,
        host: &Arc<Host>,
        found: ModuleOutput,
    ) -> Finished {
        let kept = {
            let (host, mut found) = (Arc::clone(host), found.clone());
            self.stage.pool().spawn(async move {
                let kept = keep(&cx, &host, &mut found).await;
                (kept, found)
            })
        };
        let (result, found) = match kept.await {
            Ok((Ok(()), found)) => (result, found),
            Ok((Err(failure), found)) => (Err(failure), found),
            Err(_) => (result, found),
        };
        Finished { result, found, heartbeat: host.take_details() }
    }
}

/// Says in the result what the processes of the work were protected by.
fn protected(cx: &ModuleContext, protection: &Protection) {
    let processes = protection.take();
    if !processes.is_empty() {
        cx.merge_coverage(Coverage { processes, ..Coverage::new() });
    }
}

/// What work handed in, or why it did not.
fn finished(joined: Result<Done, JoinError>, host: &Host) -> Result<Finished, StepFailure> {
    match joined {
        Ok((result, found)) => Ok(Finished { result, found, heartbeat: host.take_details() }),
        Err(error) => Err(match error.try_into_panic() {
            Ok(panic) => StepFailure::new(StepErrorKind::Panicked, panic_text(panic.as_ref())),
            Err(_) => StepFailure::fatal("the runtime of the steps was shut down"),
        }),
    }
}

/// Stores the findings and takes over what the context counted.
async fn keep(cx: &ModuleContext, host: &Arc<Host>, found: &mut ModuleOutput) -> Result<(), StepFailure> {
    found.coverage = cx.take_coverage();
    found.artifacts = cx.take_artifacts();
    let stored = if host.has_findings() {
        let (host, mut output) = (Arc::clone(host), found.clone());
        let storing = tokio::task::spawn_blocking(move || host.close(&mut output).map(|()| output));
        match storing.await {
            Ok(Ok(output)) => {
                *found = output;
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    } else {
        host.close(found).map_err(|error| error.to_string())
    };
    stored.map_err(|error| {
        StepFailure::new(StepErrorKind::Storage, format!("keeping the findings failed: {error}"))
    })
}

/// Completes when a step has been silent for too long.
async fn silent(host: &Host, limit: Option<Duration>) -> Duration {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let quiet = host.last_beat().elapsed();
        if quiet >= limit {
            return limit;
        }
        at(after(limit.saturating_sub(quiet))).await;
    }
}

/// Work on the pool. Dropped, it is asked to stop, and cut off when it does not.
struct Running {
    task: Option<JoinHandle<Done>>,
    token: CancellationToken,
    pool: tokio::runtime::Handle,
}

impl Running {
    async fn join(&mut self) -> Result<Done, JoinError> {
        match &mut self.task {
            Some(task) => {
                let joined = task.await;
                self.task = None;
                joined
            }
            None => std::future::pending().await,
        }
    }

    fn abort(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.token.cancel();
        if let Some(mut task) = self.task.take() {
            self.pool.spawn(async move {
                if tokio::time::timeout(GRACE, &mut task).await.is_err() {
                    task.abort();
                }
            });
        }
    }
}
