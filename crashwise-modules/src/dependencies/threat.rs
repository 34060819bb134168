//! What is known about the use of vulnerabilities: EPSS scores and the catalogue of known exploited vulnerabilities.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

/// Most bytes of a file after it is unpacked; the real ones have some ten million.
const MAX_BYTES: u64 = 1 << 30;
/// Longest line of a table of scores.
const MAX_LINE: usize = 1 << 16;

/// How likely the use of a vulnerability is, by the Exploit Prediction Scoring System.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Epss {
    /// Probability of use in the next 30 days, 0 to 1.
    pub(super) probability: f64,
    /// Share of vulnerabilities with the same or a lower probability, 0 to 1.
    pub(super) percentile: f64,
}

/// Why a file about threats cannot be used.
#[derive(Debug, Error)]
pub(super) enum ThreatError {
    #[error("{} cannot be read", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: expected `cve,epss,percentile`, found {found:?}", path.display())]
    Row { path: PathBuf, line: usize, found: String },
    #[error("{} is no catalogue of known exploited vulnerabilities", path.display())]
    Catalogue { path: PathBuf, source: serde_json::Error },
    #[error("{} holds no {what}", path.display())]
    Empty { path: PathBuf, what: &'static str },
}

/// The file, unpacked if its first bytes say that it is gzip.
fn open(path: &Path) -> Result<Box<dyn BufRead>, ThreatError> {
    let io = |source| ThreatError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let packed = reader.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
    Ok(if packed {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(reader).take(MAX_BYTES)))
    } else {
        Box::new(reader.take(MAX_BYTES))
    })
}

/// The scores of the wanted vulnerabilities from a table in CSV, plain or as gzip.
pub(super) fn epss(path: &Path, wanted: &BTreeSet<&str>) -> Result<BTreeMap<String, Epss>, ThreatError> {
    let mut reader = open(path)?;
    let mut scores = BTreeMap::new();
    let mut line = String::new();
    let mut rows = 0_u64;
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE as u64).read_line(&mut line);
        if read.map_err(|source| ThreatError::Io { path: path.to_owned(), source })? == 0 {
            break;
        }
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with("cve,") {
            continue;
        }
        let row = || -> Option<(&str, Epss)> {
            let mut cells = text.split(',').map(|cell| cell.trim().trim_matches('"'));
            let (id, probability, percentile) = (cells.next()?, cells.next()?, cells.next()?);
            let share = |text: &str| text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
            let known = id.starts_with("CVE-");
            Some((id, Epss { probability: share(probability)?, percentile: share(percentile)? }))
                .filter(|_| known)
        };
        let Some((id, score)) = row() else {
            let found = text.chars().take(60).collect();
            return Err(ThreatError::Row { path: path.to_owned(), line: number, found });
        };
        rows += 1;
        if wanted.contains(id) {
            scores.insert(id.to_owned(), score);
        }
    }
    if rows == 0 {
        return Err(ThreatError::Empty { path: path.to_owned(), what: "scores" });
    }
    Ok(scores)
}

#[derive(Deserialize)]
struct Catalogue {
    vulnerabilities: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "cveID")]
    id: String,
    #[serde(default, rename = "dateAdded")]
    added: String,
}

/// The wanted vulnerabilities that are known to be exploited, with the day on which that was listed.
pub(super) fn exploited(
    path: &Path,
    wanted: &BTreeSet<&str>,
) -> Result<BTreeMap<String, String>, ThreatError> {
    let catalogue: Catalogue = serde_json::from_reader(open(path)?)
        .map_err(|source| ThreatError::Catalogue { path: path.to_owned(), source })?;
    if catalogue.vulnerabilities.is_empty() {
        return Err(ThreatError::Empty { path: path.to_owned(), what: "vulnerabilities" });
    }
    let entries = catalogue.vulnerabilities.into_iter();
    Ok(entries
        .filter(|entry| wanted.contains(entry.id.as_str()))
        .map(|entry| (entry.id, entry.added))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn scores_are_read_plain_and_packed() {
        let text = "#model_version:v2025.03.14,score_date:2026-01-01\ncve,epss,percentile\nCVE-1-1,0.5,0.97\nCVE-1-2,0.1,0.2\n";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        for content in [text.as_bytes().to_vec(), packed.finish().unwrap()] {
            let scores = epss(file(&content).path(), &BTreeSet::from(["CVE-1-1", "CVE-9-9"])).unwrap();
            let expect = Epss { probability: 0.5, percentile: 0.97 };
            assert_eq!(scores, BTreeMap::from([("CVE-1-1".to_owned(), expect)]));
        }
        for (bad, expect) in [
            ("cve,epss,percentile\nCVE-1-1,2,0\n", ":2: expected `cve,epss,percentile`"),
            ("<html>\n", ":1: expected"),
            ("cve,epss,percentile\n", "holds no scores"),
        ] {
            let error = epss(file(bad.as_bytes()).path(), &BTreeSet::new()).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn the_catalogue_is_read() {
        let text = br#"{"title": "x", "vulnerabilities": [{"cveID": "CVE-1-1", "dateAdded": "2024-05-01", "other": 1}]}"#;
        let listed = exploited(file(text).path(), &BTreeSet::from(["CVE-1-1"])).unwrap();
        assert_eq!(listed["CVE-1-1"], "2024-05-01");
        assert!(exploited(file(b"{}").path(), &BTreeSet::new()).is_err());
        assert!(exploited(file(br#"{"vulnerabilities": []}"#).path(), &BTreeSet::new()).is_err());
    }
}
