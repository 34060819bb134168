//! `gradle.lockfile`, `buildscript-gradle.lockfile` and `gradle/verification-metadata.xml`.

use crate::dependencies::inventory::Scope;
use crate::dependencies::version::Ecosystem;

use super::flaw::Flaw;
use super::graph::{Graph, Node};
use super::input::Input;
use super::{Format, gradle_script, xml};

pub(super) const LOCKFILE: Format =
    Format { name: "gradle.lockfile", matches: |name| name.ends_with(".lockfile"), parse: parse_lockfile };

pub(super) const VERIFICATION: Format = Format {
    name: "gradle/verification-metadata.xml",
    matches: |name| name == "verification-metadata.xml",
    parse: parse_verification,
};

fn parse_lockfile(input: &Input<'_>) -> Result<Graph, Flaw> {
    let mut graph = Graph::default();
    let name = input.path.file_name();
    let is_build = name.starts_with("buildscript");
    // Before version 7 each configuration had a file of its own.
    let configuration = name.strip_suffix(".lockfile").filter(|stem| !stem.ends_with("gradle"));
    let mut offset = 0;
    for whole in input.text.split_inclusive('\n') {
        let start = offset;
        offset += whole.len();
        let line = whole.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("empty=") {
            continue;
        }
        let (module, configurations) =
            line.split_once('=').unwrap_or((line, configuration.unwrap_or_default()));
        let parts: Vec<&str> = module.split(':').collect();
        let [group, artifact, version] = parts.as_slice() else {
            return Err(Flaw::new(start, "", "expected group:artifact:version=configurations"));
        };
        let name = format!("{group}:{artifact}");
        let mut node = Node::new(Ecosystem::Maven, name, start..start + module.len()).with_version(*version);
        node.scope = Some(if is_build { Scope::Build } else { scope_of(configurations) });
        graph.add(node);
    }
    if name == "gradle.lockfile" {
        gradle_script::ask(input, &mut graph);
    }
    Ok(graph)
}

/// Parts of the names of configurations, in lower case, that hold tools: none of them is shipped.
const TOOLS: [&str; 22] = [
    "annotationprocessor",
    "checkstyle",
    "detekt",
    "dokka",
    "errorprone",
    "jacoco",
    "kapt",
    "kotlinbouncycastle",
    "kotlinbuildtools",
    "kotlincompiler",
    "kotlininternalabi",
    "kotlinklib",
    "kotlinnative",
    "kotlinscriptdef",
    "ksp",
    "ktlint",
    "mockitoagent",
    "openapigenerator",
    "pmd",
    "spotbugs",
    "spotless",
    "swiftexport",
];

/// Tests if every configuration is one of tests, building if every one only processes sources.
fn scope_of(configurations: &str) -> Scope {
    let names: Vec<String> = configurations.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    let all = |is: &dyn Fn(&String) -> bool| !configurations.is_empty() && names.iter().all(is);
    if configurations.is_empty() {
        Scope::Unknown
    } else if all(&|name| name.starts_with("test") || name.contains("test")) {
        Scope::Test
    } else if all(&|name| TOOLS.iter().any(|tool| name.contains(tool)) || name.contains("test")) {
        Scope::Build
    } else {
        Scope::Prod
    }
}

fn parse_verification(input: &Input<'_>) -> Result<Graph, Flaw> {
    let document = xml::parse(input.text)?;
    let root = document.root_element();
    if root.tag_name().name() != "verification-metadata" {
        return Err(Flaw::new(root.range().start, "", "expected `verification-metadata`"));
    }
    let mut graph = Graph::default();
    for components in xml::children(root, "components") {
        for component in xml::children(components, "component") {
            let attribute = |name| {
                component
                    .attribute(name)
                    .ok_or_else(|| Flaw::new(component.range().start, name, "is missing on a component"))
            };
            let name = format!("{}:{}", attribute("group")?, attribute("name")?);
            let start = component.range().start;
            let end = input.text[start..].find('>').map_or(start, |length| start + length + 1);
            let mut node = Node::new(Ecosystem::Maven, name, start..end).with_version(attribute("version")?);
            let artifact = xml::children(component, "artifact").next();
            let sum =
                artifact.and_then(|artifact| xml::children(artifact, "sha256").next()?.attribute("value"));
            node.digest = sum.map(|sum| format!("sha256:{sum}"));
            graph.add(node);
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use crate::dependencies::lockfile::tests::{check, check_flaw};

    #[test]
    fn configurations_are_scopes() {
        let lock = "# comment\norg.a:core:1.0=compileClasspath,testRuntimeClasspath\norg.t:test:2.0=testCompileClasspath,testRuntimeClasspath\norg.p:proc:3.0=annotationProcessor\norg.k:reflect:1.6=kotlinBuildToolsApiClasspath,kotlinCompilerClasspath,swiftExportClasspathResolvable\norg.k:stdlib:2.2=apiDependenciesMetadata,kotlinCompilerClasspath\nempty=\n";
        check(
            &[("gradle.lockfile", lock)],
            &[
                "org.a:core 1.0 prod direct gradle.lockfile:2:1 public",
                "org.t:test 2.0 test direct gradle.lockfile:3:1 public",
                "org.p:proc 3.0 build direct gradle.lockfile:4:1 public",
                "org.k:reflect 1.6 build direct gradle.lockfile:5:1 public",
                "org.k:stdlib 2.2 prod direct gradle.lockfile:6:1 public",
            ],
        );
        check(
            &[("buildscript-gradle.lockfile", "g:a:1=classpath\n")],
            &["g:a 1 build direct buildscript-gradle.lockfile:1:1 public"],
        );
        check_flaw(
            "gradle.lockfile",
            "x=y\n",
            "gradle.lockfile:1:1: malformed (expected group:artifact:version=configurations)",
        );
    }

    #[test]
    fn verification_metadata() {
        let text = "<?xml version=\"1.0\"?>\n<verification-metadata>\n <components>\n  <component group=\"g\" name=\"a\" version=\"1.0\">\n   <artifact name=\"a.jar\"><sha256 value=\"00\"/></artifact>\n  </component>\n </components>\n</verification-metadata>\n";
        check(
            &[("gradle/verification-metadata.xml", text)],
            &["g:a 1.0 unknown direct gradle/verification-metadata.xml:4:3 public"],
        );
        check_flaw("verification-metadata.xml", "<verification-metadata>\n<components>", "never closed");
        check_flaw("verification-metadata.xml", &"<a>".repeat(100), "is nested too deeply");
        check_flaw("verification-metadata.xml", "<!DOCTYPE x [<!ENTITY a \"b\">]><x/>", "malformed");
    }
}
