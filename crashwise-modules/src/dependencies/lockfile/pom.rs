//! `pom.xml`: declared dependencies, with properties, managed versions, and parents and imported bills of materials
//! inside the tree. What a parent declares is listed there, and again where a child gives it another version.
//!
//! What lies outside the tree is not known: a version that comes from there stays open.

use std::collections::{BTreeMap, BTreeSet};

use crashwise_core::RelPath;
use roxmltree::Node as Element;

use crate::dependencies::inventory::Scope;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, xml};

pub(super) const FORMAT: Format = Format { name: "pom.xml", matches: |name| name == "pom.xml", parse };

const MAX_PARENTS: usize = 16;
const MAX_EXPANSIONS: usize = 32;
/// Most bills of materials that one project imports, those that they import included.
const MAX_IMPORTS: usize = 32;
/// Most projects of the name of one import that are looked at: thousands of one name could be made to import each other.
const MAX_NAMESAKES: usize = 16;

/// What a project knows from itself and its parents.
#[derive(Default)]
struct Knowledge<'a> {
    properties: BTreeMap<String, String>,
    /// `group:artifact` to version and scope.
    managed: BTreeMap<String, (Option<String>, Option<String>)>,
    /// Group, artifact and version of what is imported, in the order in which it is named.
    imports: Vec<[String; 3]>,
    /// The parents, nearest first.
    parents: Vec<(&'a RelPath, &'a str)>,
    /// What the parents declare, nearest first.
    inherited: Vec<Declared>,
}

/// A dependency as a project declares it.
struct Declared {
    group: String,
    artifact: String,
    version: Option<String>,
    scope: Option<String>,
    optional: Option<String>,
    /// How many parents up it is declared.
    level: usize,
}

fn parse(input: &Input<'_>) -> Result<Graph, Flaw> {
    let document = xml::parse(input.text)?;
    let project = document.root_element();
    if project.tag_name().name() != "project" {
        return Err(Flaw::new(project.range().start, "", "expected `project`"));
    }
    let mut knowledge = Knowledge::default();
    learn(&mut knowledge, project, input, 0);
    import(&mut knowledge, input, &mut Vec::new());
    let mut graph = Graph::default();
    inherit(input, &mut graph, project, &knowledge);
    let profiles = xml::children(project, "profiles").flat_map(|profiles| xml::children(profiles, "profile"));
    for holder in [project].into_iter().chain(profiles) {
        for dependencies in xml::children(holder, "dependencies") {
            for dependency in xml::children(dependencies, "dependency") {
                add(input, &mut graph, dependency, &knowledge);
            }
        }
    }
    Ok(graph)
}

/// Adds what the parents declare and this project gives another version.
fn inherit(input: &Input<'_>, graph: &mut Graph, project: Element<'_, '_>, knowledge: &Knowledge<'_>) {
    let Some(parent) = xml::children(project, "parent").next() else { return };
    let mut known: BTreeSet<String> =
        declared(project, 0).map(|declared| declared.settle(knowledge).0).collect();
    // What each parent knows itself, if it is asked.
    let mut levels: BTreeMap<usize, Knowledge<'_>> = BTreeMap::new();
    for declared in &knowledge.inherited {
        let (name, version, scope) = declared.settle(knowledge);
        if !known.insert(name.clone()) || declared.version.as_ref().is_some_and(|text| !text.contains("${")) {
            continue;
        }
        let Some((path, text)) = knowledge.parents.get(declared.level) else { continue };
        let own = levels.entry(declared.level).or_insert_with(|| {
            let (mut own, input) = (Knowledge::default(), Input { path, text, files: input.files });
            if let Ok(document) = xml::parse(text) {
                learn(&mut own, document.root_element(), &input, 0);
                import(&mut own, &input, &mut Vec::new());
            }
            own
        });
        if declared.settle(own).1 == version {
            continue;
        }
        let at = xml::children(parent, "artifactId").next().map_or(parent.range(), |node| node.range());
        let mut node = Node::new(Ecosystem::Maven, name, at.clone());
        node.version = version;
        let index = graph.add(node);
        graph.ask(index, scope, Some((input.path.clone(), at)));
    }
}

/// What a project declares, profiles aside; `level` is how many parents up it is.
fn declared(project: Element<'_, '_>, level: usize) -> impl Iterator<Item = Declared> {
    let dependencies = xml::children(project, "dependencies");
    dependencies
        .flat_map(|node| xml::children(node, "dependency"))
        .filter_map(move |dependency| Declared::of(dependency, level))
}

