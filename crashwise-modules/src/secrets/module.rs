//! The module `secret_scanner`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use crashwise_core::{
    Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary, SuppressionKind,
};

use super::baseline::Baseline;
use super::config::{SecretScanConfig, Source};
use super::container;
use super::report::{self, Commit, Occurrence, Reporting, suppressed};
use super::rule::Rule;
use super::scanner::{ScanOptions, SecretScanner};
use super::suppress::{self, Allowlists, IgnoreFile};
use super::verify::{Verification, Verifier, verify_all};
use super::visit::{MAX_OCCURRENCES, Visit};
use crate::walk::{Walk, WalkOptions, Windows};

/// The ignore file that is read, as other scanners of secrets write it.
const IGNORE_FILE: &str = ".gitleaksignore";
/// The largest ignore file or rule file.
const MAX_SMALL_FILE: u64 = 8 << 20;
/// The largest report of an earlier run.
const MAX_BASELINE: u64 = 64 << 20;
/// The most notes on rule files in a summary.
const MAX_NOTES: usize = 100;

/// The module `secret_scanner`: finds secrets in the files of a workspace or in its git repository.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SecretScan {
    verifier: Option<Arc<dyn Verifier>>,
    windows: Windows,
}

impl Default for SecretScan {
    fn default() -> Self {
        Self { verifier: None, windows: Windows::new(container::is_container) }
    }
}

impl SecretScan {
    /// A scanner that asks the issuers it knows, where `verify` is set.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn with_windows(mut self, size: usize, context: usize) -> Self {
        (self.windows.size, self.windows.context) = (size, context);
        self
    }

    /// Asks this verifier instead.
    #[must_use]
    pub fn with_verifier(mut self, verifier: impl Verifier + 'static) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }
}

#[async_trait]
impl Module for SecretScan {
    type Config = SecretScanConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "secret_scanner",
            "1.0.0",
            ModuleKind::Scanner,
            "Finds tokens, keys and passwords in files and git histories, also where they are encoded",
        )
        .with_tags(["secrets", "credentials", "tokens", "git"])
        .with_rules_digest(super::catalogue::digest())
    }

    async fn run(&self, cx: &ModuleContext, config: SecretScanConfig) -> Result<Summary, ModuleError> {
        let verifier = self.verifier(&config)?;
        let (reveal, windows) = (config.reveal, self.windows);
        let scanned = cx.blocking(move |cx| scan(cx, config, windows)).await?;
        let answers = match verifier {
            Some(verifier) => verify_all(cx, &*verifier, &scanned.found).await,
            None => BTreeMap::new(),
        };
        cx.blocking(move |cx| scanned.report(cx, reveal, &answers)).await
    }
}

impl SecretScan {
    fn verifier(&self, config: &SecretScanConfig) -> Result<Option<Arc<dyn Verifier>>, ModuleError> {
        if !config.verify {
            return Ok(None);
        }
        match &self.verifier {
            Some(verifier) => Ok(Some(Arc::clone(verifier))),
            #[cfg(feature = "verify")]
            None => {
                let verifier = super::HttpVerifier::new(&config.verify_hosts).map_err(|error| bad(&error))?;
                Ok(Some(Arc::new(verifier)))
            }
            #[cfg(not(feature = "verify"))]
            None => Err(ModuleError::Config("verify needs the feature `verify`, or a verifier".to_owned())),
        }
    }
}

/// What a scan found.
struct Scanned {
    found: Vec<Occurrence>,
    commits: BTreeMap<String, Commit>,
    summary: Summary,
}

impl Scanned {
    fn report(
        self,
        cx: &ModuleContext,
        reveal: bool,
        verified: &BTreeMap<(String, String), Verification>,
    ) -> Result<Summary, ModuleError> {
        let commit = |id: &str| self.commits.get(id).cloned();
        let reporting = Reporting { reveal, commit: &commit, verified };
        let mut count = 0_u64;
        report::findings(self.found, &reporting, |finding| {
            count += 1;
            cx.report(finding)
        })?;
        let mut summary = self.summary.with("secrets_found", count);
        for (name, wanted) in
            [("verified_secrets", Verification::Verified), ("rejected_secrets", Verification::Rejected)]
        {
            if !verified.is_empty() {
                summary = summary.with(name, verified.values().filter(|said| **said == wanted).count());
            }
        }
        Ok(summary)
    }
}

fn bad(error: &dyn std::error::Error) -> ModuleError {
    ModuleError::Config(crashwise_core::error_chain(error))
}

