#!/usr/bin/env python3
"""Runs crashwise and cargo-audit on the same lockfiles with the same advisories and compares what they report.

    python3 benches/dependencies/cargo_audit.py ADVISORIES.zip LOCKFILE... [--repeat 5]
        [--crashwise target/release/crashwise] [--cargo-audit cargo-audit]

The advisories are OSV records of the Rust crates. cargo-audit reads them as RustSec writes them, so they are written as
such first: `patched` and `unaffected` are what the ranges leave out. Prints the sets, their differences and the CPU time
of the whole processes, children included, best of the repetitions. Exits with 1 if a set differs.
"""

import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile


def requirements(ranges):
    """What the events of all ranges leave out, as requirements: patched and unaffected."""
    events = []
    for part in ranges:
        introduced = None
        for event in part["events"]:
            if "introduced" in event:
                introduced = event["introduced"]
            elif "fixed" in event:
                events.append((introduced, event["fixed"]))
                introduced = None
        if introduced is not None:
            events.append((introduced, None))
    patched, unaffected = [], []
    zero = ("0", "0.0.0-0")
    if events and events[0][0] not in zero:
        unaffected.append(f"< {events[0][0]}")
    for index, (_, fixed) in enumerate(events):
        if fixed is None:
            continue
        following = events[index + 1][0] if index + 1 < len(events) else None
        patched.append(f">= {fixed}" + (f", < {following}" if following else ""))
    return patched, unaffected


def write_rustsec(archive, folder):
    with zipfile.ZipFile(archive) as records:
        for name in records.namelist():
            record = json.loads(records.read(name))
            affected = record["affected"][0]
            package = affected["package"]["name"]
            patched, unaffected = requirements(affected["ranges"])
            lines = ["[advisory]", f'id = {json.dumps(record["id"])}', f"package = {json.dumps(package)}"]
            lines.append(f'date = "{record["published"][:10]}"')
            if record.get("withdrawn"):
                lines.append(f'withdrawn = "{record["withdrawn"][:10]}"')
            specific = affected.get("database_specific") or {}
            for key in ("informational", "cvss"):
                if specific.get(key):
                    lines.append(f"{key} = {json.dumps(specific[key])}")
            links = [link["url"] for link in record["references"] if link["type"] not in ("PACKAGE", "ADVISORY")]
            if links:
                lines.append(f"url = {json.dumps(links[0])}")
            for key, texts in [("references", links[1:]), ("categories", specific.get("categories")),
                               ("aliases", record.get("aliases")), ("related", record.get("related"))]:
                if texts:
                    lines.append(f"{key} = {json.dumps(texts)}")
            place_of_use = {key: texts for key, texts in affected["ecosystem_specific"]["affects"].items()
                            if texts and key != "functions"}
            if place_of_use:
                lines += ["", "[affected]", *(f"{key} = {json.dumps(texts)}" for key, texts in place_of_use.items())]
            lines += ["", "[versions]", f"patched = {json.dumps(patched)}", f"unaffected = {json.dumps(unaffected)}"]
            place = folder / "crates" / package
            place.mkdir(parents=True, exist_ok=True)
            text = "```toml\n" + "\n".join(lines) + f'\n```\n\n# {record["summary"]}\n\n{record["details"]}\n'
            (place / f'{record["id"]}.md').write_text(text)


def run(command, repeat):
    best, output = None, None
    for _ in range(repeat):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(command, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = used if best is None else min(best, used)
    return best, output


def of_cargo_audit(output):
    try:
        report = json.loads(output.stdout)
    except ValueError:
        sys.exit(f"cargo-audit failed: {output.stderr.decode()[-2000:]}")
    entries = list(report["vulnerabilities"]["list"])
    for kind, warnings in report["warnings"].items():
        if kind != "yanked":
            entries += warnings
    return {(e["advisory"]["id"], e["package"]["name"], e["package"]["version"]) for e in entries}


def of_crashwise(output):
    try:
        report = json.loads(output.stdout)
    except ValueError:
        sys.exit(f"crashwise failed: {output.stderr.decode()[-2000:]}")
    found = set()
    for finding in report["findings"]:
        evidence = finding.get("evidence", {})
        if "class" not in evidence:
            continue
        for name in [finding["rule_id"], *evidence.get("aliases", [])]:
            if name.startswith("RUSTSEC-"):
                found.add((name, evidence["package"], evidence["version"]))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("advisories", type=pathlib.Path)
    parser.add_argument("lockfiles", type=pathlib.Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--crashwise", default="target/release/crashwise")
    parser.add_argument("--cargo-audit", default="cargo-audit")
    arguments = parser.parse_args()
    differs = False
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        write_rustsec(arguments.advisories, scratch / "rustsec")
        database = scratch / "advisories.cwdb"
        subprocess.run([arguments.crashwise, "-q", "db", "build", arguments.advisories, "-o", database], check=True)
        for lockfile in arguments.lockfiles:
            project = scratch / "project"
            shutil.rmtree(project, ignore_errors=True)
            project.mkdir()
            shutil.copy(lockfile, project / "Cargo.lock")
            state = scratch / "state"
            workflow = [arguments.crashwise, "-q", "--state-dir", state, "workflow", "run", "dependency_analysis", project,
                        f"database={database}", "vulnerability_threshold=low", "--format", "json"]
            ours, output = run(workflow, arguments.repeat)
            found = of_crashwise(output)
            unkept, output = run([*workflow, "--durability", "memory"], arguments.repeat)
            if of_crashwise(output) != found:
                sys.exit("crashwise reports something else when the run is not kept")
            audit = [arguments.cargo_audit, "audit", "--no-fetch", "--stale", "--db", scratch / "rustsec", "--json",
                     "--file", project / "Cargo.lock"]
            whole, output = run(audit, arguments.repeat)
            expected = of_cargo_audit(output)
            bare, _ = run([*audit, "--no-yanked"], arguments.repeat)
            print(f"{lockfile.name}: {len(expected)} of cargo-audit, {len(found)} of crashwise")
            for name in sorted(expected - found):
                print("  only cargo-audit:", *name)
            for name in sorted(found - expected):
                print("  only crashwise:  ", *name)
            differs |= expected != found
            print(f"  CPU: cargo-audit {whole * 1000:.1f} ms, with --no-yanked {bare * 1000:.1f} ms")
            for kind, used in [("as it comes", ours), ("--durability memory", unkept)]:
                used = max(used, 1e-4)
                print(f"    crashwise {kind}: {used * 1000:.1f} ms, {whole / used:.1f} and {bare / used:.1f} times less")
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
