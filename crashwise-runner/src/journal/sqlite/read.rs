//! Reading runs back, with their chain checked.

use super::blobs::Blobs;
use super::chain::{self, End, Hash};
use super::{JournalError, storage};
use crate::journal::{Cached, Event, Payload, Record, Submission};
use crashwise_core::{Fingerprint, RunId};
use rusqlite::{Connection, OptionalExtension, Row};
use std::borrow::Cow;

/// What happened in a run, in order, and the hash of the last event. The chain is checked: what is not as it was written
/// is an error.
pub(crate) fn records(
    connection: &Connection,
    blobs: &Blobs,
    no: i64,
    run: &RunId,
) -> Result<(Vec<Record>, Hash), JournalError> {
    let mut records = Vec::new();
    let end = each(connection, blobs, no, run, |record| records.push(record))?;
    Ok((records, end.hash()))
}

/// Goes through the events of a run, with their chain checked; gives the end of the chain.
pub(crate) fn each<V: Payload>(
    connection: &Connection,
    blobs: &Blobs,
    no: i64,
    run: &RunId,
    mut take: impl FnMut(Record<V>),
) -> Result<End, JournalError> {
    let failed = || storage("reading the journal failed");
    let mut statement = connection
        .prepare_cached("SELECT seq, at_ms, body, blob, hash FROM events WHERE run = ?1 ORDER BY seq")
        .map_err(failed())?;
    let mut rows = statement.query([no]).map_err(failed())?;
    let mut end = End::new(0, chain::start(run));
    while let Some(row) = rows.next().map_err(failed())? {
        let Raw { seq, at_ms, body, blob, hash } = raw(row).map_err(failed())?;
        let corrupt = |problem: String| JournalError::Corrupt { run: run.clone(), seq, problem };
        let body = match (body, blob) {
            (Some(body), None) => Cow::Borrowed(body),
            (None, Some(name)) => blobs
                .read(name)
                .map(Cow::Owned)
                .map_err(|problem| corrupt(format!("its payload cannot be read: {problem}")))?,
            _ => return Err(corrupt("it has no content".to_owned())),
        };
        let (expected, told) = end.add(at_ms, &body);
        if seq != expected {
            return Err(corrupt("an event before it is missing".to_owned()));
        }
        if hash != told {
            return Err(corrupt("its content or its place is not what was written".to_owned()));
        }
        let event = Event::decode(&body)
            .map_err(|error| corrupt(format!("it is not an event that this version knows: {error}")))?;
        take(Record { seq, at_ms, event });
    }
    Ok(end)
}

/// How many events a run has, should none be missing.
pub(crate) fn length(connection: &Connection, no: i64) -> Result<u64, JournalError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(seq) FROM events WHERE run = ?1")
        .and_then(|mut statement| statement.query_row([no], |row| row.get(0)))
        .map_err(storage("reading the journal failed"))?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

/// A row of the table of events.
struct Raw<'r> {
    seq: u64,
    at_ms: u64,
    body: Option<&'r [u8]>,
    blob: Option<&'r str>,
    hash: &'r [u8],
}

fn raw<'r>(row: &'r Row<'_>) -> rusqlite::Result<Raw<'r>> {
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(Raw {
        seq: unsigned(row.get(0)?),
        at_ms: unsigned(row.get(1)?),
        body: row.get_ref(2)?.as_blob_or_null()?,
        blob: row.get_ref(3)?.as_str_or_null()?,
        hash: row.get_ref(4)?.as_blob()?,
    })
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
    let mut rows = statement.query([no]).map_err(storage("reading the journal failed"))?;
    if let Some(row) = rows.next().map_err(storage("reading the journal failed"))? {
        let Raw { seq, body, blob, .. } = raw(row).map_err(storage("reading the journal failed"))?;
        let corrupt = |problem: String| JournalError::Corrupt { run: run.clone(), seq, problem };
        let body = match (body, blob) {
            (Some(body), _) => Cow::Borrowed(body),
            (None, Some(name)) => Cow::Owned(blobs.read(name).map_err(corrupt)?),
            (None, None) => return Err(corrupt("it has no content".to_owned())),
        };
        match serde_json::from_slice::<Event>(&body) {
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
