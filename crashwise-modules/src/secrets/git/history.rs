//! Each blob of the history once, with the first commit that holds it.

use std::collections::HashSet;

use crashwise_core::{Gap, GapReason, ModuleContext, ModuleError, RelPath, Stats};
use gix::ObjectId;
use gix::odb::pack::cache::lru::MemoryCappedHashmap;

use super::commits::{Starts, entries_of, guarded, tree_of};
use super::read::{Entry, read_all, shown};
use super::{Options, Repository, See, Shown};
use crate::secrets::report::Origin;

/// Blobs that are read together.
const BATCH: usize = 32 << 10;
/// Memory for the bases of trees that are stored as differences.
const TREE_CACHE: usize = 24 << 20;
/// The deepest folder of a tree.
const MAX_DEPTH: usize = 200;
/// The longest path in bytes.
const MAX_PATH: usize = 8192;
/// The most bytes looked at of what a commit says.
const MAX_MESSAGE: usize = 4 << 20;
/// The most entries of trees that are looked at.
const MAX_ENTRIES: usize = 500_000_000;

pub(super) fn run(
    cx: &ModuleContext,
    repository: &Repository,
    options: &Options,
    see: See<'_>,
) -> Result<(), ModuleError> {
    let starts = Starts::find(cx, repository, options)?;
    let commits = starts.commits(cx, repository, options);
    let mut walk = Walk::new(cx, repository, options, see);
    let head = walk.repo.head_tree_id().map(gix::Id::detach).ok();
    walk.in_head = head.map(|tree| walk.blobs_of(tree)).unwrap_or_default();
    for &commit in &starts.hidden {
        // What was there before the range is not new in it.
        match tree_of(&walk.repo, commit, &mut walk.buffer) {
            Ok(tree) => {
                let known = walk.blobs_of(tree);
                walk.blobs_seen.extend(known);
            }
            Err(error) => cx.not_covered(repository.gap(format!("commit {commit}"), &error)),
        }
    }
    let started = std::time::Instant::now();
    for (number, &commit) in commits.iter().enumerate() {
        if cx.is_cancelled() {
            cx.not_covered(Gap::new(".git", GapReason::Cancelled, "the rest of the history"));
            return Ok(());
        }
        match tree_of(&walk.repo, commit, &mut walk.buffer) {
            Ok(tree) => {
                walk.own_text("commit", commit, Some(commit));
                walk.tree(tree, Some(commit), "");
            }
            Err(error) => cx.not_covered(repository.gap(format!("commit {commit}"), &error)),
        }
        if walk.batch.len() >= BATCH {
            walk.flush();
            #[expect(clippy::cast_precision_loss, reason = "a percentage")]
            let share = number as f64 / commits.len() as f64 * 100.0;
            cx.stats(Stats::ScanProgress {
                files_scanned: walk.blobs,
                vulnerabilities_found: 0,
                scan_percentage: share,
                current_file: format!("commit {commit}"),
                elapsed_time: started.elapsed().as_secs(),
            });
        }
    }
    for (id, name) in &starts.others {
        walk.other(*id, name);
    }
    for &id in &starts.tags {
        walk.tag(id);
    }
    walk.flush();
    cx.covered("blobs", walk.blobs);
    Ok(())
}

struct Walk<'w> {
    cx: &'w ModuleContext,
    repository: &'w Repository,
    repo: gix::Repository,
    options: &'w Options,
    see: See<'w>,
    buffer: Vec<u8>,
    /// Trees that were entered, and the paths under which, where those matter.
    trees: HashSet<ObjectId>,
    trees_at: HashSet<(ObjectId, String)>,
    blobs_seen: HashSet<ObjectId>,
    in_head: HashSet<ObjectId>,
    batch: Vec<Entry>,
    blobs: u64,
    order: usize,
    entries_left: usize,
    /// Stands for the repository itself.
    repository_path: RelPath,
}

impl<'w> Walk<'w> {
    fn new(cx: &'w ModuleContext, repository: &'w Repository, options: &'w Options, see: See<'w>) -> Self {
        let mut repo = repository.shared.to_thread_local();
        // Trees are read in the order of commits, not in that of the pack.
        repo.objects.set_pack_cache(|| Box::new(MemoryCappedHashmap::new(TREE_CACHE)));
        Self {
            cx,
            repository,
            repo,
            options,
            see,
            buffer: Vec::new(),
            trees: HashSet::new(),
            trees_at: HashSet::new(),
            blobs_seen: HashSet::new(),
            in_head: HashSet::new(),
            batch: Vec::new(),
            blobs: 0,
            order: 0,
            entries_left: MAX_ENTRIES,
            repository_path: RelPath::new(".git").expect("a path of our own"),
        }
    }

