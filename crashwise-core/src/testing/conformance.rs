//! What every module promises, checked.

use super::{ModuleTest, ModuleTestResult, hostile_tree};
use crate::{AnyModule, CancellationToken, Finding, ModuleError, Schema};
use futures::FutureExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The suite that every module should pass: it describes itself, refuses unknown configuration, gives the same result
/// twice, leaves its workspace as it is, reports only places that exist, stops when asked, and survives an empty and a
/// hostile tree without hanging or looking outside.
///
/// Needs a tokio runtime of the multi-thread flavour.
///
/// ```
/// # use crashwise_core::{Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary};
/// # struct Nothing;
/// # #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// # #[serde(deny_unknown_fields)] struct Config {}
/// # #[async_trait::async_trait]
/// # impl Module for Nothing {
/// #     type Config = Config;
/// #     fn info(&self) -> ModuleInfo { ModuleInfo::new("nothing", "1.0.0", ModuleKind::Scanner, "Does nothing.") }
/// #     async fn run(&self, _: &ModuleContext, _: Config) -> Result<Summary, ModuleError> { Ok(Summary::new()) }
/// # }
/// # #[tokio::main]
/// # async fn main() {
/// use crashwise_core::testing::Conformance;
/// Conformance::new(Nothing).check().await.unwrap();
/// # }
/// ```
pub struct Conformance {
    module: Arc<dyn AnyModule>,
    config: Value,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// The promises that a module breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("module {module:?} breaks {} promise(s):\n- {}", broken.len(), broken.join("\n- "))]
pub struct NotConforming {
    /// Name of the module.
    pub module: String,
    /// One line per broken promise.
    pub broken: Vec<String>,
}

/// The longest that one run of the suite may take before it counts as hanging.
const HANG: Duration = Duration::from_mins(1);
/// The longest that a module may go on after it was asked to stop.
const STOP: Duration = Duration::from_secs(1);

impl Conformance {
    /// The suite for a module with its default configuration.
    pub fn new(module: impl AnyModule) -> Self {
        Self::shared(Arc::new(module))
    }

    /// The same for a module that others hold too.
    pub fn shared(module: Arc<dyn AnyModule>) -> Self {
        let sample = "import os\nos.system('ls ' + name)\npassword = \"Tr0ub4dor&3x\"\n";
        Self { module, config: Value::Null, files: vec![("sample/app.py".into(), sample.into())] }
    }

    /// Sets the configuration.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Adds a file to the sample tree, so that the module has something to find.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.into(), content.as_ref().to_vec()));
        self
    }

    /// Runs the suite; all broken promises at once.
    pub async fn check(&self) -> Result<(), NotConforming> {
        let mut broken = Vec::new();
        self.describes_itself(&mut broken);
        self.survives_an_empty_tree(&mut broken).await;
        self.repeats_itself(&mut broken).await;
        self.stops(&mut broken).await;
        self.survives_a_hostile_tree(&mut broken).await;
        if broken.is_empty() {
            Ok(())
        } else {
            Err(NotConforming { module: self.module.info().name, broken })
        }
    }

    fn describes_itself(&self, broken: &mut Vec<String>) {
        let info = self.module.info();
        if info != self.module.info() {
            broken.push("info() differs between two calls".into());
        }
        let named = !info.name.is_empty()
            && info.name.starts_with(|c: char| c.is_ascii_lowercase())
            && info.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !named {
            broken.push(format!("name {:?} is not lower-case letters, digits and `_`", info.name));
        }
        if semver::Version::parse(&info.version).is_err() {
            broken.push(format!("version {:?} is not a semantic version", info.version));
        }
        if info.description.trim().is_empty() {
            broken.push("the description is empty".into());
        }
        if let Err(problem) = Schema::new(self.module.config_schema()) {
            broken.push(format!("the configuration's schema is not valid: {}", problem.message));
        }
        let checked = self.module.check_config(self.config.clone());
        if let Err(problems) = &checked {
            broken.push(format!("the configuration of this suite is refused: {problems}"));
        }
        let mut misspelt = checked.unwrap_or(Value::Null);
        if let Some(object) = misspelt.as_object_mut() {
            object.insert("no_such_key_at_all".into(), Value::Bool(true));
            if self.module.check_config(misspelt).is_ok() {
                broken.push(
                    "an unknown configuration key is accepted: a typo would switch something off".into(),
                );
            }
        }
    }

    async fn survives_an_empty_tree(&self, broken: &mut Vec<String>) {
        if let Err(problem) = self.run(self.test()).await {
            broken.push(format!("on an empty tree it {problem}"));
        }
    }

