//! Tar archives that must be refused, each for its own reason. The numbers are those of `docs/design/archives.md`.

use super::build::{Head, Tar, gzip, seal, xz, zst};
use super::{Bound, ExtractOptions, Limits, Refusal, Rule, refused};

fn tar() -> Tar {
    Tar::new()
}

fn good() -> Tar {
    tar().dir("d/").file("d/a", b"hello").symlink("l", "d/a")
}

/// A header with one field overwritten.
fn patched(at: usize, bytes: &[u8]) -> Tar {
    let mut block = Head::new(b"a", b'0').block();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut block);
    tar().raw(&block)
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(length);
    out
}

pub(super) fn names() {
    use Rule::*;
    let cases: Vec<(&str, Tar, Rule)> = vec![
        ("1 absolute", tar().file("/etc/x", b"x"), AbsolutePath),
        ("2 two slashes", tar().file("//etc/x", b"x"), AbsolutePath),
        ("3 parent", tar().file("../x", b"x"), ParentComponent),
        ("4 parent inside", tar().file("a/../../x", b"x"), ParentComponent),
        ("24 case", tar().file("README", b"").file("readme", b""), Collision),
        ("24 case of a parent", tar().file("Src/a", b"").file("src/b", b""), Collision),
        ("24 case of a link", tar().symlink("Cur", "d").file("cur/b", b""), Collision),
        ("25 normalisation", tar().file("\u{e9}", b"").file("e\u{301}", b""), Collision),
        ("25 trailing dot", tar().file("a/b", b"").file("a./b", b""), Collision),
        ("25 trailing space", tar().file("a", b"").file("a ", b""), Collision),
        ("35 written backwards", tar().file("a\u{202e}txt.exe", b""), ControlInName),
        ("29 pax path", tar().pax(b'x', &[("path", "../x")]).file("ok", b""), ParentComponent),
        ("29 pax absolute", tar().pax(b'x', &[("path", "/x")]).file("ok", b""), AbsolutePath),
        ("30 gnu name", tar().gnu_long(b'L', b"../../x").file("ok", b""), ParentComponent),
        ("33 nul", tar().entry(b"a\0b", b'0', b""), NulInName),
        ("33 nul in pax", tar().pax(b'x', &[("path", "a\0b")]).file("ok", b""), NulInName),
        ("33 nul in gnu name", tar().gnu_long(b'L', b"a\0b").file("ok", b""), NulInName),
        ("34 not utf-8", tar().entry(b"a\xff", b'0', b""), NotUtf8),
        ("35 newline", tar().file("a\nb", b""), ControlInName),
        ("35 escape", tar().file("a\x1b[2J", b""), ControlInName),
        ("47 empty", tar().entry(b"", b'0', b""), EmptyName),
        ("47 empty pax", tar().pax(b'x', &[("path", "")]).file("ok", b""), EmptyName),
        ("48 file .", tar().file(".", b"x"), RootName),
        ("48 file ./.", tar().file("./.", b"x"), RootName),
        ("49 directory ..", tar().dir(".."), ParentComponent),
        ("53 drive", tar().file("C:\\x", b""), ReservedName),
        ("54 backslash", tar().file("..\\x", b""), Backslash),
        ("55 device name", tar().file("d/CON", b""), ReservedName),
        ("55 stream", tar().file("a:b", b""), ReservedName),
        ("60 symlink .", tar().symlink(".", "x"), RootName),
        (
            "prefix",
            {
                let mut block = Head::new(b"x", b'0').block();
                block[345..349].copy_from_slice(b"../y");
                seal(&mut block);
                tar().raw(&block)
            },
            ParentComponent,
        ),
        ("file with slash", tar().file("a/", b"x"), TrailingSlash),
    ];
    for (name, tar, rule) in cases {
        refused(name, &tar.end(), Refusal::Rule(rule), &ExtractOptions::new());
    }
}

