//! The module `secret_scanner`.

use std::fs;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use crashwise_core::{
    ByteSpan, Confidence, Gap, GapReason, LineIndex, Module, ModuleContext, ModuleError, ModuleInfo,
    ModuleKind, Summary, SuppressionKind,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container;
use super::report::{self, Occurrence, suppressed};
use super::scanner::{MAX_MATCHES, ScanOptions, SecretMatch, SecretScanner};
use super::suppress::{self, Allowlist, Allowlists, IgnoreFile};
use crate::walk::{ContentKind, Encoding, Visitor, Walk, WalkOptions, WalkedFile, Want};

/// The ignore file that is read, as other scanners of secrets write it.
const IGNORE_FILE: &str = ".gitleaksignore";
/// The largest ignore file or rule file.
const MAX_SMALL_FILE: u64 = 8 << 20;
/// The most notes on rule files in a summary.
const MAX_NOTES: usize = 100;
/// The most occurrences kept of one run.
const MAX_OCCURRENCES: usize = 200_000;

/// Configuration of [`SecretScan`].
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in a configuration file")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SecretScanConfig {
    /// Whether secrets without a format are looked for, by the names they are assigned to.
    pub generic: bool,
    /// Findings of less confidence are left out.
    pub min_confidence: Confidence,
    /// How many encodings inside each other are taken off; 0 for none.
    pub decode_depth: usize,
    /// Whether archives and office documents are looked into.
    pub containers: bool,
    /// Only files that match one of these patterns (syntax of `.gitignore`); none means every file.
    pub include: Vec<String>,
    /// No files and folders that match one of these patterns.
    pub exclude: Vec<String>,
    /// Whether `.gitignore` and `.crashwiseignore` leave files out.
    pub ignore_files: bool,
    /// The largest file that is read, in bytes.
    pub max_file_size: u64,
    /// Rule files in the format of gitleaks or Betterleaks, relative to the workspace, used beside the own rules.
    pub rule_files: Vec<String>,
    /// Secrets that are known and accepted.
    pub allow: Vec<Allowlist>,
    /// Whether the secrets themselves stand in the findings. Whoever can read the report can then use them.
    pub reveal: bool,
}

impl Default for SecretScanConfig {
    fn default() -> Self {
        Self {
            generic: true,
            min_confidence: Confidence::Medium,
            decode_depth: 3,
            containers: true,
            include: Vec::new(),
            exclude: Vec::new(),
            ignore_files: true,
            max_file_size: 32 << 20,
            rule_files: Vec::new(),
            allow: Vec::new(),
            reveal: false,
        }
    }
}

/// The module `secret_scanner`: finds secrets in the files of a workspace.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SecretScan;

#[async_trait]
impl Module for SecretScan {
    type Config = SecretScanConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "secret_scanner",
            "1.0.0",
            ModuleKind::Scanner,
            "Finds tokens, keys and passwords in files, also where they are encoded",
        )
        .with_tags(["secrets", "credentials", "tokens"])
        .with_rules_digest(super::catalogue::digest())
    }

    async fn run(&self, cx: &ModuleContext, config: SecretScanConfig) -> Result<Summary, ModuleError> {
        cx.blocking(move |cx| scan(cx, config)).await
    }
}

