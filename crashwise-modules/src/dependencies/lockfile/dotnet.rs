//! `packages.lock.json` and `packages.config`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, dotnet_project, json, xml};

pub(super) const LOCKFILE: Format = Format {
    name: "packages.lock.json",
    // A folder with several projects has one for each: `packages.Name.lock.json`.
    matches: |name| name.starts_with("packages.") && name.ends_with(".lock.json"),
    parse: parse_lockfile,
};

pub(super) const CONFIG: Format = Format {
    name: "packages.config",
    matches: |name| name.eq_ignore_ascii_case("packages.config"),
    parse: parse_config,
};

fn parse_lockfile(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = json::parse(input.text)?.into_map("a map")?;
    let version = tree.get("version").ok_or_else(|| Flaw::new(0, "version", "is missing"))?;
    if !matches!(version.text(), Some("1" | "2")) {
        return Err(Flaw::unsupported(version.at.start, "version", "is not known, expected 1 or 2"));
    }
    let mut graph = Graph::default();
    let project = dotnet_project::beside(input);
    // What is asked for by its name in lower case, as the lockfile was made for it.
    let mut requested: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
    // The same version for several frameworks is one package.
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    for framework in tree.entries_of("dependencies") {
        let mut here: HashMap<String, usize> = HashMap::new();
        for entry in framework.node.entries() {
            let kind = entry.node.text_of("type").unwrap_or_default();
            let lower = entry.key.to_ascii_lowercase();
            let version = entry.node.text_of("resolved").unwrap_or_default().to_owned();
            let index = *known.entry((lower.clone(), version.clone())).or_insert_with(|| {
                let mut node = Node::new(Ecosystem::NuGet, entry.key.as_ref(), entry.at.clone());
                node.is_project = kind == "Project";
                node.version = Some(version).filter(|version| !version.is_empty());
                node.digest = entry.node.text_of("contentHash").map(str::to_owned);
                graph.add(node)
            });
            if kind == "Direct" {
                let ask = project.as_ref().and_then(|project| project.reference(&lower));
                let (scope, at) = match (&project, ask) {
                    (Some(project), Some(ask)) => (ask.scope, (project.path.clone(), ask.at.clone())),
                    _ => (Scope::Prod, (input.path.clone(), entry.at.clone())),
                };
                graph.ask(index, scope, Some(at));
                requested
                    .entry(lower.clone())
                    .or_default()
                    .push(entry.node.text_of("requested").unwrap_or_default());
                places.entry(lower.clone()).or_insert_with(|| entry.at.clone());
            }
            here.insert(lower, index);
        }
        for entry in framework.node.entries() {
            let Some(index) = here.get(&entry.key.to_ascii_lowercase()).copied() else { continue };
            for need in entry.node.entries_of("dependencies") {
                let Some(need) = here.get(&need.key.to_ascii_lowercase()).copied() else { continue };
                if graph.nodes[index].is_project {
                    if !graph.nodes[need].is_project {
                        graph.ask(need, Scope::Prod, Some((input.path.clone(), entry.at.clone())));
                    }
                } else if need != index && !graph.nodes[index].needs.contains(&need) {
                    graph.nodes[index].needs.push(need);
                }
            }
        }
    }
    if let Some(project) = &project {
        project.check(input, &mut graph, &requested, &places);
    }
    Ok(graph)
}

fn parse_config(input: &Input<'_>) -> Result<Graph, Flaw> {
    let text = input.text.trim_start_matches('\u{feff}');
    let shift = input.text.len() - text.len();
    let document = xml::parse(text)?;
    let root = document.root_element();
    if root.tag_name().name() != "packages" {
        return Err(Flaw::new(root.range().start, "", "expected `packages`"));
    }
    let mut graph = Graph::default();
    for package in xml::children(root, "package") {
        let start = package.range().start + shift;
        let (Some(name), Some(version)) = (package.attribute("id"), package.attribute("version")) else {
            graph.notes.push(Flaw::new(start, "package", "has no id or no version"));
            continue;
        };
        let at = start..package.range().end + shift;
        let mut node =
            Node::new(Ecosystem::NuGet, name, at).with_version(version).with_origin(Origin::Public);
        let is_dev = package.attribute("developmentDependency") == Some("true");
        node.scope = Some(if is_dev { Scope::Dev } else { Scope::Prod });
        graph.add(node);
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn lockfiles() {
        let lock = r#"{"version": 1, "dependencies": {"net8.0": {
"A.B": {"type": "Direct", "requested": "[1.0.0, )", "resolved": "1.0.0", "dependencies": {"C": "2.0.0"}},
"C": {"type": "Transitive", "resolved": "2.0.0"},
"own": {"type": "Project", "dependencies": {"D": "3"}},
"D": {"type": "CentralTransitive", "resolved": "3.0.0"}
}, "net6.0": {"a.b": {"type": "Direct", "resolved": "1.0.0"}}}}"#;
        check(
            &[("packages.lock.json", lock)],
            &[
                "A.B 1.0.0 prod direct packages.lock.json:2:1 public asked packages.lock.json:2:1",
                "C 2.0.0 prod via A.B packages.lock.json:3:1 public",
                "D 3.0.0 prod direct packages.lock.json:5:1 public asked packages.lock.json:4:1",
            ],
        );
        check_flaw("packages.lock.json", "{\"version\": 5}", "unsupported");
    }

    #[test]
    fn projects_and_configs() {
        let project = "<Project>\n<ItemGroup>\n<PackageReference Include=\"A\" Version=\"[1.2.0, 2.0)\" />\n<PackageReference Include=\"B\"><Version>3.0</Version><PrivateAssets>all</PrivateAssets></PackageReference>\n<PackageReference Include=\"C\" />\n<PackageReference Include=\"D\" Version=\"1.*\" />\n</ItemGroup>\n</Project>";
        let central =
            "<Project><ItemGroup><PackageVersion Include=\"c\" Version=\"4.0\" /></ItemGroup></Project>";
        check(
            &[("src/app/app.csproj", project), ("Directory.Packages.props", central)],
            &[
                "A 1.2.0 prod direct src/app/app.csproj:3:1 public asked src/app/app.csproj:3:1",
                "B 3.0 dev direct src/app/app.csproj:4:1 public asked src/app/app.csproj:4:1",
                "C 4.0 prod direct src/app/app.csproj:5:1 public asked src/app/app.csproj:5:1",
                "D - prod direct src/app/app.csproj:6:1 public asked src/app/app.csproj:6:1",
            ],
        );
        check(
            &[(
                "packages.config",
                "<packages>\n<package id=\"A\" version=\"1.0\" />\n<package id=\"T\" version=\"2.0\" developmentDependency=\"true\" />\n</packages>",
            )],
            &["A 1.0 prod direct packages.config:2:1 public", "T 2.0 dev direct packages.config:3:1 public"],
        );
        check_flaw("packages.config", "<x/>", "expected `packages`");
    }
}
