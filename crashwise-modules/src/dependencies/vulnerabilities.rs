//! `vulnerability_analyzer`: judges an inventory by an advisory database.

use std::fmt::Write as _;
use std::path::PathBuf;

use async_trait::async_trait;
use crashwise_core::{
    ArtifactRef, Finding, Fingerprint, Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo,
    ModuleKind, RuleId, Severity, Summary, Suppression, SuppressionKind,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::advisory::{Class, Database};
use super::analysis::{Analysis, Vulnerability, analyze};
use super::day::Day;
use super::inventory::{Inventory, Package};
use super::scan::{ScannerConfig, take_inventory};

/// After how many days a database is called old.
const OLD_DATABASE: u32 = 90;

/// Finds known vulnerabilities in what a project depends on.
///
/// Takes the inventory of an earlier [`DependencyScanner`](super::DependencyScanner), or takes it itself.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct VulnerabilityAnalyzer;

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
        config.database.iter().cloned().collect()
    }

    async fn run(&self, cx: &ModuleContext, config: AnalyzerConfig) -> Result<Summary, ModuleError> {
        cx.blocking(move |cx| run(cx, &config)).await
    }
}

fn run(cx: &ModuleContext, config: &AnalyzerConfig) -> Result<Summary, ModuleError> {
    let Some(path) = &config.database else {
        let message =
            "database: expected the path of a compiled advisory database (`crashwise db build` makes one)";
        return Err(ModuleError::Config(message.to_owned()));
    };
    let failed = |error| ModuleError::failed_to(format!("advisory database {}", path.display()), error);
    let database = Database::open(path).map_err(failed)?;
    let inventory = match &config.inventory {
        Some(artifact) => {
            let reader = std::io::BufReader::new(cx.open(artifact)?);
            serde_json::from_reader(reader)
                .map_err(|error| ModuleError::failed_to("reading the inventory failed", error))?
        }
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
    let mut report = Report {
        cx,
        config,
        inventory: &inventory,
        today,
        used: vec![false; inventory.ignores.len()],
        counts: Counts::default(),
    };
    report.vulnerabilities(&analysis)?;
    report.ignores()?;
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
    let mut missing: Vec<&'static str> = Vec::new();
    for package in &inventory.packages {
        let name = package.ecosystem.name();
        if package.origin.is_advised()
            && !database.meta().ecosystems.contains_key(name)
            && !missing.contains(&name)
        {
            missing.push(name);
        }
    }
    missing
}

#[derive(Debug, Default)]
struct Counts {
    reported: u64,
    below: u64,
    unknown: u64,
    suppressed: u64,
}

struct Report<'a> {
    cx: &'a ModuleContext,
    config: &'a AnalyzerConfig,
    inventory: &'a Inventory,
    today: Day,
    /// Which statements of ignore files covered something.
    used: Vec<bool>,
    counts: Counts,
}

