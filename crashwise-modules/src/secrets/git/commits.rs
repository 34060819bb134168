//! Which commits are looked at, the oldest first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use crashwise_core::{Gap, GapReason, ModuleContext, ModuleError};
use gix::ObjectId;
use gix::objs::{Kind, TreeRefIter};

use super::{Options, Repository};

/// The most commits of one repository.
const MAX_COMMITS: usize = 5_000_000;

/// Where a history begins to be read.
#[derive(Debug, Default)]
pub(super) struct Starts {
    commits: Vec<ObjectId>,
    /// What is reachable from these is left out.
    pub(super) hidden: Vec<ObjectId>,
    /// Trees and blobs that a reference names itself, with its name.
    pub(super) others: Vec<(ObjectId, String)>,
    /// Tags with a text of their own.
    pub(super) tags: Vec<ObjectId>,
}

/// A commit while the order is made.
#[derive(Debug)]
struct Node {
    id: ObjectId,
    seconds: i64,
    parents: Vec<ObjectId>,
}

impl Starts {
    /// The ends of the range, or what all references name.
    pub(super) fn find(
        cx: &ModuleContext,
        repository: &Repository,
        options: &Options,
    ) -> Result<Self, ModuleError> {
        let repo = repository.shared.to_thread_local();
        let mut starts = Self::default();
        if let Some(range) = &options.range {
            let bad = |text: &str| ModuleError::Config(format!("range {range:?}: {text}"));
            let resolve = |name: &str| {
                let name = if name.is_empty() { "HEAD" } else { name };
                repo.rev_parse_single(name)
                    .ok()
                    .and_then(|id| id.object().ok()?.peel_to_kind(Kind::Commit).ok())
                    .map(|commit| commit.id)
                    .ok_or_else(|| bad(&format!("there is no commit {name:?}")))
            };
            if range.contains("...") {
                return Err(bad("expected `a..b` or one revision"));
            }
            match range.split_once("..") {
                Some((from, to)) => {
                    starts.hidden.push(resolve(from)?);
                    starts.commits.push(resolve(to)?);
                }
                None => starts.commits.push(resolve(range)?),
            }
            return Ok(starts);
        }
        let broken = |what: &str, error: &dyn std::fmt::Display| cx.not_covered(repository.gap(what, error));
        match repo.references() {
            Ok(platform) => match platform.all() {
                Ok(references) => {
                    for reference in references {
                        match reference {
                            Ok(reference) => {
                                let name = reference.name().as_bstr().to_string();
                                let named = reference.try_id().map(gix::Id::detach);
                                match reference.into_fully_peeled_id().and_then(|id| id.object()) {
                                    Ok(object) => {
                                        starts.tags.extend(named.filter(|named| *named != object.id));
                                        starts.add(object.id, object.kind, name);
                                    }
                                    Err(error) => broken(&name, &error),
                                }
                            }
                            Err(error) => broken("a reference", &error),
                        }
                    }
                }
                Err(error) => broken("the references", &error),
            },
            Err(error) => broken("the references", &error),
        }
        // A detached head is named by no other reference.
        match repo.head().map(|head| head.id()) {
            Ok(Some(id)) => match id.object() {
                Ok(object) => starts.add(object.id, object.kind, "HEAD".to_owned()),
                Err(error) => broken("HEAD", &error),
            },
            Ok(None) => {}
            Err(error) => broken("HEAD", &error),
        }
        Ok(starts)
    }

    fn add(&mut self, id: ObjectId, kind: Kind, name: String) {
        match kind {
            Kind::Commit => self.commits.push(id),
            _ => self.others.push((id, name)),
        }
    }

    /// The commits, each after its parents, and otherwise the older first.
    pub(super) fn commits(
        &self,
        cx: &ModuleContext,
        repository: &Repository,
        options: &Options,
    ) -> Vec<ObjectId> {
        let hidden: HashMap<ObjectId, usize> = if self.hidden.is_empty() {
            HashMap::new()
        } else {
            reachable(cx, repository, &self.hidden, &HashMap::new()).1
        };
        let (mut nodes, mut places) = reachable(cx, repository, &self.commits, &hidden);
        if let Some(most) = options.max_commits.filter(|&most| most < nodes.len()) {
            nodes.sort_by_key(|node| (Reverse(node.seconds), node.id));
            cx.excluded("commits", (nodes.len() - most) as u64);
            nodes.truncate(most);
            places = nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
        }
        cx.covered("commits", nodes.len() as u64);
        in_order(&nodes, &places)
    }
}

