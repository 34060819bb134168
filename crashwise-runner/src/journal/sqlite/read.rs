//! Reading runs back, with their chain checked.

use super::blobs::Blobs;
use super::chain::{self, Hash};
use super::{JournalError, storage};
use crate::journal::{Cached, Event, Record, Submission};
use crashwise_core::{Fingerprint, RunId};
use rusqlite::{Connection, OptionalExtension, Row};

/// What happened in a run, in order, and the hash of the last event. The chain is checked: what is not as it was written
/// is an error.
pub(crate) fn records(
    connection: &Connection,
    blobs: &Blobs,
    no: i64,
    run: &RunId,
) -> Result<(Vec<Record>, Hash), JournalError> {
    let mut hash = chain::start(run);
    let mut records = Vec::new();
    each(connection, blobs, no, run, |seq, at_ms, body, stored| {
        hash = chain::next(&hash, seq, at_ms, &body);
        let corrupt =
            |problem: &str| JournalError::Corrupt { run: run.clone(), seq, problem: problem.to_owned() };
        if seq != records.len() as u64 + 1 {
            return Err(corrupt("an event before it is missing"));
        }
        if stored != hash {
            return Err(corrupt("its content or its place is not what was written"));
        }
        let event = Event::decode(&body)
            .map_err(|error| corrupt(&format!("it is not an event that this version knows: {error}")))?;
        records.push(Record { seq, at_ms, event });
        Ok(())
    })?;
    Ok((records, hash))
}

/// Goes through the events of a run: number, time, content, hash.
pub(crate) fn each(
    connection: &Connection,
    blobs: &Blobs,
    no: i64,
    run: &RunId,
    mut take: impl FnMut(u64, u64, Vec<u8>, Vec<u8>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let failed = || storage("reading the journal failed");
    let mut statement = connection
        .prepare_cached("SELECT seq, at_ms, body, blob, hash FROM events WHERE run = ?1 ORDER BY seq")
        .map_err(failed())?;
    let mut rows = statement.query([no]).map_err(failed())?;
    while let Some(row) = rows.next().map_err(failed())? {
        let (seq, at_ms, body, blob, hash) = raw(row).map_err(failed())?;
        let body = match (body, blob) {
            (Some(body), None) => body,
            (None, Some(name)) => blobs.read(&name).map_err(|problem| JournalError::Corrupt {
                run: run.clone(),
                seq,
                problem: format!("its payload cannot be read: {problem}"),
            })?,
            _ => {
                let problem = "it has no content".to_owned();
                return Err(JournalError::Corrupt { run: run.clone(), seq, problem });
            }
        };
        take(seq, at_ms, body, hash)?;
    }
    Ok(())
}

type Raw = (u64, u64, Option<Vec<u8>>, Option<String>, Vec<u8>);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok((unsigned(row.get(0)?), unsigned(row.get(1)?), row.get(2)?, row.get(3)?, row.get(4)?))
}

/// What a run was asked to do.
pub(crate) fn submission(
    connection: &Connection,
    blobs: &Blobs,
    run: &RunId,
) -> Result<Option<Submission>, JournalError> {
    let Some(no) = number_of(connection, run)? else { return Ok(None) };
    let mut first = None;
    let mut statement = connection
        .prepare_cached("SELECT seq, at_ms, body, blob, hash FROM events WHERE run = ?1 AND seq = 1")
        .map_err(storage("reading the journal failed"))?;
    let row = statement.query_row([no], raw).optional().map_err(storage("reading the journal failed"))?;
    if let Some((seq, _, body, blob, _)) = row {
        let corrupt = |problem: String| JournalError::Corrupt { run: run.clone(), seq, problem };
        let body = match (body, blob) {
            (Some(body), _) => body,
            (None, Some(name)) => blobs.read(&name).map_err(corrupt)?,
            (None, None) => return Err(corrupt("it has no content".to_owned())),
        };
        match serde_json::from_slice(&body) {
            Ok(Event::Submitted(submission)) => first = Some(*submission),
            Ok(_) => return Err(corrupt("it is not the request for the run".to_owned())),
            Err(error) => return Err(corrupt(error.to_string())),
        }
    }
    Ok(first)
}

pub(crate) fn number_of(connection: &Connection, run: &RunId) -> Result<Option<i64>, JournalError> {
    connection
        .prepare_cached("SELECT no FROM runs WHERE id = ?1")
        .and_then(|mut statement| statement.query_row([run.as_str()], |row| row.get(0)).optional())
        .map_err(storage("reading the journal failed"))
}

/// Runs without an end and who carries them out; of children only those whose parent has ended.
pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<(RunId, Option<String>)>, JournalError> {
    let failed = || storage("reading the journal failed");
    let mut statement = connection
        .prepare(
            "SELECT id, owner FROM runs AS run WHERE status IN ('pending', 'running', 'paused') AND \
             (parent IS NULL OR NOT EXISTS (SELECT 1 FROM runs AS above WHERE above.id = run.parent AND \
             above.status IN ('pending', 'running', 'paused'))) ORDER BY no",
        )
        .map_err(failed())?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
        .map_err(failed())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(failed())?;
    rows.into_iter()
        .map(|(id, owner)| {
            let id = RunId::new(id).map_err(|error| JournalError::storage("reading a run failed", error))?;
            Ok((id, owner))
        })
        .collect()
}

/// The result that any run has for a step. One that cannot be read is none.
pub(crate) fn cached(
    connection: &Connection,
    blobs: &Blobs,
    fp: &Fingerprint,
) -> Result<Option<Cached>, JournalError> {
    type Found = (Option<Vec<u8>>, Option<String>, i64, i64);
    let found: Option<Found> = connection
        .prepare_cached("SELECT body, blob, made_ms, cost_ms FROM cache WHERE fp = ?1")
        .and_then(|mut statement| {
            statement
                .query_row([fp.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .optional()
        })
        .map_err(storage("reading the cache failed"))?;
    let Some((body, blob, made_ms, cost_ms)) = found else { return Ok(None) };
    let body = match (body, blob) {
        (Some(body), _) => Some(body),
        (None, Some(name)) => blobs.read(&name).ok(),
        (None, None) => None,
    };
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(body.and_then(|body| serde_json::from_slice(&body).ok()).map(|value| Cached {
        value,
        made_ms: unsigned(made_ms),
        cost_ms: unsigned(cost_ms),
    }))
}
