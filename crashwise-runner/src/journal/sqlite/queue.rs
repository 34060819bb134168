//! What waits to be written, in order.

use super::JournalError;
use super::begins::{Begins, HELD, Watched};
use super::commit::Append;
use rusqlite::Connection;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most commands in one commit.
const BATCH: usize = 4096;

/// So many that somebody waits for are committed while what was before them is being synced. Fewer wait for the end of the
/// sync, because each commit writes pages that the next writes again.
const CHUNK: usize = 64;

/// How long events wait that nobody waits for.
const LINGER: Duration = Duration::from_millis(20);

pub(super) type Work = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;
pub(super) type Told = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// Something to be done in a commit.
pub(super) enum Command {
    Append(Box<Append>),
    Exec { work: Work, told: Option<Told> },
}

impl Command {
    pub(super) fn is_awaited(&self) -> bool {
        match self {
            Self::Append(append) => append.done.is_some(),
            Self::Exec { told, .. } => told.is_some(),
        }
    }
}

/// What waits to be written, in order, and the thread that waits for it.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// Locked before the state.
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct State {
    commands: Vec<Command>,
    /// How many of them somebody waits for.
    awaited: usize,
    /// Since when the first of them waits.
    since: Option<Instant>,
    /// When begins of steps that are held back are looked at, if there are any.
    look: Option<Instant>,
    thread: Thread,
    /// What was committed before is being synced.
    syncing: bool,
    ended: bool,
}

/// What the thread that commits is doing.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// It commits, or is about to look.
    #[default]
    Busy,
    /// It looks again soon, and at once for what somebody waits for.
    Dozes,
    /// It has to be woken for anything.
    Sleeps,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command at the end.
    pub(super) fn push(&self, command: Command) {
        let mut state = self.lock();
        if state.ended {
            // Who waits sees that its sender is gone.
            return;
        }
        state.add(command);
        self.wake_for(state);
    }

    /// Adds a command at the end and gives all there are, for who commits at once.
    pub(super) fn push_and_take(&self, command: Command) -> Vec<Command> {
        let mut state = self.lock();
        state.add(command);
        state.take_all()
    }

    /// Whether no command follows.
    pub(super) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// How many commands somebody waits for.
    pub(super) fn awaited(&self) -> usize {
        self.lock().awaited
    }

    /// Gives what waits, as many as go into one commit. Where somebody asks for something to be done, or nothing follows,
    /// with all begins of steps that are held back; else with those that have waited long enough.
    pub(super) fn take(&self) -> Vec<Command> {
        let (mut batch, all, due) = {
            let mut state = self.lock();
            let batch = state.take();
            let asked = batch.iter().any(|command| matches!(command, Command::Exec { told: Some(_), .. }));
            (batch, asked || state.ended, state.look.is_some_and(|look| look <= Instant::now()))
        };
        if all || due {
            let mut watched = self.watched();
            watched.release(all, &mut batch);
            self.lock().look = (!watched.is_empty()).then(|| Instant::now() + HELD);
        }
        batch
    }

    /// Has begins of steps that are held back looked at in time.
    pub(super) fn watch(&self, begins: Arc<Begins>) {
        let mut watched = self.watched();
        watched.add(begins);
        let mut state = self.lock();
        state.look.get_or_insert_with(|| Instant::now() + HELD);
        self.wake_for(state);
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was committed before is being synced.
    pub(super) fn is_syncing(&self) -> bool {
        self.lock().syncing
    }

    /// Says whether it is.
    pub(super) fn set_syncing(&self, syncing: bool) {
        let mut state = self.lock();
        state.syncing = syncing;
        if state.is_ripe() {
            self.wake_for(state);
        }
    }

    /// Puts commands back where they came from. The oldest waits since a moment.
    pub(super) fn put_back(&self, commands: Vec<Command>, since: Instant) {
        if commands.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.awaited += commands.iter().filter(|command| command.is_awaited()).count();
        state.since = Some(since);
        state.commands.splice(0..0, commands);
        self.wake_for(state);
    }

    /// Says that no command follows.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.thread = Thread::Busy;
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until there is something to be written now. `false` when there is nothing and nothing follows.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.lock();
        let mut in_vain = false;
        loop {
            if state.is_ripe() || state.ended {
                return !(state.ended && state.commands.is_empty() && state.look.is_none());
            }
            let left = state.left();
            if left == Some(Duration::ZERO) {
                return true;
            }
            if left.is_none() && in_vain {
                state.thread = Thread::Sleeps;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                in_vain = false;
            } else {
                // Steps that follow each other do not wake this thread at each begin.
                state.thread = Thread::Dozes;
                let waited = self.wake.wait_timeout(state, left.unwrap_or(LINGER));
                let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = woken;
                in_vain = left.is_none() && timeout.timed_out();
            }
            state.thread = Thread::Busy;
        }
    }

    fn wake_for(&self, mut state: MutexGuard<'_, State>) {
        let wakes = match state.thread {
            Thread::Busy => false,
            Thread::Dozes => state.is_ripe(),
            Thread::Sleeps => true,
        };
        if wakes {
            state.thread = Thread::Busy;
            drop(state);
            self.wake.notify_one();
        }
    }
}

impl State {
    /// Whether there is enough for a commit.
    fn is_ripe(&self) -> bool {
        let enough = if self.syncing { CHUNK } else { 1 };
        self.awaited >= enough || self.commands.len() >= BATCH
    }

    fn add(&mut self, command: Command) {
        self.awaited += usize::from(command.is_awaited());
        if self.commands.is_empty() {
            self.since = Some(Instant::now());
        }
        self.commands.push(command);
    }

    /// How long nothing has to be done, unless more comes; none for ever.
    fn left(&self) -> Option<Duration> {
        let linger = self.since.map(|since| LINGER.saturating_sub(since.elapsed()));
        let look = self.look.map(|look| look.saturating_duration_since(Instant::now()));
        linger.into_iter().chain(look).min()
    }

    fn take(&mut self) -> Vec<Command> {
        if self.commands.len() <= BATCH {
            return self.take_all();
        }
        let rest = self.commands.split_off(BATCH);
        self.awaited = rest.iter().filter(|command| command.is_awaited()).count();
        std::mem::replace(&mut self.commands, rest)
    }

    fn take_all(&mut self) -> Vec<Command> {
        self.awaited = 0;
        self.since = None;
        std::mem::take(&mut self.commands)
    }
}