impl Declared {
    fn of(dependency: Element<'_, '_>, level: usize) -> Option<Self> {
        let text = |name| xml::text_of(dependency, name).map(str::to_owned);
        Some(Self {
            group: text("groupId")?,
            artifact: text("artifactId")?,
            version: text("version"),
            scope: text("scope"),
            optional: text("optional"),
            level,
        })
    }

    /// Its name, its version if that is settled, and its scope, by what a project knows.
    fn settle(&self, knowledge: &Knowledge<'_>) -> (String, Option<String>, Scope) {
        let name = format!("{}:{}", knowledge.expand(&self.group), knowledge.expand(&self.artifact));
        let managed = knowledge.managed.get(&name);
        let expand = |text: &String| knowledge.expand(text);
        let version = self.version.as_ref().or_else(|| managed?.0.as_ref()).map(expand);
        let scope = self.scope.as_ref().map(expand).or_else(|| managed?.1.clone());
        // A range or a property from outside the tree settles nothing.
        let version = version.filter(|version| !version.contains(['$', '[', '(', ',']));
        let scope = match scope.as_deref() {
            Some("test") => Scope::Test,
            Some("provided" | "import") => Scope::Build,
            _ if self.optional.as_ref().map(expand).as_deref() == Some("true") => Scope::Optional,
            _ => Scope::Prod,
        };
        (name, version, scope)
    }
}

fn add(input: &Input<'_>, graph: &mut Graph, dependency: Element<'_, '_>, knowledge: &Knowledge<'_>) {
    let Some(declared) = Declared::of(dependency, 0) else {
        let at = dependency.range().start;
        graph.notes.push(Flaw::new(at, "dependency", "has no groupId or no artifactId"));
        return;
    };
    let (name, version, scope) = declared.settle(knowledge);
    let at = xml::children(dependency, "artifactId").next().map_or(dependency.range(), |node| node.range());
    let mut node = Node::new(Ecosystem::Maven, name, at.clone());
    node.version = version;
    let literal = xml::children(dependency, "version").next().and_then(|element| element.first_child());
    node.pin = literal.filter(|_| node.version.is_some()).and_then(|text| {
        let written = text.text()?.trim();
        let start = text.range().start + input.text.get(text.range())?.find(written)?;
        (Some(written) == node.version.as_deref()).then(|| start..start + written.len())
    });
    let index = graph.add(node);
    graph.ask(index, scope, Some((input.path.clone(), at)));
}

/// Learns from a project, then from its parents; what a child says counts before what its parent says.
fn learn<'a>(knowledge: &mut Knowledge<'a>, project: Element<'_, '_>, input: &Input<'a>, depth: usize) {
    for properties in xml::children(project, "properties") {
        for property in properties.children().filter(Element::is_element) {
            knowledge.know(property.tag_name().name(), property.text().unwrap_or_default().trim());
        }
    }
    let parent = xml::children(project, "parent").next();
    for name in ["groupId", "artifactId", "version"] {
        if let Some(text) = xml::text_of(project, name).or_else(|| xml::text_of(parent?, name)) {
            knowledge.know(&format!("project.{name}"), text);
            knowledge.know(name, text);
        }
    }
    if let Some(parent) = parent {
        for name in ["groupId", "artifactId", "version"] {
            if let Some(text) = xml::text_of(parent, name) {
                knowledge.know(&format!("project.parent.{name}"), text);
            }
        }
    }
    let management = xml::children(project, "dependencyManagement");
    for dependencies in management.flat_map(|node| xml::children(node, "dependencies")) {
        for dependency in xml::children(dependencies, "dependency") {
            let text = |name| xml::text_of(dependency, name).map(str::to_owned);
            if let (Some(group), Some(artifact)) = (text("groupId"), text("artifactId")) {
                if text("scope").as_deref() == Some("import") {
                    knowledge.imports.push([group, artifact, text("version").unwrap_or_default()]);
                    continue;
                }
                let name = format!("{}:{}", knowledge.expand(&group), knowledge.expand(&artifact));
                knowledge.managed.entry(name).or_insert((text("version"), text("scope")));
            }
        }
    }
    let Some(parent) = parent.filter(|_| depth < MAX_PARENTS) else { return };
    let place = match xml::children(parent, "relativePath").next() {
        Some(node) => node.text().unwrap_or_default().trim().to_owned(),
        None => "../pom.xml".to_owned(),
    };
    if place.is_empty() {
        return;
    }
    let found = input.beside(&place).or_else(|| input.beside(&format!("{place}/pom.xml")));
    let Some((path, text)) = found else { return };
    let Ok(document) = xml::parse(text) else { return };
    let above = document.root_element();
    // A file that happens to lie there is not the parent unless it says so.
    let own = xml::text_of(above, "artifactId");
    if own.is_some() && own == xml::text_of(parent, "artifactId") {
        let declared =
            xml::children(above, "dependencies").flat_map(|node| xml::children(node, "dependency"));
        knowledge.inherited.extend(declared.filter_map(|dependency| Declared::of(dependency, depth)));
        knowledge.parents.push((path, text));
        learn(knowledge, above, &Input { path, text, files: input.files }, depth + 1);
    }
}

