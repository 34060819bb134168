//! One pass over a tree, for one walk or for several that run at once.
//!
//! A walk may join a pass that has just begun. The first folders that a pass enters are remembered; one that joins gets
//! those again, for itself alone, and from there on sees what the others see. So each walk shows its visitor every file
//! once and notes the same gaps, alone or not.

use super::folder::Folder;
use super::ignores::Ignores;
use super::member::{MAX_MEMBERS, Member, Members, Seer, lock};
use super::progress::Share;
use super::queue::Queue;
use super::worker::Worker;
use super::{Visitor, Walk, WalkOptions, WalkTotals};
use crashwise_core::{ModuleContext, ModuleError};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::Builder;

/// Folders after which nobody may join. Their descriptors are kept until then.
const EARLY: usize = 32;

/// What threads are called.
const THREAD: &str = "crashwise-walk";

/// The passes of this process that walks may join.
static JOINABLE: Mutex<Vec<Weak<Pass<'static>>>> = Mutex::new(Vec::new());

pub(super) struct Pass<'v> {
    pub(super) root: PathBuf,
    pub(super) canonical_root: PathBuf,
    pub(super) options: WalkOptions,
    pub(super) queue: Queue<Task>,
    pub(super) entries_left: AtomicUsize,
    /// How much of the whole is done, in units of [`Share::ALL`].
    pub(super) done: AtomicU64,
    /// Whether threads may yet be started to help.
    may_call: AtomicBool,
    state: Mutex<State<'v>>,
    #[cfg(test)]
    pub(super) fault: Option<fn(&str) -> Option<std::io::Error>>,
}

struct State<'v> {
    members: Vec<Arc<Member<'v>>>,
    /// What one that joins has missed; none once nobody may join.
    early: Option<Early>,
}

/// The folders taken from the queue so far.
#[derive(Default)]
struct Early {
    entered: Vec<FolderTask>,
    /// Those that concerned nobody.
    skipped: Vec<FolderTask>,
}

pub(super) enum Task {
    Folder(FolderTask),
    Files { folder: Arc<Folder>, path: Arc<Path>, files: Vec<(OsString, Members)>, share: Share },
}

#[derive(Clone)]
pub(super) struct FolderTask {
    /// An open folder, and the name of the one in it that is to be opened; none for itself.
    pub(super) place: (Arc<Folder>, Option<OsString>),
    /// Below the workspace.
    pub(super) path: PathBuf,
    pub(super) ignores: Option<Arc<Ignores>>,
    pub(super) depth: usize,
    pub(super) share: Share,
    pub(super) audience: Audience,
}

/// Whom a folder concerns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Audience {
    /// All but those of the first `known` members that leave it out. Of later ones that was not asked yet.
    All { known: usize, left_out: Members },
    /// One that joined when the folder had been entered. What is below has been entered, or waits in the queue.
    Late(usize),
}

impl FolderTask {
    /// Whether the folder was entered before.
    pub(super) fn is_again(&self) -> bool {
        matches!(self.audience, Audience::Late(_))
    }
}

impl<'v> Pass<'v> {
    /// A pass with its first member.
    pub(super) fn new(walk: &Walk, first: Arc<Member<'v>>) -> Result<Self, ModuleError> {
        let root = Folder::root(&walk.root).map_err(|error| {
            ModuleError::failed_to(format!("opening workspace {} failed", walk.root.display()), error)
        })?;
        let task = Task::Folder(FolderTask {
            place: (Arc::new(root), None),
            path: PathBuf::new(),
            ignores: None,
            depth: 1,
            share: Share::ALL,
            audience: Audience::All { known: 1, left_out: Members::default() },
        });
        Ok(Self {
            canonical_root: walk.root.canonicalize().unwrap_or_else(|_| walk.root.clone()),
            root: walk.root.clone(),
            options: walk.options.clone(),
            queue: Queue::new(task),
            entries_left: AtomicUsize::new(walk.options.max_entries),
            done: AtomicU64::new(0),
            may_call: AtomicBool::new(walk.options.thread_count() > 1),
            state: Mutex::new(State { members: vec![first], early: None }),
            #[cfg(test)]
            fault: walk.fault,
        })
    }

    /// Works for the pass until the member has seen everything or leaves, and says what the walk did. `call` starts the
    /// threads that help, once there is work for them: a small tree is seen sooner than a thread is started.
    fn attend(&self, member: &Member<'v>, call: impl Fn()) -> Result<WalkTotals, ModuleError> {
        Worker::new(self, Some(&call)).work(|| member.is_active());
        member.leave();
        let is_whole = self.queue.is_finished();
        if lock(&self.state).members.iter().all(|member| member.has_left()) {
            self.queue.stop();
        }
        member.settle(&self.done, is_whole)
    }

    /// Whether it is up to the caller to start the threads that help.
    pub(super) fn take_call(&self) -> bool {
        self.may_call.swap(false, Ordering::Relaxed)
    }

