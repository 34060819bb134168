//! From text and rules to matches.

mod arguments;
mod confirm;
mod expression;
mod flow;
mod glance;
mod profile;
mod secret;
mod text;

pub(crate) use confirm::{Confirm, Match};
pub(crate) use glance::{Glance, Look, Text, may_begin};
pub(crate) use text::SourceText;
