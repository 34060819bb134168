//! The inventory of a workspace, as a module and as a function.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use crashwise_core::{
    ArtifactRef, Coverage, Finding, Fingerprint, Gap, GapReason, Module, ModuleContext, ModuleError,
    ModuleHost, ModuleInfo, ModuleKind, RelPath, RuleId, RunId, Severity, Stats, StepIdentity, Summary,
    Workspace,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analysis::is_unpinned;
use super::handover::Handover;
use super::inventory::{Inventory, Mismatch, Origin, Package};
use super::lockfile::{Files, is_read, read};
use super::version::Ecosystem;
use super::vulnerabilities::VulnerabilityAnalyzer;
use crate::walk::{Visitor, Walk, WalkOptions, WalkedFile, Want};

/// Name under which the inventory is stored with the results of a run.
pub const INVENTORY_ARTIFACT: &str = "inventory.json";

/// Most bytes of all lockfiles and manifests together.
const MAX_TOTAL: u64 = 1 << 30;

/// Takes stock of what a project depends on.
///
/// Reads lockfiles and manifests; starts nothing and asks nobody. The inventory is stored as
/// [`INVENTORY_ARTIFACT`], and the summary's output is its reference.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DependencyScanner {
    handover: Handover,
}

/// The scanner and an analyzer that takes its inventory without reading it back from the store.
pub fn modules() -> (DependencyScanner, VulnerabilityAnalyzer) {
    let handover = Handover::default();
    (DependencyScanner { handover: handover.clone() }, VulnerabilityAnalyzer { handover })
}

/// Configuration of [`DependencyScanner`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ScannerConfig {
    /// Largest lockfile that is read, in bytes.
    #[schemars(range(min = 1))]
    pub max_file_size: u64,
    /// Files and folders that are left out, in the syntax of `.gitignore`.
    pub exclude: Vec<String>,
    /// Report packages from sources that pin no revision, and packages that run scripts when they are installed.
    pub check_sources: bool,
    /// Report where a lockfile is out of step with its manifest, or is missing.
    pub check_lockfiles: bool,
    /// Names that are private and must not come from a public registry: `@scope/*`, `acme-*`, `PyPI:name`.
    pub private_names: Vec<String>,
}

impl Default for ScannerConfig {
    fn default() -> Self {
        let exclude = ["node_modules/", "bower_components/", "/target/"].map(str::to_owned).into();
        Self {
            max_file_size: 64 << 20,
            exclude,
            check_sources: true,
            check_lockfiles: true,
            private_names: Vec::new(),
        }
    }
}

#[async_trait]
impl Module for DependencyScanner {
    type Config = ScannerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "dependency_scanner",
            "1.0.0",
            ModuleKind::Scanner,
            "Takes stock of the packages that lockfiles and manifests name.",
        )
        .with_tags(["dependencies", "sbom", "lockfile"])
    }

    async fn run(&self, cx: &ModuleContext, config: ScannerConfig) -> Result<Summary, ModuleError> {
        let handover = self.handover.clone();
        cx.blocking(move |cx| {
            let inventory = take_inventory(cx, &config)?;
            if config.check_sources {
                for finding in source_findings(&inventory)? {
                    cx.report(finding)?;
                }
            }
            if config.check_lockfiles {
                for finding in mismatch_findings(&inventory)? {
                    cx.report(finding)?;
                }
            }
            for finding in confusion_findings(&inventory, &config.private_names)? {
                cx.report(finding)?;
            }
            let mut licenses: BTreeMap<&str, u64> = BTreeMap::new();
            for package in &inventory.packages {
                *licenses.entry(package.license.as_deref().unwrap_or("not stated")).or_default() += 1;
            }
            let text = inventory.to_json().map_err(ModuleError::failed)?;
            let artifact = cx.store_bytes(INVENTORY_ARTIFACT, text)?;
            let direct = inventory.packages.iter().filter(|package| package.direct).count();
            let development = inventory.packages.iter().filter(|package| package.scope.is_dev()).count();
            let summary = Summary::new()
                .with("files", inventory.files.len())
                .with("packages", inventory.packages.len())
                .with("direct", direct)
                .with("development", development)
                .with("licenses", serde_json::to_value(licenses).map_err(ModuleError::failed)?)
                .with_output(&artifact)
                .map_err(ModuleError::failed)?;
            handover.put(&artifact.digest, inventory);
            Ok(summary)
        })
        .await
    }
}