    async fn repeats_itself(&self, broken: &mut Vec<String>) {
        let Ok(tree) = tempfile::tempdir() else {
            broken.push("no temporary folder could be made".into());
            return;
        };
        for (path, content) in &self.files {
            let path = tree.path().join(path);
            let written = std::fs::create_dir_all(path.parent().unwrap_or(tree.path()))
                .and_then(|()| std::fs::write(&path, content));
            if let Err(error) = written {
                broken.push(format!("the sample tree could not be made: {error}"));
            }
        }
        let before = digest(tree.path());
        let first = self.run(self.test().tree(tree.path())).await;
        let second = self.run(self.test().tree(tree.path())).await;
        if digest(tree.path()) != before {
            broken.push("it changed a workspace that it was to leave as it is".into());
        }
        match (first, second) {
            (Ok(first), Ok(second)) => {
                if first.findings != second.findings {
                    broken.push("two runs over the same tree gave different findings".into());
                }
                if first.coverage != second.coverage {
                    broken.push("two runs over the same tree gave different coverage".into());
                }
                for finding in &first.findings {
                    check_places(finding, tree.path(), broken);
                }
            }
            (Err(problem), _) | (_, Err(problem)) => broken.push(format!("on the sample tree it {problem}")),
        }
    }

    async fn stops(&self, broken: &mut Vec<String>) {
        let Ok(tree) = tempfile::tempdir() else { return };
        for n in 0..400 {
            let content =
                self.files.iter().flat_map(|(_, content)| content.iter().copied()).collect::<Vec<u8>>();
            let name = self.files.first().and_then(|(path, _)| path.file_name());
            let folder = tree.path().join(n.to_string());
            let made = std::fs::create_dir(&folder)
                .and_then(|()| std::fs::write(folder.join(name.unwrap_or("f".as_ref())), content.repeat(20)));
            if made.is_err() {
                break;
            }
        }
        for delay in [Duration::ZERO, Duration::from_millis(5)] {
            let token = CancellationToken::new();
            let asked = token.clone();
            let start = Instant::now();
            let asking = tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                asked.cancel();
            });
            // A module may return what it has or an error; it must not go on.
            let _ = self.run(self.test().tree(tree.path()).cancel(token)).await;
            if start.elapsed() > delay + STOP {
                broken.push(format!("asked to stop after {delay:?}, it went on for {:?}", start.elapsed()));
            }
            asking.abort();
        }
    }

    async fn survives_a_hostile_tree(&self, broken: &mut Vec<String>) {
        let (Ok(tree), Ok(outside)) = (tempfile::tempdir(), tempfile::tempdir()) else { return };
        if let Err(error) = hostile_tree(tree.path(), outside.path()) {
            broken.push(format!("the hostile tree could not be made: {error}"));
            return;
        }
        match self.run(self.test().tree(tree.path())).await {
            Err(problem) => broken.push(format!("on a hostile tree it {problem}")),
            Ok(result) => {
                if serde_json::to_string(&result.findings).unwrap_or_default().contains("CANARY") {
                    broken.push("it followed a link out of the workspace".into());
                }
            }
        }
    }

    fn test(&self) -> ModuleTest {
        ModuleTest::shared(Arc::clone(&self.module)).config(self.config.clone())
    }

    async fn run(&self, test: ModuleTest) -> Result<ModuleTestResult, String> {
        let running = AssertUnwindSafe(test.run()).catch_unwind();
        match tokio::time::timeout(HANG, running).await {
            Err(_) => Err(format!("did not end within {HANG:?}")),
            Ok(Err(_)) => Err("panicked".into()),
            // A module without its program cannot do more than say so.
            Ok(Ok(Err(error @ ModuleError::ToolMissing(_)))) => Err(error.chain()),
            Ok(Ok(Err(error))) => Err(format!("failed: {}", error.chain())),
            Ok(Ok(Ok(result))) => Ok(result),
        }
    }
}

fn check_places(finding: &Finding, root: &Path, broken: &mut Vec<String>) {
    if finding.title.trim().is_empty() {
        broken.push(format!("finding {} has no title", finding.rule_id));
    }
    for place in finding.locations.iter().chain(&finding.related).chain(&finding.code_flow) {
        let Ok(content) = std::fs::read(place.path.in_root(root)) else {
            broken.push(format!("finding {} is in {}, which is not there", finding.rule_id, place.path));
            continue;
        };
        let Some(region) = place.region else { continue };
        let lines = memchr::memchr_iter(b'\n', &content).count() + 1;
        if region.start.line.number() as usize > lines || region.end.is_some_and(|end| end < region.start) {
            broken
                .push(format!("finding {} is at {place}, outside the file's {lines} lines", finding.rule_id));
        }
        if region.bytes.is_some_and(|bytes| bytes.start > bytes.end || bytes.end > content.len() as u64) {
            broken.push(format!("finding {} at {place} has bytes outside the file", finding.rule_id));
        }
    }
}

/// Names and contents of a tree, to see whether it changed.
fn digest(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            all.insert(entry.path(), std::fs::read(entry.path()).unwrap_or_default());
        }
    }
    all
}

impl std::fmt::Debug for Conformance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conformance").field("module", &self.module.info().name).finish_non_exhaustive()
    }
}
