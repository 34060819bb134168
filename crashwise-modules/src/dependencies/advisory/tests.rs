use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::record::{Affected, Event, Range};
use super::{Class, Database, DatabaseBuilder, DatabaseError, Query, SeveritySource};
use crate::dependencies::version::{Ecosystem, Order};
use crashwise_core::Severity;

fn database(records: &[Value]) -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    for (index, record) in records.iter().enumerate() {
        fs::write(source.join(format!("{index}.json")), record.to_string()).unwrap();
    }
    let file = compile(&source);
    (folder, Database::open(file).unwrap())
}

fn compile(source: &Path) -> PathBuf {
    let file = source.with_extension("cwdb");
    let mut builder = DatabaseBuilder::new();
    builder.add(source).unwrap();
    builder.write(&file).unwrap();
    file
}

#[allow(clippy::needless_pass_by_value, reason = "the rows read better")]
fn affected(ecosystem: &str, name: &str, more: Value) -> Value {
    let mut affected = json!({"package": {"ecosystem": ecosystem, "name": name}});
    affected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    affected
}

fn hits(database: &Database, ecosystem: Ecosystem, name: &str, version: &str) -> Vec<String> {
    let answer = database.query(&Query::new(ecosystem, name, version)).unwrap();
    answer.hits.iter().map(|hit| database.advisory(hit.advisory).unwrap().id).collect()
}

#[test]
fn affected_versions_follow_the_specification() {
    let range = |events: Value| json!({"ranges": [{"type": "ECOSYSTEM", "events": events}]});
    // Each row: what the record says, versions that are affected, versions that are not.
    let rows = [
        (range(json!([{"introduced": "0"}, {"fixed": "1.5"}])), "0.0.1 1.4.9 1.5.dev1", "1.5 1.5.0 2"),
        (range(json!([{"introduced": "1.0"}])), "1.0 1.0.0 99", "0.9 1.0rc1"),
        (range(json!([{"introduced": "1"}, {"last_affected": "2"}])), "1 2 2.0", "2.0.1 0.9 3"),
        (
            range(json!([{"fixed": "2.3"}, {"introduced": "2.0"}, {"fixed": "1.3"}, {"introduced": "1.0"}])),
            "1.0 1.2 2.0 2.2",
            "0.9 1.3 1.9 2.3",
        ),
        (range(json!([{"introduced": "0"}, {"limit": "1.0"}])), "0.1 0.9", "1.0 2"),
        (range(json!([{"introduced": "0"}, {"limit": "1.0"}, {"limit": "2.0"}])), "0.1 1.5", "2.0"),
        (range(json!([{"introduced": "0"}, {"limit": "1.0"}, {"limit": "*"}])), "0.1 1.5 3", ""),
        (range(json!([{"introduced": "1"}, {"introduced": "2"}, {"fixed": "3"}])), "1 2 2.5", "0.9 3"),
        (range(json!([{"fixed": "1"}])), "", "0.5 1 2"),
        (range(json!([{"introduced": "1"}, {"last_affected": "1"}])), "1", "0.9 1.0.1"),
        (
            json!({"ranges": [
                {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "deadbeef"}]},
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0"}]},
            ], "versions": ["0.9"]}),
            "0.9 0.9.0 0.8 0.9+cpu",
            "1.0",
        ),
        (json!({"versions": ["1.0", "bad version!"]}), "1.0 1.0.0 v1.0", "1.1 0.9"),
        (
            json!({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}], "versions": ["2.0"]}),
            "2.0",
            "1.0",
        ),
        (
            json!({"ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "1.1"}]},
                {"type": "ECOSYSTEM", "events": [{"introduced": "3.0"}, {"fixed": "3.1"}]},
            ]}),
            "1.0 3.0",
            "1.1 2.0 3.1",
        ),
    ];
    for (more, yes, no) in rows {
        let record = json!({"id": "T-1", "affected": [affected("PyPI", "Some_Name", more.clone())]});
        let (_folder, database) = database(&[record]);
        for (versions, expect) in [(yes, 1), (no, 0)] {
            for version in versions.split_whitespace() {
                let found = hits(&database, Ecosystem::PyPi, "some.name", version);
                assert_eq!(found.len(), expect, "{version} against {more}");
            }
        }
    }
}

