//! ZIP files, good and hostile.

use super::build::{ZipEntry, end, zip};
use super::{Bound, ExtractOptions, Refusal, Rule, accepted, refused};

fn stored(name: &str) -> ZipEntry {
    ZipEntry::stored(name, b"hello")
}

/// Widens sizes and offset by a ZIP64 record, as writers do that stream.
fn zip64(real: u64) -> ZipEntry {
    let mut extra = vec![1, 0, 16, 0];
    extra.extend(real.to_le_bytes());
    extra.extend(5u64.to_le_bytes());
    ZipEntry { extra, size: u64::from(u32::MAX), central_packed: Some(u32::MAX), ..stored("a") }
}

pub(super) fn good() {
    let tree: &[(&str, &str)] =
        &[("d", "/"), ("d/a", "hello"), ("b", "hello"), ("c", "hello"), ("l", "-> d/a")];
    let link = ZipEntry { mode: 0o120_777, ..ZipEntry::stored("l", b"d/a") };
    for signed in [true, false] {
        let entries = [
            ZipEntry::stored("d/", b""),
            stored("d/a").with_descriptor(signed),
            ZipEntry::deflated("b", b"hello").with_descriptor(signed),
            ZipEntry::zstd("c", b"hello"),
            link.clone(),
        ];
        accepted("all methods", &zip(&entries), tree);
    }
    accepted("empty", &end(0, 0, 0, b""), &[]);
    let utf8 = ZipEntry { flags: 1 << 11, ..stored("Grüße") };
    accepted("unicode", &zip(&[utf8]), &[("Grüße", "hello")]);
    let dos = ZipEntry { mode: 0, ..stored("dos") };
    accepted("no mode", &zip(&[dos]), &[("dos", "hello")]);
    let mut commented = zip(&[stored("a")]);
    let at = commented.len() - 2;
    commented[at] = 4;
    commented.extend(b"hash");
    accepted("comment", &commented, &[("a", "hello")]);
}

pub(super) fn zip64_sizes() {
    // The local packed size is written by the builder as the real one; both must be widened to agree.
    let widen_local = |mut bytes: Vec<u8>| {
        bytes[18..22].fill(0xff);
        bytes
    };
    accepted("zip64", &widen_local(zip(&[zip64(5)])), &[("a", "hello")]);
    refused(
        "zip64 says something else without need",
        &zip(&[ZipEntry { size: 5, central_packed: None, ..zip64(6) }]),
        Refusal::Rule(Rule::ZipDirectory),
        &ExtractOptions::new(),
    );
    accepted(
        "zip64 repeats",
        &zip(&[ZipEntry { size: 5, central_packed: None, ..zip64(5) }]),
        &[("a", "hello")],
    );
    refused(
        "zip64 lies",
        &widen_local(zip(&[zip64(6)])),
        Refusal::Rule(Rule::ContentSize),
        &ExtractOptions::new(),
    );
}