fn scan(cx: &ModuleContext, mut config: SecretScanConfig, windows: Windows) -> Result<Scanned, ModuleError> {
    let allow = std::mem::take(&mut config.allow);
    let (allow, expired) = Allowlists::new(allow, suppress::today()).map_err(|error| bad(&error))?;
    let (rules, notes) = rules(cx, &config)?;
    let chosen = choose(rules, &config)?;
    let options = ScanOptions::new()
        .with_generic(config.generic && chosen.generic)
        .with_min_confidence(config.min_confidence)
        .with_decode_depth(config.decode_depth);
    let ignore = match small_file(cx, IGNORE_FILE, MAX_SMALL_FILE) {
        Ok(text) => IgnoreFile::parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => IgnoreFile::default(),
        Err(error) => {
            cx.not_covered(Gap::from_io(IGNORE_FILE, &error));
            IgnoreFile::default()
        }
    };
    let baseline = baseline(cx, &config)?;
    let visit = Visit {
        cx,
        scanner: SecretScanner::with_rules(options, chosen.rules),
        containers: config.containers,
        allow,
        baseline: config.baseline.clone(),
        without: chosen.without,
        found: Mutex::new(Vec::new()),
        digests: Mutex::default(),
        crowded: Mutex::default(),
    };
    let mut summary = Summary::new();
    let mut commits = BTreeMap::new();
    let mut found = if config.source == Source::Files {
        summary = summary.with("files_scanned", files(cx, &config, windows, &visit)?);
        visit.found.into_inner().unwrap_or_else(PoisonError::into_inner)
    } else {
        let (found, described) = repository(cx, &config, windows.max_whole, &visit)?;
        commits = described;
        found
    };
    if found.len() >= MAX_OCCURRENCES {
        cx.not_covered(Gap::new(".", GapReason::TooMany, format!("more than {MAX_OCCURRENCES} secrets")));
        found.sort_by(|a, b| (&a.path, a.order()).cmp(&(&b.path, b.order())));
        found.truncate(MAX_OCCURRENCES);
    }
    let scanner = &visit.scanner;
    let ours = |rule: &str| scanner.rules().any(|known| suppress::same_rule(rule, known.id.as_str()));
    for one in &mut found {
        let fingerprint = one.fingerprint();
        let place = (one.path.as_str(), one.line());
        if one.suppression.is_none()
            && ignore.names(fingerprint.as_str(), place, one.found.rule.id.as_str(), ours)
        {
            one.suppression = Some(suppressed(SuppressionKind::External, IGNORE_FILE));
        }
        if one.suppression.is_none() && baseline.names(one) {
            one.suppression = Some(suppressed(SuppressionKind::External, "baseline"));
        }
    }
    if !notes.is_empty() {
        summary = summary.with("rule_file_notes", notes);
    }
    let summary = summary.with("rules", scanner.rules().count()).with("expired_allowlists", expired);
    Ok(Scanned { found, commits, summary })
}

/// What an earlier report names; nothing where there is none.
fn baseline(cx: &ModuleContext, config: &SecretScanConfig) -> Result<Baseline, ModuleError> {
    let Some(name) = &config.baseline else { return Ok(Baseline::default()) };
    let text = small_file(cx, name, MAX_BASELINE)
        .map_err(|error| ModuleError::Config(format!("baseline {name:?} cannot be read: {error}")))?;
    Baseline::parse(&text).map_err(|error| {
        ModuleError::Config(format!("baseline {name:?}: {}", crashwise_core::error_chain(&error)))
    })
}

/// The rules of the catalogue and of the rule files, with notes on what has no effect.
fn rules(cx: &ModuleContext, config: &SecretScanConfig) -> Result<(Vec<Rule>, Vec<String>), ModuleError> {
    let mut rules = if config.catalogue { super::catalogue::rules() } else { Vec::new() };
    let mut notes = Vec::new();
    for name in &config.rule_files {
        let text = small_file(cx, name, MAX_SMALL_FILE)
            .map_err(|error| ModuleError::Config(format!("rule file {name:?} cannot be read: {error}")))?;
        let file = super::foreign::RuleFile::parse(&text).map_err(|error| {
            ModuleError::Config(format!("rule file {name:?}: {}", crashwise_core::error_chain(&error)))
        })?;
        for problem in file.problems() {
            if problem.is_left_out {
                cx.not_covered(Gap::new(name.as_str(), GapReason::Unsupported, problem.to_string()));
            } else if notes.len() < MAX_NOTES {
                notes.push(format!("{name}: {problem}"));
            }
        }
        rules.extend(file.into_rules());
    }
    Ok((rules, notes))
}

/// The rules that the configuration asks for.
struct Chosen {
    rules: Vec<Rule>,
    generic: bool,
    /// Rules without a format that are not asked for, by id.
    without: Vec<String>,
}

