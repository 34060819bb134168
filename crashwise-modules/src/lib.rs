//! crashwise-modules

#[cfg(feature = "dependencies")]
pub mod dependencies;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod prefilter;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod walk;
