//! Project files with `PackageReference`, and what they take from `Directory.Packages.props` and its like.

use std::collections::BTreeMap;
use std::ops::Range;

use crashwise_core::RelPath;

use crate::dependencies::inventory::Scope;
use crate::dependencies::version::{Ecosystem, Order, VersionKey};

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, xml};

/// How many properties one version is made of at most.
const MAX_EXPANSIONS: usize = 32;
/// Starts of the names of packages that SDKs ask for by themselves, in lower case.
const IMPLICIT: [&str; 6] = [
    "microsoft.net",
    "netstandard.library",
    "fsharp.core",
    "microsoft.aspnetcore",
    "microsoft.windowsdesktop",
    "system.valuetuple",
];

pub(super) const FORMAT: Format = Format { name: "project file", matches: is_project, parse };

fn is_project(name: &str) -> bool {
    [".csproj", ".fsproj", ".vbproj"].iter().any(|end| name.to_ascii_lowercase().ends_with(end))
}

/// A `PackageReference`.
#[derive(Debug)]
pub(super) struct Reference {
    name: String,
    /// The versions that would do, as far as they are known.
    wanted: Option<String>,
    pub(super) scope: Scope,
    /// Whether something decides if it counts.
    is_conditional: bool,
    pub(super) at: Range<usize>,
}

/// A project file and what it asks for.
#[derive(Debug)]
pub(super) struct Project<'a> {
    pub(super) path: &'a RelPath,
    references: Vec<Reference>,
    /// The place of each in [`Self::references`], by its name in lower case.
    by_name: BTreeMap<String, usize>,
    /// Whether other files may ask for more.
    is_open: bool,
}

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut graph = Graph::default();
    let project = read(input, input.path, input.text)?;
    if input.beside("packages.lock.json").is_some() {
        // The lockfile says what is restored.
        return Ok(graph);
    }
    for reference in &project.references {
        let at = reference.at.clone();
        let mut node = Node::new(Ecosystem::NuGet, reference.name.as_str(), at.clone());
        node.version = reference.wanted.as_deref().and_then(minimum).map(str::to_owned);
        if let (Some(version), Some(tag)) = (node.version.as_deref(), input.text.get(at.clone())) {
            let written = format!("ersion=\"{version}\"");
            let offset = tag.find(&written).map(|offset| at.start + offset + "ersion=\"".len());
            node.pin = offset.map(|offset| offset..offset + version.len());
        }
        let index = graph.add(node);
        graph.ask(index, reference.scope, Some((input.path.clone(), at)));
    }
    Ok(graph)
}

/// The only project file in the folder of a lockfile; `None` if there are several or none that can be read.
pub(super) fn beside<'a>(input: &Input<'a>) -> Option<Project<'a>> {
    let mut projects = input.files_beside().filter(|(path, _)| is_project(path.file_name()));
    let (path, text) = projects.next()?;
    if projects.next().is_some() {
        return None;
    }
    read(input, path, text).ok()
}

/// Reads a project file in the folder of the input.
fn read<'a>(input: &Input<'a>, path: &'a RelPath, text: &str) -> Result<Project<'a>, Flaw> {
    let body = text.trim_start_matches('\u{feff}');
    let shift = text.len() - body.len();
    let document = xml::parse(body)?;
    let mut properties = properties_of(&document);
    let central = central_versions(input, &mut properties);
    let mut references = Vec::new();
    let mut by_name = BTreeMap::new();
    for node in document.descendants().filter(|node| node.tag_name().name() == "PackageReference") {
        let attribute =
            |name: &'static str| node.attribute(name).or_else(|| xml::text_of(node, name)).map(str::trim);
        let Some(name) = attribute("Include") else { continue };
        let wanted = attribute("VersionOverride").or_else(|| attribute("Version")).map(str::to_owned);
        let wanted = wanted.or_else(|| central.get(&name.to_ascii_lowercase()).cloned());
        let start = node.range().start + shift;
        let end = text[start..].find('>').map_or(start, |length| start + length + 1);
        let is_dev = attribute("PrivateAssets").is_some_and(|assets| assets.eq_ignore_ascii_case("all"));
        by_name.entry(name.to_ascii_lowercase()).or_insert(references.len());
        references.push(Reference {
            name: name.to_owned(),
            wanted: wanted.map(|wanted| expand(&wanted, &properties)),
            scope: if is_dev { Scope::Dev } else { Scope::Prod },
            is_conditional: node.ancestors().any(|above| above.attribute("Condition").is_some()),
            at: start..end,
        });
    }
    let imports = document.descendants().any(|node| node.tag_name().name() == "Import");
    let is_open = imports
        || ["Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props"]
            .iter()
            .any(|name| nearest(input, name).is_some_and(|(_, text)| text.contains("PackageReference")));
    Ok(Project { path, references, by_name, is_open })
}

