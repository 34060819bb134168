//! Workflows: orchestration as plain async Rust over a context that an engine stands behind.
//!
//! A workflow may branch, loop, fan out and wait for people, but does no input or output of its own and takes time and
//! randomness from its context only. Then an engine can run it again from the top after a crash: steps that are done
//! return their stored results, and it goes on where it was.

mod backend;
mod combine;
mod context;
mod erased;
mod error;
mod key;
mod options;
mod session;
mod step;

pub use backend::{
    ApprovalRequest, Backend, ChildCall, Command, Decision, InlineCall, InlineStep, ModuleCall, Request,
    RunInfo,
};
pub use context::WorkflowContext;
pub use erased::AnyWorkflow;
pub use error::{StepError, StepErrorKind, StepFailure, WorkflowError};
pub use key::StepKey;
pub use options::{Retry, StepOptions};
pub use session::Session;
pub use step::{ApprovalStep, OptionalStep, Step};

use crate::Metadata;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;

/// Orchestration of modules.
///
/// The context is `!Send`, so workflow code cannot be handed to `tokio::spawn` by mistake; steps run on the pool of the
/// engine, and the future of a run as a whole is `Send`.
///
/// ```
/// use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
/// use crashwise_core::{Metadata, Version};
///
/// struct Greet;
///
/// impl Workflow for Greet {
///     type Params = String;
///     type Output = String;
///
///     fn metadata(&self) -> Metadata {
///         Metadata::new("greet", Version::new(1, 0, 0), "Greets.")
///     }
///
///     async fn run(&self, cx: &WorkflowContext, name: String) -> Result<String, WorkflowError> {
///         let text = cx.step("greet").run(move |_| { let name = name.clone(); async move { Ok(format!("hello {name}")) } });
///         Ok(text.await?)
///     }
/// }
/// ```
pub trait Workflow: Send + Sync + 'static {
    /// The parameters. Their type is their schema, unless the metadata brings one.
    type Params: Serialize + DeserializeOwned + JsonSchema + 'static;
    /// The result.
    type Output: Serialize + DeserializeOwned + 'static;

    /// Name, version, needs.
    fn metadata(&self) -> Metadata;

    /// Orchestrates. Run again from the top after a crash, so the same inputs must lead to the same steps.
    fn run(
        &self,
        cx: &WorkflowContext,
        params: Self::Params,
    ) -> impl Future<Output = Result<Self::Output, WorkflowError>>;
}
