//! `pylock.toml` and `pylock.*.toml`, the standard lockfile of PEP 751.

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::namesakes::Namesakes;
use super::python_manifest::{self, fold};
use super::{Format, toml};

pub(super) const FORMAT: Format = Format {
    name: "pylock.toml",
    matches: |name| {
        name.strip_prefix("pylock.")
            .is_some_and(|rest| rest == "toml" || rest.split_once('.').is_some_and(|(_, end)| end == "toml"))
    },
    parse,
};

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = toml::parse(input.text)?;
    let version = tree.get("lock-version").ok_or_else(|| Flaw::new(0, "lock-version", "is missing"))?;
    if !version.text().unwrap_or_default().starts_with("1.") {
        return Err(Flaw::unsupported(version.at.start, "lock-version", "is not known, expected 1.x"));
    }
    let packages = tree.items_of("packages");
    let mut graph = Graph::default();
    let mut by_name = Namesakes::default();
    for package in packages {
        let name = package.required("name")?;
        let at = package.get("name").map_or(package.at.clone(), |name| name.at.clone());
        let mut node = Node::new(Ecosystem::PyPi, name, at);
        node.version = package.text_of("version").map(str::to_owned);
        let url = |key: &str| package.get(key).and_then(|part| part.text_of("url")).map(str::to_owned);
        node.origin = if package.get("directory").is_some() {
            Origin::Local
        } else if let Some(address) = url("vcs") {
            let commit = package.get("vcs").and_then(|vcs| vcs.text_of("commit-id")).unwrap_or_default();
            Origin::Git(format!("{address}#{commit}"))
        } else if let Some(address) = url("archive") {
            Origin::Url(address)
        } else {
            match package.text_of("index") {
                Some(index) if !index.contains("://pypi.") => Origin::Registry(index.to_owned()),
                _ => Origin::Public,
            }
        };
        // Groups and extras stand in the marker.
        let marker = package.text_of("marker").unwrap_or_default();
        node.scope = if marker.contains("in dependency_groups") {
            Some(Scope::Dev)
        } else if marker.contains("in extras") {
            Some(Scope::Optional)
        } else {
            Some(Scope::Prod)
        };
        let index = graph.add(node);
        by_name.add(&mut graph, fold(name), index);
    }
    for (index, package) in packages.iter().enumerate() {
        for need in package.items_of("dependencies").iter().filter_map(|need| need.text_of("name")) {
            graph.nodes[index].needs.extend(by_name.get(&fold(need)));
        }
    }
    for ask in python_manifest::beside(input).unwrap_or_default() {
        for need in by_name.get(&ask.name) {
            graph.ask(*need, ask.scope, Some(ask.at.clone()));
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn markers_and_sources() {
        let lock = "lock-version = \"1.0\"\n\n[[packages]]\nname = \"a\"\nversion = \"1.0\"\nindex = \"https://mirror.example/simple\"\ndependencies = [{name = \"b\"}]\n\n[[packages]]\nname = \"b\"\nversion = \"2.0\"\n\n[[packages]]\nname = \"t\"\nversion = \"3.0\"\nmarker = \"'dev' in dependency_groups\"\n";
        check(
            &[("pylock.toml", lock)],
            &[
                "a 1.0 prod direct pylock.toml:4:8 registry",
                "b 2.0 prod via a pylock.toml:10:8 public",
                "t 3.0 dev direct pylock.toml:14:8 public",
            ],
        );
        check_flaw("pylock.dev.toml", "lock-version = \"2.0\"\n", "unsupported");
    }
}
