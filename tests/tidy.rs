//! The house stays in order: arrows between crates, weight of the core, size of rooms, reasons for dependencies.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// All files below a folder whose name ends so, in a fixed order; build output left out.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with(".git") && !path.is_symlink() {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn arrows_point_one_way() {
    for (crate_name, allowed) in [
        ("crashwise-core", &[][..]),
        ("crashwise-modules", &["crashwise-core"][..]),
        ("crashwise-sarif", &["crashwise-core"][..]),
        ("crashwise-runner", &["crashwise-core", "crashwise-modules", "crashwise-sarif"][..]),
    ] {
        let manifest = manifest(crate_name);
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for name in
                manifest.get(table).and_then(|table| table.as_table()).into_iter().flat_map(|t| t.keys())
            {
                let own = table == "dev-dependencies" && name == crate_name;
                assert!(
                    !name.starts_with("crashwise") || own || allowed.contains(&name.as_str()),
                    "{crate_name} must not depend on {name} ({table})"
                );
            }
        }
    }
}

#[test]
fn the_core_stays_light() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    #[allow(clippy::disallowed_methods, reason = "asks cargo about this workspace")]
    let output = std::process::Command::new(cargo)
        .args([
            "tree",
            "-p",
            "crashwise-core",
            "--no-default-features",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--locked",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains("crashwise-core") && names.contains("serde"), "{tree}");
    for heavy in [
        "clap",
        "reqwest",
        "hyper",
        "rustls",
        "object_store",
        "rusqlite",
        "libsqlite3-sys",
        "zstd-sys",
        "liblzma-sys",
        "gix",
        "ignore",
        "serde-sarif",
        "landlock",
        "openssl",
        "temporalio-sdk",
    ] {
        assert!(!names.contains(heavy), "crashwise-core without features pulls in {heavy}");
    }
    assert!(names.len() <= 110, "crashwise-core without features has {} packages", names.len());
}

#[test]
fn rooms_stay_small_and_finished() {
    let unfinished = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["#[", "ignore"].concat(),
        ["FIX", "ME"].concat(),
    ];
    for path in files(root(), ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let lines = code.lines().count();
        assert!(is_test || lines <= 600, "{name} has {lines} lines: it has become two rooms");
        for word in &unfinished {
            assert!(!text.contains(word.as_str()), "{name} holds {word}");
        }
    }
}

#[test]
fn library_roots_hold_documentation_and_exports_only() {
    for folder in ["crashwise-core", "crashwise-modules", "crashwise-sarif", "crashwise-runner"] {
        let text = fs::read_to_string(root().join(folder).join("src/lib.rs")).unwrap();
        assert!(text.starts_with("//! "), "{folder}/src/lib.rs opens with the crate's sentence");
        assert!(!text.contains("::*"), "{folder}/src/lib.rs re-exports by name, not by glob");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = fs::read_to_string(root().join("docs/design/dependencies.md")).unwrap();
    let named: BTreeSet<&str> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|names| names.split(','))
        .map(|name| name.split('(').next().unwrap_or(name).trim().trim_matches('`'))
        .collect();
    let manifest = manifest(".");
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    for name in dependencies.keys().filter(|name| !name.starts_with("crashwise")) {
        assert!(named.contains(name.as_str()), "docs/design/dependencies.md says nothing of {name}");
    }
    for name in &named {
        let known = dependencies.contains_key(*name) || *name == "crate" || name.starts_with('-');
        assert!(known, "docs/design/dependencies.md names {name}, which nothing depends on");
    }
}
