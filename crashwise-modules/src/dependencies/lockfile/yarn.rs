//! `yarn.lock`: the format of yarn 1, and the YAML of later versions.

use std::collections::HashMap;
use std::ops::Range;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, node_manifest, npm, yaml};

pub(super) const FORMAT: Format = Format { name: "yarn.lock", matches: |name| name == "yarn.lock", parse };

/// A block of the file: the descriptors it answers, and what it says.
#[derive(Debug, Default)]
struct Block {
    descriptors: Vec<String>,
    at: Range<usize>,
    version: String,
    resolved: Option<String>,
    digest: Option<String>,
    needs: Vec<String>,
    may_need: Vec<String>,
    is_project: bool,
}

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let berry = input.text.contains("\n__metadata:") || input.text.starts_with("__metadata:");
    let blocks = if berry { berry_blocks(input.text)? } else { classic_blocks(input.text)? };
    let mut graph = Graph::default();
    let mut answers: HashMap<&str, usize> = HashMap::new();
    for block in &blocks {
        let name = real_name(block);
        let mut node = Node::new(Ecosystem::Npm, name, block.at.clone()).with_version(block.version.as_str());
        node.is_project = block.is_project;
        node.origin = if block.is_project { Origin::Local } else { origin(block) };
        node.digest.clone_from(&block.digest);
        let index = graph.add(node);
        for descriptor in &block.descriptors {
            answers.insert(descriptor, index);
        }
    }
    // A resolution of the manifest answers under another descriptor; it is clear if the name stands there once.
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, block) in blocks.iter().enumerate() {
        by_name.entry(asked_name(block)).or_default().push(index);
    }
    let find = |descriptor: &str| -> Option<usize> {
        if let Some(found) = answers.get(descriptor) {
            return Some(*found);
        }
        let at = descriptor.get(1..)?.find('@')? + 1;
        let (name, wanted) = (&descriptor[..at], &descriptor[at + 1..]);
        if let Some(found) = answers.get(format!("{name}@npm:{wanted}").as_str()) {
            return Some(*found);
        }
        match by_name.get(name)?.as_slice() {
            [only] => Some(*only),
            // A patch stands beside what it patches.
            [first, second] => {
                (blocks[*first].version == blocks[*second].version).then_some(*first.min(second))
            }
            _ => None,
        }
    };
    for (index, block) in blocks.iter().enumerate() {
        if block.is_project {
            continue;
        }
        graph.nodes[index].needs = block.needs.iter().filter_map(|need| find(need)).collect();
        graph.nodes[index].may_need = block.may_need.iter().filter_map(|need| find(need)).collect();
    }
    // What is patched and its patch are needed together.
    for (index, block) in blocks.iter().enumerate() {
        if !block.descriptors.iter().any(|descriptor| descriptor.contains("@patch:")) {
            continue;
        }
        let same = |other: &&usize| **other != index && blocks[**other].version == block.version;
        if let Some(source) = by_name.get(asked_name(block)).and_then(|found| found.iter().find(same)) {
            graph.nodes[*source].needs.push(index);
            graph.nodes[index].needs.push(*source);
        }
    }
    // The lockfile does not say what is asked for: the manifests of the project and its workspaces do.
    for (path, text) in input.below("package.json") {
        let Ok(tree) = super::json::parse(text) else { continue };
        let is_root = path.parent() == input.path.parent();
        for ask in node_manifest::asks(&tree, path) {
            match find(&format!("{}@{}", ask.name, ask.wanted)) {
                Some(need) if graph.nodes[need].is_project => {}
                Some(need) => graph.ask(need, ask.scope, Some(ask.at)),
                // Folders are not locked, and folders below may be projects of their own.
                None if is_root && !ask.is_peer && !ask.wanted.contains([':', '/']) => {
                    let message =
                        format!("asks for {} {}, which the lockfile does not know", ask.name, ask.wanted);
                    graph.mismatch(ask.at, message);
                }
                None => {}
            }
        }
    }
    if graph.roots.is_empty() {
        for block in blocks.iter().filter(|block| block.is_project) {
            for need in block.needs.iter().filter_map(|need| find(need)) {
                graph.ask(need, Scope::Unknown, Some((input.path.clone(), block.at.clone())));
            }
        }
    }
    Ok(graph)
}

