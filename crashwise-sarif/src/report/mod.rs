//! Reports for people and for other programs.
//!
//! Every function writes a whole [`Report`](crate::Report) and goes through its findings several times instead of
//! holding them. Text that comes from the target cannot steer what shows it: control characters, markup and formulas are
//! neutralised. The same report gives the same bytes.

mod csv;
mod digest;
mod html;
mod json;
mod junit;
mod markdown;
mod table;
mod text;

pub use csv::csv;
pub use html::html;
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use table::{TableOptions, table};
