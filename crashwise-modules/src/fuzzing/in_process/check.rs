//! Fuzzing for a few seconds in a test.

use super::module::{FuzzConfig, FuzzModule};
use crashwise_core::{
    ArtifactRef, Finding, Module, ModuleContext, ModuleError, ModuleHost, RunId, Stats, StepIdentity,
    Summary, Workspace, error_chain,
};
use serde_json::Value;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

impl FuzzModule {
    /// Fuzzes for `time`, rounded up to seconds, and panics when the target crashes or nothing was executed: a test.
    ///
    /// Inputs are kept in `fuzz/corpus/NAME` below the working directory, which is the package's in a test, unless
    /// [`with_corpus`](Self::with_corpus) names another folder; a run of hours by a workflow can use the same. What crashes is
    /// written below `fuzz/artifacts/NAME`, and the text of the panic says how to replay it.
    ///
    /// # Panics
    /// With what was found.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// use crashwise_modules::fuzzing::FuzzModule;
    ///
    /// #[test]
    /// fn numbers_are_read() {
    ///     FuzzModule::new("numbers", |data: &[u8]| {
    ///         let _ = std::str::from_utf8(data).map(str::parse::<f64>);
    ///     })
    ///     .check(Duration::from_secs(3));
    /// }
    /// ```
    #[track_caller]
    pub fn check(&self, time: Duration) {
        let folder = PathBuf::from("fuzz");
        let host =
            Arc::new(Folder { root: folder.join("artifacts").join(self.name()), findings: Mutex::default() });
        let corpus = self.corpus().map_or_else(|| folder.join("corpus").join(self.name()), Path::to_owned);
        let config = FuzzConfig {
            timeout_seconds: (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1),
            corpus: Some(std::path::absolute(&corpus).unwrap_or(corpus)),
            ..FuzzConfig::default()
        };
        let identity = StepIdentity::new(RunId::generate(), "test", self.name());
        let cx = ModuleContext::new(
            identity,
            &self.info(),
            Workspace::in_place("."),
            Arc::clone(&host) as Arc<dyn ModuleHost>,
        );
        // A test may be in a runtime of its own.
        let ran = std::thread::scope(|scope| scope.spawn(|| run(self, &cx, config)).join());
        let findings = std::mem::take(&mut *host.findings.lock().unwrap_or_else(PoisonError::into_inner));
        let found: Vec<String> = findings.iter().map(|finding| told(finding, &host.root)).collect();
        match ran {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => panic!("fuzzing {} failed: {}", self.name(), error_chain(&error)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        assert!(found.is_empty(), "fuzzing {} found:\n{}", self.name(), found.join("\n"));
    }
}

fn run(module: &FuzzModule, cx: &ModuleContext, config: FuzzConfig) -> Result<Summary, ModuleError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ModuleError::failed_to("starting a runtime failed", error))?;
    runtime.block_on(module.run(cx, config))
}

/// A finding for people, with the command that replays it from the working directory.
fn told(finding: &Finding, root: &Path) -> String {
    let replay = finding.evidence.get("replay").and_then(Value::as_str).unwrap_or("no input was kept");
    // The input is written already.
    let replay = replay.rsplit_once(" && ").map_or(replay, |(_, command)| command);
    let replay = replay.replace(" crashes/", &format!(" {}/crashes/", root.display()));
    format!("  {}\n    replay: {replay}", finding.title)
}

/// Keeps findings in memory and files below a folder.
struct Folder {
    root: PathBuf,
    findings: Mutex<Vec<Finding>>,
}

impl ModuleHost for Folder {
    fn report(&self, finding: Finding) -> io::Result<()> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
        Ok(())
    }

    fn stats(&self, _: Stats) {}

    fn heartbeat(&self, _: Value) {}

    fn store(&self, name: &str, content: &mut dyn Read) -> io::Result<ArtifactRef> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, &bytes)?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Ok(ArtifactRef { name: name.to_owned(), digest, size: bytes.len() as u64 })
    }

    fn open(&self, artifact: &ArtifactRef) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(fs::File::open(self.root.join(&artifact.name))?))
    }
}
