//! A damaged database answers as the whole one does, or says that it is damaged; it never panics.
#![no_main]

use crashwise_modules::dependencies::advisory::{Advisory, Database, DatabaseBuilder, DatabaseError, Query};
use crashwise_modules::dependencies::version::Ecosystem;
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;

type Answers = Vec<(String, Vec<Advisory>)>;

static WHOLE: LazyLock<(Vec<u8>, Answers)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..60 {
        let record = format!(
            r#"{{"id": "X-{number}", "modified": "2026-01-01T00:00:00Z", "summary": "text {number}", "affected": [{{"package": {{"ecosystem": "npm", "name": "p{}"}}, "ranges": [{{"type": "SEMVER", "events": [{{"introduced": "0"}}, {{"fixed": "1.{number}.0"}}]}}], "versions": ["3.0.{number}"]}}]}}"#,
            number % 20
        );
        std::fs::write(folder.path().join(format!("{number}.json")), record).unwrap();
    }
    let file = folder.path().join("a.cwdb");
    let mut builder = DatabaseBuilder::new();
    builder.add(folder.path()).unwrap();
    builder.write(&file).unwrap();
    let answers = ask(&file).unwrap();
    (std::fs::read(&file).unwrap(), answers)
});

fn ask(file: &Path) -> Result<Answers, DatabaseError> {
    let database = Database::open(file)?;
    let mut answers = Vec::new();
    for number in 0..22 {
        let name = format!("p{number}");
        let answer = database.query(&Query::new(Ecosystem::Npm, &name, "1.7.0"))?;
        let advisories = answer.hits.iter().map(|hit| database.advisory(hit.advisory));
        answers.push((name, advisories.collect::<Result<_, _>>()?));
    }
    Ok(answers)
}

fuzz_target!(|data: &[u8]| {
    let (bytes, answers) = &*WHOLE;
    let mut damaged = bytes.clone();
    // Each four bytes damage one byte: place (u16, in steps of the length), what to do, value.
    for part in data.chunks_exact(4).take(16) {
        let place = (usize::from(part[0]) << 8 | usize::from(part[1])) % damaged.len().max(1);
        match part[2] % 3 {
            0 => damaged[place] ^= part[3],
            1 => damaged.truncate(place.max(1)),
            _ => damaged[place] = part[3],
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.cwdb");
    std::fs::write(&file, &damaged).unwrap();
    if let Ok(found) = ask(&file) {
        assert!(found == *answers, "a damaged database gave another answer");
    }
});
