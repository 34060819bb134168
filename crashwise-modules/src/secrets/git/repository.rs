//! Opens a repository without leaving the workspace.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crashwise_core::{Gap, GapReason};

use crate::secrets::report::Commit;

/// The most bytes read of a file that holds a path.
const MAX_LINK: u64 = 4096;
/// What is read in the folder of a repository, besides `sharedindex.*`.
const READ: [&str; 10] = [
    "HEAD",
    "commondir",
    "config",
    "config.worktree",
    "gitdir",
    "index",
    "objects",
    "packed-refs",
    "refs",
    "shallow",
];
/// The least memory that decoding one object may take.
const LEAST_OBJECT: u64 = 64 << 20;

/// An open repository.
pub(in crate::secrets) struct Repository {
    pub(super) shared: gix::ThreadSafeRepository,
    /// The folder of the index, `HEAD` and what else belongs to one worktree.
    pub(super) own: PathBuf,
    root: String,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("own", &self.own).finish_non_exhaustive()
    }
}

/// Why there is no repository to look at.
#[derive(Debug, thiserror::Error)]
pub(in crate::secrets) enum OpenError {
    #[error("there is no git repository in the root of the target")]
    Missing,
    #[error("{0} lies outside of the target")]
    Outside(&'static str),
    #[error("the repository borrows objects from another one (objects/info/alternates)")]
    Alternates,
    #[error("{0} in the repository is no file of its own, but a pipe, a device or a link to a folder")]
    NotAFile(String),
    #[error("the repository cannot be read")]
    Io(#[from] std::io::Error),
    #[error("the repository cannot be opened: {0}")]
    Git(String),
}

impl Repository {
    /// Opens the repository whose worktree is `root`, or that `root` is. `max_object` bounds the memory for one object.
    pub(in crate::secrets) fn open(root: &Path, max_object: u64) -> Result<Self, OpenError> {
        let root = root.canonicalize()?;
        let (own, common) = folders(&root)?;
        check_files(&own, &common)?;
        let limit = max_object.max(LEAST_OBJECT);
        let options =
            gix::open::Options::isolated().open_path_as_is(true).strict_config(false).config_overrides([
                format!("gitoxide.objects.allocLimit={limit}"),
                "core.commitGraph=false".to_owned(),
            ]);
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| options.open(own.clone())));
        let root = root.to_string_lossy().into_owned();
        let shared = match opened {
            Ok(Ok(shared)) => shared,
            Ok(Err(error)) => return Err(OpenError::Git(one_line(&error, &root))),
            Err(_) => return Err(OpenError::Git("its files are damaged".to_owned())),
        };
        let objects = shared.objects_dir().canonicalize()?;
        if objects != common.join("objects").canonicalize()? {
            return Err(OpenError::Outside("the object database"));
        }
        Ok(Self { shared, own, root })
    }

    /// Who wrote a commit, and when.
    pub(in crate::secrets) fn commit(&self, id: &str) -> Option<Commit> {
        let repo = self.shared.to_thread_local();
        let commit = repo.find_commit(gix::ObjectId::from_hex(id.as_bytes()).ok()?).ok()?;
        let author = commit.author().ok()?;
        let date = author.time().ok()?.format_or_unix(gix::date::time::format::ISO8601_STRICT);
        let author = format!("{} <{}>", author.name, author.email);
        let author = author.chars().filter(|c| !c.is_control()).take(200).collect();
        Some(Commit { author, date })
    }

    /// A gap for what git reported, without the folder of the target in it.
    pub(super) fn gap(&self, what: impl Into<String>, error: &dyn std::fmt::Display) -> Gap {
        Gap::new(what, GapReason::Malformed, one_line(error, &self.root))
    }
}

/// The folder of the worktree's own files and that of what all worktrees share.
fn folders(root: &Path) -> Result<(PathBuf, PathBuf), OpenError> {
    let dot = root.join(".git");
    let Ok(metadata) = fs::symlink_metadata(&dot) else {
        let bare = ["HEAD", "objects", "refs"].iter().all(|name| root.join(name).exists());
        return if bare { inside(root, root).map(|own| (own.clone(), own)) } else { Err(OpenError::Missing) };
    };
    if !metadata.is_file() {
        let own = inside(root, &dot)?;
        return Ok((own.clone(), own));
    }
    // A linked worktree: its folder must name this worktree in turn, which no stranger can make it do.
    let text = read_path(&dot)?;
    let own = root.join(text.strip_prefix("gitdir:").unwrap_or(&text).trim()).canonicalize()?;
    let back = own.join(read_path(&own.join("gitdir")).unwrap_or_default().trim());
    if back.canonicalize().ok() != Some(dot.canonicalize()?) {
        return Err(OpenError::Outside("the folder that .git names"));
    }
    let common = own.join(read_path(&own.join("commondir"))?.trim()).canonicalize()?;
    Ok((own, common))
}

/// A folder of git's that is inside the root, and does not refer to another.
fn inside(root: &Path, folder: &Path) -> Result<PathBuf, OpenError> {
    let folder = folder.canonicalize()?;
    if !folder.starts_with(root) {
        return Err(OpenError::Outside(".git"));
    }
    if folder.join("commondir").exists() {
        return Err(OpenError::Outside("the folder that .git/commondir names"));
    }
    Ok(folder)
}

/// What git reads must be files of the repository itself: nothing elsewhere, no pipe on which opening waits, no device.
fn check_files(own: &Path, common: &Path) -> Result<(), OpenError> {
    if common.join("objects/info/alternates").exists() {
        return Err(OpenError::Alternates);
    }
    let mut folders = vec![common.to_owned()];
    if own != common {
        folders.push(own.to_owned());
    }
    while let Some(folder) = folders.pop() {
        let top = folder == own || folder == common;
        // Who cannot list a folder cannot read what is in it: that is told where it is needed.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let shared = || name.to_string_lossy().starts_with("sharedindex.");
            if top && !READ.iter().any(|read| name == *read) && !shared() {
                continue;
            }
            let (path, mut kind) = (entry.path(), entry.file_type()?);
            if kind.is_symlink() {
                // One that leads nowhere leads to nothing that could be read.
                let Ok(target) = path.canonicalize() else { continue };
                if !target.starts_with(common) && !target.starts_with(own) {
                    return Err(OpenError::Outside("a file of the repository"));
                }
                kind = target.metadata()?.file_type();
                if kind.is_dir() {
                    return Err(OpenError::NotAFile(name.to_string_lossy().into_owned()));
                }
            }
            if kind.is_dir() {
                folders.push(path);
            } else if !kind.is_file() {
                return Err(OpenError::NotAFile(name.to_string_lossy().into_owned()));
            }
        }
    }
    Ok(())
}

fn read_path(file: &Path) -> std::io::Result<String> {
    if !fs::metadata(file)?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    fs::File::open(file)?.take(MAX_LINK).read_to_string(&mut text)?;
    Ok(text)
}

/// A message on one line of bounded length, without the folder of the target in it.
fn one_line(error: &dyn std::fmt::Display, root: &str) -> String {
    let text = error.to_string().replace(root, ".");
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
