//! What a project has decided to live with: `osv-scanner.toml`, `audit.toml`, `deny.toml`, `.trivyignore`, OpenVEX.

use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::IgnoredPackage;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::spdx::from_purl;
use super::tree::Node;
use super::{json, toml};

/// A statement with its bytes in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) id: String,
    pub(super) package: Option<IgnoredPackage>,
    pub(super) until: Option<String>,
    pub(super) reason: String,
    pub(super) at: Range<usize>,
}

/// Whether a file is one of statements.
pub(super) fn is_read(path: &RelPath) -> bool {
    let name = path.file_name();
    matches!(
        name,
        "osv-scanner.toml" | "audit.toml" | "deny.toml" | ".trivyignore" | "vex.json" | "openvex.json"
    ) || name.ends_with(".openvex.json")
        || name.ends_with(".vex.json")
}

pub(super) fn parse(path: &RelPath, text: &str) -> Result<Vec<Statement>, Flaw> {
    match path.file_name() {
        "osv-scanner.toml" => osv_scanner(&toml::parse(text)?),
        "audit.toml" | "deny.toml" => Ok(advisories(&toml::parse(text)?)),
        ".trivyignore" => Ok(trivyignore(text)),
        _ => openvex(&json::parse(text)?.into_map("a map")?),
    }
}

fn text_of(node: &Node<'_>, key: &str) -> String {
    node.text_of(key).unwrap_or_default().to_owned()
}

/// The day of a time.
fn day(time: &str) -> Option<String> {
    time.get(..10).filter(|day| day.as_bytes().get(4) == Some(&b'-')).map(str::to_owned)
}

fn osv_scanner(tree: &Node<'_>) -> Result<Vec<Statement>, Flaw> {
    let mut out = Vec::new();
    for entry in tree.items_of("IgnoredVulns") {
        out.push(Statement {
            id: entry.required("id")?.to_owned(),
            until: entry.text_of("ignoreUntil").and_then(day),
            reason: text_of(entry, "reason"),
            at: entry.get("id").map_or(entry.at.clone(), |id| id.at.clone()),
            package: None,
        });
    }
    for entry in tree.items_of("PackageOverrides") {
        let ignores =
            entry.is_true("ignore") || entry.get("vulnerability").is_some_and(|node| node.is_true("ignore"));
        let Some(name) = entry.text_of("name").filter(|_| ignores) else { continue };
        out.push(Statement {
            id: String::new(),
            package: Some(IgnoredPackage {
                ecosystem: entry.text_of("ecosystem").and_then(|name| name.parse().ok()),
                name: name.to_owned(),
                version: entry.text_of("version").map(str::to_owned),
            }),
            until: entry.text_of("effectiveUntil").and_then(day),
            reason: text_of(entry, "reason"),
            at: entry.get("name").map_or(entry.at.clone(), |name| name.at.clone()),
        });
    }
    Ok(out)
}

/// `[advisories] ignore`, which cargo-audit and cargo-deny share.
fn advisories(tree: &Node<'_>) -> Vec<Statement> {
    let list = tree.path(&["advisories", "ignore"]).map_or(&[][..], Node::items);
    list.iter()
        .filter_map(|item| {
            let id = item.text().or_else(|| item.text_of("id"))?;
            let reason = text_of(item, "reason");
            Some(Statement { id: id.to_owned(), reason, at: item.at.clone(), ..Statement::default() })
        })
        .collect()
}

fn trivyignore(text: &str) -> Vec<Statement> {
    let mut out = Vec::new();
    let mut offset = 0;
    for whole in text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(id) = words.next() else { continue };
        let begin = start + whole.find(id).unwrap_or_default();
        out.push(Statement {
            id: id.to_owned(),
            until: words.find_map(|word| day(word.strip_prefix("exp:")?)),
            reason: whole.split_once('#').map(|(_, reason)| reason.trim().to_owned()).unwrap_or_default(),
            at: begin..begin + id.len(),
            package: None,
        });
    }
    out
}

