//! `package-lock.json` in versions 1 to 3, and `npm-shrinkwrap.json`.

use std::collections::HashMap;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::tree::Node as Tree;
use super::{Format, json, node_manifest};

pub(super) const FORMAT: Format = Format {
    name: "package-lock.json",
    matches: |name| matches!(name, "package-lock.json" | "npm-shrinkwrap.json"),
    parse,
};

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = json::parse(input.text)?.into_map("a map")?;
    if let Some(version) = tree.get("lockfileVersion")
        && !matches!(version.text(), Some("1" | "2" | "3"))
    {
        return Err(Flaw::unsupported(
            version.at.start,
            "lockfileVersion",
            "is not known, expected 1, 2 or 3",
        ));
    }
    match tree.get("packages") {
        Some(packages) => Ok(by_folder(input, packages)),
        None if tree.get("lockfileVersion").is_some() || tree.get("dependencies").is_some() => {
            Ok(nested(input, &tree))
        }
        None => Err(Flaw::new(tree.at.start, "packages", "is missing: this is no lockfile")),
    }
}

/// Where npm fetches a package from. A lockfile made behind a mirror names the mirror for public packages too, so
/// other hosts are kept as registries and still looked up.
pub(super) fn origin(resolved: Option<&str>, version: &str) -> Origin {
    let address = resolved.unwrap_or(version);
    if address.starts_with("git") || address.contains(".git#") {
        return Origin::Git(address.to_owned());
    }
    if address.starts_with("file:") || address.starts_with("link:") {
        return Origin::Local;
    }
    let Some(rest) = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")) else {
        return Origin::Public;
    };
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let is_of =
        |domain: &str| host.strip_suffix(domain).is_some_and(|name| name.is_empty() || name.ends_with('.'));
    if is_of("npmjs.org") || is_of("yarnpkg.com") {
        Origin::Public
    } else if rest.contains("/-/") {
        Origin::Registry(host.to_owned())
    } else {
        Origin::Url(address.to_owned())
    }
}

/// The scope that the flags of an entry state.
fn flagged(entry: &Tree<'_>) -> Scope {
    if entry.is_true("dev") {
        Scope::Dev
    } else if entry.is_true("optional") || entry.is_true("devOptional") {
        Scope::Optional
    } else {
        Scope::Prod
    }
}

fn license(entry: &Tree<'_>) -> Option<String> {
    let license = entry.get("license")?;
    license.text().or_else(|| license.text_of("type")).map(str::to_owned)
}

