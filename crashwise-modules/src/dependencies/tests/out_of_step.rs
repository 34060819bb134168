//! Lockfiles against their manifests.

use crashwise_core::testing::ModuleTest;

use super::{LOCK, esc};
use crate::dependencies::DependencyScanner;

/// Files, and what is out of step in them.
type OutOfStep<'a> = (&'a [(&'a str, String)], &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn lockfiles_out_of_step_are_named() {
    let poetry = |digest: &str| {
        esc(&format!(
            "[[package]]\nname = 'django'\nversion = '4.2'\n\n[metadata]\ncontent-hash = '{digest}'\n"
        ))
    };
    let old = "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\npython = '>=3.9'\ndjango = {version = '4.2', extras = ['ä']}\n";
    let new = "[project]\nname = 'x'\nrequires-python = '>=3.9'\ndependencies = ['django==4.2']\n";
    let (of_old, of_new) = (
        "d0abe67ae93b9b905e3a1dc6d465f40d59c895ec6f33be1c68ccda2824673269",
        "974ebf1de3f79a92c773a2a05e0120bc7bbda2efa87ecce9f036db5e4504ea39",
    );
    let rows: [OutOfStep<'_>; 10] = [
        (
            &[
                ("Cargo.lock", esc("version = 4\n\n[[package]]\nname = 'app'\nversion = '0.1.0'\ndependencies = [\n 'a',\n 'gone',\n]\n\n[[package]]\nname = 'a'\nversion = '1.4.0'\nsource = 'git+https://git.example/a#abcdef1'\n\n[[package]]\nname = 'gone'\nversion = '1.0.0'\nsource = 'git+https://git.example/a#abcdef1'\n")),
                ("Cargo.toml", esc("[package]\nname = 'app'\n[dependencies]\na = '2'\nb = '1'\n")),
            ],
            &[
                "Cargo.toml:4:1 app asks for a 2, the lockfile has 1.4.0",
                "Cargo.toml:5:1 app asks for b, which the lockfile does not know",
                "Cargo.lock:17:8 gone is locked for app, which does not ask for it",
            ],
        ),
        (
            &[
                ("Cargo.lock", esc("version = 4\n\n[[package]]\nname = 'app'\nversion = '0.1.0'\ndependencies = [\n 'a',\n]\n\n[[package]]\nname = 'a'\nversion = '1.4.0'\nsource = 'git+https://git.example/a#abcdef1'\n")),
                ("Cargo.toml", esc("[package]\nname = 'app'\n[dependencies]\nrenamed = { package = 'a', version = '1.2' }\n")),
            ],
            &[],
        ),
        (
            &[
                ("package-lock.json", LOCK.to_owned()),
                ("package.json", "{\"dependencies\": {\"a\": \"2\"},\n\"devDependencies\": {\"n\": \"1\"}}".to_owned()),
            ],
            &[
                "package.json:1:19 asks for a 2, the lockfile was made for 1",
                "package.json:2:21 asks for n 1, which the lockfile does not know",
                "package-lock.json:2:1 was made for t 1, which the manifest does not ask for",
            ],
        ),
        (
            &[
                ("pnpm-lock.yaml", "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a: {specifier: ^1, version: 1.0.0}\npackages:\n  a@1.0.0: {resolution: {integrity: x}}\n".to_owned()),
                ("package.json", "{\"dependencies\": {\"a\": \"^2\"}, \"peerDependencies\": {\"p\": \"1\"}}".to_owned()),
            ],
            &["package.json:1:19 asks for a ^2, the lockfile was made for ^1"],
        ),
        (
            &[
                ("bun.lock", "{\"lockfileVersion\": 2, \"workspaces\": {\n\"\": {\"name\": \"x\", \"dependencies\": {\"a\": \"^1\", \"gone\": \"1\"}},\n\"packages/w\": {\"dependencies\": {\"a\": \"^1\"}}},\n\"packages\": {\"a\": [\"a@1.0.0\", \"\", {}, \"sha512-x\"]}}".to_owned()),
                ("package.json", "{\"dependencies\": {\"a\": \"^2\"}}".to_owned()),
                ("packages/w/package.json", "{\"dependencies\": {\"a\": \"^1\"},\n\"devDependencies\": {\"b\": \"1\"}}".to_owned()),
            ],
            &[
                "package.json:1:19 asks for a ^2, the lockfile was made for ^1",
                "packages/w/package.json:2:21 asks for b 1, which the lockfile does not know",
                "bun.lock:2:1 was made for gone 1, which the manifest does not ask for",
            ],
        ),
        (
            &[
                ("go.mod", "module x\ngo 1.21\nrequire example.org/a v1.0.0\nrequire example.org/b v1.0.0\n".to_owned()),
                ("go.sum", "example.org/a v1.0.0/go.mod h1:x\nexample.org/b v0.9.0 h1:x\n".to_owned()),
            ],
            &["go.mod:4:9 go.sum has no sum of example.org/b v1.0.0"],
        ),
        (&[("poetry.lock", poetry(of_old)), ("pyproject.toml", esc(old))], &[]),
        (&[("poetry.lock", poetry(of_new)), ("pyproject.toml", esc(new))], &[]),
        (
            &[("poetry.lock", poetry(of_old)), ("pyproject.toml", esc(new))],
            &["poetry.lock:6:16 was made for another pyproject.toml: its digest differs"],
        ),
        (&[("go.mod", "module x\ngo 1.21\nrequire example.org/a v1.0.0\n".to_owned())], &[]),
    ];
    check_out_of_step(&rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_and_not_locked_is_named() {
    let rows: [OutOfStep<'_>; 5] = [
        (
            &[
                ("composer.lock", r#"{"packages": [{"name": "v/a", "version": "1.0", "replace": {"v/old": "*"}}]}"#.to_owned()),
                ("composer.json", r#"{"require": {"php": ">=8", "ext-json": "*", "v/A": "^1", "v/old": "^1", "v/b": "^2"}}"#.to_owned()),
            ],
            &["composer.json:1:73 asks for v/b, which the lockfile does not know"],
        ),
        (
            &[
                ("Pipfile.lock", r#"{"_meta": {}, "default": {"a-b": {"version": "==1"}}, "develop": {}}"#.to_owned()),
                ("Pipfile", "[packages]\nA_b = \"*\"\n[dev-packages]\npytest = \"*\"\n".to_owned()),
            ],
            &["Pipfile:4:1 asks for pytest, which the lockfile does not know"],
        ),
        (
            &[
                ("Gemfile.lock", "GEM\n  remote: https://gems.example/\n  specs:\n    a (1.0)\n\nDEPENDENCIES\n  a\n".to_owned()),
                ("Gemfile", "gem 'a'\ngem 'b'\n".to_owned()),
            ],
            &["Gemfile:2:1 asks for b, which the lockfile was not made for"],
        ),
        (
            &[
                ("Gemfile.lock", "GEM\n  remote: https://gems.example/\n  specs:\n    a (1.0)\n\nDEPENDENCIES\n  a\n".to_owned()),
                ("Gemfile", "gem 'a'\ngem 'b' if RUBY_VERSION < '3'\n".to_owned()),
            ],
            &[],
        ),
        (
            &[
                ("yarn.lock", "# yarn lockfile v1\n\na@^1.0.0, a@~1.0.0:\n  version \"1.0.1\"\n\na@^2.0.0:\n  version \"2.0.0\"\n".to_owned()),
                ("package.json", r#"{"dependencies": {"a": "^1.0.0", "here": "file:../here"}, "devDependencies": {"b": "^3.0.0"}}"#.to_owned()),
            ],
            &["package.json:1:79 asks for b ^3.0.0, which the lockfile does not know"],
        ),
    ];
    check_out_of_step(&rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pdm_lockfiles_of_another_manifest_are_named() {
    let manifest = "[project]\nname = 'x'\nversion = '0.1'\nrequires-python = '>=3.9'\ndependencies = ['click>=8', \"idna; python_version<'4'\"]\n[project.optional-dependencies]\nStd = ['colorama']\n[dependency-groups]\nDev_Group = ['iniconfig']\n[tool.pdm.dev-dependencies]\ntest = ['six>=1']\n[tool.pdm.resolution.overrides]\nsix = '1.16.0'\n";
    let lock = |digest: &str| format!("[metadata]\ncontent_hash = \"sha256:{digest}\"\n");
    // As the versions of PDM write it: with the standard's groups, with a table of resolution, with overrides alone.
    for digest in [
        "d0fcb694fff94e34b6ca963d77f18f6e5642279bb930ea17ea7ba51aa2e95eb4",
        "df66d1fadbc5ba2f79ca94c2ef34b68098ee08c7c557cf58a9327cffbdcb12c0",
        "1684dc19e99e832e6d60551c0f3b8a7ff7a4268ffc45af90baf3269222492100",
    ] {
        let files = [("pdm.lock", lock(digest)), ("pyproject.toml", manifest.to_owned())];
        check_out_of_step(&[(&files, &[])]).await;
        let other = manifest.replace("click>=8", "click>=7");
        let files = [("pdm.lock", lock(digest)), ("pyproject.toml", other)];
        check_out_of_step(&[(
            &files,
            &["pdm.lock:2:16 was made for another pyproject.toml: its digest differs"],
        )])
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lockfiles_that_keep_what_they_were_made_for_are_compared() {
    let uv = "version = 1\n\n[[package]]\nname = 'app'\nversion = '0.1'\nsource = { virtual = '.' }\n\n[package.metadata]\nrequires-dist = [\n  { name = 'click', specifier = '>=8.0,<9' },\n  { name = 'colorama', specifier = '~=0.4.1' },\n  { name = 'idna', extras = ['all'], specifier = '==3.*' },\n  { name = 'own', editable = 'own' },\n]\n\n[package.metadata.requires-dev]\ndev = [{ name = 'six', specifier = '>=1' }]\n";
    let project = "[project]\nname = 'app'\ndependencies = ['Click<9, >=8', \"idna[all] == 3.*; python_version < '4'\", 'own>=2']\n[project.optional-dependencies]\nStd = ['colorama ~= 0.4.1']\n[dependency-groups]\ndev = [{include-group = 'test'}]\ntest = ['six>=1']\n";
    let nuget = r#"{"version": 1, "dependencies": {"net8.0": {
"A": {"type": "Direct", "requested": "[1.0.0, )", "resolved": "1.0.0"},
"B": {"type": "Direct", "requested": "[2.0.0, )", "resolved": "2.0.0"},
"F": {"type": "Direct", "requested": "[1.*, )", "resolved": "1.9.0"},
"Microsoft.NET.ILLink.Tasks": {"type": "Direct", "requested": "[8.0.0, )", "resolved": "8.0.0"},
"T": {"type": "Transitive", "resolved": "3.0.0"}}}}"#;
    let references = |lines: &str| format!("<Project><ItemGroup>\n{lines}\n</ItemGroup></Project>");
    let same = "<PackageReference Include=\"a\" Version=\"1.0\" />\n<PackageReference Include=\"B\" Version=\"$(B)\" />\n<PackageReference Include=\"F\" Version=\"1.*\" />";
    let other = "<PackageReference Include=\"A\" Version=\"1.1\" />\n<PackageReference Include=\"N\" Version=\"1.0\" />\n<PackageReference Include=\"C\" Version=\"1.0\" Condition=\"false\" />\n<PackageReference Include=\"F\" Version=\"2.*\" />";
    let rows: [OutOfStep<'_>; 5] = [
        (&[("uv.lock", esc(uv)), ("pyproject.toml", project.to_owned())], &[]),
        (
            &[
                ("uv.lock", esc(uv)),
                (
                    "pyproject.toml",
                    project
                        .replace("<9, >=8", ">=8")
                        .replace("'own>=2'", "'new'")
                        .replace("six>=1", "six>=2"),
                ),
            ],
            &[
                "pyproject.toml:3:17 asks for Click>=8, the lockfile was made for click>=8.0,<9",
                "pyproject.toml:3:71 asks for new, which the lockfile does not know",
                "pyproject.toml:8:9 asks for six>=2, the lockfile was made for six>=1",
                "uv.lock:13:3 was made for own, which the manifest does not ask for",
            ],
        ),
        (
            &[
                ("uv.lock", esc(uv)),
                ("pyproject.toml", "[project]\nname = 'app'\ndynamic = ['dependencies']\n".to_owned()),
            ],
            &[],
        ),
        (&[("packages.lock.json", nuget.to_owned()), ("app.csproj", references(same))], &[]),
        (
            &[("src/packages.lock.json", nuget.to_owned()), ("src/app.csproj", references(other))],
            &[
                "src/app.csproj:2:1 asks for A 1.1, the lockfile was made for [1.0.0, )",
                "src/app.csproj:3:1 asks for N, which the lockfile does not know",
                "src/app.csproj:5:1 asks for F 2.*, the lockfile was made for [1.*, )",
                "src/packages.lock.json:3:1 was made for b, which the project does not ask for",
            ],
        ),
    ];
    check_out_of_step(&rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_a_manifest_does_not_allow_are_named() {
    let pub_lock = "packages:\n  http:\n    dependency: \"direct main\"\n    source: hosted\n    version: \"1.1.0\"\n  lints:\n    dependency: \"direct dev\"\n    source: hosted\n    version: \"2.0.0\"\n  flutter:\n    dependency: \"direct main\"\n    source: sdk\n    version: \"0.0.0\"\n";
    let pubspec =
        "dependencies:\n  flutter:\n    sdk: flutter\n  http: ^1.0.0\ndev_dependencies:\n  lints: any\n";
    let mix = "%{\n  \"jason\": {:hex, :jason, \"1.4.0\", \"aa\", [:mix], [], \"hexpm\", \"bb\"},\n}\n";
    let deps = |lines: &str| format!("defp deps do\n  [\n{lines}\n  ]\nend\n");
    let gradle = "g:a:1.0=compileClasspath,runtimeClasspath\ng:b:2.0=testRuntimeClasspath\nempty=annotationProcessor\n";
    let script = |lines: &str| format!("dependencies {{\n{lines}\n}}\n");
    let rows: [OutOfStep<'_>; 9] = [
        (&[("pubspec.lock", pub_lock.to_owned()), ("pubspec.yaml", pubspec.to_owned())], &[]),
        (
            &[
                ("pubspec.lock", pub_lock.to_owned()),
                ("pubspec.yaml", "dependencies:\n  flutter:\n    sdk: flutter\n  http: ^2.0.0\n  path: any\n".to_owned()),
            ],
            &[
                "pubspec.yaml:4:3 asks for http ^2.0.0, the lockfile has 1.1.0",
                "pubspec.yaml:5:3 asks for path, which the lockfile does not know",
                "pubspec.lock:6:3 lints is locked as asked for, and the manifest does not ask for it",
            ],
        ),
        (
            &[
                ("pubspec.lock", pub_lock.to_owned()),
                ("pubspec.yaml", "workspace: [a]\ndependencies:\n  http: {version: ^1.1.0}\n".to_owned()),
            ],
            &[],
        ),
        (
            &[
                ("mix.lock", mix.to_owned()),
                ("mix.exs", deps("    {:jason, \"~> 1.4\"},\n    {:own, path: \"../own\"},\n    {:part, in_umbrella: true},\n    {:ok, \"text\"}")),
            ],
            &[],
        ),
        (
            &[
                ("mix.lock", mix.to_owned()),
                ("mix.exs", deps("    {:jason, \"~> 2.0\"},\n    {:plug, \"~> 1.0 or ~> 2.0\"},\n    {:fork, github: \"o/fork\"}")),
            ],
            &[
                "mix.exs:3:5 asks for jason ~> 2.0, the lockfile has 1.4.0",
                "mix.exs:4:5 asks for plug, which the lockfile does not know",
                "mix.exs:5:5 asks for fork, which the lockfile does not know",
            ],
        ),
        (
            &[
                ("gradle.lockfile", gradle.to_owned()),
                ("build.gradle", script("  implementation 'g:a:0.9'\n  testImplementation \"g:b:2.0\"\n  annotationProcessor 'g:p:1'\n  compileOnly \"g:$x:1\"\n  kapt 'g:k:1'")),
            ],
            &["build.gradle:4:3 asks for g:p, which the lockfile does not know"],
        ),
        (
            &[
                ("app/gradle.lockfile", gradle.to_owned()),
                ("app/build.gradle.kts", script("  implementation(libs.a)\n  implementation(libs.gone)")),
                ("gradle/libs.versions.toml", "[versions]\na = \"1.1\"\n[libraries]\na = { module = \"g:a\", version.ref = \"a\" }\ngone = \"g:gone:1.0\"\n".to_owned()),
            ],
            &[
                "app/build.gradle.kts:2:3 asks for g:a 1.1, the lockfile has 1.0",
                "app/build.gradle.kts:3:3 asks for g:gone, which the lockfile does not know",
            ],
        ),
        (
            &[
                ("gradle.lockfile", gradle.to_owned()),
                ("build.gradle", format!("subprojects {{\n{}}}\n", script("  implementation 'g:gone:0.9'"))),
            ],
            &[],
        ),
        (
            &[
                ("gradle.lockfile", gradle.to_owned()),
                ("build.gradle", script("  implementation 'g:a:2.0'\n  implementation('g:a') { version { strictly '1.0' } }")),
            ],
            &[],
        ),
    ];
    check_out_of_step(&rows).await;
}

/// Compares the findings about lockfiles out of step, by their places.
async fn check_out_of_step(rows: &[OutOfStep<'_>]) {
    for (files, expect) in rows {
        let test = files
            .iter()
            .fold(ModuleTest::new(DependencyScanner::default()), |test, (path, text)| test.file(*path, text));
        let result = test.run().await.unwrap();
        let found: Vec<String> = result
            .findings
            .iter()
            .filter(|finding| finding.rule_id.as_str() == "dependencies/out-of-step")
            .map(|finding| {
                let message = finding.text();
                let said = message.split_once(": ").map_or("", |(_, said)| said);
                format!("{} {said}", finding.locations[0])
            })
            .collect();
        let mut expect: Vec<String> = expect.iter().map(|&text| text.to_owned()).collect();
        expect.sort();
        let mut found = found;
        found.sort();
        assert_eq!(found, expect);
    }
}
