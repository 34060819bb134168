//! `package-lock.json` in versions 1 to 3, and `npm-shrinkwrap.json`, read from front to end.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crashwise_core::GapReason;
use foldhash::fast::RandomState;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, MAX_PACKAGES, Node};
use super::input::Input;
use super::json_reader::Reader;
use super::tree::Node as Tree;
use super::{Format, json, node_manifest};

pub(super) const FORMAT: Format = Format {
    name: "package-lock.json",
    matches: |name| matches!(name, "package-lock.json" | "npm-shrinkwrap.json"),
    parse,
};

/// Most folders in which a package lies: each is looked through for what the package needs.
const MAX_FOLDERS: usize = 256;

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut reader = Reader::new(input.text)?;
    if reader.peek() != Some(b'{') {
        let start = reader.at();
        reader.pass()?;
        return Err(Flaw::new(start, "", "expected a map"));
    }
    let start = reader.at();
    let (mut flat, mut nested): (Option<Flat<'_>>, Option<Nested<'_>>) = (None, None);
    let mut has_version = false;
    reader.map(&mut |reader, key, _| match key.as_ref() {
        "lockfileVersion" => {
            has_version = true;
            let at = reader.at();
            match reader.text()?.as_deref() {
                Some("1" | "2" | "3") => Ok(()),
                _ => Err(Flaw::unsupported(at, "lockfileVersion", "is not known, expected 1, 2 or 3")),
            }
        }
        "packages" if reader.peek() == Some(b'{') => {
            let found = flat.insert(Flat::default());
            reader.map(&mut |reader, key, at| found.entry(reader, key, at))
        }
        // Version 2 holds both, for those that read only the first version.
        "dependencies" if flat.is_none() && reader.peek() == Some(b'{') => {
            nested.insert(Nested::default()).level(reader, "")
        }
        _ => reader.pass(),
    })?;
    reader.end()?;
    match (flat, nested) {
        (Some(flat), _) => Ok(flat.finish(input)),
        (None, Some(nested)) => Ok(nested.finish(input)),
        (None, None) if has_version => Ok(Nested::default().finish(input)),
        (None, None) => Err(Flaw::new(start, "packages", "is missing: this is no lockfile")),
    }
}

/// Where npm fetches a package from. A lockfile made behind a mirror names the mirror for public packages too, so
/// other hosts are kept as registries and still looked up.
pub(super) fn origin(resolved: Option<&str>, version: &str) -> Origin {
    let address = resolved.unwrap_or(version);
    if address.starts_with("git") || address.contains(".git#") {
        return Origin::Git(address.to_owned());
    }
    if address.starts_with("file:") || address.starts_with("link:") {
        return Origin::Local;
    }
    let Some(rest) = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")) else {
        return Origin::Public;
    };
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let is_of =
        |domain: &str| host.strip_suffix(domain).is_some_and(|name| name.is_empty() || name.ends_with('.'));
    if is_of("npmjs.org") || is_of("yarnpkg.com") {
        Origin::Public
    } else if rest.contains("/-/") {
        Origin::Registry(host.to_owned())
    } else {
        Origin::Url(address.to_owned())
    }
}

/// What both forms say of a package.
#[derive(Debug)]
struct Facts<'a> {
    name: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    resolved: Option<Cow<'a, str>>,
    integrity: Option<Cow<'a, str>>,
    license: Option<String>,
    /// What the flags state.
    scope: Scope,
    link: bool,
    install_script: bool,
}

impl<'a> Facts<'a> {
    fn new() -> Self {
        Self {
            name: None,
            version: None,
            resolved: None,
            integrity: None,
            license: None,
            scope: Scope::Prod,
            link: false,
            install_script: false,
        }
    }

