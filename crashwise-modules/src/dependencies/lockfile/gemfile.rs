//! `Gemfile.lock` and `gems.locked`; groups come from the `Gemfile`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::Format;
use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;

pub(super) const FORMAT: Format = Format {
    name: "Gemfile.lock",
    matches: |name| matches!(name, "Gemfile.lock" | "gems.locked" | "Gemfile.next.lock"),
    parse,
};

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut graph = Graph::default();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut needs: Vec<(usize, &str)> = Vec::new();
    let mut asked: Vec<(&str, Range<usize>)> = Vec::new();
    let mut section = "";
    let mut origin = Origin::Public;
    let mut last = None;
    let mut offset = 0;
    for whole in input.text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.trim_end();
        let body = line.trim_start();
        let indent = line.len() - body.len();
        if body.is_empty() {
            continue;
        }
        if indent == 0 {
            section = body;
            origin = match section {
                "PATH" => Origin::Local,
                _ => Origin::Public,
            };
            continue;
        }
        match (section, indent) {
            ("GEM" | "GIT" | "PATH" | "PLUGIN SOURCE", 2) => {
                let remote = body.strip_prefix("remote: ");
                let revision = body.strip_prefix("revision: ");
                origin = match (section, remote) {
                    ("GIT", None) => match (origin, revision) {
                        (Origin::Git(address), Some(revision)) => {
                            Origin::Git(format!("{address}#{revision}"))
                        }
                        (origin, _) => origin,
                    },
                    ("GIT", Some(remote)) => Origin::Git(remote.to_owned()),
                    ("GEM", Some(remote)) if !remote.contains("://rubygems.") => {
                        Origin::Registry(remote.to_owned())
                    }
                    _ => origin,
                };
            }
            ("GEM" | "GIT" | "PATH" | "PLUGIN SOURCE", 4) => {
                let Some((name, version)) = body.split_once(" (") else {
                    return Err(Flaw::new(start, "specs", "expected a name and a version in parentheses"));
                };
                let version = without_platform(version.trim_end_matches(')'));
                let at = start + indent..start + indent + name.len();
                let node = Node::new(Ecosystem::RubyGems, name, at)
                    .with_version(version)
                    .with_origin(origin.clone());
                let known = by_name
                    .get(name)
                    .filter(|known| graph.nodes[**known].version.as_deref() == Some(version));
                // The same version for several platforms is one package.
                let index = match known {
                    Some(known) => *known,
                    None => graph.add(node),
                };
                by_name.insert(name, index);
                last = Some(index);
            }
            ("GEM" | "GIT" | "PATH" | "PLUGIN SOURCE", _) => {
                if let Some(last) = last {
                    needs.push((last, body.split([' ', '(']).next().unwrap_or(body)));
                }
            }
            ("DEPENDENCIES", _) => {
                let name = body.split([' ', '(', '!']).next().unwrap_or(body);
                asked.push((name, start + indent..start + indent + body.len()));
            }
            _ => {}
        }
    }
    if !input.text.contains("DEPENDENCIES") {
        return Err(Flaw::new(input.text.len(), "DEPENDENCIES", "is missing: the file ends too early"));
    }
    for (index, need) in needs {
        if let Some(need) = by_name.get(need) {
            graph.nodes[index].needs.push(*need);
        }
    }
    ask(input, &mut graph, &by_name, asked);
    Ok(graph)
}

/// Asks for the gems of the last section, as the `Gemfile` and the gemspecs say.
fn ask(
    input: &Input<'_>,
    graph: &mut Graph,
    by_name: &HashMap<&str, usize>,
    asked: Vec<(&str, Range<usize>)>,
) {
    let manifest = input.beside("Gemfile").or_else(|| input.beside("gems.rb"));
    let lines = manifest.map(|(path, text)| (path, gems(text)));
    let specs = gemspecs(input);
    // A Gemfile is a program: only one without conditions asks for every gem that it names.
    let is_plain = |text: &str| {
        let conditions = ["if ", "unless ", "case ", "eval_gemfile", "install_if"];
        !text.lines().any(|line| {
            let line = line.trim_start();
            conditions.iter().any(|word| line.starts_with(word) || line.contains(&format!(" {word}")))
        })
    };
    if let (Some((path, gems)), true) = (&lines, manifest.is_some_and(|(_, text)| is_plain(text))) {
        let asked: HashSet<&str> = asked.iter().map(|(name, _)| *name).collect();
        for (gem, _, at) in gems.iter().filter(|gem| !asked.contains(gem.0)) {
            let message = format!("asks for {gem}, which the lockfile was not made for");
            graph.mismatch(((*path).clone(), at.clone()), message);
        }
    }
    // A gem that the Gemfile does not spell out comes from a gemspec.
    let mut places: HashMap<&str, (Scope, &RelPath, &Range<usize>)> = HashMap::new();
    for (path, (name, scope, at)) in
        lines.iter().flat_map(|(path, gems)| gems.iter().map(move |gem| (*path, gem)))
    {
        places.entry(name).or_insert((*scope, path, at));
    }
    for (name, scope, (path, at)) in &specs {
        places.entry(name).or_insert((*scope, path, at));
    }
    for (name, at) in asked {
        let Some(need) = by_name.get(name) else { continue };
        if let Some((scope, path, at)) = places.get(name) {
            graph.ask(*need, *scope, Some(((*path).clone(), (*at).clone())));
        } else {
            let scope = if lines.is_some() { Scope::Prod } else { Scope::Unknown };
            graph.ask(*need, scope, Some((input.path.clone(), at)));
        }
    }
}

