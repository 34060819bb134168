//! `Cargo.lock` in all its versions; what is asked for, and for what, comes from the `Cargo.toml` files.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::dependencies::inventory::Origin;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, cargo_manifest, toml};

pub(super) const FORMAT: Format = Format { name: "Cargo.lock", matches: |name| name == "Cargo.lock", parse };

const NEWEST_VERSION: u64 = 4;
/// The start of the source of the public registry's index, without its protocol.
pub(crate) const PUBLIC_INDEX: &str = "://github.com/rust-lang/crates.io";

/// A `[[package]]`; texts borrow from the file.
#[derive(Debug, Default)]
struct Entry<'a> {
    name: &'a str,
    at: Range<usize>,
    version: &'a str,
    source: Option<&'a str>,
    checksum: Option<&'a str>,
    dependencies: Vec<&'a str>,
}

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    // Cargo writes one exact form; whatever differs is read again as TOML, which knows what is wrong with it.
    if let Some(entries) = canonical(input.text) {
        return Ok(graph(input, &entries));
    }
    let tree = toml::parse(input.text)?;
    if let Some(version) = tree.get("version")
        && version
            .text()
            .and_then(|text| text.parse().ok())
            .is_none_or(|version: u64| version > NEWEST_VERSION)
    {
        let message = format!("is not known, expected at most {NEWEST_VERSION}");
        return Err(Flaw::unsupported(version.at.start, "version", message));
    }
    let mut entries = Vec::new();
    for package in tree.items_of("package").iter().chain(tree.get("root")) {
        entries.push(Entry {
            name: package.required("name")?,
            at: package.get("name").map_or(package.at.clone(), |name| name.at.clone()),
            version: package.required("version")?,
            source: package.text_of("source"),
            checksum: package.text_of("checksum"),
            dependencies: package.items_of("dependencies").iter().filter_map(|item| item.text()).collect(),
        });
    }
    if entries.is_empty() && tree.get("version").is_none() {
        return Err(Flaw::new(0, "package", "is missing: this is no Cargo.lock"));
    }
    Ok(graph(input, &entries))
}

/// Reads the form that cargo writes, line by line.
fn canonical(text: &str) -> Option<Vec<Entry<'_>>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut in_package = false;
    let mut in_list = false;
    let mut offset = 0;
    for whole in text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.trim_end_matches(['\n', '\r']);
        if in_list {
            if line == "]" {
                in_list = false;
                continue;
            }
            let item = line.strip_prefix(" \"")?.strip_suffix("\",")?;
            entries.last_mut()?.dependencies.push(plain(item)?);
            continue;
        }
        match line {
            "" => continue,
            "[[package]]" => {
                in_package = true;
                entries.push(Entry::default());
                continue;
            }
            "dependencies = [" if in_package => {
                in_list = true;
                continue;
            }
            _ if line.starts_with('#') => continue,
            _ => {}
        }
        if !in_package {
            let version: u64 = line.strip_prefix("version = ")?.parse().ok()?;
            if version > NEWEST_VERSION {
                return None;
            }
            continue;
        }
        let (key, value) = line.split_once(" = ")?;
        let value = plain(value.strip_prefix('"')?.strip_suffix('"')?)?;
        let entry = entries.last_mut()?;
        match key {
            "name" => {
                entry.name = value;
                let at = start + key.len() + 3;
                entry.at = at..at + value.len() + 2;
            }
            "version" => entry.version = value,
            "source" => entry.source = Some(value),
            "checksum" => entry.checksum = Some(value),
            _ => return None,
        }
    }
    let complete = |entry: &Entry<'_>| !entry.name.is_empty() && !entry.version.is_empty();
    (!in_list && !entries.is_empty() && entries.iter().all(complete)).then_some(entries)
}

fn plain(text: &str) -> Option<&str> {
    (!text.contains(['"', '\\'])).then_some(text)
}

fn origin(source: Option<&str>) -> Origin {
    let Some(source) = source else { return Origin::Local };
    let (kind, address) = source.split_once('+').unwrap_or(("", source));
    match kind {
        "git" => Origin::Git(address.to_owned()),
        // From the start of the address: a private registry may have anything in its path.
        "registry" if address.trim_start_matches("https").starts_with(PUBLIC_INDEX) => Origin::Public,
        "sparse" if is_public_host(address) => Origin::Public,
        "path" => Origin::Local,
        _ => Origin::Registry(address.to_owned()),
    }
}

/// Whether an address is that of the public registry, whose name is that of its ecosystem.
fn is_public_host(address: &str) -> bool {
    let host = address.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
    host == "crates.io" || host.strip_suffix(".crates.io").is_some_and(|name| !name.contains('/'))
}

