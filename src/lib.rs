//! Owns the examples, integration tests and benches of the workspace.