impl Project<'_> {
    /// The reference to a package, its name being in lower case.
    pub(super) fn reference(&self, name: &str) -> Option<&Reference> {
        self.references.get(*self.by_name.get(name)?)
    }

    /// Notes where it and its lockfile differ; `requested` is what the lockfile was made for, by names in lower case, and
    /// `places` is where that stands.
    pub(super) fn check(
        &self,
        input: &Input<'_>,
        graph: &mut Graph,
        requested: &BTreeMap<String, Vec<&str>>,
        places: &BTreeMap<String, Range<usize>>,
    ) {
        for reference in &self.references {
            let at = (self.path.clone(), reference.at.clone());
            let Some(known) = requested.get(&reference.name.to_ascii_lowercase()) else {
                if !reference.is_conditional {
                    let message = format!("asks for {}, which the lockfile does not know", reference.name);
                    graph.mismatch(at, message);
                }
                continue;
            };
            let Some(wanted) = reference.wanted.as_deref().filter(|wanted| !wanted.contains('$')) else {
                continue;
            };
            let Some(range) = Interval::of(wanted) else { continue };
            let known: Vec<&str> = known.iter().copied().filter(|known| !known.is_empty()).collect();
            if !known.is_empty() && !known.iter().any(|known| Interval::of(known).as_ref() == Some(&range)) {
                let message =
                    format!("asks for {} {wanted}, the lockfile was made for {}", reference.name, known[0]);
                graph.mismatch(at, message);
            }
        }
        if self.is_open {
            return;
        }
        for (name, at) in places {
            if !self.by_name.contains_key(name) && !IMPLICIT.iter().any(|start| name.starts_with(start)) {
                let message = format!("was made for {name}, which the project does not ask for");
                graph.mismatch((input.path.clone(), at.clone()), message);
            }
        }
    }
}

/// The versions that a reference allows: `1.0` and `[1.0, )` are the same.
#[derive(Debug, PartialEq, Eq)]
struct Interval {
    low: Option<Bound>,
    high: Option<Bound>,
}