/// Reads every lockfile of the context's workspace; what cannot be read becomes a gap of the context.
///
/// # Errors
/// If the walk fails as a whole.
pub fn take_inventory(cx: &ModuleContext, config: &ScannerConfig) -> Result<Inventory, ModuleError> {
    let options =
        WalkOptions::new().with_max_file_size(config.max_file_size).with_exclude(config.exclude.iter());
    let walk = Walk::new(cx.workspace(), options).map_err(|error| ModuleError::Config(error.to_string()))?;
    let collector = Collector { cx, kept: Mutex::default() };
    walk.run(cx, &collector)?;
    let (files, _) = collector.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (inventory, gaps) = read(&files);
    for gap in gaps {
        cx.not_covered(gap);
    }
    cx.covered("lockfiles", inventory.files.len() as u64);
    cx.covered("packages", inventory.packages.len() as u64);
    Ok(inventory)
}

/// The inventory of a folder, for callers without a run, with what of it could be read.
///
/// # Errors
/// If the walk fails as a whole.
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("requirements.txt"), "django==4.2\n")?;
/// let (inventory, coverage) = crashwise_modules::dependencies::inventory_of(folder.path())?;
/// assert_eq!(inventory.packages[0].purl(), "pkg:pypi/django@4.2");
/// assert!(coverage.gaps.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inventory_of(folder: &Path) -> Result<(Inventory, Coverage), ModuleError> {
    let run = RunId::new("inventory").map_err(ModuleError::failed)?;
    let identity = StepIdentity::new(run, "inventory", "inventory");
    let workspace = Workspace::in_place(folder);
    let cx = ModuleContext::new(
        identity,
        &Module::info(&DependencyScanner::default()),
        workspace,
        Arc::new(Nobody),
    );
    let inventory = take_inventory(&cx, &ScannerConfig::default())?;
    Ok((inventory, cx.take_coverage()))
}

/// The inventory of lockfiles and manifests that are already in memory, with what of them could not be read.
///
/// The number and the size of the texts is the caller's to bound.
///
/// # Examples
/// ```
/// use crashwise_core::RelPath;
/// use crashwise_modules::dependencies::inventory_of_texts;
///
/// let text = "module example.org/app\n\ngo 1.22\n\nrequire example.org/a v1.2.3\n";
/// let (inventory, gaps) = inventory_of_texts([(RelPath::new("go.mod")?, text.to_owned())]);
/// assert_eq!(inventory.packages[1].purl(), "pkg:golang/example.org/a@v1.2.3");
/// assert!(gaps.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inventory_of_texts(texts: impl IntoIterator<Item = (RelPath, String)>) -> (Inventory, Vec<Gap>) {
    let mut files = Files::default();
    for (path, text) in texts {
        files.insert(path, text);
    }
    read(&files)
}

/// A host for work of which nobody keeps results.
struct Nobody;

impl ModuleHost for Nobody {
    fn report(&self, _: Finding) -> std::io::Result<()> {
        Ok(())
    }

    fn stats(&self, _: Stats) {}

    fn heartbeat(&self, _: serde_json::Value) {}

    fn store(&self, _: &str, _: &mut dyn Read) -> std::io::Result<ArtifactRef> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn open(&self, _: &ArtifactRef) -> std::io::Result<Box<dyn Read + Send>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// Keeps lockfiles and manifests while the walk passes them.
struct Collector<'a> {
    cx: &'a ModuleContext,
    /// The files, and how many bytes they have.
    kept: Mutex<(Files, u64)>,
}

impl Visitor for Collector<'_> {
    fn wants(&self, file: &WalkedFile) -> Want {
        if is_read(&file.path) { Want::Whole } else { Want::Nothing }
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.cx.not_covered(Gap::new(file.path.as_str(), GapReason::Encoding, "is no UTF-8"));
            return Ok(0);
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let total = kept.1.saturating_add(file.size);
        if total > MAX_TOTAL {
            let detail = format!("the lockfiles together have more than {MAX_TOTAL} bytes");
            self.cx.not_covered(Gap::new(file.path.as_str(), GapReason::TooLarge, detail));
            return Ok(0);
        }
        kept.1 = total;
        kept.0.insert(file.path.clone(), text.to_owned());
        Ok(0)
    }
}

