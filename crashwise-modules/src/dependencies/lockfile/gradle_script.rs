//! `build.gradle` and `build.gradle.kts`: programs, of which only lines that spell out what they ask for are read.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::Scope;
use crate::dependencies::version::Order;

use super::graph::Graph;
use super::input::Input;
use super::toml;
use super::tree::Node as Tree;

/// The configurations that ask, and those that a lockfile has of them.
const CONFIGURATIONS: [(&str, &[&str]); 11] = [
    ("api", &["compileClasspath", "runtimeClasspath"]),
    ("implementation", &["compileClasspath", "runtimeClasspath"]),
    ("compile", &["compileClasspath", "runtimeClasspath"]),
    ("compileOnly", &["compileClasspath"]),
    ("runtimeOnly", &["runtimeClasspath"]),
    ("testImplementation", &["testCompileClasspath", "testRuntimeClasspath"]),
    ("testCompile", &["testCompileClasspath", "testRuntimeClasspath"]),
    ("testCompileOnly", &["testCompileClasspath"]),
    ("testRuntimeOnly", &["testRuntimeClasspath"]),
    ("annotationProcessor", &["annotationProcessor"]),
    ("testAnnotationProcessor", &["testAnnotationProcessor"]),
];

/// Most things that one script asks for; one line may name a bundle of many.
const MAX_ASKS: usize = 50_000;
/// Words of scripts in which a line may not be about this project, or not always.
const CONDITIONS: [&str; 6] = ["subprojects", "allprojects", "if (", "if(", "when (", "exclude("];
/// Words of scripts in which a version may be lowered elsewhere.
const OVERRIDES: [&str; 4] = ["strictly", "force", "resolutionStrategy", "enforcedPlatform"];

/// One thing that a script asks for.
#[derive(Debug, PartialEq, Eq)]
struct Ask {
    configuration: &'static str,
    /// `group:artifact`.
    module: String,
    version: Option<String>,
    at: Range<usize>,
}

/// Asks for what the script beside a lockfile spells out, and notes what the lockfile does not have of it.
pub(super) fn ask(input: &Input<'_>, graph: &mut Graph) {
    let Some((path, text)) = input.beside("build.gradle").or_else(|| input.beside("build.gradle.kts")) else {
        return;
    };
    let catalog = Catalog::of(input);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let (is_plain, is_settled) = (!has(&CONDITIONS), !has(&OVERRIDES));
    let locked = locked_configurations(input.text);
    let mut by_module: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        by_module.entry(node.name.clone()).or_default().push(index);
    }
    for ask in asks(text, catalog.as_ref()) {
        let at = (path.clone(), ask.at.clone());
        let Some(found) = by_module.get(&ask.module) else {
            if is_plain && locked.contains(&ask.configuration) {
                graph.mismatch(at, format!("asks for {}, which the lockfile does not know", ask.module));
            }
            continue;
        };
        if let Some(wanted) = ask.version.as_deref().filter(|_| is_settled) {
            let key = |version: &str| Order::Maven.key(version).ok();
            let versions: Vec<&str> =
                found.iter().filter_map(|index| graph.nodes[*index].version.as_deref()).collect();
            // Another package may ask for a later one.
            if key(wanted).is_some_and(|wanted| {
                versions.iter().all(|version| key(version).is_some_and(|version| version < wanted))
            }) {
                let message =
                    format!("asks for {} {wanted}, the lockfile has {}", ask.module, versions.join(", "));
                graph.mismatch(at.clone(), message);
            }
        }
        for index in found.iter().copied() {
            let scope = graph.nodes[index].scope.unwrap_or(Scope::Unknown);
            graph.ask(index, scope, Some(at.clone()));
        }
    }
}

/// What in a script asks for modules.
pub(super) fn places(input: &Input<'_>) -> Vec<Range<usize>> {
    asks(input.text, Catalog::of(input).as_ref()).into_iter().map(|ask| ask.at).collect()
}

