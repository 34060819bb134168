//! SPDX JSON: `*.spdx.json`; and the reading of package URLs.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::dependencies::inventory::Scope;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::tree::Node as Tree;
use super::{Format, json};

pub(super) const FORMAT: Format =
    Format { name: "SPDX", matches: |name| name.ends_with(".spdx.json") || name == "spdx.json", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let tree = json::parse(input.text)?.into_map("a map")?;
    let version = tree.get("spdxVersion").ok_or_else(|| Flaw::new(0, "spdxVersion", "is missing"))?;
    if !version.text().unwrap_or_default().starts_with("SPDX-2.") {
        return Err(Flaw::unsupported(version.at.start, "spdxVersion", "is not known, expected SPDX-2.x"));
    }
    let mut graph = Graph::default();
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for package in tree.items_of("packages") {
        let reference = package.items_of("externalRefs").iter().find_map(|reference| {
            (reference.text_of("referenceType") == Some("purl")).then(|| reference.get("referenceLocator"))?
        });
        let Some(locator) = reference else { continue };
        let Some(mut node) = locator.text().and_then(|purl| from_purl(purl, locator.at.clone())) else {
            continue;
        };
        if node.version.is_none() {
            node.version = package.text_of("versionInfo").map(str::to_owned);
        }
        let stated = |key: &str| package.text_of(key).filter(|text| !matches!(*text, "NOASSERTION" | "NONE"));
        node.license = stated("licenseConcluded").or_else(|| stated("licenseDeclared")).map(str::to_owned);
        let index = graph.add(node);
        by_id.insert(package.text_of("SPDXID").unwrap_or_default(), index);
    }
    let mut subject = Subject::default();
    for id in tree.items_of("documentDescribes").iter().filter_map(Tree::text) {
        subject.describe(by_id.get(id).copied());
    }
    for relation in tree.items_of("relationships") {
        let end = |key: &str| relation.text_of(key).and_then(|id| by_id.get(id).copied());
        let (from, to) = (end("spdxElementId"), end("relatedSpdxElement"));
        subject.relate(&mut graph, from, relation.text_of("relationshipType").unwrap_or_default(), to);
    }
    subject.finish(&mut graph);
    Ok(graph)
}

/// What a document is about.
#[derive(Debug, Default)]
pub(super) struct Subject {
    /// The packages that it describes; those that are not known here too.
    described: BTreeSet<Option<usize>>,
    /// What is needed for something else than what is shipped: by whom, what, and for what.
    others: Vec<(usize, usize, Scope)>,
}

impl Subject {
    fn describe(&mut self, package: Option<usize>) {
        self.described.insert(package);
    }

    /// Notes a relationship of two packages, as far as they are known.
    pub(super) fn relate(
        &mut self,
        graph: &mut Graph,
        from: Option<usize>,
        relationship: &str,
        to: Option<usize>,
    ) {
        match relationship {
            "DESCRIBES" => self.describe(to),
            "DESCRIBED_BY" => self.describe(from),
            _ => self.others.extend(relate(graph, from, relationship, to)),
        }
    }

    /// The one package that a document describes is the project itself, if it needs others.
    pub(super) fn finish(self, graph: &mut Graph) {
        let mut described = self.described.iter();
        let (Some(Some(project)), None) = (described.next(), described.next()) else { return };
        let project = *project;
        let needs = std::mem::take(&mut graph.nodes[project].needs);
        let others: Vec<_> = self.others.iter().filter(|(from, ..)| *from == project).collect();
        if needs.is_empty() && others.is_empty() {
            return;
        }
        graph.nodes[project].is_project = true;
        for need in needs {
            graph.ask(need, Scope::Prod, None);
        }
        for (_, need, scope) in others {
            graph.ask(*need, *scope, None);
        }
    }
}

/// Notes that a package needs another one; what it needs for something else than to be shipped is given back.
fn relate(
    graph: &mut Graph,
    from: Option<usize>,
    relationship: &str,
    to: Option<usize>,
) -> Option<(usize, usize, Scope)> {
    let (from, to, scope) = match relationship {
        "DEPENDS_ON" | "CONTAINS" => (from, to, None),
        "DEPENDENCY_OF" | "RUNTIME_DEPENDENCY_OF" | "PROVIDED_DEPENDENCY_OF" => (to, from, None),
        "DEV_DEPENDENCY_OF" => (to, from, Some(Scope::Dev)),
        "TEST_DEPENDENCY_OF" => (to, from, Some(Scope::Test)),
        "BUILD_DEPENDENCY_OF" => (to, from, Some(Scope::Build)),
        "OPTIONAL_DEPENDENCY_OF" => (to, from, Some(Scope::Optional)),
        _ => return None,
    };
    match (from, to) {
        (Some(from), Some(to)) if from != to && scope.is_none() => graph.nodes[from].needs.push(to),
        (_, Some(to)) if scope.is_some() => graph.nodes[to].scope = scope,
        _ => {}
    }
    Some((from?, to?, scope?))
}

