#!/usr/bin/env python3
"""Extracts what real tools write, and compares with what the tools themselves extract.

    scripts/test-archives.py [EXTRACTOR] [ARCHIVE...]

EXTRACTOR ARCHIVE FOLDER extracts one archive; without one the test program `archive_cost` of crashwise-core is built and used.
Tools that are not installed are named and left out. Archives that are given are compared with what GNU tar, or Python's
zipfile, makes of them. Fails when an archive is refused or comes out differently.
"""

import filecmp
import io
import json
import lzma
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def extractor():
    command = ["cargo", "test", "--quiet", "-p", "crashwise-core", "--features", "archive", "--test", "archive_cost", "--no-run",
               "--message-format", "json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    for line in out.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "archive_cost":
            return [message["executable"], "extract"]
    sys.exit("no extractor was built")


def make_tree(root):
    deep = root / "sub" / "/".join(f"longdirectoryname{i:02}" for i in range(12))
    for folder in [root / "empty", deep]:
        folder.mkdir(parents=True)
    (root / "a.txt").write_text("hello\n")
    (root / "run.sh").write_text("#!/bin/sh\necho hi\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("a.txt")
    (root / "sub/up").symlink_to("../a.txt")
    os.link(root / "a.txt", root / "hard")
    (root / "sub/random.bin").write_bytes(os.urandom(300_000))
    (deep / ("n" * 150 + ".txt")).write_text("long")
    (root / "sub/grüße 日本.txt").write_text("uni")
    (root / "sub/e.txt").touch()
    (root / "-dash").write_text("d")
    (root / "sub/a b'c").write_text("q")
    (root / "sub/.hidden").write_text("h")
    (root / "sub/text.txt").write_text("line\n" * 20_000)
    with open(root / "sparse.img", "wb") as sparse:
        sparse.truncate(5 << 20)
        for at, what in [(1 << 20, b"middle" * 1000), (4 << 20, b"x" * 5000)]:
            sparse.seek(at)
            sparse.write(what)


def plain_tree(source, to):
    """The same without links and without names longer than an old header holds."""
    to.mkdir()
    for name in ["a.txt", "run.sh", "sub/random.bin", "sub/.hidden", "sub/text.txt"]:
        (to / name).parent.mkdir(exist_ok=True)
        shutil.copy2(source / name, to / name)


def differences(one, two):
    def listing(root):
        out = {}
        for folder, folders, files in os.walk(root):
            for name in folders + files:
                path = Path(folder, name)
                out[str(path.relative_to(root))] = path
        return out

    def what(path):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return "link", os.readlink(path)
        return ("folder", 0) if stat.S_ISDIR(mode) else ("file", bool(mode & 0o100))

    left, right = listing(one), listing(two)
    found = [f"only in one: {name}" for name in sorted(left.keys() ^ right.keys())]
    for name in sorted(left.keys() & right.keys()):
        a, b = left[name], right[name]
        if what(a) != what(b):
            found.append(f"{name}: {what(a)} and {what(b)}")
        elif what(a)[0] == "file" and not filecmp.cmp(a, b, shallow=False):
            found.append(f"{name}: other content")
    return found


def run(*command, cwd=None, **more):
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)


def named(out, suffix, *command, cwd):
    """For tools that put their own ending behind the name."""
    path = out.with_suffix(f".{suffix}")
    run(*command, path, ".", cwd=cwd)
    path.rename(out)


def untar(archive, to):
    run("tar", "-xf", archive, "-C", to, "--no-same-owner")


def unzip(archive, to):
    # Info-ZIP writes names as the file system has them.
    with zipfile.ZipFile(archive, metadata_encoding="utf-8") as zipped:
        zipped.extractall(to)
        for info in zipped.infolist():
            mode = info.external_attr >> 16
            path = Path(to, info.filename)
            if stat.S_ISLNK(mode):
                target = path.read_text()
                path.unlink()
                path.symlink_to(target)
            elif mode and not info.is_dir():
                path.chmod(stat.S_IMODE(mode))


def python_tar(out, source, form, mode="w"):
    with tarfile.open(out, mode, format=form) as tar:
        tar.add(source, arcname=".")


def streamed_zip(out, source):
    """Written to something that cannot seek: sizes come behind the content."""
    class Pipe(io.RawIOBase):
        def __init__(self, inner):
            self.inner = inner

        def writable(self):
            return True

        def write(self, data):
            return self.inner.write(data)

    with open(out, "wb") as file, zipfile.ZipFile(Pipe(file), "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(p for p in source.rglob("*") if p.is_file() and not p.is_symlink()):
            with zipped.open(zipfile.ZipInfo.from_file(path, path.relative_to(source)), "w") as entry:
                entry.write(path.read_bytes())


def zip64(out, source):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(p for p in source.rglob("*") if p.is_file() and not p.is_symlink()):
            info = zipfile.ZipInfo.from_file(path, path.relative_to(source))
            with zipped.open(info, "w", force_zip64=True) as entry:
                entry.write(path.read_bytes())


def layer(out):
    """A layer of a container image: whiteouts, and owners of every kind."""
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in [("etc", tarfile.DIRTYPE), ("etc/.wh.passwd", tarfile.REGTYPE), ("opt", tarfile.DIRTYPE),
                           ("opt/.wh..wh..opq", tarfile.REGTYPE), ("opt/bin", tarfile.REGTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            info.uid, info.gid, info.uname, info.mtime = 4_000_000_000, 65534, "användare", 1700000000.123456789
            tar.addfile(info)


def git_repository(work, source):
    repo = work / "repo"
    shutil.copytree(source, repo, symlinks=True)
    env = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    for command in [["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]]:
        run("git", *command, cwd=repo, env=env)
    return repo


def cases(work, source, plain):
    """Name, the tool it needs, how to write it, how the tool itself extracts it."""
    for form in ["gnu", "pax", "oldgnu"]:
        yield f"GNU tar {form}", "tar", lambda o, f=form: run("tar", "-cf", o, f"--format={f}", "-C", source, "."), untar
        for more in ["--sparse", "--sparse --sparse-version=0.0", "--sparse --sparse-version=0.1", "--sparse --sparse-version=1.0"]:
            if form == "pax" or more == "--sparse":
                yield (f"GNU tar {form} {more}", "tar",
                       lambda o, f=form, m=more: run("tar", "-cf", o, f"--format={f}", *m.split(), "-C", source, "."), untar)
    for form in ["ustar", "v7"]:
        yield f"GNU tar {form}", "tar", lambda o, f=form: run("tar", "-cf", o, f"--format={f}", "-C", plain, "."), untar
    yield ("GNU tar, deterministic", "tar",
           lambda o: run("tar", "-cf", o, "--format=pax", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner",
                         "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "-C", source, "."), untar)
    yield "GNU tar, one record", "tar", lambda o: run("tar", "-b1", "-cf", o, "-C", source, "."), untar
    yield "GNU tar with xattrs and times", "tar", lambda o: run("tar", "--xattrs", "--format=pax", "-cf", o, "-C", source, "."), untar
    for form in ["ustar", "pax", "gnutar", "paxr"]:
        tree = plain if form == "ustar" else source
        yield f"bsdtar {form}", "bsdtar", lambda o, f=form, t=tree: run("bsdtar", "--format", f, "-cf", o, "-C", t, "."), untar
    yield "bsdtar zip", "bsdtar", lambda o: run("bsdtar", "--format", "zip", "-cf", o, "-C", plain, "."), unzip
    for name, form in [("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
        yield f"Python tarfile {name}", "python3", lambda o, f=form: python_tar(o, source, f), untar
    for mode in ["w:gz", "w:xz"]:
        yield f"Python tarfile {mode}", "python3", lambda o, m=mode: python_tar(o, source, tarfile.PAX_FORMAT, m), untar
    yield "Python shutil zip", "python3", lambda o: shutil.move(shutil.make_archive(str(o) + ".x", "zip", source), o), unzip
    yield "Python zipfile to a pipe", "python3", lambda o: streamed_zip(o, source), unzip
    yield "Python zipfile zip64", "python3", lambda o: zip64(o, source), unzip
    yield "Info-ZIP", "zip", lambda o: named(o, "zip", "zip", "-qr", cwd=source), unzip
    yield "Info-ZIP with links", "zip", lambda o: named(o, "zip", "zip", "-qry", cwd=source), unzip
    yield "Info-ZIP stored", "zip", lambda o: named(o, "zip", "zip", "-qr0X", cwd=source), unzip
    yield ("Info-ZIP to a pipe", "zip",
           lambda o: o.write_bytes(subprocess.run(["zip", "-qr", "-", "."], cwd=source, check=True, stdout=subprocess.PIPE).stdout), unzip)
    for tool in ["7zz", "7z"]:
        for form, reference in [("zip", unzip), ("tar", untar)]:
            yield f"{tool} {form}", tool, lambda o, t=tool, f=form: named(o, f, t, "a", "-bd", f"-t{f}", cwd=plain), reference
    yield "jar", "jar", lambda o: run("jar", "cf", o, "-C", plain, "."), unzip
    yield "jar stored", "jar", lambda o: run("jar", "c0fM", o, "-C", plain, "."), unzip
    repo = git_repository(work, source) if shutil.which("git") else None
    for form in ["tar", "tar.gz", "zip"]:
        yield (f"git archive {form}", "git", lambda o, f=form: run("git", "archive", f"--format={f}", "-o", o, "HEAD", cwd=repo),
               unzip if form == "zip" else untar)
    yield "git archive with a prefix", "git", lambda o: run("git", "archive", "--format=tar", "--prefix=a-1.0/", "-o", o, "HEAD", cwd=repo), untar
    yield "layer with whiteouts", "python3", layer, untar
    whole = work / "whole.tar"
    run("tar", "-cf", whole, "-C", source, ".")
    parts = [work / "part-0", work / "part-1"]
    content = whole.read_bytes()
    for part, piece in zip(parts, [content[:100_000], content[100_000:]]):
        part.write_bytes(piece)

    def piped(out, *commands):
        with open(out, "wb") as file:
            for command in commands:
                subprocess.run([str(part) for part in command], check=True, stdout=file)

    yield "gzip", "gzip", lambda o: piped(o, ["gzip", "-9c", whole]), untar
    yield "gzip with two members", "gzip", lambda o: piped(o, *(["gzip", "-c", p] for p in parts)), untar
    yield "gzip --rsyncable", "gzip", lambda o: piped(o, ["gzip", "--rsyncable", "-c", whole]), untar
    yield "pigz", "pigz", lambda o: piped(o, ["pigz", "-c", whole]), untar
    yield "zstd", "zstd", lambda o: piped(o, ["zstd", "-qc", whole]), untar
    yield "zstd --long=26", "zstd", lambda o: piped(o, ["zstd", "-qc", "--long=26", whole]), untar
    yield "zstd --ultra -22", "zstd", lambda o: piped(o, ["zstd", "-qc", "--ultra", "-22", whole]), untar
    yield "zstd without checksum", "zstd", lambda o: piped(o, ["zstd", "-qc", "--no-check", whole]), untar
    yield "zstd with two frames", "zstd", lambda o: piped(o, *(["zstd", "-qc", p] for p in parts)), untar
    yield "xz", "xz", lambda o: piped(o, ["xz", "-c", whole]), untar
    yield "xz -9e", "xz", lambda o: piped(o, ["xz", "-9ec", whole]), untar
    yield "xz with two streams", "xz", lambda o: piped(o, *(["xz", "-c", p] for p in parts)), untar
    yield "xz with blocks", "xz", lambda o: piped(o, ["xz", "-T2", "--block-size=65536", "-c", whole]), untar
    for check in ["none", "crc32", "sha256"]:
        yield f"xz --check={check}", "xz", lambda o, c=check: piped(o, ["xz", f"--check={c}", "-c", whole]), untar
    yield "npm pack", "npm", npm(work, plain), untar


def npm(work, plain):
    def pack(out):
        project = work / "npm"
        shutil.copytree(plain, project)
        (project / "package.json").write_text('{"name": "x", "version": "1.0.0", "bin": {"x": "run.sh"}}')
        run("npm", "pack", "--offline", "--ignore-scripts", cwd=project, env={**os.environ, "npm_config_cache": str(work / "npm-cache")})
        os.rename(project / "x-1.0.0.tgz", out)
    return pack


def main():
    arguments = sys.argv[1:]
    program = [arguments.pop(0)] if arguments else extractor()
    failed, passed, missing = [], 0, set()

    def check(work, name, archive, reference):
        ours, theirs = work / "ours", work / "theirs"
        for folder in [ours, theirs]:
            shutil.rmtree(folder, ignore_errors=True)
        theirs.mkdir()
        reference(archive, theirs)
        done = subprocess.run([*program, archive, ours], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            failed.append(f"{name}: {done.stdout.strip()}")
            return 0
        found = differences(ours, theirs)
        failed.extend(f"{name}: {line}" for line in found[:3])
        return not found

    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        if arguments:
            for archive in arguments:
                passed += check(work, archive, archive, unzip if zipfile.is_zipfile(archive) else untar)
        else:
            source, plain = work / "source", work / "plain"
            source.mkdir()
            make_tree(source)
            plain_tree(source, plain)
            for name, tool, write, reference in cases(work, source, plain):
                if not shutil.which(tool):
                    missing.add(tool)
                    continue
                archive = work / "archive"
                archive.unlink(missing_ok=True)
                write(archive)
                passed += check(work, name, archive, reference)
    print(*failed, sep="\n")
    print(f"{passed} archives came out as their own tools extract them, {len(failed)} differences")
    if missing:
        print(f"not installed: {', '.join(sorted(missing))}")
    sys.exit(1 if failed else 0)


main()
