//! Modules: one analysis each, with a typed configuration, pushed findings and honest coverage.

mod context;
mod erased;
mod error;
mod info;
mod registry;
mod summary;

pub use context::{ModuleContext, ModuleHost, StepIdentity};
pub use erased::AnyModule;
pub use error::{ModuleError, ToolMissing};
pub use info::{ModuleInfo, ModuleKind};
pub use registry::{DuplicateModule, ModuleRegistry, UnknownModule};
pub use summary::{ModuleOutput, SeverityCounts, Summary};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::sync::Arc;

/// One analysis.
///
/// A module looks at the workspace of its context and pushes findings, artifacts and statistics into it as they appear, so
/// that memory does not grow with the result. What it could not look at it says with
/// [`ModuleContext::not_covered`]; findings and gaps are results, never errors.
///
/// The type of the configuration is its schema: what does not fit it never reaches [`Module::run`].
///
/// ```
/// use crashwise_core::{Finding, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, RuleId, Severity, Summary};
///
/// #[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields, default)]
/// struct LicenceConfig { file_name: Option<String> }
///
/// struct LicenceCheck;
///
/// #[async_trait::async_trait]
/// impl Module for LicenceCheck {
///     type Config = LicenceConfig;
///
///     fn info(&self) -> ModuleInfo {
///         ModuleInfo::new("licence_check", "1.0.0", ModuleKind::Scanner, "Says when a project has no licence file")
///     }
///
///     async fn run(&self, cx: &ModuleContext, config: LicenceConfig) -> Result<Summary, ModuleError> {
///         let name = config.file_name.unwrap_or_else(|| "LICENSE".into());
///         if !cx.workspace().root().join(&name).exists() {
///             let rule = RuleId::new("licence/missing").map_err(ModuleError::failed)?;
///             cx.report(Finding::new(rule, format!("there is no {name}"), Severity::Low))?;
///         }
///         Ok(Summary::new())
///     }
/// }
/// ```
#[async_trait]
pub trait Module: Send + Sync + 'static {
    /// The configuration. Its serde and schemars derives are the schema; use `deny_unknown_fields` and `default`.
    type Config: Serialize + DeserializeOwned + JsonSchema + Send + 'static;

    /// Name, version, kind and needs. Cheap; called often.
    fn info(&self) -> ModuleInfo;

    /// Files and folders outside the workspace that a run with this configuration reads, such as rules of the user or a
    /// database. Their content is part of the key of cached results.
    fn reads(&self, _config: &Self::Config) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Does the analysis. Work that keeps a processor busy goes through [`ModuleContext::blocking`]. A module that is asked
    /// to stop ([`ModuleContext::is_cancelled`]) returns what it has; the engine records that it was stopped.
    async fn run(&self, cx: &ModuleContext, config: Self::Config) -> Result<Summary, ModuleError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<M: Module + ?Sized> Module for Arc<M> {
    type Config = M::Config;

    fn info(&self) -> ModuleInfo {
        (**self).info()
    }

    fn reads(&self, config: &Self::Config) -> Vec<PathBuf> {
        (**self).reads(config)
    }

    async fn run(&self, cx: &ModuleContext, config: Self::Config) -> Result<Summary, ModuleError> {
        (**self).run(cx, config).await
    }
}
