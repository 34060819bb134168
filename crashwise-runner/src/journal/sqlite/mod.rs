//! The journal as an SQLite database: one writer thread, append-only events, a hash chain per run, large payloads beside.

mod begins;
mod blobs;
mod chain;
mod commit;
mod later;
mod log;
mod owner;
mod pace;
mod queue;
pub(crate) mod read;
mod schema;
mod sync;
mod writer;

pub(crate) use blobs::Blobs;
pub(crate) use later::LaterReader;
pub(crate) use owner::Owner;
#[cfg(test)]
pub(crate) use schema::FORMAT;
pub(crate) use schema::{Access, FILE, open};
pub(crate) use writer::Writer;

use super::{Cached, Created, Event, Journal, JournalError, Record, Submission, Taken, Text};
use crate::engine::Building;
use crate::failpoint;
use async_trait::async_trait;
use crashwise_core::{Fingerprint, RunId};
use log::SqliteLog;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

/// How far an acknowledged event is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives a power cut.
    #[default]
    Sync,
    /// It survives the end of the process; a power cut may take the last moments.
    Relaxed,
}

/// The journal of a state folder, as a process that carries out runs has it.
#[derive(Debug)]
pub(crate) struct SqliteJournal {
    writer: Writer,
    reader: LaterReader,
    blobs: Blobs,
    owner: Owner,
    folder: PathBuf,
}

impl SqliteJournal {
    /// Opens the journal of a state folder; makes it when there is none.
    pub(crate) fn open(folder: &Path, durability: Durability) -> Result<Self, JournalError> {
        let connection = open(folder, Access::Write(durability))?;
        let blobs = Blobs::new(folder, durability == Durability::Sync)?;
        let owner = Owner::new(folder)?;
        let writer = Writer::start(connection, blobs.clone(), durability)?;
        let reader = LaterReader::new(folder);
        Ok(Self { writer, reader, blobs, owner, folder: folder.to_owned() })
    }

    fn reader(&self) -> Result<MutexGuard<'_, Connection>, JournalError> {
        self.reader.lock()
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Says that this process carries out nothing any more.
    pub(crate) fn let_go(&self) {
        self.owner.let_go();
    }

    /// What a run was asked to do.
    pub(crate) fn submission(&self, run: &RunId) -> Result<Option<Submission>, JournalError> {
        read::submission(&*self.reader()?, &self.blobs, run)
    }

