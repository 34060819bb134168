//! What a process that carries out runs does on the side: it obeys commands of other processes and shows them the latest
//! statistics.

use super::core::Core;
use super::live::Control;
use crate::failpoint;
use crate::journal::sqlite::SqliteJournal;
use crate::store::Answer;
use crashwise_core::{RunId, Stats, StatsCallback, StatsEvent};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often commands of other processes are looked for.
const COMMANDS: Duration = Duration::from_millis(50);

/// How often statistics are written.
const STATISTICS: Duration = Duration::from_millis(250);

/// The latest statistics that have not been written yet: one per run and step, however fast they come.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    waiting: Mutex<BTreeMap<(RunId, String), (u64, Stats)>>,
}

impl Latest {
    /// The most steps of which statistics wait.
    const MOST: usize = 10_000;

    fn take(&self) -> BTreeMap<(RunId, String), (u64, Stats)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gives statistics to [`Latest`].
#[derive(Debug)]
pub(crate) struct ToLatest(pub(crate) Arc<Latest>, pub(crate) super::Clock);

impl StatsCallback for ToLatest {
    fn on_stats(&self, event: &StatsEvent) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < Latest::MOST {
            let key = (event.run_id.clone(), event.step.clone());
            waiting.insert(key, (self.1.now_ms(), event.stats.clone()));
        }
    }
}

/// Starts the thread when it has something to do for the first time: a run that is over sooner needs none. It ends with the
/// runner.
pub(crate) fn start(core: &Arc<Core>, journal: &Arc<SqliteJournal>, latest: Arc<Latest>) {
    let closing = core.closing.clone();
    let (core_later, journal) = (Arc::downgrade(core), Arc::downgrade(journal));
    core.shards.spawn(move || {
        Box::pin(async move {
            // Without the thread other processes are not heard, so it is tried again.
            while closing.run_until_cancelled(tokio::time::sleep(COMMANDS)).await.is_some() {
                let (core, journal, latest) = (core_later.clone(), journal.clone(), Arc::clone(&latest));
                let thread = std::thread::Builder::new().name("crashwise-keeper".into());
                if thread.spawn(move || keep(&core, &journal, &latest)).is_ok() {
                    return;
                }
            }
        })
    });
}

fn keep(core: &Weak<Core>, journal: &Weak<SqliteJournal>, latest: &Latest) {
    let mut busy = BTreeSet::new();
    let mut last = Instant::now();
    while let (Some(core), Some(journal)) = (core.upgrade(), journal.upgrade()) {
        if core.closing.is_cancelled() {
            write(&journal, latest);
            return;
        }
        obey(&core, &journal, &mut busy);
        if last.elapsed() >= STATISTICS {
            write(&journal, latest);
            last = Instant::now();
        }
        drop((core, journal));
        std::thread::sleep(COMMANDS);
    }
}

fn obey(core: &Arc<Core>, journal: &Arc<SqliteJournal>, busy: &mut BTreeSet<i64>) {
    // A journal that cannot be read now is read next time; the runs themselves say so if it stays so.
    let Ok(commands) = journal.open_commands() else { return };
    let open: BTreeSet<i64> = commands.iter().map(|(row, ..)| *row).collect();
    busy.retain(|row| open.contains(row));
    for (row, run, body) in commands {
        let Some(live) = RunId::new(run).ok().and_then(|run| core.find(&run)) else { continue };
        if !busy.insert(row) {
            continue;
        }
        let journal = Arc::clone(journal);
        core.pool.handle().spawn(async move {
            let result = match serde_json::from_str::<Control>(&body) {
                Ok(control) => live.control(control).await,
                Err(error) => Err(crate::RunnerError::storage("the command cannot be read", error)),
            };
            if matches!(result, Err(crate::RunnerError::Closed)) {
                // The next process that takes the run finds the command.
                return;
            }
            failpoint::pass("before answer");
            let answer = serde_json::to_string(&Answer::of(&result)).unwrap_or_default();
            journal.writer().exec_later(move |connection| {
                connection
                    .prepare_cached("UPDATE controls SET answer = ?2 WHERE id = ?1")?
                    .execute(params![row, answer])?;
                failpoint::pass("after answer");
                Ok(())
            });
        });
    }
}

fn write(journal: &SqliteJournal, latest: &Latest) {
    let rows: Vec<(String, String, i64, String)> = latest
        .take()
        .into_iter()
        .filter_map(|((run, step), (at_ms, stats))| {
            let body = serde_json::to_string(&stats).ok()?;
            Some((run.to_string(), step, i64::try_from(at_ms).unwrap_or(i64::MAX), body))
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    journal.writer().exec_later(move |connection| {
        let mut statement = connection
            .prepare_cached("INSERT OR REPLACE INTO stats(run, step, at_ms, body) VALUES (?1, ?2, ?3, ?4)")?;
        rows.iter().try_for_each(|(run, step, at_ms, body)| {
            statement.execute(params![run, step, at_ms, body]).map(drop)
        })
    });
}
