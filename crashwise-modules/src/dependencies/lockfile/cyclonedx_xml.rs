//! CycloneDX XML: `bom.xml`, `*.cdx.xml` and `*.bom.xml`.

use std::collections::HashMap;

use roxmltree::Node as Element;

use crate::dependencies::inventory::Scope;

use super::flaw::Flaw;
use super::graph::Graph;
use super::input::Input;
use super::spdx::from_purl;
use super::{Format, xml};

pub(super) const FORMAT: Format = Format {
    name: "CycloneDX XML",
    matches: |name| name == "bom.xml" || name.ends_with(".cdx.xml") || name.ends_with(".bom.xml"),
    parse,
};

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let document = xml::parse(input.text)?;
    let bom = document.root_element();
    let space = bom.tag_name().namespace().unwrap_or_default();
    if bom.tag_name().name() != "bom" || !space.starts_with("http://cyclonedx.org/schema/bom/") {
        return Err(Flaw::new(bom.range().start, "", "expected `bom` of CycloneDX"));
    }
    if !space.contains("/bom/1.") {
        return Err(Flaw::unsupported(bom.range().start, "xmlns", "is not known, expected 1.x"));
    }
    let mut graph = Graph::default();
    let mut by_ref: HashMap<&str, usize> = HashMap::new();
    // Depth is bounded by the parser.
    let mut open: Vec<Element<'_, '_>> = components(bom);
    while let Some(component) = open.pop() {
        open.extend(components(component));
        let Some(element) = xml::children(component, "purl").next() else { continue };
        let purl = element.text().unwrap_or_default().trim();
        let Some(mut node) = from_purl(purl, element.range()) else { continue };
        node.scope = match xml::text_of(component, "scope") {
            Some("optional") => Some(Scope::Optional),
            Some("excluded") => Some(Scope::Dev),
            _ => None,
        };
        let licenses = xml::children(component, "licenses").next();
        node.license = licenses
            .and_then(|licenses| {
                let license = xml::children(licenses, "license").next();
                xml::text_of(licenses, "expression")
                    .or_else(|| xml::text_of(license?, "id"))
                    .or_else(|| xml::text_of(license?, "name"))
            })
            .map(str::to_owned);
        let index = graph.add(node);
        by_ref.insert(component.attribute("bom-ref").unwrap_or(purl), index);
    }
    let project = xml::children(bom, "metadata")
        .flat_map(|metadata| xml::children(metadata, "component"))
        .find_map(|component| component.attribute("bom-ref"));
    for dependencies in xml::children(bom, "dependencies") {
        for dependency in xml::children(dependencies, "dependency") {
            let Some(name) = dependency.attribute("ref") else { continue };
            let own = by_ref.get(name).copied();
            for need in xml::children(dependency, "dependency") {
                let Some(index) = need.attribute("ref").and_then(|name| by_ref.get(name)).copied() else {
                    continue;
                };
                match own {
                    Some(own) if own != index => graph.nodes[own].needs.push(index),
                    None if project == Some(name) => {
                        let scope = graph.nodes[index].scope.unwrap_or(Scope::Unknown);
                        graph.ask(index, scope, Some((input.path.clone(), need.range())));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(graph)
}

/// The components right below an element, last first.
fn components<'a, 'd>(element: Element<'a, 'd>) -> Vec<Element<'a, 'd>> {
    let lists = xml::children(element, "components");
    let mut found: Vec<_> = lists.flat_map(|list| xml::children(list, "component")).collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn components_and_dependencies() {
        let bom = r#"<?xml version="1.0"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.5" version="1"><metadata><component type="application" bom-ref="app"><name>app</name></component></metadata><components>
<component type="library" bom-ref="a"><name>a</name><licenses><license><id>MIT</id></license></licenses><purl>pkg:npm/%40s/a@1.0.0</purl><components>
<component type="library" bom-ref="b"><name>b</name><purl>pkg:maven/g/b@2.0?type=jar</purl></component></components></component>
<component type="library"><name>curl</name><scope>optional</scope><purl>pkg:deb/debian/curl@7.88-1?distro=debian-12</purl></component>
<component type="file"><name>x</name></component>
</components><dependencies>
<dependency ref="app"><dependency ref="a"/></dependency>
<dependency ref="a"><dependency ref="b"/><dependency ref="gone"/></dependency>
</dependencies></bom>"#;
        check(
            &[("bom.xml", bom)],
            &[
                "@s/a 1.0.0 unknown direct bom.xml:3:105 public asked bom.xml:8:23",
                "g:b 2.0 unknown via @s/a bom.xml:4:53 public",
                "curl 7.88-1 optional bom.xml:5:67 public",
            ],
        );
        check_flaw("app.cdx.xml", "<bom/>", "app.cdx.xml:1:1: malformed (expected `bom` of CycloneDX)");
        check_flaw("bom.xml", "<bom xmlns=\"http://cyclonedx.org/schema/bom/2.0\"/>", "unsupported");
        check_flaw("bom.xml", "<bom", "bom.xml:1");
    }
}
