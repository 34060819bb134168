//! Carries out attempts of steps on a worker.

use super::messages::{KeepTask, PAGE, PAYLOAD, Place, Pulse, RecallTask, StepDone, StepNotDone};
use super::rooms::{Guest, Room, Rooms};
use crate::CacheHit;
use crate::engine::{after, millis};
use crate::executor::{
    Attempt, Beat, Finished, Stage, Work, WorkspaceSource, cache_key, earlier, first_beat,
};
use crate::results::ResultStore;
use crashwise_core::store::{Store, StoreError, StoreErrorKind};
use crashwise_core::workflow::{RunInfo, StepErrorKind, StepFailure};
use crashwise_core::{
    CancellationToken, CoverageStatus, Fingerprint, ModuleOutput, RelPath, RunId, Span, Stats, StatsEvent,
    StatsFeed, Workspace, error_chain,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;

/// The most bytes of a stored result of a step.
const CACHED: u64 = 16 << 20;

/// Where a worker carries out steps.
pub(crate) struct Shop {
    store: Store,
    workspaces: Arc<dyn WorkspaceSource>,
    rooms: Rooms,
    newest: Arc<Newest>,
    stats: StatsFeed,
    pool: Handle,
    /// Fires when what still runs is handed back, because the worker stops.
    closing: CancellationToken,
    require_sandbox: bool,
}

/// The newest statistics of the steps that run.
#[derive(Default)]
struct Newest(Mutex<HashMap<(RunId, String), Stats>>);

struct ToNewest(Arc<Newest>);

impl crashwise_core::StatsCallback for ToNewest {
    fn on_stats(&self, event: &StatsEvent) {
        let key = (event.run_id.clone(), event.step.clone());
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, event.stats.clone());
    }
}

/// One attempt of a step.
pub(crate) struct StepTask {
    place: Place,
    work: Work,
    attempt: u32,
    guest: Guest,
    beat: Beat,
    pub(crate) cached: bool,
    pub(crate) scheduled: Option<SystemTime>,
    /// What the last heartbeat of an earlier attempt said.
    pub(crate) heartbeat: Option<Value>,
    pub(crate) cancel: CancellationToken,
}

/// Where the newest of a step is read.
pub(crate) struct PulseSource {
    key: (RunId, String),
    beat: Beat,
    newest: Arc<Newest>,
    room: Arc<Room>,
}

impl PulseSource {
    /// Takes over what is new. What is said of files is said when they are in the store.
    pub(crate) async fn take(&self, last: &mut Pulse) {
        let details = self.beat.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        if details.is_some()
            && details != last.details
            && details.as_ref().is_none_or(|details| details.to_string().len() <= PAGE)
            && self.room.remote.upload_fresh(&self.room.results).await.is_ok()
        {
            last.details = details;
        }
        let newest = self.newest.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stats) = newest.get(&self.key) {
            last.stats = Some(stats.clone());
        }
    }
}

