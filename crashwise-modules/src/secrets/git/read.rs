//! Blobs on several threads, in the order in which they lie in the packs.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crashwise_core::{Gap, GapReason, ModuleContext, RelPath};
use gix::ObjectId;
use gix::odb::pack::cache::lru::MemoryCappedHashmap;
use gix::odb::pack::index::File as Index;

use super::commits::guarded;
use super::{Options, Repository, See, Shown};
use crate::secrets::report::Origin;

/// Neighbours that one thread reads in a row, because they are often stored as differences to each other.
const RUN: usize = 64;
/// Memory for the bases of differences, over all threads.
const CACHE: usize = 48 << 20;

/// The most packs whose order is followed.
const MAX_INDEXES: usize = 50;

/// A blob that is to be read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: ObjectId,
    pub(super) path: RelPath,
    pub(super) commit: Option<ObjectId>,
    pub(super) order: usize,
    pub(super) in_head: bool,
}

/// Reads the blobs and shows each; returns how many were shown.
pub(super) fn read_all(
    cx: &ModuleContext,
    repository: &Repository,
    options: &Options,
    entries: &mut [Entry],
    see: See<'_>,
) -> u64 {
    sort_by_place(repository, entries);
    let entries = &*entries;
    let (next, shown) = (AtomicUsize::new(0), AtomicU64::new(0));
    let threads = options.threads.clamp(1, entries.len().div_ceil(RUN).max(1));
    let work = || {
        let mut repo = repository.shared.to_thread_local();
        let cache = CACHE / threads;
        repo.objects.set_pack_cache(move || Box::new(MemoryCappedHashmap::new(cache.max(1 << 20))));
        let mut buffer = Vec::new();
        loop {
            let start = next.fetch_add(RUN, Ordering::Relaxed);
            let Some(run) = entries.get(start..entries.len().min(start + RUN)) else { return };
            for entry in run {
                if cx.is_cancelled() {
                    return;
                }
                if read(cx, repository, &repo, options, entry, &mut buffer, see) {
                    shown.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let thread = std::thread::Builder::new().name("crashwise-blobs".into());
            if thread.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    shown.into_inner()
}

fn read(
    cx: &ModuleContext,
    repository: &Repository,
    repo: &gix::Repository,
    options: &Options,
    entry: &Entry,
    buffer: &mut Vec<u8>,
    see: See<'_>,
) -> bool {
    use gix::objs::FindExt;
    let what = || format!("{} (blob {})", entry.path, entry.id);
    let found =
        guarded(|| repo.objects.find_blob(&entry.id, buffer).map(|_| ()).map_err(|error| error.to_string()));
    if let Err(error) = found {
        cx.not_covered(repository.gap(what(), &error));
        return false;
    }
    if buffer.len() as u64 > options.max_object {
        let detail = format!("{} bytes, the limit is {}", buffer.len(), options.max_object);
        cx.not_covered(Gap::new(what(), GapReason::TooLarge, detail));
        return false;
    }
    let origin =
        Origin { order: entry.order, commit: entry.commit.map(|id| id.to_string()), in_head: entry.in_head };
    let bytes = &*buffer;
    let text = Shown { path: &entry.path, entry: None, bytes, origin: &origin };
    let shown = shown(cx, see, text, what);
    if buffer.capacity() > 4 << 20 {
        *buffer = Vec::new();
    }
    shown
}

/// Shows a text; no where the scan panicked, which leaves a gap.
pub(super) fn shown(cx: &ModuleContext, see: See<'_>, text: Shown<'_>, what: impl Fn() -> String) -> bool {
    let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| see(text))).is_ok();
    if !shown {
        cx.not_covered(Gap::new(what(), GapReason::Panicked, ""));
    }
    shown
}

/// Sorts by pack and offset; what is in no pack comes last, by name. An order is all that is lost where an index cannot be
/// read.
fn sort_by_place(repository: &Repository, entries: &mut [Entry]) {
    let indexes = indexes(repository);
    entries.sort_by_cached_key(|entry| {
        let place = indexes.iter().enumerate().find_map(|(pack, index)| {
            let offset = guarded(|| Ok(index.lookup(entry.id).map(|at| index.pack_offset_at_index(at))));
            Some((pack, offset.ok()??))
        });
        (place.unwrap_or((usize::MAX, 0)), entry.id)
    });
}

/// The indexes of the packs, which tell where an object is without reading it; the larger packs first.
fn indexes(repository: &Repository) -> Vec<Index> {
    let folder = repository.shared.objects_dir().join("pack");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "idx"))
        .filter_map(|entry| Some((Reverse(entry.metadata().ok()?.len()), entry.path())))
        .collect();
    files.sort_unstable();
    let hash = repository.shared.to_thread_local().object_hash();
    let open = |(_, path)| guarded(|| Index::at(path, hash).map_err(|error| error.to_string())).ok();
    files.into_iter().take(MAX_INDEXES).filter_map(open).collect()
}
