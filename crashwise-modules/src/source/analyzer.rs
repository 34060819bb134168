//! The analyser as an API over bytes.

use super::CodeAnalyzerConfig;
use super::language::Language;
use super::lexer::Opens;
use super::matching::{Confirm, Look, Match, SourceText};
use super::rule::{CompiledRule, Test, builtin_ids, builtin_rules, read_folder};
use super::snippet;
use super::suppress::{Marks, WORDS};
use crate::prefilter::{Case, Prefilter};
use crashwise_core::{
    Change, Confidence, Finding, Fix, LineIndex, Location, Problem, Problems, RelPath, Severity, nearest,
};
use regex_automata::Input;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Finds weaknesses in source code by rules.
///
/// As an API it needs no workspace:
///
/// ```
/// use crashwise_core::RelPath;
/// use crashwise_modules::source::{CodeAnalyzer, CodeAnalyzerConfig};
///
/// let analyzer = CodeAnalyzer::new(CodeAnalyzerConfig::default())?;
/// let text = b"import os\nos.system('ping ' + input())\n";
/// let findings = analyzer.analyze(&RelPath::new("ping.py")?, text).findings;
/// assert_eq!(findings[0].rule_id.as_str(), "code/python/os-system");
/// assert_eq!(findings[0].primary().unwrap().to_string(), "ping.py:2:1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct CodeAnalyzer {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: CodeAnalyzerConfig,
    own_rules: Vec<super::Rule>,
    languages: PerLanguage,
}

/// What the analysis of one file gave.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Analysis {
    /// The language; none when the file is in no language that the analyser reads.
    pub language: Option<Language>,
    /// The findings in the order of their places, suppressed ones included.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit for one file.
    pub dropped: usize,
    /// Whether the text gave so much to look at that the analysis stopped before the end.
    pub exhausted: bool,
}

/// The rules for one language, ready to match.
#[derive(Debug)]
struct LanguageRules {
    rules: Vec<CompiledRule>,
    /// The shapes of all rules: a rule and one of its tests, by their numbers.
    shapes: Vec<(usize, usize)>,
    prefilter: Prefilter,
    /// For each literal, who needs it; for those of marks nobody.
    users: Vec<Vec<User>>,
    /// Of texts that were looked at; as many as threads looked at once.
    looks: Mutex<Vec<Looks>>,
}

/// The rules of each language, made when they are first needed.
type PerLanguage = [OnceLock<Arc<LanguageRules>>; Language::ALL.len()];

/// A shape and a literal of it, by their numbers.
type User = (u32, u32);

/// A shape, the place of a literal of it, and the literal's number.
type Hit = (u32, usize, u32);

/// What one pass over a text found.
#[derive(Debug, Default)]
struct Hits {
    /// In the order of the shapes that need them.
    hits: Vec<Hit>,
    /// Whether a comment may say why a finding needs no action.
    marked: bool,
}

/// What first looks keep from one text for the next, by shape.
type Looks = Vec<Option<Look>>;

impl Default for CodeAnalyzer {
    /// All rules, default limits.
    fn default() -> Self {
        Self::build(CodeAnalyzerConfig::default(), Vec::new())
    }
}

impl CodeAnalyzer {
    /// Prepares an analyser. Fails when the rules of the user cannot be read or a rule is named that does not exist; all
    /// problems at once.
    pub fn new(config: CodeAnalyzerConfig) -> Result<Self, Problems> {
        let own_rules = config.rule_folder.as_deref().map_or(Ok(Vec::new()), read_folder)?;
        let known: BTreeSet<String> =
            builtin_ids().chain(own_rules.iter().map(|rule| rule.id.to_string())).collect();
        let unknown = |key: &str, names: &[String]| -> Vec<Problem> {
            let problem = |name: &String| {
                let near = nearest(name, known.iter().map(String::as_str));
                let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                Problem::new(key, format!("there is no rule {name:?}{hint}"))
            };
            names.iter().filter(|name| !known.iter().any(|id| names_rule(name, id))).map(problem).collect()
        };
        let mut problems = unknown("rules", &config.rules);
        problems.extend(unknown("exclude_rules", &config.exclude_rules));
        if problems.is_empty() {
            Ok(Self::build(config, own_rules))
        } else {
            Err(Problems::new("configuration of code_analyzer", problems))
        }
    }

    fn build(config: CodeAnalyzerConfig, own_rules: Vec<super::Rule>) -> Self {
        let languages = [const { OnceLock::new() }; Language::ALL.len()];
        Self { inner: Arc::new(Inner { config, own_rules, languages }) }
    }

    /// The language of a file, if the configuration asks for it. `head` is the start of the file.
    pub fn language(&self, path: &RelPath, head: &[u8]) -> Option<Language> {
        let language = Language::of_name(path.file_name()).or_else(|| Language::of_shebang(head))?;
        let chosen = &self.inner.config.languages;
        (chosen.is_empty() || chosen.contains(&language)).then_some(language)
    }

