//! `poetry.lock`; what is asked for comes from `pyproject.toml`, or from the groups that the lockfile states.

use std::collections::HashMap;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::python_manifest::{self, fold};
use super::tree::Node as Tree;
use super::{Format, toml};

pub(super) const FORMAT: Format =
    Format { name: "poetry.lock", matches: |name| name == "poetry.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = toml::parse(input.text)?;
    if tree.get("package").is_none() && tree.get("metadata").is_none() {
        return Err(Flaw::new(0, "package", "is missing: this is no poetry.lock"));
    }
    let packages = tree.items_of("package");
    let mut graph = Graph::default();
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    for package in packages {
        let name = package.required("name")?;
        let at = package.get("name").map_or(package.at.clone(), |name| name.at.clone());
        let mut node = Node::new(Ecosystem::PyPi, name, at).with_version(package.required("version")?);
        let source = package.get("source");
        let address = source.and_then(|source| source.text_of("url")).unwrap_or_default();
        node.origin = match source.and_then(|source| source.text_of("type")) {
            Some("git") => Origin::Git(address.to_owned()),
            Some("url") => Origin::Url(address.to_owned()),
            Some("directory" | "file") => Origin::Local,
            Some(_) => Origin::Registry(address.to_owned()),
            None => Origin::Public,
        };
        node.scope = stated_scope(package);
        let digest = package.items_of("files").first().and_then(|file| file.text_of("hash"));
        node.digest = digest.map(str::to_owned);
        by_name.entry(fold(name)).or_default().push(graph.add(node));
    }
    for (index, package) in packages.iter().enumerate() {
        for need in package.entries_of("dependencies") {
            let Some(found) = by_name.get(&fold(&need.key)) else { continue };
            let node = &mut graph.nodes[index];
            if need.node.is_true("optional") { &mut node.may_need } else { &mut node.needs }.extend(found);
        }
    }
    for ask in python_manifest::beside(input).unwrap_or_default() {
        for need in by_name.get(&ask.name).into_iter().flatten() {
            graph.ask(*need, ask.scope, Some(ask.at.clone()));
        }
    }
    Ok(graph)
}

/// The scope that older files state as a category and newer ones as groups.
fn stated_scope(package: &Tree<'_>) -> Option<Scope> {
    let groups: Vec<&str> = package.items_of("groups").iter().filter_map(Tree::text).collect();
    match package
        .text_of("category")
        .or_else(|| if groups.contains(&"main") { Some("main") } else { groups.first().copied() })
    {
        None => package.is_true("optional").then_some(Scope::Optional),
        Some("main") if package.is_true("optional") => Some(Scope::Optional),
        Some("main") => Some(Scope::Prod),
        Some("test" | "tests") => Some(Scope::Test),
        Some(_) => Some(Scope::Dev),
    }
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn groups_by_manifest_and_by_lockfile() {
        let lock = "[[package]]\nname = \"Django\"\nversion = \"4.2\"\n\n[package.dependencies]\nsqlparse = \">=0.3\"\n\n[[package]]\nname = \"pytest\"\nversion = \"7.0\"\ngroups = [\"dev\"]\n\n[[package]]\nname = \"sqlparse\"\nversion = \"0.4\"\n\n[metadata]\nlock-version = \"2.1\"\n";
        let manifest = "[tool.poetry.dependencies]\npython = \"^3.8\"\ndjango = \"^4\"\n\n[tool.poetry.group.dev.dependencies]\npytest = \"*\"\n";
        check(
            &[("poetry.lock", lock), ("pyproject.toml", manifest)],
            &[
                "Django 4.2 prod direct poetry.lock:2:8 public asked pyproject.toml:3:1",
                "pytest 7.0 dev direct poetry.lock:9:8 public asked pyproject.toml:6:1",
                "sqlparse 0.4 prod via Django poetry.lock:14:8 public",
            ],
        );
        check(
            &[("poetry.lock", lock)],
            &[
                "Django 4.2 unknown direct poetry.lock:2:8 public",
                "pytest 7.0 dev direct poetry.lock:9:8 public",
                "sqlparse 0.4 unknown via Django poetry.lock:14:8 public",
            ],
        );
        check_flaw("poetry.lock", "[[package]]\nname = 1\n", "version: is missing");
        check_flaw("poetry.lock", "[[package\n", "malformed");
    }
}
