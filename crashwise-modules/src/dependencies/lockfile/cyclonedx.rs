//! CycloneDX JSON: `bom.json`, `*.cdx.json` and `*.bom.json`.

use std::collections::HashMap;

use crate::dependencies::inventory::Scope;

use super::flaw::Flaw;
use super::graph::Graph;
use super::input::Input;
use super::spdx::from_purl;
use super::tree::{MAX_DEPTH, Node as Tree};
use super::{Format, json};

pub(super) const FORMAT: Format = Format {
    name: "CycloneDX",
    matches: |name| name == "bom.json" || name.ends_with(".cdx.json") || name.ends_with(".bom.json"),
    parse,
};

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = json::parse(input.text)?.into_map("a map")?;
    if tree.text_of("bomFormat") != Some("CycloneDX") {
        return Err(Flaw::new(0, "bomFormat", "expected CycloneDX"));
    }
    if let Some(version) = tree.get("specVersion")
        && !version.text().unwrap_or_default().starts_with("1.")
    {
        return Err(Flaw::unsupported(version.at.start, "specVersion", "is not known, expected 1.x"));
    }
    let mut graph = Graph::default();
    let mut by_ref: HashMap<&str, usize> = HashMap::new();
    let mut open: Vec<(&Tree<'_>, usize)> =
        tree.items_of("components").iter().rev().map(|item| (item, 0)).collect();
    while let Some((component, depth)) = open.pop() {
        if depth < MAX_DEPTH {
            open.extend(component.items_of("components").iter().rev().map(|item| (item, depth + 1)));
        }
        let Some(purl) = component.get("purl").and_then(|purl| Some((purl.text()?, purl.at.clone()))) else {
            continue;
        };
        let Some(mut node) = from_purl(purl.0, purl.1.clone()) else {
            // Files, operating systems and the like have package URLs that nobody publishes advisories about.
            continue;
        };
        node.scope = match component.text_of("scope") {
            Some("optional") => Some(Scope::Optional),
            Some("excluded") => Some(Scope::Dev),
            _ => None,
        };
        let license = component.items_of("licenses").first().and_then(|choice| {
            let license = choice.get("license");
            choice
                .text_of("expression")
                .or_else(|| license?.text_of("id"))
                .or_else(|| license?.text_of("name"))
        });
        node.license = license.map(str::to_owned);
        let index = graph.add(node);
        by_ref.insert(component.text_of("bom-ref").unwrap_or(purl.0), index);
    }
    let project = tree.path(&["metadata", "component"]).and_then(|component| component.text_of("bom-ref"));
    for entry in tree.items_of("dependencies") {
        let needs = entry.items_of("dependsOn");
        let found =
            needs.iter().filter_map(|need| Some((by_ref.get(need.text()?).copied()?, need.at.clone())));
        match entry.text_of("ref").and_then(|name| by_ref.get(name)) {
            Some(index) => {
                graph.nodes[*index].needs.extend(found.map(|(need, _)| need).filter(|need| need != index));
            }
            None if entry.text_of("ref") == project && project.is_some() => {
                for (need, at) in found.collect::<Vec<_>>() {
                    let scope = graph.nodes[need].scope.unwrap_or(Scope::Unknown);
                    graph.ask(need, scope, Some((input.path.clone(), at)));
                }
            }
            None => {}
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn components_and_dependencies() {
        let bom = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"component": {"bom-ref": "app"}}, "components": [
{"bom-ref": "a", "purl": "pkg:npm/%40s/a@1.0.0", "licenses": [{"license": {"id": "MIT"}}], "components": [
{"bom-ref": "b", "purl": "pkg:maven/g/b@2.0?type=jar"}]},
{"bom-ref": "c", "purl": "pkg:deb/debian/curl@7.88-1?distro=debian-12", "scope": "optional"},
{"bom-ref": "f", "type": "file", "name": "x"}
], "dependencies": [{"ref": "app", "dependsOn": ["a"]}, {"ref": "a", "dependsOn": ["b"]}]}"#;
        check(
            &[("bom.json", bom)],
            &[
                "@s/a 1.0.0 unknown direct bom.json:2:26 public asked bom.json:6:50",
                "g:b 2.0 unknown via @s/a bom.json:3:26 public",
                "curl 7.88-1 optional bom.json:4:26 public",
            ],
        );
        check_flaw("x.cdx.json", "{}", "expected CycloneDX");
    }
}
