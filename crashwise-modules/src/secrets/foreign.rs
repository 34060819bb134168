//! Rule files of gitleaks and Betterleaks, read at run time.

use std::fmt;
use std::sync::Arc;

use crashwise_core::{Confidence, LineIndex, RuleId, Severity};
use regex_automata::meta::Regex;
use serde::Deserialize;
use toml::{Table, Value};

use super::rule::{Rule, RuleInfo, Shape, compile};
use super::scanner::SecretMatch;
use super::secret::Secret;
use crate::prefilter::Case;

/// The most rules of one file.
const MAX_RULES: usize = 5_000;

/// Why a rule file cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleFileError {
    /// It is not TOML, or a key has a value of the wrong type. What stands there is not quoted: it may be a secret.
    #[error("the file is not a rule file: line {line}, column {column} is not what such a file has there")]
    Syntax {
        /// One-based line.
        line: u32,
        /// One-based column.
        column: u32,
    },
    /// It has more rules than are read.
    #[error("the file has {count} rules, expected {max} or fewer")]
    TooMany {
        /// How many it has.
        count: usize,
        /// How many are read.
        max: usize,
    },
}

/// Something in a rule file that has no effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleProblem {
    /// The rule; empty for what concerns the whole file.
    pub rule: String,
    /// What is not supported or not valid.
    pub text: String,
    /// Whether the rule is left out because of it.
    pub is_left_out: bool,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rule.is_empty() {
            write!(f, "rule {}: ", self.rule)?;
        }
        f.write_str(&self.text)?;
        f.write_str(if self.is_left_out { "; the rule is left out" } else { "" })
    }
}

/// A rule file in the format of gitleaks or Betterleaks.
///
/// ```
/// use crashwise_modules::secrets::RuleFile;
///
/// let file = RuleFile::parse(r#"
///     [[rules]]
///     id = "acme-token"
///     description = "Acme token"
///     regex = '''acme_[a-z0-9]{32}'''
///     entropy = 3
///     validate = "http.get(...)"
/// "#)?;
/// assert_eq!(file.len(), 1);
/// assert_eq!(file.problems()[0].to_string(), "rule acme-token: `validate` has no effect");
/// # Ok::<(), crashwise_modules::secrets::RuleFileError>(())
/// ```
#[derive(Debug)]
pub struct RuleFile {
    rules: Vec<Rule>,
    problems: Vec<RuleProblem>,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    rules: Vec<Entry>,
    allowlist: Option<Allow>,
    #[serde(default)]
    allowlists: Vec<Allow>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    description: String,
    regex: Option<String>,
    path: Option<String>,
    #[serde(default)]
    entropy: f32,
    #[serde(rename = "secretGroup")]
    group: Option<usize>,
    #[serde(default)]
    keywords: Vec<String>,
    allowlist: Option<Allow>,
    #[serde(default)]
    allowlists: Vec<Allow>,
    filter: Option<String>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Debug, Deserialize)]
struct Allow {
    #[serde(default)]
    condition: String,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default, rename = "regexTarget")]
    target: String,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(flatten)]
    rest: Table,
}

/// What a rule of such a file asks for beside its regex.
#[derive(Debug)]
pub(super) struct Filter {
    /// The group that is the secret.
    pub(super) group: Option<usize>,
    path: Option<Regex>,
    allow: Vec<Arc<Allowed>>,
}

#[derive(Debug)]
struct Allowed {
    all: bool,
    paths: Vec<Regex>,
    regexes: Vec<Regex>,
    target: Target,
    stopwords: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Secret,
    Match,
    Line,
}

/// The text of a match, as allowlists look at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'t> {
    pub(super) path: &'t str,
    pub(super) secret: &'t [u8],
    pub(super) whole: &'t [u8],
    pub(super) line: &'t [u8],
}

impl Filter {
    /// Whether the match is to be reported.
    pub(super) fn admits(&self, candidate: Candidate<'_>) -> bool {
        self.path.as_ref().is_none_or(|path| path.is_match(candidate.path))
            && !self.allow.iter().any(|allowed| allowed.covers(candidate))
    }
}

impl Rule {
    /// What the rule says of a file that it wants for its path alone: a match that has no place and holds nothing.
    pub(super) fn of_path(&self, path: &str) -> Option<SecretMatch> {
        let nothing: &[u8] = &[];
        let candidate = Candidate { path, secret: nothing, whole: nothing, line: nothing };
        let is_wanted = matches!(self.shape, Shape::File)
            && self.filter.as_ref().is_some_and(|filter| filter.admits(candidate));
        is_wanted.then(|| SecretMatch {
            rule: Arc::clone(&self.info),
            span: 0..0,
            secret: Secret::new(nothing),
            confidence: Confidence::High,
            verdict: None,
            name: None,
            decoded: Vec::new(),
        })
    }
}

