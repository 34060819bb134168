//! The database file: its format, its settings, and what is refused.

use super::{Durability, JournalError, storage};
use crate::failpoint;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// `CWJ1` in the header of the file.
const APPLICATION_ID: i32 = 0x4357_4A31;

/// The format that is written.
pub(crate) const FORMAT: u32 = 1;

/// The name of the database in a state folder.
pub(crate) const FILE: &str = "journal.db";

const TABLES: &str = "
CREATE TABLE runs(
  no INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  workflow TEXT NOT NULL,
  version TEXT NOT NULL,
  target TEXT NOT NULL,
  status TEXT NOT NULL,
  parent TEXT,
  forked_from TEXT,
  idem_key TEXT UNIQUE,
  priority INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  owner TEXT,
  error TEXT
);
CREATE INDEX runs_status ON runs(status, created_ms);
CREATE INDEX runs_parent ON runs(parent) WHERE parent IS NOT NULL;
CREATE TABLE events(
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  step TEXT,
  body BLOB,
  blob TEXT,
  hash BLOB NOT NULL
);
CREATE UNIQUE INDEX events_run ON events(run, seq);
CREATE TABLE controls(
  id INTEGER PRIMARY KEY,
  run TEXT NOT NULL,
  body TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  answer TEXT
);
CREATE INDEX controls_open ON controls(run) WHERE answer IS NULL;
CREATE TABLE cache(
  fp TEXT PRIMARY KEY,
  module TEXT NOT NULL,
  body BLOB,
  blob TEXT,
  made_ms INTEGER NOT NULL,
  cost_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE stats(
  run TEXT NOT NULL,
  step TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY(run, step)
) WITHOUT ROWID;
";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write(Durability),
}

/// Opens the database of a state folder. Only a writer makes one that is not there.
pub(crate) fn open(folder: &Path, access: Access) -> Result<Connection, JournalError> {
    let path = folder.join(FILE);
    let failed = format!("opening {} failed", path.display());
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if let Access::Write(_) = access {
        fs::create_dir_all(folder).map_err(|error| JournalError::storage(failed.as_str(), error))?;
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else {
        flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    }
    let mut connection = Connection::open_with_flags(&path, flags).map_err(storage(&failed))?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(storage(&failed))?;
    connection.set_prepared_statement_cache_capacity(64);
    check(&mut connection, &path, access).map_err(|error| match error {
        Problem::Refused(error) => error,
        Problem::Sqlite(error) => match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => {
                JournalError::Foreign { path: path.clone(), problem: "it is not a database".to_owned() }
            }
            _ => storage(&failed)(error),
        },
    })?;
    Ok(connection)
}

enum Problem {
    Refused(JournalError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn check(connection: &mut Connection, path: &Path, access: Access) -> Result<(), Problem> {
    // Looks only, until it is known whose file this is.
    let (mut application, mut format, mut objects) = identity(connection)?;
    let refuse = |problem: String| Problem::Refused(JournalError::Foreign { path: path.to_owned(), problem });
    if application == 0 && format == 0 && objects == 0 {
        let Access::Write(_) = access else {
            return Err(refuse("it is empty".to_owned()));
        };
        // Two processes may get here at once; the second finds the tables made.
        failpoint::pass("before tables");
        connection.pragma_update(None, "journal_mode", "wal")?;
        let making = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if identity(&making)?.2 == 0 {
            making.execute_batch(TABLES)?;
            failpoint::pass("within tables");
            making.pragma_update(None, "application_id", APPLICATION_ID)?;
            making.pragma_update(None, "user_version", FORMAT)?;
        }
        making.commit()?;
        failpoint::pass("after tables");
        (application, format, objects) = identity(connection)?;
    }
    if application != APPLICATION_ID {
        return Err(refuse(format!(
            "it is a database of another program, with {objects} tables and indexes"
        )));
    }
    if format > FORMAT {
        let error = JournalError::Newer { path: path.to_owned(), found: format, known: FORMAT };
        return Err(Problem::Refused(error));
    }
    if format == 0 {
        return Err(refuse("it has no format number".to_owned()));
    }
    if let Access::Write(durability) = access {
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(refuse(format!("it cannot be written ahead of: its journal mode stays {mode}")));
        }
        let level = if durability == Durability::Sync { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", level)?;
        // SQLite takes any word and stays silent, so what it took is read back.
        let took: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let expect = if durability == Durability::Sync { 2 } else { 1 };
        if took != expect {
            return Err(refuse(format!("it does not take synchronous = {level}")));
        }
        connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
        // The log stays when the last connection is closed: the next run goes on writing it.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    Ok(())
}

fn identity(connection: &Connection) -> rusqlite::Result<(i32, u32, i64)> {
    let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok((application, format, objects))
}
