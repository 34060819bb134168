//! SARIF logs against the official schema, against exact expectations, and back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "rows of test data read better without borrows")]

mod merging;
mod reading;
mod reports;
mod round_trip;
mod sample;
mod writing;
