//! `Pipfile.lock`; what is direct comes from `Pipfile`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::python_manifest::fold;
use super::{Format, json, toml};

pub(super) const FORMAT: Format =
    Format { name: "Pipfile.lock", matches: |name| name == "Pipfile.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = json::parse(input.text)?.into_map("a map")?;
    if tree.get("_meta").is_none() {
        return Err(Flaw::new(0, "_meta", "is missing: this is no Pipfile.lock"));
    }
    let manifest = input.beside("Pipfile").and_then(|(path, text)| Some((path, toml::parse(text).ok()?)));
    let mut graph = Graph::default();
    let mut shipped: HashMap<(String, Option<String>), usize> = HashMap::new();
    for (section, table, scope) in
        [("default", "packages", Scope::Prod), ("develop", "dev-packages", Scope::Dev)]
    {
        let asks: Vec<_> = manifest
            .iter()
            .flat_map(|(path, tree)| tree.entries_of(table).iter().map(move |ask| (*path, ask)))
            .map(|(path, ask)| (ask.key.as_ref(), (path.clone(), ask.at.start..ask.node.at.end)))
            .collect();
        let mut asked: HashMap<String, _> = HashMap::new();
        for (name, at) in &asks {
            asked.entry(fold(name)).or_insert(at);
        }
        let mut locked: HashSet<String> = HashSet::new();
        for entry in tree.entries_of(section) {
            let mut node = Node::new(Ecosystem::PyPi, entry.key.as_ref(), entry.at.clone());
            node.scope = Some(scope);
            let version = entry.node.text_of("version").map(|version| version.trim_start_matches('='));
            node.version = version.map(str::to_owned);
            node.origin =
                match (entry.node.text_of("git"), entry.node.text_of("file"), entry.node.text_of("path")) {
                    (Some(address), ..) => {
                        Origin::Git(format!("{address}#{}", entry.node.text_of("ref").unwrap_or_default()))
                    }
                    (_, Some(address), _) => Origin::Url(address.to_owned()),
                    (.., Some(_)) => Origin::Local,
                    _ => Origin::Public,
                };
            node.digest =
                entry.node.items_of("hashes").first().and_then(|hash| hash.text()).map(str::to_owned);
            // What is needed for both is listed twice, and counts as what is shipped.
            let key = (node.name.clone(), node.version.clone());
            let same = shipped.get(&key).copied().filter(|_| scope == Scope::Dev);
            let index = same.unwrap_or_else(|| graph.add(node));
            if scope == Scope::Prod {
                shipped.insert(key, index);
            }
            let name = fold(&entry.key);
            if let Some(at) = asked.get(&name) {
                graph.ask(index, scope, Some((*at).clone()));
            }
            locked.insert(name);
        }
        for (name, at) in asks.iter().filter(|(name, _)| !locked.contains(&fold(name))) {
            graph.mismatch(at.clone(), format!("asks for {name}, which the lockfile does not know"));
        }
    }
    Ok(graph)
}

/// What in a manifest asks for packages outside the project.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    let Ok(tree) = toml::parse(input.text) else { return Vec::new() };
    let asks = ["packages", "dev-packages"].into_iter().flat_map(|table| tree.entries_of(table));
    asks.filter(|ask| ask.node.get("path").is_none()).map(|ask| ask.at.start..ask.node.at.end).collect()
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn sections() {
        let lock = "{\"_meta\": {},\n\"default\": {\"django\": {\"version\": \"==4.2\", \"hashes\": [\"sha256:a\"]},\n\"asgiref\": {\"version\": \"==3.0\"}},\n\"develop\": {\"pytest\": {\"git\": \"https://git.example/p\", \"ref\": \"abc\"}}}";
        check(
            &[("Pipfile.lock", lock), ("Pipfile", "[packages]\nDjango = \"*\"\n")],
            &[
                "django 4.2 prod direct Pipfile.lock:2:13 public asked Pipfile:2:1",
                "asgiref 3.0 prod Pipfile.lock:3:1 public",
                "pytest - dev Pipfile.lock:4:13 git",
            ],
        );
        check_flaw("Pipfile.lock", "{}", "this is no Pipfile.lock");
    }
}
