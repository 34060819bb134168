//! `mix.lock`: a map of Elixir terms; what is direct, and for what, comes from `mix.exs`.

use std::collections::HashMap;
use std::ops::Range;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, constraint};

pub(super) const FORMAT: Format = Format { name: "mix.lock", matches: |name| name == "mix.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut graph = Graph::default();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut needs: Vec<(usize, &str, bool)> = Vec::new();
    for (name, at, term) in entries(input.text)? {
        let begin = at.start;
        let texts: Vec<&str> = term.split('"').skip(1).step_by(2).collect();
        let mut node = if let Some(rest) = term.strip_prefix("{:hex, ") {
            // `{:hex, :name, "version", "hash", [managers], [needs], "repository", "hash"}`
            let package = rest.split(',').next().unwrap_or_default();
            let package = package.trim().trim_start_matches(':').trim_matches('"');
            let version = texts.iter().find(|text| **text != package);
            let Some(version) = version else {
                return Err(Flaw::new(begin, name, "has no version"));
            };
            let mut node = Node::new(Ecosystem::Hex, package, at).with_version(*version);
            node.digest = texts.get(1).map(|hash| format!("sha256:{hash}"));
            if let Some(repository) = repository(term)
                && repository != "hexpm"
            {
                node.origin = Origin::Registry(repository.to_owned());
            }
            node
        } else if term.starts_with("{:git, ") {
            let address = texts.first().copied().unwrap_or_default();
            let revision = texts.get(1).copied().unwrap_or_default();
            Node::new(Ecosystem::Hex, name, at).with_origin(Origin::Git(format!("{address}#{revision}")))
        } else {
            return Err(Flaw::new(begin, name, "expected a :hex or :git source"));
        };
        node.scope = None;
        let index = graph.add(node);
        by_name.insert(name, index);
        for need in term.split("{:").skip(2) {
            let need_name = need.split(',').next().unwrap_or_default().trim();
            needs.push((index, need_name, need.contains("optional: true")));
        }
    }
    for (index, need, optional) in needs {
        if let Some(need) = by_name.get(need) {
            let node = &mut graph.nodes[index];
            if optional { &mut node.may_need } else { &mut node.needs }.push(*need);
        }
    }
    if let Some((path, text)) = input.beside("mix.exs") {
        for ask in asks(text) {
            let at = (path.clone(), ask.at);
            let name = ask.name;
            let Some(need) = by_name.get(name).copied() else {
                if is_locked(ask.wanted, ask.rest) {
                    graph.mismatch(at, format!("asks for {name}, which the lockfile does not know"));
                }
                continue;
            };
            if let (Some(wanted), Some(version)) = (ask.wanted, graph.nodes[need].version.as_deref())
                && constraint::elixir(wanted, version) == Some(false)
            {
                let message = format!("asks for {name} {wanted}, the lockfile has {version}");
                graph.mismatch(at.clone(), message);
            }
            graph.ask(need, scope_of(ask.rest), Some(at));
        }
    }
    Ok(graph)
}

/// A name, its bytes with quotes, and the tuple that it stands for.
type Entry<'a> = (&'a str, Range<usize>, &'a str);

/// The entries of the map.
fn entries(text: &str) -> Result<Vec<Entry<'_>>, Flaw> {
    let early = || Flaw::new(text.len(), "", "the file ends too early");
    let quoted = |at: usize| text[at + 1..].find('"').map(|length| at + length + 2).ok_or_else(early);
    let blank = |at: usize| text[at..].find(|c: char| !c.is_whitespace()).map(|length| at + length);
    let mut at = text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len());
    if !text[at..].starts_with("%{") {
        return Err(Flaw::new(0, "", "expected `%{`: this is no mix.lock"));
    }
    at += 2;
    let mut out = Vec::new();
    loop {
        at = blank(at).ok_or_else(early)?;
        match text.as_bytes()[at] {
            b'}' if blank(at + 1).is_none() => return Ok(out),
            b',' => at += 1,
            b'"' => {
                let name = at..quoted(at)?;
                let odd = || Flaw::new(at, "", "expected a name and a tuple");
                let colon =
                    blank(name.end).filter(|colon| text[*colon..].starts_with(':')).ok_or_else(odd)?;
                let start =
                    blank(colon + 1).filter(|start| text[*start..].starts_with('{')).ok_or_else(odd)?;
                let (mut depth, mut end) = (0_u32, start);
                loop {
                    end += text[end..].find(['{', '}', '"']).ok_or_else(early)?;
                    match text.as_bytes()[end] {
                        b'"' => end = quoted(end)?,
                        b'{' => (depth, end) = (depth + 1, end + 1),
                        _ => (depth, end) = (depth - 1, end + 1),
                    }
                    if depth == 0 {
                        break;
                    }
                }
                out.push((&text[name.start + 1..name.end - 1], name, &text[start..end]));
                at = end;
            }
            _ => return Err(Flaw::new(at, "", "expected a name and a tuple")),
        }
    }
}

