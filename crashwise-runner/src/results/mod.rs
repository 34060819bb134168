//! Where findings and files of steps are kept, by content.

mod room;
mod sink;

use crate::failpoint;
use crashwise_core::{ArtifactRef, TemporaryFolder};
use room::Room;
use sink::{Content, Sink};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// Files by BLAKE3 of their content, `ab/cdef...` below a folder. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ResultStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    /// Whether a file is on the disk before its reference is handed out.
    sync: bool,
    /// Where files come from that are not here.
    elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// A place beyond this machine in which files are.
pub(crate) trait Elsewhere: Send + Sync + std::fmt::Debug {
    /// Writes a stored file to a path at which there is none. Blocks.
    fn fetch(&self, artifact: &ArtifactRef, into: &Path) -> io::Result<()>;

    /// Takes note of a file that was stored here.
    fn stored(&self, artifact: &ArtifactRef);
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    /// Goes away with the last clone of the store: small files in memory, the others in a folder that is made when first
    /// needed.
    Passing(Room, OnceLock<TemporaryFolder>),
}

/// What a store that goes away keeps in memory, in bytes.
const ROOM: usize = 16 << 20;

/// The most bytes of a file for a folder that wait in memory until it is known whether the folder has them already.
const WAITING: usize = 64 << 10;

impl ResultStore {
    /// A store that goes away.
    pub(crate) fn temporary() -> Self {
        let place = Place::Passing(Room::new(ROOM), OnceLock::new());
        Self { inner: Arc::new(Inner { place, sync: false, elsewhere: None }) }
    }

    /// A store that goes away, and finds elsewhere what it does not have. All its files are on the disk.
    #[cfg(feature = "temporal")]
    pub(crate) fn temporary_with(elsewhere: Arc<dyn Elsewhere>) -> Self {
        let place = Place::Passing(Room::new(0), OnceLock::new());
        Self { inner: Arc::new(Inner { place, sync: false, elsewhere: Some(elsewhere) }) }
    }

    /// A stored file on this machine.
    #[cfg(feature = "temporal")]
    pub(crate) fn file(&self, artifact: &ArtifactRef) -> Option<PathBuf> {
        self.path(&artifact.digest).ok().filter(|path| path.exists())
    }

    /// Takes over a file that is known to have the content of a reference.
    pub(crate) fn take(&self, artifact: &ArtifactRef, file: &Path) -> io::Result<()> {
        let path = self.path(&artifact.digest)?;
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::rename(file, path)
    }

