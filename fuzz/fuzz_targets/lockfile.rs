//! No text makes a format panic or hang, and what is read is whole: parents exist, paths end, packages have names.
//! The first byte chooses the file, a zero byte separates it from the manifest beside it.
#![no_main]

use crashwise_core::RelPath;
use crashwise_modules::dependencies::{cyclonedx, inventory_of_texts, spdx};
use libfuzzer_sys::fuzz_target;

/// A file, and the manifest beside it.
const NAMES: &[(&str, &str)] = &[
    ("Cargo.lock", "Cargo.toml"),
    ("package-lock.json", "package.json"),
    ("npm-shrinkwrap.json", "package.json"),
    ("pnpm-lock.yaml", "package.json"),
    ("yarn.lock", "package.json"),
    ("bun.lock", "package.json"),
    ("requirements.txt", "constraints.txt"),
    ("poetry.lock", "pyproject.toml"),
    ("uv.lock", "pyproject.toml"),
    ("pdm.lock", "pyproject.toml"),
    ("pylock.toml", "pyproject.toml"),
    ("Pipfile.lock", "Pipfile"),
    ("go.mod", "go.sum"),
    ("composer.lock", "composer.json"),
    ("Gemfile.lock", "Gemfile"),
    ("Gemfile.lock", "own.gemspec"),
    ("gradle.lockfile", "testCompile.lockfile"),
    ("verification-metadata.xml", "x.txt"),
    ("a/pom.xml", "pom.xml"),
    ("packages.lock.json", "a.csproj"),
    ("a.csproj", "Directory.Packages.props"),
    ("packages.config", "x.txt"),
    ("mix.lock", "mix.exs"),
    ("pubspec.lock", "pubspec.yaml"),
    ("gradle.lockfile", "build.gradle"),
    ("gradle.lockfile", "build.gradle.kts"),
    ("bom.json", "x.txt"),
    ("a.spdx.json", "x.txt"),
    ("bom.xml", "x.txt"),
    ("a.spdx", "x.txt"),
    ("osv-scanner.toml", "audit.toml"),
    (".trivyignore", "deny.toml"),
    ("a.openvex.json", "vex.json"),
];

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let (name, beside) = NAMES[usize::from(*first) % NAMES.len()];
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (text, manifest) = text.split_once('\0').unwrap_or((text, ""));
    let mut texts = vec![(RelPath::new(name).unwrap(), text.to_owned())];
    if !manifest.is_empty() {
        texts.push((RelPath::new(beside).unwrap(), manifest.to_owned()));
    }
    let (inventory, _) = inventory_of_texts(texts);
    for (index, package) in inventory.packages.iter().enumerate() {
        assert!(package.parents.iter().all(|parent| *parent < inventory.packages.len()));
        let path = inventory.path_to(index);
        assert!(path.len() <= inventory.packages.len() + 1 && path.last() == Some(&index));
        assert!(package.purl().starts_with("pkg:"));
    }
    cyclonedx(&inventory, "app");
    spdx(&inventory, "app");
});
