use std::fs;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Lifetimes, Prefix, Store, StoreErrorKind};
use crate::{RelPath, RunId, TargetId};

/// How a store misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Each connection breaks after so many bytes.
    CutEvery(usize),
    /// Each connection ends half-way, without an error.
    EndEarly,
    /// Each connection ends at once, without an error.
    Nothing,
    /// More comes than was asked for.
    Excess,
    /// One byte is wrong.
    Flip,
    /// One byte is wrong the first time.
    FlipOnce,
    /// The first get breaks half-way, and every later one fails at once.
    DownHalfWay,
    /// Every get fails at once.
    Down,
    /// Another object stands there after the first get.
    Replace,
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    fault: Fault,
    gets: AtomicU32,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "faulty {:?}", self.fault)
    }
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "connection reset".into() }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        o: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, o).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.inner.get_opts(at, options).await;
        }
        let count = self.gets.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::Down || (self.fault == Fault::DownHalfWay && count > 0) {
            return Err(broken());
        }
        let got = self.inner.get_opts(at, options).await?;
        let (mut meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
        let mut bytes = got.bytes().await?.to_vec();
        let mut error = None;
        match self.fault {
            Fault::CutEvery(n) if bytes.len() > n => {
                bytes.truncate(n);
                error = Some(Err(broken()));
            }
            Fault::EndEarly => bytes.truncate(bytes.len().div_ceil(2)),
            Fault::DownHalfWay => {
                bytes.truncate(bytes.len() / 2);
                error = Some(Err(broken()));
            }
            Fault::Nothing => bytes.clear(),
            Fault::Excess => bytes.extend_from_slice(b"more"),
            Fault::Flip => bytes[0] ^= 1,
            Fault::FlipOnce if count == 0 => bytes[0] ^= 1,
            Fault::Replace if count > 0 => meta.e_tag = Some("another".to_owned()),
            _ => {}
        }
        let body = stream::iter([Ok(bytes.into())].into_iter().chain(error)).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range,
            attributes,
            extensions: Extensions::default(),
        })
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

pub(crate) fn faulty(fault: Fault) -> Store {
    Store::new(Arc::new(Faulty { inner: InMemory::new(), fault, gets: AtomicU32::new(0) }))
}

/// A store that holds something else under the name of a target.
pub(crate) async fn holding(id: &TargetId, bytes: Vec<u8>) -> Store {
    use object_store::ObjectStoreExt;
    let store = Store::memory();
    store.objects.put(&store.target_key(id), bytes.into()).await.expect("memory");
    store
}

/// A file of so many bytes, none like its neighbours.
fn file(dir: &FilePath, size: usize) -> (PathBuf, Vec<u8>) {
    let bytes: Vec<u8> =
        (0u32..).take(size.div_ceil(4)).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let path = dir.join("file");
    fs::write(&path, &bytes[..size]).expect("writable");
    (path, bytes[..size].to_vec())
}

#[tokio::test]
async fn targets_come_back_as_they_went() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (i, size) in [0, 1, 8 << 20, (40 << 20) + 7].into_iter().enumerate() {
        let (path, bytes) = file(dir.path(), size);
        let local = Store::local(&dir.path().join("store")).expect("writable");
        for (j, store) in [Store::memory(), Store::memory().with_base("a/b"), local].iter().enumerate() {
            let id = store.put_target(&path).await.expect("stored");
            assert_eq!(id.as_str(), blake3::hash(&bytes).to_hex().as_str());
            assert_eq!(store.put_target(&path).await.expect("there already"), id);
            let copy = dir.path().join(format!("copy-{i}-{j}"));
            let fetched = store.fetch_target(&id, &copy).await.expect("there");
            assert_eq!((fetched.size, fetched.hash.as_str()), (size as u64, id.as_str()));
            assert!(fs::read(&copy).expect("written") == bytes);
            let listed = store.list(Prefix::Targets).await.expect("listed");
            assert!(listed.iter().any(|object| object.key == format!("targets/{id}/target")));
            store.delete_target(&id).await.expect("deleted");
            store.delete_target(&id).await.expect("deleting twice is fine");
            assert!(!store.has_target(&id).await.expect("reachable"));
        }
    }
}

