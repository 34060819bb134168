//! One module over a small tree.

use super::MemoryHost;
use crate::{
    AnyModule, ArtifactRef, CancellationToken, Coverage, Finding, ModuleContext, ModuleError, ModuleHost,
    RunId, Stats, StepIdentity, Summary, Workspace,
};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs one module over a small tree.
///
/// ```
/// # use crashwise_core::{Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary};
/// # struct Count;
/// # #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)] struct Nothing {}
/// # #[async_trait::async_trait]
/// # impl Module for Count {
/// #     type Config = Nothing;
/// #     fn info(&self) -> ModuleInfo { ModuleInfo::new("count", "1.0.0", ModuleKind::Scanner, "Counts.") }
/// #     async fn run(&self, cx: &ModuleContext, _: Nothing) -> Result<Summary, ModuleError> {
/// #         Ok(Summary::new().with("files", std::fs::read_dir(cx.workspace().root())?.count()))
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use crashwise_core::testing::ModuleTest;
/// let result = ModuleTest::new(Count).file("a.py", "eval(x)").file("b.py", "").run().await.unwrap();
/// assert_eq!(result.summary.values["files"], 2);
/// # }
/// ```
pub struct ModuleTest {
    module: Arc<dyn AnyModule>,
    config: Value,
    files: Vec<(PathBuf, Vec<u8>)>,
    root: Option<PathBuf>,
    cancel: CancellationToken,
    host: Arc<MemoryHost>,
}

/// All that a module pushed and returned.
#[derive(Debug)]
pub struct ModuleTestResult {
    /// Findings, sorted by place and rule.
    pub findings: Vec<Finding>,
    /// What the module returned.
    pub summary: Summary,
    /// What it looked at.
    pub coverage: Coverage,
    /// Its live statistics.
    pub stats: Vec<Stats>,
    /// The files it stored.
    pub artifacts: Vec<ArtifactRef>,
    host: Arc<MemoryHost>,
}

impl ModuleTestResult {
    /// Each finding as `rule path:line:column`.
    pub fn places(&self) -> Vec<String> {
        self.findings
            .iter()
            .map(|finding| match finding.primary() {
                Some(place) => format!("{} {place}", finding.rule_id),
                None => finding.rule_id.to_string(),
            })
            .collect()
    }

    /// The content of a stored file.
    pub fn artifact(&self, name: &str) -> Option<Vec<u8>> {
        let artifact = self.artifacts.iter().find(|artifact| artifact.name == name)?;
        let mut bytes = Vec::new();
        self.host.open(artifact).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

impl ModuleTest {
    /// A test of a module with its default configuration on an empty tree.
    pub fn new(module: impl AnyModule) -> Self {
        Self::shared(Arc::new(module))
    }

    /// The same for a module that others hold too.
    pub fn shared(module: Arc<dyn AnyModule>) -> Self {
        Self {
            module,
            config: Value::Null,
            files: Vec::new(),
            root: None,
            cancel: CancellationToken::new(),
            host: Arc::default(),
        }
    }

    /// Sets the configuration.
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Adds a file to the tree.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.into(), content.as_ref().to_vec()));
        self
    }

    /// Looks at a tree that is there instead of a made one.
    #[must_use]
    pub fn tree(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Sets the token that asks the module to stop.
    #[must_use]
    pub fn cancel(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }

    /// Sets the host, e.g. one that holds artifacts of an earlier module.
    #[must_use]
    pub fn host(mut self, host: Arc<MemoryHost>) -> Self {
        self.host = host;
        self
    }

    /// Runs the module.
    pub async fn run(self) -> Result<ModuleTestResult, ModuleError> {
        let made = tempfile::tempdir()?;
        for (path, content) in &self.files {
            let path = made.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            std::fs::write(path, content)?;
        }
        let root = self.root.as_deref().unwrap_or(made.path());
        let run = RunId::new("test-run-00000001").map_err(ModuleError::failed)?;
        let identity = StepIdentity::new(run, "test", "module");
        let host = Arc::clone(&self.host);
        let cx = ModuleContext::new(identity, &self.module.info(), Workspace::in_place(root), host)
            .with_cancel(self.cancel.clone());
        let summary = self.module.run_json(&cx, self.config).await?;
        let mut findings = self.host.findings();
        findings.sort_by_cached_key(sort_key);
        Ok(ModuleTestResult {
            findings,
            summary,
            coverage: cx.take_coverage(),
            stats: self.host.stats_events(),
            artifacts: cx.take_artifacts(),
            host: self.host,
        })
    }
}

fn sort_key(finding: &Finding) -> (String, Option<crate::Position>, String, Option<crate::Fingerprint>) {
    let place = finding.primary();
    (
        place.map(|place| place.path.to_string()).unwrap_or_default(),
        place.and_then(|place| place.region).map(|region| region.start),
        finding.rule_id.to_string(),
        finding.fingerprint.clone(),
    )
}

impl std::fmt::Debug for ModuleTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleTest").field("module", &self.module.info().name).finish_non_exhaustive()
    }
}
