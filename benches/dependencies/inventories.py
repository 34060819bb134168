#!/usr/bin/env python3
"""Compares inventories of lockfiles that the tools of their ecosystems wrote with an independent reading of them.

    python3 benches/dependencies/inventories.py {bun,bundler,composer,mix,maven} FOLDER... [--crashwise PROGRAM]

Compared are names and versions, and what is for development where the other reading says it: Composer by its two lists,
Bundler by `Bundler::LockfileParser` and the groups of the Gemfile, Mix by `Mix.Dep.Lock`, Maven by the effective models
that `EffectivePoms.java` beside this has Maven make of all `pom.xml` of the folder, Bun as JSON. Exits with 1 if one differs.
"""

import argparse
import glob
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

BUNDLER = """
require 'bundler'
lock = Bundler::LockfileParser.new(File.read('Gemfile.lock'))
specs = lock.specs.group_by(&:name)
asked = Bundler::Dsl.evaluate(Pathname.new('Gemfile'), Pathname.new('Gemfile.lock'), {}).dependencies
shipped = asked.select { |dep| dep.groups.include?(:default) }.map(&:name)
seen = []
while (name = shipped.shift)
  next if seen.include?(name)
  seen << name
  shipped.concat((specs[name] || []).flat_map { |spec| spec.dependencies.map(&:name) })
end
specs.each do |name, found|
  found.map { |spec| spec.version.to_s }.uniq.each { |v| puts [name, v, seen.include?(name) ? 'prod' : 'dev'].join("\\t") }
end
"""

MIX = """
for {name, {:git, _, revision, _}} <- Mix.Dep.Lock.read("mix.lock"), do: IO.puts("#{name}\\t#{revision}\\t")
for {name, lock} <- Mix.Dep.Lock.read("mix.lock"), elem(lock, 0) == :hex, do: IO.puts("#{name}\\t#{elem(lock, 2)}\\t")
"""


def printed(command, folder):
    output = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    return {tuple(line.split("\t")) for line in output.splitlines()}


def bun(folder):
    lock = json.loads(re.sub(r",(\s*[}\]])", r"\1", (folder / "bun.lock").read_text()))
    found = set()
    for items in lock["packages"].values():
        name, version = items[0][0] + items[0][1:].split("@", 1)[0], items[0][1:].split("@", 1)[1]
        if not version.startswith("workspace:"):
            found.add((name, version if version[0].isdigit() else "", ""))
    return found


def composer(folder):
    lock = json.loads((folder / "composer.lock").read_text())
    lists = (("packages", "prod"), ("packages-dev", "dev"))
    return {(package["name"], package["version"], scope) for key, scope in lists for package in lock[key]}


def bundler(folder):
    return printed(["ruby", "-e", BUNDLER], folder)


def mix(folder):
    return printed(["elixir", "-e", "Mix.start();" + MIX], folder)


def maven(folder):
    path = ":".join(glob.glob("/usr/share/maven/lib/*.jar"))
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(__file__).with_name("EffectivePoms.java").resolve()
        subprocess.run(["javac", "-cp", path, "-d", scratch, source], check=True)
        entries = printed(["java", "-cp", f"{path}:{scratch}", "EffectivePoms", "."], folder)
    # An inventory has a version once, for tests only if no project ships it; what nothing settles has no version.
    entries = {(name, "" if "${" in version else version, test) for name, version, test in entries}
    return {entry for entry in entries if not entry[2] or (*entry[:2], "") not in entries}


READERS = {reader.__name__: reader for reader in (bun, bundler, composer, mix, maven)}


def inventory(crashwise, folder, kind):
    output = subprocess.run([crashwise, "-q", "sbom", folder], capture_output=True, text=True, check=False)
    if output.returncode:
        sys.exit(f"crashwise failed: {output.stderr}")
    found = set()
    for part in json.loads(output.stdout)["components"]:
        properties = {}
        for entry in part["properties"]:
            properties.setdefault(entry["name"], []).append(entry["value"])
        scope = properties["crashwise:scope"][0]
        name = ":".join(filter(None, [part.get("group"), part["name"]])) if kind == "maven" else part["name"]
        version = part.get("version", "")
        if kind == "mix" and not version:
            version = re.search(r"[0-9a-f]{40}", urllib.parse.unquote(part["purl"]))[0]
        is_dev = scope in ("dev", "test")
        found.add((name, version, ("dev" if is_dev else "prod") if kind in ("composer", "bundler") else ""))
        if kind == "maven":
            found.discard((name, version, ""))
            found.add((name, version, "test" if is_dev else ""))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=sorted(READERS))
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    parser.add_argument("--crashwise", default=pathlib.Path("target/release/crashwise"), type=pathlib.Path)
    arguments = parser.parse_args()
    differs = False
    for folder in arguments.folders:
        expected = READERS[arguments.kind](folder)
        found = inventory(arguments.crashwise.resolve(), folder, arguments.kind)
        for entry in sorted(expected - found):
            print("  only the other reading:", *entry)
        for entry in sorted(found - expected):
            print("  only crashwise:        ", *entry)
        differs |= expected != found
        print(f"{folder}: {len(expected & found)} equal of {len(expected | found)}")
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
