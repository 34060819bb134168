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
    assert_eq!(inventory.packages.len(), 3);
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
    "bom.xml",
    "a.spdx.json",
    "a.spdx",
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

/// Files, and the packages that they hold.
type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);

/// What stands in real files and not in the examples of their formats.
const REAL: &[Row] = &[
    // A resolution of the manifest: the lockfile knows the package under another range.
    (
        &[
            ("yarn.lock", "# yarn lockfile v1\n\na@1.2.3:\n  version \"1.2.3\"\n"),
            ("package.json", "{\"devDependencies\": {\"a\": \"^1.0.0\"}}"),
        ],
        &["a 1.2.3 dev direct yarn.lock:3:1 public asked package.json:1:22"],
    ),
    // A patch stands beside what it patches, and optional needs are marked apart.
    (
        &[
            (
                "yarn.lock",
                "__metadata:\n  version: 8\n\n\"t@npm:^5\":\n  version: 5.0.0\n  resolution: \"t@npm:5.0.0\"\n  dependencies:\n    o: \"npm:1\"\n  dependenciesMeta:\n    o:\n      optional: true\n\n\"t@patch:t@npm%3A^5#x\":\n  version: 5.0.0\n  resolution: \"t@patch:t@npm%3A5.0.0#x\"\n\n\"o@npm:1\":\n  version: 1.0.0\n  resolution: \"o@npm:1.0.0\"\n",
            ),
            ("package.json", "{\"dependencies\": {\"t\": \"^5\"}}"),
        ],
        &[
            "t 5.0.0 prod direct yarn.lock:4:1 public asked package.json:1:19",
            "t 5.0.0 prod via t yarn.lock:13:1 public",
            "o 1.0.0 optional via t yarn.lock:17:1 public",
        ],
    ),
    // An optional peer does not make what it names shipped.
    (
        &[(
            "package-lock.json",
            "{\"lockfileVersion\": 3, \"packages\": {\"\": {\"dependencies\": {\"a\": \"1\"}, \"devDependencies\": {\"p\": \"1\"}},\n\"node_modules/a\": {\"version\": \"1.0.0\", \"peerDependencies\": {\"p\": \"*\"}, \"peerDependenciesMeta\": {\"p\": {\"optional\": true}}},\n\"node_modules/p\": {\"version\": \"1.0.0\", \"devOptional\": true}}}",
        )],
        &[
            "a 1.0.0 prod direct package-lock.json:2:1 public asked package-lock.json:1:59",
            "p 1.0.0 optional direct package-lock.json:3:1 public asked package-lock.json:1:90",
        ],
    ),
    // The extra of a dependency is needed as the dependency is.
    (
        &[
            (
                "poetry.lock",
                "[[package]]\nname = \"u\"\nversion = \"1\"\n[package.dependencies]\nx = {version = \"*\", optional = true, markers = \"extra == 'std'\"}\n[package.extras]\nstd = [\"x (>=1)\"]\n\n[[package]]\nname = \"x\"\nversion = \"2\"\noptional = false\n\n[metadata]\n",
            ),
            ("pyproject.toml", "[tool.poetry.dependencies]\nu = {version = \"1\", extras = [\"std\"]}\n"),
        ],
        &[
            "u 1 prod direct poetry.lock:2:8 public asked pyproject.toml:2:1",
            "x 2 prod via u poetry.lock:10:8 public",
        ],
    ),
    (
        &[(
            "uv.lock",
            "version = 1\n\n[[package]]\nname = \"app\"\nversion = \"0\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"u\", extra = [\"std\"] }]\n\n[[package]]\nname = \"u\"\nversion = \"1\"\n[package.optional-dependencies]\nstd = [{ name = \"x\" }]\n\n[[package]]\nname = \"x\"\nversion = \"2\"\n",
        )],
        &["u 1 prod direct uv.lock:10:8 public asked uv.lock:7:17", "x 2 prod via u uv.lock:16:8 public"],
    ),
    // A package with extras is listed twice.
    (
        &[(
            "pdm.lock",
            "[[package]]\nname = \"u\"\nversion = \"1\"\ngroups = [\"dev\"]\n\n[[package]]\nname = \"u\"\nversion = \"1\"\nextras = [\"std\"]\ngroups = [\"default\"]\ndependencies = [\"x\", \"u==1\"]\n\n[[package]]\nname = \"x\"\nversion = \"2\"\ngroups = [\"default\"]\n\n[metadata]\n",
        )],
        &["u 1 prod direct pdm.lock:2:8 public", "x 2 prod via u pdm.lock:14:8 public"],
    ),
    // What is needed for both is shipped.
    (
        &[(
            "Pipfile.lock",
            "{\"_meta\": {},\n\"default\": {\"a\": {\"version\": \"==1\"}},\n\"develop\": {\"a\": {\"version\": \"==1\"}, \"b\": {\"version\": \"==2\"}}}",
        )],
        &["a 1 prod direct Pipfile.lock:2:13 public", "b 2 dev direct Pipfile.lock:3:38 public"],
    ),
    // A gemspec says what is for development.
    (
        &[
            (
                "Gemfile.lock",
                "PATH\n  remote: .\n  specs:\n    own (0.1)\n\nGEM\n  remote: https://rubygems.example/\n  specs:\n    rake (13.0)\n\nDEPENDENCIES\n  own!\n  rake (~> 13.0)\n",
            ),
            ("Gemfile", "gemspec\n"),
            (
                "own.gemspec",
                "Gem::Specification.new do |spec|\n  spec.add_development_dependency \"rake\", \"~> 13.0\"\nend\n",
            ),
        ],
        &[
            "own 0.1 prod direct Gemfile.lock:4:5 local asked Gemfile.lock:12:3",
            "rake 13.0 dev direct Gemfile.lock:9:5 public asked own.gemspec:2:3",
        ],
    ),
    // Properties, and versions that are managed above.
    (
        &[
            (
                "src/a.csproj",
                "<Project><PropertyGroup><Json>13.0.1</Json></PropertyGroup><ItemGroup>\n<PackageReference Include=\"J\" Version=\"$(Json)\" />\n<PackageReference Include=\"M\" />\n</ItemGroup></Project>",
            ),
            (
                "Directory.Build.props",
                "<Project><PropertyGroup><MVersion>2.0.0</MVersion></PropertyGroup></Project>",
            ),
            (
                "Directory.Packages.props",
                "<Project><ItemGroup><PackageVersion Include=\"m\" Version=\"$(MVersion)\" /></ItemGroup></Project>",
            ),
        ],
        &[
            "J 13.0.1 prod direct src/a.csproj:2:1 public asked src/a.csproj:2:1",
            "M 2.0.0 prod direct src/a.csproj:3:1 public asked src/a.csproj:3:1",
        ],
    ),
    // Lockfiles of older versions of Gradle, one for each configuration; and folders of requirements.
    (
        &[("gradle/dependency-locks/testCompile.lockfile", "g:a:1.0\n"), ("requirements/base.txt", "a==1\n")],
        &[
            "g:a 1.0 test direct gradle/dependency-locks/testCompile.lockfile:1:1 public",
            "a 1 prod direct requirements/base.txt:1:1 public asked requirements/base.txt:1:1",
        ],
    ),
    // Collections of lockfiles put the project in front.
    (
        &[("app.go.mod", "module x\nrequire example.org/a v1.0.0\n")],
        &["example.org/a v1.0.0 prod direct app.go.mod:2:9 public asked app.go.mod:2:9"],
    ),
];

#[test]
fn what_only_real_files_hold_is_read() {
    let differing: Vec<_> = REAL
        .iter()
        .map(|(texts, expect)| (describe(&read(&files(texts)).0), read(&files(texts)).1, expect))
        .filter(|(found, gaps, expect)| found != *expect || !gaps.is_empty())
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}
