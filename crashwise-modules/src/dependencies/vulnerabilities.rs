//! `vulnerability_analyzer`: judges an inventory by an advisory database.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read as _;
use std::path::PathBuf;

use async_trait::async_trait;
use crashwise_core::{
    ArtifactRef, Finding, Fingerprint, Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo,
    ModuleKind, RuleId, Severity, Summary, Suppression, SuppressionKind,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::advisory::Database;
use super::analysis::{Analysis, Vulnerability, analyze};
use super::day::Day;
use super::finding::{Ways, finding, fingerprint};
use super::handover::Handover;
use super::inventory::{Inventory, Origin};
use super::scan::{ScannerConfig, about, take_inventory};
use super::threat::{self, Epss};
use super::version::Ecosystem;
use super::yanked::Index;

/// Most bytes of a stored inventory.
const MAX_INVENTORY: u64 = 4 << 30;
/// After how many days a database is called old.
const OLD_DATABASE: u32 = 90;

/// Finds known vulnerabilities in what a project depends on.
///
/// Takes the inventory of an earlier [`DependencyScanner`](super::DependencyScanner), or takes it itself.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VulnerabilityAnalyzer {
    pub(super) handover: Handover,
}

/// Configuration of [`VulnerabilityAnalyzer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AnalyzerConfig {
    /// The compiled advisory database.
    pub database: Option<PathBuf>,
    /// The inventory of an earlier step; without one the analyzer takes it itself.
    pub inventory: Option<ArtifactRef>,
    /// Whether packages for development and tests count.
    pub scan_dev_dependencies: bool,
    /// The least severity that is reported.
    pub vulnerability_threshold: Severity,
    /// What an advisory counts as of which nothing says how bad it is.
    pub unknown_severity: UnknownSeverity,
    /// The most days since the newest advisory of a used ecosystem; an older database fails the step.
    pub max_database_age: Option<u32>,
    /// Whether ignore files and VEX documents of the project suppress findings.
    pub ignore_files: bool,
    /// A table of EPSS scores, CSV or CSV as gzip.
    pub epss: Option<PathBuf>,
    /// A catalogue of known exploited vulnerabilities, JSON; what it lists counts as high at least.
    pub kev: Option<PathBuf>,
    /// A copy of the sparse index of the registry of Rust crates, or cargo's cache of it; withdrawn versions are
    /// findings then.
    pub registry_index: Option<PathBuf>,
}

impl Default for AnalyzerConfig {
    fn default() -> Self {
        Self {
            database: None,
            inventory: None,
            scan_dev_dependencies: true,
            vulnerability_threshold: Severity::Medium,
            unknown_severity: UnknownSeverity::Report,
            max_database_age: None,
            ignore_files: true,
            epss: None,
            kev: None,
            registry_index: None,
        }
    }
}

/// What an advisory counts as of which nothing says how bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownSeverity {
    /// As bad as the threshold, so that a gate does not let it through.
    #[default]
    Report,
    /// It is left out and counted.
    Ignore,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl UnknownSeverity {
    fn severity(self, threshold: Severity) -> Option<Severity> {
        match self {
            Self::Report => Some(threshold),
            Self::Ignore => None,
            Self::Low => Some(Severity::Low),
            Self::Medium => Some(Severity::Medium),
            Self::High => Some(Severity::High),
            Self::Critical => Some(Severity::Critical),
        }
    }
}

#[async_trait]
impl Module for VulnerabilityAnalyzer {
    type Config = AnalyzerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "vulnerability_analyzer",
            "1.0.0",
            ModuleKind::Analyzer,
            "Finds known vulnerabilities in dependencies, offline, by a compiled advisory database.",
        )
        .with_tags(["dependencies", "vulnerabilities", "osv"])
    }

    fn reads(&self, config: &AnalyzerConfig) -> Vec<PathBuf> {
        let files = [&config.database, &config.epss, &config.kev, &config.registry_index];
        files.into_iter().flatten().cloned().collect()
    }

    async fn run(&self, cx: &ModuleContext, config: AnalyzerConfig) -> Result<Summary, ModuleError> {
        let handover = self.handover.clone();
        cx.blocking(move |cx| run(cx, &config, &handover)).await
    }
}

