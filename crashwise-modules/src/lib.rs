//! crashwise-modules

#[cfg(feature = "dependencies")]
pub mod dependencies;
pub mod prefilter;
pub mod walk;