pub(super) fn links() {
    use Rule::*;
    let cases: Vec<(&str, Tar, Rule)> = vec![
        ("5 through absolute", tar().symlink("l", "/tmp").file("l/x", b"x"), SymlinkAbsolute),
        ("6 through relative", tar().symlink("l", "../..").file("l/x", b"x"), ThroughSymlink),
        ("6 through inner", tar().dir("d").symlink("l", "d").file("l/x", b"x"), ThroughSymlink),
        ("7 chain", tar().symlink("cur", ".").symlink("par", "cur/.."), SymlinkOutside),
        ("8 link in link", tar().symlink("cur", ".").symlink("cur/par", ".."), ThroughSymlink),
        ("9 file over link", tar().symlink("l", "x").file("l", b"x"), OverSymlink),
        ("9 link over link", tar().symlink("l", "x").symlink("l", "y"), OverSymlink),
        ("10 outward", tar().symlink("d/l", "../../x"), SymlinkOutside),
        ("10 outward by pax", tar().pax(b'x', &[("linkpath", "../x")]).symlink("l", "x"), SymlinkOutside),
        ("10 outward by gnu", tar().gnu_long(b'K', b"../x").symlink("l", "x"), SymlinkOutside),
        ("11 absolute", tar().symlink("l", "/tree/x"), SymlinkAbsolute),
        ("12 hard absolute", tar().hardlink("h", "/etc/passwd"), HardlinkOutside),
        ("13 hard outward", tar().hardlink("h", "../x"), HardlinkOutside),
        ("14 hard to symlink", tar().symlink("l", "x").hardlink("h", "l"), HardlinkTarget),
        (
            "14 hard through symlink",
            tar().file("d/f", b"").symlink("l", "d").hardlink("h", "l/f"),
            HardlinkTarget,
        ),
        ("14 hard to directory", tar().dir("d").hardlink("h", "d"), HardlinkTarget),
        ("14 hard to nothing", tar().hardlink("h", "x"), HardlinkTarget),
        ("14 hard to itself", tar().hardlink("h", "h"), HardlinkTarget),
        ("15 hard, then file", tar().file("f", b"").hardlink("h", "f").file("h", b"x"), Duplicate),
        ("31 pax linkpath", tar().pax(b'x', &[("linkpath", "/x")]).symlink("l", "x"), SymlinkAbsolute),
        ("56 directory over link", tar().symlink("l", "d").dir("l"), OverSymlink),
        ("59 loop", tar().symlink("a", "b").symlink("b", "a"), SymlinkLoop),
        ("59 self", tar().symlink("a", "a"), SymlinkLoop),
        ("empty target", tar().symlink("a", ""), SymlinkTarget),
        ("backslash target", tar().symlink("a", "..\\x"), SymlinkTarget),
        ("link with content", tar().entry(b"l", b'2', b"content"), SizeOnLink),
        ("hard link with content", tar().file("f", b"").entry(b"h", b'1', b"content"), SizeOnLink),
    ];
    for (name, tar, rule) in cases {
        refused(name, &tar.end(), Refusal::Rule(rule), &ExtractOptions::new());
    }
}

pub(super) fn kinds() {
    use Rule::*;
    let cases: Vec<(&str, Tar, Rule)> = vec![
        ("16 character device", tar().mode("c", b'3', 0o666), Device),
        ("17 block device", tar().mode("b", b'4', 0o666), Device),
        ("18 fifo", tar().mode("f", b'6', 0o666), Fifo),
        ("21 duplicate", tar().file("a", b"1").file("./a", b"2"), Duplicate),
        ("22 file, then directory", tar().file("a", b"").dir("a"), KindSwap),
        ("22 file as parent", tar().file("a", b"").file("a/b", b""), ThroughFile),
        ("23 directory, then file", tar().dir("a").file("a", b""), KindSwap),
        ("23 implied directory, then file", tar().file("a/b", b"").file("a", b""), KindSwap),
        ("23 directory, then link", tar().dir("a").symlink("a", "b"), KindSwap),
        ("19 setuid", tar().mode("s", b'0', 0o4755), SetId),
        ("19 setgid", tar().mode("s", b'0', 0o2755), SetId),
        ("19 setuid hard link", tar().file("f", b"").mode("h", b'1', 0o4755), SetId),
        ("50 unknown", tar().mode("a", b'Z', 0o644), UnknownKind),
        ("50 multi-volume", tar().mode("a", b'M', 0o644), UnknownKind),
        (
            "52 capability",
            tar().pax(b'x', &[("SCHILY.xattr.security.capability", "x")]).file("a", b""),
            Capability,
        ),
        ("directory with content", tar().entry(b"d", b'5', b"content"), SizeOnLink),
    ];
    for (name, tar, rule) in cases {
        refused(name, &tar.end(), Refusal::Rule(rule), &ExtractOptions::new());
    }
}