fn graph(input: &Input<'_>, entries: &[Entry<'_>]) -> Graph {
    let mut graph = Graph::default();
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let mut node = Node::new(Ecosystem::Cargo, entry.name, entry.at.clone())
            .with_version(entry.version)
            .with_origin(origin(entry.source));
        node.is_project = entry.source.is_none();
        node.digest = entry.checksum.map(|checksum| format!("sha256:{checksum}"));
        graph.add(node);
        by_name.entry(entry.name).or_default().push(index);
    }
    let resolve = |needed: &str| -> Option<usize> {
        let mut words = needed.split(' ');
        let candidates = by_name.get(words.next()?)?;
        let (version, source) = (words.next(), words.next().map(|text| text.trim_matches(['(', ')'])));
        candidates.iter().copied().find(|index| {
            let entry = &entries[*index];
            version.is_none_or(|version| version == entry.version)
                && source.is_none_or(|source| entry.source == Some(source))
        })
    };
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut needs = Vec::with_capacity(entry.dependencies.len());
        for needed in &entry.dependencies {
            match resolve(needed) {
                Some(need) => needs.push(need),
                None => graph.notes.push(Flaw::new(
                    entry.at.start,
                    format!("{}.dependencies", entry.name),
                    format!("`{needed}` is not in the file"),
                )),
            }
        }
        if graph.nodes[index].is_project {
            members.insert(entry.name, needs);
        } else {
            graph.nodes[index].needs = needs;
        }
    }
    cargo_manifest::ask(input, &mut graph, &members);
    graph
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    const LOCK: &str = r#"# This file is automatically @generated by Cargo.
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = [
 "left",
 "tool 1.0.0",
]

[[package]]
name = "deep"
version = "2.0.0"
source = "git+https://git.example/deep?rev=abc#abcdef"

[[package]]
name = "left"
version = "1.2.3"
source = "registry+httpsPUBLIC-index"
checksum = "00ff"
dependencies = [
 "deep",
]

[[package]]
name = "tool"
version = "1.0.0"
source = "sparse+https://registry.example/index/"

[[package]]
name = "tool"
version = "2.0.0"
source = "sparse+https://registry.example/index/"
"#;

    const MANIFEST: &str = "[package]\nname = \"app\"\n\n[dependencies]\nleft-alias = { version = \"1\", package = \"left\" }\n\n[dev-dependencies]\ntool = \"1\"\n";

    #[test]
    fn packages_scopes_and_places() {
        let lock = LOCK.replace("PUBLIC", super::PUBLIC_INDEX);
        check(
            &[("Cargo.lock", &lock), ("Cargo.toml", MANIFEST)],
            &[
                "deep 2.0.0 prod via left Cargo.lock:13:8 git",
                "left 1.2.3 prod direct Cargo.lock:18:8 public asked Cargo.toml:5:1",
                "tool 1.0.0 dev direct Cargo.lock:27:8 registry asked Cargo.toml:8:1",
                "tool 2.0.0 unknown Cargo.lock:32:8 registry",
            ],
        );
        // Without a manifest nothing says what is for development.
        check(
            &[("Cargo.lock", &lock)],
            &[
                "deep 2.0.0 unknown via left Cargo.lock:13:8 git",
                "left 1.2.3 unknown direct Cargo.lock:18:8 public",
                "tool 1.0.0 unknown direct Cargo.lock:27:8 registry",
                "tool 2.0.0 unknown Cargo.lock:32:8 registry",
            ],
        );
    }

    #[test]
    fn another_form_is_read_as_toml() {
        let odd = LOCK.replace("PUBLIC", super::PUBLIC_INDEX).replace("name = \"left\"", "name='left'");
        check(
            &[("Cargo.lock", &odd)],
            &[
                "deep 2.0.0 unknown via left Cargo.lock:13:8 git",
                "left 1.2.3 unknown direct Cargo.lock:18:6 public",
                "tool 1.0.0 unknown direct Cargo.lock:27:8 registry",
                "tool 2.0.0 unknown Cargo.lock:32:8 registry",
            ],
        );
    }

    #[test]
    fn flaws_are_named() {
        check_flaw(
            "Cargo.lock",
            "version = 9\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n",
            "Cargo.lock:1:11: unsupported (version: is not known, expected at most 4)",
        );
        check_flaw(
            "Cargo.lock",
            "[[package]]\nname = \"a\"\n",
            "Cargo.lock:1:1: malformed (version: is missing or no text)",
        );
        check_flaw("Cargo.lock", &LOCK[..300], "malformed");
        check_flaw(
            "Cargo.lock",
            "version = 4\n<<<<<<< ours\n",
            "Cargo.lock:2:1: malformed (holds the conflict markers of a merge)",
        );
        check_flaw(
            "Cargo.lock",
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+x\"\ndependencies = [\n \"gone\",\n]\n",
            "Cargo.lock:2:8: malformed (a.dependencies: `gone` is not in the file)",
        );
    }
}
