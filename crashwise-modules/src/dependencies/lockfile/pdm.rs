//! `pdm.lock`.

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::namesakes::Namesakes;
use super::python_manifest::{self, fold, requirement_name};
use super::tree::Node as Tree;
use super::{Format, content_hash, toml};

pub(super) const FORMAT: Format = Format { name: "pdm.lock", matches: |name| name == "pdm.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = toml::parse(input.text)?;
    if tree.get("package").is_none() && tree.get("metadata").is_none() {
        return Err(Flaw::new(0, "package", "is missing: this is no pdm.lock"));
    }
    let packages = tree.items_of("package");
    let mut graph = Graph::default();
    let mut by_name = Namesakes::default();
    let mut places = Vec::with_capacity(packages.len());
    for package in packages {
        let name = package.required("name")?;
        let at = package.get("name").map_or(package.at.clone(), |name| name.at.clone());
        let version = package.required("version")?;
        // A package with extras stands there a second time.
        let has_version = |index: &&usize| graph.nodes[**index].version.as_deref() == Some(version);
        let same = by_name.get(&fold(name)).iter().find(has_version).copied();
        let mut node = Node::new(Ecosystem::PyPi, name, at).with_version(version);
        node.origin = match (package.text_of("git"), package.text_of("url"), package.text_of("path")) {
            (Some(address), ..) => {
                Origin::Git(format!("{address}#{}", package.text_of("revision").unwrap_or_default()))
            }
            (_, Some(address), _) => Origin::Url(address.to_owned()),
            (.., Some(_)) => Origin::Local,
            _ => Origin::Public,
        };
        let groups: Vec<&str> = package.items_of("groups").iter().filter_map(Tree::text).collect();
        node.scope = match groups.as_slice() {
            [] => None,
            groups if groups.contains(&"default") => Some(Scope::Prod),
            [group, ..] if group.contains("test") => Some(Scope::Test),
            _ => Some(Scope::Dev),
        };
        let index = if let Some(index) = same {
            let known = &mut graph.nodes[index].scope;
            *known = known.zip(node.scope).map(|(a, b)| a.min(b)).or(*known);
            index
        } else {
            let index = graph.add(node);
            by_name.add(&mut graph, fold(name), index);
            index
        };
        places.push(index);
    }
    for (index, package) in places.into_iter().zip(packages) {
        for need in package.items_of("dependencies").iter().filter_map(Tree::text) {
            let found = by_name.get(&fold(requirement_name(need)));
            graph.nodes[index].needs.extend(found.iter().filter(|need| **need != index));
        }
    }
    if let Some(digest) = tree.path(&["metadata", "content_hash"])
        && let Some((_, text)) = input.beside("pyproject.toml")
        && let Ok(manifest) = toml::parse(text)
        && !content_hash::fits_pdm(&manifest, digest.text().unwrap_or_default())
    {
        let message = "was made for another pyproject.toml: its digest differs";
        graph.mismatch((input.path.clone(), digest.at.clone()), message);
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
    fn groups() {
        let lock = "[metadata]\ngroups = [\"default\", \"dev\"]\n\n[[package]]\nname = \"a\"\nversion = \"1.0\"\ngroups = [\"default\"]\ndependencies = [\"B_x>=1; python_version > '3'\"]\n\n[[package]]\nname = \"b-x\"\nversion = \"2.0\"\ngroups = [\"default\", \"dev\"]\n\n[[package]]\nname = \"t\"\nversion = \"3.0\"\ngroups = [\"dev\"]\n";
        check(
            &[
                ("pdm.lock", lock),
                (
                    "pyproject.toml",
                    "[project]\ndependencies = [\"a\"]\n[dependency-groups]\ndev = [\"t>2\"]\n",
                ),
            ],
            &[
                "a 1.0 prod direct pdm.lock:5:8 public asked pyproject.toml:2:17",
                "b-x 2.0 prod via a pdm.lock:11:8 public",
                "t 3.0 dev direct pdm.lock:16:8 public asked pyproject.toml:4:8",
            ],
        );
        check_flaw("pdm.lock", "x = 1\n", "this is no pdm.lock");
    }
}