/// The commits that can be reached without passing a hidden one, and their places.
fn reachable(
    cx: &ModuleContext,
    repository: &Repository,
    starts: &[ObjectId],
    hidden: &HashMap<ObjectId, usize>,
) -> (Vec<Node>, HashMap<ObjectId, usize>) {
    let repo = repository.shared.to_thread_local();
    let shallow: Vec<ObjectId> =
        repo.shallow_commits().ok().flatten().map(|cut| cut.iter().copied().collect()).unwrap_or_default();
    let mut nodes: Vec<Node> = Vec::new();
    let mut places: HashMap<ObjectId, usize> = HashMap::new();
    let mut open: Vec<ObjectId> = starts.to_vec();
    let mut buffer = Vec::new();
    while let Some(id) = open.pop() {
        if hidden.contains_key(&id) || places.contains_key(&id) || cx.is_cancelled() {
            continue;
        }
        if nodes.len() >= MAX_COMMITS {
            cx.not_covered(Gap::new(".git", GapReason::TooMany, format!("more than {MAX_COMMITS} commits")));
            break;
        }
        match node(&repo, id, &mut buffer) {
            Ok(mut node) => {
                if shallow.contains(&id) {
                    if !node.parents.is_empty() {
                        let detail = "the history is shallow: what is before this commit is not here";
                        cx.not_covered(Gap::new(format!("commit {id}"), GapReason::Vanished, detail));
                    }
                    node.parents.clear();
                }
                places.insert(id, nodes.len());
                open.extend(&node.parents);
                nodes.push(node);
            }
            Err(error) => {
                places.insert(id, usize::MAX);
                cx.not_covered(repository.gap(format!("commit {id}"), &error));
            }
        }
    }
    places.retain(|_, place| *place != usize::MAX);
    (nodes, places)
}

fn node(repo: &gix::Repository, id: ObjectId, buffer: &mut Vec<u8>) -> Result<Node, String> {
    use gix::objs::FindExt;
    guarded(|| {
        let commit = repo.objects.find_commit(&id, buffer).map_err(|error| error.to_string())?;
        let seconds = commit.committer().map_or(0, |committer| committer.seconds());
        Ok(Node { id, seconds, parents: commit.parents().collect() })
    })
}

/// What damaged data makes the decoder do is an error, a panic included.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("its data is damaged".to_owned()))
}

/// Parents before children, and of what is left the older first.
fn in_order(nodes: &[Node], places: &HashMap<ObjectId, usize>) -> Vec<ObjectId> {
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut waiting: Vec<usize> = vec![0; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for parent in node.parents.iter().filter_map(|parent| places.get(parent)) {
            children.entry(*parent).or_default().push(at);
            waiting[at] += 1;
        }
    }
    let key = |at: usize| Reverse((nodes[at].seconds, nodes[at].id, at));
    let mut ready: BinaryHeap<_> = (0..nodes.len()).filter(|&at| waiting[at] == 0).map(key).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse((_, id, at))) = ready.pop() {
        order.push(id);
        for child in children.remove(&at).unwrap_or_default() {
            waiting[child] -= 1;
            if waiting[child] == 0 {
                ready.push(key(child));
            }
        }
    }
    order
}

/// The tree of a commit. What the commit says is left in the buffer.
pub(super) fn tree_of(
    repo: &gix::Repository,
    commit: ObjectId,
    buffer: &mut Vec<u8>,
) -> Result<ObjectId, String> {
    use gix::objs::FindExt;
    guarded(|| {
        let commit = repo.objects.find_commit(&commit, buffer).map_err(|error| error.to_string())?;
        Ok(commit.tree())
    })
}

/// An entry of a tree: its name, its object, and whether that is a tree.
pub(super) type TreeEntry = (Vec<u8>, ObjectId, bool);

/// The files and folders of a tree that are wanted; submodules are none. Entries before a damaged one are kept.
pub(super) fn entries_of(
    repo: &gix::Repository,
    tree: ObjectId,
    buffer: &mut Vec<u8>,
    mut wants: impl FnMut(&gix::oid) -> bool,
) -> (Vec<TreeEntry>, Result<(), String>) {
    use gix::objs::FindExt;
    let mut entries = Vec::new();
    let read = guarded(|| {
        let tree: TreeRefIter<'_> =
            repo.objects.find_tree_iter(&tree, buffer).map_err(|error| error.to_string())?;
        for entry in tree {
            let entry = entry.map_err(|error| error.to_string())?;
            if !entry.mode.is_commit() && wants(entry.oid) {
                entries.push((entry.filename.to_vec(), entry.oid.to_owned(), entry.mode.is_tree()));
            }
        }
        Ok(())
    });
    (entries, read)
}
