//! crashwise-modules

pub mod prefilter;
