//! Testing modules and workflows without an engine, a service or a clock (feature `testing`).
//!
//! - [`ModuleTest`] runs one module over a small tree and hands back all it pushed.
//! - [`Conformance`] is the suite that every module, also one of a third party, should pass.
//! - [`WorkflowTest`] runs a workflow against fakes in virtual time, with scripted people, and replays it from every
//!   prefix of its history.

mod backend;
mod clock;
mod conformance;
mod host;
mod hostile;
mod module_test;
#[cfg(test)]
mod tests;
mod workflow_test;

pub use backend::FakeCall;
pub use conformance::{Conformance, NotConforming};
pub use host::MemoryHost;
pub use hostile::hostile_tree;
pub use module_test::{ModuleTest, ModuleTestResult};
pub use workflow_test::{ReplayMismatch, TestRun, WorkflowTest};
