//! `composer.lock`; what is direct comes from `composer.json`.

use std::collections::HashMap;
use std::ops::Range;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, json};

pub(super) const FORMAT: Format =
    Format { name: "composer.lock", matches: |name| name == "composer.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = json::parse(input.text)?.into_map("a map")?;
    if tree.get("packages").is_none() {
        return Err(Flaw::new(0, "packages", "is missing: this is no composer.lock"));
    }
    let mut graph = Graph::default();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let sections = [("packages", Scope::Prod), ("packages-dev", Scope::Dev)];
    let mut entries = Vec::new();
    for (section, scope) in sections {
        for package in tree.items_of(section) {
            let name = package.required("name")?;
            let at = package.get("name").map_or(package.at.clone(), |name| name.at.clone());
            let mut node =
                Node::new(Ecosystem::Packagist, name, at).with_version(package.required("version")?);
            node.scope = Some(scope);
            let dist = package.get("dist").and_then(|dist| dist.text_of("url")).unwrap_or_default();
            node.origin = match package.path(&["dist", "type"]).and_then(|kind| kind.text()) {
                Some("path") => Origin::Local,
                _ if package.get("notification-url").is_some() => Origin::Public,
                _ => match package.path(&["source", "url"]).and_then(|url| url.text()) {
                    Some(address) => {
                        let commit = package.path(&["source", "reference"]).and_then(|node| node.text());
                        Origin::Git(format!("{address}#{}", commit.unwrap_or_default()))
                    }
                    None => Origin::Url(dist.to_owned()),
                },
            };
            node.license =
                package.items_of("license").first().and_then(|text| text.text()).map(str::to_owned);
            let index = graph.add(node);
            let before = by_name.insert(name.to_ascii_lowercase(), index);
            if before.is_some_and(|before| graph.nodes[before].name.eq_ignore_ascii_case(name)) {
                graph.twice(graph.nodes[index].at.start, name);
            }
            // What replaces or provides another package answers for it.
            for entry in package.entries_of("replace").iter().chain(package.entries_of("provide")) {
                by_name.entry(entry.key.to_ascii_lowercase()).or_insert(index);
            }
            entries.push((index, package));
        }
    }
    for (index, package) in entries {
        let needs = package.entries_of("require").iter();
        let needs = needs.filter_map(|need| by_name.get(&need.key.to_ascii_lowercase()).copied());
        graph.nodes[index].needs = needs.filter(|need| *need != index).collect();
    }
    if let Some((path, text)) = input.beside("composer.json")
        && let Ok(manifest) = json::parse(text)
    {
        for (table, scope) in [("require", Scope::Prod), ("require-dev", Scope::Dev)] {
            for ask in manifest.entries_of(table) {
                let at = (path.clone(), ask.at.start..ask.node.at.end);
                match by_name.get(&ask.key.to_ascii_lowercase()) {
                    Some(need) => graph.ask(*need, scope, Some(at)),
                    // Names of one word are those of PHP and its extensions.
                    None if ask.key.contains('/') => {
                        let message = format!("asks for {}, which the lockfile does not know", ask.key);
                        graph.mismatch(at, message);
                    }
                    None => {}
                }
            }
        }
    }
    Ok(graph)
}

/// What in a manifest asks for packages; names of one word are those of PHP and its extensions.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    let Ok(tree) = json::parse(input.text) else { return Vec::new() };
    let asks = ["require", "require-dev"].into_iter().flat_map(|table| tree.entries_of(table));
    asks.filter(|ask| ask.key.contains('/')).map(|ask| ask.at.start..ask.node.at.end).collect()
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn sections_and_replacements() {
        let lock = r#"{"packages": [
{"name": "V/a", "version": "v1.0.0", "notification-url": "https://repo.example/", "license": ["MIT"], "require": {"php": ">=8", "v/virtual": "*"}},
{"name": "v/b", "version": "2.0.0", "notification-url": "https://repo.example/", "replace": {"v/virtual": "self.version"}}
], "packages-dev": [
{"name": "v/t", "version": "dev-main", "source": {"type": "git", "url": "https://git.example/t.git"}}
]}"#;
        check(
            &[
                ("composer.lock", lock),
                ("composer.json", "{\"require\": {\"v/a\": \"^1\"},\n\"require-dev\": {\"v/t\": \"*\"}}"),
            ],
            &[
                "V/a v1.0.0 prod direct composer.lock:2:10 public asked composer.json:1:14",
                "v/b 2.0.0 prod via V/a composer.lock:3:10 public",
                "v/t dev-main dev direct composer.lock:5:10 git asked composer.json:2:17",
            ],
        );
        check_flaw(
            "composer.lock",
            &lock.replace("v/t", "v/b"),
            "composer.lock:5:10: malformed (v/b: is in the file twice)",
        );
        check_flaw(
            "composer.lock",
            "{\"packages\": [{\"name\": \"a/b\"}]}",
            "composer.lock:1:15: malformed (version: is missing or no text)",
        );
    }
}
