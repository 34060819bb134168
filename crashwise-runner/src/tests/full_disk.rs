//! A disk that is full for a while.

use super::submission;
use crate::RunStore;
use crate::journal::sqlite::{Durability, SqliteJournal};
use crate::journal::{Created, Event, Journal, JournalError};
use std::time::Duration;

fn event(n: u64) -> Event {
    Event::Signalled { name: "n".into(), value: format!("{n} {}", "x".repeat(500)).into() }
}

async fn limit(journal: &SqliteJournal, pages: u32) {
    journal
        .writer()
        .exec(move |connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_there_and_writing_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path(), Durability::Sync).unwrap();
    journal.writer().set_patience(Duration::from_millis(60));
    let run = submission();
    let id = run.id.clone();
    let Ok(Created::New(mut log)) = journal.create(&std::sync::Arc::new(run)).await else {
        panic!("a new run")
    };
    limit(&journal, 40).await;
    let mut kept = 0;
    let error = loop {
        match log.append(2, &event(kept)).kept().await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 10_000, "the disk is never full");
    };
    assert!(matches!(error, JournalError::Full), "{error:?}");
    assert!(kept > 10);
    // Nothing may follow an event that is missing, room or no room.
    limit(&journal, 1_000_000).await;
    assert!(log.append(3, &event(kept + 1)).kept().await.is_err());
    drop(log);
    let records = || RunStore::open(folder.path()).unwrap().records(&id).unwrap().1;
    let mut log = journal.take(&id).await.unwrap().unwrap().log;
    let there = records().len() as u64;
    assert_eq!(there, kept + 2, "all acknowledged events, no other but that it was taken");
    log.append(4, &event(kept)).kept().await.unwrap();
    let values = records().iter().filter(|record| matches!(record.event, Event::Signalled { .. })).count();
    assert_eq!(values as u64, kept + 1);
}

#[tokio::test]
async fn a_short_shortage_is_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path(), Durability::Relaxed).unwrap();
    let Ok(Created::New(mut log)) = journal.create(&std::sync::Arc::new(submission())).await else {
        panic!("a new run")
    };
    limit(&journal, 30).await;
    let mut n = 0;
    let waiting = loop {
        let mut ack = Box::pin(log.append(2, &event(n)).kept());
        n += 1;
        match tokio::time::timeout(Duration::from_millis(300), &mut ack).await {
            Ok(result) => result.unwrap(),
            Err(_) => break ack,
        }
    };
    // The size of a database file is what limits it here; a second connection makes room in it.
    let other = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    other.execute_batch("DELETE FROM events WHERE seq % 2 = 0").unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_run_taken_over_is_written_by_the_new_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (
        SqliteJournal::open(folder.path(), Durability::Relaxed).unwrap(),
        SqliteJournal::open(folder.path(), Durability::Relaxed).unwrap(),
    );
    let run = submission();
    let id = run.id.clone();
    let Ok(Created::New(mut log)) = one.create(&std::sync::Arc::new(run)).await else { panic!("a new run") };
    assert!(matches!(two.take(&id).await, Err(JournalError::Owned { .. })));
    assert_eq!(two.unowned().unwrap(), []);
    // A process that lost its lock and does not know it.
    one.let_go();
    assert_eq!(two.unowned().unwrap(), std::slice::from_ref(&id));
    let mut taken = two.take(&id).await.unwrap().unwrap().log;
    let refused = log.append(2, &event(1)).kept().await;
    assert!(matches!(refused, Err(JournalError::Fenced { .. })), "{refused:?}");
    taken.append(2, &event(2)).kept().await.unwrap();
    assert!(log.append(2, &event(3)).kept().await.is_err());
    assert!(matches!(one.take(&id).await, Err(JournalError::Owned { .. })));
}
