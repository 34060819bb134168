//! crashwise-modules

#[cfg(feature = "dependencies")]
pub mod dependencies;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod prefilter;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(feature = "source")]
pub mod source;
pub mod walk;
