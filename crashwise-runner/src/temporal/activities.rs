//! Activities: modules under their own names, closures, and what is kept of runs.

use super::closures::Closures;
use super::messages::{ClosureTask, KeepTask, ModuleTask, Pulse, RecallTask, StepDone, StepNotDone};
use super::shop::{Shop, StepTask};
use crate::executor::Work;
use crashwise_core::ModuleRegistry;
use crashwise_core::workflow::{StepErrorKind, StepFailure};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use temporalio_common::ActivityDefinition;
use temporalio_macros::activities;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{
    ActivityContext, ActivityDefinitions, ActivityError, ActivityImplementer, ExecutableActivity,
};

/// How often a step says that it is alive. The answer tells of a cancel.
const BEAT: Duration = Duration::from_millis(500);

/// The activities of a worker.
pub(crate) struct Activities {
    pub(crate) modules: ModuleRegistry,
    pub(crate) closures: Closures,
    pub(crate) shop: Arc<Shop>,
}

#[activities]
impl Activities {
    /// Runs a closure of a workflow that is hosted by this process.
    #[activity(name = "crashwise.closure")]
    pub(crate) async fn closure(
        self: Arc<Self>,
        ctx: ActivityContext,
        task: ClosureTask,
    ) -> Result<StepDone, ActivityError> {
        let Some(closure) = self.closures.find(task.token) else {
            let message = format!("the closure of step {} is not in this process", task.place.step);
            return Err(refused(StepErrorKind::Transient, message, ctx.info().attempt));
        };
        let step = self.shop.task(task.place, Work::Closure(closure), ctx.info().attempt);
        self.carry_out(&ctx, step, false).await
    }

    /// Keeps something of a run in the store.
    #[activity(name = "crashwise.keep")]
    pub(crate) async fn keep(
        self: Arc<Self>,
        ctx: ActivityContext,
        task: KeepTask,
    ) -> Result<(), ActivityError> {
        let kept = self.shop.keep(&task).await;
        kept.map_err(|failure| refused(failure.kind(), failure.message().to_owned(), ctx.info().attempt))
    }

    /// Reads what was kept of a run.
    #[activity(name = "crashwise.recall")]
    pub(crate) async fn recall(
        self: Arc<Self>,
        ctx: ActivityContext,
        task: RecallTask,
    ) -> Result<serde_json::Value, ActivityError> {
        let read = self.shop.recall(&task).await;
        read.map_err(|failure| refused(failure.kind(), failure.message().to_owned(), ctx.info().attempt))
    }
}

impl Activities {
    async fn carry_out(
        &self,
        ctx: &ActivityContext,
        step: StepTask,
        beats: bool,
    ) -> Result<StepDone, ActivityError> {
        let cancel = step.cancel.clone();
        let pulse = self.shop.pulse(&step);
        let running = self.shop.carry_out(step);
        let mut running = std::pin::pin!(running);
        // Most steps are over before the first beat, which then costs nothing.
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = Pulse::default();
        loop {
            tokio::select! {
                result = &mut running => return result.map_err(failed),
                () = ctx.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
                _ = tick.tick(), if beats => {
                    pulse.take(&mut last).await;
                    // Also without news.
                    ctx.record_heartbeat(last.clone()).await?;
                }
            }
        }
    }
}

fn refused(kind: StepErrorKind, message: String, attempts: u32) -> ActivityError {
    failed(StepNotDone { kind, message, attempts, version: String::new(), again: false, partial: None })
}

/// A failure as Temporal keeps it: typed by our kind, final unless trying again can help. What is begun again at once by the
/// workflow, because it was no fault of the step, does not count as an attempt.
fn failed(failure: StepNotDone) -> ActivityError {
    if failure.kind == StepErrorKind::Cancelled && !failure.again {
        return ActivityError::cancelled_with_details(failure);
    }
    let type_name = serde_json::to_value(failure.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    ActivityError::application(
        ApplicationFailure::builder(failure.message.clone())
            .maybe_type_name(type_name)
            .non_retryable(failure.again || !failure.kind.is_retryable())
            .details(failure)
            .build(),
    )
}

thread_local!(static NEXT: RefCell<String> = const { RefCell::new(String::new()) });

/// The activity type of one module; its name is known only when the worker starts.
pub(crate) struct ModuleActivity(String);

impl ActivityDefinition for ModuleActivity {
    type Input = ModuleTask;
    type Output = StepDone;

    fn name(&self) -> &str {
        &self.0
    }
}

/// Registers an activity for each module.
pub(crate) struct ModuleActivities(pub(crate) Arc<Activities>);

impl ActivityImplementer for ModuleActivities {
    fn register_all(self: Arc<Self>, definitions: &mut ActivityDefinitions) {
        for module in self.0.modules.iter() {
            // The definition asks for its name while it is registered, and only then.
            NEXT.set(module.info().name);
            definitions.register_activity::<ModuleActivity>(Arc::clone(&self));
        }
    }
}

impl ExecutableActivity for ModuleActivity {
    type Implementer = ModuleActivities;
    const REQUIRES_INSTANCE: bool = true;

    fn definition() -> Self {
        Self(NEXT.with_borrow(Clone::clone))
    }

    fn execute(
        all: Option<Arc<ModuleActivities>>,
        ctx: ActivityContext,
        task: ModuleTask,
    ) -> BoxFuture<'static, Result<StepDone, ActivityError>> {
        async move {
            let attempt = ctx.info().attempt;
            let Some(all) = all else {
                let message = "the worker holds no modules".to_owned();
                return Err(refused(StepErrorKind::Failed, message, attempt));
            };
            all.0.module(&ctx, task, attempt).await
        }
        .boxed()
    }
}

impl Activities {
    async fn module(
        &self,
        ctx: &ActivityContext,
        task: ModuleTask,
        attempt: u32,
    ) -> Result<StepDone, ActivityError> {
        let found = self.modules.find(&task.module);
        let module = found.map_err(|error| refused(StepErrorKind::NotFound, error.to_string(), attempt))?;
        let info = module.info();
        let rules = info.rules_digest.clone().unwrap_or_default();
        let asked = |asked: &str, own: &str| asked.is_empty() || asked == own;
        if !asked(&task.version, &info.version) || !asked(&task.rules, &rules) {
            let message = format!(
                "the run asks for {} {} with other rules or of another version than this worker has ({}): start workers of the same release",
                task.module, task.version, info.version
            );
            return Err(refused(StepErrorKind::Unsupported, message, attempt));
        }
        let work = Work::Module(Arc::clone(module), Arc::new(task.config));
        let mut step = self.shop.task(task.place, work, attempt);
        step.cached = task.cached;
        step.scheduled = ctx.info().scheduled_time;
        // What an earlier release said is of no use, and no harm.
        let earlier = ctx.heartbeat_details().deserialize::<Pulse>().ok().flatten();
        step.heartbeat = earlier.and_then(|pulse| pulse.details);
        self.carry_out(ctx, step, true).await
    }
}

impl From<StepFailure> for StepNotDone {
    fn from(failure: StepFailure) -> Self {
        let message = failure.message().to_owned();
        Self {
            kind: failure.kind(),
            message,
            attempts: 1,
            version: String::new(),
            again: false,
            partial: None,
        }
    }
}

#[cfg(all(test, feature = "temporal-testing"))]
mod tests;