fn choose(rules: Vec<Rule>, config: &SecretScanConfig) -> Result<Chosen, ModuleError> {
    let named = |name: &str, id: &str, provider: &str| {
        suppress::same_rule(name, id) || !provider.is_empty() && name.eq_ignore_ascii_case(provider)
    };
    let generic = SecretScanner::GENERIC;
    for name in config.include_rules.iter().chain(&config.exclude_rules) {
        let known = rules.iter().any(|rule| named(name, rule.info.id.as_str(), &rule.info.provider))
            || generic.iter().any(|id| named(name, id, ""));
        if !known {
            return Err(ModuleError::Config(format!(
                "there is no rule or provider {name:?}: `crashwise module info secret_scanner` says how rules are named"
            )));
        }
    }
    let wanted = |id: &str, provider: &str| {
        (config.include_rules.is_empty() || config.include_rules.iter().any(|name| named(name, id, provider)))
            && !config.exclude_rules.iter().any(|name| named(name, id, provider))
    };
    let without: Vec<String> = generic.into_iter().filter(|id| !wanted(id, "")).map(str::to_owned).collect();
    Ok(Chosen {
        generic: without.len() < generic.len(),
        without,
        rules: rules.into_iter().filter(|rule| wanted(rule.info.id.as_str(), &rule.info.provider)).collect(),
    })
}

/// Scans the files of the workspace and returns how many there were.
fn files(
    cx: &ModuleContext,
    config: &SecretScanConfig,
    mut windows: Windows,
    visit: &Visit<'_>,
) -> Result<u64, ModuleError> {
    if !config.containers {
        windows.is_readable = |_| false;
    }
    let mut walk = WalkOptions::new()
        .with_include(&config.include)
        .with_exclude(&config.exclude)
        .with_ignore_files(config.ignore_files)
        .with_max_file_size(config.max_file_size)
        .with_windows(windows);
    if let Some(threads) = NonZeroUsize::new(config.threads) {
        walk = walk.with_threads(threads);
    }
    let walk = Walk::new(cx.workspace(), walk).map_err(|error| bad(&error))?;
    Ok(walk.run(cx, visit)?.files)
}

/// What was found in a repository, and what the commits named in it say of themselves.
type FromRepository = (Vec<Occurrence>, BTreeMap<String, Commit>);

#[cfg(not(feature = "git"))]
fn repository(
    _: &ModuleContext,
    _: &SecretScanConfig,
    _: u64,
    _: &Visit<'_>,
) -> Result<FromRepository, ModuleError> {
    Err(ModuleError::Config("sources other than files need the feature `git`".to_owned()))
}

#[cfg(feature = "git")]
fn repository(
    cx: &ModuleContext,
    config: &SecretScanConfig,
    max_whole: u64,
    visit: &Visit<'_>,
) -> Result<FromRepository, ModuleError> {
    use super::git;
    use crate::walk::FilePatterns;

    let patterns = |given: &[String]| FilePatterns::new(given).map_err(|error| bad(&error));
    let available = || std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
    let options = git::Options {
        range: config.range.clone(),
        max_commits: config.max_commits,
        index_file: config.index_file.clone(),
        include: patterns(&config.include)?,
        exclude: patterns(&config.exclude)?,
        max_object: config.max_file_size.min(max_whole),
        threads: NonZeroUsize::new(config.threads).map_or_else(available, NonZeroUsize::get),
    };
    let repository = git::Repository::open(cx.workspace().root(), options.max_object)
        .map_err(|error| ModuleError::Config(crashwise_core::error_chain(&error)))?;
    let see = |text: git::Shown<'_>| match text.entry {
        None => visit.blob(text.path, text.bytes, text.origin),
        Some(entry) => visit.message(text.path, entry, text.bytes, text.origin),
    };
    let take = || std::mem::take(&mut *visit.found.lock().unwrap_or_else(PoisonError::into_inner));
    if config.source == Source::History {
        git::history(cx, &repository, &options, &see)?;
        let found = take();
        let named: BTreeSet<&str> =
            found.iter().filter_map(|one| one.origin.as_ref()?.commit.as_deref()).collect();
        let commits = named.into_iter().filter_map(|id| Some((id.to_owned(), repository.commit(id)?)));
        let commits = commits.collect();
        return Ok((found, commits));
    }
    let (new, known) = git::staged(cx, &repository, &options, &see, &take)?;
    let secrets = |one: &Occurrence| {
        (one.path.clone(), one.found.rule.id.to_string(), one.entry.clone(), one.found.secret.clone())
    };
    let known: BTreeSet<_> = known.iter().map(secrets).collect();
    let (old, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|one| known.contains(&secrets(one)));
    if !old.is_empty() {
        cx.excluded("secrets", old.len() as u64);
    }
    Ok((new, BTreeMap::new()))
}

/// A file of the workspace that is read as a whole; a link is not followed.
fn small_file(cx: &ModuleContext, name: &str, most: u64) -> std::io::Result<String> {
    let invalid = |text: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, text);
    let path = crashwise_core::RelPath::new(name).map_err(|error| invalid(error.to_string()))?;
    let root = cx.workspace().root().canonicalize()?;
    let full = cx.workspace().path(&path).canonicalize()?;
    if !full.starts_with(&root) || !full.is_file() {
        return Err(invalid("it is not a file of the workspace".to_owned()));
    }
    let mut text = String::new();
    let read = fs::File::open(full)?.take(most + 1).read_to_string(&mut text)?;
    if read as u64 > most {
        return Err(invalid(format!("it is larger than {most} bytes")));
    }
    Ok(text)
}
