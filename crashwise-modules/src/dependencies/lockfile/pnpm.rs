//! `pnpm-lock.yaml` in versions 5.3 to 9.

use std::collections::HashMap;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::tree::Node as Tree;
use super::{Format, node_manifest, yaml};

pub(super) const FORMAT: Format =
    Format { name: "pnpm-lock.yaml", matches: |name| name == "pnpm-lock.yaml", parse };

const TABLES: [(&str, Scope); 3] = [
    ("dependencies", Scope::Prod),
    ("optionalDependencies", Scope::Optional),
    ("devDependencies", Scope::Dev),
];

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = yaml::parse(input.text)?.into_map("a map")?;
    let version = tree.get("lockfileVersion").ok_or_else(|| Flaw::new(0, "lockfileVersion", "is missing"))?;
    let number = version.text().and_then(|text| text.split('.').next()).and_then(|major| major.parse().ok());
    let major: u32 = if let Some(major @ (5 | 6 | 9)) = number {
        major
    } else {
        let message = "is not known, expected 5.x, 6.x or 9.x";
        return Err(Flaw::unsupported(version.at.start, "lockfileVersion", message));
    };
    let mut graph = Graph::default();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let packages = tree.entries_of("packages");
    for entry in packages {
        let Some((name, version)) = split_key(&entry.key, major) else {
            graph.notes.push(Flaw::new(entry.at.start, entry.key.as_ref(), "is no name with a version"));
            continue;
        };
        let resolution = entry.node.get("resolution");
        let text = |key: &str| resolution.and_then(|node| node.text_of(key));
        let mut node =
            Node::new(Ecosystem::Npm, entry.node.text_of("name").unwrap_or(name), entry.at.clone());
        node.version = Some(entry.node.text_of("version").unwrap_or(version).to_owned());
        node.origin = match (text("repo"), text("directory"), text("tarball")) {
            (Some(repo), ..) => Origin::Git(format!("{repo}#{}", text("commit").unwrap_or_default())),
            (_, Some(_), _) => Origin::Local,
            (.., Some(address)) => super::npm::origin(Some(address), version),
            _ if version.starts_with("file:") => Origin::Local,
            _ if version.contains("://") => super::npm::origin(Some(version), ""),
            _ => Origin::Public,
        };
        node.digest = text("integrity").map(str::to_owned);
        node.install_script = entry.node.is_true("requiresBuild");
        node.scope = match entry.node.get("dev") {
            Some(_) if entry.node.is_true("dev") => Some(Scope::Dev),
            Some(_) if entry.node.is_true("optional") => Some(Scope::Optional),
            Some(_) => Some(Scope::Prod),
            None => None,
        };
        if places.insert(&entry.key, graph.add(node)).is_some() {
            graph.twice(entry.at.start, entry.key.as_ref());
        }
    }
    // Version 9 keeps needs apart, under keys that also name the peers.
    let by_snapshot: HashMap<&str, usize> = tree
        .entries_of("snapshots")
        .iter()
        .filter_map(|entry| Some((entry.key.as_ref(), *places.get(without_peers(&entry.key))?)))
        .collect();
    let find = |name: &str, wanted: &str| -> Option<usize> {
        let keys = match major {
            5 => [format!("/{name}/{wanted}"), wanted.to_owned()],
            6 => [format!("/{name}@{wanted}"), wanted.to_owned()],
            _ => [format!("{name}@{wanted}"), wanted.to_owned()],
        };
        keys.iter()
            .find_map(|key| places.get(key.as_str()).or_else(|| by_snapshot.get(key.as_str())).copied())
    };
    let holders: Vec<(usize, &Tree<'_>)> = packages
        .iter()
        .filter_map(|entry| Some((*places.get(entry.key.as_ref())?, &entry.node)))
        .chain(
            tree.entries_of("snapshots")
                .iter()
                .filter_map(|entry| Some((*by_snapshot.get(entry.key.as_ref())?, &entry.node))),
        )
        .collect();
    for (index, holder) in holders {
        for (table, optional) in [("dependencies", false), ("optionalDependencies", true)] {
            for need in holder.entries_of(table) {
                let Some(found) = need.node.text().and_then(|wanted| find(&need.key, wanted)) else {
                    continue;
                };
                let node = &mut graph.nodes[index];
                if optional { &mut node.may_need } else { &mut node.needs }.push(found);
            }
        }
    }
    let importers = tree.entries_of("importers");
    let root = [(".", &tree)];
    let importers = importers.iter().map(|entry| (entry.key.as_ref(), &entry.node)).chain(root);
    for (folder, importer) in importers {
        let manifest = node_manifest::beside(input, folder);
        if let Some(manifest) = manifest.as_deref().filter(|_| tree.get("overrides").is_none()) {
            check_specifiers(&mut graph, manifest, importer);
        }
        let asked = node_manifest::Asked::of(manifest.as_deref());
        for (table, scope) in TABLES {
            for entry in importer.entries_of(table) {
                let wanted = entry.node.text_of("version").or_else(|| entry.node.text()).unwrap_or_default();
                if let Some(need) = find(&entry.key, wanted) {
                    let own = (input.path.clone(), entry.at.start..entry.node.at.end);
                    graph.ask(need, scope, asked.place(&entry.key).or(Some(own)));
                }
            }
        }
    }
    Ok(graph)
}

