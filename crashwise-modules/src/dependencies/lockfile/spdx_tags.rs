//! SPDX tag-value: `*.spdx`.

use std::collections::HashMap;

use super::Format;
use super::flaw::Flaw;
use super::graph::Graph;
use super::input::Input;
use super::spdx::{Subject, from_purl};

pub(super) const FORMAT: Format = Format {
    name: "SPDX tag-value",
    matches: |name| name.rsplit_once('.').is_some_and(|(_, ending)| ending == "spdx"),
    parse,
};

/// What the tags since `PackageName` say.
#[derive(Default)]
struct Package<'a> {
    id: &'a str,
    version: Option<&'a str>,
    purl: Option<(&'a str, usize)>,
    concluded: Option<&'a str>,
    declared: Option<&'a str>,
}

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut graph = Graph::default();
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    let mut relations: Vec<[&str; 3]> = Vec::new();
    let mut package: Option<Package<'_>> = None;
    let mut has_version = false;
    let mut in_text = false;
    let mut offset = 0;
    for whole in input.text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        if in_text {
            in_text = !whole.contains("</text>");
            continue;
        }
        let line = whole.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((tag, value)) = line.split_once(':') else {
            return Err(Flaw::new(start, "", "expected a tag, a colon and a value"));
        };
        let value = value.trim();
        in_text = value.starts_with("<text>") && !value.contains("</text>");
        match (tag, &mut package) {
            ("SPDXVersion", _) => {
                has_version = true;
                if !value.starts_with("SPDX-2.") {
                    return Err(Flaw::unsupported(start, tag, "is not known, expected SPDX-2.x"));
                }
            }
            ("PackageName", _) => {
                finish(package.replace(Package::default()), &mut graph, &mut by_id);
            }
            // Another kind of element begins, whose tags are not those of a package.
            ("FileName" | "SnippetSPDXID" | "LicenseID" | "Reviewer" | "Annotator", _) => {
                finish(package.take(), &mut graph, &mut by_id);
            }
            ("Relationship", _) => {
                if let [from, kind, to] = value.split_whitespace().collect::<Vec<_>>()[..] {
                    relations.push([from, kind, to]);
                }
            }
            ("SPDXID", Some(package)) => package.id = value,
            ("PackageVersion", Some(package)) => package.version = Some(value),
            ("PackageLicenseConcluded", Some(package)) => package.concluded = Some(value),
            ("PackageLicenseDeclared", Some(package)) => package.declared = Some(value),
            ("ExternalRef", Some(package)) => {
                let mut words = value.split_whitespace().skip(1);
                if words.next() == Some("purl")
                    && let Some(purl) = words.next()
                {
                    package.purl = Some((purl, start + whole.find(purl).unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
    finish(package, &mut graph, &mut by_id);
    if !has_version {
        return Err(Flaw::new(0, "SPDXVersion", "is missing"));
    }
    if in_text {
        return Err(Flaw::new(input.text.len(), "", "a text does not end"));
    }
    let mut subject = Subject::default();
    for [from, kind, to] in relations {
        let (from, to) = (by_id.get(from).copied(), by_id.get(to).copied());
        subject.relate(&mut graph, from, kind, to);
    }
    subject.finish(&mut graph);
    Ok(graph)
}

fn finish<'a>(package: Option<Package<'a>>, graph: &mut Graph, by_id: &mut HashMap<&'a str, usize>) {
    let Some(package) = package else { return };
    let Some((purl, at)) = package.purl else { return };
    let Some(mut node) = from_purl(purl, at..at + purl.len()) else { return };
    if node.version.is_none() {
        node.version = package.version.map(str::to_owned);
    }
    let stated = |text: &&str| !matches!(*text, "NOASSERTION" | "NONE");
    let license = package.concluded.filter(stated).or_else(|| package.declared.filter(stated));
    node.license = license.map(str::to_owned);
    let index = graph.add(node);
    by_id.insert(package.id, index);
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn packages_and_relationships() {
        let text = "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nSPDXID: SPDXRef-DOCUMENT\n\n##### a\nPackageName: a\nSPDXID: SPDXRef-a\nPackageVersion: 1.0.0\nPackageLicenseConcluded: NOASSERTION\nPackageLicenseDeclared: MIT\nPackageComment: <text>several\nPackageName: no package\nlines</text>\nExternalRef: PACKAGE-MANAGER purl pkg:cargo/a@1.0.0\nPackageName: b\nSPDXID: SPDXRef-b\nPackageVersion: 2\nExternalRef: PACKAGE-MANAGER purl pkg:pypi/B_c\nFileName: ./x\nSPDXID: SPDXRef-x\nPackageName: plain\nSPDXID: SPDXRef-c\nRelationship: SPDXRef-a DEPENDS_ON SPDXRef-b\nRelationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-a\n";
        check(&[("app.spdx", text)], &["B_c 2 prod direct app.spdx:18:35 public"]);
        check_flaw("app.spdx", "PackageName: a\n", "app.spdx:1:1: malformed (SPDXVersion: is missing)");
        check_flaw("app.spdx", "SPDXVersion: SPDX-3.0\n", "unsupported");
        check_flaw("app.spdx", "SPDXVersion: SPDX-2.2\nhello\n", "app.spdx:2:1");
        check_flaw("app.spdx", "SPDXVersion: SPDX-2.2\nX: <text>\n", "a text does not end");
    }
}
