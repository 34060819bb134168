//! `go.mod`, with `go.sum` for modules of before Go 1.17, whose `go.mod` does not list everything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::Format;
use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;

pub(super) const FORMAT: Format = Format { name: "go.mod", matches: |name| name == "go.mod", parse };

/// What comes in the place of a module.
struct Replacement<'a> {
    path: &'a str,
    version: Option<&'a str>,
}

/// Each `replace` by the module that goes, and its version if only one goes.
type Replacements<'a> = HashMap<(&'a str, Option<&'a str>), Replacement<'a>>;

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut graph = Graph::default();
    let mut replacements = Replacements::new();
    let mut required: Vec<(&str, &str, bool, Range<usize>)> = Vec::new();
    let mut language: Option<(&str, Range<usize>)> = None;
    let mut toolchain: Option<(&str, Range<usize>)> = None;
    let mut block: Option<&str> = None;
    let mut offset = 0;
    let mut has_module = false;
    for whole in input.text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let (line, comment) = whole.split_once("//").unwrap_or((whole, ""));
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
        let at = |word: &str| {
            let begin = start + whole.find(word).unwrap_or_default();
            begin..begin + word.len()
        };
        let (verb, rest) = match (block, words.as_slice()) {
            (_, []) => continue,
            (Some(_), [")"]) => {
                block = None;
                continue;
            }
            (Some(verb), rest) => (verb, rest),
            (None, [verb, "("]) => {
                block = Some(verb);
                continue;
            }
            (None, [verb, rest @ ..]) => (*verb, rest),
        };
        match (verb, rest) {
            ("module", [_]) => has_module = true,
            ("go", [version]) => language = Some((version, at(version))),
            ("toolchain", [name]) => toolchain = Some((name, at(name))),
            ("require", [path, version]) => {
                let indirect = comment.trim() == "indirect" || comment.trim().starts_with("indirect;");
                required.push((path, version, indirect, at(path)));
            }
            ("replace", [path, middle @ .., new_path, new_version]) if middle.last() == Some(&"=>") => {
                let version = (middle.len() > 1).then(|| middle[0]);
                let new = Replacement { path: new_path, version: Some(new_version) };
                replacements.entry((path, version)).or_insert(new);
            }
            ("replace", [path, middle @ .., new_path]) if middle.last() == Some(&"=>") => {
                let version = (middle.len() > 1).then(|| middle[0]);
                replacements.entry((path, version)).or_insert(Replacement { path: new_path, version: None });
            }
            ("exclude" | "retract" | "godebug" | "tool" | "ignore" | "module", _) => {}
            ("require" | "replace" | "go" | "toolchain", _) => {
                return Err(Flaw::new(start, verb, "is not written as go writes it"));
            }
            _ => graph.notes.push(Flaw::unsupported(start, verb, "is not known")),
        }
    }
    if block.is_some() || !has_module {
        let message =
            if block.is_some() { "a block does not end" } else { "names no module: this is no go.mod" };
        return Err(Flaw::new(input.text.len(), "", message));
    }
    let own_toolchain = toolchain.filter(|(name, _)| *name != "default");
    let release = own_toolchain.or_else(|| language.clone());
    if let Some((version, at)) = release.clone() {
        let node = Node::new(Ecosystem::Go, "stdlib", at.clone()).with_version(toolchain_version(version));
        let index = graph.add(node);
        graph.ask(index, Scope::Prod, Some((input.path.clone(), at)));
    }
    let mut listed: HashSet<&str> = HashSet::new();
    for (path, version, indirect, at) in required {
        listed.insert(path);
        let mut node = Node::new(Ecosystem::Go, path, at.clone()).with_version(version);
        let line_end = input.text[at.end..].find('\n').map_or(input.text.len(), |length| at.end + length);
        node.pin = input.text[at.end..line_end]
            .find(version)
            .map(|offset| at.end + offset..at.end + offset + version.len());
        replace(&mut node, &replacements, path, version);
        if node.name != path || node.version.as_deref() != Some(version) {
            node.pin = None;
        }
        node.scope = Some(Scope::Prod);
        let index = graph.add(node);
        if !indirect {
            graph.ask(index, Scope::Prod, Some((input.path.clone(), at)));
        }
    }
    check_sums(input, &mut graph);
    if let Some((version, at)) = release {
        // The commands of the release build the project; advisories keep them apart from its library.
        let node = Node::new(Ecosystem::Go, "toolchain", at.clone()).with_version(toolchain_version(version));
        let index = graph.add(node);
        graph.ask(index, Scope::Build, Some((input.path.clone(), at)));
    }
    if language.as_ref().is_none_or(|(version, _)| is_before_1_17(version)) {
        add_sums(input, &mut graph, &listed);
    }
    Ok(graph)
}

fn replace(node: &mut Node, replacements: &Replacements<'_>, path: &str, version: &str) {
    let of = |version| replacements.get(&(path, version));
    let Some(found) = of(Some(version)).or_else(|| of(None)) else { return };
    match found.version {
        Some(new_version) => {
            found.path.clone_into(&mut node.name);
            node.version = Some(new_version.to_owned());
        }
        None => node.origin = Origin::Local,
    }
}