/// Takes over what imported projects of the tree manage; what is said otherwise, or earlier, counts before it.
fn import<'a>(knowledge: &mut Knowledge<'a>, input: &Input<'a>, seen: &mut Vec<[String; 3]>) {
    for named in std::mem::take(&mut knowledge.imports) {
        let wanted = named.map(|text| knowledge.expand(&text));
        if seen.len() >= MAX_IMPORTS || seen.contains(&wanted) {
            continue;
        }
        seen.push(wanted.clone());
        for (path, text) in input.files.poms_of(&wanted[1]).take(MAX_NAMESAKES) {
            let Ok(document) = xml::parse(text) else { continue };
            let (mut imported, input) = (Knowledge::default(), Input { path, text, files: input.files });
            learn(&mut imported, document.root_element(), &input, 0);
            let is_it = |name: &str, wanted: &str| imported.expand(&format!("${{project.{name}}}")) == wanted;
            if !is_it("groupId", &wanted[0]) || !is_it("version", &wanted[2]) {
                continue;
            }
            import(&mut imported, &input, seen);
            for (name, (version, scope)) in &imported.managed {
                let version = version.as_deref().map(|version| imported.expand(version));
                knowledge.managed.entry(name.clone()).or_insert((version, scope.clone()));
            }
            break;
        }
    }
}