    /// Commands of other processes that nobody has answered: number, run, command.
    pub(crate) fn open_commands(&self) -> Result<Vec<(i64, String, String)>, JournalError> {
        let failed = || storage("reading commands failed");
        let reader = self.reader()?;
        let mut statement = reader
            .prepare_cached("SELECT id, run, body FROM controls WHERE answer IS NULL ORDER BY id")
            .map_err(failed())?;
        statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Runs without an end that no process carries out, oldest first; children left out unless their parent is over.
    pub(crate) fn unowned(&self) -> Result<Vec<RunId>, JournalError> {
        let found = read::unfinished(&*self.reader()?)?;
        let mut unowned = Vec::new();
        for (run, owner) in found {
            if owner.as_deref() != Some(self.owner.name()) && !Owner::is_alive(&self.folder, owner.as_deref())
            {
                unowned.push(run);
            }
        }
        Ok(unowned)
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn create(&self, run: &Arc<Submission>) -> Result<Created, JournalError> {
        let event = Event::Submitted(Box::new((**run).clone()));
        let first = chain::encode(&event)?;
        let mut end = chain::End::new(0, chain::start(&run.id));
        let (seq, hash) = end.add(run.at_ms, &first);
        let kept = self.blobs.put_large(&first)?;
        let kind = event.kind();
        let owner = self.owner.name().to_owned();
        let (id, at_ms, run) = (run.id.clone(), run.at_ms, Arc::clone(run));
        failpoint::pass("before create");
        let made = self
            .writer
            .exec(move |connection| {
                let key = run.idempotency_key.as_deref();
                let known: Option<String> = connection
                    .prepare_cached("SELECT id FROM runs WHERE id = ?1 OR idem_key = ?2")?
                    .query_row(params![run.id.as_str(), key], |row| row.get(0))
                    .optional()?;
                if let Some(known) = known {
                    return Ok(Err(known));
                }
                connection
                    .prepare_cached(
                        "INSERT INTO runs(id, workflow, version, target, status, parent, idem_key, priority, \
                         created_ms, updated_ms, owner, forked_from) \
                         VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?8, ?8, ?9, ?10)",
                    )?
                    .execute(params![
                        run.id.as_str(),
                        run.workflow,
                        run.version,
                        run.target.to_string(),
                        run.parent.as_ref().map(RunId::as_str),
                        key,
                        run.priority,
                        number(run.at_ms),
                        owner,
                        run.forked_from.as_ref().map(RunId::as_str),
                    ])?;
                let no = connection.last_insert_rowid();
                let row = log::Row { no, seq, at_ms, hash, step: None, kind, body: &kept };
                row.put(&mut log::Row::insert(connection)?)?;
                Ok(Ok(no))
            })
            .await?;
        failpoint::pass("after create");
        match made {
            Ok(no) => Ok(Created::New(Box::new(SqliteLog::new(self.writer.clone(), id, no, end)))),
            Err(known) => {
                let known = RunId::new(known)
                    .map_err(|error| JournalError::storage("reading a run failed", error))?;
                let first = {
                    let reader = self.reader()?;
                    read::submission(&reader, &self.blobs, &known)?
                };
                let same = first.as_ref().is_some_and(|first| match &event {
                    Event::Submitted(asked) => first.asks_the_same(asked),
                    _ => false,
                });
                Ok(Created::Exists { id: known, same })
            }
        }
    }

    async fn take(&self, run: &RunId) -> Result<Option<Taken>, JournalError> {
        let (folder, owner, id) = (self.folder.clone(), self.owner.name().to_owned(), run.clone());
        let now = self.owner.now_ms();
        failpoint::pass("before claim");
        let taken = self
            .writer
            .exec(move |connection| {
                let found: Option<(i64, Option<String>, String)> = connection
                    .prepare_cached("SELECT no, owner, status FROM runs WHERE id = ?1")?
                    .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .optional()?;
                let Some((no, before, status)) = found else { return Ok(None) };
                let over = crate::RunStatus::from_word(&status).is_some_and(crate::RunStatus::is_final);
                if !over && before.as_deref() != Some(&owner) && Owner::is_alive(&folder, before.as_deref()) {
                    return Ok(Some((no, Some(false))));
                }
                if over {
                    return Ok(Some((no, None)));
                }
                connection
                    .prepare_cached("UPDATE runs SET owner = ?2, updated_ms = ?3 WHERE no = ?1")?
                    .execute(params![no, owner, number(now)])?;
                Ok(Some((no, Some(true))))
            })
            .await?;
        let Some((no, claimed)) = taken else { return Ok(None) };
        if claimed == Some(false) {
            return Err(JournalError::Owned { run: run.clone() });
        }
        let (end, past) = {
            let reader = self.reader()?;
            let mut past = Building::of_events(read::length(&reader, no)?);
            let end = read::each(&reader, &self.blobs, no, run, |record: Record<Text>| past.add(record))?;
            (end, past)
        };
        let mut log = SqliteLog::new(self.writer.clone(), run.clone(), no, end);
        if claimed.is_some() {
            let event = Event::Claimed { owner: self.owner.name().to_owned() };
            super::RunLog::append(&mut log, now, &event).kept().await?;
            failpoint::pass("after claim");
        }
        Ok(Some(Taken { log: Box::new(log), past: past.done() }))
    }

    fn forget(&self, _: &RunId) {}

    async fn cached(&self, fp: &Fingerprint) -> Result<Option<Cached>, JournalError> {
        let reader = self.reader()?;
        read::cached(&reader, &self.blobs, fp)
    }

    fn cache(&self, fp: &Fingerprint, module: &str, result: Cached) {
        let Ok(body) = serde_json::to_vec(&result.value) else { return };
        let Ok(kept) = self.blobs.put_large(&body) else { return };
        let (fp, module) = (fp.as_str().to_owned(), module.to_owned());
        self.writer.exec_later(move |connection| {
            failpoint::pass("before cache");
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO cache(fp, module, body, blob, made_ms, cost_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    fp,
                    module,
                    kept.inline(),
                    kept.blob(),
                    number(result.made_ms),
                    number(result.cost_ms)
                ])?;
            failpoint::pass("after cache");
            Ok(())
        });
    }
}

/// SQLite's integers have a sign.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn storage(context: &str) -> impl FnOnce(rusqlite::Error) -> JournalError {
    let context = context.to_owned();
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => JournalError::Full,
        _ => JournalError::storage(context, error),
    }
}
