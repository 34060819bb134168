//! The scanner as a module over a workspace.

use super::FileScannerConfig;
use super::inventory::{Inventory, InventoryEntry};
use super::kind::media_type;
use super::sensitive::{RULES, Seen, SensitiveRule, broken_rules};
use crate::walk::{Visitor, Walk, WalkOptions, WalkedFile, Want};
use crashwise_core::{
    Finding, Fingerprint, Location, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, RuleId,
    Severity, Summary, async_trait,
};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes stock of the files of a workspace and reports those that should not be there.
///
/// The list of all files, with size, type and optional SHA-256, is the artifact `inventory.jsonl`; the summary holds
/// `total_files`, `total_size_bytes` and `file_types`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileScanner;

#[async_trait]
impl Module for FileScanner {
    type Config = FileScannerConfig;

    fn info(&self) -> ModuleInfo {
        let digest = Fingerprint::of(RULES.iter().map(|rule| rule.id));
        ModuleInfo::new(
            "file_scanner",
            "1.0.0",
            ModuleKind::Scanner,
            "Takes stock of files by type and size and reports those that should not be in a source tree",
        )
        .with_tags(["inventory", "files", "secrets"])
        .with_rules_digest(digest.as_str())
    }

    async fn run(&self, cx: &ModuleContext, config: FileScannerConfig) -> Result<Summary, ModuleError> {
        cx.blocking(move |cx| scan(cx, config)).await
    }
}

fn scan(cx: &ModuleContext, config: FileScannerConfig) -> Result<Summary, ModuleError> {
    // A lone `*` asks for every file.
    let include = config.patterns.iter().filter(|pattern| *pattern != "*" || config.patterns.len() > 1);
    let options = WalkOptions::new()
        .with_ignore_files(config.ignore_files)
        .with_include(include)
        .with_exclude(&config.exclude)
        .with_max_file_size(config.max_file_size)
        .with_decode(false);
    let walk = Walk::new(cx.workspace(), options).map_err(|error| ModuleError::Config(error.to_string()))?;
    let scan = Arc::new(Scan { cx: cx.clone(), config, inventory: Mutex::default() });
    let totals = walk.run_shared(cx, scan.clone())?;
    let mut inventory = std::mem::take(&mut *scan.inventory.lock().unwrap_or_else(PoisonError::into_inner));
    let lines = inventory.lines().map_err(ModuleError::failed)?;
    cx.store_bytes("inventory.jsonl", lines)?;
    let types = serde_json::to_value(inventory.types()).map_err(ModuleError::failed)?;
    let sensitive = inventory.entries.iter().filter(|entry| !entry.sensitive.is_empty()).count();
    Ok(Summary::new()
        .with("total_files", inventory.entries.len())
        .with("total_size_bytes", inventory.total_size())
        .with("file_types", types)
        .with("patterns_scanned", scan.config.patterns.clone())
        .with("sensitive_files", sensitive)
        .with("bytes_read", totals.bytes))
}

struct Scan {
    cx: ModuleContext,
    config: FileScannerConfig,
    inventory: Mutex<Inventory>,
}

impl Visitor for Scan {
    fn wants(&self, _: &WalkedFile) -> Want {
        if self.config.calculate_hashes { Want::Whole } else { Want::Head }
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        let mut found = Vec::new();
        let mut sensitive = Vec::new();
        let path = file.path.as_str().to_ascii_lowercase();
        let head = &bytes[..bytes.len().min(8 << 10)];
        if self.config.check_sensitive {
            for rule in broken_rules(&Seen::new(&path, head)) {
                sensitive.push(rule.id.to_owned());
                found.push(finding(rule, file)?);
            }
        }
        let kind = media_type(file.path.file_name(), file.path.extension(), head, file.kind);
        if self.config.list_files {
            let rule = RuleId::new("file/listed").map_err(ModuleError::failed)?;
            let listed = Finding::new(rule, "File", Severity::Info)
                .with_message(format!("{kind}, {} bytes", file.size))
                .with_category("file_enumeration")
                .with_location(Location::new(file.path.clone()));
            self.cx.report(listed)?;
        }
        let hashed = self.config.calculate_hashes && file.is_whole;
        let sha256 = hashed.then(|| hexadecimal(&Sha256::digest(bytes)));
        let entry = InventoryEntry {
            path: file.path.clone(),
            size: file.size,
            media_type: Cow::Borrowed(kind),
            sha256,
            sensitive,
        };
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner).entries.push(entry);
        let count = found.len() as u64;
        for finding in found {
            self.cx.report(finding)?;
        }
        Ok(count)
    }

    /// A file over the limit is listed all the same.
    fn show(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        self.visit(file, bytes)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn finding(rule: &SensitiveRule, file: &WalkedFile) -> Result<Finding, ModuleError> {
    let id = RuleId::new(rule.id).map_err(ModuleError::failed)?;
    Ok(Finding::new(id, rule.title, rule.severity)
        .with_message(format!("{} should not be in a source tree: {}", file.path, rule.title.to_lowercase()))
        .with_confidence(rule.confidence)
        .with_category("sensitive_file")
        .with_cwe(rule.cwe)
        .with_recommendation(rule.fix)
        .with_location(Location::new(file.path.clone())))
}