impl Report<'_> {
    fn vulnerabilities(&mut self, analysis: &Analysis) -> Result<(), ModuleError> {
        let mut fingerprints: Vec<Fingerprint> = Vec::new();
        for vulnerability in &analysis.vulnerabilities {
            for index in &vulnerability.ignored_by {
                self.used[*index] = true;
            }
            let unknown = vulnerability.rating.severity.is_none();
            self.counts.unknown += u64::from(unknown);
            let threshold = self.config.vulnerability_threshold;
            let severity = vulnerability.severity(self.config.unknown_severity.severity(threshold));
            let Some(severity) = severity.filter(|severity| *severity >= threshold) else {
                self.counts.below += 1;
                continue;
            };
            let mut finding = finding(self.inventory, vulnerability, severity)?;
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
            let identity = fingerprint(vulnerability, package, fingerprints.as_slice());
            fingerprints.push(identity.clone());
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

/// The identity over runs: advisory, file and package. A second version of the package in the file adds its version.
fn fingerprint(vulnerability: &Vulnerability, package: &Package, known: &[Fingerprint]) -> Fingerprint {
    let path = package.location.path.as_str();
    let name = format!("{}:{}", package.ecosystem, package.ecosystem.normalize_name(&package.name));
    let id = vulnerability.advisory.id.as_str();
    let plain = Fingerprint::of([id, path, &name]);
    if known.contains(&plain) {
        return Fingerprint::of([id, path, &name, package.version.as_deref().unwrap_or_default()]);
    }
    plain
}

fn finding(
    inventory: &Inventory,
    vulnerability: &Vulnerability,
    severity: Severity,
) -> Result<Finding, ModuleError> {
    let advisory = &vulnerability.advisory;
    let package = &inventory.packages[vulnerability.packages[0]];
    let version = package.version.as_deref().unwrap_or_default();
    let rule = RuleId::new(advisory.id.as_str())
        .or_else(|_| RuleId::new("dependencies/advisory"))
        .map_err(ModuleError::failed)?;
    let title = if advisory.summary.is_empty() { "Known vulnerability" } else { &advisory.summary };
    let mut finding = Finding::new(rule, title, severity)
        .with_message(message(inventory, vulnerability))
        .with_confidence(crashwise_core::Confidence::High)
        .with_category(match advisory.class {
            Class::Malicious => "malicious_package",
            Class::Unmaintained => "unmaintained_package",
            Class::Unsound => "unsound_package",
            _ => "vulnerable_dependency",
        })
        .with_evidence("package", package.name.as_str())
        .with_evidence("version", version)
        .with_evidence("ecosystem", package.ecosystem.name())
        .with_evidence("purl", package.purl())
        .with_evidence("scope", package.scope.as_str())
        .with_evidence("class", advisory.class.as_str())
        .with_evidence("severity_source", vulnerability.rating.source.as_str())
        .with_evidence("direct", package.direct);
    if let Some(score) = vulnerability.rating.score {
        finding = finding.with_evidence("cvss_score", f64::from(score) / 10.0);
    }
    if !vulnerability.aliases.is_empty() {
        finding = finding.with_evidence("aliases", vulnerability.aliases.clone());
    }
    for index in &vulnerability.packages {
        finding = finding.with_location(inventory.packages[*index].location.clone());
    }
    for number in if advisory.weaknesses.is_empty() { &[1395][..] } else { &advisory.weaknesses } {
        finding = finding.with_cwe(*number);
    }
    let way = inventory.path_to(vulnerability.packages[0]);
    if let Some(manifest) = way.first().and_then(|first| inventory.packages[*first].manifest.clone()) {
        let asked = format!("asks for {}", inventory.packages[way[0]].name);
        finding = finding.with_related(manifest.with_message(asked));
    }
    if way.len() > 1 {
        let step = |index: &usize| {
            let package = &inventory.packages[*index];
            let version = package.version.as_deref().unwrap_or_default();
            package.location.clone().with_message(format!("{} {version}", package.name))
        };
        finding = finding.with_code_flow(way.iter().map(step).collect());
    }
    if let Some(fixed) = &vulnerability.fixed {
        finding = finding.with_evidence("fixed_version", fixed.as_str());
    }
    finding = match (&vulnerability.upgrade, &vulnerability.fixed) {
        (Some(upgrade), _) => finding.with_evidence("upgrade_to", upgrade.as_str()).with_recommendation(
            format!("upgrade {} to {upgrade}, which no known advisory affects", package.name),
        ),
        (None, Some(fixed)) => finding.with_recommendation(format!(
            "upgrade {} to {fixed}; other advisories of it have no fix yet",
            package.name
        )),
        (None, None) if advisory.class == Class::Malicious => finding.with_recommendation(format!(
            "remove {} and treat what it could reach as compromised",
            package.name
        )),
        (None, None) => {
            finding.with_recommendation(format!("no fix is known: replace {} or limit its use", package.name))
        }
    };
    for url in &advisory.urls {
        finding = finding.with_reference(url.as_str());
    }
    Ok(finding)
}

fn message(inventory: &Inventory, vulnerability: &Vulnerability) -> String {
    let advisory = &vulnerability.advisory;
    let package = &inventory.packages[vulnerability.packages[0]];
    let version = package.version.as_deref().unwrap_or_default();
    let mut text = match advisory.class {
        Class::Malicious => format!("{} {version} is malicious", package.name),
        Class::Unmaintained => format!("{} {version} is not maintained", package.name),
        Class::Unsound => format!("{} {version} is unsound", package.name),
        _ => format!("{} {version} is vulnerable", package.name),
    };
    if !advisory.summary.is_empty() {
        let _ = write!(text, ": {}", advisory.summary);
    }
    if let Some(fixed) = &vulnerability.fixed {
        let _ = write!(text, "; fixed in {fixed}");
    }
    let way = inventory.path_to(vulnerability.packages[0]);
    if way.len() > 1 {
        let names: Vec<&str> = way.iter().map(|index| inventory.packages[*index].name.as_str()).collect();
        let _ = write!(text, "; needed by {}", names[..names.len() - 1].join(" > "));
    }
    text
}