/// The name of the repository, the text after the list of needs.
fn repository(term: &str) -> Option<&str> {
    term.rsplit_once("], \"")?.1.split('"').next()
}

/// A tuple of `mix.exs` that begins with a name.
struct Ask<'a> {
    name: &'a str,
    /// The requirement, if one comes next.
    wanted: Option<&'a str>,
    /// What follows the name.
    rest: &'a str,
    at: Range<usize>,
}

/// The lines of `mix.exs` that may ask for something.
fn asks(text: &str) -> Vec<Ask<'_>> {
    let mut out = Vec::new();
    let mut offset = 0;
    for whole in text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.split('#').next().unwrap_or_default().trim();
        let Some((name, rest)) = line.strip_prefix("{:").and_then(|rest| rest.split_once(',')) else {
            continue;
        };
        let begin = start + whole.find("{:").unwrap_or_default();
        let wanted = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let wanted = wanted.map(|(wanted, _)| wanted);
        let at = begin..begin + line.trim_end_matches(',').len();
        out.push(Ask { name: name.trim(), wanted, rest, at });
    }
    out
}

/// What in a `mix.exs` asks for packages outside the project.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    let is_fetched = |ask: &Ask<'_>| is_locked(ask.wanted, ask.rest);
    asks(input.text).into_iter().filter(is_fetched).map(|ask| ask.at).collect()
}

/// Whether a line of `mix.exs` asks for something that is locked: what has a requirement or comes from a repository,
/// and does not lie beside the project. Other tuples begin with a name too.
fn is_locked(wanted: Option<&str>, ask: &str) -> bool {
    let has = |key: &str| ask.contains(key);
    let is_requirement = wanted.is_some_and(|wanted| constraint::elixir(wanted, "0.0.0").is_some());
    (is_requirement || has("git:") || has("github:")) && !has(" path:") && !has("in_umbrella:")
}

/// What `only:` says.
fn scope_of(line: &str) -> Scope {
    let Some((_, only)) = line.split_once("only:") else { return Scope::Prod };
    let only = only.split([']', '}']).next().unwrap_or_default();
    if only.contains(":prod") {
        Scope::Prod
    } else if only.contains(":dev") {
        Scope::Dev
    } else if only.contains(":test") {
        Scope::Test
    } else {
        Scope::Dev
    }
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn terms_and_manifest() {
        let lock = "%{\n  \"jason\": {:hex, :jason, \"1.4.0\", \"aa\", [:mix], [{:decimal, \"~> 1.0 or ~> 2.0\", [hex: :decimal, repo: \"hexpm\", optional: true]}], \"hexpm\", \"bb\"},\n  \"decimal\": {:hex, :decimal, \"2.0.0\", \"aa\", [:mix], [], \"hexpm\", \"bb\"},\n  \"credo\": {:hex, :credo, \"1.7.0\", \"aa\", [:mix], [{:jason, \"~> 1.0\", [hex: :jason, repo: \"hexpm\", optional: false]}], \"acme\", \"bb\"},\n  \"fork\": {:git, \"https://git.example/fork.git\", \"abc\", []},\n}\n";
        let manifest = "defp deps do\n  [\n    {:jason, \"~> 1.4\"},\n    {:credo, \"~> 1.7\", only: [:dev, :test]},\n    {:fork, git: \"https://git.example/fork.git\", only: :test}\n  ]\nend\n";
        check(
            &[("mix.lock", lock), ("mix.exs", manifest)],
            &[
                "jason 1.4.0 prod direct mix.lock:2:3 public asked mix.exs:3:5",
                "decimal 2.0.0 optional via jason mix.lock:3:3 public",
                "credo 1.7.0 dev direct mix.lock:4:3 registry asked mix.exs:4:5",
                "fork - test direct mix.lock:5:3 git asked mix.exs:5:5",
            ],
        );
        // As older versions of Mix wrote it, and all on one line.
        for (lock, a, b) in [
            (
                "%{\"a\": {:hex, :a, \"1.0.0\"},\n  \"b\": {:hex, :b, \"2.0.0\", \"}{\", [:mix], [{:a, \">= 0\", [hex: :a]}]}}\n",
                "1:3",
                "2:3",
            ),
            (
                "%{ \"a\": {:hex, :a, \"1.0.0\"}, \"b\" : {:hex, :b, \"2.0.0\", \"\", [:mix], [{:a, \">= 0\", []}]}, }",
                "1:4",
                "1:30",
            ),
        ] {
            let a = format!("a 1.0.0 unknown via b mix.lock:{a} public");
            check(&[("mix.lock", lock)], &[&a, &format!("b 2.0.0 unknown direct mix.lock:{b} public")]);
        }
        check_flaw("mix.lock", "%{\n  \"a\": {:hex,", "the file ends too early");
        for odd in
            ["%{a: {:hex}}", "%{\"a\" {:hex}}", "%{\"a\": :hex}", "%{}}", "%{\u{e4}}", "%{\"a\" \u{e4} {}}"]
        {
            check_flaw("mix.lock", odd, "mix.lock:1:");
        }
        check_flaw("mix.lock", "x", "this is no mix.lock");
    }
}
