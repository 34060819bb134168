#!/usr/bin/env python3
"""Compares pairs of random versions by crashwise and by the tool of their ecosystem.

    python3 benches/dependencies/versions.py ORDER COMMAND... [--pairs 20000] [--seed 1] [--bench PROGRAM]

COMMAND reads lines of two versions with a tab between them and prints `<`, `=`, `>`, or `!` for what is no version;
`hackage.hs` beside this is one for Hackage. PROGRAM is the bench `dependencies`, found below `target/release/deps` if not
named. Pairs that the tool refuses are counted apart. Exits with 1 if an answer differs.
"""

import argparse
import collections
import pathlib
import random
import subprocess
import sys

NUMBERS = ["0", "1", "2", "9", "10", "11", "100", "2024", "4294967296"]
PADDED = ["00", "01", "010", "007", "0010"]
WORDS = ["alpha", "beta", "rc", "a", "b", "A", "Beta", "x", "RC1", "pre", "0a", "1-2", "-"]
SUFFIXES = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p", "foo"]


def sequence(random, most, numbers):
    return ".".join(random.choice(numbers) for _ in range(random.randint(1, most)))


def alpine(random):
    text = sequence(random, 4, NUMBERS + PADDED)
    if random.random() < 0.3:
        text += random.choice("abz")
    for _ in range(random.choice([0, 0, 1, 1, 2])):
        text += "_" + random.choice(SUFFIXES) + random.choice(["", "", "1", "2", "10", "20240101", "01"])
    if random.random() < 0.1:
        text += "~" + random.choice(["abc", "0a1", "abcd", "F"])
    if random.random() < 0.5:
        text += "-r" + random.choice(["0", "1", "2", "10", "01", ""])
    return text


def labels(random, words):
    return ".".join(random.choice(words) for _ in range(random.randint(1, 3)))


def nuget(random):
    text = sequence(random, 4, NUMBERS[:-1] + PADDED)
    if random.random() < 0.6:
        text += "-" + labels(random, NUMBERS + WORDS)
    if random.random() < 0.2:
        text += "+" + labels(random, NUMBERS + WORDS)
    return text


def dart(random):
    text = ".".join(random.choice(NUMBERS[:-1] + PADDED) for _ in range(3))
    if random.random() < 0.6:
        text += "-" + labels(random, NUMBERS + PADDED + WORDS[:-1] + ["0x1f", "-1"])
    if random.random() < 0.4:
        text += "+" + labels(random, NUMBERS + PADDED + WORDS[:-1])
    return text


def hackage(random):
    text = sequence(random, 6, NUMBERS[:-1] + ["999999999", "0"])
    return text + (random.choice(["-foo", "-a-b"]) if random.random() < 0.05 else "")


FAMILIES = {"Alpine": alpine, "NuGet": nuget, "Pub": dart, "Hackage": hackage}


def versions(family, count, seed):
    """Pairs of versions, of which the second often differs from the first in little."""
    source = random.Random(seed)
    pairs = []
    while len(pairs) < count:
        a, b = family(source), family(source)
        if source.random() < 0.5:
            cut = source.randint(1, len(a))
            b = a[:cut] + b[min(cut, len(b)) :]
        pairs.append((a, b))
    return pairs


def answers(command, pairs):
    text = "".join(f"{a}\t{b}\n" for a, b in pairs)
    output = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    lines = output.split()
    if len(lines) != len(pairs):
        sys.exit(f"{command[0]} gave {len(lines)} answers for {len(pairs)} pairs")
    return lines


def newest_bench():
    built = [path for path in pathlib.Path("target/release/deps").glob("dependencies-*") if path.suffix == ""]
    return max(built, key=lambda path: path.stat().st_mtime, default=None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("order", choices=sorted(FAMILIES))
    parser.add_argument("command", nargs="+")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bench", default=newest_bench())
    arguments = parser.parse_args()
    pairs = versions(FAMILIES[arguments.order], arguments.pairs, arguments.seed)
    expected = answers(arguments.command, pairs)
    found = answers([arguments.bench, "--compare", arguments.order], pairs)
    kinds = collections.Counter()
    for (a, b), tool, own in zip(pairs, expected, found):
        kinds["refused" if tool == "!" else "equal" if tool == own else "differs"] += 1
        if tool not in ("!", own) and kinds["differs"] <= 20:
            print(f"{a} {tool} {b} by the tool, {own} by crashwise")
    print(f"{arguments.order}: {kinds['equal']} of {kinds['equal'] + kinds['differs']} equal, {kinds['refused']} refused")
    return 1 if kinds["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