/// Notes what the manifest asks for otherwise than the lockfile was made for.
fn check_specifiers(graph: &mut Graph, manifest: &[node_manifest::Ask], importer: &Tree<'_>) {
    // A table of its own before version 6, beside the version from then on.
    let specifiers =
        importer.entries_of("specifiers").iter().map(|entry| (entry.key.as_ref(), entry.node.text()));
    let entries = TABLES.iter().flat_map(|(table, _)| importer.entries_of(table));
    let specifiers: HashMap<&str, &str> = entries
        .map(|entry| (entry.key.as_ref(), entry.node.text_of("specifier")))
        .chain(specifiers)
        .filter_map(|(name, wanted)| Some((name, wanted?)))
        .collect();
    if specifiers.is_empty() {
        return;
    }
    for ask in manifest.iter().filter(|ask| !ask.is_peer) {
        match specifiers.get(ask.name.as_str()) {
            Some(known) if *known == ask.wanted => {}
            Some(known) => graph.mismatch(
                ask.at.clone(),
                format!("asks for {} {}, the lockfile was made for {known}", ask.name, ask.wanted),
            ),
            None => graph.mismatch(
                ask.at.clone(),
                format!("asks for {} {}, which the lockfile does not know", ask.name, ask.wanted),
            ),
        }
    }
}

/// The key without the peers that it was resolved with.
fn without_peers(key: &str) -> &str {
    key.find('(').map_or(key, |at| &key[..at])
}

/// Name and version of a key: `/name/1.0.0_peer` in version 5, `/name@1.0.0(peer)` in 6, `name@1.0.0` in 9.
fn split_key(key: &str, major: u32) -> Option<(&str, &str)> {
    let key = without_peers(key);
    if major == 5 {
        let rest = key.strip_prefix('/').or_else(|| key.split_once('/').map(|(_, rest)| rest))?;
        let (name, version) = rest.rsplit_once('/')?;
        // Peers follow the version; a version has no underscore of its own.
        return Some((name, version.split('_').next().unwrap_or(version)));
    }
    // A package of another registry has its host in front in version 6.
    let rest = match key.strip_prefix('/') {
        Some(rest) => rest,
        None if major == 6 && !key.starts_with('@') && !key.contains("://") => match key.split_once('/') {
            Some((host, rest)) if host.contains('.') && !host.contains('@') => rest,
            _ => key,
        },
        None => key,
    };
    let at = rest.get(1..)?.find('@')? + 1;
    Some((&rest[..at], &rest[at + 1..]))
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn version_five() {
        let lock = "lockfileVersion: 5.4\nspecifiers:\n  a: ^1\ndependencies:\n  a: 1.0.0_p@2.0.0\ndevDependencies:\n  '@s/t': 2.0.0\npackages:\n  /@s/t/2.0.0:\n    resolution: {integrity: sha512-x}\n    dev: true\n    dependencies:\n      b: 3.0.0\n  /a/1.0.0_p@2.0.0:\n    dependencies:\n      p: 2.0.0\n    dev: false\n  /b/3.0.0:\n    dev: true\n  /p/2.0.0:\n    dev: false\n";
        check(
            &[("pnpm-lock.yaml", lock)],
            &[
                "@s/t 2.0.0 dev direct pnpm-lock.yaml:9:3 public asked pnpm-lock.yaml:7:3",
                "a 1.0.0 prod direct pnpm-lock.yaml:14:3 public asked pnpm-lock.yaml:5:3",
                "b 3.0.0 dev via @s/t pnpm-lock.yaml:18:3 public",
                "p 2.0.0 prod via a pnpm-lock.yaml:20:3 public",
            ],
        );
    }

    #[test]
    fn version_six_and_nine() {
        let six = "lockfileVersion: '6.0'\nimporters:\n  web:\n    dependencies:\n      a: {specifier: ^1, version: 1.0.0(p@2.0.0)}\npackages:\n  /a@1.0.0(p@2.0.0):\n    dependencies:\n      '@s/p': 2.0.0\n  /@s/p@2.0.0:\n    dev: false\n";
        check(
            &[("pnpm-lock.yaml", six), ("web/package.json", "{\n\"dependencies\": {\"a\": \"^1\"}}")],
            &[
                "a 1.0.0 prod direct pnpm-lock.yaml:7:3 public asked web/package.json:2:18",
                "@s/p 2.0.0 prod via a pnpm-lock.yaml:10:3 public",
            ],
        );
        let nine = "lockfileVersion: '9.0'\nimporters:\n  .:\n    devDependencies:\n      t: {specifier: ^1, version: 1.0.0(p@2.0.0)}\n    dependencies:\n      alias: {specifier: 'npm:real@3', version: real@3.0.0}\npackages:\n  p@2.0.0: {resolution: {integrity: x}}\n  real@3.0.0: {resolution: {integrity: x}}\n  t@1.0.0: {resolution: {integrity: x}}\nsnapshots:\n  p@2.0.0: {}\n  real@3.0.0: {}\n  t@1.0.0(p@2.0.0):\n    dependencies:\n      p: 2.0.0\n";
        check(
            &[("pnpm-lock.yaml", nine)],
            &[
                "p 2.0.0 dev via t pnpm-lock.yaml:9:3 public",
                "real 3.0.0 prod direct pnpm-lock.yaml:10:3 public asked pnpm-lock.yaml:7:7",
                "t 1.0.0 dev direct pnpm-lock.yaml:11:3 public asked pnpm-lock.yaml:5:7",
            ],
        );
        check_flaw(
            "pnpm-lock.yaml",
            "lockfileVersion: '10.0'\n",
            "pnpm-lock.yaml:1:18: unsupported (lockfileVersion: is not known",
        );
        check_flaw("pnpm-lock.yaml", "a: [\n", "malformed");
        check_flaw("pnpm-lock.yaml", "a: &x 1\nb: *x\n", "an anchor is used");
    }
}
