//! `requirements*.txt`: pinned requirements, with `-r` and `-c`, hashes, markers and continued lines.

use std::collections::BTreeMap;
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::Format;
use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::python_manifest::{fold, requirement_name};

pub(super) const FORMAT: Format = Format {
    name: "requirements.txt",
    matches: |name| {
        let name = name.to_ascii_lowercase();
        let listed = name.rsplit_once('.').is_some_and(|(_, end)| end == "txt")
            && (name.contains("requirements") || name.contains("constraints"));
        // Inputs of pip-compile hold no versions of their own; their outputs do.
        listed || name == "requirements.pip"
    },
    parse,
};

/// Whether a file is one of a folder of requirements, such as `requirements/base.txt`.
pub(super) fn is_in_folder(path: &RelPath) -> bool {
    path.as_str().rsplit('.').next() == Some("txt")
        && path.parent().is_some_and(|folder| folder.file_name() == "requirements")
}

/// Files that include each other are followed this deep.
const MAX_INCLUDES: usize = 32;

#[allow(clippy::unnecessary_wraps, reason = "every format has this shape")]
fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut graph = Graph::default();
    let scope = scope_of(input.path);
    let mut constraints: BTreeMap<String, String> = BTreeMap::new();
    collect_constraints(input, &mut constraints, &mut Vec::new());
    for line in lines(input.text) {
        let Line { text, at } = line;
        if text.starts_with("-e ")
            || text.starts_with("--editable")
            || text.starts_with('.')
            || text.starts_with('/')
        {
            continue;
        }
        if let Some(included) = option(&text, &["-r", "--requirement", "-c", "--constraint"]) {
            // An included file is read as a file of its own; what matters here is that it is there.
            if input.beside(included).is_none() && !included.contains("://") {
                graph.notes.push(Flaw::new(at.start, included, "is included and was not found"));
            }
            continue;
        }
        if text.starts_with('-') {
            continue;
        }
        add(input, &mut graph, &text, at, scope, &constraints);
    }
    Ok(graph)
}

fn add(
    input: &Input<'_>,
    graph: &mut Graph,
    text: &str,
    at: Range<usize>,
    scope: Scope,
    constraints: &BTreeMap<String, String>,
) {
    let name = requirement_name(text);
    if name.is_empty() || text.contains("://") && !text[name.len()..].trim_start().starts_with(['@', '[']) {
        // A bare address names no package.
        if !text.contains("://") {
            graph.notes.push(Flaw::new(at.start, "", "is no requirement"));
        }
        return;
    }
    let mut rest = text[name.len()..].trim_start();
    if let Some((_, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        rest = after.trim_start();
    }
    let digest =
        text.split_once("--hash=").map(|(_, hash)| hash.split_whitespace().next().unwrap_or_default());
    let specifier = rest.split([';', '#']).next().unwrap_or_default();
    let specifier = specifier.split("--hash").next().unwrap_or_default().trim();
    let mut node = Node::new(Ecosystem::PyPi, name, at.start..at.end);
    if let Some(address) = specifier.strip_prefix('@') {
        let address = address.trim();
        node.origin = if address.starts_with("git+") {
            Origin::Git(address.to_owned())
        } else if address.starts_with("file:") {
            Origin::Local
        } else {
            Origin::Url(address.to_owned())
        };
    } else {
        node.version = pinned(specifier).or_else(|| constraints.get(&fold(name)).cloned());
    }
    node.digest = digest.map(str::to_owned);
    // A version with hashes cannot be raised alone.
    if let Some(version) = node.version.as_deref().filter(|_| digest.is_none())
        && let Some(line) = input.text.get(at.clone())
    {
        let offset = line.find("==").and_then(|equals| Some(equals + line[equals..].find(version)?));
        node.pin = offset.map(|offset| at.start + offset..at.start + offset + version.len());
    }
    let index = graph.add(node);
    graph.ask(index, scope, Some((input.path.clone(), at)));
}

/// The version of `==1.0` or `===1.0`; a wildcard and a range settle nothing.
fn pinned(specifier: &str) -> Option<String> {
    let specifier = specifier.trim_matches(['(', ')', ' ']);
    let version = specifier.strip_prefix("===").or_else(|| specifier.strip_prefix("=="))?.trim();
    (!version.is_empty() && !version.contains(['*', ',', ' '])).then(|| version.to_owned())
}

/// The versions that constraint files, and the files they include, settle.
fn collect_constraints(input: &Input<'_>, out: &mut BTreeMap<String, String>, seen: &mut Vec<RelPath>) {
    if seen.len() >= MAX_INCLUDES || seen.contains(input.path) {
        return;
    }
    seen.push(input.path.clone());
    for line in lines(input.text) {
        if let Some(included) = option(&line.text, &["-c", "--constraint"])
            && let Some((path, text)) = input.beside(included)
        {
            for pin in lines(text) {
                let name = requirement_name(&pin.text);
                let specifier = pin.text[name.len()..].split([';', '#']).next().unwrap_or_default();
                if let Some(version) = pinned(specifier.split("--hash").next().unwrap_or_default().trim()) {
                    out.entry(fold(name)).or_insert(version);
                }
            }
            collect_constraints(&Input { path, text, files: input.files }, out, seen);
        }
    }
}

fn option<'t>(text: &'t str, names: &[&str]) -> Option<&'t str> {
    names.iter().find_map(|name| {
        let rest = text.strip_prefix(name)?;
        let value = rest
            .strip_prefix('=')
            .or_else(|| rest.strip_prefix(' '))
            .or_else(|| (!name.starts_with("--") && !rest.starts_with('-')).then_some(rest))?;
        Some(value.split(" #").next().unwrap_or_default().trim())
    })
}