/// The package that a package URL names, if its type is one of an ecosystem that is known here.
pub(super) fn from_purl(purl: &str, at: Range<usize>) -> Option<Node> {
    let rest = purl.strip_prefix("pkg:")?.trim_start_matches('/');
    let rest = rest.split('#').next()?;
    let (rest, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    let (purl_type, rest) = rest.split_once('/')?;
    // An `@` may stand unencoded in front of a scope, so the version follows the last one after the last slash.
    let name_start = rest.rfind('/').map_or(0, |at| at + 1);
    let (path, version) = match rest[name_start..].rfind('@').filter(|at| *at > 0) {
        Some(at) => (&rest[..name_start + at], Some(decode(&rest[name_start + at + 1..]))),
        None => (rest, None),
    };
    let (namespace, name) = path.rsplit_once('/').map_or(("", path), |split| split);
    let (namespace, name) = (decode(namespace), decode(name));
    let qualifier = |key: &str| {
        qualifiers
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key))
            .map(|(_, value)| decode(value))
    };
    let distro = qualifier("distro").unwrap_or_default();
    let ecosystem = match purl_type.to_ascii_lowercase().as_str() {
        "deb" if namespace == "ubuntu" => Ecosystem::Ubuntu,
        "apk" if namespace == "wolfi" => Ecosystem::Wolfi,
        "apk" if namespace == "chainguard" => Ecosystem::Chainguard,
        "rpm" => match namespace.as_str() {
            "almalinux" => Ecosystem::AlmaLinux,
            "rocky" | "rockylinux" => Ecosystem::RockyLinux,
            "suse" | "sles" => Ecosystem::Suse,
            "opensuse" => Ecosystem::OpenSuse,
            "openeuler" => Ecosystem::OpenEuler,
            "mageia" => Ecosystem::Mageia,
            "redhat" | "rhel" => Ecosystem::RedHat,
            _ => return None,
        },
        other => Ecosystem::from_purl_type(other)?,
    };
    let name = match ecosystem {
        Ecosystem::Maven if namespace.is_empty() => return None,
        Ecosystem::Maven => format!("{namespace}:{name}"),
        _ if matches!(ecosystem.purl_type(), "deb" | "apk" | "rpm" | "conan") || namespace.is_empty() => name,
        _ => format!("{namespace}/{name}"),
    };
    let mut node = Node::new(ecosystem, name, at);
    node.version = version.filter(|version| !version.is_empty());
    let release = distro.rsplit_once('-').map(|(_, release)| release.to_owned()).unwrap_or_default();
    node.release = match ecosystem {
        Ecosystem::Alpine if !release.is_empty() => {
            let mut parts = release.split('.');
            format!("v{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        }
        Ecosystem::Debian => release.split('.').next().unwrap_or_default().to_owned(),
        _ => release,
    };
    Some(node)
}

/// Undoes percent-encoding; what is no text after that stays as it was.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        if let (b'%', [high, low, tail @ ..]) = (first, after) {
            if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                bytes.push(high << 4 | low);
                rest = tail;
            } else {
                bytes.push(b'%');
                rest = after;
            }
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::from_purl;
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn packages_and_relationships() {
        let text = r#"{"spdxVersion": "SPDX-2.3", "packages": [
{"SPDXID": "SPDXRef-a", "versionInfo": "1.0.0", "licenseDeclared": "MIT", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:cargo/a@1.0.0"}]},
{"SPDXID": "SPDXRef-b", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:pypi/B_c@2"}]},
{"SPDXID": "SPDXRef-none"}
], "relationships": [{"spdxElementId": "SPDXRef-a", "relationshipType": "DEPENDS_ON", "relatedSpdxElement": "SPDXRef-b"}]}"#;
        check(
            &[("x.spdx.json", text)],
            &[
                "a 1.0.0 unknown direct x.spdx.json:2:138 public",
                "B_c 2 unknown via a x.spdx.json:3:88 public",
            ],
        );
        check_flaw("x.spdx.json", "{\"spdxVersion\": \"SPDX-3.0\"}", "unsupported");
    }

    #[test]
    fn the_described_package_is_the_project() {
        let text = r#"{"spdxVersion": "SPDX-2.3", "documentDescribes": ["SPDXRef-app"], "packages": [
{"SPDXID": "SPDXRef-app", "versionInfo": "1.0.0", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:npm/app@1.0.0"}]},
{"SPDXID": "SPDXRef-a", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:npm/a@1.0.0"}]},
{"SPDXID": "SPDXRef-b", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:npm/b@2.0.0"}]},
{"SPDXID": "SPDXRef-t", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:npm/t@3.0.0"}]}
], "relationships": [
{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-app"},
{"spdxElementId": "SPDXRef-a", "relationshipType": "DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-app"},
{"spdxElementId": "SPDXRef-t", "relationshipType": "DEV_DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-app"},
{"spdxElementId": "SPDXRef-b", "relationshipType": "DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-a"}]}"#;
        check(
            &[("x.spdx.json", text)],
            &[
                "a 1.0.0 prod direct x.spdx.json:3:88 public",
                "b 2.0.0 prod via a x.spdx.json:4:88 public",
                "t 3.0.0 dev direct x.spdx.json:5:88 public",
            ],
        );
    }

    #[test]
    fn package_urls() {
        for (purl, expect) in [
            ("pkg:npm/@s/a@1.0.0", "npm @s/a 1.0.0 "),
            ("pkg:npm/%40s/a@1.0.0", "npm @s/a 1.0.0 "),
            ("pkg:golang/github.com/a/b@v1.2.3#sub", "Go github.com/a/b v1.2.3 "),
            ("pkg:apk/alpine/curl@8.0-r1?arch=x86_64&distro=alpine-3.20.1", "Alpine curl 8.0-r1 v3.20"),
            ("pkg:deb/ubuntu/curl@7.68?distro=ubuntu-20.04", "Ubuntu curl 7.68 20.04"),
            ("pkg:composer/V/p@1.0%2Bx", "Packagist V/p 1.0+x "),
            ("pkg:generic/x@1", "-"),
            ("pkg:", "-"),
            ("npm/x", "-"),
        ] {
            let found = from_purl(purl, 0..0).map_or("-".to_owned(), |node| {
                format!(
                    "{} {} {} {}",
                    node.ecosystem,
                    node.name,
                    node.version.unwrap_or_default(),
                    node.release
                )
            });
            assert_eq!(found, expect, "{purl}");
        }
    }
}