fn openvex(tree: &Node<'_>) -> Result<Vec<Statement>, Flaw> {
    if !tree.text_of("@context").unwrap_or_default().contains("openvex") {
        return Err(Flaw::unsupported(0, "@context", "expected an OpenVEX document"));
    }
    let mut out = Vec::new();
    for statement in tree.items_of("statements") {
        if !matches!(statement.text_of("status"), Some("not_affected" | "fixed")) {
            continue;
        }
        let vulnerability = statement.get("vulnerability");
        let name = vulnerability.and_then(|node| node.text_of("name").or_else(|| node.text()));
        let Some(id) = name else { continue };
        let reason = ["justification", "impact_statement", "status"]
            .iter()
            .find_map(|key| statement.text_of(key))
            .unwrap_or_default();
        let mut products = Vec::new();
        for product in statement.items_of("products") {
            let parts = product.items_of("subcomponents");
            products.extend(if parts.is_empty() { std::slice::from_ref(product) } else { parts });
        }
        let mut add = |package: Option<IgnoredPackage>| {
            out.push(Statement {
                id: id.to_owned(),
                package,
                until: None,
                reason: reason.to_owned(),
                at: vulnerability.map_or(statement.at.clone(), |node| node.at.clone()),
            });
        };
        let packages: Vec<_> = products.iter().filter_map(|product| product_of(product)).collect();
        if products.is_empty() {
            add(None);
        }
        for package in packages {
            add(Some(package));
        }
    }
    Ok(out)
}

/// The package of a product that is named by a package URL; other products are no packages.
fn product_of(product: &Node<'_>) -> Option<IgnoredPackage> {
    let purl = product
        .path(&["identifiers", "purl"])
        .and_then(Node::text)
        .or_else(|| product.text_of("@id"))
        .or_else(|| product.text())?;
    let node = from_purl(purl, 0..0)?;
    let ecosystem: Option<Ecosystem> = Some(node.ecosystem);
    Some(IgnoredPackage { ecosystem, name: node.name, version: node.version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Vec<String> {
        let statements = parse(&RelPath::new(name).unwrap(), text).unwrap();
        let describe = |statement: &Statement| {
            let package = statement.package.as_ref().map_or(String::new(), |package| {
                format!(" {}@{}", package.name, package.version.as_deref().unwrap_or("*"))
            });
            let until = statement.until.as_deref().unwrap_or("-");
            format!("{}{package} {until} {}", statement.id, statement.reason)
        };
        statements.iter().map(describe).collect()
    }

    #[test]
    fn every_kind_is_read() {
        assert_eq!(
            read(
                "osv-scanner.toml",
                "[[IgnoredVulns]]\nid = \"GO-1\"\nignoreUntil = 2030-01-02T00:00:00Z\nreason = \"no\"\n[[PackageOverrides]]\nname = \"x\"\necosystem = \"Go\"\nversion = \"1\"\nignore = true\nreason = \"own\"\n[[PackageOverrides]]\nname = \"y\"\n"
            ),
            ["GO-1 2030-01-02 no", " x@1 - own"]
        );
        assert_eq!(read(".cargo/audit.toml", "[advisories]\nignore = [\"RUSTSEC-1\"]\n"), ["RUSTSEC-1 - "]);
        assert_eq!(
            read(
                "deny.toml",
                "[advisories]\nignore = [{ id = \"RUSTSEC-2\", reason = \"r\" }, { crate = \"x\" }]\n"
            ),
            ["RUSTSEC-2 - r"]
        );
        assert_eq!(
            read(".trivyignore", "# all\nCVE-1 exp:2024-01-02 # why\n\nCVE-2\n"),
            ["CVE-1 2024-01-02 why", "CVE-2 - "]
        );
        assert_eq!(
            read(
                "a.openvex.json",
                r#"{"@context": "https://openvex.dev/ns/v0.2.0", "statements": [
                {"vulnerability": {"name": "CVE-1"}, "products": [{"@id": "pkg:npm/app@1", "subcomponents": [{"@id": "pkg:npm/a@1.0"}]}], "status": "not_affected", "justification": "vulnerable_code_not_present"},
                {"vulnerability": {"name": "CVE-2"}, "products": [{"@id": "pkg:npm/a@1.0"}], "status": "affected"},
                {"vulnerability": {"name": "CVE-3"}, "products": [{"@id": "image"}], "status": "fixed"}]}"#
            ),
            ["CVE-1 a@1.0 - vulnerable_code_not_present"]
        );
        assert!(parse(&RelPath::new("vex.json").unwrap(), "{}").is_err());
    }
}
