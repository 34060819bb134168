//! crashwise-modules