pub(super) fn hostile() {
    use Rule::*;
    let a = stored("a");
    let whole = zip(std::slice::from_ref(&a));
    let with = |change: fn(&mut ZipEntry)| {
        let mut entry = stored("a");
        change(&mut entry);
        zip(&[entry])
    };
    let deflated = |change: fn(&mut ZipEntry)| {
        let mut entry = ZipEntry::deflated("a", &[b'x'; 3000]);
        change(&mut entry);
        zip(&[entry])
    };
    let cases: Vec<(&str, Vec<u8>, Rule)> = vec![
        ("traversal", zip(&[stored("../a")]), ParentComponent),
        ("absolute", zip(&[stored("/a")]), AbsolutePath),
        ("backslash", zip(&[stored("..\\a")]), Backslash),
        ("duplicate", zip(&[stored("a"), stored("a")]), Duplicate),
        ("case", zip(&[stored("a"), stored("A")]), Collision),
        ("link out", zip(&[ZipEntry { mode: 0o120_777, ..ZipEntry::stored("l", b"../x") }]), SymlinkOutside),
        (
            "link absolute",
            zip(&[ZipEntry { mode: 0o120_777, ..ZipEntry::stored("l", b"/x") }]),
            SymlinkAbsolute,
        ),
        (
            "through link",
            zip(&[ZipEntry { mode: 0o120_777, ..ZipEntry::stored("l", b".") }, stored("l/x")]),
            ThroughSymlink,
        ),
        ("device", with(|e| e.mode = 0o020_666), Device),
        ("setuid", with(|e| e.mode = 0o104_755), SetId),
        ("setgid", with(|e| e.mode = 0o102_755), SetId),
        ("fifo", with(|e| e.mode = 0o010_666), Fifo),
        ("name differs", with(|e| e.central_name = Some(b"b".to_vec())), ZipLocalHeader),
        ("crc differs", with(|e| e.central_crc = Some(1)), ZipLocalHeader),
        ("size differs", deflated(|e| e.central_size = Some(2999)), ZipLocalHeader),
        ("packed size differs", deflated(|e| e.central_packed = Some(1)), ZipLocalHeader),
        ("wrong crc in both", with(|e| e.crc = 1), ContentChecksum),
        ("wrong size in both", deflated(|e| e.size = 2999), ContentSize),
        ("too great a size", deflated(|e| e.size = 3001), ContentSize),
        ("stored sizes differ", with(|e| e.size = 4), ContentSize),
        ("bytes behind the stream", deflated(|e| e.data.push(0)), ContentSize),
        ("corrupt stream", deflated(|e| e.data[0] ^= 0xff), CorruptStream),
        (
            "truncated stream",
            deflated(|e| {
                e.data.pop();
            }),
            TruncatedStream,
        ),
        (
            "bad descriptor",
            zip(&[ZipEntry { descriptor: Some(vec![0; 16]), flags: 8, ..stored("a") }]),
            ZipLocalHeader,
        ),
        (
            "not in the directory",
            zip(&[ZipEntry { in_directory: false, ..stored("evil") }, stored("a")]),
            ZipHidden,
        ),
        (
            "last not in the directory",
            zip(&[stored("a"), ZipEntry { in_directory: false, ..stored("evil") }]),
            ZipHidden,
        ),
        (
            "hidden bytes",
            zip(&[stored("a"), ZipEntry { before: b"hidden".to_vec(), ..stored("b") }]),
            ZipHidden,
        ),
        (
            "in the directory only",
            zip(&[stored("a"), ZipEntry { central_offset: Some(0), ..stored("b") }]),
            ZipOverlap,
        ),
        ("encrypted", with(|e| e.flags = 1), ZipEncrypted),
        ("bzip2", with(|e| e.method = 12), ZipMethod),
        ("directory with content", zip(&[stored("d/")]), SizeOnLink),
        ("file with slash", zip(&[ZipEntry { mode: 0o100_644, ..stored("a/") }]), TrailingSlash),
        (
            "unicode name differs",
            with(|e| {
                e.extra = vec![0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, b'b'];
            }),
            ZipLocalHeader,
        ),
        ("data behind", [&whole[..], b"x"].concat(), DataAfterEnd),
        ("two ends", [&whole[..], &end(0, 0, 0, b"")].concat(), ZipDirectory),
        (
            "second end in the comment",
            {
                let second = end(0, 0, 0, b"");
                let mut bytes = whole.clone();
                let at = bytes.len() - 2;
                bytes[at] = second.len() as u8;
                bytes.extend(second);
                bytes
            },
            ZipSecondEnd,
        ),
        ("zip in zip", [&whole[..], &whole].concat(), ZipDirectory),
        ("truncated", whole[..whole.len() - 30].to_vec(), NoEndMarker),
        ("no directory", [&whole[..36], &end(0, 0, 36, b"")].concat(), ZipDirectory),
        (
            "too few",
            {
                let mut bytes = whole.clone();
                let at = bytes.len() - 14;
                bytes[at] = 2;
                bytes[at + 2] = 2;
                bytes
            },
            ZipDirectory,
        ),
        ("only a local header", whole[..36].to_vec(), NoEndMarker),
    ];
    for (name, bytes, rule) in cases {
        refused(name, &bytes, Refusal::Rule(rule), &ExtractOptions::new());
    }
}

pub(super) fn bombs() {
    let zeros = vec![0; 20 << 20];
    let bomb = zip(&[ZipEntry::deflated("zeros", &zeros)]);
    refused("deflate", &bomb, Refusal::Limit(Bound::Ratio), &ExtractOptions::new());
    let one = vec![0; 1 << 20];
    let many: Vec<_> = (0..40).map(|i| ZipEntry::deflated(&i.to_string(), &one)).collect();
    refused("many small", &zip(&many), Refusal::Limit(Bound::Ratio), &ExtractOptions::new());
    // One kernel shared by many entries.
    let kernel = ZipEntry::deflated("kernel", &noise_like());
    let mut entries = vec![kernel.clone()];
    entries.extend((0..100).map(|i| ZipEntry {
        name: format!("copy{i}").into_bytes(),
        data: Vec::new(),
        central_offset: Some(0),
        central_packed: Some(kernel.data.len() as u32),
        ..kernel.clone()
    }));
    refused("shared kernel", &zip(&entries), Refusal::Rule(Rule::ZipOverlap), &ExtractOptions::new());
}

/// Text that compresses only a little.
fn noise_like() -> Vec<u8> {
    (0..20_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect()
}
