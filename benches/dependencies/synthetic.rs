//! A database as large as that of all of npm, made up: the same number gives the same records.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;

/// How many advisories one package has on average.
const PER_PACKAGE: u32 = 3;

/// Writes an archive of `count` OSV records about npm packages.
pub(crate) fn write(path: &Path, count: u32) -> io::Result<()> {
    let mut archive = zip::ZipWriter::new(BufWriter::new(File::create(path)?));
    // The archive is read once; packing it well is not what is measured.
    let options = SimpleFileOptions::default().compression_level(Some(1));
    for number in 0..count {
        let name = format!("GHSA-{}.json", id(number));
        archive.start_file(name, options).map_err(io::Error::other)?;
        archive.write_all(record(number).as_bytes())?;
    }
    archive.finish().map_err(io::Error::other)?.flush()
}

/// A lockfile of `count` packages, some of which have advisories.
pub(crate) fn lockfile(count: u32) -> String {
    let mut text = "{\"lockfileVersion\": 3, \"packages\": {\"\": {}".to_owned();
    for number in 0..count {
        let name = if number % 20 == 0 { package(number * 31) } else { format!("clean-{number}") };
        let _ =
            write!(text, ",\n\"node_modules/{name}\": {{\"version\": \"{}.{}.0\"}}", number % 3, number % 7);
    }
    text + "\n}}\n"
}

fn package(number: u32) -> String {
    format!("package-{}", (number / PER_PACKAGE).wrapping_mul(2_654_435_761) % 1_000_003)
}

fn id(number: u32) -> String {
    let mixed = number.wrapping_mul(2_654_435_761);
    format!("{:04x}-{:04x}-{number:06}", mixed >> 16, mixed & 0xffff)
}

/// About a thousand bytes, as real records have.
fn record(number: u32) -> String {
    let (id, name) = (id(number), package(number));
    let (major, minor) = (number % 4, number % 11);
    let day = 1 + number % 28;
    let severity = ["LOW", "MODERATE", "HIGH", "CRITICAL"][(number % 4) as usize];
    let cwe = [79, 400, 1321, 22, 94][(number % 5) as usize];
    let details =
        WORDS.iter().cycle().skip(number as usize % WORDS.len()).take(60).copied().collect::<Vec<_>>();
    format!(
        r#"{{"schema_version": "1.7.0", "id": "GHSA-{id}", "modified": "2026-03-{day:02}T10:00:00Z", "published": "2025-03-{day:02}T10:00:00Z", "aliases": ["CVE-2025-{number:06}"], "summary": "{name} {} in {}", "details": "{}", "severity": [{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:{}/I:L/A:N"}}], "affected": [{{"package": {{"ecosystem": "npm", "name": "{name}"}}, "ranges": [{{"type": "SEMVER", "events": [{{"introduced": "{major}.0.0"}}, {{"fixed": "{major}.{minor}.5"}}]}}]}}], "references": [{{"type": "ADVISORY", "url": "https://advisories.example/GHSA-{id}"}}, {{"type": "WEB", "url": "https://code.example/{name}/pull/{number}"}}], "database_specific": {{"cwe_ids": ["CWE-{cwe}"], "github_reviewed": true, "severity": "{severity}"}}}}"#,
        WORDS[number as usize % WORDS.len()],
        WORDS[(number / 7) as usize % WORDS.len()],
        details.join(" "),
        ["N", "L", "H"][(number % 3) as usize],
    )
}

const WORDS: [&str; 24] = [
    "prototype",
    "pollution",
    "denial",
    "of",
    "service",
    "regular",
    "expression",
    "cross-site",
    "scripting",
    "path",
    "traversal",
    "parser",
    "template",
    "header",
    "injection",
    "cache",
    "token",
    "session",
    "upload",
    "redirect",
    "memory",
    "loop",
    "input",
    "merge",
];