fn run(cx: &ModuleContext, config: &AnalyzerConfig, handover: &Handover) -> Result<Summary, ModuleError> {
    let Some(path) = &config.database else {
        let message =
            "database: expected the path of a compiled advisory database (`crashwise db build` makes one)";
        return Err(ModuleError::Config(message.to_owned()));
    };
    let failed = |error| ModuleError::failed_to(format!("advisory database {}", path.display()), error);
    let database = Database::open(path).map_err(failed)?;
    let inventory = match &config.inventory {
        Some(artifact) => match handover.take(&artifact.digest) {
            Some(inventory) => inventory,
            None => stored_inventory(cx, artifact)?,
        },
        None => take_inventory(cx, &ScannerConfig::default())?,
    };
    let today = Day::today();
    let age = age(&inventory, &database, today);
    if let (Some(limit), Some(age)) = (config.max_database_age, age)
        && age > limit
    {
        let message = format!("the newest advisory is {age} days old, at most {limit} are allowed");
        return Err(ModuleError::failed_to(format!("advisory database {}", path.display()), message));
    }
    if config.max_database_age.is_some() && age.is_none() && !inventory.packages.is_empty() {
        let message = "its advisories about these packages bear no date, so its age is not known";
        return Err(ModuleError::failed_to(format!("advisory database {}", path.display()), message));
    }
    let analysis = analyze(&inventory, &database, config.scan_dev_dependencies).map_err(failed)?;
    let threats = Threats::read(config, &analysis)?;
    let mut report = Report {
        cx,
        config,
        threats,
        inventory: &inventory,
        today,
        used: vec![false; inventory.ignores.len()],
        counts: Counts::default(),
    };
    report.vulnerabilities(&analysis)?;
    report.ignores()?;
    let yanked = report.yanked()?;
    report.gaps(&analysis);
    if let Some(age) = age.filter(|age| *age > OLD_DATABASE) {
        let rule = RuleId::new("dependencies/old-database").map_err(ModuleError::failed)?;
        let message =
            format!("the newest advisory of the database is {age} days old, newer ones are not known");
        cx.report(
            Finding::new(rule, "The advisory database is old", Severity::Info)
                .with_message(message)
                .with_category("dependency"),
        )?;
    }
    for ecosystem in missing_ecosystems(&inventory, &database) {
        let detail = format!("the database has no advisories about {ecosystem}");
        cx.not_covered(Gap::new(format!("packages of {ecosystem}"), GapReason::Unsupported, detail));
    }
    let Counts { reported, below, unknown, suppressed } = report.counts;
    cx.covered("packages judged", analysis.looked_up);
    if analysis.development > 0 {
        cx.excluded("packages for development", analysis.development);
    }
    if below > 0 {
        cx.excluded("vulnerabilities below the threshold", below);
    }
    let meta = database.meta();
    Ok(Summary::new()
        .with("packages", inventory.packages.len())
        .with("looked_up", analysis.looked_up)
        .with("vulnerabilities", reported)
        .with("below_threshold", below)
        .with("unknown_severity", unknown)
        .with("suppressed", suppressed)
        .with("yanked", yanked)
        .with("development_left_out", analysis.development)
        .with("part_of_the_project", analysis.local)
        .with(
            "database",
            json!({
                "digest": database.digest(),
                "advisories": meta.advisories,
                "newest": meta.newest(),
                "age_days": age,
                "sources": meta.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(),
                "licenses": meta.licenses,
            }),
        ))
}

fn stored_inventory(cx: &ModuleContext, artifact: &ArtifactRef) -> Result<Inventory, ModuleError> {
    let mut text = Vec::new();
    cx.open(artifact)?
        .take(MAX_INVENTORY)
        .read_to_end(&mut text)
        .map_err(|error| ModuleError::failed_to("reading the inventory failed", error))?;
    serde_json::from_slice(&text)
        .map_err(|error| ModuleError::failed_to("reading the inventory failed", error))
}

/// The age in days of the oldest ecosystem of the database that the inventory uses.
fn age(inventory: &Inventory, database: &Database, today: Day) -> Option<u32> {
    let used = |name: &str| inventory.packages.iter().any(|package| package.ecosystem.name() == name);
    let days = database.meta().ecosystems.iter().filter(|(name, _)| used(name));
    // Some sources date nothing and write the year 1.
    let dated = days.filter(|(_, info)| info.newest.as_str() >= "1990");
    dated.filter_map(|(_, info)| Some(today.since(Day::parse(&info.newest)?))).max()
}