    /// Finds weaknesses in the text of one file.
    pub fn analyze(&self, path: &RelPath, text: &[u8]) -> Analysis {
        match self.language(path, text) {
            Some(language) => self.analyze_as(language, path, text),
            None => Analysis::default(),
        }
    }

    /// Finds weaknesses in the text of one file in a language that is known.
    pub fn analyze_as(&self, language: Language, path: &RelPath, text: &[u8]) -> Analysis {
        let mut analysis = Analysis { language: Some(language), ..Analysis::default() };
        let rules = self.rules(language);
        let Hits { hits, marked } = rules.hits(text, language);
        if hits.is_empty() {
            return analysis;
        }
        let source = SourceText::new(text, language);
        let (matches, exhausted) = rules.matches(&source, &hits);
        analysis.exhausted = exhausted;
        if matches.is_empty() {
            return analysis;
        }
        let marks = if marked { Marks::of(&source) } else { Marks::default() };
        let mut secrets: Vec<Range<usize>> =
            matches.iter().filter_map(|(_, found)| found.secret.clone()).collect();
        secrets.sort_by_key(|secret| secret.start);
        let (matches, more) = rules.first_of_each(matches);
        let limit = self.inner.config.max_findings_per_file;
        analysis.dropped = matches.len().saturating_sub(limit);
        let index = LineIndex::new(lines_to(text, matches.iter().take(limit).map(|(_, found)| found)));
        let place = Place { path, source: &source, index: &index, marks: &marks, secrets: &secrets };
        analysis.findings = matches
            .into_iter()
            .take(limit)
            .enumerate()
            .map(|(number, (rule, found))| {
                let finding = finding(&rules.rules[rule], &found, &place);
                match more.get(&number) {
                    Some(more) => and_more(finding, *more),
                    None => finding,
                }
            })
            .collect();
        if !self.inner.config.code_flows {
            analysis.findings.iter_mut().for_each(|finding| finding.code_flow.clear());
        }
        analysis
    }

    fn rules(&self, language: Language) -> &LanguageRules {
        /// All rules of the crate and no others, for all analysers of the process that ask for that.
        static BUILTIN: PerLanguage = [const { OnceLock::new() }; Language::ALL.len()];

        let Inner { config, own_rules, languages } = &*self.inner;
        let index = Language::ALL.iter().position(|one| *one == language).unwrap_or(0);
        let make = || {
            let own = own_rules.iter().filter(|rule| rule.languages.contains(&language)).cloned();
            let rules = builtin_rules(language).into_iter().chain(own).filter(|rule| config.asks_for(rule));
            Arc::new(LanguageRules::new(rules.filter_map(|rule| CompiledRule::new(rule).ok()).collect()))
        };
        languages[index].get_or_init(|| {
            if own_rules.is_empty() && config.asks_for_all() {
                Arc::clone(BUILTIN[index].get_or_init(make))
            } else {
                make()
            }
        })
    }
}

