//! Who takes part in a pass.

use super::account::Account;
use super::ignores::FilePatterns;
use super::progress::Progress;
use super::visitor::Visitor;
use super::{Walk, WalkTotals};
use crashwise_core::{ModuleContext, ModuleError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// The most members of a pass.
pub(super) const MAX_MEMBERS: usize = 32;

/// Deadlines of steps that begin together differ by less.
const SAME_TIME: Duration = Duration::from_secs(1);

/// A visitor, borrowed for a pass of its own or shared with a pass of many.
pub(super) enum Seer<'v> {
    Lent(&'v dyn Visitor),
    Shared(Arc<dyn Visitor + Send>),
}

/// A visitor and what its walk asks for.
pub(super) struct Member<'v> {
    pub(super) cx: ModuleContext,
    seer: Seer<'v>,
    pub(super) include: FilePatterns,
    pub(super) exclude: FilePatterns,
    pub(super) decode: bool,
    pub(super) progress: Progress,
    /// What each thread did for it.
    accounts: Mutex<Vec<Arc<Mutex<Account>>>>,
    failure: Mutex<Option<ModuleError>>,
    left: AtomicBool,
    /// Held for reading while it sees a file.
    seeing: RwLock<()>,
}

impl<'v> Member<'v> {
    pub(super) fn new(walk: &Walk, cx: &ModuleContext, seer: Seer<'v>) -> Self {
        Self {
            cx: cx.clone(),
            seer,
            include: walk.include.clone(),
            exclude: walk.exclude.clone(),
            decode: walk.options.decode,
            progress: Progress::new(),
            accounts: Mutex::default(),
            failure: Mutex::default(),
            left: AtomicBool::new(false),
            seeing: RwLock::new(()),
        }
    }

    /// An account for one more thread.
    pub(super) fn open_account(&self) -> Arc<Mutex<Account>> {
        let account = Arc::<Mutex<Account>>::default();
        lock(&self.accounts).push(Arc::clone(&account));
        account
    }

    /// Whether an entry is left out by its patterns.
    pub(super) fn leaves_out(&self, path: &Path, is_folder: bool) -> bool {
        self.exclude.match_entry(path, is_folder)
            || !(is_folder || self.include.is_empty() || self.include.match_file(path))
    }

    /// Whether a folder, or one that it is in, is left out by its patterns.
    pub(super) fn leaves_out_folder(&self, path: &Path) -> bool {
        let mut above = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        above.any(|path| self.exclude.match_entry(path, true))
    }

    pub(super) fn visitor(&self) -> &dyn Visitor {
        match &self.seer {
            Seer::Lent(visitor) => *visitor,
            Seer::Shared(visitor) => &**visitor,
        }
    }

    /// Whether the deadlines of both are the same: in one pass nobody ends before the slowest.
    pub(super) fn ends_with(&self, other: &Self) -> bool {
        match (self.cx.deadline(), other.cx.deadline()) {
            (Some(own), Some(other)) => own.max(other).duration_since(own.min(other)) <= SAME_TIME,
            (own, other) => own == other,
        }
    }

    /// Whether it wants to see more.
    pub(super) fn is_active(&self) -> bool {
        !self.has_left() && !self.cx.is_cancelled() && lock(&self.failure).is_none()
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    pub(super) fn fail(&self, error: ModuleError) {
        lock(&self.failure).get_or_insert(error);
    }

    /// Lets it see something, unless it has left.
    pub(super) fn see<T>(&self, see: impl FnOnce(&dyn Visitor) -> T) -> Option<T> {
        let _seeing = self.seeing.read().unwrap_or_else(PoisonError::into_inner);
        (!self.has_left()).then(|| see(self.visitor()))
    }

    /// From here on it sees nothing; waits for what it sees now.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        drop(self.seeing.write());
    }

    /// Hands what was done for it to its context, once it has left.
    pub(super) fn settle(&self, done: &AtomicU64, is_whole: bool) -> Result<WalkTotals, ModuleError> {
        let mut all = Account::default();
        for account in lock(&self.accounts).drain(..) {
            all.merge(std::mem::take(&mut *lock(&account)));
        }
        self.cx.merge_coverage(all.into_coverage());
        let cancelled = self.cx.is_cancelled();
        let failure = lock(&self.failure).take();
        self.progress.finish(&self.cx, done, is_whole && !cancelled && failure.is_none());
        match failure {
            Some(error) => Err(error),
            None if !is_whole && !cancelled => Err(ModuleError::failed("a thread of the walk panicked")),
            None => Ok(self.progress.totals(cancelled)),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Members of a pass, by their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Members(u32);

impl Members {
    pub(super) fn add(&mut self, number: usize) {
        self.0 |= 1 << number;
    }

    /// The first ones.
    pub(super) fn first(count: usize) -> Self {
        (0..count.min(MAX_MEMBERS)).collect()
    }

    pub(super) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(super) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(super) fn has(self, number: usize) -> bool {
        self.0 >> number & 1 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        (0..MAX_MEMBERS).filter(move |number| self.has(*number))
    }
}

impl FromIterator<usize> for Members {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut members = Self::default();
        numbers.into_iter().for_each(|number| members.add(number));
        members
    }
}
