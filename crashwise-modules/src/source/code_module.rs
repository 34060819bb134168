//! The analyser as a module over a workspace.

use super::analyzer::CodeAnalyzer;
use super::rule::builtin_digest;
use super::{CodeAnalyzerConfig, Language};
use crate::walk::{Visitor, Walk, WalkOptions, WalkedFile, Want};
use crashwise_core::{
    Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, SeverityCounts, Summary,
    async_trait,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

#[async_trait]
impl Module for CodeAnalyzer {
    type Config = CodeAnalyzerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "code_analyzer",
            "1.0.0",
            ModuleKind::Analyzer,
            "Finds hard-coded credentials, injections, dangerous functions and weak cryptography in source code",
        )
        .with_tags(["sast", "source", "static-analysis"])
        .with_rules_digest(builtin_digest())
    }

    fn reads(&self, config: &CodeAnalyzerConfig) -> Vec<PathBuf> {
        config.rule_folder.iter().cloned().collect()
    }

    async fn run(&self, cx: &ModuleContext, config: CodeAnalyzerConfig) -> Result<Summary, ModuleError> {
        let analyzer = if config == self.inner.config {
            self.clone()
        } else {
            Self::new(config).map_err(|problems| ModuleError::Config(problems.to_string()))?
        };
        cx.blocking(move |cx| analyzer.scan(cx)).await
    }
}

impl CodeAnalyzer {
    fn scan(&self, cx: &ModuleContext) -> Result<Summary, ModuleError> {
        let config = &self.inner.config;
        let options = WalkOptions::new()
            .with_ignore_files(config.ignore_files)
            .with_include(&config.include)
            .with_exclude(&config.exclude)
            .with_max_file_size(config.max_file_size);
        let walk =
            Walk::new(cx.workspace(), options).map_err(|error| ModuleError::Config(error.to_string()))?;
        let scan = Arc::new(Scan { analyzer: self.clone(), cx: cx.clone(), tally: Mutex::default() });
        walk.run_shared(cx, scan.clone())?;
        let tally = std::mem::take(&mut *scan.tally.lock().unwrap_or_else(PoisonError::into_inner));
        let languages: BTreeMap<&str, u64> =
            tally.languages.iter().map(|(language, count)| (language.as_str(), *count)).collect();
        let mut severities = BTreeMap::new();
        for severity in crashwise_core::Severity::ALL {
            severities.insert(severity.as_str(), tally.severities.of(severity));
        }
        let json = |value: serde_json::Result<serde_json::Value>| value.map_err(ModuleError::failed);
        Ok(Summary::new()
            .with("files_analyzed", languages.values().sum::<u64>())
            .with("total_findings", tally.severities.total())
            .with("suppressed_findings", tally.suppressed)
            .with("languages", json(serde_json::to_value(languages))?)
            .with("severity_counts", json(serde_json::to_value(severities))?)
            .with("category_counts", json(serde_json::to_value(tally.categories))?))
    }
}

#[derive(Debug, Default)]
struct Tally {
    languages: BTreeMap<Language, u64>,
    categories: BTreeMap<String, u64>,
    severities: SeverityCounts,
    suppressed: u64,
}

struct Scan {
    analyzer: CodeAnalyzer,
    cx: ModuleContext,
    tally: Mutex<Tally>,
}

impl Visitor for Scan {
    fn wants(&self, file: &WalkedFile) -> Want {
        let config = &self.analyzer.inner.config;
        let extension = file.path.extension();
        if !config.file_extensions.is_empty() {
            let asked = |own: &str| {
                config.file_extensions.iter().any(|one| one.trim_start_matches('.').eq_ignore_ascii_case(own))
            };
            return if extension.is_some_and(asked) { Want::Whole } else { Want::Nothing };
        }
        // A script without an extension says its language on the first line.
        let known = Language::of_name(file.path.file_name()).is_some();
        if known || extension.is_none() { Want::Whole } else { Want::Nothing }
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        if !file.kind.is_text() {
            return Ok(0);
        }
        let analysis = self.analyzer.analyze(&file.path, bytes);
        let Some(language) = analysis.language else { return Ok(0) };
        if analysis.dropped > 0 {
            let detail = format!("{} findings beyond the limit", analysis.dropped);
            self.cx.not_covered(Gap::new(file.path.as_str(), GapReason::TooMany, detail));
        }
        if analysis.exhausted {
            let detail = "so many candidates that the analysis of the file was cut short";
            self.cx.not_covered(Gap::new(file.path.as_str(), GapReason::TooMany, detail));
        }
        let mut count = 0;
        {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            *tally.languages.entry(language).or_insert(0) += 1;
            for finding in &analysis.findings {
                if finding.suppressions.is_empty() {
                    count += 1;
                    tally.severities.add(finding.severity);
                    *tally.categories.entry(finding.category.clone()).or_insert(0) += 1;
                } else {
                    tally.suppressed += 1;
                }
            }
        }
        for mut finding in analysis.findings {
            if file.offset > 0 {
                shift(&mut finding, file.offset);
            }
            self.cx.report(finding)?;
        }
        Ok(count)
    }
}

/// Counts byte offsets from the start of the file, its mark included.
fn shift(finding: &mut crashwise_core::Finding, offset: u64) {
    let changes = finding.fix.iter_mut().flat_map(|fix| &mut fix.changes).map(|change| &mut change.region);
    let places =
        finding.locations.iter_mut().chain(&mut finding.code_flow).filter_map(|place| place.region.as_mut());
    for bytes in places.chain(changes).filter_map(|region| region.bytes.as_mut()) {
        bytes.start += offset;
        bytes.end += offset;
    }
}