/// The configurations of scripts that a lockfile was made for.
fn locked_configurations(lockfile: &str) -> Vec<&'static str> {
    let listed = lockfile.lines().filter_map(|line| line.split_once('='));
    let listed: HashSet<&str> = listed.flat_map(|(_, list)| list.split(',')).map(str::trim).collect();
    let is_locked = |of: &&(&str, &[&str])| of.1.iter().any(|name| listed.contains(name));
    CONFIGURATIONS.iter().filter(is_locked).map(|(name, _)| *name).collect()
}

/// What the lines of a script ask for.
fn asks(text: &str, catalog: Option<&Catalog<'_>>) -> Vec<Ask> {
    let mut out = Vec::new();
    let (mut offset, mut in_comment) = (0, false);
    for whole in text.split_inclusive('\n') {
        let start = offset + whole.len() - whole.trim_start().len();
        offset += whole.len();
        let line = whole.trim();
        if in_comment || line.starts_with("/*") {
            in_comment = !line.contains("*/");
            continue;
        }
        let word = line.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(line.len());
        let Some((configuration, _)) = CONFIGURATIONS.iter().find(|(name, _)| *name == &line[..word]) else {
            continue;
        };
        let rest = line[word..].trim_start_matches(['(', ' ', '\t']);
        let at = start..start + line.len();
        if out.len() >= MAX_ASKS {
            break;
        }
        for (module, version) in modules(rest, catalog).into_iter().take(MAX_ASKS) {
            out.push(Ask { configuration, module, version, at: at.clone() });
        }
    }
    out
}

/// The modules that stand behind a configuration, each with its version if that is plain.
fn modules(rest: &str, catalog: Option<&Catalog<'_>>) -> Vec<(String, Option<String>)> {
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let literal = rest[1..].split(quote).next().unwrap_or_default();
        return module(literal).into_iter().collect();
    }
    if let Some(alias) = rest.strip_prefix("libs.") {
        let end = alias.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
        let alias = &alias[..end.unwrap_or(alias.len())];
        return catalog.map_or_else(Vec::new, |catalog| catalog.modules(alias));
    }
    // `group: 'g', name: 'a', version: 'v'`
    let named = |key: &str| {
        let value = rest.split_once(key)?.1.trim_start_matches([':', '=', ' ']);
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        Some(value[1..].split(quote).next().unwrap_or_default())
    };
    match (named("group"), named("name")) {
        (Some(group), Some(name)) if !rest.starts_with(|c: char| c.is_ascii_uppercase()) => {
            let literal = format!("{group}:{name}:{}", named("version").unwrap_or_default());
            module(&literal).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// `group:artifact` and the version of `group:artifact:version:classifier@type`.
fn module(literal: &str) -> Option<(String, Option<String>)> {
    let mut parts = literal.split(':');
    let (group, artifact) = (parts.next()?, parts.next()?);
    let is_plain = |part: &str| !part.is_empty() && !part.contains(['$', ' ', '/']);
    if !is_plain(group) || !is_plain(artifact) {
        return None;
    }
    let version = parts.next().map(|part| part.split('@').next().unwrap_or_default());
    let is_version = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['$', '+', '[', ']', ',', ' '])
    };
    Some((format!("{group}:{artifact}"), version.filter(is_version).map(str::to_owned)))
}

/// A `libs.versions.toml`.
struct Catalog<'a> {
    tree: Tree<'a>,
    /// The libraries by their accessors, by their places in the table.
    libraries: HashMap<String, usize>,
}

impl<'a> Catalog<'a> {
    fn new(tree: Tree<'a>) -> Self {
        let libraries = tree.entries_of("libraries").iter().enumerate();
        let libraries = libraries.map(|(index, entry)| (folded(&entry.key), index)).collect();
        Self { tree, libraries }
    }