/// Ecosystems of the inventory about which the database says nothing.
fn missing_ecosystems(inventory: &Inventory, database: &Database) -> Vec<&'static str> {
    let mut used: Vec<Ecosystem> = Vec::new();
    for package in &inventory.packages {
        if package.origin.is_advised() && !used.contains(&package.ecosystem) {
            used.push(package.ecosystem);
        }
    }
    let is_missing = |name: &&str| !database.meta().ecosystems.contains_key(*name);
    used.into_iter().map(Ecosystem::name).filter(is_missing).collect()
}

#[derive(Debug, Default)]
struct Counts {
    reported: u64,
    below: u64,
    unknown: u64,
    suppressed: u64,
}

/// What is known about the use of the vulnerabilities that were found.
#[derive(Debug, Default)]
struct Threats {
    scores: BTreeMap<String, Epss>,
    exploited: BTreeMap<String, String>,
}

impl Threats {
    fn read(config: &AnalyzerConfig, analysis: &Analysis) -> Result<Self, ModuleError> {
        let ids = |vulnerability| names(vulnerability).filter(|id| id.starts_with("CVE-"));
        let wanted: BTreeSet<&str> = analysis.vulnerabilities.iter().flat_map(ids).collect();
        let failed = |error| ModuleError::failed_to("what is known about exploits could not be read", error);
        let mut threats = Self::default();
        if let Some(path) = &config.epss {
            threats.scores = threat::epss(path, &wanted).map_err(failed)?;
        }
        if let Some(path) = &config.kev {
            threats.exploited = threat::exploited(path, &wanted).map_err(failed)?;
        }
        Ok(threats)
    }

    /// The highest score of the names of a vulnerability.
    fn score(&self, vulnerability: &Vulnerability) -> Option<Epss> {
        let scores = names(vulnerability).filter_map(|id| self.scores.get(id).copied());
        scores.max_by(|a, b| a.probability.total_cmp(&b.probability))
    }

    /// Since when it is known to be exploited.
    fn exploited_since(&self, vulnerability: &Vulnerability) -> Option<&str> {
        names(vulnerability).find_map(|id| self.exploited.get(id).map(String::as_str))
    }
}

/// The ids and aliases of a vulnerability.
fn names(vulnerability: &Vulnerability) -> impl Iterator<Item = &str> {
    [&vulnerability.advisory.id].into_iter().chain(&vulnerability.aliases).map(String::as_str)
}

struct Report<'a> {
    cx: &'a ModuleContext,
    config: &'a AnalyzerConfig,
    threats: Threats,
    inventory: &'a Inventory,
    today: Day,
    /// Which statements of ignore files covered something.
    used: Vec<bool>,
    counts: Counts,
}

