//! `poetry.lock`; what is asked for comes from `pyproject.toml`, or from the groups that the lockfile states.

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::namesakes::Namesakes;
use super::python_manifest::{self, fold, requirement_name};
use super::tree::Node as Tree;
use super::{Format, content_hash, toml};

pub(super) const FORMAT: Format =
    Format { name: "poetry.lock", matches: |name| name == "poetry.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = toml::parse(input.text)?;
    if tree.get("package").is_none() && tree.get("metadata").is_none() {
        return Err(Flaw::new(0, "package", "is missing: this is no poetry.lock"));
    }
    let packages = tree.items_of("package");
    let mut graph = Graph::default();
    let mut by_name = Namesakes::default();
    for package in packages {
        let name = package.required("name")?;
        let at = package.get("name").map_or(package.at.clone(), |name| name.at.clone());
        let mut node = Node::new(Ecosystem::PyPi, name, at).with_version(package.required("version")?);
        let source = package.get("source");
        let address = source.and_then(|source| source.text_of("url")).unwrap_or_default();
        node.origin = match source.and_then(|source| source.text_of("type")) {
            Some("git") => {
                let revision = source.and_then(|source| source.text_of("resolved_reference"));
                Origin::Git(format!("{address}#{}", revision.unwrap_or_default()))
            }
            Some("url") => Origin::Url(address.to_owned()),
            Some("directory" | "file") => Origin::Local,
            Some(_) => Origin::Registry(address.to_owned()),
            None => Origin::Public,
        };
        node.scope = stated_scope(package);
        let digest = package.items_of("files").first().and_then(|file| file.text_of("hash"));
        node.digest = digest.map(str::to_owned);
        let index = graph.add(node);
        by_name.add(&mut graph, fold(name), index);
    }
    for (index, package) in packages.iter().enumerate() {
        for need in package.entries_of("dependencies") {
            let found = by_name.get(&fold(&need.key));
            let node = &mut graph.nodes[index];
            if need.node.is_true("optional") { &mut node.may_need } else { &mut node.needs }.extend(found);
            let extras: Vec<usize> =
                found.iter().flat_map(|found| extras(packages, *found, &need.node, &by_name)).collect();
            graph.nodes[index].needs.extend(extras);
        }
    }
    if let Some(digest) = tree.path(&["metadata", "content-hash"])
        && let Some((_, text)) = input.beside("pyproject.toml")
        && let Ok(manifest) = toml::parse(text)
        && !content_hash::fits_poetry(&manifest, digest.text().unwrap_or_default())
    {
        let message = "was made for another pyproject.toml: its digest differs";
        graph.mismatch((input.path.clone(), digest.at.clone()), message);
    }
    for ask in python_manifest::beside(input).unwrap_or_default() {
        for need in by_name.get(&ask.name) {
            graph.ask(*need, ask.scope, Some(ask.at.clone()));
            for extra in &ask.extras {
                for also in extra_of(packages, *need, extra, &by_name) {
                    graph.also(also, ask.scope, *need);
                }
            }
        }
    }
    Ok(graph)
}

/// The packages that the extras of a need add to the package it names.
fn extras(packages: &[Tree<'_>], package: usize, need: &Tree<'_>, by_name: &Namesakes) -> Vec<usize> {
    // A need for several platforms is a list of tables.
    let tables = if need.items().is_empty() { std::slice::from_ref(need) } else { need.items() };
    let names = tables.iter().flat_map(|table| table.items_of("extras")).filter_map(Tree::text);
    names.flat_map(|extra| extra_of(packages, package, extra, by_name)).collect()
}

fn extra_of(packages: &[Tree<'_>], package: usize, extra: &str, by_name: &Namesakes) -> Vec<usize> {
    let groups = packages.get(package).map_or(&[][..], |package| package.entries_of("extras"));
    let group = groups.iter().find(|group| fold(&group.key) == fold(extra));
    let names = group.map_or(&[][..], |group| group.node.items()).iter().filter_map(Tree::text);
    names.flat_map(|text| by_name.get(&fold(requirement_name(text)))).copied().collect()
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
