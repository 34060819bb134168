//! Manifests that ask for packages of which no lockfile says the versions.

use std::ops::Range;

use crashwise_core::RelPath;

use super::input::{Files, Input};
use super::read::format_of;
use super::{
    bun, cargo, cargo_manifest, composer, gemfile, gradle, gradle_script, mix, node_manifest, npm, pdm,
    pipfile, pnpm, poetry, pub_lock, pylock, python_manifest, requirements, uv, yarn,
};

const NODE: &[&str] = &[npm::FORMAT.name, pnpm::FORMAT.name, yarn::FORMAT.name, bun::FORMAT.name];
const PYTHON: &[&str] = &[
    requirements::FORMAT.name,
    poetry::FORMAT.name,
    uv::FORMAT.name,
    pdm::FORMAT.name,
    pipfile::FORMAT.name,
    pylock::FORMAT.name,
];
const GRADLE: &[&str] = &[gradle::LOCKFILE.name, gradle::VERIFICATION.name];

/// A manifest, the formats that lock what it asks for, and what in it asks for packages of a registry.
type Manifest = (&'static str, &'static [&'static str], fn(&Input<'_>) -> Vec<Range<usize>>);

const MANIFESTS: [Manifest; 10] = [
    ("package.json", NODE, node_manifest::places),
    ("Cargo.toml", &[cargo::FORMAT.name], cargo_manifest::places),
    ("pyproject.toml", PYTHON, python_manifest::places),
    ("Pipfile", PYTHON, pipfile::places),
    ("composer.json", &[composer::FORMAT.name], composer::places),
    ("Gemfile", &[gemfile::FORMAT.name], gemfile::places),
    ("mix.exs", &[mix::FORMAT.name], mix::places),
    ("pubspec.yaml", &[pub_lock::FORMAT.name], pub_lock::places),
    ("build.gradle", GRADLE, gradle_script::places),
    ("build.gradle.kts", GRADLE, gradle_script::places),
];

/// A manifest without a lockfile: where it first asks for something, and what there is to say.
pub(super) struct Unlocked<'a> {
    pub(super) path: &'a RelPath,
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// The manifests that no lockfile beside or above them covers. Of those in one tree of folders the uppermost stands
/// for all.
pub(super) fn unlocked(files: &Files) -> Vec<Unlocked<'_>> {
    let mut out = Vec::new();
    for (name, formats, places) in MANIFESTS {
        let folder = |path: &RelPath| {
            let format = format_of(path).filter(|format| formats.contains(&format.name))?;
            // It lies in a folder of its own, and is about the whole build.
            let is_apart = format.name == gradle::VERIFICATION.name;
            Some(path.parent().and_then(|folder| if is_apart { folder.parent() } else { Some(folder) }))
        };
        let locked: Vec<Option<RelPath>> = files.iter().filter_map(|(path, _)| folder(path)).collect();
        let mut manifests: Vec<_> = files.iter().filter(|(path, _)| path.file_name() == name).collect();
        manifests.sort_by_key(|(path, _)| path.as_str().matches('/').count());
        let mut found: Vec<(&RelPath, Range<usize>, usize, usize)> = Vec::new();
        for (path, text) in manifests {
            if locked.iter().any(|folder| is_below(path, folder.as_ref())) {
                continue;
            }
            let asks = places(&Input { path, text, files });
            let Some(first) = asks.first() else { continue };
            if let Some(above) = found.iter_mut().find(|above| is_below(path, above.0.parent().as_ref())) {
                above.3 += 1;
            } else {
                found.push((path, first.clone(), asks.len(), 0));
            }
        }
        out.extend(found.into_iter().map(|(path, at, asks, below)| {
            let packages = if asks == 1 { "a package".to_owned() } else { format!("{asks} packages") };
            let others = match below {
                0 => String::new(),
                1 => format!("; so does another {name} below"),
                _ => format!("; so do {below} other {name} below"),
            };
            let message = format!(
                "asks for {packages}, and no lockfile says which versions: nothing of that was looked at{others}"
            );
            Unlocked { path, at, message }
        }));
    }
    out
}

