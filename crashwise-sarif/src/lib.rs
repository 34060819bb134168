//! crashwise-sarif
