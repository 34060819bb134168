//! From text and rules to matches.

mod arguments;
mod confirm;
mod expression;
mod flow;
mod profile;
mod secret;
mod text;

pub(crate) use confirm::{Confirm, Match};
pub(crate) use text::SourceText;
