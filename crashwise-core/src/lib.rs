//! crashwise-core