#[test]
fn fixes_releases_and_withdrawn_records() {
    let events = |fixed: &str| json!({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]});
    let (_folder, database) = database(&[
        json!({"id": "A", "affected": [affected("Debian:12", "curl", events("7.88-1"))]}),
        json!({"id": "B", "affected": [affected("Debian:11", "curl", events("7.74-1"))]}),
        json!({"id": "C", "withdrawn": "2024-01-01T00:00:00Z", "affected": [affected("npm", "x", events("2"))]}),
        json!({"id": "D", "affected": [affected("npm", "x", json!({"ranges": [{"type": "SEMVER", "events": [
            {"introduced": "1.0.0"}, {"fixed": "1.2.0"}, {"introduced": "2.0.0"}, {"fixed": "2.0.5"}]}]}))]}),
        json!({"id": "E", "affected": [affected("Nowhere", "x", events("2"))]}),
    ]);
    let curl = |release| {
        let answer =
            database.query(&Query::new(Ecosystem::Debian, "curl", "7.70-1").with_release(release)).unwrap();
        answer.hits.len()
    };
    assert_eq!(["12", "11", "10", ""].map(curl), [1, 1, 0, 2]);
    let answer = database.query(&Query::new(Ecosystem::Npm, "x", "2.0.1")).unwrap();
    assert_eq!(answer.hits.len(), 1);
    assert_eq!(answer.hits[0].fixed.as_deref(), Some("2.0.5"));
    assert!(database.query(&Query::new(Ecosystem::Npm, "x", "not a version")).unwrap().undecided);
    assert_eq!(database.meta().withdrawn, 1);
    assert_eq!(database.meta().unknown_ecosystems["Nowhere"], 1);
    database.verify().unwrap();
}

#[test]
fn aliases_share_a_group_and_a_severity() {
    let one = |id: &str, aliases: Value, more: Value| {
        let mut record = json!({"id": id, "aliases": aliases, "affected": [affected("npm", "x", json!({"versions": ["1.0.0"]}))]});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let (_folder, database) = database(&[
        one(
            "GHSA-1",
            json!(["CVE-1"]),
            json!({"database_specific": {"severity": "HIGH", "cwe_ids": ["CWE-79"]}}),
        ),
        one("RUSTSEC-1", json!(["CVE-1"]), json!({})),
        one("GO-1", json!(["RUSTSEC-1"]), json!({})),
        one("OTHER-1", json!([]), json!({})),
    ]);
    let answer = database.query(&Query::new(Ecosystem::Npm, "x", "1.0.0")).unwrap();
    let advisories: Vec<_> = answer.hits.iter().map(|hit| database.advisory(hit.advisory).unwrap()).collect();
    let found = |id: &str| advisories.iter().find(|advisory| advisory.id == id).unwrap();
    assert_eq!(found("GHSA-1").group, found("RUSTSEC-1").group);
    assert_eq!(found("GHSA-1").group, found("GO-1").group);
    assert_ne!(found("GHSA-1").group, found("OTHER-1").group);
    assert_eq!(found("GHSA-1").weaknesses, [79]);
    let rated = |id: &str| (found(id).rating.severity, found(id).rating.source);
    assert_eq!(rated("GHSA-1"), (Some(Severity::High), SeveritySource::Database));
    assert_eq!(rated("GO-1"), (Some(Severity::High), SeveritySource::Alias));
    assert_eq!(rated("OTHER-1"), (None, SeveritySource::Unknown));
    assert_eq!(found("OTHER-1").class, Class::Vulnerability);
}

#[test]
fn one_bad_record_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let good = json!({"id": "A", "affected": [affected("npm", "x", json!({"versions": ["1.0.0"]}))]});
    fs::write(source.join("a.json"), good.to_string()).unwrap();
    fs::write(source.join("b.json"), "{\"id\": ").unwrap();
    fs::write(
        source.join("c.yaml"),
        "id: Y-1\naffected:\n- package: {ecosystem: npm, name: y}\n  versions: ['2.0.0']\n",
    )
    .unwrap();
    fs::write(source.join("RUSTSEC-2024-0001.md"), "no block").unwrap();
    let mut builder = DatabaseBuilder::new();
    builder.add(&source).unwrap();
    assert_eq!(builder.warnings().len(), 2, "{:?}", builder.warnings());
    let file = folder.path().join("db");
    let meta = builder.write(&file).unwrap();
    assert_eq!((meta.advisories, meta.malformed), (2, 2));
    assert_eq!(hits(&Database::open(&file).unwrap(), Ecosystem::Npm, "y", "2.0.0"), ["Y-1"]);
    assert!(matches!(DatabaseBuilder::new().write(&file), Err(DatabaseError::Empty)));
    assert!(Database::open(&file).is_ok(), "a failed build leaves the old file");
    assert!(matches!(DatabaseBuilder::new().add(Path::new("/nowhere")), Err(DatabaseError::Io { .. })));
    fs::create_dir(source.join("npm")).unwrap();
    fs::write(source.join("npm/all.zip"), b"PK\x03\x04 cut").unwrap();
    let error = DatabaseBuilder::new().add(&source).unwrap_err();
    assert!(
        error.to_string().ends_with("npm/all.zip cannot be read"),
        "a whole ecosystem is missing: {error}"
    );
}

