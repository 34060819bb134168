//! Hostile archives of a second thought: every rule once more, from where one does not look for it first.

use super::build::{Head, Tar, ZipEntry, end, gzip, seal, xz, zip, zst};
use super::{Bound, ExtractOptions, Refusal, Rule, refused};

fn tar() -> Tar {
    Tar::new()
}

/// An entry whose header has some fields overwritten.
fn bent(kind: u8, fields: &[(usize, &[u8])]) -> Tar {
    let mut block = Head::new(b"name", kind).block();
    for (at, bytes) in fields {
        block[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    seal(&mut block);
    tar().raw(&block)
}

fn all(cases: Vec<(&str, Vec<u8>, Rule)>) {
    for (name, bytes, rule) in cases {
        refused(name, &bytes, Refusal::Rule(rule), &ExtractOptions::new());
    }
}

pub(super) fn tar_names() {
    use Rule::*;
    let long = "n/".repeat(60);
    all(vec![
        ("parent behind dots", tar().file("./././../x", b"").end(), ParentComponent),
        ("parent behind slashes", tar().file("a//..//../x", b"").end(), ParentComponent),
        ("parent at the end", tar().dir("a/b/..").end(), ParentComponent),
        ("parent with a slash", tar().dir("../").end(), ParentComponent),
        ("file called parent", tar().file("..", b"x").end(), ParentComponent),
        ("root as a directory", tar().dir("/").end(), AbsolutePath),
        ("absolute behind a dot", tar().file("/./x", b"").end(), AbsolutePath),
        ("absolute prefix", bent(b'0', &[(345, b"/etc")]).end(), AbsolutePath),
        ("parent as a prefix", bent(b'0', &[(345, b"..")]).end(), ParentComponent),
        ("parent at the end of a long prefix", bent(b'0', &[(345, b"a/b/../../..")]).end(), ParentComponent),
        ("file with a slash and a dot", tar().file("a/.", b"x").end(), TrailingSlash),
        ("link with a slash", tar().symlink("l/", "x").end(), TrailingSlash),
        ("hard link with a slash", tar().file("a", b"").hardlink("h/", "a").end(), TrailingSlash),
        ("hard link called .", tar().file("a", b"").hardlink("./", "a").end(), RootName),
        ("slash in overlong UTF-8", tar().entry(b"..\xc0\xafx", b'0', b"").end(), NotUtf8),
        ("half a surrogate", tar().entry(b"a\xed\xa0\x80", b'0', b"").end(), NotUtf8),
        ("tabulator", tar().file("a\tb", b"").end(), ControlInName),
        ("delete", tar().file("a\x7fb", b"").end(), ControlInName),
        ("next line of Unicode", tar().file("a\u{85}b", b"").end(), ControlInName),
        ("isolate of Unicode", tar().file("a\u{2067}b", b"").end(), ControlInName),
        ("newline in a GNU name", tar().gnu_long(b'L', b"a\nb").file("x", b"").end(), ControlInName),
        ("newline in a directory", tar().dir("a\n/").end(), ControlInName),
        ("Kelvin and k", tar().file("k", b"").file("\u{212a}", b"").end(), Collision),
        ("sharp s and SS", tar().dir("STRASSE").file("straße/x", b"").end(), Collision),
        ("dots behind a directory", tar().file("a/x", b"").file("a../y", b"").end(), Collision),
        (
            "hard link by another case",
            tar().file("a", b"").file("b", b"").hardlink("A", "b").end(),
            Collision,
        ),
        ("device name with a space", tar().file("d/NUL ", b"").end(), ReservedName),
        ("device name as a directory", tar().file("com1/x", b"").end(), ReservedName),
        ("drive without a slash", tar().file("c:x", b"").end(), ReservedName),
        ("network path", tar().file("\\\\host\\share", b"").end(), Backslash),
        ("absolute GNU name", tar().gnu_long(b'L', b"/etc/x").file("x", b"").end(), AbsolutePath),
        ("empty GNU name", tar().gnu_long(b'L', b"").file("x", b"").end(), EmptyName),
        (
            "parent below a PAX name",
            tar().pax(b'x', &[("path", "ok")]).file("../x", b"").end(),
            ParentComponent,
        ),
        ("absolute below a PAX name", tar().pax(b'x', &[("path", "ok")]).file("/x", b"").end(), AbsolutePath),
        (
            "parent below a GNU name",
            tar().gnu_long(b'L', b"ok").file("a/../../x", b"").end(),
            ParentComponent,
        ),
        (
            "parent in the name of a sparse file",
            tar()
                .pax(b'x', &[("GNU.sparse.name", "../x"), ("GNU.sparse.size", "0"), ("GNU.sparse.map", "")])
                .file("x", b"")
                .end(),
            ParentComponent,
        ),
        (
            "parent beside the name of a sparse file",
            tar()
                .pax(
                    b'x',
                    &[
                        ("path", "../x"),
                        ("GNU.sparse.name", "ok"),
                        ("GNU.sparse.size", "0"),
                        ("GNU.sparse.map", ""),
                    ],
                )
                .file("x", b"")
                .end(),
            ParentComponent,
        ),
        (
            "directory, then file by a long name",
            {
                let path = format!("{long}end");
                tar()
                    .gnu_long(b'L', path.as_bytes())
                    .dir("x")
                    .pax(b'x', &[("path", &path)])
                    .file("x", b"")
                    .end()
            },
            KindSwap,
        ),
    ]);
}

pub(super) fn tar_links() {
    use Rule::*;
    let chain = (0..45).fold(tar(), |tar, i| tar.symlink(&format!("l{i}"), &format!("l{}", i + 1)));
    all(vec![
        ("target is the parent", tar().symlink("l", "..").end(), SymlinkOutside),
        ("target is a dotted parent", tar().symlink("l", "././..").end(), SymlinkOutside),
        ("one level too many", tar().symlink("a/b/l", "../../../x").end(), SymlinkOutside),
        ("down and further up", tar().symlink("l", "a/b/../../../x").end(), SymlinkOutside),
        ("out and back in", tar().symlink("l", "../tree/x").end(), SymlinkOutside),
        (
            "up through a link to the root",
            tar().symlink("d/root", "..").symlink("l", "d/root/../x").end(),
            SymlinkOutside,
        ),
        (
            "two halves of a way out",
            tar().symlink("a", "b/..").symlink("b", "c").symlink("c", ".").end(),
            SymlinkOutside,
        ),
        (
            "the second half comes first",
            tar().symlink("z", "y/../../../x").symlink("y", "d/e").end(),
            SymlinkOutside,
        ),
        (
            "loop through a directory",
            tar().symlink("d/a", "../e/b").symlink("e/b", "../d/a").end(),
            SymlinkLoop,
        ),
        ("loop that grows", tar().symlink("a", "a/a/a").end(), SymlinkLoop),
        ("longer chain than a kernel follows", chain.end(), SymlinkLoop),
        ("absolute with slashes", tar().symlink("l", "//x").end(), SymlinkAbsolute),
        ("drive as target", tar().symlink("l", "C:/x").end(), SymlinkTarget),
        ("newline in a target", tar().symlink("l", "a\nb").end(), SymlinkTarget),
        ("empty target by PAX", tar().pax(b'x', &[("linkpath", "")]).symlink("l", "x").end(), SymlinkTarget),
        ("NUL in a target", bent(b'2', &[(157, b"a\0b")]).end(), NulInName),
        (
            "absolute below a PAX target",
            tar().pax(b'x', &[("linkpath", "ok")]).symlink("l", "/x").end(),
            SymlinkAbsolute,
        ),
        (
            "absolute below a GNU target",
            tar().file("a", b"").gnu_long(b'K', b"a").hardlink("h", "/x").end(),
            HardlinkOutside,
        ),
        ("directory through a link", tar().symlink("l", ".").dir("l/d").end(), ThroughSymlink),
        ("link through a link", tar().symlink("l", ".").symlink("l/m", "x").end(), ThroughSymlink),
        (
            "hard link through a link",
            tar().file("a", b"").symlink("l", ".").hardlink("l/h", "a").end(),
            ThroughSymlink,
        ),
        (
            "hard link over a link",
            tar().file("a", b"").symlink("l", "x").hardlink("l", "a").end(),
            OverSymlink,
        ),
        ("hard link over a directory", tar().file("a", b"").dir("d").hardlink("d", "a").end(), KindSwap),
        ("link over an implied directory", tar().file("d/a", b"").symlink("d", "/x").end(), SymlinkAbsolute),
        ("inner link over an implied directory", tar().file("d/a", b"").symlink("d", "e").end(), KindSwap),
        ("hard link twice", tar().file("a", b"").hardlink("h", "a").hardlink("h", "a").end(), Duplicate),
        ("hard link to what comes later", tar().hardlink("h", "a").file("a", b"").end(), HardlinkTarget),
        ("hard link around", tar().file("a", b"").hardlink("h", "d/../a").end(), HardlinkOutside),
        ("hard link to nothing by name", tar().hardlink("h", "").end(), HardlinkTarget),
        ("hard link to the root", tar().hardlink("h", ".").end(), HardlinkTarget),
        (
            "hard link to a link by another case",
            tar().symlink("L", "x").hardlink("h", "l").end(),
            HardlinkTarget,
        ),
        (
            "hard link with a size by PAX",
            tar().file("a", b"").pax(b'x', &[("size", "512")]).hardlink("h", "a").end(),
            SizeDisagreement,
        ),
    ]);
    let far = "t/".repeat(3000);
    let linked = tar().pax(b'x', &[("linkpath", &far)]).symlink("l", "x").end();
    refused("target of 6,000 bytes", &linked, Refusal::Limit(Bound::PathBytes), &ExtractOptions::new());
}

pub(super) fn tar_headers() {
    use Rule::*;
    let pax = |key: &str, value: &str| tar().pax(b'x', &[(key, value)]).file("a", b"").end();
    all(vec![
        ("device of the oldest dialect", bent(b'3', &[(257, &[0; 8])]).end(), Device),
        ("FIFO with content", tar().entry(b"f", b'6', b"content").end(), Fifo),
        ("socket", tar().mode("s", b's', 0o644).end(), Fifo),
        ("setuid beside the kind of file", bent(b'0', &[(100, b"0104755\0")]).end(), SetId),
        ("setuid in base 256", bent(b'0', &[(100, &[0x80, 0, 0, 0, 0, 0, 0x09, 0xed])]).end(), SetId),
        ("setuid of an old file", bent(0, &[(100, b"0004755\0")]).end(), SetId),
        ("negative mode", bent(b'0', &[(100, &[0xff; 8])]).end(), HeaderNumber),
        ("mode in words", bent(b'0', &[(100, b"rwxrwxr\0")]).end(), HeaderNumber),
        ("dump of a directory", tar().mode("d", b'D', 0o755).end(), UnknownKind),
        ("volume", tar().mode("v", b'V', 0o644).end(), UnknownKind),
        ("extended header of Solaris", tar().mode("x", b'X', 0o644).end(), UnknownKind),
        ("kind beyond ASCII", tar().mode("x", 0xff, 0o644).end(), UnknownKind),
        ("sparse file of the wrong dialect", tar().mode("x", b'S', 0o644).end(), UnknownKind),
        ("prefix without a dialect", bent(b'0', &[(257, &[0; 8]), (345, b"evil")]).end(), HeaderMagic),
        ("prefix of an unknown version", bent(b'0', &[(263, b"77"), (345, b"evil")]).end(), HeaderMagic),
        (
            "prefix where another dialect has times",
            bent(b'0', &[(257, b"ustar  \0"), (345, b"evil")]).end(),
            HeaderMagic,
        ),
        ("size with a letter", bent(b'0', &[(124, b"0000000001x\0")]).end(), HeaderNumber),
        (
            "size of 2^63",
            bent(b'0', &[(124, &[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0])]).end(),
            HeaderNumber,
        ),
        ("size of 2^64", bent(b'0', &[(124, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])]).end(), HeaderNumber),
        ("digits behind a NUL", bent(b'0', &[(124, b"0000\x000000001")]).end(), HeaderNumber),
        (
            "checksum of spaces",
            {
                let mut bytes = tar().file("a", b"").file("b", b"").end();
                bytes[512 + 148..512 + 156].fill(b' ');
                bytes
            },
            HeaderChecksum,
        ),
        (
            "byte behind the fields",
            {
                let mut bytes = tar().file("a", b"").file("b", b"").end();
                bytes[512 + 511] = 1;
                bytes
            },
            HeaderChecksum,
        ),
        ("PAX size with a sign", pax("size", "+0"), PaxRecord),
        ("PAX size with a space", pax("size", " 0"), PaxRecord),
        ("PAX size beyond 64 bits", pax("size", "18446744073709551616"), PaxRecord),
        ("PAX time in words", pax("mtime", "now"), PaxRecord),
        ("capability of another tool", pax("LIBARCHIVE.xattr.security.capability", "x"), Capability),
        (
            "capability for all",
            tar().pax(b'g', &[("SCHILY.xattr.security.capability", "x")]).file("a", b"").end(),
            Capability,
        ),
        ("link of all", tar().pax(b'g', &[("linkpath", "x")]).file("a", b"").end(), GlobalOverride),
        ("size of all", tar().pax(b'g', &[("size", "0")]).file("a", b"").end(), GlobalOverride),
        ("holes of all", tar().pax(b'g', &[("GNU.sparse.map", "0,1")]).file("a", b"").end(), GlobalOverride),
        (
            "record of another length",
            tar().entry(b"x", b'x', b"99 path=ok\n").file("a", b"").end(),
            PaxRecord,
        ),
        (
            "record within a record",
            tar().entry(b"x", b'x', b"9 path=a\n9 path=..").file("a", b"").end(),
            PaxRecord,
        ),
        ("record without an end", tar().entry(b"x", b'x', b"10 path=abc").file("a", b"").end(), PaxRecord),
        ("record of octal length", tar().entry(b"x", b'x', b"010 path=a\n").file("a", b"").end(), PaxRecord),
        ("NULs for records", tar().entry(b"x", b'x', &[0; 12]).file("a", b"").end(), PaxRecord),
        (
            "two link names of GNU",
            tar().gnu_long(b'K', b"a").gnu_long(b'K', b"b").symlink("l", "x").end(),
            MixedExtensions,
        ),
        ("name for nothing", tar().gnu_long(b'L', b"a").end(), DanglingExtension),
        (
            "cut within an extension",
            {
                let mut bytes = tar().pax(b'x', &[("path", "a")]).0;
                bytes.truncate(512 + 100);
                bytes
            },
            TruncatedBody,
        ),
        (
            "pieces out of order",
            {
                let keys = [("GNU.sparse.size", "9"), ("GNU.sparse.map", "4,1,0,1")];
                tar().pax(b'x', &keys).file("a", b"xx").end()
            },
            SparseMap,
        ),
        (
            "piece beyond the file",
            {
                let keys = [("GNU.sparse.size", "3"), ("GNU.sparse.map", "2,2")];
                tar().pax(b'x', &keys).file("a", b"xx").end()
            },
            SparseMap,
        ),
        (
            "piece that wraps around",
            {
                let keys = [("GNU.sparse.size", "3"), ("GNU.sparse.map", "18446744073709551615,2")];
                tar().pax(b'x', &keys).file("a", b"xx").end()
            },
            SparseMap,
        ),
        (
            "less data than pieces",
            {
                let keys = [("GNU.sparse.size", "9"), ("GNU.sparse.map", "0,4")];
                tar().pax(b'x', &keys).file("a", b"xx").end()
            },
            SparseMap,
        ),
        (
            "sparse directory",
            {
                let keys = [("GNU.sparse.size", "0"), ("GNU.sparse.map", "")];
                tar().pax(b'x', &keys).dir("d").end()
            },
            SparseMap,
        ),
        (
            "end between two archives",
            [tar().file("a", b"").end(), tar().file("b", b"").end()].concat(),
            DataAfterEnd,
        ),
        (
            "byte in the second end block",
            {
                let mut bytes = tar().file("a", b"").end();
                let last = bytes.len() - 1;
                bytes[last] = 1;
                bytes
            },
            DataAfterEnd,
        ),
    ]);
}

pub(super) fn streams() {
    use Rule::*;
    let whole = tar().file("a", b"content").end();
    let [gz, zs, x] = [gzip(&whole), zst(&whole), xz(&whole)];
    let tail = |bytes: &[u8], tail: &[u8]| [bytes, tail].concat();
    let with = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    all(vec![
        ("gzip of another method", with(&gz, 2, 7), CorruptStream),
        ("gzip, zeros, gzip", tail(&tail(&gz, &[0; 64]), &gz), TrailingGarbage),
        ("gzip, zeros, text", tail(&tail(&gz, &[0; 64]), b"x"), TrailingGarbage),
        ("second gzip header cut", tail(&gz, &[0x1f, 0x8b, 8]), TruncatedStream),
        ("second gzip of another method", tail(&gz, &[0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 0]), CorruptStream),
        (
            "gzip name without an end",
            [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0][..], &[b'n'; 70_000]].concat(),
            CorruptStream,
        ),
        ("gzip extra field cut", vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0], TruncatedStream),
        ("gzip within a block of a reserved kind", [&gz[..10], &[7, 0, 0, 0]].concat(), CorruptStream),
        ("tar cut inside a sound gzip", gzip(&whole[..700]), TruncatedBody),
        ("no end inside a sound zstd", zst(&whole[..1024]), NoEndMarker),
        (
            "no trailer behind a broken rule",
            {
                let bad = gzip(&tar().file("../x", b"").end());
                bad[..bad.len() - 8].to_vec()
            },
            TruncatedStream,
        ),
        ("zstd frame behind the end", tail(&zs, &zst(b"more")), DataAfterEnd),
        ("zstd with text behind", tail(&zs, b"PK\x03\x04"), TrailingGarbage),
        ("zstd skippable frame cut", tail(&zs, &[0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1]), TruncatedStream),
        ("zstd that needs a dictionary", vec![0x28, 0xb5, 0x2f, 0xfd, 0x21, 0x07, 0, 1, 0, 0], CorruptStream),
        ("zstd of an old version", [&[0x27, 0xb5, 0x2f, 0xfd][..], &zs[4..]].concat(), UnknownFormat),
        ("xz padding of three", tail(&x, &[0; 3]), CorruptStream),
        ("xz with another stream cut", tail(&x, &x[..20]), TruncatedStream),
        ("xz with wrong flags", with(&x, 7, 0x0f), CorruptStream),
        ("xz of gzip", xz(&gz), UnknownFormat),
        ("gzip of zip", gzip(&zip(&[ZipEntry::stored("a", b"")])), UnknownFormat),
        ("text", b"#!/bin/sh\necho no archive\n".repeat(40), UnknownFormat),
        ("nothing", Vec::new(), UnknownFormat),
    ]);
}

