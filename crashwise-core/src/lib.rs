//! The contract of crashwise: what a module, a workflow, a finding and a target are. Everything else builds on it.
//!
//! ```
//! use crashwise_core::{Finding, Location, Position, RelPath, RuleId, Severity};
//!
//! let place = Location::new(RelPath::new("src/login.py").unwrap()).with_start(Position::new(12, 5).unwrap());
//! let finding = Finding::new(RuleId::new("demo/eval").unwrap(), "eval of user input", Severity::High)
//!     .with_location(place)
//!     .with_cwe(95);
//! assert_eq!(finding.primary().unwrap().to_string(), "src/login.py:12:5");
//! ```
//!
//! # Map
//!
//! - [`Module`]: one analysis; [`ModuleContext`] is what it sees, [`ModuleRegistry`] holds the ones a process has.
//! - [`Finding`], [`Location`], [`Severity`], [`Coverage`]: results, and how much of the target they cover.
//! - [`FindingSpool`], [`merge_findings`]: findings in bulk, sorted, each once, in bounded memory.
//! - [`Metadata`], [`Document`], [`Problems`]: `metadata.yaml` and other documents, checked as a whole, with places.
//! - [`workflow`]: orchestration, and the seam behind which engines stand.
//! - [`Target`], [`Workspace`]: what a run looks at.
//! - `archive` (feature `archive`): archives in and out, hostile until proven good.
//! - `testing` (a feature): fakes, virtual time, replay from every prefix, the conformance suite for modules.
//! - `cache` (feature `workspace`): workspaces of runs, isolated, shared or copy-on-write, and the cache behind them.
//! - `store` (features `store`, `s3`): targets and results in a directory, in memory or in S3.
//! - [`TemporaryFolder`]: scratch space that a killed process does not leave behind.
//! - [`Stats`], [`StatsCallback`]: live statistics.
//!
//! # What it does not do
//!
//! It runs nothing and reads no configuration files or environment: the runner does. It knows no analysis: those are modules.

#[cfg(feature = "archive")]
pub mod archive;
mod artifact;
#[cfg(feature = "workspace")]
pub mod cache;
mod coverage;
mod document;
mod error_chain;
mod finding;
mod findings;
mod id;
mod metadata;
mod module;
mod path;
mod position;
mod problem;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process;
mod protection;
mod quantity;
#[cfg(feature = "store")]
mod regular;
mod severity;
mod stats;
#[cfg(feature = "store")]
pub mod store;
mod target;
mod temporary;
#[cfg(feature = "testing")]
pub mod testing;
pub mod workflow;
mod workspace;

pub use artifact::ArtifactRef;
pub use async_trait::async_trait;
pub use coverage::{Coverage, CoverageStatus, Gap, GapReason};
pub use document::{Document, Schema, schema_of};
pub use error_chain::error_chain;
pub use finding::{Change, Finding, Fix, FoundBy, Location, Suppression, SuppressionKind};
pub use findings::{FindingLines, FindingSpool, MergedFindings, merge_findings, rules_of};
pub use id::{Fingerprint, InvalidId, RuleId, RunId, TargetId};
pub use metadata::{Category, Isolation, Metadata, Requirements, Resources};
pub use module::{
    AnyModule, DuplicateModule, Module, ModuleContext, ModuleError, ModuleHost, ModuleInfo, ModuleKind,
    ModuleOutput, ModuleRegistry, SeverityCounts, StepIdentity, Summary, ToolMissing, UnknownModule,
};
pub use path::{InvalidPath, RelPath};
pub use position::{ByteSpan, Column, Line, LineIndex, Position, Region};
pub use problem::{Problem, Problems, nearest};
pub use protection::{Processes, Protection};
pub use quantity::{ByteSize, CpuCount, InvalidQuantity, Span};
#[cfg(feature = "store")]
pub use regular::read_regular;
pub use semver::Version;
pub use severity::{Confidence, Severity, UnknownLevel};
pub use stats::{Stats, StatsCallback, StatsEvent, StatsFeed};
pub use target::{InvalidObjectUrl, ObjectUrl, Target};
pub use temporary::TemporaryFolder;
pub use tokio_util::sync::CancellationToken;
#[cfg(feature = "workspace")]
pub use workspace::CopyOnWrite;
pub use workspace::Workspace;