/// The version without the platform that may follow it: `1.13.0-x86_64-linux`.
fn without_platform(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

/// A gem, what for, and the place that asks.
type Asked<'a> = (&'a str, Scope, (&'a RelPath, Range<usize>));

/// What the gemspecs beside the lockfile ask for.
fn gemspecs<'a>(input: &Input<'a>) -> Vec<Asked<'a>> {
    let folder = input.path.parent();
    let mut out = Vec::new();
    for (path, text) in input.files.iter() {
        if !path.file_name().ends_with(".gemspec") || path.parent() != folder {
            continue;
        }
        let mut offset = 0;
        for whole in text.split_inclusive('\n') {
            let start = offset;
            offset += whole.len();
            let line = whole.trim();
            let scope = if line.contains(".add_development_dependency") {
                Scope::Dev
            } else if line.contains(".add_dependency") || line.contains(".add_runtime_dependency") {
                Scope::Prod
            } else {
                continue;
            };
            let Some(name) = line.split(['"', '\'']).nth(1) else { continue };
            let begin = start + whole.len() - whole.trim_start().len();
            out.push((name, scope, (path, begin..begin + line.len())));
        }
    }
    out
}

/// What in a `Gemfile` asks for gems outside the project.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    let is_fetched = |at: &Range<usize>| !input.text[at.clone()].contains("path:");
    gems(input.text).into_iter().map(|(_, _, at)| at).filter(is_fetched).collect()
}

/// The `gem` lines of a `Gemfile`, with the scope of the groups around them or on them.
fn gems(text: &str) -> Vec<(&str, Scope, Range<usize>)> {
    let mut out = Vec::new();
    // One entry per open block; the scope of a group, or what holds outside it.
    let mut blocks: Vec<Scope> = Vec::new();
    let mut offset = 0;
    for whole in text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.split('#').next().unwrap_or_default().trim();
        let outer = blocks.last().copied().unwrap_or(Scope::Prod);
        if line == "end" {
            blocks.pop();
        } else if line.ends_with(" do") || line.contains(" do |") {
            blocks.push(if line.starts_with("group") { scope_of(line) } else { outer });
        } else if ["if ", "unless ", "case ", "begin"].iter().any(|word| line.starts_with(word)) {
            blocks.push(outer);
        } else if let Some(rest) = line.strip_prefix("gem ").or_else(|| line.strip_prefix("gem(")) {
            let Some(name) = rest.split(['"', '\'']).nth(1) else { continue };
            let own = if line.contains("group") { scope_of(line) } else { outer };
            let indent = whole.len() - whole.trim_start().len();
            out.push((name, own, start + indent..start + indent + line.len()));
        }
    }
    out
}

/// The scope of the groups that a line names: production if any of them is neither development nor test.
fn scope_of(line: &str) -> Scope {
    let after = line.split_once("group").map_or(line, |(_, after)| after);
    let names: Vec<&str> = after
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| !matches!(*word, "" | "s" | "do" | "optional" | "true" | "false"))
        .collect();
    let is_dev =
        |name: &&str| matches!(*name, "development" | "dev" | "test" | "ci" | "lint" | "docs" | "doc");
    if names.is_empty() || !names.iter().all(is_dev) {
        return Scope::Prod;
    }
    if names.iter().all(|name| *name == "test") { Scope::Test } else { Scope::Dev }
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    const LOCK: &str = "GIT\n  remote: https://git.example/g.git\n  revision: abc\n  specs:\n    g (0.1.0)\n\nGEM\n  remote: https://gems.example/\n  specs:\n    nokogiri (1.13.0-x86_64-linux)\n      racc (~> 1.4)\n    nokogiri (1.13.0-arm64-darwin)\n      racc (~> 1.4)\n    racc (1.6.0)\n    rspec (3.0.0)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  g!\n  nokogiri (~> 1.13)\n  rspec\n";

    #[test]
    fn platforms_and_groups() {
        let gemfile = "source 'https://gems.example'\ngem 'nokogiri', '~> 1.13'\ngem \"g\", git: 'https://git.example/g.git'\ngroup :development, :test do\n  gem 'rspec' # tests\nend\n";
        check(
            &[("Gemfile.lock", LOCK), ("Gemfile", gemfile)],
            &[
                "g 0.1.0 prod direct Gemfile.lock:5:5 git asked Gemfile:3:1",
                "nokogiri 1.13.0 prod direct Gemfile.lock:10:5 registry asked Gemfile:2:1",
                "racc 1.6.0 prod via nokogiri Gemfile.lock:14:5 registry",
                "rspec 3.0.0 dev direct Gemfile.lock:15:5 registry asked Gemfile:5:3",
            ],
        );
        check_flaw(
            "Gemfile.lock",
            "GEM\n  specs:\n    a (1.0)\n",
            "DEPENDENCIES: is missing: the file ends too early",
        );
        check_flaw(
            "Gemfile.lock",
            "GEM\n  specs:\n    a\n",
            "Gemfile.lock:3:1: malformed (specs: expected a name and a version in parentheses)",
        );
    }
}
