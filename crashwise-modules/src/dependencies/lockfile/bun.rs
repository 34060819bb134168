//! `bun.lock`, the text lockfile of Bun.

use std::collections::HashMap;

use crate::dependencies::inventory::Origin;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, json, node_manifest, npm};

pub(super) const FORMAT: Format = Format { name: "bun.lock", matches: |name| name == "bun.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = json::parse(input.text)?.into_map("a map")?;
    let version = tree.get("lockfileVersion").ok_or_else(|| Flaw::new(0, "lockfileVersion", "is missing"))?;
    // Version 2 is written like 1, and read by Bun with more care.
    if !matches!(version.text(), Some("0" | "1" | "2")) {
        return Err(Flaw::unsupported(version.at.start, "lockfileVersion", "is not known, expected 0 to 2"));
    }
    let mut graph = Graph::default();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for entry in tree.entries_of("packages") {
        let items = entry.node.items();
        let Some(resolved) = items.first().and_then(|item| item.text()) else {
            graph.notes.push(Flaw::new(
                entry.at.start,
                entry.key.as_ref(),
                "does not say what it resolves to",
            ));
            continue;
        };
        let at = resolved.get(1..).and_then(|rest| rest.find('@')).map_or(resolved.len(), |at| at + 1);
        let (name, version) = (&resolved[..at], resolved.get(at + 1..).unwrap_or_default());
        let mut node = Node::new(Ecosystem::Npm, name, entry.at.clone());
        node.is_project = version.starts_with("workspace:");
        node.origin = match version.split(':').next() {
            Some("workspace" | "file" | "link" | "root") => Origin::Local,
            Some("github" | "git" | "git+ssh" | "git+https") => Origin::Git(version.to_owned()),
            Some("http" | "https") => Origin::Url(version.to_owned()),
            _ => match items.get(1).and_then(|item| item.text()) {
                Some("") | None => Origin::Public,
                Some(registry) => npm::origin(Some(registry), ""),
            },
        };
        node.version =
            matches!(node.origin, Origin::Public | Origin::Registry(_)).then(|| version.to_owned());
        node.digest = items
            .last()
            .and_then(|item| item.text())
            .filter(|text| text.starts_with("sha") && text.contains('-'))
            .map(str::to_owned);
        node.install_script = items.iter().any(|item| item.is_true("hasInstallScript"));
        if places.insert(&entry.key, graph.add(node)).is_some() {
            graph.twice(entry.at.start, entry.key.as_ref());
        }
    }
    // A package nested below another has the key of that one in front of its own.
    let find = |from: &str, name: &str| -> Option<usize> {
        let mut above = from;
        while !above.is_empty() {
            if let Some(found) = places.get(format!("{above}/{name}").as_str()) {
                return Some(*found);
            }
            above = above.rsplit_once('/').map_or("", |(above, _)| above);
        }
        places.get(name).copied()
    };
    for entry in tree.entries_of("packages") {
        let Some(index) = places.get(entry.key.as_ref()).copied() else { continue };
        let details = entry.node.items().iter().find(|item| !item.entries().is_empty());
        let Some(details) = details.filter(|_| !graph.nodes[index].is_project) else { continue };
        for (table, optional) in
            [("dependencies", false), ("peerDependencies", false), ("optionalDependencies", true)]
        {
            for need in details.entries_of(table) {
                let optional = optional
                    || table == "peerDependencies"
                        && details
                            .items_of("optionalPeers")
                            .iter()
                            .any(|peer| peer.text() == Some(need.key.as_ref()));
                let Some(need) = find(&entry.key, &need.key) else { continue };
                let node = &mut graph.nodes[index];
                if optional { &mut node.may_need } else { &mut node.needs }.push(need);
            }
        }
    }
    for workspace in tree.entries_of("workspaces") {
        let manifest = node_manifest::beside(input, &workspace.key);
        let locked = node_manifest::asks(&workspace.node, input.path);
        if let Some(manifest) = &manifest {
            let at = (input.path.clone(), workspace.at.clone());
            node_manifest::compare(&mut graph, manifest, &locked, &at);
        }
        let asked = node_manifest::Asked::of(manifest.as_deref());
        for ask in locked {
            let own = workspace.node.text_of("name").unwrap_or_default();
            let Some(need) = find(own, &ask.name) else { continue };
            if !graph.nodes[need].is_project {
                graph.ask(need, ask.scope, asked.place(&ask.name).or(Some(ask.at)));
            }
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use crashwise_core::RelPath;

    use crate::dependencies::inventory_of_texts;
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn workspaces_nesting_and_trailing_commas() {
        let lock = r#"{
  "lockfileVersion": 1,
  "workspaces": {
    "": { "name": "app", "dependencies": { "a": "^1", }, "devDependencies": { "t": "2", }, },
  },
  "packages": {
    "a": ["a@1.0.0", "", { "dependencies": { "b": "^1" } }, "sha512-x=="],
    "b": ["b@2.0.0", "", { "hasInstallScript": true }, "sha512-y=="],
    "a/b": ["b@1.0.0", "", {}, "sha512-z=="],
    "t": ["t@github:o/t#abc", { "dependencies": { "b": "^2" } }, "o-t-abc"],
  }
}"#;
        check(
            &[("bun.lock", lock)],
            &[
                "a 1.0.0 prod direct bun.lock:7:5 public asked bun.lock:4:44",
                "b 2.0.0 dev via t bun.lock:8:5 public",
                "b 1.0.0 prod via a bun.lock:9:5 public",
                "t - dev direct bun.lock:10:5 git asked bun.lock:4:79",
            ],
        );
        let newest = lock.replace("\"lockfileVersion\": 1", "\"lockfileVersion\": 2, \"configVersion\": 1");
        check(
            &[("bun.lock", &newest), ("package.json", "{\"dependencies\": {\"a\": \"^1\"}}")],
            &[
                "a 1.0.0 prod direct bun.lock:7:5 public asked package.json:1:19",
                "b 2.0.0 dev via t bun.lock:8:5 public",
                "b 1.0.0 prod via a bun.lock:9:5 public",
                "t - dev direct bun.lock:10:5 git asked bun.lock:4:79",
            ],
        );
        let (inventory, _) = inventory_of_texts([(RelPath::new("bun.lock").unwrap(), lock.to_owned())]);
        let scripts: Vec<_> = inventory.packages.iter().filter(|package| package.install_script).collect();
        assert_eq!(
            scripts.iter().map(|package| package.version.as_deref()).collect::<Vec<_>>(),
            [Some("2.0.0")]
        );
        check_flaw(
            "bun.lock",
            &lock.replace("\"a/b\"", "\"b\""),
            "bun.lock:9:5: malformed (b: is in the file twice)",
        );
        check_flaw("bun.lock", "{\"lockfileVersion\": 7}", "unsupported");
        check_flaw("bun.lock", "{\"lockfileVersion\": 1, ", "the file ends too early");
    }
}
