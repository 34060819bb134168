//! `package.json`: what a Node project asks for.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::Scope;

use super::graph::Graph;
use super::input::Input;
use super::json;
use super::tree::Node;

/// The tables of a manifest and what they are for. Optional ones come first: npm lists them twice.
pub(super) const TABLES: [(&str, Scope); 4] = [
    ("optionalDependencies", Scope::Optional),
    ("dependencies", Scope::Prod),
    ("peerDependencies", Scope::Prod),
    ("devDependencies", Scope::Dev),
];

/// One line of a manifest.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) name: String,
    pub(super) wanted: String,
    pub(super) scope: Scope,
    pub(super) is_peer: bool,
    pub(super) at: (RelPath, Range<usize>),
}

/// What a map with the tables of a manifest asks for; `path` is the file that holds it.
pub(super) fn asks(tree: &Node<'_>, path: &RelPath) -> Vec<Ask> {
    let mut out: Vec<Ask> = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    for (table, scope) in TABLES {
        for entry in tree.entries_of(table) {
            if !known.insert(&entry.key) && scope == Scope::Prod {
                continue;
            }
            out.push(Ask {
                name: entry.key.to_string(),
                wanted: entry.node.text().unwrap_or_default().to_owned(),
                scope,
                is_peer: table == "peerDependencies",
                at: (path.clone(), entry.at.start..entry.node.at.end),
            });
        }
    }
    out
}

/// What the manifest in a folder beside a lockfile asks for; `None` if there is none that can be read.
pub(super) fn beside(input: &Input<'_>, folder: &str) -> Option<Vec<Ask>> {
    let (path, text) = input.beside(&format!("{folder}/package.json"))?;
    Some(asks(&json::parse(text).ok()?, path))
}

/// What in a manifest asks for packages of a registry, or of somewhere else outside the project.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    let elsewhere = ["workspace:", "file:", "link:", "portal:"];
    let is_fetched = |ask: &Ask| !ask.is_peer && !elsewhere.iter().any(|start| ask.wanted.starts_with(start));
    let asks = json::parse(input.text).map(|tree| asks(&tree, input.path)).unwrap_or_default();
    asks.into_iter().filter(is_fetched).map(|ask| ask.at.1).collect()
}

/// The first line of each name.
fn by_name(asks: &[Ask]) -> HashMap<&str, &Ask> {
    let mut out = HashMap::with_capacity(asks.len());
    for ask in asks {
        out.entry(ask.name.as_str()).or_insert(ask);
    }
    out
}

/// Where dependencies stand in a manifest, if that is at hand.
pub(super) struct Asked<'a>(HashMap<&'a str, &'a Ask>);

impl<'a> Asked<'a> {
    pub(super) fn of(manifest: Option<&'a [Ask]>) -> Self {
        Self(by_name(manifest.unwrap_or_default()))
    }

    pub(super) fn place(&self, name: &str) -> Option<(RelPath, Range<usize>)> {
        self.0.get(name).map(|ask| ask.at.clone())
    }
}

/// Notes where a manifest and what the lockfile keeps of it differ; `lockfile` is the place of the latter.
pub(super) fn compare(
    graph: &mut Graph,
    manifest: &[Ask],
    locked: &[Ask],
    lockfile: &(RelPath, Range<usize>),
) {
    let (asked, made_for) = (by_name(manifest), by_name(locked));
    for ask in manifest {
        match made_for.get(ask.name.as_str()) {
            None => graph.mismatch(
                ask.at.clone(),
                format!("asks for {} {}, which the lockfile does not know", ask.name, ask.wanted),
            ),
            Some(known) if known.wanted != ask.wanted => graph.mismatch(
                ask.at.clone(),
                format!("asks for {} {}, the lockfile was made for {}", ask.name, ask.wanted, known.wanted),
            ),
            Some(_) => {}
        }
    }
    for known in locked {
        if !asked.contains_key(known.name.as_str()) {
            let message =
                format!("was made for {} {}, which the manifest does not ask for", known.name, known.wanted);
            graph.mismatch(lockfile.clone(), message);
        }
    }
}
