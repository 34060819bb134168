//! The `Cargo.toml` files of a workspace: what each member asks for, and for what.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::Scope;

use super::graph::Graph;
use super::input::Input;
use super::toml;
use super::tree::{Entry, Node};

const TABLES: [(&str, Scope); 5] = [
    ("dependencies", Scope::Prod),
    ("build-dependencies", Scope::Build),
    ("build_dependencies", Scope::Build),
    ("dev-dependencies", Scope::Dev),
    ("dev_dependencies", Scope::Dev),
];

/// Asks for what the members need; `members` holds for each the places of its needs in the graph.
pub(super) fn ask(input: &Input<'_>, graph: &mut Graph, members: &BTreeMap<&str, Vec<usize>>) {
    if members.is_empty() {
        return;
    }
    let mut manifests: HashMap<String, (&RelPath, Node<'_>)> = HashMap::new();
    let mut renamed: HashMap<String, String> = HashMap::new();
    let mut inherited: HashMap<String, String> = HashMap::new();
    for (path, text) in input.below("Cargo.toml") {
        let Ok(tree) = toml::parse(text) else { continue };
        for table in [&["workspace", "dependencies"][..], &["replace"]] {
            for entry in tree.path(table).map_or(&[][..], Node::entries) {
                if let Some(package) = entry.node.text_of("package") {
                    renamed.insert(entry.key.to_string(), package.to_owned());
                }
                if let Some(wanted) = entry.node.text().or_else(|| entry.node.text_of("version")) {
                    inherited.insert(entry.key.to_string(), wanted.to_owned());
                }
            }
        }
        if let Some(name) = tree.path(&["package", "name"]).and_then(Node::text) {
            let name = name.to_owned();
            manifests.entry(name).or_insert((path, tree));
        }
    }
    for (member, needs) in members {
        let manifest = manifests.get(*member);
        let asked = manifest.map(|(_, tree)| asked(tree, &renamed)).unwrap_or_default();
        let mut by_name: HashMap<&str, Vec<&Asked<'_, '_>>> = HashMap::new();
        for ask in &asked {
            by_name.entry(&ask.name).or_default().push(ask);
        }
        if let Some((path, _)) = manifest {
            let is_root = path.parent() == input.path.parent();
            check(graph, (path, is_root), member, needs, &asked, &inherited);
            let unasked: Vec<_> = needs
                .iter()
                .map(|need| &graph.nodes[*need])
                .filter(|node| !by_name.contains_key(node.name.as_str()))
                .map(|node| {
                    let message = format!("{} is locked for {member}, which does not ask for it", node.name);
                    ((input.path.clone(), node.at.clone()), message)
                })
                .collect();
            graph.mismatches.extend(unasked);
        }
        for need in needs {
            let node = &graph.nodes[*need];
            if node.is_project {
                continue;
            }
            match (manifest, by_name.get(node.name.as_str())) {
                (Some((path, _)), Some(found)) => {
                    for ask in found {
                        graph.ask(*need, ask.scope, Some(((*path).clone(), ask.at())));
                    }
                }
                _ => graph.ask(*need, Scope::Unknown, None),
            }
        }
    }
}

/// Notes where a member's manifest asks for something else than is locked.
fn check(
    graph: &mut Graph,
    (path, is_root): (&RelPath, bool),
    member: &str,
    needs: &[usize],
    asked: &[Asked<'_, '_>],
    inherited: &HashMap<String, String>,
) {
    let mut by_name: HashMap<&str, Vec<&str>> = HashMap::new();
    for node in needs.iter().map(|need| &graph.nodes[*need]) {
        by_name.entry(&node.name).or_default().extend(node.version.as_deref());
    }
    let mut mismatches = Vec::new();
    for ask in asked {
        // The tests of a package outside the workspace are not locked.
        if ask.scope.is_dev() && !is_root {
            continue;
        }
        let (name, entry) = (ask.name.as_str(), ask.entry);
        let at = ((*path).clone(), ask.at());
        let Some(locked) = by_name.get(name).filter(|locked| !locked.is_empty()) else {
            mismatches.push((at, format!("{member} asks for {name}, which the lockfile does not know")));
            continue;
        };
        let own = entry.node.text().or_else(|| entry.node.text_of("version"));
        let Some(wanted) = own.or_else(|| inherited.get(entry.key.as_ref()).map(String::as_str)) else {
            continue;
        };
        let Ok(range) = semver::VersionReq::parse(wanted) else { continue };
        let fits =
            |version: &&str| semver::Version::parse(version).is_ok_and(|version| range.matches(&version));
        if !locked.iter().any(fits) {
            let message =
                format!("{member} asks for {name} {wanted}, the lockfile has {}", locked.join(", "));
            mismatches.push((at, message));
        }
    }
    graph.mismatches.extend(mismatches);
}

/// What in a manifest asks for packages outside the project.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    let Ok(tree) = toml::parse(input.text) else { return Vec::new() };
    let asked = asked(&tree, &HashMap::new());
    asked.iter().filter(|ask| ask.entry.node.get("path").is_none()).map(Asked::at).collect()
}

/// What a manifest asks for.
struct Asked<'t, 'a> {
    /// The real name.
    name: String,
    scope: Scope,
    entry: &'t Entry<'a>,
}

impl Asked<'_, '_> {
    fn at(&self) -> Range<usize> {
        self.entry.at.start..self.entry.node.at.end
    }
}

/// Everything that a manifest asks for.
fn asked<'t, 'a>(tree: &'t Node<'a>, renamed: &HashMap<String, String>) -> Vec<Asked<'t, 'a>> {
    let targets = tree.entries_of("target").iter().map(|target| &target.node);
    let mut out = Vec::new();
    for holder in [tree].into_iter().chain(targets) {
        for (table, scope) in TABLES {
            for entry in holder.entries_of(table) {
                let own = entry.node.text_of("package").map(str::to_owned);
                let inherited =
                    || entry.node.is_true("workspace").then(|| renamed.get(entry.key.as_ref()).cloned());
                let name = own.or_else(|| inherited().flatten()).unwrap_or_else(|| entry.key.to_string());
                let optional = entry.node.is_true("optional") && scope == Scope::Prod;
                out.push(Asked { name, scope: if optional { Scope::Optional } else { scope }, entry });
            }
        }
    }
    out
}
