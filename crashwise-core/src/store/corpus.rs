//! Corpora: the inputs of fuzz targets and the crashes that they led to, kept over runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use object_store::ObjectStoreExt;
use serde_json::Value;

use super::{Prefix, Store, StoreError, StoreErrorKind, download, upload::blocking};
use crate::{InvalidId, read_regular};

/// The longest input that is kept, in bytes.
const LONGEST: u64 = 16 << 20;
/// Bytes of inputs after which a pack is full; with one input more it is the largest object.
const PACK: usize = 32 << 20;
/// The first bytes of a pack: its format and version.
const MAGIC: &[u8] = b"crashwise corpus 1\n";
/// The most inputs of one corpus.
const MOST: usize = 1 << 20;

/// Names the corpus of one fuzz target: `project/target`. Each part has 1 to 100 characters of `A-Z a-z 0-9 . _ -` and
/// begins with none of `. -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorpusId {
    project: String,
    target: String,
}

impl CorpusId {
    /// The id of a target of a project, by any names: those that do not fit are replaced by ones that do and are as
    /// different from others as they were.
    ///
    /// ```
    /// use crashwise_core::store::CorpusId;
    ///
    /// assert_eq!(CorpusId::of("app", "parse").to_string(), "app/parse");
    /// assert_ne!(CorpusId::of("a b", "parse"), CorpusId::of("a_b", "parse"));
    /// assert!("app/../x".parse::<CorpusId>().is_err());
    /// ```
    pub fn of(project: &str, target: &str) -> Self {
        Self { project: fitting(project), target: fitting(target) }
    }

    /// The project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The target.
    pub fn target(&self) -> &str {
        &self.target
    }
}

fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn fitting(text: &str) -> String {
    if is_name(text) {
        return text.to_owned();
    }
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '_' };
    let kept: String = text.chars().take(80).map(fits).collect();
    let kept = kept.trim_start_matches('.');
    format!("x{kept}-{}", &blake3::hash(text.as_bytes()).to_hex()[..8])
}

impl fmt::Display for CorpusId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.target)
    }
}

impl FromStr for CorpusId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parts = text.split_once('/').filter(|(project, target)| is_name(project) && is_name(target));
        let expected = "project/target, each 1 to 100 characters of A-Z a-z 0-9 . _ -";
        let (project, target) = parts.ok_or_else(|| InvalidId::new("corpus", text, expected))?;
        Ok(Self { project: project.to_owned(), target: target.to_owned() })
    }
}

/// The corpus of one target: inputs by their content, in packs that are only ever added or replaced by larger ones, and
/// known crashes. Several processes may add to one corpus at a time.
#[derive(Debug)]
pub struct Corpus {
    store: Store,
    id: CorpusId,
    /// Packs that this one has read or written.
    packs: BTreeSet<String>,
    inputs: BTreeSet<[u8; 32]>,
    /// Files that were looked at; fuzzers name a file by its content.
    files: BTreeSet<OsString>,
}

/// What was read from a corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpacked {
    /// Inputs.
    pub inputs: u64,
    /// Keys of packs that are damaged and were left out.
    pub damaged: Vec<String>,
}

/// A crash that an earlier run found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KnownCrash {
    /// What tells it from others, as whoever kept it said.
    pub key: String,
    /// What is known of it.
    pub about: Value,
}

impl Store {
    /// The corpus of a target; one that is not there is empty.
    #[must_use]
    pub fn corpus(&self, id: &CorpusId) -> Corpus {
        Corpus {
            store: self.clone(),
            id: id.clone(),
            packs: BTreeSet::new(),
            inputs: BTreeSet::new(),
            files: BTreeSet::new(),
        }
    }

    /// All corpora, sorted, with the bytes of their packs.
    pub async fn corpora(&self) -> Result<Vec<(CorpusId, u64)>, StoreError> {
        let mut found = BTreeMap::new();
        for object in self.list(Prefix::Corpora).await? {
            let parts: Vec<&str> = object.key.split('/').collect();
            if let ["corpora", project, target, ..] = parts.as_slice()
                && let Ok(id) = format!("{project}/{target}").parse::<CorpusId>()
            {
                *found.entry(id).or_default() += object.size;
            }
        }
        Ok(found.into_iter().collect())
    }
}