/// What files of a usual name are for.
fn scope_of(path: &RelPath) -> Scope {
    let name = path.as_str().to_ascii_lowercase();
    let has =
        |words: &[&str]| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| words.contains(&part));
    if has(&["test", "tests", "testing"]) {
        Scope::Test
    } else if has(&["dev", "develop", "development", "docs", "doc", "lint", "typing", "ci"]) {
        Scope::Dev
    } else {
        Scope::Prod
    }
}

struct Line {
    text: String,
    at: Range<usize>,
}

/// The lines without comments, continued ones joined.
fn lines(text: &str) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    let mut continued = false;
    let mut offset = 0;
    for whole in text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.trim_end_matches(['\n', '\r']);
        let (body, more) = line.strip_suffix('\\').map_or((line, false), |body| (body, true));
        let body = if body.trim_start().starts_with('#') { "" } else { body };
        let body = body.find(" #").map_or(body, |at| &body[..at]);
        if continued && let Some(last) = out.last_mut() {
            last.text.push(' ');
            last.text.push_str(body.trim());
        } else {
            let indent = body.len() - body.trim_start().len();
            let at = start + indent..start + indent + body.trim().len();
            out.push(Line { text: body.trim().to_owned(), at });
        }
        continued = more;
    }
    out.retain(|line| !line.text.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn pins_hashes_markers_and_includes() {
        let text = "# comment\n-c constraints.txt\n--index-url https://pypi.example/simple\nDjango[argon2]==4.2.1 ; python_version >= \"3.8\"  # why\nlxml==4.9.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nflask>=2\nrequests\n-e .\ntool @ git+https://git.example/tool@abc\nwild==1.*\n";
        check(
            &[("requirements.txt", text), ("constraints.txt", "requests==2.31.0\n")],
            &[
                "requests 2.31.0 prod direct constraints.txt:1:1 public asked constraints.txt:1:1",
                "Django 4.2.1 prod direct requirements.txt:4:1 public asked requirements.txt:4:1",
                "lxml 4.9.0 prod direct requirements.txt:5:1 public asked requirements.txt:5:1",
                "flask - prod direct requirements.txt:8:1 public asked requirements.txt:8:1",
                "requests 2.31.0 prod direct requirements.txt:9:1 public asked requirements.txt:9:1",
                "tool - prod direct requirements.txt:11:1 git asked requirements.txt:11:1",
                "wild - prod direct requirements.txt:12:1 public asked requirements.txt:12:1",
            ],
        );
        check(
            &[("requirements-dev.txt", "pytest===7.0\n")],
            &["pytest 7.0 dev direct requirements-dev.txt:1:1 public asked requirements-dev.txt:1:1"],
        );
        check_flaw(
            "requirements.txt",
            "-r gone.txt\na==1\n",
            "requirements.txt:1:1: malformed (gone.txt: is included and was not found)",
        );
    }

    #[test]
    fn files_that_include_each_other_end() {
        check(
            &[("requirements.txt", "-c requirements.txt\na==1\n")],
            &["a 1 prod direct requirements.txt:2:1 public asked requirements.txt:2:1"],
        );
    }
}