    /// The members after the `known` first ones.
    pub(super) fn members_after(&self, known: usize) -> Vec<Arc<Member<'v>>> {
        lock(&self.state).members[known..].to_vec()
    }

    /// Enters a folder: gives the members that are new to a thread that knows the first ones, and whom of all of them the
    /// folder concerns.
    pub(super) fn enter(
        &self,
        task: &FolderTask,
        known: &[Arc<Member<'v>>],
    ) -> (Vec<Arc<Member<'v>>>, Members) {
        let mut state = lock(&self.state);
        let new = state.members[known.len()..].to_vec();
        let concerned = known.iter().chain(&new).enumerate().filter(|(number, member)| {
            let is_concerned = match task.audience {
                Audience::Late(only) if *number != only => false,
                Audience::All { known, left_out } if *number < known => !left_out.has(*number),
                Audience::Late(_) | Audience::All { .. } => !member.leaves_out_folder(&task.path),
            };
            is_concerned && member.is_active()
        });
        let concerned: Members = concerned.map(|(number, _)| number).collect();
        if let Some(early) = state.early.as_mut().filter(|_| !task.is_again()) {
            let taken = if concerned.is_empty() { &mut early.skipped } else { &mut early.entered };
            taken.push(task.clone());
            if early.entered.len() + early.skipped.len() > EARLY {
                state.early = None;
            }
        }
        drop(state);
        (new, concerned)
    }

    /// Whether others may join.
    pub(super) fn is_early(&self) -> bool {
        lock(&self.state).early.is_some()
    }

    fn join(&self, member: &Arc<Member<'v>>) -> bool {
        let mut state = lock(&self.state);
        let number = state.members.len();
        let fits = number < MAX_MEMBERS && state.members[0].ends_with(member);
        let Some(early) = state.early.as_mut().filter(|_| fits) else { return false };
        let again = early.entered.iter().map(|task| FolderTask {
            audience: Audience::Late(number),
            share: Share::NONE,
            ..task.clone()
        });
        let skipped = early.skipped.iter().map(|task| FolderTask { share: Share::NONE, ..task.clone() });
        let joined = self.queue.push_unless_over(again.chain(skipped).map(Task::Folder));
        if joined {
            early.skipped.clear();
            state.members.push(Arc::clone(member));
        }
        joined
    }

    /// Whether a walk may look at the same files at the same time.
    fn suits(&self, walk: &Walk) -> bool {
        let (own, other) = (&self.options, &walk.options);
        self.root == walk.root
            && own.ignore_files == other.ignore_files
            && own.vcs_folders == other.vcs_folders
            && own.max_file_size == other.max_file_size
            && own.max_depth == other.max_depth
            && own.max_entries == other.max_entries
    }
}

/// Shows a visitor a tree.
pub(super) fn alone(
    walk: &Walk,
    cx: &ModuleContext,
    visitor: &dyn Visitor,
) -> Result<WalkTotals, ModuleError> {
    let member = Arc::new(Member::new(walk, cx, Seer::Lent(visitor)));
    let pass = Pass::new(walk, Arc::clone(&member))?;
    let pass = &pass;
    std::thread::scope(|scope| {
        pass.attend(&member, || {
            call(walk, |thread| thread.spawn_scoped(scope, || Worker::new(pass, None).work(|| true)).is_ok());
        })
    })
}

/// Shows a visitor a tree, together with those that look at the same tree already where there are any.
pub(super) fn together(
    walk: &Walk,
    cx: &ModuleContext,
    visitor: Arc<dyn Visitor + Send>,
) -> Result<WalkTotals, ModuleError> {
    let member = Arc::new(Member::new(walk, cx, Seer::Shared(visitor)));
    let pass = {
        let mut passes = lock(&JOINABLE);
        let found =
            passes.iter().filter_map(Weak::upgrade).find(|pass| pass.suits(walk) && pass.join(&member));
        if let Some(pass) = found {
            drop(passes);
            return pass.attend(&member, || help(walk, &pass));
        }
        let pass = Arc::new(Pass::new(walk, Arc::clone(&member))?);
        lock(&pass.state).early = Some(Early::default());
        passes.retain(|pass| pass.upgrade().is_some_and(|pass| pass.is_early()));
        passes.push(Arc::downgrade(&pass));
        pass
    };
    pass.attend(&member, || help(walk, &pass))
}

fn help(walk: &Walk, pass: &Arc<Pass<'static>>) {
    call(walk, |thread| {
        let own = Arc::clone(pass);
        thread.spawn(move || Worker::new(&own, None).work(|| true)).is_ok()
    });
}

/// Starts threads beside the one that calls. With fewer than asked for the walk takes longer, and that is all.
fn call(walk: &Walk, start: impl Fn(Builder) -> bool) {
    let mut others = 1..walk.options.thread_count();
    while others.next().is_some() && start(Builder::new().name(THREAD.into())) {}
}
