#!/usr/bin/env python3
"""Makes a git repository with a history from a tree of sources, for the figures of histories.

    python3 benches/secrets/history.py TREE OUT [--commits 300] [--edits 40] [--megabytes 60] [--least 0] [--seed 1]

The first commit holds the text files of the tree up to the given size, those below the least length left out; each later one
edits so many of them in a few lines.
The repository is packed as `git gc` packs it, so that most blobs are differences to others. The same seed and tree give the
same commits.
"""

import argparse
import os
import random
import subprocess


def texts(tree, limit, least):
    left = limit
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if left <= 0:
                return
            if os.path.islink(path) or not max(least, 1) <= os.path.getsize(path) < 1 << 19:
                continue
            with open(path, "rb") as file:
                content = file.read()
            if b"\0" not in content:
                left -= len(content)
                yield os.path.relpath(path, tree), content


def edited(content, chance):
    lines = content.splitlines(keepends=True)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines) + 1)
        words = " ".join(chance.choice(lines).decode("latin-1").split()[:4]) if lines else "x"
        line = f"    {words} {chance.randrange(1000)}\n".encode("latin-1")
        if lines and chance.random() < 0.4:
            lines.pop(chance.randrange(len(lines)))
        lines.insert(at, line)
    return b"".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree")
    parser.add_argument("out")
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--least", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    files = dict(texts(args.tree, args.megabytes * 1_000_000, args.least))
    paths = sorted(files)
    subprocess.run(["git", "init", "-q", "-b", "main", args.out], check=True)
    stream = subprocess.Popen(["git", "-C", args.out, "fast-import", "--quiet"], stdin=subprocess.PIPE)
    write = stream.stdin.write
    blobs = total = 0
    for number in range(args.commits + 1):
        changed = paths if number == 0 else chance.sample(paths, min(args.edits, len(paths)))
        write(b"commit refs/heads/main\ncommitter A <a@example.com> %d +0000\ndata 4\nwork\n" % (1_700_000_000 + number * 3600))
        for path in changed:
            if number:
                files[path] = edited(files[path], chance)
            write(b"M 100644 inline %s\ndata %d\n" % (path.encode(), len(files[path])))
            write(files[path] + b"\n")
            blobs += 1
            total += len(files[path])
    stream.stdin.close()
    stream.wait()
    subprocess.run(["git", "-C", args.out, "gc", "-q", "--aggressive"], check=True)
    print(f"{args.commits + 1} commits, {blobs} blobs, {total / 1e6:.0f} MB")


main()
