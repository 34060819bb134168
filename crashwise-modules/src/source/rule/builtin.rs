//! The rules that the crate carries.

use super::schema::Rule;
use crate::source::Language;
use crashwise_core::Document;
use serde::Deserialize;
use std::sync::OnceLock;

/// `(folder, name, text)` of every rule file, in order; made by the build script.
const FILES: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/source_rules.rs"));

/// The folder of the rules that are for more than one language.
const SHARED: &str = "shared";

/// The ids of all rules of the crate, in order.
pub(crate) fn builtin_ids() -> impl Iterator<Item = String> {
    FILES.iter().map(|(folder, name, _)| format!("code/{folder}/{name}"))
}

/// A digest of all rules of the crate.
pub(crate) fn builtin_digest() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| {
        crashwise_core::Fingerprint::of(FILES.iter().flat_map(|(folder, name, text)| [*folder, *name, *text]))
            .to_string()
    })
}

/// The rules of the crate that may be for a language. Only those files are parsed: a scan of one file needs few.
pub(crate) fn builtin_rules(language: Language) -> Vec<Rule> {
    FILES
        .iter()
        .filter(|(folder, _, _)| *folder == language.as_str() || *folder == SHARED)
        .filter_map(|(folder, name, text)| {
            // A test checks every file against the schema, so there is nothing to report here.
            let document = Document::parse(format!("{folder}/{name}.yaml"), text).ok()?;
            Rule::deserialize(document.value()).ok()
        })
        .filter(|rule| rule.languages.contains(&language))
        .collect()
}

#[cfg(test)]
pub(super) fn files() -> &'static [(&'static str, &'static str, &'static str)] {
    FILES
}
