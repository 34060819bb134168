//! What is staged for the next commit: the index against `HEAD`.

use std::collections::HashMap;
use std::path::PathBuf;

use crashwise_core::{Gap, GapReason, ModuleContext, ModuleError, RelPath};
use gix::ObjectId;

use super::commits::{entries_of, guarded};
use super::read::Entry;
use super::{Options, Repository};

/// The largest index that is read, in bytes.
const MAX_INDEX: u64 = 1 << 30;
/// The most files of `HEAD` that are compared.
const MAX_FILES: usize = 5_000_000;

/// The blobs that are new in the index, and those that they replace.
pub(super) fn changes(
    cx: &ModuleContext,
    repository: &Repository,
    options: &Options,
) -> Result<(Vec<Entry>, Vec<Entry>), ModuleError> {
    let committed = files_of_head(cx, repository)?;
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (path, id) in files_of_index(repository, options)? {
        let before = committed.get(&path);
        if before == Some(&id) {
            continue;
        }
        let Ok(rel) = RelPath::new(&path) else {
            let detail = "its name cannot be part of a path";
            cx.not_covered(Gap::new(path, GapReason::Unsupported, detail));
            continue;
        };
        if !options.admits(&rel) {
            cx.excluded("files", 1);
            continue;
        }
        if let Some(&id) = before {
            old.push(Entry { id, path: rel.clone(), commit: None, order: 0, in_head: true });
        }
        new.push(Entry { id, path: rel, commit: None, order: 0, in_head: false });
    }
    Ok((new, old))
}

/// Path and blob of each file of the index; more than one of a path that is in conflict.
fn files_of_index(
    repository: &Repository,
    options: &Options,
) -> Result<Vec<(String, ObjectId)>, ModuleError> {
    let repo = repository.shared.to_thread_local();
    let file = index_file(repository, options)?;
    let size = match std::fs::metadata(&file) {
        Ok(metadata) => metadata.len(),
        // Nothing was ever staged.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ModuleError::failed_to("reading the index failed", error)),
    };
    if size > MAX_INDEX {
        return Err(ModuleError::failed(format!("the index has {size} bytes, the limit is {MAX_INDEX}")));
    }
    let index = guarded(|| {
        gix::index::File::at(file, repo.object_hash(), false, gix::index::decode::Options::default())
            .map_err(|error| error.to_string())
    })
    .map_err(|error| ModuleError::failed(format!("reading the index failed: {error}")))?;
    Ok(index
        .entries()
        .iter()
        .filter(|entry| !entry.mode.is_submodule() && !entry.mode.is_sparse())
        .filter(|entry| !entry.flags.contains(gix::index::entry::Flags::INTENT_TO_ADD))
        .map(|entry| (entry.path(&index).to_string(), entry.id))
        .collect())
}

/// The index of the worktree, or the one that git made for the commit under way, which is beside it.
fn index_file(repository: &Repository, options: &Options) -> Result<PathBuf, ModuleError> {
    let Some(name) = &options.index_file else { return Ok(repository.own.join("index")) };
    let outside = || ModuleError::Config(format!("index file {name:?} is not inside of the repository"));
    let base = repository.own.parent().unwrap_or(&repository.own);
    let file = base.join(name).canonicalize().map_err(|_| outside())?;
    if file.starts_with(&repository.own) { Ok(file) } else { Err(outside()) }
}

/// Path to blob of each file of `HEAD`; nothing before the first commit.
fn files_of_head(
    cx: &ModuleContext,
    repository: &Repository,
) -> Result<HashMap<String, ObjectId>, ModuleError> {
    let repo = repository.shared.to_thread_local();
    let mut files = HashMap::new();
    let head = guarded(|| repo.head().map_err(|error| error.to_string()).map(|head| head.is_unborn()))
        .map_err(|error| ModuleError::failed(format!("reading HEAD failed: {error}")))?;
    if head {
        return Ok(files);
    }
    let tree = guarded(|| repo.head_tree_id().map(gix::Id::detach).map_err(|error| error.to_string()))
        .map_err(|error| ModuleError::failed(format!("reading HEAD failed: {error}")))?;
    let mut buffer = Vec::new();
    let mut open = vec![(tree, String::new(), 0)];
    while let Some((tree, folder, depth)) = open.pop() {
        let (entries, read) = entries_of(&repo, tree, &mut buffer, |_| true);
        if let Err(error) = read {
            // A file that cannot be compared counts as new.
            cx.not_covered(repository.gap(format!("tree {tree}"), &error));
        }
        for (name, id, is_tree) in entries {
            let name = String::from_utf8_lossy(&name);
            let path = if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") };
            if is_tree && depth < 200 {
                open.push((id, path, depth + 1));
            } else if files.len() < MAX_FILES {
                files.insert(path, id);
            }
        }
        if files.len() >= MAX_FILES {
            let detail = format!("more than {MAX_FILES} files in HEAD: the rest counts as new");
            cx.not_covered(Gap::new("HEAD", GapReason::TooMany, detail));
            break;
        }
    }
    Ok(files)
}