/// Whether a file lies in a folder, or below it; `None` is the whole target.
fn is_below(path: &RelPath, folder: Option<&RelPath>) -> bool {
    folder.is_none_or(|folder| {
        path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use crate::dependencies::inventory_of_texts;
    use crashwise_core::RelPath;

    /// Files, and what is said of them.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

    #[test]
    fn manifests_without_a_lockfile_are_told() {
        let node = "{\"dependencies\": {\"a\": \"^1\", \"own\": \"workspace:*\"}}";
        let cases: &[Case<'_>] = &[
            (&[("package.json", node)], &["package.json:1:19: asks for a package"]),
            (&[("package.json", node), ("yarn.lock", "# yarn lockfile v1\n")], &[]),
            (&[("web/package.json", node), ("bun.lock", "{")], &[]),
            (
                &[("web/package.json", node), ("api/yarn.lock", "# yarn lockfile v1\n")],
                &["web/package.json:1:19"],
            ),
            (
                &[("package.json", node), ("a/package.json", node), ("b/package.json", node)],
                &[
                    "package.json:1:19: asks for a package, and no lockfile says which versions: nothing of that was looked at; so do 2 other package.json below",
                ],
            ),
            (&[("package.json", "{}"), ("a/package.json", node)], &["a/package.json:1:19"]),
            (
                &[(
                    "package.json",
                    "{\"dependencies\": {\"own\": \"file:own\"}, \"peerDependencies\": {\"p\": \"1\"}}",
                )],
                &[],
            ),
            (&[("package.json", "{")], &[]),
            (
                &[("Cargo.toml", "[dependencies]\na = \"1\"\nb = { path = \"b\" }\n")],
                &["Cargo.toml:2:1: asks for a package"],
            ),
            (&[("Cargo.toml", "[package]\nname = \"x\"\n")], &[]),
            (
                &[("pyproject.toml", "[project]\ndependencies = [\"a\", \"b\"]\n")],
                &["pyproject.toml:2:17: asks for 2 packages"],
            ),
            (
                &[("pyproject.toml", "[project]\ndependencies = [\"a\"]\n"), ("requirements.txt", "a==1\n")],
                &[],
            ),
            (
                &[("Pipfile", "[packages]\na = \"*\"\n[dev-packages]\nb = \"*\"\n")],
                &["Pipfile:2:1: asks for 2 packages"],
            ),
            (
                &[("composer.json", "{\"require\": {\"php\": \"8\", \"v/a\": \"1\"}}")],
                &["composer.json:1:26"],
            ),
            (&[("Gemfile", "gem 'a'\n")], &["Gemfile:1:1"]),
            (
                &[("mix.exs", "[\n  {:a, \"~> 1.0\"},\n  {:own, path: \"own\"}\n]\n")],
                &["mix.exs:2:3: asks for a package"],
            ),
            (
                &[("pubspec.yaml", "dependencies:\n  a: ^1.0.0\n  flutter:\n    sdk: flutter\n")],
                &["pubspec.yaml:2:3: asks for a package"],
            ),
            (&[("build.gradle", "dependencies {\n  implementation 'g:a:1.0'\n}\n")], &["build.gradle:2:3"]),
            (
                &[
                    ("app/build.gradle.kts", "implementation(\"g:a:1.0\")\n"),
                    ("gradle/verification-metadata.xml", "<x/>"),
                ],
                &[],
            ),
        ];
        for (texts, expect) in cases {
            let texts = texts.iter().map(|(path, text)| (RelPath::new(path).unwrap(), (*text).to_owned()));
            let (inventory, _) = inventory_of_texts(texts);
            let found: Vec<String> = inventory
                .mismatches
                .iter()
                .filter(|mismatch| mismatch.message.contains("no lockfile says"))
                .map(|mismatch| format!("{}: {}", mismatch.location, mismatch.message))
                .collect();
            assert_eq!(found.len(), expect.len(), "{found:?} {expect:?}");
            for (found, expect) in found.iter().zip(*expect) {
                assert!(found.starts_with(expect), "{found} {expect}");
            }
        }
    }
}