impl Allowed {
    fn covers(&self, candidate: Candidate<'_>) -> bool {
        let text = match self.target {
            Target::Secret => candidate.secret,
            Target::Match => candidate.whole,
            Target::Line => candidate.line,
        };
        let secret = String::from_utf8_lossy(candidate.secret).to_lowercase();
        let checks = [
            (!self.paths.is_empty()).then(|| self.paths.iter().any(|path| path.is_match(candidate.path))),
            (!self.regexes.is_empty()).then(|| self.regexes.iter().any(|regex| regex.is_match(text))),
            (!self.stopwords.is_empty()).then(|| self.stopwords.iter().any(|word| secret.contains(word))),
        ];
        let mut given = checks.into_iter().flatten().peekable();
        if self.all { given.peek().is_some() && given.all(|holds| holds) } else { given.any(|holds| holds) }
    }
}

impl RuleFile {
    /// Reads a file. What is in it and has no effect is among the [`problems`](RuleFile::problems).
    pub fn parse(text: &str) -> Result<Self, RuleFileError> {
        let document: Document = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        if document.rules.len() > MAX_RULES {
            return Err(RuleFileError::TooMany { count: document.rules.len(), max: MAX_RULES });
        }
        let mut file = Self { rules: Vec::new(), problems: Vec::new() };
        file.no_effect("", &document.rest, &["title", "description", "minVersion", "betterleaksMinVersion"]);
        let shared: Vec<_> = document
            .allowlist
            .into_iter()
            .chain(document.allowlists)
            .map(|allow| file.allowed("", allow))
            .collect();
        for entry in document.rules {
            file.entry(entry, &shared);
        }
        Ok(file)
    }

    /// The number of rules that can be used.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule that can be used.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What has no effect here, in the order of the file.
    pub fn problems(&self) -> &[RuleProblem] {
        &self.problems
    }

    pub(super) fn into_rules(self) -> Vec<Rule> {
        self.rules
    }

    fn problem(&mut self, rule: &str, text: impl Into<String>, is_left_out: bool) {
        self.problems.push(RuleProblem { rule: rule.to_owned(), text: text.into(), is_left_out });
    }

    fn no_effect(&mut self, rule: &str, rest: &Table, harmless: &[&str]) {
        for (key, value) in rest {
            if !harmless.contains(&key.as_str()) && *value != Value::Boolean(false) {
                self.problem(rule, format!("`{key}` has no effect"), false);
            }
        }
    }

    fn entry(&mut self, entry: Entry, shared: &[Arc<Allowed>]) {
        let name = entry.id.clone();
        let folded: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._/:@+-".contains(c) { c } else { '-' })
            .take(190)
            .collect();
        let Ok(id) = RuleId::new(folded) else {
            return self.problem(&name, "the id is empty", true);
        };
        if entry.regex.is_none() && entry.path.is_none() {
            return self.problem(&name, "it has neither `regex` nor `path`", true);
        }
        if entry.regex.as_deref().is_some_and(|regex| compile(regex).is_none()) {
            return self.problem(&name, "the regex is not valid or too large", true);
        }
        let path = match entry.path.as_deref().map(compile) {
            Some(None) => return self.problem(&name, "the regex of `path` is not valid", true),
            Some(Some(path)) => Some(path),
            None => None,
        };
        self.no_effect(&name, &entry.rest, &["tags", "skipReport"]);
        let mut entropy = entry.entropy;
        if let Some(filter) = &entry.filter {
            match entropy_filter(filter) {
                Some(least) => entropy = entropy.max(least),
                None => self.problem(&name, "`filter` has no effect", false),
            }
        }
        let mut allow = shared.to_vec();
        for one in entry.allowlist.into_iter().chain(entry.allowlists) {
            allow.push(self.allowed(&name, one));
        }
        let mut shape = entry.regex.map_or(Shape::File, Shape::pattern);
        if let Shape::Pattern { literals: literals @ None, .. } = &mut shape
            && !entry.keywords.is_empty()
            && entry.keywords.iter().all(|word| word.len() >= 2)
        {
            let literal = |word: &String| (word.to_ascii_lowercase().into_bytes(), Case::Insensitive);
            *literals = Some(entry.keywords.iter().map(literal).collect());
        }
        let title = if entry.description.is_empty() { name } else { entry.description };
        let info = RuleInfo { id, provider: String::new(), title, severity: Severity::High };
        let mut rule = Rule::new(info, shape);
        rule.entropy = entropy;
        rule.filter = Some(Box::new(Filter { group: entry.group, path, allow }));
        self.rules.push(rule);
    }

