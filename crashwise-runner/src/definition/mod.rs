//! Workflows as data: a folder with `metadata.yaml` and `workflow.yaml` (or `.json`), which needs no compiler.
//!
//! ```
//! use crashwise_core::ModuleRegistry;
//! use crashwise_runner::definition::{Definition, Source};
//!
//! let metadata = "name: pause\nversion: 1.0.0\ndescription: Waits, then asks.\nvertical: local\n";
//! let workflow = "
//! steps:
//!   - id: wait
//!     sleep: 10s
//!   - id: publish
//!     needs: [wait]
//!     approval: {prompt: Publish the report?, timeout: 1d}
//! outputs:
//!   by: ${{ steps.publish.by }}
//! ";
//! let source = Source::new(("metadata.yaml", metadata), ("workflow.yaml", workflow));
//! let definition = Definition::parse(&source, &ModuleRegistry::new()).unwrap();
//! assert_eq!(definition.steps().len(), 2);
//! ```
//!
//! # The language
//!
//! A step has an `id` and does one thing: `module`, `workflow`, `approval`, `signal` or `sleep`. Steps run side by side unless
//! one `needs` another or refers to it. `${{ … }}` holds an expression in CEL over `params`, `steps` and the item of a
//! `foreach`; a text that is one expression keeps its type. `when` is such an expression. A step whose need was skipped or
//! did not succeed is skipped too, unless it has a `when` of its own, which then decides.
//!
//! What can be known before a run is checked before a run, all of it at once and with line and column: names of steps,
//! parameters and modules, cycles, expressions, configurations without expressions.

mod check;
mod expression;
mod file;
mod graph;
mod interpreter;
mod load;
mod outcome;
mod plan;
mod template;

pub use check::{Action, DefinedStep, Definition};
pub use expression::{Expression, ExpressionError};
pub use file::{ApprovalEntry, CleanupEntry, DefinitionFile, ForeachEntry, OnError, StepEntry};
pub use graph::{dot, mermaid};
pub use load::{DefinitionError, Source, discover, load};
pub use plan::{Forecast, PlannedStep, plan};

#[cfg(test)]
mod tests;
