//! `pubspec.lock`, which says itself what is direct and what is for development.

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, yaml};

pub(super) const FORMAT: Format =
    Format { name: "pubspec.lock", matches: |name| name == "pubspec.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = yaml::parse(input.text)?.into_map("a map")?;
    let packages = tree
        .get("packages")
        .ok_or_else(|| Flaw::new(0, "packages", "is missing: this is no pubspec.lock"))?;
    let mut graph = Graph::default();
    for entry in packages.entries() {
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
        let asked = Some((input.path.clone(), entry.at.clone()));
        let kind = entry.node.text_of("dependency").unwrap_or_default();
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
    Ok(graph)
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
