//! `pubspec.lock`, which says itself what is direct and what is for development.

use std::collections::BTreeMap;
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::tree::Node as Tree;
use super::{Format, constraint, yaml};

pub(super) const FORMAT: Format =
    Format { name: "pubspec.lock", matches: |name| name == "pubspec.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = yaml::parse(input.text)?.into_map("a map")?;
    let packages = tree
        .get("packages")
        .ok_or_else(|| Flaw::new(0, "packages", "is missing: this is no pubspec.lock"))?;
    let mut graph = Graph::default();
    let manifest = Manifest::beside(input);
    // What the lockfile holds by name, with its version and whether the project asks for it.
    let mut locked: BTreeMap<&str, (Option<&str>, bool)> = BTreeMap::new();
    for entry in packages.entries() {
        let kind = entry.node.text_of("dependency").unwrap_or_default();
        locked.insert(&entry.key, (entry.node.text_of("version"), kind.starts_with("direct")));
        let description = entry.node.get("description");
        let text = |key: &str| description.and_then(|node| node.text_of(key)).unwrap_or_default();
        let mut node = Node::new(Ecosystem::Pub, entry.key.as_ref(), entry.at.clone());
        node.origin = match entry.node.text_of("source") {
            Some("git") => Origin::Git(format!("{}#{}", text("url"), text("resolved-ref"))),
            Some("path") => Origin::Local,
            // Part of the SDK, which has no version of its own here.
            Some("sdk") => continue,
            _ if matches!(text("url"), "")
                || text("url").contains("://pub.dev")
                || text("url").contains("://pub.dartlang.") =>
            {
                Origin::Public
            }
            _ => Origin::Registry(text("url").to_owned()),
        };
        node.version = Some(entry.node.required("version")?.to_owned());
        node.digest = Some(text("sha256")).filter(|sum| !sum.is_empty()).map(|sum| format!("sha256:{sum}"));
        let asked = manifest.as_ref().and_then(|manifest| manifest.asks.get(entry.key.as_ref()));
        let asked = match (&manifest, asked) {
            (Some(manifest), Some(ask)) => Some((manifest.path.clone(), ask.at.clone())),
            _ => Some((input.path.clone(), entry.at.clone())),
        };
        let scope = match kind {
            "direct dev" => Scope::Dev,
            "direct main" | "direct overridden" => Scope::Prod,
            // The file does not say what needs a transitive package.
            _ => Scope::Unknown,
        };
        node.scope = Some(scope);
        let index = graph.add(node);
        if kind.starts_with("direct") {
            graph.ask(index, scope, asked);
        }
    }
    if let Some(manifest) = &manifest {
        check(input, &mut graph, manifest, &locked, packages);
    }
    Ok(graph)
}

/// What a `pubspec.yaml` asks for.
struct Manifest<'a> {
    path: &'a RelPath,
    asks: BTreeMap<String, Ask>,
    /// Whether other packages are resolved together with this one.
    is_workspace: bool,
}

struct Ask {
    at: Range<usize>,
    /// The versions that would do; none if something else says where the package comes from.
    wanted: Option<String>,
}

impl<'a> Manifest<'a> {
    /// The manifest beside a lockfile; `None` if there is none that can be read.
    fn beside(input: &Input<'a>) -> Option<Self> {
        let (path, text) = input.beside("pubspec.yaml")?;
        let tree = yaml::parse(text).ok()?;
        let mut asks = BTreeMap::new();
        for table in ["dependencies", "dev_dependencies", "dependency_overrides"] {
            for entry in tree.entries_of(table) {
                let elsewhere = ["path", "git", "sdk"].iter().any(|key| entry.node.get(key).is_some());
                let wanted = entry.node.text().or_else(|| entry.node.text_of("version"));
                // An override asks for the same package again, and goes over what was asked for before.
                asks.insert(
                    entry.key.to_string(),
                    Ask {
                        at: entry.at.start..entry.node.at.end.max(entry.at.end),
                        wanted: wanted.filter(|_| !elsewhere).map(str::to_owned),
                    },
                );
            }
        }
        Some(Self { path, asks, is_workspace: tree.get("workspace").is_some() })
    }
}

/// What in a manifest asks for packages of a registry.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    let asks = Manifest::beside(input).map(|manifest| manifest.asks).unwrap_or_default();
    let mut places: Vec<_> =
        asks.into_values().filter(|ask| ask.wanted.is_some()).map(|ask| ask.at).collect();
    places.sort_by_key(|at| at.start);
    places
}

/// Notes where the manifest and the lockfile differ.
fn check(
    input: &Input<'_>,
    graph: &mut Graph,
    manifest: &Manifest<'_>,
    locked: &BTreeMap<&str, (Option<&str>, bool)>,
    packages: &Tree<'_>,
) {
    for (name, ask) in &manifest.asks {
        let at = (manifest.path.clone(), ask.at.clone());
        let Some((version, _)) = locked.get(name.as_str()) else {
            graph.mismatch(at, format!("asks for {name}, which the lockfile does not know"));
            continue;
        };
        if let (Some(wanted), Some(version)) = (ask.wanted.as_deref(), version)
            && constraint::dart(wanted, version) == Some(false)
        {
            graph.mismatch(at, format!("asks for {name} {wanted}, the lockfile has {version}"));
        }
    }
    // A second file may ask for more.
    if manifest.is_workspace || input.beside("pubspec_overrides.yaml").is_some() {
        return;
    }
    for entry in packages.entries() {
        let is_direct = locked.get(entry.key.as_ref()).is_some_and(|(_, direct)| *direct);
        if is_direct && !manifest.asks.contains_key(entry.key.as_ref()) {
            let message =
                format!("{} is locked as asked for, and the manifest does not ask for it", entry.key);
            graph.mismatch((input.path.clone(), entry.at.clone()), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn kinds_and_sources() {
        let lock = "packages:\n  http:\n    dependency: \"direct main\"\n    description:\n      name: http\n      sha256: aa\n      url: \"https://pub.dev\"\n    source: hosted\n    version: \"1.1.0\"\n  lints:\n    dependency: \"direct dev\"\n    description:\n      url: \"https://pub.example\"\n    source: hosted\n    version: \"2.0.0\"\n  flutter:\n    dependency: \"direct main\"\n    description: flutter\n    source: sdk\n    version: \"0.0.0\"\n  path:\n    dependency: transitive\n    description: {}\n    source: hosted\n    version: \"1.8.0\"\nsdks:\n  dart: \">=3.0.0\"\n";
        check(
            &[("pubspec.lock", lock)],
            &[
                "http 1.1.0 prod direct pubspec.lock:2:3 public asked pubspec.lock:2:3",
                "lints 2.0.0 dev direct pubspec.lock:10:3 registry asked pubspec.lock:10:3",
                "path 1.8.0 unknown pubspec.lock:21:3 public",
            ],
        );
        check_flaw("pubspec.lock", "packages:\n  a: {source: hosted}\n", "version: is missing");
    }
}