/// The name in front of the range of the first descriptor.
fn asked_name(block: &Block) -> &str {
    let descriptor = block.descriptors.first().map_or("", String::as_str);
    let end = descriptor.get(1..).and_then(|rest| rest.find('@')).map_or(descriptor.len(), |at| at + 1);
    &descriptor[..end]
}

/// The name that is fetched, which an alias hides: `alias@npm:real@^1`.
fn real_name(block: &Block) -> &str {
    let descriptor = block.descriptors.first().map_or("", String::as_str);
    let split = |text: &str| text.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1);
    let Some(at) = split(descriptor) else { return descriptor };
    if let Some(alias) = descriptor[at + 1..].strip_prefix("npm:")
        && let Some(end) = split(alias)
    {
        return &alias[..end];
    }
    &descriptor[..at]
}

fn origin(block: &Block) -> Origin {
    let wanted = block.descriptors.first().map_or("", String::as_str);
    let resolved = block.resolved.as_deref();
    if wanted.contains("@file:") || wanted.contains("@link:") || wanted.contains("@portal:") {
        return Origin::Local;
    }
    match resolved.and_then(|text| Some(&text[text.get(1..)?.find('@')? + 2..])) {
        Some(berry) if berry.starts_with("npm:") => Origin::Public,
        Some(berry) if berry.contains(".git#") || berry.starts_with("git") => Origin::Git(berry.to_owned()),
        _ => npm::origin(resolved, ""),
    }
}

fn berry_blocks(text: &str) -> Result<Vec<Block>, Flaw> {
    let tree = yaml::parse(text)?.into_map("a map")?;
    let mut blocks = Vec::new();
    for entry in tree.entries() {
        if entry.key == "__metadata" {
            if let Some(version) = entry.node.get("version")
                && version.text().and_then(|text| text.parse().ok()).is_none_or(|version: u32| version > 10)
            {
                return Err(Flaw::unsupported(version.at.start, "__metadata.version", "is not known"));
            }
            continue;
        }
        let (may_need, needs): (Vec<_>, Vec<_>) =
            entry.node.entries_of("dependencies").iter().partition(|need| {
                let meta = entry.node.path(&["dependenciesMeta", need.key.as_ref()]);
                meta.is_some_and(|meta| meta.is_true("optional"))
            });
        let descriptors = |needs: Vec<&super::tree::Entry<'_>>| -> Vec<String> {
            let needs = needs.into_iter();
            needs.map(|need| format!("{}@{}", need.key, need.node.text().unwrap_or_default())).collect()
        };
        let resolution = entry.node.text_of("resolution").unwrap_or_default();
        blocks.push(Block {
            descriptors: entry.key.split(", ").map(str::to_owned).collect(),
            at: entry.at.clone(),
            version: entry.node.required("version")?.to_owned(),
            is_project: resolution.contains("@workspace:"),
            resolved: Some(resolution.to_owned()),
            digest: entry.node.text_of("checksum").map(str::to_owned),
            needs: descriptors(needs),
            may_need: descriptors(may_need),
        });
    }
    Ok(blocks)
}

