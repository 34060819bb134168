use std::fmt::Write as _;

use crashwise_core::RelPath;
use proptest::prelude::*;

use super::{FORMATS, Files, MANIFESTS, read};
use crate::dependencies::inventory::{Inventory, Origin};

fn files(texts: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in texts {
        files.insert(RelPath::new(path).unwrap(), (*text).to_owned());
    }
    files
}

/// One line per package: name, version, scope, how it is reached, place, origin, who asks.
fn describe(inventory: &Inventory) -> Vec<String> {
    let describe = |package: &crate::dependencies::inventory::Package| {
        let version = package.version.as_deref().unwrap_or("-");
        let mut text = format!("{} {version} {}", package.name, package.scope);
        if package.direct {
            text += " direct";
        }
        if let Some(via) = package.via {
            let _ = write!(text, " via {}", inventory.packages[via].name);
        }
        let origin = match &package.origin {
            Origin::Public => "public",
            Origin::Registry(_) => "registry",
            Origin::Git(_) => "git",
            Origin::Url(_) => "url",
            Origin::Local => "local",
        };
        let _ = write!(text, " {} {origin}", package.location);
        if let Some(manifest) = &package.manifest {
            let _ = write!(text, " asked {manifest}");
        }
        text
    };
    inventory.packages.iter().map(describe).collect()
}

/// Reads files without a flaw and compares what they hold.
pub(super) fn check(texts: &[(&str, &str)], expect: &[&str]) {
    let (inventory, gaps) = read(&files(texts));
    assert_eq!(gaps, [], "{texts:?}");
    assert_eq!(describe(&inventory), expect);
}

/// Reads a file and looks for a text in the gap that it must leave.
pub(super) fn check_flaw(path: &str, text: &str, expect: &str) {
    let (_, gaps) = read(&files(&[(path, text)]));
    let found: Vec<String> = gaps.iter().map(ToString::to_string).collect();
    assert!(
        found.len() == 1 && found[0].contains(expect) && found[0].starts_with(path),
        "{expect}: {found:?}"
    );
}

#[test]
fn one_broken_file_does_not_hide_the_others() {
    let texts = [
        ("a/package-lock.json", "{\"lockfileVersion\": 3, \"packages\": {"),
        ("b/go.mod", "module x\ngo 1.21\nrequire example.org/a v1.0.0\n"),
        ("c/yarn.lock", "<<<<<<< HEAD\n"),
    ];
    let (inventory, gaps) = read(&files(&texts));
    assert_eq!(inventory.packages.len(), 2);
    assert_eq!(gaps.len(), 2);
}

#[test]
fn packages_that_need_each_other_are_settled() {
    let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example/a\"\ndependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example/b\"\ndependencies = [\n \"a\",\n \"b\",\n]\n\n[[package]]\nname = \"root\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
    let (inventory, gaps) = read(&files(&[("Cargo.lock", lock)]));
    assert_eq!(gaps, []);
    assert_eq!(inventory.path_to(1), [0, 1]);
    assert_eq!(inventory.packages[0].parents, [1]);
}

#[test]
fn a_package_for_everything_is_for_what_is_shipped() {
    let lock = r#"{"lockfileVersion": 3, "packages": {
"": {"dependencies": {"a": "1"}, "devDependencies": {"t": "1"}},
"node_modules/a": {"version": "1.0.0", "dependencies": {"both": "1"}},
"node_modules/both": {"version": "1.0.0"},
"node_modules/t": {"version": "1.0.0", "dev": true, "dependencies": {"both": "1", "own": "1"}},
"node_modules/own": {"version": "1.0.0", "dev": true}}}"#;
    let (inventory, _) = read(&files(&[("package-lock.json", lock)]));
    let scopes: Vec<_> = inventory.packages.iter().map(|package| package.scope.as_str()).collect();
    assert_eq!(scopes, ["prod", "prod", "dev", "dev"]);
}

#[test]
fn package_urls_are_written() {
    let texts = [
        (
            "package-lock.json",
            r#"{"lockfileVersion": 3, "packages": {"": {}, "node_modules/@s/a": {"version": "1.0.0+x"}}}"#,
        ),
        ("requirements.txt", "Foo_Bar==1.0\n"),
        ("gradle.lockfile", "g.x:a:1.0=runtimeClasspath\n"),
    ];
    let (inventory, _) = read(&files(&texts));
    let purls: Vec<_> =
        inventory.packages.iter().map(crate::dependencies::inventory::Package::purl).collect();
    assert_eq!(purls, ["pkg:maven/g.x/a@1.0", "pkg:npm/%40s/a@1.0.0%2Bx", "pkg:pypi/foo-bar@1.0"]);
}

/// A name that each format takes.
const NAMES: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "requirements.txt",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "pylock.toml",
    "go.mod",
    "composer.lock",
    "Gemfile.lock",
    "gradle.lockfile",
    "verification-metadata.xml",
    "pom.xml",
    "packages.lock.json",
    "a.csproj",
    "packages.config",
    "mix.lock",
    "pubspec.lock",
    "bom.json",
    "a.spdx.json",
];

#[test]
fn every_format_has_its_name() {
    for (format, name) in FORMATS.iter().zip(NAMES) {
        assert!((format.matches)(name), "{} and {name}", format.name);
        assert!(FORMATS.iter().filter(|other| (other.matches)(name)).count() == 1, "{name}");
    }
    assert_eq!(FORMATS.len(), NAMES.len());
}

/// Texts that look like lockfiles to some degree.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "\"",
        "'",
        ":",
        ",",
        "=",
        "==",
        "\n",
        "\n  ",
        "\n    ",
        "\n      ",
        "[[package]]\n",
        "name",
        "version",
        "dependencies",
        "packages",
        "require",
        "1.0.0",
        "a",
        "é",
        "\\",
        "<",
        ">",
        "</",
        "/>",
        "<project>",
        "<dependency>",
        "<!--",
        "lockfileVersion",
        "9",
        "__metadata",
        "@",
        "npm:",
        "specs:",
        "GEM",
        "DEPENDENCIES",
        "%{",
        "{:hex, ",
        ":",
        "module x",
        "go 1.16",
        "->",
        "=>",
        "replace",
        "pkg:npm/a@1",
        "%4",
        "bomFormat",
        "CycloneDX",
        "components",
        "resolution",
        "importers",
        ".",
        "snapshots",
        "null",
        "true",
        "-r",
        "-c ",
        "#",
        "&a",
        "*a",
        "? ",
        "- ",
        "| ",
        "\t",
        "\r\n",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_a_format_panic(body in text(), beside in text(), any in "\\PC{0,60}", at in 0_usize..60) {
        for name in NAMES {
            let mut mixed = body.clone();
            let at = (0..=at.min(mixed.len())).rev().find(|at| mixed.is_char_boundary(*at)).unwrap();
            mixed.insert_str(at, &any);
            for text in [&body, &any, &mixed] {
                let mut texts: Vec<(&str, &str)> = MANIFESTS.iter().map(|name| (*name, beside.as_str())).collect();
                texts.push((name, text));
                let (inventory, _) = read(&files(&texts));
                for index in 0..inventory.packages.len() {
                    prop_assert!(inventory.path_to(index).len() <= inventory.packages.len() + 1);
                }
            }
        }
    }
}