/// `go1.22rc2` as advisories write it, `1.22.0-rc.2`.
fn toolchain_version(name: &str) -> String {
    let name = name.strip_prefix("go").unwrap_or(name);
    let end = name.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(name.len());
    let (numbers, rest) = name.split_at(end);
    let label = ["rc", "beta"].into_iter().find(|label| rest.starts_with(label));
    match label {
        Some(label) => {
            let zeros = if numbers.matches('.').count() < 2 { ".0" } else { "" };
            format!("{numbers}{zeros}-{label}.{}", &rest[label.len()..])
        }
        None => numbers.to_owned(),
    }
}

fn is_before_1_17(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) < (1, 17)
}

/// Notes the requirements of which `go.sum`, if there is one, has no sum.
fn check_sums(input: &Input<'_>, graph: &mut Graph) {
    let Some((_, text)) = input.beside("go.sum") else { return };
    let mut known: HashSet<(&str, &str)> = HashSet::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        if let (Some(path), Some(version)) = (words.next(), words.next()) {
            known.insert((path, version.strip_suffix("/go.mod").unwrap_or(version)));
        }
    }
    let mut missing = Vec::new();
    for node in graph.nodes.iter().filter(|node| node.origin == Origin::Public && node.name != "stdlib") {
        let version = node.version.as_deref().unwrap_or_default();
        if !known.contains(&(node.name.as_str(), version)) {
            missing.push((node.at.clone(), format!("go.sum has no sum of {} {version}", node.name)));
        }
    }
    for (at, message) in missing {
        graph.mismatch((input.path.clone(), at), message);
    }
}

/// The modules of `go.sum` whose content is checked, the highest version of each.
fn add_sums(input: &Input<'_>, graph: &mut Graph, listed: &HashSet<&str>) {
    let Some((_, text)) = input.beside("go.sum") else { return };
    let mut found: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(path), Some(version)) = (words.next(), words.next()) else { continue };
        if version.ends_with("/go.mod") || listed.contains(path) {
            continue;
        }
        let order = Ecosystem::Go.order();
        let known = found.entry(path).or_insert(version);
        if order.key(known).ok() < order.key(version).ok() {
            *known = version;
        }
    }
    for (path, version) in found {
        let mut node = Node::new(Ecosystem::Go, path, 0..0).with_version(version);
        node.scope = Some(Scope::Unknown);
        graph.add(node);
    }
}

#[cfg(test)]
mod tests {
    use super::toolchain_version;
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn requirements_replacements_and_the_toolchain() {
        let text = "module example.org/app\n\ngo 1.21\n\ntoolchain go1.22.1\n\nrequire example.org/a v1.0.0 // why\n\nrequire (\n\texample.org/b v1.2.3 // indirect\n\texample.org/c v0.0.0-20200101000000-abcdefabcdef\n\texample.org/d v1.0.0\n)\n\nreplace example.org/c => example.org/fork v1.1.0\nreplace example.org/d v1.0.0 => ../d\n";
        check(
            &[("go.mod", text)],
            &[
                "stdlib 1.22.1 prod direct go.mod:5:11 public asked go.mod:5:11",
                "example.org/a v1.0.0 prod direct go.mod:7:9 public asked go.mod:7:9",
                "example.org/b v1.2.3 prod go.mod:10:2 public",
                "example.org/fork v1.1.0 prod direct go.mod:11:2 public asked go.mod:11:2",
                "example.org/d v1.0.0 prod direct go.mod:12:2 local asked go.mod:12:2",
                "toolchain 1.22.1 build direct go.mod:5:11 public asked go.mod:5:11",
            ],
        );
        assert_eq!(
            ["go1.22rc2", "1.21", "go1.4beta1", "go1.20.3"].map(toolchain_version),
            ["1.22.0-rc.2", "1.21", "1.4.0-beta.1", "1.20.3"]
        );
    }

    #[test]
    fn sums_of_old_modules() {
        let sums = "example.org/a v1.0.0 h1:x\nexample.org/a v1.0.0/go.mod h1:x\nexample.org/t v1.9.0 h1:x\nexample.org/t v1.10.0 h1:x\nexample.org/u v1.0.0/go.mod h1:x\n";
        check(
            &[("go.mod", "module x\ngo 1.16\nrequire example.org/a v1.0.0\n"), ("go.sum", sums)],
            &[
                "stdlib 1.16 prod direct go.mod:2:4 public asked go.mod:2:4",
                "example.org/a v1.0.0 prod direct go.mod:3:9 public asked go.mod:3:9",
                "toolchain 1.16 build direct go.mod:2:4 public asked go.mod:2:4",
                "example.org/t v1.10.0 unknown go.mod:1:1 public",
            ],
        );
        check_flaw("go.mod", "module x\nrequire (\n a v1\n", "a block does not end");
        check_flaw(
            "go.mod",
            "module x\nrequire a\n",
            "go.mod:2:1: malformed (require: is not written as go writes it)",
        );
        check_flaw("go.mod", "hello\n", "names no module");
    }
}
