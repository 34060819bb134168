//! The digests that Poetry and PDM write into their lockfiles of what the manifest asks for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::python_manifest::fold;
use super::tree::{Node, Value};

/// Tables of `[tool.poetry]` that count; the first four count as null when they are missing.
const POETRY: [&str; 5] = ["dependencies", "source", "extras", "dev-dependencies", "group"];
const PROJECT: [&str; 3] = ["requires-python", "dependencies", "optional-dependencies"];

/// Whether a digest is that of a manifest, in one of the ways in which the versions of Poetry take it.
pub(super) fn fits_poetry(manifest: &Node<'_>, digest: &str) -> bool {
    let project = pairs(manifest.get("project"), &PROJECT, false);
    let poetry = pairs(manifest.path(&["tool", "poetry"]), &POETRY, project.is_empty());
    let plain = match (object(&project), object(&poetry)) {
        (_, poetry) if project.is_empty() => poetry,
        (project, poetry) => format!("{{\"project\": {project}, \"tool\": {{\"poetry\": {poetry}}}}}"),
    };
    let mut texts = vec![plain];
    if let Some(groups) = manifest.get("dependency-groups") {
        let mut text = String::new();
        write(groups, &mut text);
        let (project, poetry) = (object(&project), object(&poetry));
        texts.push(format!(
            "{{\"dependency-groups\": {text}, \"project\": {project}, \"tool\": {{\"poetry\": {poetry}}}}}"
        ));
    }
    texts.iter().any(|text| sha256(text) == digest)
}

/// Whether a digest is that of a manifest, in one of the ways in which the versions of PDM take it.
pub(super) fn fits_pdm(manifest: &Node<'_>, digest: &str) -> bool {
    let Some(digest) = digest.strip_prefix("sha256:") else { return true };
    let json = |path: &[&str], absent: &str| {
        let mut text = String::new();
        match manifest.path(path) {
            Some(node) => write(node, &mut text),
            None => text.push_str(absent),
        }
        text
    };
    let resolution = ("resolution", json(&["tool", "pdm", "resolution"], "{}"));
    let overrides = ("overrides", json(&["tool", "pdm", "resolution", "overrides"], "{}"));
    let former = json(&["tool", "pdm", "dev-dependencies"], "{}");
    [(&resolution, pdm_groups(manifest)), (&resolution, former.clone()), (&overrides, former)]
        .into_iter()
        .any(|((key, resolution), development)| {
            let mut pairs = vec![
                ("sources", json(&["tool", "pdm", "source"], "[]")),
                ("dependencies", json(&["project", "dependencies"], "[]")),
                ("dev-dependencies", development),
                ("optional-dependencies", json(&["project", "optional-dependencies"], "{}")),
                ("requires-python", json(&["project", "requires-python"], "\"\"")),
                (*key, resolution.clone()),
            ];
            pairs.sort_unstable();
            sha256(&object(&pairs)) == digest
        })
}

/// The standard's and PDM's own groups for development as one map, by their folded names.
fn pdm_groups(manifest: &Node<'_>) -> String {
    let mut groups: BTreeMap<String, Vec<&Node<'_>>> = BTreeMap::new();
    for table in [&["dependency-groups"][..], &["tool", "pdm", "dev-dependencies"]] {
        for group in manifest.path(table).map_or(&[][..], Node::entries) {
            groups.entry(fold(&group.key)).or_default().extend(group.node.items());
        }
    }
    let groups: Vec<String> = groups
        .iter()
        .map(|(name, items)| {
            let (mut key, mut list) = (String::new(), String::new());
            string(name, &mut key);
            write_list(items.iter().copied(), &mut list);
            format!("{key}: {list}")
        })
        .collect();
    format!("{{{}}}", groups.join(", "))
}

/// In lower-case hexadecimal digits.
fn sha256(text: &str) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// The keys that count and their values as JSON.
fn pairs(holder: Option<&Node<'_>>, keys: &[&'static str], with_null: bool) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for key in keys {
        if let Some(node) = holder.and_then(|holder| holder.get(key)) {
            let mut text = String::new();
            write(node, &mut text);
            out.push((*key, text));
        } else if with_null && *key != "group" {
            out.push((*key, "null".to_owned()));
        }
    }
    out.sort_unstable();
    out
}

fn object(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// JSON as Python writes it: sorted keys, a space after each comma and colon, ASCII only.
fn write(node: &Node<'_>, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(number),
        Value::Text(text) => string(text, out),
        Value::List(items) => write_list(items.iter(), out),
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            out.push('{');
            for (index, entry) in entries.into_iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                string(&entry.key, out);
                out.push_str(": ");
                write(&entry.node, out);
            }
            out.push('}');
        }
    }
}

fn write_list<'n, 'a: 'n>(items: impl Iterator<Item = &'n Node<'a>>, out: &mut String) {
    out.push('[');
    for (index, item) in items.enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        write(item, out);
    }
    out.push(']');
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}