/// Whether a name in a configuration means a rule: its id, its id without `code/`, or a folder of it.
pub(crate) fn names_rule(name: &str, id: &str) -> bool {
    let short = id.strip_prefix("code/").unwrap_or(id);
    let folder = name.strip_suffix("/*").or_else(|| name.strip_suffix('/'));
    name == id
        || name == short
        || folder.is_some_and(|folder| {
            [id, short].iter().any(|id| id.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
        })
}

impl LanguageRules {
    fn new(rules: Vec<CompiledRule>) -> Self {
        let tests = |(rule, compiled): (usize, &CompiledRule)| {
            (0..compiled.tests.len()).map(move |test| (rule, test))
        };
        let shapes: Vec<_> = rules.iter().enumerate().flat_map(tests).collect();
        let mut by_literal = BTreeMap::<_, Vec<User>>::new();
        for (shape, (rule, test)) in (0..).zip(&shapes) {
            for (number, literal) in (0..).zip(&rules[*rule].tests[*test].literals) {
                by_literal.entry((literal.bytes.clone(), literal.case)).or_default().push((shape, number));
            }
        }
        let mut builder = Prefilter::builder();
        let literals = by_literal.keys().map(|(bytes, case)| (bytes.as_slice(), *case));
        let marks = WORDS.iter().map(|word| (word.as_bytes(), Case::Sensitive));
        let added = builder.add_all(literals.chain(marks));
        debug_assert!(
            added.is_ok(),
            "rules with a literal that does not fit are refused when they are checked"
        );
        let users = by_literal.into_values().collect();
        Self { rules, shapes, prefilter: builder.build(), users, looks: Mutex::default() }
    }

    /// Without the matches beyond what their rules want of a file; and for the last match that is left of such a rule, by its
    /// number, how many there were.
    fn first_of_each(
        &self,
        mut matches: Vec<(usize, Match)>,
    ) -> (Vec<(usize, Match)>, BTreeMap<usize, usize>) {
        let mut counts = BTreeMap::<usize, usize>::new();
        matches.retain(|(rule, _)| {
            let Some(most) = self.rules[*rule].rule.most else { return true };
            let count = counts.entry(*rule).or_default();
            *count += 1;
            *count <= most.get()
        });
        let beyond = counts.into_iter().filter_map(|(rule, count)| {
            let more = count.checked_sub(self.rules[rule].rule.most?.get()).filter(|more| *more > 0)?;
            Some((matches.iter().rposition(|(other, _)| *other == rule)?, more))
        });
        let beyond = beyond.collect();
        (matches, beyond)
    }

    fn test(&self, shape: u32) -> &Test {
        let (rule, test) = self.shapes[shape as usize];
        &self.rules[rule].tests[test]
    }

    /// Where literals stand whose shapes may match there. Nearly all literals end at the first look, while their bytes are at
    /// hand.
    fn hits(&self, text: &[u8], language: Language) -> Hits {
        let looks = || self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = looks().pop().unwrap_or_default();
        known.resize_with(self.shapes.len(), || None);
        let opens = Opens::of(language);
        let hits = self.hits_where(text, |shape, place, literal| {
            let tested = self.test(shape);
            tested.may_begin(text, literal, place)
                && tested.glance().is_none_or(|glance| {
                    let look = known[shape as usize].get_or_insert_with(|| glance.look());
                    glance.may_match((text, opens), place, look)
                })
        });
        looks().push(known);
        hits
    }

    /// Where literals stand; those that `keep` keeps.
    fn hits_where(&self, text: &[u8], mut keep: impl FnMut(u32, usize, u32) -> bool) -> Hits {
        let mut found = Hits::default();
        self.prefilter.scan(text, |hit| match self.users.get(hit.literal.index()) {
            Some(users) => {
                let kept = users.iter().filter(|(shape, literal)| keep(*shape, hit.start, *literal));
                found.hits.extend(kept.map(|(shape, literal)| (*shape, hit.start, *literal)));
            }
            None => found.marked = true,
        });
        found.hits.sort_unstable();
        found
    }

    /// The matches of all rules in the order of their places; a rule matches once at a place.
    fn matches(&self, source: &SourceText<'_>, hits: &[Hit]) -> (Vec<(usize, Match)>, bool) {
        let confirm = Confirm::new(source);
        let mut all = Vec::new();
        let rule_of = |hit: &Hit| self.shapes[hit.0 as usize].0;
        for of_rule in hits.chunk_by(|a, b| rule_of(a) == rule_of(b)) {
            let number = rule_of(&of_rule[0]);
            let rule = &self.rules[number];
            if rule.requires.as_ref().is_some_and(|regex| !regex.is_match(&source.code)) {
                continue;
            }
            let mut found = Vec::new();
            for of_test in of_rule.chunk_by(|a, b| a.0 == b.0) {
                let places: Vec<_> = of_test.iter().map(|hit| (hit.1, hit.2 as usize)).collect();
                confirm.matches(self.test(of_test[0].0), &places, &mut found);
            }
            found.sort_by_key(|one| (one.range.start, one.range.end));
            found.dedup_by(|later, first| later.range.start < first.range.end);
            all.extend(found.into_iter().map(|one| (number, one)));
        }
        all.sort_by_key(|(rule, one)| (one.range.start, one.range.end, *rule));
        (all, confirm.is_exhausted())
    }
}

/// The text up to the end of the line that the last match reaches.
fn lines_to<'t, 'm>(text: &'t [u8], matches: impl Iterator<Item = &'m Match>) -> &'t [u8] {
    let last = matches.map(|found| found.range.end.max(found.input.unwrap_or(0))).max().unwrap_or(0);
    let rest = text.get(last..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text, |end| &text[..=last + end])
}

/// A finding that stands for more of its kind in the same file.
fn and_more(finding: Finding, more: usize) -> Finding {
    let message = format!("{} The file has {more} more such places.", finding.message);
    finding.with_message(message).with_evidence("more_places", more)
}

/// Where a finding is.
struct Place<'p> {
    path: &'p RelPath,
    source: &'p SourceText<'p>,
    index: &'p LineIndex,
    marks: &'p Marks,
    /// Of the file, in their order.
    secrets: &'p [Range<usize>],
}