    /// Takes the value of a key if that is one of these; what it is not is left to the caller.
    fn take(&mut self, reader: &mut Reader<'a>, key: &str) -> Result<bool, Flaw> {
        match key {
            "name" => self.name = reader.text()?,
            "version" => self.version = reader.text()?,
            "resolved" => self.resolved = reader.text()?,
            "integrity" => self.integrity = reader.text()?,
            "license" => {
                let license = json::value(reader, &mut 0)?;
                self.license = license.text().or_else(|| license.text_of("type")).map(str::to_owned);
            }
            "dev" => {
                if reader.is_true()? {
                    self.scope = Scope::Dev;
                }
            }
            "optional" | "devOptional" => {
                if reader.is_true()? && self.scope == Scope::Prod {
                    self.scope = Scope::Optional;
                }
            }
            "link" => self.link = reader.is_true()?,
            "hasInstallScript" => self.install_script = reader.is_true()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn write_to(self, node: &mut Node) {
        node.scope = Some(self.scope);
        node.license = self.license;
        node.install_script = self.install_script;
        node.digest = self.integrity.map(Cow::into_owned);
    }
}

/// That a package needs another one.
#[derive(Debug)]
struct Need<'a> {
    name: Cow<'a, str>,
    kind: NeedKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NeedKind {
    Needed,
    Peer,
    Optional,
}

/// Versions 2 and 3: one flat map by folder.
#[derive(Debug, Default)]
struct Flat<'a> {
    graph: Graph,
    /// The folder of each node, and its needs by their places in the list of all.
    entries: Vec<(Cow<'a, str>, Range<usize>)>,
    needs: Vec<Need<'a>>,
    /// The parts of the project, which ask like manifests.
    projects: Vec<(usize, Tree<'a>)>,
    links: HashMap<Cow<'a, str>, Cow<'a, str>>,
    values: usize,
}

impl<'a> Flat<'a> {
    fn entry(&mut self, reader: &mut Reader<'a>, key: Cow<'a, str>, at: Range<usize>) -> Result<(), Flaw> {
        too_many(&self.graph, &at)?;
        if key.bytes().filter(|byte| *byte == b'/').count() > MAX_FOLDERS {
            return Err(Flaw::new(at.start, "", "is nested too deeply"));
        }
        let installed = key.rsplit_once("node_modules/").map(|(_, name)| name.to_owned());
        if reader.peek() != Some(b'{') {
            return reader.pass();
        }
        if installed.is_none() {
            let tree = json::value(reader, &mut self.values)?;
            let name = tree.text_of("name").unwrap_or(&key).to_owned();
            let mut node = Node::new(Ecosystem::Npm, name, at).with_origin(Origin::Local);
            node.version = tree.text_of("version").map(str::to_owned);
            node.is_project = true;
            let index = self.graph.add(node);
            self.entries.push((key, 0..0));
            self.projects.push((index, tree));
            return Ok(());
        }
        let mut facts = Facts::new();
        let first = self.needs.len();
        let mut optional_peers: HashSet<Cow<'a, str>> = HashSet::new();
        reader.map(&mut |reader, key, _| {
            if facts.take(reader, &key)? {
                return Ok(());
            }
            let kind = match key.as_ref() {
                "dependencies" => NeedKind::Needed,
                "peerDependencies" => NeedKind::Peer,
                "optionalDependencies" => NeedKind::Optional,
                "peerDependenciesMeta" => return optional_names(reader, &mut optional_peers),
                _ => return reader.pass(),
            };
            self.needs(reader, kind)
        })?;
        if facts.link {
            self.needs.truncate(first);
            self.links.insert(key, facts.resolved.unwrap_or_default());
            return Ok(());
        }
        for need in &mut self.needs[first..] {
            if need.kind == NeedKind::Peer && optional_peers.contains(&need.name) {
                need.kind = NeedKind::Optional;
            }
        }
        let name = facts.name.take().map_or_else(|| installed.unwrap_or_default(), Cow::into_owned);
        let mut node = Node::new(Ecosystem::Npm, name, at);
        node.origin = origin(facts.resolved.as_deref(), facts.version.as_deref().unwrap_or_default());
        node.version = facts.version.take().map(Cow::into_owned);
        facts.write_to(&mut node);
        self.graph.add(node);
        self.entries.push((key, first..self.needs.len()));
        Ok(())
    }

    fn needs(&mut self, reader: &mut Reader<'a>, kind: NeedKind) -> Result<(), Flaw> {
        if reader.peek() != Some(b'{') {
            return reader.pass();
        }
        reader.map(&mut |reader, name, _| {
            self.needs.push(Need { name, kind });
            reader.pass()
        })
    }

    fn finish(mut self, input: &Input<'_>) -> Graph {
        let mut folders: HashMap<&str, usize, RandomState> = HashMap::default();
        folders.reserve(self.entries.len());
        for (index, (key, _)) in self.entries.iter().enumerate() {
            if folders.insert(key.as_ref(), index).is_some() {
                self.graph.twice(self.graph.nodes[index].at.start, key.as_ref());
            }
        }
        let mut key = String::new();
        let mut find = |from: &str, name: &str| -> Option<usize> {
            let mut folder = from;
            loop {
                key.clear();
                key.push_str(folder);
                key.push_str(if folder.is_empty() { "node_modules/" } else { "/node_modules/" });
                key.push_str(name);
                if let Some(found) = folders.get(key.as_str()) {
                    return Some(*found);
                }
                if let Some(target) = self.links.get(key.as_str()) {
                    return folders.get(target.as_ref()).copied();
                }
                if folder.is_empty() {
                    return None;
                }
                folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
            }
        };
        for (index, (key, needs)) in self.entries.iter().enumerate() {
            for need in self.needs.get(needs.clone()).unwrap_or_default() {
                let Some(found) = find(key, &need.name) else { continue };
                let node = &mut self.graph.nodes[index];
                let is_optional = need.kind == NeedKind::Optional;
                if is_optional { &mut node.may_need } else { &mut node.needs }.push(found);
            }
        }
        for (index, tree) in &self.projects {
            let key = &self.entries[*index].0;
            let manifest = node_manifest::beside(input, key);
            let locked = node_manifest::asks(tree, input.path);
            if let Some(manifest) = &manifest {
                let at = (input.path.clone(), self.graph.nodes[*index].at.clone());
                node_manifest::compare(&mut self.graph, manifest, &locked, &at);
            }
            let asked = node_manifest::Asked::of(manifest.as_deref());
            for ask in locked {
                let Some(need) = find(key, &ask.name) else { continue };
                if !self.graph.nodes[need].is_project {
                    self.graph.ask(need, ask.scope, asked.place(&ask.name).or(Some(ask.at)));
                }
            }
        }
        self.graph
    }
}

/// The peers that an entry can do without.
fn optional_names<'a>(reader: &mut Reader<'a>, out: &mut HashSet<Cow<'a, str>>) -> Result<(), Flaw> {
    if reader.peek() != Some(b'{') {
        return reader.pass();
    }
    reader.map(&mut |reader, name, _| {
        if json::value(reader, &mut 0)?.is_true("optional") {
            out.insert(name);
        }
        Ok(())
    })
}

/// Ends the reading of a file that holds more packages than are read, so that memory stays bounded.
fn too_many(graph: &Graph, at: &Range<usize>) -> Result<(), Flaw> {
    if graph.nodes.len() < MAX_PACKAGES {
        return Ok(());
    }
    let message = format!("there are more packages, at most {MAX_PACKAGES} are read");
    Err(Flaw { reason: GapReason::TooMany, ..Flaw::new(at.start, "", message) })
}

/// Version 1: packages nested in the packages they were installed below.
#[derive(Debug, Default)]
struct Nested<'a> {
    graph: Graph,
    /// The chain of names from the root of each node, which is how npm looks them up, and its needs.
    entries: Vec<(String, Vec<Cow<'a, str>>)>,
}

impl<'a> Nested<'a> {
    /// Reads the packages of one level.
    fn level(&mut self, reader: &mut Reader<'a>, above: &str) -> Result<(), Flaw> {
        reader.map(&mut |reader, key, at| {
            too_many(&self.graph, &at)?;
            if reader.peek() != Some(b'{') {
                return reader.pass();
            }
            let chain = format!("{above}/{key}");
            // It comes before what lies below it, and is known when that has been read.
            let index = self.graph.add(Node::new(Ecosystem::Npm, "", at));
            self.entries.push((chain.clone(), Vec::new()));
            let mut facts = Facts::new();
            reader.map(&mut |reader, key, _| match key.as_ref() {
                "dependencies" if reader.peek() == Some(b'{') => self.level(reader, &chain),
                "requires" if reader.peek() == Some(b'{') => reader.map(&mut |reader, name, _| {
                    self.entries[index].1.push(name);
                    reader.pass()
                }),
                "name" | "license" => reader.pass(),
                key if facts.take(reader, key)? => Ok(()),
                _ => reader.pass(),
            })?;
            let written = facts.version.take().unwrap_or_default();
            let alias = written.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@'));
            let (name, version) = alias.unwrap_or((key.as_ref(), &written));
            let node = &mut self.graph.nodes[index];
            name.clone_into(&mut node.name);
            node.origin = origin(facts.resolved.as_deref(), &written);
            node.version =
                matches!(node.origin, Origin::Public | Origin::Registry(_)).then(|| version.to_owned());
            // A folder of the project, such as a member of its workspace.
            node.is_project = node.origin == Origin::Local;
            facts.write_to(node);
            Ok(())
        })
    }

    fn finish(mut self, input: &Input<'_>) -> Graph {
        let found: HashMap<&str, usize, RandomState> =
            self.entries.iter().enumerate().map(|(index, (chain, _))| (chain.as_str(), index)).collect();
        let mut key = String::new();
        let mut find = |from: &str, name: &str| -> Option<usize> {
            let mut at = from;
            loop {
                key.clear();
                key.push_str(at);
                key.push('/');
                key.push_str(name);
                if let Some(index) = found.get(key.as_str()) {
                    return Some(*index);
                }
                at = parent_of(at)?;
            }
        };
        for (index, (chain, requires)) in self.entries.iter().enumerate() {
            self.graph.nodes[index].needs = requires.iter().filter_map(|name| find(chain, name)).collect();
        }
        for ask in node_manifest::beside(input, ".").unwrap_or_default() {
            if let Some(need) = find("", &ask.name) {
                self.graph.ask(need, ask.scope, Some(ask.at));
            } else if !ask.is_peer && ask.scope != Scope::Optional && !self.graph.nodes.is_empty() {
                let message =
                    format!("asks for {} {}, which the lockfile does not know", ask.name, ask.wanted);
                self.graph.mismatch(ask.at, message);
            }
        }
        self.graph
    }
}

/// The chain above; scoped names hold a slash themselves, so both ends are tried.
fn parent_of(chain: &str) -> Option<&str> {
    chain.rsplit_once('/').map(|(above, _)| above)
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn version_three_with_workspaces_aliases_and_nesting() {
        let lock = r#"{
  "name": "app", "lockfileVersion": 3,
  "packages": {
    "": {"name": "app", "dependencies": {"a": "^1"}, "devDependencies": {"t": "^1"}, "optionalDependencies": {"o": "1"}},
    "node_modules/a": {"version": "1.0.0", "resolved": "https://registry.example/a/-/a-1.0.0.tgz", "license": "MIT", "dependencies": {"b": "^2"}},
    "node_modules/a/node_modules/b": {"version": "2.0.0"},
    "node_modules/b": {"version": "1.0.0", "dev": true},
    "node_modules/t": {"version": "1.0.0", "dev": true, "hasInstallScript": true, "dependencies": {"b": "^1"}},
    "node_modules/o": {"name": "real", "version": "3.0.0", "optional": true},
    "node_modules/ws": {"resolved": "packages/ws", "link": true},
    "packages/ws": {"name": "ws", "version": "0.0.1", "dependencies": {"g": "x"}},
    "node_modules/g": {"version": "4.0.0", "resolved": "git+ssh://git@git.example/g.git#abc"}
  }
}"#;
        check(
            &[("web/package-lock.json", lock)],
            &[
                "a 1.0.0 prod direct web/package-lock.json:5:5 registry asked web/package-lock.json:4:42",
                "b 2.0.0 prod via a web/package-lock.json:6:5 public",
                "b 1.0.0 dev via t web/package-lock.json:7:5 public",
                "t 1.0.0 dev direct web/package-lock.json:8:5 public asked web/package-lock.json:4:74",
                "real 3.0.0 optional direct web/package-lock.json:9:5 public asked web/package-lock.json:4:111",
                "g 4.0.0 prod direct web/package-lock.json:12:5 git asked web/package-lock.json:11:72",
            ],
        );
    }

    #[test]
    fn version_one_with_a_manifest() {
        let lock = r#"{"lockfileVersion": 1, "dependencies": {
"a": {"version": "1.0.0", "requires": {"b": "1"}, "dependencies": {"b": {"version": "1.5.0"}}},
"b": {"version": "2.0.0", "dev": true},
"c": {"version": "npm:real@3.1.0"}
}}"#;
        let manifest = "{\"dependencies\": {\"a\": \"1\"},\n\"devDependencies\": {\"b\": \"2\"}}";
        check(
            &[("npm-shrinkwrap.json", lock), ("package.json", manifest)],
            &[
                "a 1.0.0 prod direct npm-shrinkwrap.json:2:1 public asked package.json:1:19",
                "b 1.5.0 prod via a npm-shrinkwrap.json:2:68 public",
                "b 2.0.0 dev direct npm-shrinkwrap.json:3:1 public asked package.json:2:21",
                "real 3.1.0 prod npm-shrinkwrap.json:4:1 public",
            ],
        );
    }

    #[test]
    fn flaws_are_named() {
        check_flaw(
            "package-lock.json",
            "{\"lockfileVersion\": 9}",
            "package-lock.json:1:21: unsupported (lockfileVersion: is not known, expected 1, 2 or 3)",
        );
        check_flaw(
            "package-lock.json",
            "{\"packages\": {\"a\": {",
            "package-lock.json:1:21: malformed (the file ends too early)",
        );
        let again = "{\"lockfileVersion\": 3, \"packages\": {\n\"node_modules/a\": {\"version\": \"1.0.0\"},\n\"node_modules/a\": {\"version\": \"2.0.0\"}}}";
        check_flaw(
            "package-lock.json",
            again,
            "package-lock.json:3:1: malformed (node_modules/a: is in the file twice)",
        );
        check_flaw("package-lock.json", "{}", "packages: is missing");
        check_flaw("package-lock.json", "[1]", "expected a map");
        check_flaw("package-lock.json", &"[".repeat(500), "is nested too deeply");
        let deep = format!("{{\"packages\": {{\"{}\": {{}}}}}}", "node_modules/a/".repeat(200));
        check_flaw("package-lock.json", &deep, "package-lock.json:1:15: malformed (is nested too deeply)");
    }
}