#[derive(Debug, PartialEq, Eq)]
struct Bound {
    version: Bounding,
    is_in: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Bounding {
    Version(VersionKey),
    /// The newest of those that begin so, `1.*`.
    Floating(String),
}

impl Interval {
    /// Reads what a reference asks for; `None` if it is none.
    fn of(wanted: &str) -> Option<Self> {
        let wanted = wanted.trim();
        let bound = |text: &str, is_in: bool| {
            let text = text.trim();
            let version = if text.contains('*') {
                Bounding::Floating(text.to_ascii_lowercase())
            } else {
                Bounding::Version(Order::NuGet.key(text).ok()?)
            };
            Some(Bound { version, is_in })
        };
        let Some(inner) = wanted.strip_prefix(['[', '(']) else {
            return Some(Self { low: Some(bound(wanted, true)?), high: None });
        };
        let inner = inner.strip_suffix([']', ')'])?;
        let (low_in, high_in) = (wanted.starts_with('['), wanted.ends_with(']'));
        let side = |text: &str, is_in: bool| match text.trim() {
            "" => Some(None),
            text => bound(text, is_in).map(Some),
        };
        match inner.split_once(',') {
            Some((low, high)) => Some(Self { low: side(low, low_in)?, high: side(high, high_in)? }),
            None => Some(Self { low: side(inner, true)?, high: side(inner, true)? }),
        }
    }
}

/// The lowest version that a reference allows, which is the one that is restored; `None` if it is not settled.
fn minimum(wanted: &str) -> Option<&str> {
    let text = wanted.trim();
    let text = text.strip_prefix('[').unwrap_or(text).split([',', ']']).next()?.trim();
    (!text.is_empty() && !text.contains(['*', '$', '('])).then_some(text)
}

/// What the groups of properties set, by name in lower case.
fn properties_of(document: &roxmltree::Document<'_>) -> BTreeMap<String, String> {
    let groups = document.descendants().filter(|node| node.tag_name().name() == "PropertyGroup");
    let properties = groups.flat_map(|group| group.children().filter(roxmltree::Node::is_element));
    properties
        .filter_map(|node| {
            Some((node.tag_name().name().to_ascii_lowercase(), node.text()?.trim().to_owned()))
        })
        .collect()
}

/// Replaces `$(Name)` as far as it is known.
fn expand(text: &str, properties: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for _ in 0..MAX_EXPANSIONS {
        let Some(start) = text.find("$(") else { break };
        let Some(length) = text[start..].find(')') else { break };
        let name = text[start + 2..start + length].to_ascii_lowercase();
        let Some(value) = properties.get(&name).filter(|value| value.len() + text.len() <= 4096) else {
            break;
        };
        text.replace_range(start..=start + length, value);
    }
    text
}

/// The file of a name in the folder of the input or the nearest above.
fn nearest<'a>(input: &Input<'a>, name: &str) -> Option<(&'a RelPath, &'a str)> {
    let depth = input.path.as_str().matches('/').count();
    (0..=depth).find_map(|up| input.beside(&format!("{}{name}", "../".repeat(up))))
}

/// The versions that the nearest `Directory.Packages.props` above sets; what it and the nearest
/// `Directory.Build.props` set as properties is added to `properties`.
fn central_versions(
    input: &Input<'_>,
    properties: &mut BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if let Some((_, text)) = nearest(input, "Directory.Build.props")
        && let Ok(document) = xml::parse(text.trim_start_matches('\u{feff}'))
    {
        for (name, value) in properties_of(&document) {
            properties.entry(name).or_insert(value);
        }
    }
    let mut out = BTreeMap::new();
    let Some((_, text)) = nearest(input, "Directory.Packages.props") else { return out };
    let Ok(document) = xml::parse(text.trim_start_matches('\u{feff}')) else { return out };
    for (name, value) in properties_of(&document) {
        properties.entry(name).or_insert(value);
    }
    for node in document.descendants().filter(|node| node.tag_name().name() == "PackageVersion") {
        if let (Some(name), Some(version)) = (node.attribute("Include"), node.attribute("Version")) {
            out.insert(name.trim().to_ascii_lowercase(), version.trim().to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Interval;

    #[test]
    fn ranges_that_are_the_same() {
        for (one, other, same) in [
            ("1.0", "[1.0.0, )", true),
            ("[1.0,2.0)", "[1.0.0, 2.0.0)", true),
            ("[1.0]", "[1.0.0, 1.0.0]", true),
            ("1.*", "[1.*, )", true),
            ("1.0", "[1.0.1, )", false),
            ("[1.0,2.0)", "[1.0, 2.0]", false),
            ("(,2.0)", "(, 2.0.0)", true),
        ] {
            assert_eq!(Interval::of(one) == Interval::of(other), same, "{one} {other}");
        }
        for wrong in ["[1.0", "", "[x]", "x"] {
            assert_eq!(Interval::of(wrong), None, "{wrong}");
        }
    }
}
