//! `mix.lock`: a map of Elixir terms; what is direct, and for what, comes from `mix.exs`.

use std::collections::HashMap;

use crate::dependencies::inventory::{Origin, Scope};
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, constraint};

pub(super) const FORMAT: Format = Format { name: "mix.lock", matches: |name| name == "mix.lock", parse };

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    if !input.text.trim_start().starts_with("%{") {
        return Err(Flaw::new(0, "", "expected `%{`: this is no mix.lock"));
    }
    if !input.text.trim_end().ends_with('}') {
        return Err(Flaw::new(input.text.len(), "", "the file ends too early"));
    }
    let mut graph = Graph::default();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut needs: Vec<(usize, &str, bool)> = Vec::new();
    let mut offset = 0;
    for whole in input.text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.trim();
        let Some((name, term)) = line.strip_prefix('"').and_then(|rest| rest.split_once("\": ")) else {
            continue;
        };
        let begin = start + whole.find('"').unwrap_or_default();
        let at = begin..begin + name.len() + 2;
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
        let mut offset = 0;
        for whole in text.split_inclusive('\n') {
            let start = offset;
            offset += whole.len();
            let line = whole.split('#').next().unwrap_or_default().trim();
            let Some(rest) = line.strip_prefix("{:") else { continue };
            let Some((name, ask)) = rest.split_once(',') else { continue };
            let begin = start + whole.find("{:").unwrap_or_default();
            let at = (path.clone(), begin..begin + line.trim_end_matches(',').len());
            let name = name.trim();
            let wanted = ask.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let wanted = wanted.map(|(wanted, _)| wanted);
            let Some(need) = by_name.get(name).copied() else {
                if is_locked(wanted, ask) {
                    graph.mismatch(at, format!("asks for {name}, which the lockfile does not know"));
                }
                continue;
            };
            if let (Some(wanted), Some(version)) = (wanted, graph.nodes[need].version.as_deref())
                && constraint::elixir(wanted, version) == Some(false)
            {
                let message = format!("asks for {name} {wanted}, the lockfile has {version}");
                graph.mismatch(at.clone(), message);
            }
            graph.ask(need, scope_of(rest), Some(at));
        }
    }
    Ok(graph)
}

/// The name of the repository, the text after the list of needs.
fn repository(term: &str) -> Option<&str> {
    term.rsplit_once("], \"")?.1.split('"').next()
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
        check_flaw("mix.lock", "%{\n  \"a\": {:hex,", "the file ends too early");
        check_flaw("mix.lock", "x", "this is no mix.lock");
    }
}
