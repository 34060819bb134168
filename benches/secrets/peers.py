#!/usr/bin/env python3
"""Compares crashwise with other scanners of secrets, each in its default configuration and with the same rules.

    python3 -m venv peers && peers/bin/pip install kingfisher-bin==2.14.0 pybetterleaks==0.6.2 detect-secrets==1.5.0
    cargo install ripsecrets --version 0.1.11 --root peers
    cargo build --release -p crashwise-runner
    python3 benches/secrets/peers.py --venv peers --labels ../shared/data/creddata-dev \\
        --tree ~/.cargo/registry/src --history REPOSITORY --rules ../shared/data/rules/betterleaks.toml

Accuracy: findings are places, file and line, because that is what every tool tells. A true row is found where a finding
is on one of its lines; a finding on a line of no true row is false; several findings on one line count once. Speed and
memory: CPU seconds (user and system) and the peak of the process, all tools on the same files, one after the other; each is
the least of `--rounds` rounds in which the tools take turns. Histories: bytes of all blobs, unpacked; `history.py` makes a
repository.
Cold start: the least of five runs on a folder with one small file. Tools that are not there are named and left out;
gitleaks is looked for on the path.
"""

import argparse
import collections
import csv
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

BETTERLEAKS = """
import json, sys
from pybetterleaks import scan_dir
more = {"config_path": sys.argv[2]} if len(sys.argv) > 2 else {}
result = scan_dir(sys.argv[1], **more)
json.dump([[one.file, one.line] for one in result.findings], sys.stdout)
"""


def run(command):
    """Output, CPU seconds and peak memory in MB of a command."""
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
        out.seek(0)
        return out.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Tools:
    def __init__(self, args):
        venv = os.path.join(args.venv, "bin") if args.venv else ""
        find = lambda name: shutil.which(name, path=os.pathsep.join([venv, os.environ.get("PATH", "")]))
        self.state = tempfile.mkdtemp()
        self.crashwise = args.crashwise
        self.found = {"crashwise": args.crashwise}
        for name in ["kingfisher", "gitleaks", "ripsecrets", "detect-secrets", "python"]:
            self.found[name] = find(name)

    def names(self, rules):
        named = ["crashwise", "betterleaks", "gitleaks"]
        if not rules:
            # These read no such rule file.
            named += ["kingfisher", "detect-secrets", "ripsecrets"]
        have = [name for name in named if self.found.get("python" if name == "betterleaks" else name)]
        for name in sorted(set(named) - set(have)):
            print(f"{name} is not there and left out")
        return have

    def history(self, name, repository):
        tool = self.found[name]
        if name == "crashwise":
            return [tool, "workflow", "run", "secret_detection", repository, "--history", "--format", "json", "--quiet",
                    "--allow-partial", "--state-dir", self.state]
        if name == "kingfisher":
            return [tool, "scan", repository, "--format", "json", "-n", "--no-update-check", "--git-history", "full",
                    "--no-dedup"]
        if name == "gitleaks":
            return [tool, "git", repository, "--report-format", "json", "--report-path", "/dev/stdout", "--no-banner",
                    "--exit-code", "0"]
        return None

    def command(self, name, tree, rules=None):
        tool = self.found["python" if name == "betterleaks" else name]
        if name == "crashwise":
            more = ["scanner_config.ignore_files=false"]
            if rules:
                # A rule file is part of what is scanned.
                more += [f"scanner_config.rule_files={os.path.basename(rules)}", "scanner_config.generic=false",
                         "scanner_config.catalogue=false"]
            return [tool, "workflow", "run", "secret_detection", tree, *more, "--format", "json", "--quiet",
                    "--allow-partial", "--state-dir", self.state]
        if name == "kingfisher":
            return [tool, "scan", tree, "--format", "json", "-n", "--no-update-check", "--git-history", "none",
                    "--no-dedup"]
        if name == "betterleaks":
            return [tool, "-c", BETTERLEAKS, tree, *([rules] if rules else [])]
        if name == "gitleaks":
            return [tool, "dir", tree, "--report-format", "json", "--report-path", "/dev/stdout", "--no-banner",
                    "--exit-code", "0", *(["--config", rules] if rules else [])]
        if name == "detect-secrets":
            return [tool, "-C", tree, "scan", "--all-files", "--no-verify"]
        return [tool, "--no-gitignore", tree] if "--no-gitignore" in help_of(tool) else [tool, tree]

    def places(self, name, output, tree):
        """File (relative) and line of each finding."""
        text = output.decode("utf-8", "replace")
        rows = []
        if name == "crashwise":
            for finding in json.loads(text)["findings"]:
                if finding.get("suppressions"):
                    continue
                for place in finding["locations"] + finding.get("related", []):
                    rows.append((place["path"], place.get("region", {}).get("start", {}).get("line", 0)))
        elif name == "kingfisher":
            # A summary follows the report.
            for one in json.JSONDecoder().raw_decode(text)[0]["findings"]:
                rows.append((one["finding"]["path"], one["finding"]["line"]))
        elif name == "betterleaks":
            rows = [tuple(row) for row in json.loads(text)]
        elif name == "gitleaks":
            rows = [(one["File"], one["StartLine"]) for one in json.loads(text)]
        elif name == "detect-secrets":
            for path, found in json.loads(text)["results"].items():
                rows += [(path, one["line_number"]) for one in found]
        else:
            for line in text.splitlines():
                parts = line.split(":", 2)
                if len(parts) == 3 and parts[1].isdigit():
                    rows.append((parts[0], int(parts[1])))
        relative = lambda path: os.path.relpath(path, tree) if os.path.isabs(path) else os.path.normpath(path)
        return {(relative(path), line) for path, line in rows}