    /// A store that stays.
    pub(crate) fn at(root: impl Into<PathBuf>, sync: bool) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(root.join("tmp"))?;
        Ok(Self { inner: Arc::new(Inner { place: Place::Folder(root), sync, elsewhere: None }) })
    }

    /// A store that is only read.
    #[cfg(feature = "local")]
    pub(crate) fn reader(root: impl Into<PathBuf>) -> Self {
        Self { inner: Arc::new(Inner { place: Place::Folder(root.into()), sync: false, elsewhere: None }) }
    }

    /// The folder, made if it is not there yet.
    pub(crate) fn root(&self) -> io::Result<&Path> {
        match &self.inner.place {
            Place::Folder(root) => Ok(root),
            Place::Passing(_, cell) => {
                if let Some(folder) = cell.get() {
                    return Ok(folder.path());
                }
                let folder = TemporaryFolder::new("results")?;
                fs::create_dir(folder.path().join("tmp"))?;
                // Of two threads the second one's folder is dropped, and so removed.
                Ok(cell.get_or_init(|| folder).path())
            }
        }
    }

    /// The folder for files without a name.
    pub(crate) fn unnamed(&self) -> io::Result<PathBuf> {
        match &self.inner.place {
            Place::Folder(_) => self.scratch(),
            Place::Passing(..) => Ok(std::env::temp_dir()),
        }
    }

    /// How many bytes of a file that is being written may wait in memory.
    fn small(&self) -> usize {
        self.room().map_or(WAITING, Room::small)
    }

    fn room(&self) -> Option<&Room> {
        match &self.inner.place {
            Place::Folder(_) => None,
            Place::Passing(room, _) => Some(room),
        }
    }

    /// The folder for files that are being written.
    pub(crate) fn scratch(&self) -> io::Result<PathBuf> {
        Ok(self.root()?.join("tmp"))
    }

    /// Stores what `write` writes. A crash leaves the whole file or none.
    pub(crate) fn put_with<T>(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> io::Result<(ArtifactRef, T)> {
        let mut out = Sink::new(self)?;
        let value = {
            let mut buffered = io::BufWriter::with_capacity(64 << 10, &mut out);
            let value = write(&mut buffered)?;
            buffered.flush()?;
            value
        };
        let (content, digest, size) = out.finish();
        let artifact = ArtifactRef { name: name.to_owned(), digest, size };
        self.keep(&artifact, content)?;
        Ok((artifact, value))
    }

    /// Gives what was written its name.
    fn keep(&self, artifact: &ArtifactRef, content: Content) -> io::Result<()> {
        let content = match (content, self.room()) {
            (Content::Memory(bytes), Some(room)) => match room.keep(&artifact.digest, bytes) {
                Ok(()) => return Ok(()),
                Err(bytes) => Content::Memory(bytes),
            },
            (content, _) => content,
        };
        let path = self.path(&artifact.digest)?;
        let folder = path.parent().unwrap_or(&path);
        if !is_there(&path, artifact.size) {
            let file = content.into_file(self)?;
            fs::create_dir_all(folder)?;
            failpoint::pass("before file sync");
            if self.inner.sync {
                file.as_file().sync_all()?;
            }
            failpoint::pass("before file rename");
            file.persist(&path).map_err(|error| error.error)?;
        }
        failpoint::pass("before folder sync");
        if self.inner.sync {
            // Also of a file that was there: who put it there may have died before this.
            File::open(folder)?.sync_all()?;
            File::open(self.root()?)?.sync_all()?;
        }
        failpoint::pass("after folder sync");
        Ok(())
    }

    /// Stores what a reader gives.
    pub(crate) fn put(&self, name: &str, content: &mut dyn Read) -> io::Result<ArtifactRef> {
        let (artifact, _) = self.put_with(name, |out| io::copy(content, out))?;
        Ok(self.noted(artifact))
    }

    /// Stores bytes; does not write them where they are stored already.
    pub(crate) fn put_bytes(&self, name: &str, content: Vec<u8>) -> io::Result<ArtifactRef> {
        let (digest, size) = (blake3::hash(&content).to_hex().to_string(), content.len() as u64);
        let artifact = ArtifactRef { name: name.to_owned(), digest, size };
        self.keep(&artifact, Content::Memory(content))?;
        Ok(self.noted(artifact))
    }

    /// Has it noted elsewhere that a file was stored here.
    fn noted(&self, artifact: ArtifactRef) -> ArtifactRef {
        if let Some(elsewhere) = &self.inner.elsewhere {
            elsewhere.stored(&artifact);
        }
        artifact
    }

    /// Opens a stored file. One that is gone or was cut is an error that names it.
    pub(crate) fn open(&self, artifact: &ArtifactRef) -> io::Result<Box<dyn Read + Send>> {
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("stored file {:?} ({}): {error}", artifact.name, artifact.digest),
            )
        };
        if let Some(content) = self.room().and_then(|room| room.open(&artifact.digest)) {
            return Ok(content);
        }
        let path = self.path(&artifact.digest)?;
        if let Some(elsewhere) = &self.inner.elsewhere
            && !path.exists()
        {
            let place = TempDir::new_in(self.scratch()?)?;
            let file = place.path().join("file");
            elsewhere.fetch(artifact, &file).map_err(named)?;
            self.take(artifact, &file)?;
        }
        let file = File::open(path).map_err(named)?;
        let size = file.metadata().map_err(named)?.len();
        if size == artifact.size {
            Ok(Box::new(file))
        } else {
            let text = format!("has {size} bytes, expected {}", artifact.size);
            Err(named(io::Error::new(io::ErrorKind::InvalidData, text)))
        }
    }

    fn path(&self, digest: &str) -> io::Result<PathBuf> {
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digest.len() != 64 || !digest.bytes().all(hexadecimal) {
            let text = format!("digest {digest:?} is not 64 lower-case hexadecimal digits");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(self.root()?.join(&digest[..2]).join(&digest[2..]))
    }
}