fn classic_blocks(text: &str) -> Result<Vec<Block>, Flaw> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut optional = false;
    let mut offset = 0;
    for whole in text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.trim_end();
        let body = line.trim_start();
        let indent = line.len() - body.len();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        if indent == 0 {
            let Some(head) = body.strip_suffix(':') else {
                return Err(Flaw::new(start, "", "expected a line of descriptors that ends with `:`"));
            };
            let descriptors = head.split(", ").map(|text| text.trim_matches('"').to_owned()).collect();
            blocks.push(Block { descriptors, at: start..start + head.len(), ..Block::default() });
            continue;
        }
        let Some(block) = blocks.last_mut() else {
            return Err(Flaw::new(start, "", "an entry stands before any descriptor"));
        };
        if indent >= 4 {
            let (name, wanted) = body.rsplit_once(' ').unwrap_or((body, ""));
            let (name, wanted) = match body.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                Some((name, wanted)) => (name, wanted.trim()),
                None => body.split_once(' ').unwrap_or((name, wanted)),
            };
            let need = format!("{name}@{}", wanted.trim_matches('"'));
            if optional { &mut block.may_need } else { &mut block.needs }.push(need);
            continue;
        }
        let (key, value) = body.split_once(' ').unwrap_or((body, ""));
        let value = value.trim().trim_matches('"');
        match key {
            "version" => value.clone_into(&mut block.version),
            "resolved" => block.resolved = Some(value.to_owned()),
            "integrity" => block.digest = Some(value.to_owned()),
            "optionalDependencies:" => optional = true,
            "dependencies:" => optional = false,
            _ => {}
        }
    }
    match blocks.iter().find(|block| block.version.is_empty()) {
        Some(block) => Err(Flaw::new(block.at.start, "version", "is missing")),
        None if blocks.is_empty() && !text.contains("yarn lockfile") => {
            Err(Flaw::new(0, "", "holds no descriptors: this is no yarn.lock"))
        }
        None => Ok(blocks),
    }
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn classic() {
        let lock = "# yarn lockfile v1\n\n\n\"@s/a@^1.0.0\", \"@s/a@^1.1.0\":\n  version \"1.2.0\"\n  resolved \"https://registry.yarnpkg.com/@s/a/-/a-1.2.0.tgz#00\"\n  integrity sha512-x\n  dependencies:\n    b \"^2.0.0 || ^3\"\n\nalias@npm:real@^1:\n  version \"1.9.0\"\n\n\"b@^2.0.0 || ^3\":\n  version \"3.0.0\"\n";
        let manifest =
            "{\"dependencies\": {\"@s/a\": \"^1.0.0\"}, \"devDependencies\": {\"alias\": \"npm:real@^1\"}}";
        check(
            &[("yarn.lock", lock), ("package.json", manifest)],
            &[
                "@s/a 1.2.0 prod direct yarn.lock:4:1 public asked package.json:1:19",
                "real 1.9.0 dev direct yarn.lock:11:1 public asked package.json:1:58",
                "b 3.0.0 prod via @s/a yarn.lock:14:1 public",
            ],
        );
        check_flaw("yarn.lock", "nonsense\n", "yarn.lock:1:1: malformed (expected a line of descriptors");
        check_flaw("yarn.lock", "a@1:\n  resolved \"x\"\n", "version: is missing");
    }

    #[test]
    fn berry() {
        let lock = "__metadata:\n  version: 8\n\n\"a@npm:^1.0.0\":\n  version: 1.2.0\n  resolution: \"a@npm:1.2.0\"\n  dependencies:\n    b: \"npm:^2.0.0\"\n  languageName: node\n  linkType: hard\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n  dependencies:\n    a: \"npm:^1.0.0\"\n  linkType: soft\n\n\"b@npm:^2.0.0\":\n  version: 2.0.0\n  resolution: \"b@npm:2.0.0\"\n";
        check(
            &[("yarn.lock", lock), ("package.json", "{\"devDependencies\": {\"a\": \"^1.0.0\"}}")],
            &[
                "a 1.2.0 dev direct yarn.lock:4:1 public asked package.json:1:22",
                "b 2.0.0 dev via a yarn.lock:19:1 public",
            ],
        );
        check(
            &[("yarn.lock", lock)],
            &[
                "a 1.2.0 unknown direct yarn.lock:4:1 public asked yarn.lock:12:1",
                "b 2.0.0 unknown via a yarn.lock:19:1 public",
            ],
        );
    }
}