    /// The one of the build that a lockfile belongs to.
    fn of(input: &Input<'a>) -> Option<Self> {
        let depth = input.path.as_str().matches('/').count();
        let nearest = (0..=depth)
            .find_map(|up| input.beside(&format!("{}gradle/libs.versions.toml", "../".repeat(up))));
        let (_, text): (&RelPath, &str) = nearest?;
        toml::parse(text).ok().map(Self::new)
    }

    /// What an accessor such as `some.lib` or `bundles.all` stands for.
    fn modules(&self, accessor: &str) -> Vec<(String, Option<String>)> {
        if let Some(bundle) = accessor.strip_prefix("bundles.") {
            let bundles = self.tree.entries_of("bundles");
            let found = bundles.iter().find(|entry| folded(&entry.key) == bundle);
            let names = found.map_or(&[][..], |entry| entry.node.items()).iter().filter_map(Tree::text);
            return names.filter_map(|name| self.library(&folded(name))).collect();
        }
        self.library(accessor).into_iter().collect()
    }

    fn library(&self, accessor: &str) -> Option<(String, Option<String>)> {
        let library = &self.tree.entries_of("libraries").get(*self.libraries.get(accessor)?)?.node;
        if let Some(literal) = library.text() {
            return module(literal);
        }
        let version = library.get("version");
        let named = version.and_then(|version| version.text_of("ref"));
        let version = match named {
            Some(name) => self.tree.path(&["versions", name]).and_then(Tree::text),
            None => version.and_then(Tree::text),
        };
        let name = match library.text_of("module") {
            Some(module) => module.to_owned(),
            None => format!("{}:{}", library.text_of("group")?, library.text_of("name")?),
        };
        module(&format!("{name}:{}", version.unwrap_or_default()))
    }
}

/// An alias as it is spelled in scripts.
fn folded(alias: &str) -> String {
    alias.replace(['-', '_'], ".")
}

#[cfg(test)]
mod tests {
    use super::{Catalog, asks, toml};

    #[test]
    fn lines_that_spell_out_what_they_ask_for() {
        let catalog = "[versions]\nx = \"3.1\"\n[libraries]\nsome-lib = { module = \"g:some\", version.ref = \"x\" }\nother = \"g:other:2.0\"\nbare = { group = \"g\", name = \"bare\" }\n[bundles]\nall = [\"some-lib\", \"other\"]\n";
        let catalog = Catalog::new(toml::parse(catalog).unwrap());
        for (line, expect) in [
            ("implementation 'g:a:1.0'", &["g:a 1.0"][..]),
            ("  testImplementation(\"g:a:1.0:tests@jar\")", &["g:a 1.0"]),
            ("api \"g:a:$version\"", &["g:a -"]),
            ("implementation(\"g:a\")", &["g:a -"]),
            ("implementation 'g:a:1.+'", &["g:a -"]),
            ("runtimeOnly group: 'g', name: 'a', version: '2.0'", &["g:a 2.0"]),
            ("implementation libs.some.lib", &["g:some 3.1"]),
            ("implementation(libs.bundles.all)", &["g:some 3.1", "g:other 2.0"]),
            ("implementation(libs.bare)", &["g:bare -"]),
            ("implementation platform('g:bom:1.0')", &[]),
            ("implementation project(':a')", &[]),
            ("implementation files('libs/a.jar')", &[]),
            ("// implementation 'g:a:1.0'", &[]),
            ("/* x\nimplementation 'g:a:1.0'\n*/", &[]),
            ("classpath 'g:a:1.0'", &[]),
            ("implementation", &[]),
            ("implementation '", &[]),
        ] {
            let found: Vec<String> = asks(line, Some(&catalog))
                .into_iter()
                .map(|ask| format!("{} {}", ask.module, ask.version.as_deref().unwrap_or("-")))
                .collect();
            assert_eq!(found, expect, "{line}");
        }
    }
}
