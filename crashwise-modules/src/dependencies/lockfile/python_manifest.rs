//! `pyproject.toml`: what a Python project asks for, in its standard and in Poetry's tables.

use std::collections::BTreeSet;
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::Scope;
use crate::dependencies::version::{Ecosystem, Order, VersionKey};

use super::input::Input;
use super::toml;
use super::tree::Node;

/// One thing that a project asks for; names are folded.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) name: String,
    pub(super) scope: Scope,
    /// The extras of it that are asked for.
    pub(super) extras: Vec<String>,
    pub(super) at: (RelPath, Range<usize>),
}

/// What follows the operator of a specifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Specified {
    Version(VersionKey),
    Text(String),
}

/// Takes a name, its extras, what for, and where.
type Add<'a> = dyn FnMut(&str, Vec<String>, Scope, Range<usize>) + 'a;

/// What the `pyproject.toml` beside a lockfile asks for; `None` if there is none that can be read.
pub(super) fn beside(input: &Input<'_>) -> Option<Vec<Ask>> {
    let (path, text) = input.beside("pyproject.toml")?;
    let tree = toml::parse(text).ok()?;
    let mut out = Vec::new();
    let mut add = |name: &str, extras: Vec<String>, scope: Scope, at: Range<usize>| {
        if name != "python" {
            out.push(Ask { name: fold(name), scope, extras, at: (path.clone(), at) });
        }
    };
    let lists = |node: Option<&Node<'_>>, scope: Scope, add: &mut Add<'_>| {
        for item in node.map_or(&[][..], Node::items) {
            if let Some(text) = item.text() {
                add(requirement_name(text), extras_of(text), scope, item.at.clone());
            }
        }
    };
    lists(tree.path(&["project", "dependencies"]), Scope::Prod, &mut add);
    for (table, scope) in [
        (&["project", "optional-dependencies"][..], Scope::Optional),
        (&["dependency-groups"], Scope::Dev),
        (&["tool", "pdm", "dev-dependencies"], Scope::Dev),
    ] {
        for group in tree.path(table).map_or(&[][..], Node::entries) {
            lists(Some(&group.node), scope, &mut add);
        }
    }
    lists(tree.path(&["tool", "uv", "dev-dependencies"]), Scope::Dev, &mut add);
    if let Some(poetry) = tree.path(&["tool", "poetry"]) {
        for (table, scope) in [("dependencies", Scope::Prod), ("dev-dependencies", Scope::Dev)] {
            for entry in poetry.entries_of(table) {
                let scope = if entry.node.is_true("optional") { Scope::Optional } else { scope };
                let extras = entry.node.items_of("extras").iter().filter_map(Node::text);
                let extras = extras.map(str::to_owned).collect();
                add(&entry.key, extras, scope, entry.at.start..entry.node.at.end);
            }
        }
        for group in poetry.entries_of("group") {
            let scope = match group.key.as_ref() {
                "main" => Scope::Prod,
                "test" | "tests" => Scope::Test,
                _ => Scope::Dev,
            };
            for entry in group.node.entries_of("dependencies") {
                let extras = entry.node.items_of("extras").iter().filter_map(Node::text);
                let extras = extras.map(str::to_owned).collect();
                add(&entry.key, extras, scope, entry.at.start..entry.node.at.end);
            }
        }
    }
    Some(out)
}

/// What in a manifest asks for packages.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    beside(input).unwrap_or_default().into_iter().map(|ask| ask.at.1).collect()
}

/// A name as PEP 503 folds it.
pub(super) fn fold(name: &str) -> String {
    Ecosystem::PyPi.normalize_name(name).into_owned()
}

/// The extras of a requirement such as `name[one,two]>=1`.
fn extras_of(text: &str) -> Vec<String> {
    let rest = text[text.find(requirement_name(text)).unwrap_or_default() + requirement_name(text).len()..]
        .trim_start();
    let Some((list, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return Vec::new();
    };
    list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The versions that a requirement allows, each as an operator and what follows it; `None` if it names an address.
pub(super) fn specifiers_of(text: &str) -> Option<BTreeSet<(String, Specified)>> {
    let start = text.find(requirement_name(text)).unwrap_or_default() + requirement_name(text).len();
    let rest = text[start..].split(';').next().unwrap_or_default().trim();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest).trim(),
        None => rest,
    };
    if rest.starts_with('@') {
        return None;
    }
    let rest = rest.strip_prefix('(').map_or(rest, |inner| inner.trim_end_matches(')'));
    Some(specifiers(rest))
}

/// The parts of a list such as `>=1.0, <2`; versions that are spelled in two ways are one.
pub(super) fn specifiers(list: &str) -> BTreeSet<(String, Specified)> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let version = part.trim_start_matches(['<', '>', '=', '~', '!']);
            let (operator, version) = (&part[..part.len() - version.len()], version.trim());
            // `~=1.0` and `~=1.0.0` differ, and so do wildcards.
            let specified = match Order::Pep440.key(version) {
                Ok(key) if operator != "~=" && operator != "===" && !version.contains('*') => {
                    Specified::Version(key)
                }
                _ => Specified::Text(version.to_owned()),
            };
            (operator.to_owned(), specified)
        })
        .collect()
}

/// The name at the start of a requirement such as `Name[extra]>=1; python_version < "3"`.
pub(super) fn requirement_name(text: &str) -> &str {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(text.len());
    &text[..end]
}