pub(super) fn framing() {
    use Rule::*;
    let body = vec![b'x'; 1024];
    let whole = good().file("z", &body).end();
    let mut bad_sum = good();
    bad_sum.0[512] ^= 1;
    let hidden = tar().file("evil", b"").0;
    let cases: Vec<(&str, Vec<u8>, Rule)> = vec![
        (
            "26 pax size over ustar size",
            tar().pax(b'x', &[("size", "1024")]).file("a", &hidden).end(),
            SizeDisagreement,
        ),
        (
            "27 pax size, ustar zero",
            tar().pax(b'x', &[("size", "512")]).file("a", b"").raw(&hidden).end(),
            SizeDisagreement,
        ),
        ("27 pax size zero", tar().pax(b'x', &[("size", "0")]).file("a", &hidden).end(), SizeDisagreement),
        (
            "28 pax, then gnu",
            tar().pax(b'x', &[("size", "5")]).gnu_long(b'L', b"a").file("a", b"hello").end(),
            MixedExtensions,
        ),
        (
            "28 gnu, then pax",
            tar().gnu_long(b'L', b"a").pax(b'x', &[("path", "b")]).file("c", b"").end(),
            MixedExtensions,
        ),
        (
            "28 two pax",
            tar().pax(b'x', &[("path", "a")]).pax(b'x', &[("path", "b")]).file("c", b"").end(),
            MixedExtensions,
        ),
        (
            "28 two gnu names",
            tar().gnu_long(b'L', b"a").gnu_long(b'L', b"b").file("c", b"").end(),
            MixedExtensions,
        ),
        (
            "28 global after local",
            tar().pax(b'x', &[("path", "a")]).pax(b'g', &[("comment", "b")]).file("c", b"").end(),
            MixedExtensions,
        ),
        (
            "28 key twice",
            tar().pax(b'x', &[("path", "a"), ("path", "b")]).file("c", b"").end(),
            MixedExtensions,
        ),
        ("28 dangling", tar().pax(b'x', &[("path", "a")]).end(), DanglingExtension),
        ("36 truncated body", whole[..whole.len() - 1024 - 512].to_vec(), TruncatedBody),
        ("37 truncated header", good().raw(&[b'x'; 100]).0, TruncatedHeader),
        ("38 no end", good().0, NoEndMarker),
        ("38 half an end", good().raw(&[0; 512]).0, NoEndMarker),
        ("38 one zero block", good().raw(&[0; 512]).file("x", b"").end(), DataAfterEnd),
        ("39 checksum", bad_sum.end(), HeaderChecksum),
        ("40 negative", patched(124, &[0xff; 12]).end(), NegativeSize),
        ("40 negative octal", patched(124, b"-0000000001\0").end(), NegativeSize),
        ("40 negative pax", tar().pax(b'x', &[("size", "-1")]).file("a", b"").end(), NegativeSize),
        ("41 size beyond", tar().head(&Head { size: 1 << 20, ..Head::new(b"a", b'0') }).end(), TruncatedBody),
        ("43 second archive", good().raw(&[0; 1024]).file("evil", b"").end(), DataAfterEnd),
        (
            "43 garbage",
            {
                let mut bytes = good().end();
                bytes.extend(b"garbage");
                bytes
            },
            DataAfterEnd,
        ),
        (
            "43 garbage far behind",
            {
                let mut bytes = good().end();
                bytes.resize(1 << 20, 0);
                bytes.push(1);
                bytes
            },
            DataAfterEnd,
        ),
        ("57 global path", tar().pax(b'g', &[("path", "x")]).file("a", b"").end(), GlobalOverride),
        ("57 global size", tar().pax(b'g', &[("size", "0")]).file("a", b"").end(), GlobalOverride),
        ("58 record length", tar().entry(b"p", b'x', b"99 path=x\n").file("a", b"").end(), PaxRecord),
        ("58 record without newline", tar().entry(b"p", b'x', b"9 path=xx").file("a", b"").end(), PaxRecord),
        ("58 record of nothing", tar().entry(b"p", b'x', b"\0\0\0\0").file("a", b"").end(), PaxRecord),
        ("number", patched(124, b"0000000009x\0").end(), HeaderNumber),
        ("sparse map past the end", sparse(&[(0, 5), (10, 5)], 12), SparseMap),
        ("sparse map overlaps", sparse(&[(0, 8), (4, 2)], 100), SparseMap),
        (
            "sparse pax without size",
            tar().pax(b'x', &[("GNU.sparse.map", "0,1")]).file("a", b"x").end(),
            SparseMap,
        ),
        ("nothing", Vec::new(), UnknownFormat),
        ("text", b"hello world".to_vec(), UnknownFormat),
        ("noise", noise(2048), UnknownFormat),
    ];
    for (name, bytes, rule) in cases {
        refused(name, &bytes, Refusal::Rule(rule), &ExtractOptions::new());
    }
}

