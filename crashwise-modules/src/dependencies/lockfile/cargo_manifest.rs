//! The `Cargo.toml` files of a workspace: what each member asks for, and for what.

use std::collections::{BTreeMap, HashMap};

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
        let asked = manifest.map(|(_, tree)| asked(tree, &renamed));
        if let (Some((path, _)), Some(asked)) = (manifest, &asked) {
            let is_root = path.parent() == input.path.parent();
            check(input, graph, (path, is_root), member, needs, asked, &inherited);
        }
        for need in needs {
            let name = graph.nodes[*need].name.as_str();
            let found: Vec<_> = asked.iter().flatten().filter(|(known, ..)| known == name).collect();
            if graph.nodes[*need].is_project {
                continue;
            }
            match (manifest, found.is_empty()) {
                (Some((path, _)), false) => {
                    for (_, scope, entry) in found {
                        graph.ask(*need, *scope, Some(((*path).clone(), entry.at.start..entry.node.at.end)));
                    }
                }
                _ => graph.ask(*need, Scope::Unknown, None),
            }
        }
    }
}

/// Notes where a member's manifest and its entry in the lockfile differ.
fn check(
    input: &Input<'_>,
    graph: &mut Graph,
    (path, is_root): (&RelPath, bool),
    member: &str,
    needs: &[usize],
    asked: &[(String, Scope, &Entry<'_>)],
    inherited: &HashMap<String, String>,
) {
    for (name, scope, entry) in asked {
        // The tests of a package outside the workspace are not locked.
        if scope.is_dev() && !is_root {
            continue;
        }
        let locked: Vec<&str> = needs
            .iter()
            .filter(|need| graph.nodes[**need].name == *name)
            .filter_map(|need| graph.nodes[*need].version.as_deref())
            .collect();
        let at = ((*path).clone(), entry.at.start..entry.node.at.end);
        if locked.is_empty() {
            graph.mismatch(at, format!("{member} asks for {name}, which the lockfile does not know"));
            continue;
        }
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
            graph.mismatch(at, message);
        }
    }
    let mut unasked = Vec::new();
    for need in needs {
        let node = &graph.nodes[*need];
        if !asked.iter().any(|(name, ..)| *name == node.name) {
            unasked.push((
                node.at.clone(),
                format!("{} is locked for {member}, which does not ask for it", node.name),
            ));
        }
    }
    for (at, message) in unasked {
        graph.mismatch((input.path.clone(), at), message);
    }
}

/// The real name, scope and entry of everything that a manifest asks for.
fn asked<'t, 'a>(
    tree: &'t Node<'a>,
    renamed: &HashMap<String, String>,
) -> Vec<(String, Scope, &'t Entry<'a>)> {
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
                out.push((name, if optional { Scope::Optional } else { scope }, entry));
            }
        }
    }
    out
}
