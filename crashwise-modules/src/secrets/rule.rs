//! What a detection rule is.

use std::sync::{Arc, OnceLock};

use crashwise_core::{RuleId, Severity};
use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::check::Check;
use crate::prefilter::{Case, mandatory_literals};

/// The most bytes a token or a named value may have.
pub(super) const MAX_VALUE: usize = 2048;
/// Bytes looked at on each side of a literal where a regex has no bound of its own.
const UNBOUNDED: usize = 16 << 10;
/// The most bytes looked at on each side of a literal.
const MAX_REACH: usize = 32 << 10;
/// Memory that a compiled regex may take.
const REGEX_BYTES: usize = 16 << 20;

/// What a rule says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInfo {
    /// Names the rule, e.g. `secret/github-pat`.
    pub id: RuleId,
    /// Who issues the secret, e.g. `GitHub`; empty for secrets of no particular issuer.
    pub provider: String,
    /// One line for people.
    pub title: String,
    /// How bad a leak is.
    pub severity: Severity,
}

/// One kind of secret and how it is recognised.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) info: Arc<RuleInfo>,
    pub(super) shape: Shape,
    pub(super) check: Option<Check>,
    /// Least Shannon entropy of the secret in bits per byte; 0 for none.
    pub(super) entropy: f32,
    /// Whether the secret is judged as a password, because the format alone proves nothing.
    pub(super) judge: bool,
    /// What a rule file of others asks for.
    pub(super) filter: Option<Box<super::foreign::Filter>>,
    regex: OnceLock<Option<Regex>>,
    /// The least length of the body of a token.
    least: OnceLock<usize>,
}

/// How a rule recognises its secrets.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// One of the prefixes, then the body: recognised wherever it stands alone.
    Token { prefixes: Vec<String>, body: String },
    /// The value of an assignment whose name holds one of the words; the body is the whole value.
    Named { words: Vec<String>, body: String },
    /// A regex; its group `secret`, else its first group, else the whole match is the secret.
    Pattern { regex: String, literals: Option<Vec<(Vec<u8>, Case)>>, reach: usize },
    /// A file by its path, whatever is in it; its filter says which path.
    File,
}

impl Rule {
    pub(super) fn new(info: RuleInfo, shape: Shape) -> Self {
        Self {
            info: Arc::new(info),
            shape,
            check: None,
            entropy: 0.0,
            judge: false,
            filter: None,
            regex: OnceLock::new(),
            least: OnceLock::new(),
        }
    }

    /// The literals of which a secret of this rule needs one nearby; `None` where every byte must be looked at.
    pub(super) fn literals(&self) -> Option<Vec<(Vec<u8>, Case)>> {
        match &self.shape {
            Shape::Token { prefixes, .. } => {
                Some(prefixes.iter().map(|prefix| (prefix.clone().into_bytes(), Case::Sensitive)).collect())
            }
            Shape::Named { words, .. } => {
                Some(words.iter().map(|word| (word.clone().into_bytes(), Case::Insensitive)).collect())
            }
            Shape::Pattern { literals, .. } => literals.clone(),
            Shape::File => Some(Vec::new()),
        }
    }

    /// The compiled regex of the body or of the pattern; `None` where it cannot be compiled.
    pub(super) fn regex(&self) -> Option<&Regex> {
        self.regex
            .get_or_init(|| match &self.shape {
                Shape::Token { body, .. } | Shape::Named { body, .. } => compile(body),
                Shape::Pattern { regex, .. } => compile(regex),
                Shape::File => None,
            })
            .as_ref()
    }

    /// Whether what starts at `start` is long enough to be a body: cheap, and no for nearly all hits of short prefixes.
    pub(super) fn body_may_start(&self, bytes: &[u8], start: usize) -> bool {
        let least = *self.least.get_or_init(|| match &self.shape {
            Shape::Token { body, .. } | Shape::Named { body, .. } => {
                parse(body).and_then(|hir| hir.properties().minimum_len()).unwrap_or(0)
            }
            Shape::Pattern { .. } | Shape::File => 0,
        });
        bytes
            .get(start..start + least)
            .is_some_and(|body| body.iter().all(|byte| (b'!'..=b'~').contains(byte)))
    }

    /// The end of the body that starts at `start`, if there is one.
    pub(super) fn body_at(&self, bytes: &[u8], start: usize) -> Option<usize> {
        let end = bytes.len().min(start.saturating_add(MAX_VALUE));
        let input = Input::new(bytes).span(start..end).anchored(regex_automata::Anchored::Yes);
        self.regex()?.find(input).map(|found| found.end())
    }
}

impl Shape {
    /// A pattern with its mandatory literals and its reach.
    pub(super) fn pattern(regex: String) -> Self {
        let literals = mandatory_literals(&regex)
            .map(|all| all.into_iter().map(|literal| (literal.bytes, literal.case)).collect());
        let reach = parse(&regex)
            .and_then(|hir| hir.properties().maximum_len())
            .map_or(UNBOUNDED, |len| len.min(MAX_REACH));
        Self::Pattern { regex, literals, reach }
    }
}

fn parse(pattern: &str) -> Option<regex_syntax::hir::Hir> {
    regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()
}

/// Compiles over bytes with ASCII classes, and with Unicode where the pattern asks for it.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    let build = |unicode: bool| {
        Regex::builder()
            .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(REGEX_BYTES)))
            .syntax(syntax::Config::new().unicode(unicode).utf8(false))
            .build(pattern)
            .ok()
    };
    build(false).or_else(|| build(true))
}