/// Sources that pin no revision, and scripts that run on installation.
fn source_findings(inventory: &Inventory) -> Result<Vec<Finding>, ModuleError> {
    let mut out = Vec::new();
    for package in &inventory.packages {
        if is_unpinned(&package.origin) && package.digest.is_none() {
            let (Origin::Git(address) | Origin::Url(address)) = &package.origin else { continue };
            let message =
                format!("{} comes from {address}, which may give other content tomorrow", package.name);
            let finding = about(
                package,
                "dependencies/unpinned-source",
                "A source pins no revision",
                Severity::Low,
                message,
            )?;
            out.push(
                finding
                    .with_cwe(829)
                    .with_recommendation("name the full commit or the digest of the archive"),
            );
        }
        if package.install_script {
            let message = format!("{} runs a script when it is installed", package.name);
            let finding = about(
                package,
                "dependencies/install-script",
                "A package runs a script on installation",
                Severity::Info,
                message,
            )?;
            out.push(
                finding.with_recommendation(
                    "install with scripts turned off, and allow this one if it is needed",
                ),
            );
        }
    }
    Ok(out)
}

/// Where lockfiles and their manifests do not say the same.
fn mismatch_findings(inventory: &Inventory) -> Result<Vec<Finding>, ModuleError> {
    let rule = RuleId::new("dependencies/out-of-step").map_err(ModuleError::failed)?;
    let finding = |mismatch: &Mismatch| {
        let fingerprint = Fingerprint::of([rule.as_str(), mismatch.lockfile.as_str(), &mismatch.message]);
        Finding::new(rule.clone(), "A lockfile is out of step with its manifest", Severity::Low)
            .with_message(format!("{}: {}", mismatch.lockfile, mismatch.message))
            .with_category("dependency")
            .with_location(mismatch.location.clone())
            .with_recommendation("make the lockfile anew: what is installed is not what was looked at")
            .with_fingerprint(fingerprint)
    };
    Ok(inventory.mismatches.iter().map(finding).collect())
}

/// Packages with private names that a public registry would answer for.
fn confusion_findings(inventory: &Inventory, private: &[String]) -> Result<Vec<Finding>, ModuleError> {
    let mut out = Vec::new();
    for package in inventory.packages.iter().filter(|package| package.origin == Origin::Public) {
        let Some(pattern) = private.iter().find(|pattern| is_named(pattern, package)) else { continue };
        let message = format!(
            "{} is private (`{pattern}`), and is fetched from the public registry of {}",
            package.name, package.ecosystem
        );
        let title = "A private name is fetched from a public registry";
        let finding = about(package, "dependencies/confusion", title, Severity::High, message)?;
        out.push(
            finding.with_cwe(427).with_recommendation(
                "bind the name to the private registry, and reserve it on the public one",
            ),
        );
    }
    Ok(out)
}

/// Whether a pattern with an optional ecosystem in front and `*` at its end names a package.
fn is_named(pattern: &str, package: &Package) -> bool {
    let (ecosystem, pattern) = match pattern.split_once(':') {
        Some((name, rest)) if name.parse::<Ecosystem>().is_ok() => (name.parse().ok(), rest),
        _ => (None, pattern),
    };
    if ecosystem.is_some_and(|ecosystem: Ecosystem| ecosystem != package.ecosystem) {
        return false;
    }
    let fold = |name: &str| package.ecosystem.normalize_name(name).into_owned();
    match pattern.strip_suffix('*') {
        Some(start) => {
            // Folding may change what the star stands beside, so the star is folded as part of a name.
            let start = fold(&format!("{start}x"));
            fold(&package.name).starts_with(&start[..start.len() - 1])
        }
        None => fold(&package.name) == fold(pattern),
    }
}

pub(super) fn about(
    package: &Package,
    rule: &str,
    title: &str,
    severity: Severity,
    message: String,
) -> Result<Finding, ModuleError> {
    let rule = RuleId::new(rule).map_err(ModuleError::failed)?;
    Ok(Finding::new(rule, title, severity)
        .with_message(message)
        .with_category("dependency")
        .with_location(package.location.clone())
        .with_evidence("purl", package.purl()))
}
