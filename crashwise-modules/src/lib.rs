//! crashwise-modules

#[cfg(feature = "dependencies")]
pub mod dependencies;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod prefilter;
mod registry;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(feature = "source")]
pub mod source;
pub mod walk;

pub use registry::registry;
