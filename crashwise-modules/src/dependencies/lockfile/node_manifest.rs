//! `package.json`: what a Node project asks for.

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
    for (table, scope) in TABLES {
        for entry in tree.entries_of(table) {
            if scope == Scope::Prod && out.iter().any(|ask| ask.name == entry.key) {
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

/// The place of a dependency in a manifest, if that is at hand.
pub(super) fn place(manifest: Option<&[Ask]>, name: &str) -> Option<(RelPath, Range<usize>)> {
    manifest?.iter().find(|ask| ask.name == name).map(|ask| ask.at.clone())
}

/// Notes where a manifest and what the lockfile keeps of it differ; `lockfile` is the place of the latter.
pub(super) fn compare(
    graph: &mut Graph,
    manifest: &[Ask],
    locked: &[Ask],
    lockfile: &(RelPath, Range<usize>),
) {
    for ask in manifest {
        match locked.iter().find(|known| known.name == ask.name) {
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
        if !manifest.iter().any(|ask| ask.name == known.name) {
            let message =
                format!("was made for {} {}, which the manifest does not ask for", known.name, known.wanted);
            graph.mismatch(lockfile.clone(), message);
        }
    }
}
