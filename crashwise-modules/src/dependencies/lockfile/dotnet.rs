//! `packages.lock.json`, project files with `PackageReference`, and `packages.config`.

use std::collections::{BTreeMap, HashMap};

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, json, xml};

/// How many properties one version is made of at most.
const MAX_EXPANSIONS: usize = 32;

pub(super) const LOCKFILE: Format = Format {
    name: "packages.lock.json",
    matches: |name| name == "packages.lock.json",
    parse: parse_lockfile,
};

pub(super) const PROJECT: Format = Format {
    name: "project file",
    matches: |name| {
        [".csproj", ".fsproj", ".vbproj"].iter().any(|end| name.to_ascii_lowercase().ends_with(end))
    },
    parse: parse_project,
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
            here.insert(lower, index);
            if kind == "Direct" {
                graph.ask(index, Scope::Prod, Some((input.path.clone(), entry.at.clone())));
            }
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
    Ok(graph)
}

fn parse_project(input: &Input<'_>) -> Result<Graph, Flaw> {
    let document = xml::parse(input.text.trim_start_matches('\u{feff}'))?;
    let shift = input.text.len() - input.text.trim_start_matches('\u{feff}').len();
    let mut graph = Graph::default();
    if input.beside("packages.lock.json").is_some() {
        // The lockfile says what is restored.
        return Ok(graph);
    }
    let mut properties = properties_of(&document);
    let central = central_versions(input, &mut properties);
    let references = document
        .descendants()
        .filter(|node| node.has_tag_name("PackageReference") || node.tag_name().name() == "PackageReference");
    for reference in references {
        let attribute = |name: &'static str| {
            reference.attribute(name).or_else(|| xml::text_of(reference, name)).map(str::trim)
        };
        let Some(name) = attribute("Include") else { continue };
        let wanted = attribute("VersionOverride").or_else(|| attribute("Version")).map(str::to_owned);
        let wanted = wanted.or_else(|| central.get(&name.to_ascii_lowercase()).cloned());
        let start = reference.range().start + shift;
        let end = input.text[start..].find('>').map_or(start, |length| start + length + 1);
        let mut node = Node::new(Ecosystem::NuGet, name, start..end);
        let wanted = wanted.map(|wanted| expand(&wanted, &properties));
        node.version = wanted.as_deref().and_then(minimum).map(str::to_owned);
        if let (Some(version), Some(tag)) = (node.version.as_deref(), input.text.get(start..end)) {
            let written = format!("ersion=\"{version}\"");
            let offset = tag.find(&written).map(|offset| start + offset + "ersion=\"".len());
            node.pin = offset.map(|offset| offset..offset + version.len());
        }
        let is_dev = attribute("PrivateAssets").is_some_and(|assets| assets.eq_ignore_ascii_case("all"));
        let index = graph.add(node);
        let scope = if is_dev { Scope::Dev } else { Scope::Prod };
        graph.ask(index, scope, Some((input.path.clone(), start..end)));
    }
    Ok(graph)
}

/// The lowest version that a reference allows, which is the one that is restored; `None` if it is not settled.
fn minimum(wanted: &str) -> Option<&str> {
    let text = wanted.trim();
    let text = text.strip_prefix('[').unwrap_or(text).split([',', ']']).next()?.trim();
    (!text.is_empty() && !text.contains(['*', '$', '('])).then_some(text)
}

/// What the groups of properties set, by name in lower case.
fn properties_of(document: &roxmltree::Document<'_>) -> BTreeMap<String, String> {
    let groups = document.descendants().filter(|node| node.tag_name().name() == "PropertyGroup");
    let properties = groups.flat_map(|group| group.children().filter(roxmltree::Node::is_element));
    properties
        .filter_map(|node| {
            Some((node.tag_name().name().to_ascii_lowercase(), node.text()?.trim().to_owned()))
        })
        .collect()
}

/// Replaces `$(Name)` as far as it is known.
fn expand(text: &str, properties: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for _ in 0..MAX_EXPANSIONS {
        let Some(start) = text.find("$(") else { break };
        let Some(length) = text[start..].find(')') else { break };
        let name = text[start + 2..start + length].to_ascii_lowercase();
        let Some(value) = properties.get(&name).filter(|value| value.len() + text.len() <= 4096) else {
            break;
        };
        text.replace_range(start..=start + length, value);
    }
    text
}

/// The versions that the nearest `Directory.Packages.props` above sets; what it and the nearest
/// `Directory.Build.props` set as properties is added to `properties`.
fn central_versions(
    input: &Input<'_>,
    properties: &mut BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let depth = input.path.as_str().matches('/').count();
    let nearest =
        |name: &str| (0..=depth).find_map(|up| input.beside(&format!("{}{name}", "../".repeat(up))));
    if let Some((_, text)) = nearest("Directory.Build.props")
        && let Ok(document) = xml::parse(text.trim_start_matches('\u{feff}'))
    {
        for (name, value) in properties_of(&document) {
            properties.entry(name).or_insert(value);
        }
    }
    let mut out = BTreeMap::new();
    let Some((_, text)) = nearest("Directory.Packages.props") else { return out };
    let Ok(document) = xml::parse(text.trim_start_matches('\u{feff}')) else { return out };
    for (name, value) in properties_of(&document) {
        properties.entry(name).or_insert(value);
    }
    for node in document.descendants().filter(|node| node.tag_name().name() == "PackageVersion") {
        if let (Some(name), Some(version)) = (node.attribute("Include"), node.attribute("Version")) {
            out.insert(name.trim().to_ascii_lowercase(), version.trim().to_owned());
        }
    }
    out
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