impl Corpus {
    /// The same corpus, of which nothing was read yet.
    #[must_use]
    pub fn fresh(&self) -> Self {
        self.store.corpus(&self.id)
    }

    /// Which one it is.
    pub fn id(&self) -> &CorpusId {
        &self.id
    }

    /// How many inputs it has, as far as they were read or written here.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// In how many objects they are kept, as far as those were read or written here.
    pub fn packs(&self) -> usize {
        self.packs.len()
    }

    fn base(&self, below: &str) -> String {
        format!("corpora/{}/{}/{below}", self.id.project, self.id.target)
    }

    /// Writes all inputs into `folder`, each into a file named by its hash. Damaged packs are left out and named.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or the folder not be written.
    pub async fn unpack(&mut self, folder: &Path) -> Result<Unpacked, StoreError> {
        fs::create_dir_all(folder).map_err(|error| StoreError::io(folder.display(), error))?;
        let unpacked = self.read(Some(folder)).await?;
        for hash in &self.inputs {
            self.files.insert(blake3::Hash::from_bytes(*hash).to_hex()[..40].into());
        }
        Ok(unpacked)
    }

    /// Reads which inputs there are, so that only others are added.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn count(&mut self) -> Result<Unpacked, StoreError> {
        self.read(None).await
    }

    async fn read(&mut self, folder: Option<&Path>) -> Result<Unpacked, StoreError> {
        let local = |error| StoreError::io(folder.unwrap_or(Path::new("inputs")).display(), error);
        let mut unpacked = Unpacked::default();
        for object in self.store.list_below(&self.base("inputs")).await? {
            let name = object.key.rsplit('/').next().unwrap_or_default().to_owned();
            let most = PACK as u64 + LONGEST + (1 << 20);
            let bytes = match download::small(&self.store, &self.store.key(&object.key), most).await {
                Ok(bytes) => bytes,
                // Another process has put it into a larger one.
                Err(error) if error.kind() == StoreErrorKind::NotFound => continue,
                Err(error) if error.kind() == StoreErrorKind::TooLarge => {
                    unpacked.damaged.push(object.key);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if blake3::hash(&bytes).to_hex().as_str() != name {
                unpacked.damaged.push(object.key);
                continue;
            }
            let place = folder.map(Path::to_owned);
            let mut known = std::mem::take(&mut self.inputs);
            let written = blocking(move || {
                let whole = for_each(&bytes, |input| {
                    let hash = blake3::hash(input);
                    if known.len() < MOST
                        && known.insert(*hash.as_bytes())
                        && let Some(place) = &place
                    {
                        fs::write(place.join(&hash.to_hex()[..40]), input)?;
                    }
                    Ok(())
                })?;
                Ok((known, whole))
            });
            let (known, whole) = written.await.map_err(local)?;
            self.inputs = known;
            self.packs.insert(name);
            if !whole {
                unpacked.damaged.push(object.key);
            }
        }
        unpacked.inputs = self.inputs.len() as u64;
        Ok(unpacked)
    }

    /// Adds the files of `folder` that it does not have yet, as far as it was read before; files over 16 MiB are left out.
    /// A crash leaves the whole of a pack or nothing of it. Returns how many were new.
    ///
    /// # Errors
    /// [`StoreError`] if the folder cannot be read or the store not be written.
    pub async fn add(&mut self, folder: &Path) -> Result<u64, StoreError> {
        let local = |error| StoreError::io(folder.display(), error);
        let (place, files) = (folder.to_owned(), self.files.clone());
        let mut paths = blocking(move || list(&place, &files)).await.map_err(local)?;
        let before = self.inputs.len();
        while !paths.is_empty() && self.inputs.len() < MOST {
            let mut known = std::mem::take(&mut self.inputs);
            let packing = blocking(move || {
                let pack = pack(&mut paths, &mut known);
                Ok((pack, paths, known))
            });
            let pack;
            (pack, paths, self.inputs) = packing.await.map_err(local)?;
            let Pack { bytes, names } = pack;
            if bytes.len() > MAGIC.len() {
                let name = blake3::hash(&bytes).to_hex().to_string();
                self.put(&self.base(&format!("inputs/{name}")), bytes).await?;
                self.packs.insert(name);
            }
            self.files.extend(names);
        }
        Ok((self.inputs.len() - before) as u64)
    }

    /// Makes the files of `folder` its only inputs, in as few packs as possible. What others have added since it was read
    /// stays. A crash in between leaves both the old and the new inputs.
    ///
    /// # Errors
    /// [`StoreError`] if the folder cannot be read or the store not be written.
    pub async fn replace(&mut self, folder: &Path) -> Result<u64, StoreError> {
        let old = std::mem::take(&mut self.packs);
        self.inputs.clear();
        self.files.clear();
        self.add(folder).await?;
        for name in old.difference(&self.packs) {
            self.delete(&self.base(&format!("inputs/{name}"))).await?;
        }
        Ok(self.inputs.len() as u64)
    }

    /// The known crashes, sorted by key. Ones that cannot be read are left out.
    pub async fn crashes(&self) -> Result<Vec<KnownCrash>, StoreError> {
        let mut crashes = Vec::new();
        for object in self.store.list_below(&self.base("crashes")).await? {
            let Some(rest) = object.key.strip_suffix("/crash.json") else { continue };
            let key = rest.rsplit('/').next().unwrap_or_default().to_owned();
            let bytes = download::small(&self.store, &self.store.key(&object.key), 1 << 20).await;
            if let Ok(bytes) = bytes
                && let Ok(about) = serde_json::from_slice(&bytes)
            {
                crashes.push(KnownCrash { key, about });
            }
        }
        Ok(crashes)
    }

    /// The input of a known crash; `None` if none was kept.
    pub async fn crash_input(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.store.key(&self.base(&format!("crashes/{}/input", fitting(key))));
        match download::small(&self.store, &key, LONGEST).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a crash, or what is now known of it; without `input` that of before stays.
    pub async fn keep_crash(&self, crash: &KnownCrash, input: Option<&[u8]>) -> Result<(), StoreError> {
        let base = self.base(&format!("crashes/{}", fitting(&crash.key)));
        if let Some(input) = input.filter(|input| input.len() as u64 <= LONGEST) {
            self.put(&format!("{base}/input"), input.to_vec()).await?;
        }
        // Last, for it makes the crash known.
        self.put(&format!("{base}/crash.json"), crash.about.to_string().into_bytes()).await
    }

    /// Lets go of inputs and crashes.
    pub async fn remove(self) -> Result<(), StoreError> {
        for object in self.store.list_below(&self.base("")).await? {
            self.delete(&object.key).await?;
        }
        Ok(())
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let key = self.store.key(key);
        let put = self.store.objects.put(&key, bytes.into()).await;
        put.map(drop).map_err(|error| StoreError::new(key.as_ref(), &error))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = self.store.key(key);
        match self.store.objects.delete(&key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::new(key.as_ref(), &error)),
        }
    }
}

impl KnownCrash {
    /// A crash, with what is known of it.
    pub fn new(key: impl Into<String>, about: Value) -> Self {
        Self { key: key.into(), about }
    }
}

/// The inputs of a pack, each a length (4 bytes, little-endian) and as many bytes. False if the last is cut short.
fn for_each(pack: &[u8], mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
    let Some(mut rest) = pack.strip_prefix(MAGIC) else { return Ok(false) };
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((input, after)) = after.split_at_checked(length) else { return Ok(false) };
        take(input)?;
        rest = after;
    }
    Ok(rest.is_empty())
}

