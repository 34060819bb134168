//! Rules: one YAML file each, those of the crate and those of the user.

mod builtin;
mod compiled;
mod folder;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use builtin::{builtin_digest, builtin_ids, builtin_rules};
pub(crate) use compiled::LazyRegex;
pub(crate) use compiled::{ArgTest, CompiledRule, Shape, Test};
pub(crate) use folder::read_folder;
pub use schema::{Argument, ArgumentKind, Examples, Matcher, Replacement, Rule, Scope, ValueTest};
