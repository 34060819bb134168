//! crashwise-runner
