//! `Cargo.lock` in all its versions; what is asked for, and for what, comes from the `Cargo.toml` files.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::dependencies::inventory::Origin;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, cargo_manifest, toml};

pub(super) const FORMAT: Format = Format { name: "Cargo.lock", matches: |name| name == "Cargo.lock", parse };

const NEWEST_VERSION: u64 = 4;
/// Texts of fewer bytes are searched byte by byte.
const SHORT: usize = 24;
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
    /// The places of what it needs in [`Lock::needs`].
    needs: Range<usize>,
}

/// What the file says.
#[derive(Debug, Default)]
struct Lock<'a> {
    entries: Vec<Entry<'a>>,
    needs: Vec<&'a str>,
}

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    // Cargo writes one exact form; whatever differs is read again as TOML, which knows what is wrong with it.
    if let Some(lock) = canonical(input.text) {
        return Ok(graph(input, &lock));
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
    Ok(graph(input, &lock))
}

/// Reads the form that cargo writes, line by line.
fn canonical(text: &str) -> Option<Lock<'_>> {
    // Without escapes a text ends at its next quote.
    if memchr::memchr(b'\\', text.as_bytes()).is_some() {
        return None;
    }
    // A package has about 250 bytes.
    let mut lock = Lock { entries: Vec::with_capacity(text.len() / 200), needs: Vec::new() };
    let mut rest = Rest { text, at: 0 };
    while let Some(first) = rest.bytes().first() {
        match first {
            b'\n' | b'\r' => {
                rest.line_end()?;
                continue;
            }
            b'#' => {
                let end = memchr::memchr(b'\n', rest.bytes());
                rest.at = end.map_or(text.len(), |end| rest.at + end + 1);
                continue;
            }
            b'[' => {
                rest.pass("[[package]]")?;
                rest.line_end()?;
                let needs = lock.needs.len()..lock.needs.len();
                lock.entries.push(Entry { needs, ..Entry::default() });
                continue;
            }
            _ => {}
        }
        let Some(entry) = lock.entries.last_mut() else {
            rest.pass("version = ")?;
            let digit = *rest.bytes().first()?;
            rest.at += 1;
            rest.line_end()?;
            if !digit.is_ascii_digit() || u64::from(digit - b'0') > NEWEST_VERSION {
                return None;
            }
            continue;
        };
        match first {
            b'n' => {
                rest.pass("name = ")?;
                let start = rest.at;
                entry.name = rest.quoted()?;
                entry.at = start..rest.at;
            }
            b'v' => {
                rest.pass("version = ")?;
                entry.version = rest.quoted()?;
            }
            b's' => {
                rest.pass("source = ")?;
                entry.source = Some(rest.quoted()?);
            }
            b'c' => {
                rest.pass("checksum = ")?;
                entry.checksum = Some(rest.quoted()?);
            }
            b'd' => {
                rest.pass("dependencies = [")?;
                rest.line_end()?;
                while rest.bytes().first() == Some(&b' ') {
                    rest.at += 1;
                    lock.needs.push(rest.quoted()?);
                    rest.pass(",")?;
                    rest.line_end()?;
                }
                rest.pass("]")?;
                entry.needs.end = lock.needs.len();
            }
            _ => return None,
        }
        rest.line_end()?;
    }
    let complete = |entry: &Entry<'_>| !entry.name.is_empty() && !entry.version.is_empty();
    (!lock.entries.is_empty() && lock.entries.iter().all(complete)).then_some(lock)
}

/// What is left of a text.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Passes over a text, which must be the next.
    fn pass(&mut self, what: &str) -> Option<()> {
        self.bytes().strip_prefix(what.as_bytes())?;
        self.at += what.len();
        Some(())
    }

    /// Passes over the end of a line, or stands at that of the text.
    fn line_end(&mut self) -> Option<()> {
        self.at += match self.bytes() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => return None,
        };
        Some(())
    }

    /// A text in quotes on one line.
    fn quoted(&mut self) -> Option<&'a str> {
        let bytes = self.bytes().strip_prefix(b"\"")?;
        // Most are shorter than what a search of vectors pays for.
        let near = bytes.iter().take(SHORT).position(|byte| matches!(byte, b'"' | b'\n'));
        let end = near.or_else(|| Some(SHORT + memchr::memchr2(b'"', b'\n', bytes.get(SHORT..)?)?))?;
        if bytes[end] != b'"' {
            return None;
        }
        let start = self.at + 1;
        self.at = start + end + 1;
        self.text.get(start..start + end)
    }
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

/// The entries of a lockfile by their names.
struct Names<'e, 'a> {
    entries: &'e [Entry<'a>],
    /// Places of entries, in the order of their names; those of one name in the order of the file.
    order: Vec<usize>,
    /// Where in the order the names begin that start with a byte.
    starts: [usize; 257],
}

impl<'e, 'a> Names<'e, 'a> {
    fn new(entries: &'e [Entry<'a>]) -> Self {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        // Cargo sorts them, so this only looks.
        order.sort_by(|a, b| entries[*a].name.cmp(entries[*b].name));
        let mut starts = [0; 257];
        for entry in entries {
            starts[first_byte(entry.name) + 1] += 1;
        }
        for byte in 0..256 {
            starts[byte + 1] += starts[byte];
        }
        Self { entries, order, starts }
    }

    /// The places of the entries of a name.
    fn of(&self, name: &str) -> &[usize] {
        let byte = first_byte(name);
        let near = &self.order[self.starts[byte]..self.starts[byte + 1]];
        let from = near.partition_point(|index| self.entries[*index].name < name);
        let same = near[from..].iter().take_while(|index| self.entries[**index].name == name).count();
        &near[from..from + same]
    }
}

fn first_byte(name: &str) -> usize {
    name.as_bytes().first().copied().unwrap_or_default().into()
}

fn graph(input: &Input<'_>, lock: &Lock<'_>) -> Graph {
    let entries = &lock.entries;
    let mut graph = Graph::default();
    graph.nodes.reserve(entries.len());
    for entry in entries {
        let mut node = Node::new(Ecosystem::Cargo, entry.name, entry.at.clone())
            .with_version(entry.version)
            .with_origin(origin(entry.source));
        node.is_project = entry.source.is_none();
        node.digest = entry.checksum.map(|checksum| ["sha256:", checksum].concat());
        graph.add(node);
    }
    let by_name = Names::new(entries);
    let resolve = |needed: &str| -> Option<usize> {
        let same = by_name.of(needed);
        if let Some(first) = same.first() {
            return Some(*first);
        }
        let mut words = needed.split(' ');
        let same = by_name.of(words.next()?);
        let (version, source) = (words.next(), words.next().map(|text| text.trim_matches(['(', ')'])));
        same.iter().copied().find(|index| {
            let entry = &entries[*index];
            version.is_none_or(|version| version == entry.version)
                && source.is_none_or(|source| entry.source == Some(source))
        })
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
