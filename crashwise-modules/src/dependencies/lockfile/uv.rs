//! `uv.lock`.

use std::collections::HashMap;
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::namesakes::Namesakes;
use super::python_manifest::{self, fold};
use super::tree::Node as Tree;
use super::{Format, toml, uv_metadata};

pub(super) const FORMAT: Format = Format { name: "uv.lock", matches: |name| name == "uv.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = toml::parse(input.text)?;
    let version =
        tree.get("version").ok_or_else(|| Flaw::new(0, "version", "is missing: this is no uv.lock"))?;
    if version.text() != Some("1") {
        return Err(Flaw::unsupported(version.at.start, "version", "is not known, expected 1"));
    }
    let packages = tree.items_of("package");
    let mut graph = Graph::default();
    let mut by_name = Namesakes::default();
    for package in packages {
        let name = package.required("name")?;
        let at = package.get("name").map_or(package.at.clone(), |name| name.at.clone());
        let mut node = Node::new(Ecosystem::PyPi, name, at);
        node.version = package.text_of("version").map(str::to_owned);
        let source = package.get("source");
        let kind = source.and_then(|source| source.entries().first());
        let address = kind.and_then(|kind| kind.node.text()).unwrap_or_default();
        node.origin = match kind.map(|kind| kind.key.as_ref()) {
            Some("registry") if address.contains("://pypi.") => Origin::Public,
            Some("registry") => Origin::Registry(address.to_owned()),
            Some("git") => Origin::Git(address.to_owned()),
            Some("url") => Origin::Url(address.to_owned()),
            Some(_) => Origin::Local,
            None => Origin::Public,
        };
        node.is_project = kind.is_some_and(|kind| matches!(kind.key.as_ref(), "editable" | "virtual"));
        let digest = package.get("sdist").and_then(|file| file.text_of("hash"));
        node.digest = digest.map(str::to_owned);
        let index = graph.add(node);
        by_name.add(&mut graph, name.to_owned(), index);
    }
    let find = |need: &Tree<'_>| -> Option<usize> {
        let candidates = by_name.get(need.text_of("name")?);
        let version = need.text_of("version");
        let fits = |index: &&usize| version.is_none() || packages[**index].text_of("version") == version;
        candidates.iter().find(fits).copied()
    };
    let manifest = python_manifest::beside(input).unwrap_or_default();
    let mut places: HashMap<&str, &(RelPath, Range<usize>)> = HashMap::new();
    for ask in &manifest {
        places.entry(&ask.name).or_insert(&ask.at);
    }
    for (index, package) in packages.iter().enumerate() {
        if graph.nodes[index].is_project {
            uv_metadata::check(input, &mut graph, package);
        }
        let mut asked = Vec::new();
        for need in package.items_of("dependencies") {
            asked.push((Scope::Prod, need));
        }
        for group in package.entries_of("optional-dependencies") {
            asked.extend(group.node.items().iter().map(|need| (Scope::Optional, need)));
        }
        for group in package.entries_of("dev-dependencies") {
            asked.extend(group.node.items().iter().map(|need| (Scope::Dev, need)));
        }
        for (scope, need) in asked {
            let Some(found) = find(need) else { continue };
            if graph.nodes[index].is_project {
                let name = fold(need.text_of("name").unwrap_or_default());
                let place = places.get(name.as_str()).map(|place| (*place).clone());
                let place = place.or(Some((input.path.clone(), need.at.clone())));
                for extra in extras(packages, found, need).filter_map(&find) {
                    if graph.nodes[found].is_project {
                        graph.ask(extra, scope, place.clone());
                    } else {
                        graph.also(extra, scope, found);
                    }
                }
                if !graph.nodes[found].is_project {
                    graph.ask(found, scope, place);
                }
            } else if scope == Scope::Prod {
                graph.nodes[index].needs.push(found);
                graph.nodes[index].needs.extend(extras(packages, found, need).filter_map(&find));
            } else {
                // Extras that somebody asked for; which ones is not worth a wrong answer.
                graph.nodes[index].may_need.push(found);
            }
        }
    }
    Ok(graph)
}

/// What the extras that a need names add to the package they belong to.
fn extras<'t, 'a>(
    packages: &'t [Tree<'a>],
    package: usize,
    need: &'t Tree<'a>,
) -> impl Iterator<Item = &'t Tree<'a>> {
    let groups = packages.get(package).map_or(&[][..], |package| package.entries_of("optional-dependencies"));
    let named = need.items_of("extra").iter().filter_map(Tree::text);
    named.flat_map(move |name| {
        groups.iter().filter(move |group| group.key == name).flat_map(|group| group.node.items())
    })
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn groups_forks_and_sources() {
        let lock = "version = 1\n\n[[package]]\nname = \"app\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\ndependencies = [\n  { name = \"a\", version = \"2.0\" },\n]\n\n[package.dev-dependencies]\ndev = [{ name = \"t\" }]\n\n[[package]]\nname = \"a\"\nversion = \"1.0\"\nsource = { registry = \"https://mirror.example/simple\" }\n\n[[package]]\nname = \"a\"\nversion = \"2.0\"\nsource = { git = \"https://git.example/a?rev=1#abc\" }\ndependencies = [{ name = \"b\" }]\n\n[[package]]\nname = \"b\"\nversion = \"3.0\"\n\n[[package]]\nname = \"t\"\nversion = \"4.0\"\ndependencies = [{ name = \"b\" }]\n";
        check(
            &[("uv.lock", lock)],
            &[
                "a 1.0 unknown uv.lock:15:8 registry",
                "a 2.0 prod direct uv.lock:20:8 git asked uv.lock:8:3",
                "b 3.0 prod via a uv.lock:26:8 public",
                "t 4.0 dev direct uv.lock:30:8 public asked uv.lock:12:8",
            ],
        );
        check_flaw(
            "uv.lock",
            "version = 2\n",
            "uv.lock:1:11: unsupported (version: is not known, expected 1)",
        );
    }
}