impl Drop for PulseSource {
    fn drop(&mut self) {
        self.newest.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A result of a step that other runs may use.
#[derive(Serialize, Deserialize)]
struct Kept {
    root: RunId,
    output: ModuleOutput,
    made_ms: u64,
    cost_ms: u64,
}

impl Shop {
    pub(crate) fn new(
        store: Store,
        workspaces: Arc<dyn WorkspaceSource>,
        pool: Handle,
        closing: CancellationToken,
    ) -> std::io::Result<Self> {
        let newest = Arc::new(Newest::default());
        let stats = StatsFeed::new(ToNewest(Arc::clone(&newest)))?;
        let rooms = Rooms::default();
        Ok(Self { store, workspaces, rooms, newest, stats, pool, closing, require_sandbox: false })
    }

    /// Sets whether all steps are carried out as if their runs required a whole sandbox.
    pub(crate) fn requiring_sandbox(self, require_sandbox: bool) -> Self {
        Self { require_sandbox, ..self }
    }

    pub(crate) fn task(&self, mut place: Place, work: Work, attempt: u32) -> StepTask {
        place.require_sandbox |= self.require_sandbox;
        StepTask {
            guest: self.rooms.enter(&place, &self.store, &self.workspaces),
            place,
            work,
            attempt,
            beat: first_beat(),
            cached: false,
            scheduled: None,
            heartbeat: None,
            cancel: CancellationToken::new(),
        }
    }

    pub(crate) fn pulse(&self, task: &StepTask) -> PulseSource {
        PulseSource {
            key: (task.place.run.clone(), task.place.step.as_str().to_owned()),
            beat: Arc::clone(&task.beat),
            newest: Arc::clone(&self.newest),
            room: Arc::clone(&task.guest.0),
        }
    }

    /// Keeps something of a run in the store. The end of the run is kept last.
    pub(crate) async fn keep(&self, task: &KeepTask) -> Result<(), StepFailure> {
        let name = RelPath::new(&task.name).map_err(|error| StepFailure::fatal(error.to_string()))?;
        let bytes = serde_json::to_vec(&task.content)?;
        self.store.put_result(&task.run, &name, bytes).await.map_err(|error| {
            // Whatever ails the store: a run must not end without its record.
            StepFailure::new(StepErrorKind::Transient, error_chain(&error))
        })?;
        if task.name == super::RECORD {
            self.rooms.leave(&task.run);
        }
        Ok(())
    }

    /// What was kept of a run in the store.
    pub(crate) async fn recall(&self, task: &RecallTask) -> Result<Value, StepFailure> {
        let name = RelPath::new(&task.name).map_err(|error| StepFailure::fatal(error.to_string()))?;
        let bytes = self.store.result(&task.run, &name, CACHED).await.map_err(|error| {
            let text = error_chain(&error);
            if error.kind() == StoreErrorKind::NotFound {
                StepFailure::fatal(format!("what the run takes over is not in the store any more: {text}"))
            } else {
                StepFailure::new(StepErrorKind::Transient, text)
            }
        })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StepFailure::fatal(format!("{} cannot be read: {error}", task.name)))
    }

    /// Carries out an attempt and keeps what it leaves in the store.
    pub(crate) async fn carry_out(&self, task: StepTask) -> Result<StepDone, StepNotDone> {
        let StepTask { place, work, attempt, guest, beat, cached, scheduled, heartbeat, cancel } = task;
        let room = &*guest.0;
        let stage = RoomStage {
            shop: self,
            room,
            info: Arc::new(RunInfo::new(place.run.clone(), &*place.workflow)),
            place: &place,
            away: AtomicBool::new(false),
        };
        let began = Instant::now();
        let key = match &work {
            Work::Module(module, config) if cached && !place.require_sandbox => {
                cache_key(&place.step, module, config, room.content(), &*self.workspaces).await
            }
            _ => None,
        };
        if let Some(key) = &key
            && let Some(done) = self.cached(room, key).await
        {
            return Ok(done);
        }
        let info = work.info(&stage);
        let spent = scheduled.and_then(|since| since.elapsed().ok()).unwrap_or_default();
        let left = place.total_timeout.map(|total| total.saturating_sub(spent));
        let whole = left.or_else(|| (place.cleanup && place.timeout.is_none()).then_some(CLEANUP));
        let (limit, last) = (place.timeout.and_then(after), whole.and_then(after));
        let attempting = Attempt {
            stage: &stage,
            key: &place.step,
            number: attempt,
            info: &info,
            stop: &cancel,
            limit: earlier(limit, last),
            limit_text: limit_text(&place, limit, last).into(),
            silence: place.silence,
            heartbeat,
            beat,
        };
        let Finished { result, found, .. } = attempting.carry_out(&work).await;
        let handed_back = self.closing.is_cancelled();
        let away = stage.away.load(Ordering::Acquire);
        let failure = match result {
            Ok(summary) => {
                let mut output = found;
                output.summary = summary;
                let done = self.hand_in(room, output, attempt).await?;
                if let Some(key) = key {
                    self.keep_for_others(room, &key, &done, began.elapsed()).await;
                }
                return Ok(done);
            }
            Err(failure) => failure,
        };
        let again = away || (handed_back && failure.kind() == StepErrorKind::Cancelled);
        let mut not_done = StepNotDone { attempts: attempt, again, ..failure.into() };
        if work.is_module() {
            not_done.version.clone_from(&info.version);
        }
        if found.findings.is_some()
            || !found.artifacts.is_empty()
            || found.coverage != crashwise_core::Coverage::new()
        {
            not_done.partial = self.hand_in(room, found, attempt).await.ok().map(Box::new);
        }
        Err(not_done)
    }

    /// Uploads the files of an output, and what of it is too large to travel.
    async fn hand_in(
        &self,
        room: &Room,
        output: ModuleOutput,
        attempts: u32,
    ) -> Result<StepDone, StepNotDone> {
        let (results, remote) = (&room.results, &room.remote);
        let lost = |error: &StoreError| StepNotDone {
            kind: StepErrorKind::Storage,
            message: format!("keeping the results failed: {}", error_chain(error)),
            attempts,
            version: String::new(),
            again: error.is_retryable(),
            partial: None,
        };
        remote.upload(results, &output).await.map_err(|error| lost(&error))?;
        let mut done = StepDone { output, attempts, whole: None, cached: None };
        let large = |done: &StepDone| serde_json::to_vec(done).map_or(usize::MAX, |json| json.len());
        if large(&done) <= PAGE {
            return Ok(done);
        }
        let fatal = |message: String| StepNotDone::from(StepFailure::new(StepErrorKind::Storage, message));
        let json = serde_json::to_vec(&done.output).map_err(|error| fatal(error.to_string()))?;
        let whole = results.put("output.json", &mut &json[..]).map_err(|error| fatal(error.to_string()))?;
        remote.upload_fresh(results).await.map_err(|error| lost(&error))?;
        done.whole = Some(whole);
        done.output.coverage.gaps.truncate(100);
        done.output.artifacts.truncate(100);
        let bytes = large(&done);
        if bytes <= PAYLOAD / 2 {
            return Ok(done);
        }
        let message = format!(
            "its output has {bytes} bytes, and Temporal carries {}: keep it as an artifact",
            PAYLOAD / 2
        );
        Err(StepNotDone { attempts, ..StepFailure::new(StepErrorKind::Unsupported, message).into() })
    }

    /// The result of another run, if its files are all there. A cache that cannot be read is an empty one.
    async fn cached(&self, room: &Room, key: &Fingerprint) -> Option<StepDone> {
        let bytes = self.store.cached(&cache_name(key)?, CACHED).await.ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        for file in kept.output.findings.iter().chain(&kept.output.artifacts) {
            room.remote.download(&room.results, file, &kept.root).await.ok()?;
        }
        let mut done = self.hand_in(room, kept.output, 0).await.ok()?;
        done.cached = Some(CacheHit::new(kept.made_ms, kept.cost_ms));
        Some(done)
    }

    /// Keeps a result for other runs, if it covers all that it should. One that cannot be kept is made again.
    async fn keep_for_others(&self, room: &Room, key: &Fingerprint, done: &StepDone, cost: Duration) {
        if done.output.coverage.status != CoverageStatus::Complete || done.whole.is_some() {
            return;
        }
        let made_ms = UNIX_EPOCH.elapsed().map_or(0, millis);
        let kept = Kept {
            root: room.remote.root().clone(),
            output: done.output.clone(),
            made_ms,
            cost_ms: millis(cost),
        };
        if let (Some(name), Ok(json)) = (cache_name(key), serde_json::to_vec(&kept)) {
            let _ = self.store.put_cached(&name, json).await;
        }
    }
}

/// The most time for a piece of cleanup that has no limit of its own.
const CLEANUP: Duration = Duration::from_mins(1);

fn cache_name(key: &Fingerprint) -> Option<RelPath> {
    RelPath::new(format!("steps/{key}.json")).ok()
}

fn limit_text(place: &Place, limit: Option<Instant>, last: Option<Instant>) -> String {
    match (place.timeout, place.total_timeout) {
        (_, Some(whole)) if last.is_some_and(|last| limit.is_none_or(|limit| last <= limit)) => {
            format!("not done within {}", Span::new(whole))
        }
        (Some(attempt), _) => format!("not done within {}", Span::new(attempt)),
        _ => "not done within the limit for cleanup".to_owned(),
    }
}

/// The room of a run as the executor of attempts sees it.
struct RoomStage<'a> {
    shop: &'a Shop,
    room: &'a Room,
    info: Arc<RunInfo>,
    place: &'a Place,
    /// Whether the store was away when the tree was to be made.
    away: AtomicBool,
}

impl Stage for RoomStage<'_> {
    fn results(&self) -> &ResultStore {
        &self.room.results
    }

    fn stats(&self) -> &StatsFeed {
        &self.shop.stats
    }

    fn info(&self) -> &Arc<RunInfo> {
        &self.info
    }

    fn workflow_version(&self) -> &str {
        &self.place.workflow_version
    }

    fn project(&self) -> String {
        self.place.project.clone()
    }

    fn requires_sandbox(&self) -> bool {
        self.place.require_sandbox
    }

    fn pool(&self) -> &Handle {
        &self.shop.pool
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn why_stopped(&self) -> &'static str {
        if self.shop.closing.is_cancelled() { "its worker is stopping" } else { "" }
    }

    async fn workspace(&self) -> Result<Workspace, StepFailure> {
        let made = self.room.workspace().await;
        if let Err(failure) = &made
            && failure.kind() == StepErrorKind::Transient
        {
            self.away.store(true, Ordering::Release);
        }
        made
    }
}