fn scan(cx: &ModuleContext, config: SecretScanConfig) -> Result<Summary, ModuleError> {
    let bad = |error: &dyn std::error::Error| ModuleError::Config(crashwise_core::error_chain(error));
    let (allow, expired) = Allowlists::new(config.allow, suppress::today()).map_err(|error| bad(&error))?;
    let options = ScanOptions::new()
        .with_generic(config.generic)
        .with_min_confidence(config.min_confidence)
        .with_decode_depth(config.decode_depth);
    let mut rules = super::catalogue::rules();
    let mut notes = Vec::new();
    for name in &config.rule_files {
        let text = small_file(cx, name)
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
    let ignore = match small_file(cx, IGNORE_FILE) {
        Ok(text) => IgnoreFile::parse(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => IgnoreFile::default(),
        Err(error) => {
            cx.not_covered(Gap::from_io(IGNORE_FILE, &error));
            IgnoreFile::default()
        }
    };
    let walk = WalkOptions::new()
        .with_include(config.include)
        .with_exclude(config.exclude)
        .with_ignore_files(config.ignore_files)
        .with_max_file_size(config.max_file_size);
    let walk = Walk::new(cx.workspace(), walk).map_err(|error| bad(&error))?;
    let visit = Visit {
        cx,
        scanner: SecretScanner::with_rules(options, rules),
        containers: config.containers,
        allow,
        found: Mutex::new(Vec::new()),
    };
    let totals = walk.run(cx, &visit)?;
    let mut found = visit.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if found.len() >= MAX_OCCURRENCES {
        cx.not_covered(Gap::new(".", GapReason::TooMany, format!("more than {MAX_OCCURRENCES} secrets")));
        found.sort_by(|a, b| (&a.path, a.found.span.start).cmp(&(&b.path, b.found.span.start)));
        found.truncate(MAX_OCCURRENCES);
    }
    let ours = |rule: &str| {
        visit
            .scanner
            .rules()
            .any(|known| known.id.as_str() == rule || known.id.as_str().strip_prefix("secret/") == Some(rule))
    };
    for one in &mut found {
        let fingerprint = one.fingerprint(&one.found.secret.digest());
        let place = (one.path.as_str(), one.line());
        if one.suppression.is_none()
            && ignore.names(fingerprint.as_str(), place, one.found.rule.id.as_str(), ours)
        {
            one.suppression = Some(suppressed(SuppressionKind::External, IGNORE_FILE));
        }
    }
    let findings = report::findings(found, config.reveal);
    let (count, files) = (findings.len(), totals.files);
    for finding in findings {
        cx.report(finding)?;
    }
    let mut summary = Summary::new();
    if !notes.is_empty() {
        summary = summary.with("rule_file_notes", notes);
    }
    Ok(summary
        .with("secrets_found", count)
        .with("files_scanned", files)
        .with("rules", visit.scanner.rules().count())
        .with("expired_allowlists", expired))
}

struct Visit<'c> {
    cx: &'c ModuleContext,
    scanner: SecretScanner,
    containers: bool,
    allow: Allowlists,
    found: Mutex<Vec<Occurrence>>,
}

impl Visitor for Visit<'_> {
    fn wants(&self, _: &WalkedFile) -> Want {
        Want::Whole
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        let mut occurrences = Vec::new();
        if file.kind.is_text() {
            self.text(file, bytes, None, &mut occurrences);
        } else if self.containers {
            let cx = self.cx;
            container::entries(
                bytes,
                |name, content| self.text(file, content, Some(name), &mut occurrences),
                |entry, reason, detail| {
                    cx.not_covered(Gap::new(format!("{}!{entry}", file.path), reason, detail));
                },
            );
        }
        let count = occurrences.len() as u64;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_OCCURRENCES.saturating_sub(found.len());
        found.extend(occurrences.into_iter().take(room));
        Ok(count)
    }
}

impl Visit<'_> {
    fn text(&self, file: &WalkedFile, bytes: &[u8], entry: Option<&str>, out: &mut Vec<Occurrence>) {
        let path = entry.unwrap_or(file.path.as_str());
        let all: Vec<SecretMatch> = self.scanner.scan_bytes(path, bytes);
        if all.is_empty() {
            return;
        }
        if all.len() >= MAX_MATCHES {
            let detail = format!("more than {MAX_MATCHES} secrets in one file");
            self.cx.not_covered(Gap::new(path, GapReason::TooMany, detail));
        }
        let lines = LineIndex::new(bytes);
        for found in &all {
            let mut one = Occurrence::new(file.path.clone(), bytes, &lines, found.clone(), &all);
            let line = lines.line_text(bytes, found.span.start);
            if let Some(mark) = suppress::mark(line, found.rule.id.as_str()) {
                one.suppression = Some(suppressed(SuppressionKind::InSource, mark));
            } else if let Some(reason) = self.allow.reason(file.path.as_str(), found) {
                one.suppression = Some(suppressed(SuppressionKind::External, reason));
            }
            one.entry = entry.map(str::to_owned);
            // Offsets are those of the file, where the text is not a translation of it.
            if let Some(region) = &mut one.region {
                region.bytes = match file.kind {
                    ContentKind::Text(Encoding::Bytes) => region
                        .bytes
                        .map(|bytes| ByteSpan::new(bytes.start + file.offset, bytes.end + file.offset)),
                    _ => None,
                };
            }
            out.push(one);
        }
    }
}

/// A file of the workspace that is read as a whole; a link is not followed.
fn small_file(cx: &ModuleContext, name: &str) -> std::io::Result<String> {
    let invalid = |text: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, text);
    let path = crashwise_core::RelPath::new(name).map_err(|error| invalid(error.to_string()))?;
    let root = cx.workspace().root().canonicalize()?;
    let full = cx.workspace().path(&path).canonicalize()?;
    if !full.starts_with(&root) || !full.is_file() {
        return Err(invalid("it is not a file of the workspace".to_owned()));
    }
    let mut text = String::new();
    let read = fs::File::open(full)?.take(MAX_SMALL_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_SMALL_FILE {
        return Err(invalid(format!("it is larger than {MAX_SMALL_FILE} bytes")));
    }
    Ok(text)
}