/// Versions 2 and 3: one flat map by folder.
fn by_folder(input: &Input<'_>, packages: &Tree<'_>) -> Graph {
    let mut graph = Graph::default();
    let mut folders: HashMap<&str, usize> = HashMap::new();
    let mut links: HashMap<&str, &str> = HashMap::new();
    for entry in packages.entries() {
        let installed = entry.key.rsplit_once("node_modules/").map(|(_, name)| name);
        if entry.node.is_true("link") {
            links.insert(&entry.key, entry.node.text_of("resolved").unwrap_or_default());
            continue;
        }
        let name = entry.node.text_of("name").or(installed).unwrap_or(&entry.key);
        let version = entry.node.text_of("version");
        let mut node = Node::new(Ecosystem::Npm, name, entry.at.clone());
        node.is_project = installed.is_none();
        node.version = version.map(str::to_owned);
        node.origin = if installed.is_none() {
            Origin::Local
        } else {
            origin(entry.node.text_of("resolved"), version.unwrap_or_default())
        };
        node.scope = Some(flagged(&entry.node));
        node.license = license(&entry.node);
        node.install_script = entry.node.is_true("hasInstallScript");
        node.digest = entry.node.text_of("integrity").map(str::to_owned);
        folders.insert(&entry.key, graph.add(node));
    }
    let find = |from: &str, name: &str| -> Option<usize> {
        let mut folder = from;
        loop {
            let key = if folder.is_empty() {
                format!("node_modules/{name}")
            } else {
                format!("{folder}/node_modules/{name}")
            };
            if let Some(found) = folders.get(key.as_str()) {
                return Some(*found);
            }
            if let Some(target) = links.get(key.as_str()) {
                return folders.get(target).copied();
            }
            if folder.is_empty() {
                return None;
            }
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
    };
    for entry in packages.entries() {
        let Some(index) = folders.get(entry.key.as_ref()).copied() else { continue };
        if graph.nodes[index].is_project {
            let manifest = node_manifest::beside(input, &entry.key);
            let locked = node_manifest::asks(&entry.node, input.path);
            if let Some(manifest) = &manifest {
                node_manifest::compare(
                    &mut graph,
                    manifest,
                    &locked,
                    &(input.path.clone(), entry.at.clone()),
                );
            }
            for ask in locked {
                let Some(need) = find(&entry.key, &ask.name) else { continue };
                let place = node_manifest::place(manifest.as_deref(), &ask.name);
                if !graph.nodes[need].is_project {
                    graph.ask(need, ask.scope, place.or(Some(ask.at)));
                }
            }
            continue;
        }
        for table in ["dependencies", "peerDependencies", "optionalDependencies"] {
            for need in entry.node.entries_of(table) {
                let optional = table == "optionalDependencies"
                    || table == "peerDependencies" && is_optional_peer(&entry.node, &need.key);
                let Some(need) = find(&entry.key, &need.key) else { continue };
                let node = &mut graph.nodes[index];
                if optional { &mut node.may_need } else { &mut node.needs }.push(need);
            }
        }
    }
    graph
}

/// Whether an entry can do without a peer.
fn is_optional_peer(entry: &Tree<'_>, name: &str) -> bool {
    entry.path(&["peerDependenciesMeta", name]).is_some_and(|meta| meta.is_true("optional"))
}

/// Version 1: packages nested in the packages they were installed below.
fn nested(input: &Input<'_>, tree: &Tree<'_>) -> Graph {
    let mut graph = Graph::default();
    // By the chain of names from the root, which is how npm looks them up.
    let mut found: HashMap<String, usize> = HashMap::new();
    let mut open: Vec<(String, &Tree<'_>)> = vec![(String::new(), tree)];
    let mut entries: Vec<(String, usize, &Tree<'_>)> = Vec::new();
    while let Some((prefix, holder)) = open.pop() {
        for entry in holder.entries_of("dependencies") {
            let written = entry.node.text_of("version").unwrap_or_default();
            let (name, version) = match written.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@'))
            {
                Some((name, version)) => (name, version),
                None => (entry.key.as_ref(), written),
            };
            let mut node = Node::new(Ecosystem::Npm, name, entry.at.clone());
            node.origin = origin(entry.node.text_of("resolved"), written);
            node.version =
                matches!(node.origin, Origin::Public | Origin::Registry(_)).then(|| version.to_owned());
            // A folder of the project, such as a member of its workspace.
            node.is_project = node.origin == Origin::Local;
            node.scope = Some(flagged(&entry.node));
            node.digest = entry.node.text_of("integrity").map(str::to_owned);
            let key = format!("{prefix}/{}", entry.key);
            let index = graph.add(node);
            found.insert(key.clone(), index);
            entries.push((key.clone(), index, &entry.node));
            open.push((key, &entry.node));
        }
    }
    let find = |from: &str, name: &str| -> Option<usize> {
        let mut at = from;
        loop {
            if let Some(index) = found.get(&format!("{at}/{name}")) {
                return Some(*index);
            }
            at = parent_of(at)?;
        }
    };
    for (key, index, entry) in entries {
        let needs = entry.entries_of("requires").iter().filter_map(|need| find(&key, &need.key));
        graph.nodes[index].needs = needs.collect();
    }
    for ask in node_manifest::beside(input, ".").unwrap_or_default() {
        if let Some(need) = find("", &ask.name) {
            graph.ask(need, ask.scope, Some(ask.at));
        }
    }
    graph
}

/// The chain above; scoped names hold a slash themselves, so both ends are tried.
fn parent_of(chain: &str) -> Option<&str> {
    chain.rsplit_once('/').map(|(above, _)| above)
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn version_three_with_workspaces_aliases_and_nesting() {
        let lock = r#"{
  "name": "app", "lockfileVersion": 3,
  "packages": {
    "": {"name": "app", "dependencies": {"a": "^1"}, "devDependencies": {"t": "^1"}, "optionalDependencies": {"o": "1"}},
    "node_modules/a": {"version": "1.0.0", "resolved": "https://registry.example/a/-/a-1.0.0.tgz", "license": "MIT", "dependencies": {"b": "^2"}},
    "node_modules/a/node_modules/b": {"version": "2.0.0"},
    "node_modules/b": {"version": "1.0.0", "dev": true},
    "node_modules/t": {"version": "1.0.0", "dev": true, "hasInstallScript": true, "dependencies": {"b": "^1"}},
    "node_modules/o": {"name": "real", "version": "3.0.0", "optional": true},
    "node_modules/ws": {"resolved": "packages/ws", "link": true},
    "packages/ws": {"name": "ws", "version": "0.0.1", "dependencies": {"g": "x"}},
    "node_modules/g": {"version": "4.0.0", "resolved": "git+ssh://git@git.example/g.git#abc"}
  }
}"#;
        check(
            &[("web/package-lock.json", lock)],
            &[
                "a 1.0.0 prod direct web/package-lock.json:5:5 registry asked web/package-lock.json:4:42",
                "b 2.0.0 prod via a web/package-lock.json:6:5 public",
                "b 1.0.0 dev via t web/package-lock.json:7:5 public",
                "t 1.0.0 dev direct web/package-lock.json:8:5 public asked web/package-lock.json:4:74",
                "real 3.0.0 optional direct web/package-lock.json:9:5 public asked web/package-lock.json:4:111",
                "g 4.0.0 prod direct web/package-lock.json:12:5 git asked web/package-lock.json:11:72",
            ],
        );
    }

    #[test]
    fn version_one_with_a_manifest() {
        let lock = r#"{"lockfileVersion": 1, "dependencies": {
"a": {"version": "1.0.0", "requires": {"b": "1"}, "dependencies": {"b": {"version": "1.5.0"}}},
"b": {"version": "2.0.0", "dev": true},
"c": {"version": "npm:real@3.1.0"}
}}"#;
        let manifest = "{\"dependencies\": {\"a\": \"1\"},\n\"devDependencies\": {\"b\": \"2\"}}";
        check(
            &[("npm-shrinkwrap.json", lock), ("package.json", manifest)],
            &[
                "a 1.0.0 prod direct npm-shrinkwrap.json:2:1 public asked package.json:1:19",
                "b 2.0.0 dev direct npm-shrinkwrap.json:3:1 public asked package.json:2:21",
                "real 3.1.0 prod npm-shrinkwrap.json:4:1 public",
                "b 1.5.0 prod via a npm-shrinkwrap.json:2:68 public",
            ],
        );
    }

    #[test]
    fn flaws_are_named() {
        check_flaw(
            "package-lock.json",
            "{\"lockfileVersion\": 9}",
            "package-lock.json:1:21: unsupported (lockfileVersion: is not known, expected 1, 2 or 3)",
        );
        check_flaw(
            "package-lock.json",
            "{\"packages\": {\"a\": {",
            "package-lock.json:1:21: malformed (the file ends too early)",
        );
        check_flaw("package-lock.json", "{}", "packages: is missing");
        check_flaw("package-lock.json", "[1]", "expected a map");
        check_flaw("package-lock.json", &"[".repeat(500), "is nested too deeply");
    }
}