fn finding(compiled: &CompiledRule, found: &Match, place: &Place<'_>) -> Finding {
    let rule = &compiled.rule;
    let Place { path, source, index, marks, secrets } = *place;
    let region = index.region(source.bytes, found.range.clone());
    let location = Location::new(path.clone()).with_region(region).with_snippet(snippet::line(
        source.bytes,
        index,
        found.range.start,
        secrets,
    ));
    let confidence = if found.input.is_some() { Confidence::High } else { rule.confidence };
    let mut finding = Finding::new(rule.id.clone(), rule.title.clone(), rule.severity)
        .with_message(rule.message.clone())
        .with_confidence(confidence)
        .with_location(location.clone())
        .with_category(rule.category.clone())
        .with_recommendation(rule.fix.clone());
    finding.cwe.clone_from(&rule.cwe);
    finding.references.clone_from(&rule.references);
    if let Some(input) = found.input.filter(|input| !found.range.contains(input)) {
        let from = Location::new(path.clone())
            .with_start(index.position(source.bytes, input))
            .with_snippet(snippet::line(source.bytes, index, input, secrets))
            .with_message("input of a user enters here");
        finding = finding.with_code_flow(vec![from, location.with_message("and is used here")]);
    }
    if let Some(mut suppression) = marks.suppression(rule.id.as_str(), &found.range) {
        suppression.reason = snippet::without(&suppression.reason, source.bytes, secrets);
        finding = finding.with_suppression(suppression);
    }
    let written = &source.bytes[found.range.clone()];
    if let (Some(replace), Some(regex)) = (&rule.replace, &compiled.replace)
        && let Some(groups) = regex.captures(Input::new(written))
        && let Some(whole) = groups.get_match()
    {
        let mut text = Vec::new();
        groups.interpolate_bytes_into(written, replace.with.as_bytes(), &mut text);
        let range = found.range.start + whole.start()..found.range.start + whole.end();
        let change = Change::new(
            path.clone(),
            index.region(source.bytes, range),
            String::from_utf8_lossy(&text).into_owned(),
        );
        finding = finding.with_fix(Fix { description: rule.fix.clone(), changes: vec![change] });
    }
    finding
}

impl CodeAnalyzerConfig {
    /// Whether the configuration asks for every rule there may be.
    fn asks_for_all(&self) -> bool {
        self.check_secrets
            && self.check_sql
            && self.check_dangerous_functions
            && self.min_severity.is_none_or(|least| least == Severity::Info)
            && self.min_confidence.is_none_or(|least| least == Confidence::Low)
            && self.rules.is_empty()
            && self.exclude_rules.is_empty()
    }

    /// Whether the configuration asks for a rule.
    fn asks_for(&self, rule: &super::Rule) -> bool {
        let id = rule.id.as_str();
        let group = match rule.category.as_str() {
            "hardcoded_secret" => self.check_secrets,
            "sql_injection" => self.check_sql,
            _ => self.check_dangerous_functions,
        };
        group
            && rule.severity >= self.min_severity.unwrap_or(Severity::Info)
            && rule.confidence >= self.min_confidence.unwrap_or(Confidence::Low)
            && (self.rules.is_empty() || self.rules.iter().any(|name| names_rule(name, id)))
            && !self.exclude_rules.iter().any(|name| names_rule(name, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that rules have as examples, with comments and strings wherever a call or an assignment goes on.
    #[test]
    fn a_first_look_drops_nothing_that_matches() {
        let analyzer = CodeAnalyzer::default();
        let mut dropped = 0;
        for language in Language::ALL {
            let rules = analyzer.rules(language);
            let comment =
                if matches!(language, Language::Python | Language::Ruby) { "# x\n" } else { "/* x */" };
            for rule in &rules.rules {
                let Some(examples) = rule.rule.examples.get(&language) else { continue };
                let php = if language == Language::Php { "<?php\n" } else { "" };
                let text: Vec<_> = examples.bad.iter().chain(&examples.good).map(String::as_str).collect();
                let text = format!("{php}{}\n", text.join("\n"));
                for (what, with) in [
                    ("", String::new()),
                    ("(", format!("{comment}(")),
                    ("(", format!("({comment}")),
                    ("=", format!("{comment}=")),
                    (" ", format!(" {comment}")),
                    (".", format!("{comment}.")),
                    ("\"", "\"\" + \"".to_owned()),
                    ("\n", format!("\n{comment}\"x\" ")),
                ] {
                    let text = if what.is_empty() { text.clone() } else { text.replace(what, &with) };
                    let hits = rules.hits_where(text.as_bytes(), |_, _, _| true).hits;
                    let promising = rules.hits(text.as_bytes(), language).hits;
                    dropped += hits.len() - promising.len();
                    let source = SourceText::new(text.as_bytes(), language);
                    assert_eq!(rules.matches(&source, &promising), rules.matches(&source, &hits), "{text}");
                }
            }
        }
        assert!(dropped > 1000, "{dropped}");
    }
}
