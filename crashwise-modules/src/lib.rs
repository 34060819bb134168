//! crashwise-modules

#[cfg(feature = "dependencies")]
pub mod dependencies;
pub mod prefilter;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod walk;