    /// The blobs of a tree. What cannot be read of it is named when a commit with it is looked at.
    fn blobs_of(&mut self, root: ObjectId) -> HashSet<ObjectId> {
        let (mut open, mut seen, mut blobs) = (vec![root], HashSet::new(), HashSet::new());
        while let Some(tree) = open.pop() {
            if !seen.insert(tree) {
                continue;
            }
            for (_, id, is_tree) in entries_of(&self.repo, tree, &mut self.buffer, |_| true).0 {
                if is_tree {
                    open.push(id);
                } else {
                    blobs.insert(id);
                }
            }
        }
        blobs
    }

    /// Queues the blobs of a tree that were not seen before.
    fn tree(&mut self, root: ObjectId, commit: Option<ObjectId>, path: &str) {
        let order = self.order;
        self.order += 1;
        let mut open = vec![(root, path.to_owned(), 0)];
        while let Some((tree, path, depth)) = open.pop() {
            // What was seen is no news, unless it is asked for under another path.
            let admits_all = self.options.admits_all();
            let is_new =
                if admits_all { self.trees.insert(tree) } else { self.trees_at.insert((tree, path.clone())) };
            if !is_new {
                continue;
            }
            let (blobs, trees) = (&self.blobs_seen, &self.trees);
            let mut count = 0;
            let (entries, read) = entries_of(&self.repo, tree, &mut self.buffer, |id| {
                count += 1;
                !(admits_all && (blobs.contains(id) || trees.contains(id)))
            });
            if let Err(error) = read {
                self.cx.not_covered(self.repository.gap(format!("tree {tree}"), &error));
            }
            if count > self.entries_left {
                let detail = format!("more than {MAX_ENTRIES} entries of trees");
                self.cx.not_covered(Gap::new(".git", GapReason::TooMany, detail));
                return;
            }
            self.entries_left -= count;
            for (name, id, is_tree) in entries {
                let name = String::from_utf8_lossy(&name);
                let path = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
                if is_tree {
                    if depth >= MAX_DEPTH || path.len() > MAX_PATH {
                        let detail = format!("deeper than {MAX_DEPTH} folders");
                        self.cx.not_covered(Gap::new(format!("tree {id}"), GapReason::TooDeep, detail));
                    } else {
                        open.push((id, path, depth + 1));
                    }
                } else {
                    self.blob(id, &path, commit, order);
                }
            }
        }
    }

    fn blob(&mut self, id: ObjectId, path: &str, commit: Option<ObjectId>, order: usize) {
        let Ok(path) = RelPath::new(path) else {
            let detail = "its name cannot be part of a path";
            return self.cx.not_covered(Gap::new(format!("blob {id}"), GapReason::Unsupported, detail));
        };
        if self.options.admits(&path) && self.blobs_seen.insert(id) {
            self.batch.push(Entry { id, path, commit, order, in_head: self.in_head.contains(&id) });
        }
    }

    /// A tree or a blob that a reference names without a commit.
    fn other(&mut self, id: ObjectId, name: &str) {
        match self.repo.find_header(id).map(|header| header.kind()) {
            Ok(gix::objs::Kind::Tree) => self.tree(id, None, ""),
            Ok(gix::objs::Kind::Blob) => self.blob(id, name, None, self.order),
            Ok(_) => {}
            Err(error) => self.cx.not_covered(self.repository.gap(name, &error)),
        }
    }

    /// A tag that has a text: what somebody wrote when it was made.
    fn tag(&mut self, id: ObjectId) {
        use gix::objs::FindExt;
        let read = guarded(|| {
            let tag = self.repo.objects.find_tag(&id, &mut self.buffer).map_err(|error| error.to_string())?;
            Ok((tag.target_kind == gix::objs::Kind::Commit).then(|| tag.target()))
        });
        match read {
            Ok(commit) => self.own_text("tag", id, commit),
            Err(error) => self.cx.not_covered(self.repository.gap(format!("tag {id}"), &error)),
        }
    }

    /// Shows what a commit or a tag says: who made it and the message, which the buffer holds.
    fn own_text(&mut self, kind: &str, id: ObjectId, commit: Option<ObjectId>) {
        if !self.options.include.is_empty() {
            return;
        }
        // The ids in front are nobody's text.
        let start = [b"\nauthor ".as_slice(), b"\ntagger ", b"\n\n"]
            .iter()
            .find_map(|mark| memchr::memmem::find(&self.buffer, mark));
        let Some(bytes) = start.and_then(|start| self.buffer.get(start + 1..)) else { return };
        let bytes = &bytes[..bytes.len().min(MAX_MESSAGE)];
        let name = format!("{kind} {id}");
        let origin = Origin { order: self.order, commit: commit.map(|id| id.to_string()), in_head: false };
        let text = Shown { path: &self.repository_path, entry: Some(&name), bytes, origin: &origin };
        shown(self.cx, self.see, text, || name.clone());
        if self.buffer.len() > MAX_MESSAGE {
            let detail = format!("its text is longer than {MAX_MESSAGE} bytes");
            self.cx.not_covered(Gap::new(name, GapReason::TooLarge, detail));
        }
    }

    fn flush(&mut self) {
        self.blobs += read_all(self.cx, self.repository, self.options, &mut self.batch, self.see);
        self.batch.clear();
    }
}
