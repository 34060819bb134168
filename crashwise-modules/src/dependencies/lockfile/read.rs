//! Reads every lockfile of a target into one inventory.

use std::collections::BTreeMap;
use std::ops::Range;

use crashwise_core::{Gap, GapReason, RelPath};

use super::graph::{Graph, MAX_PACKAGES};
use super::input::{Files, Input, merge_conflict};
use super::places::Places;
use super::unlocked::unlocked;
use super::{FORMATS, Format, MANIFESTS, ignores, pin, requirements};
use crate::dependencies::inventory::{Ignore, Inventory, InventoryFile, Mismatch, Package, Scope};

/// Whether a file is a lockfile or a manifest that is read.
pub(crate) fn is_read(path: &RelPath) -> bool {
    let name = path.file_name();
    MANIFESTS.contains(&name)
        || name.ends_with(".gemspec")
        || format_of(path).is_some()
        || ignores::is_read(path)
}

pub(super) fn format_of(path: &RelPath) -> Option<&'static Format> {
    let name = path.file_name();
    let named = |name: &str| FORMATS.iter().find(|format| (format.matches)(name));
    // Collections of lockfiles put the project in front: `web.package-lock.json`.
    let known = named(name).or_else(|| name.match_indices('.').find_map(|(dot, _)| named(&name[dot + 1..])));
    known.or_else(|| requirements::is_in_folder(path).then_some(&requirements::FORMAT))
}

/// Reads every lockfile among the files; what cannot be read is a gap that names file, line and key.
pub(crate) fn read(files: &Files) -> (Inventory, Vec<Gap>) {
    let mut inventory = Inventory::default();
    let mut gaps = Vec::new();
    for (path, text) in files.iter() {
        if ignores::is_read(path) {
            let lines = Places::new(path, text);
            match ignores::parse(path, text) {
                Ok(statements) => {
                    inventory.ignores.extend(statements.into_iter().map(|statement| Ignore {
                        id: statement.id,
                        package: statement.package,
                        until: statement.until,
                        reason: statement.reason,
                        location: lines.location(&statement.at),
                    }));
                }
                Err(flaw) => gaps.push(lines.gap(&flaw)),
            }
            continue;
        }
        let Some(format) = format_of(path) else { continue };
        let input = Input { path, text, files };
        let parsed = match merge_conflict(text) {
            Some(flaw) => Err(flaw),
            None => (format.parse)(&input),
        };
        match parsed {
            Ok(graph) => {
                if graph.nodes.len() > MAX_PACKAGES {
                    let detail = format!("{} packages, at most {MAX_PACKAGES} are read", graph.nodes.len());
                    gaps.push(Gap::new(path.as_str(), GapReason::TooMany, detail));
                    continue;
                }
                let lines = Places::new(path, text);
                gaps.extend(graph.notes.iter().map(|flaw| lines.gap(flaw)));
                let before = inventory.packages.len();
                append(&mut inventory, graph, &lines, files);
                let packages = inventory.packages.len() - before;
                inventory.files.push(InventoryFile {
                    path: path.clone(),
                    format: format.name.to_owned(),
                    packages,
                });
            }
            Err(flaw) => {
                let lines = Places::new(path, text);
                gaps.push(lines.gap(&flaw));
            }
        }
    }
    for unlocked in unlocked(files) {
        let Some((path, text)) = files.get(unlocked.path) else { continue };
        inventory.mismatches.push(Mismatch {
            lockfile: path.clone(),
            message: unlocked.message,
            location: Places::new(path, text).location(&unlocked.at),
        });
    }
    (inventory, gaps)
}

fn append(inventory: &mut Inventory, graph: Graph, lines: &Places<'_>, files: &Files) {
    let settled = graph.settle();
    // The project itself is no dependency, so places in the graph and in the inventory differ.
    let mut places = Vec::with_capacity(graph.nodes.len());
    let mut next = inventory.packages.len();
    for node in &graph.nodes {
        places.push((!node.is_project).then_some(next));
        next += usize::from(!node.is_project);
    }
    let place = |index: &usize| places.get(*index).copied().flatten();
    let mut manifests: BTreeMap<&RelPath, Places<'_>> = BTreeMap::new();
    let mut elsewhere = |path: &RelPath, at: &Range<usize>| {
        if path == lines.path {
            return Some(lines.location(at));
        }
        let (path, text) = files.get(path)?;
        let places = manifests.entry(path).or_insert_with(|| Places::new(path, text));
        Some(places.location(at))
    };
    for ((path, at), message) in &graph.mismatches {
        if let Some(location) = elsewhere(path, at) {
            let (lockfile, message) = (lines.path.clone(), message.clone());
            inventory.mismatches.push(Mismatch { lockfile, message, location });
        }
    }
    inventory.packages.reserve(graph.nodes.len());
    for (node, mut state) in graph.nodes.into_iter().zip(settled) {
        if node.is_project {
            continue;
        }
        state.parents.retain_mut(|parent| place(parent).map(|place| *parent = place).is_some());
        let pin = match (&node.pin, &state.asked) {
            (Some(at), _) => Some(lines.location(at)),
            (None, Some((path, at))) if path != lines.path && state.direct => files
                .get(path)
                .and_then(|(path, text)| elsewhere(path, &pin::only_version(text, at, &node.name)?)),
            _ => None,
        };
        let asked = state.asked.and_then(|(path, at)| elsewhere(&path, &at));
        inventory.packages.push(Package {
            ecosystem: node.ecosystem,
            name: node.name,
            version: node.version,
            release: node.release,
            scope: state.scope.unwrap_or(Scope::Unknown),
            direct: state.direct,
            origin: node.origin,
            location: lines.location(&node.at),
            manifest: asked.map(Box::new),
            pin: pin.map(Box::new),
            parents: state.parents,
            via: state.via.as_ref().and_then(place),
            license: node.license,
            install_script: node.install_script,
            digest: node.digest,
        });
    }
}