def help_of(tool):
    return subprocess.run([tool, "--help"], capture_output=True, text=True).stdout


def labels(root):
    """True rows as (file, first line, last line), and the files that have labels."""
    true, files = [], set()
    for name in sorted(glob.glob(os.path.join(root, "meta", "*.csv"))):
        for row in csv.DictReader(open(name, encoding="utf-8")):
            path = os.path.relpath(row["FilePath"], "data")
            files.add(path)
            if row["GroundTruth"] == "T":
                first = int(float(row["LineStart"]))
                true.append((path, first, int(float(row["LineEnd"] or first))))
    return sorted(set(true)), files


def accuracy(tools, root, only, rules=None):
    true, files = labels(root)
    tree = os.path.abspath(os.path.join(root, "data"))
    if rules:
        copy = os.path.join(tempfile.mkdtemp(), "tree")
        shutil.copytree(tree, copy)
        rules = shutil.copy(rules, copy)
        tree = copy
    lines = collections.defaultdict(set)
    for path, first, last in true:
        lines[path].update(range(first, last + 1))
    print(f"\n{'same rules' if rules else 'default'}: {len(true)} true rows in {len(files)} files")
    print("| tool | precision | recall | F1 | right | false |\n|---|---|---|---|---|---|")
    for name in [name for name in tools.names(rules) if not only or name in only]:
        output, _, _ = run(tools.command(name, tree, rules))
        try:
            places = {place for place in tools.places(name, output, tree) if place[0] in files}
        except (ValueError, KeyError) as error:
            print(f"| {name} | its output could not be read: {error} |")
            continue
        right = sum(any((path, line) in places for line in range(first, last + 1)) for path, first, last in true)
        hits = sum(line in lines[path] for path, line in places)
        false = len(places) - hits
        precision = hits / max(len(places), 1)
        recall = right / max(len(true), 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        print(f"| {name} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {hits} | {false} |", flush=True)


def compare(commands, size, rounds):
    """The least CPU time and the largest peak of each command over rounds in which they take turns."""
    figures = {name: (float("inf"), 0) for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            _, cpu, peak = run(command)
            figures[name] = (min(figures[name][0], cpu), max(figures[name][1], peak))
    print("| tool | GB/s per core | CPU against crashwise | peak MB |\n|---|---|---|---|")
    first = next(iter(figures.values()))[0]
    for name, (cpu, peak) in figures.items():
        print(f"| {name} | {size / cpu / 1e9:.3f} | {cpu / first:.1f} | {peak:.0f} |", flush=True)


def history(tools, repository, names, rounds):
    listed = subprocess.run(["git", "-C", repository, "cat-file", "--batch-all-objects",
                             "--batch-check=%(objecttype) %(objectsize)"], capture_output=True, text=True, check=True)
    sizes = [int(size) for kind, size in map(str.split, listed.stdout.splitlines()) if kind == "blob"]
    commands = {name: tools.history(name, repository) for name in names}
    print(f"\nhistory: {len(sizes)} blobs, {sum(sizes) / 1e6:.0f} MB")
    compare({name: command for name, command in commands.items() if command}, sum(sizes), rounds)


def speed(tools, tree, names, rounds):
    size = sum(os.path.getsize(os.path.join(at, name)) for at, _, found in os.walk(tree) for name in found
               if os.path.isfile(os.path.join(at, name)))
    print(f"\nspeed: {size / 1e6:.0f} MB")
    compare({name: tools.command(name, tree) for name in names}, size, rounds)


def cold_start(tools, names):
    with tempfile.TemporaryDirectory() as tree:
        with open(os.path.join(tree, ".env"), "w", encoding="utf-8") as file:
            file.write("DB_HOST=localhost\n")
        print("\ncold start, CPU ms, least of five\n| tool | ms | peak MB |\n|---|---|---|")
        for name in names:
            runs = [run(tools.command(name, tree))[1:] for _ in range(5)]
            print(f"| {name} | {min(cpu for cpu, _ in runs) * 1000:.0f} | {max(peak for _, peak in runs):.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crashwise", default="target/release/crashwise")
    parser.add_argument("--venv", help="where the other tools are")
    parser.add_argument("--labels", help="labelled repositories in the layout of CredData")
    parser.add_argument("--rules", help="a rule file in the format of gitleaks or Betterleaks")
    parser.add_argument("--tree", help="a large tree, for speed")
    parser.add_argument("--history", help="a git repository, for the speed of histories")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="tools to look at, by commas")
    args = parser.parse_args()
    if not os.path.exists(args.crashwise):
        sys.exit(f"{args.crashwise} is not there")
    tools = Tools(args)
    only = args.only.split(",") if args.only else None
    names = [name for name in tools.names(None) if not only or name in only]
    if args.labels:
        accuracy(tools, args.labels, only)
        if args.rules:
            accuracy(tools, args.labels, only, args.rules)
    if args.tree:
        speed(tools, os.path.expanduser(args.tree), names, args.rounds)
    if args.history:
        history(tools, args.history, names, args.rounds)
    cold_start(tools, names)


main()
