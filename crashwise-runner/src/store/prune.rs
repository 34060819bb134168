//! Letting go of old runs.

use super::{RunStore, failed};
use crate::RunnerError;
use rusqlite::{TransactionBehavior, params};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Files that nobody names are left alone while they are younger: a running step may be about to name them.
const YOUNG: Duration = Duration::from_hours(1);

/// What was let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Runs, children included.
    pub runs: u64,
    /// Files of results and payloads; of runs on a cluster, objects of the store.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files that nobody names and that stay for an hour after they were written: a step that runs may be about to name them.
    pub young: u64,
}

impl RunStore {
    /// Lets go of runs that ended before a time (milliseconds since 1970), with their children, the cached results that are
    /// older, and the files that only they name.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read or written.
    pub fn prune(&self, ended_before_ms: u64) -> Result<Pruned, RunnerError> {
        let mut connection = self.writing()?;
        let before = i64::try_from(ended_before_ms).unwrap_or(i64::MAX);
        let work = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("letting go of runs failed"))?;
        let runs = work
            .execute_batch("CREATE TEMP TABLE IF NOT EXISTS gone(no INTEGER PRIMARY KEY, id TEXT); DELETE FROM temp.gone;")
            .and_then(|()| {
                // A family goes as a whole, when its head has ended.
                work.execute(
                    "INSERT INTO temp.gone WITH RECURSIVE family(no, id) AS (
                       SELECT no, id FROM runs WHERE parent IS NULL AND ended_ms < ?1
                       UNION ALL SELECT child.no, child.id FROM runs AS child JOIN family ON child.parent = family.id
                     ) SELECT no, id FROM family",
                    params![before],
                )
            })
            .and_then(|_| {
                work.execute("DELETE FROM events WHERE run IN (SELECT no FROM temp.gone)", [])?;
                work.execute("DELETE FROM controls WHERE run IN (SELECT id FROM temp.gone)", [])?;
                work.execute("DELETE FROM stats WHERE run IN (SELECT id FROM temp.gone)", [])?;
                work.execute("DELETE FROM cache WHERE made_ms < ?1", params![before])?;
                work.execute("DELETE FROM runs WHERE no IN (SELECT no FROM temp.gone)", [])
            })
            .map_err(failed("letting go of runs failed"))?;
        work.commit().map_err(failed("letting go of runs failed"))?;
        let mut pruned = Pruned { runs: runs as u64, ..Pruned::default() };
        let named = self.named()?;
        for folder in ["results", "blobs"] {
            sweep(&self.folder.join(folder), &named, &mut pruned)?;
        }
        Ok(pruned)
    }

    /// Every digest that an event or a cached result names.
    fn named(&self) -> Result<BTreeSet<String>, RunnerError> {
        let mut named = BTreeSet::new();
        let connection = self.lock()?;
        for table in ["events", "cache"] {
            let mut statement = connection
                .prepare(&format!("SELECT body, blob FROM {table}"))
                .map_err(failed("reading the journal failed"))?;
            let mut rows = statement.query([]).map_err(failed("reading the journal failed"))?;
            while let Some(row) = rows.next().map_err(failed("reading the journal failed"))? {
                let body: Option<Vec<u8>> = row.get(0).map_err(failed("reading the journal failed"))?;
                let blob: Option<String> = row.get(1).map_err(failed("reading the journal failed"))?;
                if let Some(name) = &blob {
                    named.extend(name.split(':').next().map(str::to_owned));
                    if let Ok(bytes) = self.blobs.read(name) {
                        digests(&bytes, &mut named);
                    }
                }
                digests(&body.unwrap_or_default(), &mut named);
            }
        }
        Ok(named)
    }
}

/// Takes every run of 64 hexadecimal digits for a digest: too many kept is harmless, one too few is not.
fn digests(bytes: &[u8], into: &mut BTreeSet<String>) {
    for word in bytes.split(|b| !b.is_ascii_hexdigit()).filter(|word| word.len() == 64) {
        into.insert(String::from_utf8_lossy(word).into_owned());
    }
}

fn sweep(folder: &Path, named: &BTreeSet<String>, pruned: &mut Pruned) -> Result<(), RunnerError> {
    let Ok(parts) = fs::read_dir(folder) else { return Ok(()) };
    for part in parts {
        let part = part?;
        let Ok(files) = fs::read_dir(part.path()) else { continue };
        for file in files {
            let file = file?;
            let digest =
                format!("{}{}", part.file_name().to_string_lossy(), file.file_name().to_string_lossy());
            let Ok(metadata) = file.metadata() else { continue };
            let young = metadata
                .modified()
                .ok()
                .and_then(|changed| SystemTime::now().duration_since(changed).ok())
                .is_none_or(|age| age < YOUNG);
            if named.contains(&digest) || !metadata.is_file() {
                continue;
            }
            if young {
                // What is being written lies there as well.
                pruned.young += u64::from(digest.len() == 64);
                continue;
            }
            if fs::remove_file(file.path()).is_ok() {
                pruned.files += 1;
                pruned.bytes += metadata.len();
            }
        }
    }
    Ok(())
}