    fn allowed(&mut self, rule: &str, allow: Allow) -> Arc<Allowed> {
        self.no_effect(rule, &allow.rest, &["description", "targetRules"]);
        let mut compiled = |patterns: Vec<String>| -> Vec<Regex> {
            patterns
                .into_iter()
                .filter_map(|pattern| {
                    let regex = compile(&pattern);
                    if regex.is_none() {
                        self.problem(rule, "a regex of an allowlist is not valid", false);
                    }
                    regex
                })
                .collect()
        };
        Arc::new(Allowed {
            all: allow.condition.eq_ignore_ascii_case("and"),
            paths: compiled(allow.paths),
            regexes: compiled(allow.regexes),
            target: match allow.target.as_str() {
                "match" => Target::Match,
                "line" => Target::Line,
                _ => Target::Secret,
            },
            stopwords: allow.stopwords.into_iter().map(|word| word.to_lowercase()).collect(),
        })
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> RuleFileError {
    let at = error.span().map_or(0, |span| span.start);
    let place = LineIndex::new(text.as_bytes()).position(text.as_bytes(), at);
    RuleFileError::Syntax { line: place.line.number(), column: place.column.number() }
}

/// The bound of the filter `entropy(finding["secret"]) <= 3.5`, the only form of a filter that is read.
fn entropy_filter(filter: &str) -> Option<f32> {
    filter.trim().strip_prefix("entropy(finding[\"secret\"])")?.trim().strip_prefix("<=")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{ScanOptions, SecretScanner};

    fn found(file: &str, path: &str, text: &str) -> Vec<String> {
        let rules = RuleFile::parse(file).expect("a rule file").into_rules();
        let scanner = SecretScanner::with_rules(ScanOptions::new().with_generic(false), rules);
        let found = scanner.scan_bytes(path, text.as_bytes());
        found.into_iter().map(|one| String::from_utf8_lossy(one.secret.reveal()).into_owned()).collect()
    }

    #[test]
    fn rules_of_a_file_are_applied() {
        let file = r#"
            title = "x"
            [allowlist]
            paths = ['''(^|/)vendor/''']
            stopwords = ["EXAMPLE"]
            [[rules]]
            id = "acme"
            regex = '''(?i)acme(?:_key)?\s*=\s*"(([a-z0-9]{12})[a-z0-9]*)"'''
            secretGroup = 2
            entropy = 2.0
            keywords = ["acme"]
            [[rules.allowlists]]
            regexTarget = "line"
            regexes = ["nosecret"]
        "#;
        let line = "ACME_key = \"a1b2c3d4e5f6g7h8\"";
        assert_eq!(found(file, "a.txt", line), ["a1b2c3d4e5f6"]);
        assert!(found(file, "vendor/a.txt", line).is_empty());
        assert!(found(file, "a.txt", &format!("{line} // nosecret")).is_empty());
        assert!(found(file, "a.txt", "acme = \"exampleb1c2d3\"").is_empty());
        assert!(found(file, "a.txt", "acme = \"aaaaaaaaaaaaaa\"").is_empty(), "entropy");
    }

    #[test]
    fn what_has_no_effect_is_named() {
        let file = RuleFile::parse(
            r#"
            prefilter = "matchesAny(...)"
            [[rules]]
            id = "by path"
            path = '''\.p12$'''
            [[rules]]
            id = "by nothing"
            [[rules]]
            id = "broken"
            regex = '''('''
            [[rules]]
            id = "expr"
            regex = '''acme[0-9]{8}'''
            filter = "failsTokenEfficiency(finding)"
            validate = "http.get()"
            [[rules]]
            id = "huge"
            regex = '''(((a{1000}){1000}){1000})'''
            [[rules]]
            id = "least"
            regex = '''acme[0-9]{8}'''
            filter = "entropy(finding[\"secret\"]) <= 3.5"
        "#,
        )
        .expect("a rule file");
        let problems: Vec<String> = file.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "`prefilter` has no effect",
                "rule by nothing: it has neither `regex` nor `path`; the rule is left out",
                "rule broken: the regex is not valid or too large; the rule is left out",
                "rule expr: `validate` has no effect",
                "rule expr: `filter` has no effect",
                "rule huge: the regex is not valid or too large; the rule is left out",
            ]
        );
        assert_eq!(file.len(), 3);
    }

    #[test]
    fn what_is_no_rule_file_is_refused() {
        for (text, place) in
            [("rules = 1", "line 1, column 9"), ("[[rules]]\nregex = 'x'", "line 1"), ("\n][", "line 2")]
        {
            let error = RuleFile::parse(text).expect_err(text).to_string();
            assert!(error.contains(place), "{error}");
        }
        let error = RuleFile::parse("rules = \"q8Xn!41kz\"").expect_err("no rules");
        assert!(!format!("{error} {error:?}").contains("q8Xn"), "{error:?}");
    }
}