#[tokio::test]
async fn faults_are_survived_or_told() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (path, bytes) = file(dir.path(), 20 << 20);
    for (fault, expect) in [
        (Fault::CutEvery(1 << 20), None),
        (Fault::EndEarly, None),
        (Fault::Nothing, Some(StoreErrorKind::Damaged)),
        (Fault::Excess, Some(StoreErrorKind::Damaged)),
        (Fault::Flip, Some(StoreErrorKind::Damaged)),
        (Fault::DownHalfWay, Some(StoreErrorKind::Unavailable)),
        (Fault::Down, Some(StoreErrorKind::Unavailable)),
        (Fault::Replace, Some(StoreErrorKind::Changed)),
    ] {
        let store = faulty(fault);
        let id = store.put_target(&path).await.expect("stored");
        let copy = dir.path().join("copy");
        let result = store.fetch_target(&id, &copy).await;
        match expect {
            None => {
                result.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
                assert!(fs::read(&copy).expect("written") == bytes);
                fs::remove_file(&copy).expect("there");
            }
            Some(kind) => {
                assert_eq!(result.expect_err("a fault").kind(), kind, "{fault:?}");
                assert!(!copy.exists(), "{fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_missing_or_in_the_way_is_told() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = Store::memory();
    let id = TargetId::new("nothing").expect("valid");
    let copy = dir.path().join("copy");
    assert_eq!(store.fetch_target(&id, &copy).await.expect_err("missing").kind(), StoreErrorKind::NotFound);
    assert!(!copy.exists());
    fs::write(&copy, b"mine").expect("writable");
    assert_eq!(store.fetch_target(&id, &copy).await.expect_err("in the way").kind(), StoreErrorKind::Local);
    assert_eq!(fs::read(&copy).expect("untouched"), b"mine");
    let missing = store.put_target(&dir.path().join("none")).await.expect_err("no file");
    assert_eq!(missing.kind(), StoreErrorKind::Local);
}

#[tokio::test]
async fn results_are_bounded() {
    let store = Store::memory();
    let run = RunId::new("run-00000001").expect("valid");
    let name = RelPath::new("reports/results.sarif").expect("valid");
    store.put_result(&run, &name, b"{}".to_vec()).await.expect("stored");
    assert_eq!(store.result(&run, &name, 2).await.expect("there"), b"{}");
    assert_eq!(store.result(&run, &name, 1).await.expect_err("too large").kind(), StoreErrorKind::TooLarge);
    assert_eq!(
        store.list(Prefix::Results).await.expect("listed")[0].key,
        "results/run-00000001/reports/results.sarif"
    );
}

#[tokio::test]
async fn files_of_a_run_are_shared_with_another_and_deleted_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = file(dir.path(), 100);
    for store in [Store::memory(), Store::local(&dir.path().join("store")).unwrap()] {
        let (one, two) = (RunId::new("run-000001").unwrap(), RunId::new("run-000002").unwrap());
        let artifact = store.put_artifact(&one, "crash", &path).await.unwrap();
        store.put_result(&one, &RelPath::new("run.json").unwrap(), b"{}".to_vec()).await.unwrap();
        store.share_artifact(&one, &two, &artifact.digest).await.unwrap();
        assert!(store.share_artifact(&one, &two, "nothing").await.is_err());
        let size = bytes.len() as u64;
        assert_eq!(store.delete_results(&one).await.unwrap(), (2, size + 2));
        assert_eq!(store.delete_results(&one).await.unwrap(), (0, 0));
        let into = tempfile::tempdir().unwrap();
        store.fetch_artifact(&two, &artifact, &into.path().join("file")).await.unwrap();
        assert!(store.fetch_artifact(&one, &artifact, &into.path().join("other")).await.is_err());
    }
}

#[tokio::test]
async fn a_sweep_keeps_the_lifetimes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = Store::memory();
    let (path, _) = file(dir.path(), 10);
    store.put_target(&path).await.expect("stored");
    let run = RunId::new("run-00000001").expect("valid");
    store.put_result(&run, &RelPath::new("r").expect("valid"), vec![1]).await.expect("stored");
    let day = Duration::from_hours(24);
    let lifetimes = Lifetimes::default();
    let at = |days: u32| SystemTime::now() + day * days;
    assert_eq!(store.sweep(&lifetimes, SystemTime::UNIX_EPOCH).await.expect("swept").objects, 0);
    assert_eq!(store.sweep(&lifetimes, at(6)).await.expect("swept").objects, 0);
    let swept = store.sweep(&lifetimes, at(8)).await.expect("swept");
    assert_eq!((swept.objects, swept.bytes), (1, 10));
    let short = lifetimes.with(Prefix::Results, day);
    assert_eq!(store.sweep(&short, at(2)).await.expect("swept").objects, 1);
}