struct Pack {
    bytes: Vec<u8>,
    names: Vec<OsString>,
}

/// Takes files from the end of `paths` until the pack is full. A file that is gone or changes is left out.
fn pack(paths: &mut Vec<PathBuf>, known: &mut BTreeSet<[u8; 32]>) -> Pack {
    let (mut found, mut size, mut names) = (BTreeMap::new(), 0, Vec::new());
    while size < PACK
        && known.len() < MOST
        && let Some(path) = paths.pop()
    {
        let Ok(input) = read_regular(&path, LONGEST) else { continue };
        names.extend(path.file_name().map(Into::into));
        if known.insert(*blake3::hash(&input).as_bytes()) {
            size += input.len() + 4;
            found.insert(*blake3::hash(&input).as_bytes(), input);
        }
    }
    let mut bytes = MAGIC.to_vec();
    for input in found.values() {
        bytes.extend_from_slice(&u32::try_from(input.len()).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(input);
    }
    Pack { bytes, names }
}

/// The files of a folder that are not among `known`, the last by name first. Links and folders are passed over.
fn list(folder: &Path, known: &BTreeSet<OsString>) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        let fits = |data: fs::Metadata| data.is_file() && data.len() <= LONGEST;
        if !known.contains(&entry.file_name()) && fs::symlink_metadata(entry.path()).is_ok_and(fits) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn contents(folder: &Path) -> BTreeSet<Vec<u8>> {
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    #[tokio::test]
    async fn inputs_grow_over_runs_and_are_kept_once() {
        let store = Store::memory();
        let id = CorpusId::of("app", "parse");
        let first = folder(&[("a", b"one"), ("b", b"two"), ("c", b"one"), ("empty", b"")]);
        let mut corpus = store.corpus(&id);
        assert_eq!(corpus.add(first.path()).await.unwrap(), 3);
        fs::write(first.path().join("d"), "three").unwrap();
        assert_eq!((corpus.add(first.path()).await.unwrap(), corpus.packs()), (1, 2));

        let (second, mut corpus) = (folder(&[("own", b"two")]), store.corpus(&id));
        let unpacked = corpus.unpack(second.path()).await.unwrap();
        assert_eq!((unpacked.inputs, unpacked.damaged.len()), (4, 0));
        assert_eq!(corpus.add(second.path()).await.unwrap(), 0);
        let expect: BTreeSet<Vec<u8>> = ["", "one", "two", "three"].map(Into::into).into();
        assert_eq!(contents(second.path()), expect);

        // Another process adds while this one replaces.
        let other = folder(&[("x", b"other")]);
        store.corpus(&id).add(other.path()).await.unwrap();
        let small = folder(&[("s", b"one")]);
        assert_eq!((corpus.replace(small.path()).await.unwrap(), corpus.packs()), (1, 1));
        let (third, mut corpus) = (folder(&[]), store.corpus(&id));
        corpus.unpack(third.path()).await.unwrap();
        assert_eq!(contents(third.path()), ["one", "other"].map(Into::into).into());
        assert_eq!(store.corpora().await.unwrap().len(), 1);
        corpus.remove().await.unwrap();
        assert!(store.corpora().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_damaged_pack_is_left_out_and_named() {
        let place = folder(&[]);
        let store = Store::local(place.path()).unwrap();
        let id = CorpusId::of("app", "parse");
        for content in ["one", "two"] {
            store.corpus(&id).add(folder(&[("a", content.as_bytes())]).path()).await.unwrap();
        }
        let packs = place.path().join("corpora/app/parse/inputs");
        let victim = fs::read_dir(&packs).unwrap().next().unwrap().unwrap().path();
        fs::write(&victim, "not a pack").unwrap();
        let into = folder(&[]);
        let unpacked = store.corpus(&id).unpack(into.path()).await.unwrap();
        assert_eq!((unpacked.inputs, unpacked.damaged.len()), (1, 1));
        for (pack, whole) in [
            (&b"crashwise corpus 1\n\x01\0\0\0x"[..], true),
            (b"crashwise corpus 1\n\xff\xff\xff\xffx", false),
            (b"crashwise corpus 1\n\x01", false),
            (b"", false),
        ] {
            assert_eq!(for_each(pack, |_| Ok(())).unwrap(), whole, "{pack:?}");
        }
    }

    #[tokio::test]
    async fn crashes_are_kept_beside() {
        let store = Store::memory();
        let corpus = store.corpus(&CorpusId::of("app", "parse"));
        let crash = KnownCrash::new("0a1b", json!({"title": "boom"}));
        corpus.keep_crash(&crash, Some(b"input")).await.unwrap();
        corpus.keep_crash(&KnownCrash::new("0a1b", json!({"fixed": true})), None).await.unwrap();
        let known = corpus.crashes().await.unwrap();
        assert_eq!((known.len(), known[0].key.as_str(), &known[0].about["fixed"]), (1, "0a1b", &json!(true)));
        assert_eq!(corpus.crash_input("0a1b").await.unwrap().unwrap(), b"input");
        assert_eq!(corpus.crash_input("../0a1b").await.unwrap(), None);
    }
}
