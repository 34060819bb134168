//! The corpus of one target, from the store into a folder and back, and its known crashes.

use std::path::Path;

use crashwise_core::store::{Corpus, CorpusId, KnownCrash, StoreError};
use crashwise_core::{Gap, GapReason, ModuleContext, error_chain};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::config::Options;
use super::triage::CrashReport;

/// Packs of one corpus after which they are put together.
const MANY_PACKS: usize = 8;

/// What is kept of a target over runs; nothing without a store.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    cx: &'a ModuleContext,
    corpus: Option<Mutex<Corpus>>,
    id: CorpusId,
}

/// What is kept of a crash beside its input.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct About {
    pub(super) kind: String,
    pub(super) title: String,
    pub(super) minor: String,
    /// The run that found it first.
    pub(super) run: String,
    /// Whether its input did not crash when it was last replayed.
    pub(super) fixed: bool,
    /// Whether it happens only without a sanitizer.
    pub(super) native: bool,
}

impl<'a> Kept<'a> {
    pub(super) fn of(cx: &'a ModuleContext, options: &Options, target: &str) -> Self {
        let root = cx.workspace().root();
        let folder = || root.file_name().map_or("project".into(), |name| name.to_string_lossy().into_owned());
        let project = options.project.clone().or_else(|| cx.identity().project.clone());
        let id = CorpusId::of(&project.unwrap_or_else(folder), target);
        let corpus = options.store.as_ref().map(|store| Mutex::new(store.corpus(&id)));
        Self { cx, corpus, id }
    }

    fn failed(&self, what: &str, error: &StoreError) {
        let text = format!("{what} failed: {}", error_chain(error));
        self.cx.not_covered(Gap::new(format!("corpus {}", self.id), GapReason::Failed, text));
    }

    /// Puts the inputs into `folder` and returns how many there are. What cannot be read is a gap.
    pub(super) async fn load(&self, folder: &Path) -> u64 {
        let Some(corpus) = &self.corpus else { return 0 };
        match corpus.lock().await.unpack(folder).await {
            Ok(unpacked) => {
                for key in unpacked.damaged {
                    self.cx.not_covered(Gap::new(
                        key,
                        GapReason::Malformed,
                        "a part of the corpus is damaged",
                    ));
                }
                unpacked.inputs
            }
            Err(error) => {
                self.failed("loading it", &error);
                0
            }
        }
    }

    /// Adds what is new in `folder`. When there is no way to keep it, that is said by [`Self::finish`].
    pub(super) async fn save(&self, folder: &Path) -> Result<(), StoreError> {
        let Some(corpus) = &self.corpus else { return Ok(()) };
        corpus.lock().await.add(folder).await.map(drop)
    }

    /// Adds what is new in `folder` and says what went wrong. Returns whether the corpus grew by more than a tenth of the
    /// `loaded` inputs, and is so large that making it smaller is worth it.
    pub(super) async fn finish(&self, folder: &Path, loaded: u64) -> bool {
        if let Err(error) = self.save(folder).await {
            self.failed("keeping it", &error);
            return false;
        }
        let Some(corpus) = &self.corpus else { return false };
        let inputs = corpus.lock().await.inputs() as u64;
        inputs > 64 && inputs > loaded + loaded / 10
    }

    /// Whether it lies in so many packs that they should be put together.
    pub(super) async fn is_scattered(&self) -> bool {
        match &self.corpus {
            Some(corpus) => corpus.lock().await.packs() > MANY_PACKS,
            None => false,
        }
    }

    /// Puts all that is in the store into `all`, lets `choose` name the folder of those to be kept, and keeps only them.
    pub(super) async fn rewrite<'f>(&self, all: &'f Path, choose: impl AsyncFnOnce() -> &'f Path) {
        let Some(corpus) = &self.corpus else { return };
        let mut corpus = corpus.lock().await;
        let mut whole = corpus.fresh();
        let rewritten = async {
            // A pack that cannot be read must not go with those that are replaced; it never does, as it was not read.
            whole.unpack(all).await?;
            whole.replace(choose().await).await
        };
        match rewritten.await {
            Ok(_) => *corpus = whole,
            Err(error) => self.failed("making it smaller", &error),
        }
    }

    /// Whether neither an input nor a crash is kept.
    pub(super) async fn is_empty(&self) -> bool {
        let Some(corpus) = &self.corpus else { return true };
        let mut corpus = corpus.lock().await;
        let none = async { Ok(corpus.count().await?.inputs == 0 && corpus.crashes().await?.is_empty()) };
        none.await.unwrap_or_else(|error| {
            self.failed("reading it", &error);
            true
        })
    }

    /// The known crashes with their inputs, sorted.
    pub(super) async fn crashes(&self) -> Vec<(KnownCrash, About, Option<Vec<u8>>)> {
        let Some(corpus) = &self.corpus else { return Vec::new() };
        let corpus = corpus.lock().await;
        let read = async {
            let mut found = Vec::new();
            for crash in corpus.crashes().await? {
                let about = About::deserialize(&crash.about).unwrap_or_default();
                let input = corpus.crash_input(&crash.key).await?;
                found.push((crash, about, input));
            }
            Ok::<_, StoreError>(found)
        };
        read.await.unwrap_or_else(|error| {
            self.failed("reading its known crashes", &error);
            Vec::new()
        })
    }

    /// Whether a known crash happens only without a sanitizer.
    pub(super) async fn needs_native(&self) -> bool {
        self.crashes().await.iter().any(|(_, about, _)| about.native)
    }

    /// Keeps a crash that was confirmed; `native` by the build without a sanitizer.
    pub(super) async fn keep(&self, report: &CrashReport, input: &[u8], native: bool) {
        let about = About {
            kind: report.kind.clone(),
            title: report.title(),
            minor: report.minor.to_string(),
            run: self.cx.identity().run.to_string(),
            fixed: false,
            native,
        };
        self.put(report.major.as_str(), &about, Some(input)).await;
    }

    /// Notes whether a known crash still happens.
    pub(super) async fn mark(&self, key: &str, about: &About, fixed: bool) {
        if about.fixed != fixed {
            self.put(key, &About { fixed, ..about.clone() }, None).await;
        }
    }

    async fn put(&self, key: &str, about: &About, input: Option<&[u8]>) {
        let Some(corpus) = &self.corpus else { return };
        let Ok(about) = serde_json::to_value(about) else { return };
        if let Err(error) = corpus.lock().await.keep_crash(&KnownCrash::new(key, about), input).await {
            self.failed("keeping a crash", &error);
        }
    }
}