pub(super) fn zips() {
    use Rule::*;
    let stored = |name: &str| ZipEntry::stored(name, b"hello");
    let link = |target: &[u8]| ZipEntry { mode: 0o120_777, ..ZipEntry::stored("l", target) };
    let one = |entry: ZipEntry| zip(&[entry]);
    let whole = zip(&[stored("a")]);
    let directory = whole.len() - 22 - 46 - 1;
    let patched = |at: usize, bytes: &[u8]| {
        let mut out = whole.clone();
        out[at..at + bytes.len()].copy_from_slice(bytes);
        out
    };
    let from_end = |at: usize| whole.len() - 22 + at;
    all(vec![
        ("parent in the middle", one(stored("a/../../x")), ParentComponent),
        ("drive", one(stored("C:/x")), ReservedName),
        ("empty name", one(stored("")), EmptyName),
        ("newline", one(stored("a\nb")), ControlInName),
        ("NUL", one(stored("a\0.txt")), NulInName),
        (
            "UTF-8 that is none",
            one(ZipEntry { name: b"a\xff".to_vec(), flags: 1 << 11, ..stored("x") }),
            NotUtf8,
        ),
        ("bytes without UTF-8", one(ZipEntry { name: b"a\xff".to_vec(), ..stored("x") }), NotUtf8),
        ("file, then directory", zip(&[stored("a"), ZipEntry::stored("a/", b"")]), KindSwap),
        ("file as a parent", zip(&[stored("a"), stored("a/b")]), ThroughFile),
        (
            "link to a link that leads out",
            zip(&[link(b"m"), ZipEntry { name: b"m".to_vec(), ..link(b"../x") }]),
            SymlinkOutside,
        ),
        ("link to itself", one(link(b"l")), SymlinkLoop),
        ("empty link", one(link(b"")), SymlinkTarget),
        ("NUL in a link", one(link(b"a\0b")), SymlinkTarget),
        ("file over a link", zip(&[link(b"x"), stored("l")]), OverSymlink),
        ("socket", one(ZipEntry { mode: 0o140_755, ..stored("s") }), Fifo),
        ("block device", one(ZipEntry { mode: 0o060_666, ..stored("b") }), Device),
        ("unknown kind", one(ZipEntry { mode: 0o150_644, ..stored("u") }), UnknownKind),
        (
            "directory without a slash",
            one(ZipEntry { mode: 0o040_755, ..ZipEntry::stored("d", b"") }),
            ZipLocalHeader,
        ),
        (
            "name of another case inside",
            one(ZipEntry { central_name: Some(b"A".to_vec()), ..stored("a") }),
            ZipLocalHeader,
        ),
        (
            "name of another length inside",
            one(ZipEntry { central_name: Some(b"ab".to_vec()), ..stored("a") }),
            ZipLocalHeader,
        ),
        ("method of another kind inside", patched(8, &[8]), ZipLocalHeader),
        ("encrypted inside only", patched(6, &[1]), ZipLocalHeader),
        ("no local header", patched(0, b"PK\x03\x05"), UnknownFormat),
        ("strong encryption", one(ZipEntry { flags: 1 << 6, ..stored("a") }), ZipEncrypted),
        ("hidden headers", one(ZipEntry { flags: 1 << 13, ..stored("a") }), ZipEncrypted),
        ("method of encryption", one(ZipEntry { method: 99, ..stored("a") }), ZipEncrypted),
        ("patch", one(ZipEntry { flags: 1 << 5, ..stored("a") }), ZipMethod),
        ("deflate64", one(ZipEntry { method: 9, ..stored("a") }), ZipMethod),
        ("LZMA", one(ZipEntry { method: 14, ..stored("a") }), ZipMethod),
        ("deflated that is stored", one(ZipEntry { method: 8, ..stored("a") }), CorruptStream),
        ("other disk", patched(from_end(4), &[1]), ZipDirectory),
        ("entries on other disks", patched(from_end(8), &[0]), ZipDirectory),
        ("more entries than there are", patched(from_end(8), &[2, 0, 2, 0]), ZipDirectory),
        ("directory of no size", patched(from_end(12), &[0; 4]), ZipDirectory),
        ("directory elsewhere", patched(from_end(16), &[0; 4]), ZipDirectory),
        ("comment longer than the file", patched(from_end(20), &[1]), DataAfterEnd),
        ("file on another disk", patched(directory + 34, &[2]), ZipDirectory),
        ("local header beyond the directory", patched(directory + 42, &[0xf0]), ZipHidden),
        ("local header elsewhere", patched(directory + 42, &[4]), ZipHidden),
        ("extra field cut", one(ZipEntry { extra: vec![1, 0, 9, 0, 1], ..stored("a") }), ZipDirectory),
        ("two ZIP64 fields", one(ZipEntry { extra: [1, 0, 0, 0].repeat(2), ..stored("a") }), ZipDirectory),
        (
            "sizes behind without being announced",
            one(ZipEntry { flags: 0, ..stored("a").with_descriptor(true) }),
            ZipLocalHeader,
        ),
        ("before everything", [b"#!/bin/sh\n", &whole[..]].concat(), UnknownFormat),
        ("archive before the archive", [&whole[..whole.len() - 22], &whole].concat(), ZipDirectory),
        (
            "directory cut",
            [&whole[..directory + 20], &end(1, 20, directory as u32, b"")].concat(),
            ZipDirectory,
        ),
    ]);
    let long = one(link(&[b'x'; 5000]));
    refused("link of 5,000 bytes", &long, Refusal::Limit(Bound::PathBytes), &ExtractOptions::new());
    let deep = one(stored(&"d/".repeat(200)));
    refused("200 levels", &deep, Refusal::Limit(Bound::Depth), &ExtractOptions::new());
    let name = "n".repeat(300);
    refused(
        "300 bytes in a name",
        &one(stored(&name)),
        Refusal::Limit(Bound::ComponentBytes),
        &ExtractOptions::new(),
    );
}