impl Report<'_> {
    fn vulnerabilities(&mut self, analysis: &Analysis) -> Result<(), ModuleError> {
        let mut fingerprints: HashSet<Fingerprint> = HashSet::new();
        let ways = Ways::new(self.inventory);
        for vulnerability in &analysis.vulnerabilities {
            for index in &vulnerability.ignored_by {
                self.used[*index] = true;
            }
            let unknown = vulnerability.rating.severity.is_none();
            self.counts.unknown += u64::from(unknown);
            let threshold = self.config.vulnerability_threshold;
            let severity = vulnerability.severity(self.config.unknown_severity.severity(threshold));
            let exploited = self.threats.exploited_since(vulnerability);
            let severity = match exploited {
                // What is exploited is not a matter of taste, even if nothing says how bad it is.
                Some(_) => Some(severity.map_or(Severity::High, |severity| severity.max(Severity::High))),
                None => severity,
            };
            let Some(severity) = severity.filter(|severity| *severity >= threshold) else {
                self.counts.below += 1;
                continue;
            };
            let mut finding = finding(&ways, vulnerability, severity)?;
            if let Some(since) = exploited {
                finding =
                    finding.with_evidence("known_exploited", true).with_evidence("exploited_since", since);
            }
            if let Some(score) = self.threats.score(vulnerability) {
                finding = finding
                    .with_evidence("epss", score.probability)
                    .with_evidence("epss_percentile", score.percentile);
            }
            if self.config.ignore_files {
                for index in &vulnerability.ignored_by {
                    let ignore = &self.inventory.ignores[*index];
                    if self.is_expired(ignore.until.as_deref()) {
                        continue;
                    }
                    let reason = if ignore.reason.is_empty() { "no reason given" } else { &ignore.reason };
                    let reason = format!("{reason} ({})", ignore.location);
                    finding =
                        finding.with_suppression(Suppression { kind: SuppressionKind::External, reason });
                }
            }
            if finding.suppressions.is_empty() {
                self.counts.reported += 1;
            } else {
                self.counts.suppressed += 1;
            }
            let package = &self.inventory.packages[vulnerability.packages[0]];
            let identity = fingerprint(vulnerability, package, &fingerprints);
            fingerprints.insert(identity.clone());
            self.cx.report(finding.with_fingerprint(identity))?;
        }
        Ok(())
    }

    fn is_expired(&self, until: Option<&str>) -> bool {
        until.and_then(Day::parse).is_some_and(|until| until < self.today)
    }

    /// Statements that have expired or cover nothing.
    fn ignores(&self) -> Result<(), ModuleError> {
        if !self.config.ignore_files {
            return Ok(());
        }
        for (ignore, used) in self.inventory.ignores.iter().zip(&self.used) {
            let what = match (&ignore.package, ignore.id.as_str()) {
                (Some(package), "") => package.name.clone(),
                (Some(package), id) => format!("{id} in {}", package.name),
                (None, id) => id.to_owned(),
            };
            let (rule, title, message) = if self.is_expired(ignore.until.as_deref()) {
                let until = ignore.until.as_deref().unwrap_or_default();
                (
                    "dependencies/expired-ignore",
                    "An ignore has expired",
                    format!("{what} was to be ignored until {until}"),
                )
            } else if *used {
                continue;
            } else {
                (
                    "dependencies/unused-ignore",
                    "An ignore covers nothing",
                    format!("{what} is ignored, and nothing is affected by it"),
                )
            };
            let rule = RuleId::new(rule).map_err(ModuleError::failed)?;
            let finding = Finding::new(rule, title, Severity::Info)
                .with_message(message)
                .with_category("dependency")
                .with_recommendation("remove the entry, or give it a new day")
                .with_location(ignore.location.clone());
            let fingerprint =
                Fingerprint::of([finding.rule_id.as_str(), ignore.location.path.as_str(), &what]);
            self.cx.report(finding.with_fingerprint(fingerprint))?;
        }
        Ok(())
    }

    /// Versions that were withdrawn from the registry, and how many there are.
    fn yanked(&self) -> Result<u64, ModuleError> {
        let Some(folder) = &self.config.registry_index else { return Ok(0) };
        let failed = |error| {
            ModuleError::failed_to(
                format!("the registry index {} could not be read", folder.display()),
                error,
            )
        };
        let index = Index::open(folder).map_err(failed)?;
        let (mut found, mut absent) = (0, 0_u64);
        for package in &self.inventory.packages {
            let left_out = package.scope.is_dev() && !self.config.scan_dev_dependencies;
            let is_listed = package.ecosystem == Ecosystem::Cargo && package.origin == Origin::Public;
            let Some(version) = package.version.as_deref().filter(|_| is_listed && !left_out) else {
                continue;
            };
            match index.is_yanked(&package.name, version).map_err(failed)? {
                Some(false) => {}
                None => absent += 1,
                Some(true) => {
                    found += 1;
                    let message = format!("{} {version} was withdrawn from the registry", package.name);
                    let title = "A version was withdrawn";
                    let finding = about(package, "dependencies/yanked", title, Severity::Low, message)?
                        .with_recommendation(format!(
                            "move {} to a version that was not withdrawn",
                            package.name
                        ));
                    self.cx.report(finding)?;
                }
            }
        }
        if absent > 0 {
            let detail =
                format!("{absent} versions are not in the index, whether they were withdrawn is unknown");
            self.cx.not_covered(Gap::new("registry index", GapReason::Unsupported, detail));
        }
        Ok(found)
    }

    /// Packages that could not be judged.
    fn gaps(&self, analysis: &Analysis) {
        let gap = |index: &usize, reason: GapReason, detail: String| {
            let package = &self.inventory.packages[*index];
            self.cx.not_covered(Gap::new(format!("{} ({})", package.name, package.location), reason, detail));
        };
        for index in &analysis.undecided {
            let version = self.inventory.packages[*index].version.as_deref().unwrap_or_default();
            gap(index, GapReason::Malformed, format!("version {version:?} cannot be compared"));
        }
        for index in &analysis.unsettled {
            gap(index, GapReason::Unsupported, "no version is settled".to_owned());
        }
    }
}
