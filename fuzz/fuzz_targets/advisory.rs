//! A record of any content is read or named, and what is compiled can be asked.
#![no_main]

use crashwise_modules::dependencies::advisory::{Database, DatabaseBuilder, Query};
use crashwise_modules::dependencies::version::Ecosystem;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join(["a.json", "a.yaml", "a.md"][usize::from(*first) % 3]);
    std::fs::write(&source, rest).unwrap();
    let mut builder = DatabaseBuilder::new();
    builder.add(&source).unwrap();
    let file = folder.path().join("a.cwdb");
    if builder.write(&file).is_err() {
        return;
    }
    let database = Database::open(&file).unwrap();
    database.verify().unwrap();
    for ecosystem in [Ecosystem::Cargo, Ecosystem::Npm, Ecosystem::PyPi, Ecosystem::Maven] {
        for version in ["0", "1.0.0", "2.0-rc1", "x"] {
            let answer = database.query(&Query::new(ecosystem, "a", version)).unwrap();
            for hit in answer.hits {
                database.advisory(hit.advisory).unwrap();
            }
        }
    }
});
