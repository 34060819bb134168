//! `Cargo.lock` in all its versions; what is asked for, and for what, comes from the `Cargo.toml` files.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::ops::Range;

use foldhash::fast::RandomState;

use crate::dependencies::inventory::Origin;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::namesakes::MAX_NAMESAKES;
use super::tree::Node as Tree;
use super::{Format, cargo_manifest, cargo_plain, toml};

pub(super) const FORMAT: Format = Format { name: "Cargo.lock", matches: |name| name == "Cargo.lock", parse };

const NEWEST_VERSION: u64 = 4;
/// The start of the source of the public registry's index, without its protocol.
pub(crate) const PUBLIC_INDEX: &str = "://github.com/rust-lang/crates.io";

/// A `[[package]]`; texts borrow from the file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) at: Range<usize>,
    pub(super) version: &'a str,
    pub(super) source: Option<&'a str>,
    pub(super) checksum: Option<&'a str>,
    /// The places of what it needs in [`Lock::needs`].
    pub(super) needs: Range<usize>,
}

/// What the file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Lock<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) needs: Vec<&'a str>,
}

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    // Cargo writes one exact form; whatever differs is read again as TOML, which knows what is wrong with it.
    if let Some(lock) = cargo_plain::read(input.text) {
        return Ok(graph(input, &lock));
    }
    let tree = toml::parse(input.text)?;
    Ok(graph(input, &of_tree(&tree)?))
}

/// Reads any form.
pub(super) fn of_tree<'t>(tree: &'t Tree<'_>) -> Result<Lock<'t>, Flaw> {
    if let Some(version) = tree.get("version")
        && version
            .text()
            .and_then(|text| text.parse().ok())
            .is_none_or(|version: u64| version > NEWEST_VERSION)
    {
        let message = format!("is not known, expected at most {NEWEST_VERSION}");
        return Err(Flaw::unsupported(version.at.start, "version", message));
    }
    let mut lock = Lock::default();
    for package in tree.items_of("package").iter().chain(tree.get("root")) {
        let before = lock.needs.len();
        lock.needs.extend(package.items_of("dependencies").iter().filter_map(|item| item.text()));
        lock.entries.push(Entry {
            name: package.required("name")?,
            at: package.get("name").map_or(package.at.clone(), |name| name.at.clone()),
            version: package.required("version")?,
            source: package.text_of("source"),
            checksum: package.text_of("checksum"),
            needs: before..lock.needs.len(),
        });
    }
    if lock.entries.is_empty() && tree.get("version").is_none() {
        return Err(Flaw::new(0, "package", "is missing: this is no Cargo.lock"));
    }
    Ok(lock)
}

fn origin(source: Option<&str>) -> Origin {
    let Some(source) = source else { return Origin::Local };
    let (kind, address) = source.split_once('+').unwrap_or(("", source));
    match kind {
        "git" => Origin::Git(address.to_owned()),
        // From the start of the address: a private registry may have anything in its path.
        "registry" if address.strip_prefix("https").unwrap_or(address).starts_with(PUBLIC_INDEX) => {
            Origin::Public
        }
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

fn graph(input: &Input<'_>, lock: &Lock<'_>) -> Graph {
    let entries = &lock.entries;
    let mut graph = Graph::default();
    graph.nodes.reserve(entries.len());
    // Most packages come from where the one before came from.
    let mut last = (None, Origin::Local);
    for entry in entries {
        if entry.source != last.0 {
            last = (entry.source, origin(entry.source));
        }
        let mut node = Node::new(Ecosystem::Cargo, entry.name, entry.at.clone())
            .with_version(entry.version)
            .with_origin(last.1.clone());
        node.is_project = entry.source.is_none();
        node.digest = entry.checksum.map(|checksum| ["sha256:", checksum].concat());
        graph.add(node);
    }
    // The first entry of a name, and for each entry the next one of its name.
    let mut first: HashMap<&str, usize, RandomState> =
        HashMap::with_capacity_and_hasher(entries.len(), RandomState::default());
    let mut next: Vec<Option<usize>> = vec![None; entries.len()];
    for (index, entry) in entries.iter().enumerate().rev() {
        next[index] = first.insert(entry.name, index);
        let is_same = |other: &Entry<'_>| (other.version, other.source) == (entry.version, entry.source);
        let mut namesakes = iter::successors(next[index], |other| next[*other]).take(MAX_NAMESAKES);
        if let Some(again) = namesakes.find(|other| is_same(&entries[*other])) {
            graph.twice(entries[again].at.start, format!("{} {}", entry.name, entry.version));
        }
    }
    // For names with more entries than are worth a search.
    let exact: OnceCell<HashMap<_, usize, RandomState>> = OnceCell::new();
    let resolve = |needed: &str| -> Option<usize> {
        if let Some(only) = first.get(needed) {
            return Some(*only);
        }
        let mut words = needed.split(' ');
        let name = words.next()?;
        let start = first.get(name)?;
        let (version, source) = (words.next(), words.next().map(|text| text.trim_matches(['(', ')'])));
        let mut namesakes = iter::successors(Some(*start), |index| next[*index]);
        let found = namesakes.by_ref().take(MAX_NAMESAKES).find(|index| {
            let entry = &entries[*index];
            version.is_none_or(|version| version == entry.version)
                && source.is_none_or(|source| entry.source == Some(source))
        });
        if found.is_some() || namesakes.next().is_none() {
            return found;
        }
        let exact = exact.get_or_init(|| {
            let mut exact = HashMap::default();
            for (index, entry) in entries.iter().enumerate() {
                exact.entry((entry.name, entry.version, None)).or_insert(index);
                exact.entry((entry.name, entry.version, entry.source)).or_insert(index);
            }
            exact
        });
        exact.get(&(name, version?, source)).copied()
    };
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let needed = lock.needs.get(entry.needs.clone()).unwrap_or_default();
        let mut needs = Vec::with_capacity(needed.len());
        for needed in needed {
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
        check_flaw(
            "Cargo.lock",
            &LOCK.replace("tool\"\nversion = \"2", "tool\"\nversion = \"1"),
            "Cargo.lock:32:8: malformed (tool 1.0.0: is in the file twice)",
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