#[test]
fn archives_are_read_and_builds_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.zip");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("A-1.json", options).unwrap();
    let record = json!({"id": "A-1", "modified": "2024-05-06T00:00:00Z", "affected": [affected("npm", "x", json!({"versions": ["1.0.0"]}))]});
    std::io::Write::write_all(&mut archive, record.to_string().as_bytes()).unwrap();
    archive.finish().unwrap();
    let files = [1, 2].map(|number| {
        let file = folder.path().join(format!("{number}.cwdb"));
        let mut builder = DatabaseBuilder::new();
        builder.add(&path).unwrap();
        builder.write(&file).unwrap();
        fs::read(file).unwrap()
    });
    assert_eq!(files[0], files[1]);
    let database = Database::open(folder.path().join("1.cwdb")).unwrap();
    assert_eq!(database.meta().newest(), "2024-05-06T00:00:00Z");
    assert_eq!(database.meta().sources[0].name, "all.zip");
    let undated = json!({"id": "A-2", "modified": "0001-01-01T00:00:00Z", "published": "2024-07-08T00:00:00Z", "affected": [affected("npm", "x", json!({"versions": ["1.0.0"]}))]});
    let (_folder, database) = self::database(&[undated]);
    assert_eq!(database.meta().newest(), "2024-07-08T00:00:00Z");
}

#[test]
fn every_damage_is_noticed() {
    let record = |n: usize| json!({"id": format!("A-{n}"), "summary": "text ".repeat(n), "affected": [affected("npm", &format!("p{n}"), json!({"versions": ["1.0.0"]}))]});
    let (folder, database) = database(&(0..40).map(record).collect::<Vec<_>>());
    let bytes = fs::read(database.path()).unwrap();
    let damaged = folder.path().join("damaged");
    let look = |path: &Path| -> Result<usize, DatabaseError> {
        let database = Database::open(path)?;
        let mut found = 0;
        for n in 0..40 {
            let answer = database.query(&Query::new(Ecosystem::Npm, &format!("p{n}"), "1.0.0"))?;
            for hit in answer.hits {
                database.advisory(hit.advisory)?;
                found += 1;
            }
        }
        Ok(found)
    };
    assert_eq!(look(database.path()).unwrap(), 40);
    for at in (0..bytes.len()).step_by(7) {
        let mut copy = bytes.clone();
        copy[at] ^= 0x10;
        fs::write(&damaged, &copy).unwrap();
        // What is not an error has not changed an answer; the digest finds the rest.
        match look(&damaged) {
            Ok(found) => {
                assert_eq!(found, 40, "byte {at}");
                let noticed = Database::open(&damaged).and_then(|database| database.verify()).is_err();
                assert!(noticed, "byte {at}");
            }
            Err(DatabaseError::Io { .. }) => panic!("byte {at} became an input error"),
            Err(_) => {}
        }
    }
    for length in [0, 5, 50, bytes.len() - 1] {
        fs::write(&damaged, &bytes[..length]).unwrap();
        assert!(look(&damaged).is_err(), "cut to {length}");
    }
    let mut older = bytes;
    older[8] = 0;
    fs::write(&damaged, older).unwrap();
    assert!(matches!(look(&damaged), Err(DatabaseError::Version { found: 0, .. })));
}

/// The algorithm as the schema's page writes it, over plain numbers.
fn specified(version: u8, events: &[(u8, u8)]) -> bool {
    let mut sorted: Vec<(u8, u8)> = events.iter().copied().filter(|(kind, _)| *kind < 3).collect();
    sorted.sort_by_key(|(kind, at)| (*at, *kind == 2));
    let limits: Vec<u8> = events.iter().filter(|(kind, _)| *kind == 3).map(|(_, at)| *at).collect();
    let mut vulnerable = false;
    for (kind, at) in sorted {
        match kind {
            0 if version >= at => vulnerable = true,
            1 if version >= at => vulnerable = false,
            2 if version > at => vulnerable = false,
            _ => {}
        }
    }
    vulnerable && (limits.is_empty() || limits.iter().any(|limit| version < *limit))
}

proptest! {
    #[test]
    fn intervals_are_the_specified_algorithm(events in prop::collection::vec((0_u8..4, 1_u8..9), 0..7)) {
        let event = |(kind, at): &(u8, u8)| {
            let text = Some(at.to_string());
            match kind {
                0 => Event { introduced: text, ..Event::default() },
                1 => Event { fixed: text, ..Event::default() },
                2 => Event { last_affected: text, ..Event::default() },
                _ => Event { limit: text, ..Event::default() },
            }
        };
        let range = Range { kind: "ECOSYSTEM".to_owned(), events: events.iter().map(event).collect() };
        let affected = Affected { ranges: vec![range], ..Affected::default() };
        let versions = super::range::versions(&affected, Order::SemVer, &mut |warning| panic!("{warning}"));
        for version in 0..10 {
            let key = Order::SemVer.key(&version.to_string()).unwrap();
            let found = versions.intervals.iter().any(|interval| interval.contains(key.as_bytes()));
            prop_assert_eq!(found, specified(version, &events), "{} in {:?}", version, events);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        fs::write(&path, bytes).unwrap();
        prop_assert!(Database::open(&path).is_err());
    }
}