impl Knowledge<'_> {
    fn know(&mut self, name: &str, value: &str) {
        self.properties.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Replaces `${name}` as far as it is known.
    fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..MAX_EXPANSIONS {
            let Some(start) = text.find("${") else { break };
            let Some(length) = text[start..].find('}') else { break };
            let Some(value) = self.properties.get(&text[start + 2..start + length]) else { break };
            if value.len() + text.len() > 4096 {
                break;
            }
            text.replace_range(start..=start + length, value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn properties_managed_versions_and_parents() {
        let parent = "<project><groupId>org.x</groupId><artifactId>up</artifactId><version>7</version><properties><b.version>2.0</b.version><loop>${loop}</loop></properties><dependencyManagement><dependencies><dependency><groupId>g</groupId><artifactId>managed</artifactId><version>${b.version}</version><scope>test</scope></dependency></dependencies></dependencyManagement></project>";
        let child = "<project>\n<parent><groupId>org.x</groupId><artifactId>up</artifactId><version>7</version></parent>\n<artifactId>app</artifactId>\n<dependencies>\n<dependency><groupId>g</groupId><artifactId>plain</artifactId><version>1.0</version></dependency>\n<dependency><groupId>g</groupId><artifactId>managed</artifactId></dependency>\n<dependency><groupId>${project.groupId}</groupId><artifactId>own</artifactId><version>${project.version}</version></dependency>\n<dependency><groupId>g</groupId><artifactId>outside</artifactId><version>${unknown}</version></dependency>\n<dependency><groupId>g</groupId><artifactId>ring</artifactId><version>${loop}</version><optional>true</optional></dependency>\n</dependencies></project>";
        check(
            &[("app/pom.xml", child), ("pom.xml", parent)],
            &[
                "g:plain 1.0 prod direct app/pom.xml:5:33 public asked app/pom.xml:5:33",
                "g:managed 2.0 test direct app/pom.xml:6:33 public asked app/pom.xml:6:33",
                "org.x:own 7 prod direct app/pom.xml:7:50 public asked app/pom.xml:7:50",
                "g:outside - prod direct app/pom.xml:8:33 public asked app/pom.xml:8:33",
                "g:ring - optional direct app/pom.xml:9:33 public asked app/pom.xml:9:33",
            ],
        );
        check_flaw("pom.xml", "<html/>", "expected `project`");
        check_flaw("pom.xml", "<project><dependencies>", "pom.xml:1");
    }

    #[test]
    fn what_a_parent_declares_and_a_child_changes() {
        let parent = "<project><groupId>g</groupId><artifactId>up</artifactId><version>7</version><properties><v>1</v></properties>\n<dependencies>\n<dependency><groupId>g</groupId><artifactId>a</artifactId><version>${v}</version></dependency>\n<dependency><groupId>g</groupId><artifactId>b</artifactId></dependency>\n<dependency><groupId>g</groupId><artifactId>c</artifactId><version>3</version></dependency>\n<dependency><groupId>g</groupId><artifactId>d</artifactId><version>${v}</version></dependency>\n</dependencies></project>";
        let middle = "<project><parent><groupId>g</groupId><artifactId>up</artifactId><version>7</version></parent>\n<artifactId>middle</artifactId></project>";
        let child = "<project>\n<parent><groupId>g</groupId><artifactId>middle</artifactId><version>7</version></parent><artifactId>app</artifactId><properties><v>2</v></properties>\n<dependencyManagement><dependencies><dependency><groupId>g</groupId><artifactId>b</artifactId><version>5</version><scope>test</scope></dependency></dependencies></dependencyManagement>\n<dependencies><dependency><groupId>g</groupId><artifactId>d</artifactId><version>9</version></dependency></dependencies></project>";
        check(
            &[("middle/app/pom.xml", child), ("middle/pom.xml", middle), ("pom.xml", parent)],
            &[
                "g:a 2 prod direct middle/app/pom.xml:2:29 public asked middle/app/pom.xml:2:29",
                "g:b 5 test direct middle/app/pom.xml:2:29 public asked middle/app/pom.xml:2:29",
                "g:d 9 prod direct middle/app/pom.xml:4:47 public asked middle/app/pom.xml:4:47",
                "g:a 1 prod direct pom.xml:3:33 public asked pom.xml:3:33",
                "g:b - prod direct pom.xml:4:33 public asked pom.xml:4:33",
                "g:c 3 prod direct pom.xml:5:33 public asked pom.xml:5:33",
                "g:d 1 prod direct pom.xml:6:33 public asked pom.xml:6:33",
            ],
        );
    }

    #[test]
    fn imported_bills_of_materials() {
        let managed = |name: &str, version: &str| {
            format!(
                "<dependency><groupId>g</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
            )
        };
        let bom = |name: &str, managed: &str| {
            format!(
                "<project><groupId>org.x</groupId><artifactId>{name}</artifactId><version>3</version><properties><v>1.5</v></properties><dependencyManagement><dependencies>{managed}</dependencies></dependencyManagement></project>"
            )
        };
        let imported = |name: &str, version: &str| {
            format!(
                "<dependency><groupId>org.x</groupId><artifactId>{name}</artifactId><version>{version}</version><type>pom</type><scope>import</scope></dependency>"
            )
        };
        let asked = |name: &str| {
            format!("\n<dependency><groupId>g</groupId><artifactId>{name}</artifactId></dependency>")
        };
        let app = format!(
            "<project><artifactId>app</artifactId><properties><v>9</v><bom>3</bom></properties><dependencyManagement><dependencies>{}{}{}{}</dependencies></dependencyManagement><dependencies>{}{}{}{}</dependencies></project>",
            imported("bom", "${bom}"),
            imported("other", "3"),
            imported("bom-of-elsewhere", "1"),
            managed("own", "7"),
            asked("a"),
            asked("b"),
            asked("own"),
            asked("outside"),
        );
        check(
            &[
                ("app/pom.xml", &app),
                (
                    "bom/pom.xml",
                    &bom(
                        "bom",
                        &(managed("a", "${v}")
                            + &managed("own", "1")
                            + &imported("other", "3")
                            + &imported("bom", "3")),
                    ),
                ),
                ("other/pom.xml", &bom("other", &(managed("a", "2") + &managed("b", "2")))),
            ],
            &[
                "g:a 1.5 prod direct app/pom.xml:2:33 public asked app/pom.xml:2:33",
                "g:b 2 prod direct app/pom.xml:3:33 public asked app/pom.xml:3:33",
                "g:own 7 prod direct app/pom.xml:4:33 public asked app/pom.xml:4:33",
                "g:outside - prod direct app/pom.xml:5:33 public asked app/pom.xml:5:33",
            ],
        );
    }

    #[test]
    fn parents_in_a_ring_end() {
        let ring = "<project><artifactId>a</artifactId><parent><groupId>g</groupId><artifactId>a</artifactId><version>1</version><relativePath>pom.xml</relativePath></parent><dependencies><dependency><groupId>g</groupId><artifactId>x</artifactId><version>1</version></dependency></dependencies></project>";
        check(&[("pom.xml", ring)], &["g:x 1 prod direct pom.xml:1:201 public asked pom.xml:1:201"]);
    }
}
