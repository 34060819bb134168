//! What a `uv.lock` keeps of the `pyproject.toml` files that it was made for, against those files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::graph::Graph;
use super::input::Input;
use super::python_manifest::{Specified, fold, requirement_name, specifiers, specifiers_of};
use super::toml;
use super::tree::Node as Tree;

/// What is asked for of one name.
#[derive(Debug, Default)]
struct Wanted {
    /// Every set of versions that is asked for; those of an address are none.
    versions: BTreeSet<BTreeSet<(String, Specified)>>,
    /// Whether some of it comes from an address or a folder, so that versions do not count.
    elsewhere: bool,
    /// Where, and what is written there.
    at: Range<usize>,
    text: String,
}

/// Notes where the manifest of a package of the project and the lockfile differ.
pub(super) fn check(input: &Input<'_>, graph: &mut Graph, package: &Tree<'_>) {
    let folder = package.get("source").and_then(|source| source.entries().first());
    let Some(folder) = folder.and_then(|kind| kind.node.text()) else { return };
    let Some(metadata) = package.get("metadata") else { return };
    let Some((path, text)) = input.beside(&format!("{folder}/pyproject.toml")) else { return };
    let Ok(manifest) = toml::parse(text) else { return };
    let is_dynamic = |key: &str| {
        let dynamic = manifest.path(&["project", "dynamic"]).map_or(&[][..], Tree::items);
        dynamic.iter().any(|item| item.text() == Some(key))
    };
    // What a build computes, and what other tools keep in tables of their own, is not written there.
    if is_dynamic("dependencies") || is_dynamic("optional-dependencies") || manifest.get("project").is_none()
    {
        return;
    }
    let groups = metadata.entries_of("requires-dev").iter().flat_map(|group| group.node.items());
    let sides = [
        (of_project(&manifest), locked(metadata.items_of("requires-dist").iter())),
        (of_groups(&manifest), locked(groups)),
    ];
    for (asked, known) in sides {
        for (name, ask) in &asked {
            let at = (path.clone(), ask.at.clone());
            match known.get(name) {
                None => {
                    graph.mismatch(at, format!("asks for {}, which the lockfile does not know", ask.text));
                }
                Some(known) if !ask.elsewhere && !known.elsewhere && ask.versions != known.versions => {
                    let message = format!("asks for {}, the lockfile was made for {}", ask.text, known.text);
                    graph.mismatch(at, message);
                }
                Some(_) => {}
            }
        }
        for (name, known) in known.iter().filter(|(name, _)| !asked.contains_key(*name)) {
            let message = format!("was made for {name}, which the manifest does not ask for");
            graph.mismatch((input.path.clone(), known.at.clone()), message);
        }
    }
}

/// What a list of the lockfile says.
fn locked<'t, 'a: 't>(items: impl Iterator<Item = &'t Tree<'a>>) -> BTreeMap<String, Wanted> {
    let mut out: BTreeMap<String, Wanted> = BTreeMap::new();
    for item in items {
        let Some(name) = item.text_of("name") else { continue };
        let written = item.text_of("specifier").unwrap_or_default();
        let sources = ["git", "url", "path", "directory", "editable", "virtual"];
        let wanted = out.entry(fold(name)).or_default();
        wanted.elsewhere |= sources.iter().any(|key| item.get(key).is_some());
        wanted.versions.insert(specifiers(written));
        wanted.at = item.at.clone();
        wanted.text = [name, written].concat();
    }
    out
}

fn of_project(manifest: &Tree<'_>) -> BTreeMap<String, Wanted> {
    let mut out = BTreeMap::new();
    let optional = manifest.path(&["project", "optional-dependencies"]).map_or(&[][..], Tree::entries);
    let lists = optional.iter().map(|group| &group.node);
    for list in manifest.path(&["project", "dependencies"]).into_iter().chain(lists) {
        add(list, &mut out);
    }
    out
}

fn of_groups(manifest: &Tree<'_>) -> BTreeMap<String, Wanted> {
    let mut out = BTreeMap::new();
    for group in manifest.entries_of("dependency-groups") {
        add(&group.node, &mut out);
    }
    if let Some(list) = manifest.path(&["tool", "uv", "dev-dependencies"]) {
        add(list, &mut out);
    }
    out
}

/// Adds what a list of requirements asks for; a group that it includes is a list of its own.
fn add(list: &Tree<'_>, out: &mut BTreeMap<String, Wanted>) {
    for item in list.items() {
        let Some(text) = item.text() else { continue };
        let wanted = out.entry(fold(requirement_name(text))).or_default();
        match specifiers_of(text) {
            Some(versions) => {
                wanted.versions.insert(versions);
            }
            None => wanted.elsewhere = true,
        }
        wanted.at = item.at.clone();
        text.split(';').next().unwrap_or(text).trim().clone_into(&mut wanted.text);
    }
}
