#!/usr/bin/env python3
"""Lockfiles and manifests of 20,000 and 40,000 packages, in shapes that tempt a reader to look through all of them for each.

    python3 benches/dependencies/scale.py DIR
    cargo bench --bench dependencies -- --scale DIR

Twice as much should take about twice as long. `chain`: each package needs the next one; `wide`: the project asks for
each; `same`: all have one name; `line`: all on one line.
"""
import pathlib
import sys

REGISTRY = 'source = "registry+https://registry.example/index"\n'


def forms(n):
    r = range(n)
    after = lambda i: (i + 1) % n
    each = lambda text, by="": by.join(text(i) for i in r)
    manifest = '{"name":"b","dependencies":{%s}}' % each(lambda i: f'"p{i}":"^1.0.0"', ",")
    project = '[project]\nname = "b"\ndependencies = [%s]\n' % each(lambda i: f'"p{i}>=1"', ",")
    toml = lambda head: each(lambda i: f'[[{head}]]\nname = "p{i}"\nversion = "1.0.{i}"\n')
    same = lambda head, needs: each(lambda i: f'[[{head}]]\nname = "p"\nversion = "1.0.{i}"\n{needs(i)}\n')
    yield "npm-line-chain", {"package-lock.json": '{"lockfileVersion":3,"packages":{"":{"dependencies":{"p0":"1"}}%s}}' % each(
        lambda i: f',"node_modules/p{i}":{{"version":"1.0.{i}","dependencies":{{"p{after(i)}":"1"}}}}')}
    yield "npm-line-wide", {"package.json": manifest, "package-lock.json": '{"lockfileVersion":3,"packages":{"":%s%s}}' % (
        manifest, each(lambda i: f',"node_modules/p{i}":{{"version":"1.0.{i}"}}'))}
    yield "npm1-line-wide", {"package.json": manifest, "package-lock.json": '{"lockfileVersion":1,"dependencies":{%s}}' % each(
        lambda i: f'"p{i}":{{"version":"1.0.{i}"}}', ",")}
    yield "pnpm-wide", {"package.json": manifest, "pnpm-lock.yaml": "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n" + each(
        lambda i: f"      p{i}:\n        specifier: ^1.0.0\n        version: 1.0.{i}\n") + "packages:\n" + each(
        lambda i: f"  p{i}@1.0.{i}:\n    resolution: {{integrity: x}}\n") + "snapshots:\n" + each(lambda i: f"  p{i}@1.0.{i}: {{}}\n")}
    yield "yarn1-wide", {"package.json": manifest, "yarn.lock": "# yarn lockfile v1\n\n\n" + each(
        lambda i: f'p{i}@^1.0.0:\n  version "1.0.{i}"\n\n')}
    yield "yarn1-same", {"yarn.lock": "# yarn lockfile v1\n\n\n" + each(
        lambda i: f'p@1.0.{i}:\n  version "1.0.{i}"\n  dependencies:\n    p "1.0.{after(i)}"\n\n')}
    yield "bun-line-wide", {"package.json": manifest, "bun.lock": '{"lockfileVersion":1,"workspaces":{"":%s},"packages":{%s}}' % (
        manifest, each(lambda i: f'"p{i}":["p{i}@1.0.{i}","",{{}},"x"]', ","))}
    cargo = '[[package]]\nname = "b"\nversion = "0.1.0"\ndependencies = [\n%s]\n' % each(lambda i: f' "p{i}",\n')
    yield "cargo-wide", {"Cargo.toml": '[package]\nname = "b"\n[dependencies]\n' + each(lambda i: f'p{i} = "1"\n'),
                         "Cargo.lock": "version = 4\n" + cargo + each(lambda i: f'[[package]]\nname = "p{i}"\nversion = "1.0.{i}"\n{REGISTRY}')}
    yield "cargo-same", {"Cargo.lock": "version = 4\n" + same("package", lambda i: f'{REGISTRY}dependencies = [\n "p 1.0.{after(i)}",\n]')}
    yield "poetry-wide", {"poetry.lock": toml("package") + '[metadata]\ncontent-hash = "x"\n',
                          "pyproject.toml": "[tool.poetry.dependencies]\n" + each(lambda i: f'p{i} = "1"\n')}
    yield "poetry-same", {"poetry.lock": same("package", lambda i: '[package.dependencies]\np = "*"') + '[metadata]\ncontent-hash = "x"\n'}
    yield "uv-wide", {"pyproject.toml": project, "uv.lock": 'version = 1\n[[package]]\nname = "b"\nversion = "0"\nsource = { virtual = "." }\n'
                      "dependencies = [%s]\n" % each(lambda i: f'{{ name = "p{i}" }}', ",") + toml("package")}
    yield "uv-same", {"uv.lock": "version = 1\n" + same("package", lambda i: f'dependencies = [{{ name = "p", version = "1.0.{after(i)}" }}]')}
    yield "pdm-wide", {"pyproject.toml": project, "pdm.lock": "[metadata]\n" + toml("package")}
    yield "pdm-same", {"pdm.lock": "[metadata]\n" + same("package", lambda i: f'dependencies = ["p==1.0.{after(i)}"]')}
    yield "pylock-wide", {"pyproject.toml": project, "pylock.toml": 'lock-version = "1.0"\n' + toml("packages")}
    yield "pylock-same", {"pylock.toml": 'lock-version = "1.0"\n' + same("packages", lambda i: 'dependencies = [{ name = "p" }]')}
    locked = each(lambda i: f'"p{i}":{{"version":"==1.0.{i}"}}', ",")
    yield "pipfile-line-wide", {"Pipfile": "[packages]\n" + each(lambda i: f'p{i} = "*"\n'),
                                "Pipfile.lock": '{"_meta":{},"default":{%s},"develop":{%s}}' % (locked, locked)}
    yield "go-wide", {"go.mod": "module example.org/a\n\ngo 1.22\n\nrequire (\n" + each(lambda i: f"\texample.org/p{i} v1.0.{i}\n") + ")\nreplace (\n"
                      + each(lambda i: f"\texample.org/p{i} => example.org/q{i} v1.0.1\n") + ")\n"}
    yield "composer-line-wide", {"composer.json": '{"require":{%s}}' % each(lambda i: f'"v/p{i}":"1"', ","),
                                 "composer.lock": '{"packages":[%s],"packages-dev":[]}' % each(lambda i: f'{{"name":"v/p{i}","version":"1.0.{i}"}}', ",")}
    yield "gem-wide", {"Gemfile": each(lambda i: f'gem "p{i}"\n'), "Gemfile.lock": "GEM\n  specs:\n" + each(
        lambda i: f"    p{i} (1.0.{i})\n") + "\nDEPENDENCIES\n" + each(lambda i: f"  p{i}\n")}
    yield "gradle-wide", {"gradle.lockfile": each(lambda i: f"g:p{i}:1.0.{i}=compileClasspath\n") + "empty=\n",
                          "build.gradle": "dependencies {\n" + each(lambda i: f"  implementation 'g:p{i}:1.0.{i}'\n") + "}\n"}
    yield "maven-line-wide", {"pom.xml": "<project><groupId>g</groupId><artifactId>a</artifactId><version>1</version><properties>" + each(
        lambda i: f"<v{i}>1.{i}</v{i}>") + "</properties><dependencies>" + each(
        lambda i: f"<dependency><groupId>g</groupId><artifactId>p{i}</artifactId><version>${{v{i}}}</version></dependency>") + "</dependencies></project>"}
    yield "nuget-line-wide", {"a.csproj": "<Project><ItemGroup>" + each(lambda i: f'<PackageReference Include="P{i}" Version="1.0.0" />') + "</ItemGroup></Project>",
                              "packages.lock.json": '{"version":1,"dependencies":{"net6.0":{%s}}}' % each(
        lambda i: f'"P{i}":{{"type":"Direct","requested":"[1.0.0, )","resolved":"1.0.{i}"}}', ",")}
    yield "mix-line-wide", {"mix.exs": "[\n" + each(lambda i: f'    {{:p{i}, "~> 1.0"}},\n') + "]\n", "mix.lock": "%{" + each(
        lambda i: f'"p{i}": {{:hex, :p{i}, "1.0.{i}", "aa", [:mix], [{{:p{after(i)}, "1", []}}], "hexpm"}}, ') + "}\n"}
    yield "pub-wide", {"pubspec.yaml": "dependencies:\n" + each(lambda i: f"  p{i}: ^1.0.0\n"), "pubspec.lock": "packages:\n" + each(
        lambda i: f'  p{i}:\n    dependency: "direct main"\n    source: hosted\n    version: "1.0.{i}"\n')}
    parts = each(lambda i: f'{{"bom-ref":"r{i}","purl":"pkg:npm/p{i}@1.0.{i}"}}', ",")
    yield "cyclonedx-line-chain", {"bom.cdx.json": '{"bomFormat":"CycloneDX","specVersion":"1.6","components":[%s],"dependencies":[%s]}' % (
        parts, each(lambda i: f'{{"ref":"r{i}","dependsOn":["r{after(i)}"]}}', ","))}
    parts = each(lambda i: f'{{"SPDXID":"r{i}","externalRefs":[{{"referenceType":"purl","referenceLocator":"pkg:npm/p{i}@1.0.{i}"}}]}}', ",")
    yield "spdx-line-wide", {"bom.spdx.json": '{"spdxVersion":"SPDX-2.3","documentDescribes":[%s],"packages":[%s]}' % (
        each(lambda i: f'"r{i}"', ","), parts)}


def main():
    out = pathlib.Path(sys.argv[1])
    for n in (20_000, 40_000):
        for name, files in forms(n):
            folder = out / f"{name}-{n}"
            folder.mkdir(parents=True)
            for file, text in files.items():
                (folder / file).write_text(text)


main()