/// A sparse file in the old GNU format.
pub(super) fn sparse(pieces: &[(u64, u64)], size: u64) -> Vec<u8> {
    let data: u64 = pieces.iter().map(|piece| piece.1).sum();
    let mut block = Head { size: data, gnu: true, ..Head::new(b"sparse", b'S') }.block();
    for (i, (offset, length)) in pieces.iter().enumerate() {
        let at = 386 + i * 24;
        block[at..at + 24].copy_from_slice(format!("{offset:011o}\0{length:011o}\0").as_bytes());
    }
    block[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
    seal(&mut block);
    tar().raw(&block).body(&vec![b's'; usize::try_from(data).expect("small")]).end()
}

pub(super) fn streams() {
    use Rule::*;
    let whole = tar().file("noise", &noise(100_000)).end();
    let gz = gzip(&whole);
    let [zs, x] = [zst(&whole), xz(&whole)];
    let tail = |bytes: &[u8], tail: &[u8]| [bytes, tail].concat();
    let flipped = |bytes: &[u8], from_end: usize| {
        let mut bytes = bytes.to_vec();
        let at = bytes.len() - from_end;
        bytes[at] ^= 0x55;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, Rule)> = vec![
        ("72 gzip garbage", tail(&gz, b"garbage"), TrailingGarbage),
        ("72 zstd garbage", tail(&zs, b"garbage"), TrailingGarbage),
        ("72 xz garbage", tail(&x, b"garbage and more"), CorruptStream),
        ("73 gzip crc", flipped(&gz, 8), ContentChecksum),
        ("73 gzip size", flipped(&gz, 1), ContentSize),
        ("73 zstd checksum", flipped(&zs, 1), ContentChecksum),
        ("73 xz check", flipped(&x, 1), CorruptStream),
        ("74 gzip truncated", gz[..gz.len() - 4].to_vec(), TruncatedStream),
        ("74 gzip truncated early", gz[..gz.len() / 2].to_vec(), TruncatedStream),
        ("74 zstd truncated", zs[..zs.len() - 2].to_vec(), TruncatedStream),
        ("74 xz truncated", x[..x.len() - 8].to_vec(), TruncatedStream),
        ("gzip header only", vec![0x1f, 0x8b, 8, 0], TruncatedStream),
        (
            "gzip reserved flags",
            {
                let mut gz = gz.clone();
                gz[3] = 0xe0;
                gz
            },
            CorruptStream,
        ),
        ("gzip of text", gzip(&[b'x'; 600]), UnknownFormat),
        ("gzip of nothing", gzip(b""), NoEndMarker),
        ("gzip of gzip", gzip(&gzip(&whole)), UnknownFormat),
        ("second member with garbage", tail(&gz, &gzip(b"garbage")), DataAfterEnd),
    ];
    for (name, bytes, rule) in cases {
        refused(name, &bytes, Refusal::Rule(rule), &ExtractOptions::new());
    }
}

pub(super) fn bounds() {
    let deep = |depth: usize| tar().pax(b'x', &[("path", &"d/".repeat(depth))]).dir("d").end();
    let tangled = {
        let mut tar = tar().symlink("l", ".");
        let target = "x/".repeat(2000);
        for i in 0..900 {
            tar = tar.pax(b'x', &[("linkpath", &target)]).symlink(&format!("t{i}"), "x");
        }
        tar.end()
    };
    let links = {
        let target = "x".repeat(4000);
        let records = tar().pax(b'x', &[("linkpath", &target)]).0;
        let mut tar = tar();
        for i in 0..4400 {
            tar = tar.raw(&records).symlink(&format!("l{i}"), "x");
        }
        tar.end()
    };
    let zeros = vec![0; 24 << 20];
    let cases: Vec<(&str, Vec<u8>, Bound)> = vec![
        (
            "32 long gnu name",
            tar().gnu_long(b'L', &vec![b'a'; 70_000]).file("x", b"").end(),
            Bound::HeaderBytes,
        ),
        (
            "32 huge gnu name",
            tar().head(&Head { size: 1 << 32, gnu: true, ..Head::new(b"L", b'L') }).end(),
            Bound::HeaderBytes,
        ),
        (
            "32 long pax",
            tar().pax(b'x', &[("comment", &"a".repeat(70_000))]).file("x", b"").end(),
            Bound::HeaderBytes,
        ),
        ("42 sparse", sparse(&[(0, 1)], 1 << 32 | 1), Bound::FileBytes),
        (
            "42 sparse 1 TiB",
            tar()
                .pax(
                    b'x',
                    &[
                        ("GNU.sparse.major", "1"),
                        ("GNU.sparse.minor", "0"),
                        ("GNU.sparse.realsize", "1099511627776"),
                    ],
                )
                .file("a", &[&b"1\n0\n1\n"[..], &[0; 506], b"x"].concat())
                .end(),
            Bound::FileBytes,
        ),
        ("41 size", tar().head(&Head { size: 5 << 30, ..Head::new(b"a", b'0') }).end(), Bound::FileBytes),
        ("45 deep", deep(129), Bound::Depth),
        ("45 very deep", tar().gnu_long(b'L', &b"d/".repeat(3000)).dir("d").end(), Bound::PathBytes),
        (
            "45 long part",
            tar().pax(b'x', &[("path", &"x".repeat(256))]).file("x", b"").end(),
            Bound::ComponentBytes,
        ),
        (
            "45 long path",
            tar().pax(b'x', &[("path", &"abcdefghi/".repeat(410))]).dir("x").end(),
            Bound::PathBytes,
        ),
        ("70 gzip bomb", gzip(&tar().file("zeros", &zeros).end()), Bound::Ratio),
        ("70 zstd bomb", zst(&tar().file("zeros", &zeros).end()), Bound::Ratio),
        ("70 xz bomb", xz(&tar().file("zeros", &zeros).end()), Bound::Ratio),
        ("70 bomb behind the end", gzip(&tar().file("a", b"").raw(&zeros).end()), Bound::Ratio),
        (
            "70 many members",
            {
                let member = gzip(&[0; 1 << 20]);
                gzip(&tar().file("a", b"").end()).into_iter().chain(member.repeat(40)).collect()
            },
            Bound::Ratio,
        ),
        (
            "zstd window",
            {
                let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8];
                bytes.extend([1, 0, 0]);
                bytes
            },
            Bound::DecoderMemory,
        ),
        ("tangled links", tangled, Bound::Links),
        ("many long links", links, Bound::Links),
    ];
    for (name, bytes, bound) in cases {
        refused(name, &bytes, Refusal::Limit(bound), &ExtractOptions::new());
    }
    let few = |limits: Limits| ExtractOptions::new().with_limits(limits);
    let three = tar().file("a", &[b'x'; 600]).file("b", &[b'x'; 600]).file("c/d/e", b"").end();
    let limits = Limits::default();
    for (name, limits, bound) in [
        ("44 entries", limits.clone().with_entries(2), Bound::Entries),
        ("44 implied directories", limits.clone().with_entries(4), Bound::Entries),
        ("total", limits.clone().with_total_bytes(1000), Bound::TotalBytes),
        ("file", limits.clone().with_file_bytes(599), Bound::FileBytes),
        ("depth", limits.clone().with_depth(2), Bound::Depth),
    ] {
        refused(name, &three, Refusal::Limit(bound), &few(limits));
    }
    let linked = tar().file("a", &[b'x'; 600]).hardlink("b", "a").hardlink("c", "a").end();
    refused("links count", &linked, Refusal::Limit(Bound::TotalBytes), &few(limits.with_total_bytes(1500)));
}

#[test]
fn an_error_names_entry_and_place() {
    let bytes = tar().file("fine", b"x").pax(b'x', &[("path", "../e\u{7}vil")]).file("x", b"").end();
    let (_dir, result) = super::run(&bytes, &ExtractOptions::new());
    let error = result.expect_err("refused");
    assert_eq!((error.entry(), error.offset()), (Some("../e\\u{7}vil"), 2048));
    assert_eq!(
        error.to_string(),
        "extract entry \"../e\\u{7}vil\" at byte 2048: the name contains a control character (control-in-name)"
    );
}