/// Whether a file is there as a whole. If so it counts as new: nobody tidies it up before somebody names it.
fn is_there(path: &Path, size: u64) -> bool {
    let touched = File::open(path).and_then(|file| {
        file.set_modified(std::time::SystemTime::now())?;
        file.metadata()
    });
    touched.is_ok_and(|metadata| metadata.len() == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(store: &ResultStore, artifact: &ArtifactRef) -> io::Result<String> {
        let mut text = String::new();
        store.open(artifact)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn files_are_kept_by_content() {
        let folder = tempfile::tempdir().unwrap();
        for store in [ResultStore::temporary(), ResultStore::at(folder.path(), true).unwrap()] {
            let one = store.put("a.txt", &mut &b"same"[..]).unwrap();
            let two = store.put("b.txt", &mut &b"same"[..]).unwrap();
            let three = store.put_bytes("c.txt", b"same".to_vec()).unwrap();
            assert_eq!((one.digest.len(), one.size, &one.digest), (64, 4, &two.digest));
            assert_eq!((three.size, &three.digest), (4, &one.digest));
            assert_eq!(content(&store, &one).unwrap(), "same");
            assert_eq!(fs::read_dir(store.scratch().unwrap()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_goes_away_is_in_memory_while_it_is_small() {
        let room = 3 * room::SMALL / 2;
        let place = Place::Passing(Room::new(room), OnceLock::new());
        let store = ResultStore { inner: Arc::new(Inner { place, sync: false, elsewhere: None }) };
        let has_folder = || matches!(&store.inner.place, Place::Passing(_, folder) if folder.get().is_some());
        let text = |letter: &str, size| letter.repeat(size);
        let mut kept = Vec::new();
        for (letter, size) in [("a", 10), ("a", 10), ("b", room::SMALL), ("c", room - room::SMALL - 10)] {
            kept.push((store.put("kept", &mut text(letter, size).as_bytes()).unwrap(), letter));
        }
        assert!(!has_folder(), "the room is full, and nothing is on the disk");
        for (letter, size) in [("d", 1), ("e", room::SMALL + 1)] {
            kept.push((store.put("kept", &mut text(letter, size).as_bytes()).unwrap(), letter));
        }
        assert!(has_folder());
        for (artifact, letter) in kept {
            let expected = text(letter, usize::try_from(artifact.size).unwrap());
            assert_eq!(content(&store, &artifact).unwrap(), expected);
        }
    }

    #[test]
    fn what_a_folder_has_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResultStore::at(folder.path(), true).unwrap();
        for size in [WAITING, WAITING + 1] {
            let text = "a".repeat(size);
            store.put("first", &mut text.as_bytes()).unwrap();
            let writes = |out: &mut dyn Write| {
                out.write_all(text.as_bytes())?;
                out.flush()?;
                fs::read_dir(store.scratch()?).map(Iterator::count)
            };
            let (artifact, waiting) = store.put_with("again", writes).unwrap();
            assert_eq!(waiting, usize::from(size > WAITING), "{size}");
            assert_eq!(content(&store, &artifact).unwrap(), text);
        }
    }

    #[test]
    fn bytes_are_in_memory_only_where_there_is_room() {
        for (room, size, in_memory) in [
            (ROOM, 0, true),
            (ROOM, room::SMALL, true),
            (ROOM, room::SMALL + 1, false),
            (0, 0, false),
            (0, 9, false),
        ] {
            let place = Place::Passing(Room::new(room), OnceLock::new());
            let store = ResultStore { inner: Arc::new(Inner { place, sync: false, elsewhere: None }) };
            let artifact = store.put_bytes("kept", vec![b'a'; size]).unwrap();
            assert_eq!(content(&store, &artifact).unwrap().len(), size);
            assert_eq!(store.path(&artifact.digest).unwrap().exists(), !in_memory, "{room} {size}");
        }
    }

    #[test]
    fn missing_cut_and_foreign_references_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResultStore::at(folder.path(), false).unwrap();
        let good = store.put("a.txt", &mut &b"content"[..]).unwrap();
        let path = store.path(&good.digest).unwrap();
        for (digest, expect) in [("../../etc/passwd", "not 64"), (&"0".repeat(64), "a.txt")] {
            let artifact = ArtifactRef { digest: digest.to_owned(), ..good.clone() };
            let error = content(&store, &artifact).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
        fs::write(path, b"cut").unwrap();
        let error = content(&store, &good).unwrap_err().to_string();
        assert!(error.contains("has 3 bytes, expected 7"), "{error}");
        store.put_bytes("a.txt", b"content".to_vec()).unwrap();
        assert_eq!(content(&store, &good).unwrap(), "content", "what was cut is written anew");
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = ResultStore::at(folder.path(), false).unwrap();
        let failed = store.put_with("x", |out| {
            out.write_all(b"half")?;
            Err::<(), _>(io::Error::other("stopped"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only tmp");
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }
}
