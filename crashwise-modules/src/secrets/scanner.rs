//! The engine: from bytes to secrets.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crashwise_core::{Confidence, RuleId, Severity};
use regex_automata::Input;

use super::assignment::{self, Assignment, Operator};
use super::catalogue;
use super::check::{Check, Verdict};
use super::decode::{self, Budget, Decoding, Hint, Hints};
use super::foreign::Candidate;
use super::generic::{self, Promise};
use super::published::is_published;
use super::rule::{Rule, RuleInfo, Shape};
use super::secret::Secret;
use super::surroundings::{ends_alone, is_code, starts_alone, without_scheme};
use crate::prefilter::{Case, Prefilter};

/// Bytes per round of the prefilter, so that its hits take little memory however long the input.
const SEGMENT: usize = 1 << 20;
/// The most matches kept of one input.
pub(super) const MAX_MATCHES: usize = 10_000;

/// What a scanner looks for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScanOptions {
    /// Whether secrets without a format are looked for, by the names they are assigned to.
    pub generic: bool,
    /// Matches of less confidence are dropped.
    pub min_confidence: Confidence,
    /// How many encodings inside each other are taken off; 0 for none. Default: 3.
    pub decode_depth: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { generic: true, min_confidence: Confidence::Medium, decode_depth: 3 }
    }
}

impl ScanOptions {
    /// Everything at medium confidence or more.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether secrets without a format are looked for.
    #[must_use]
    pub fn with_generic(mut self, generic: bool) -> Self {
        self.generic = generic;
        self
    }

    /// Sets how many encodings inside each other are taken off; 0 for none.
    #[must_use]
    pub fn with_decode_depth(mut self, depth: usize) -> Self {
        self.decode_depth = depth;
        self
    }

    /// Sets the least confidence.
    #[must_use]
    pub fn with_min_confidence(mut self, confidence: Confidence) -> Self {
        self.min_confidence = confidence;
        self
    }
}

/// A secret and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretMatch {
    /// The rule that recognised it.
    pub rule: Arc<RuleInfo>,
    /// The bytes of the input that hold the secret, possibly in an encoded form.
    pub span: Range<usize>,
    /// The secret, decoded.
    pub secret: Secret,
    /// How sure the scanner is.
    pub confidence: Confidence,
    /// What the token's own checksum or structure says, where its format has one.
    pub verdict: Option<Verdict>,
    /// The name that the secret is assigned to, where that is how it was found.
    pub name: Option<String>,
    /// How the secret was written, outermost form first; empty where it stood in the clear.
    pub decoded: Vec<Decoding>,
}

/// Finds secrets in bytes.
///
/// ```
/// use crashwise_modules::secrets::{ScanOptions, SecretScanner};
///
/// let scanner = SecretScanner::new(ScanOptions::new());
/// let found = scanner.scan_bytes("deploy.env", b"DB_PASSWORD=\"hT7!kd92\"\n");
/// assert_eq!(found.len(), 1);
/// assert_eq!(found[0].span, 13..21);
/// assert_eq!(found[0].secret.reveal(), b"hT7!kd92");
/// assert!(!format!("{found:?}").contains("hT7"));
/// ```
#[derive(Debug)]
pub struct SecretScanner {
    options: ScanOptions,
    pub(super) rules: Vec<Rule>,
    /// Rules that have no mandatory literal: they look at every byte.
    everywhere: Vec<usize>,
    literals: Vec<(Vec<u8>, Case)>,
    /// The length of the longest of them.
    longest: usize,
    actions: Vec<Vec<Action>>,
    prefilter: Prefilter,
    password: Arc<RuleInfo>,
    credential: Arc<RuleInfo>,
    authorization: Arc<RuleInfo>,
}

/// What a hit of a literal leads to.
#[derive(Debug, Clone, Copy)]
enum Action {
    Rule(usize),
    Name,
    Scheme,
    Decode(Hint),
}

impl SecretScanner {
    /// The rules for secrets without a format.
    pub(super) const GENERIC: [&'static str; 3] =
        ["secret/generic-password", "secret/generic-credential", "secret/authorization-header"];

    /// A scanner with the built-in catalogue. Takes a few milliseconds; share it between threads by reference.
    pub fn new(options: ScanOptions) -> Self {
        Self::with_rules(options, catalogue::rules())
    }

    pub(super) fn with_rules(options: ScanOptions, rules: Vec<Rule>) -> Self {
        let mut by_literal: BTreeMap<(Vec<u8>, Case), Vec<Action>> = BTreeMap::new();
        let mut everywhere = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let Some(literals) = rule.literals() else {
                everywhere.push(index);
                continue;
            };
            for literal in literals {
                by_literal.entry(literal).or_default().push(Action::Rule(index));
            }
        }
        if options.generic {
            for part in generic::NAME_PARTS {
                by_literal.entry((part.into(), Case::Insensitive)).or_default().push(Action::Name);
            }
            for scheme in generic::SCHEMES {
                by_literal.entry((scheme.into(), Case::Insensitive)).or_default().push(Action::Scheme);
            }
        }
        if options.decode_depth > 0 {
            for (literal, hint) in decode::HINTS {
                by_literal.entry((literal.into(), Case::Insensitive)).or_default().push(Action::Decode(hint));
            }
        }
        let mut builder = Prefilter::builder();
        let (mut literals, mut actions) = (Vec::new(), Vec::new());
        for ((literal, case), wanted) in by_literal {
            if builder.add(&literal, case).is_ok() {
                literals.push((literal, case));
                actions.push(wanted);
            } else {
                // A literal that no prefilter takes saves nothing: the rule looks everywhere.
                everywhere.extend(wanted.iter().filter_map(|action| match action {
                    Action::Rule(rule) => Some(*rule),
                    _ => None,
                }));
            }
        }
        everywhere.sort_unstable();
        everywhere.dedup();
        Self {
            options,
            rules,
            everywhere,
            longest: literals.iter().map(|(literal, _)| literal.len()).max().unwrap_or(0),
            literals,
            actions,
            prefilter: builder.build(),
            password: generic_rule("secret/generic-password", "password in clear text", Severity::High),
            credential: generic_rule(
                "secret/generic-credential",
                "secret, token or key in clear text",
                Severity::High,
            ),
            authorization: generic_rule(
                "secret/authorization-header",
                "credentials of an HTTP request",
                Severity::High,
            ),
        }
    }

    /// The rules of the scanner, the generic ones not included.
    pub fn rules(&self) -> impl Iterator<Item = &RuleInfo> {
        self.rules.iter().map(|rule| &*rule.info)
    }

    /// The literals whose hits [`SecretScanner::scan_hits`] wants, to be compiled into a prefilter that several
    /// modules share.
    pub fn literals(&self) -> impl Iterator<Item = (&[u8], Case)> {
        self.literals.iter().map(|(literal, case)| (&**literal, *case))
    }

    /// The secrets in `bytes`, in order of their start. `path` is the name of the file or empty: its extension says
    /// whether the bytes are code. At most 10,000 are returned.
    pub fn scan_bytes(&self, path: &str, bytes: &[u8]) -> Vec<SecretMatch> {
        let mut budget = Budget::for_input(bytes.len());
        self.scan_layer(path, bytes, 0, &mut budget)
    }

    /// As [`SecretScanner::scan_bytes`], with the hits of a prefilter that several modules share: pairs of byte
    /// offset and index into [`SecretScanner::literals`], sorted.
    pub fn scan_hits(&self, path: &str, bytes: &[u8], hits: &[(usize, usize)]) -> Vec<SecretMatch> {
        let mut budget = Budget::for_input(bytes.len());
        let mut scan = Scan::new(self, path, bytes);
        scan.hits(hits);
        scan.layers(path, 0, &mut budget);
        scan.finish()
    }

    fn scan_layer(&self, path: &str, bytes: &[u8], depth: usize, budget: &mut Budget) -> Vec<SecretMatch> {
        let mut scan = Scan::new(self, path, bytes);
        let mut hits = Vec::new();
        for start in (0..bytes.len()).step_by(SEGMENT) {
            let end = bytes.len().min(start + SEGMENT);
            hits.clear();
            self.prefilter.scan(&bytes[start..bytes.len().min(end + self.longest)], |hit| {
                if start + hit.start < end {
                    hits.push((start + hit.start, hit.literal.index()));
                }
            });
            hits.sort_unstable();
            scan.hits(&hits);
        }
        scan.layers(path, depth, budget);
        scan.finish()
    }
}

fn generic_rule(id: &str, title: &str, severity: Severity) -> Arc<RuleInfo> {
    let id = RuleId::new(id).expect("a rule id of our own");
    Arc::new(RuleInfo { id, provider: String::new(), title: title.to_owned(), severity })
}

/// One pass over one input.
struct Scan<'s> {
    scanner: &'s SecretScanner,
    bytes: &'s [u8],
    path: &'s str,
    code: bool,
    found: Vec<(u8, SecretMatch)>,
    /// For each pattern rule with hits, the stretches to search, in order and apart from each other.
    stretches: BTreeMap<usize, Vec<Range<usize>>>,
    /// The name looked at last, its values, and the end of the last name that was judged.
    name: Range<usize>,
    values: Vec<Assignment>,
    judged: bool,
    hints: Hints,
}

impl<'s> Scan<'s> {
    fn new(scanner: &'s SecretScanner, path: &'s str, bytes: &'s [u8]) -> Self {
        Self {
            scanner,
            bytes,
            path,
            code: is_code(path),
            found: Vec::new(),
            stretches: BTreeMap::new(),
            name: 0..0,
            values: Vec::new(),
            judged: false,
            hints: Hints::default(),
        }
    }

    /// Scans what is written in another form. What stands in the clear outranks it, unless its form is certain.
    fn layers(&mut self, path: &str, depth: usize, budget: &mut Budget) {
        if depth >= self.scanner.options.decode_depth {
            return;
        }
        for layer in decode::layers(self.bytes, &self.hints, budget) {
            for mut one in self.scanner.scan_layer(path, &layer.content, depth + 1, budget) {
                one.span = layer.span.clone();
                one.decoded.insert(0, layer.decoding);
                let rank = match (one.rule.provider.is_empty(), layer.decoding) {
                    // The value as it is written is nobody's secret.
                    (true, Decoding::Manifest) => 3,
                    (true, _) => 1,
                    (false, _) => 5,
                };
                self.found.push((rank, one));
            }
        }
    }

    fn hits(&mut self, hits: &[(usize, usize)]) {
        let scanner = self.scanner;
        for &(start, literal) in hits {
            let (Some(actions), Some((text, _))) =
                (scanner.actions.get(literal), scanner.literals.get(literal))
            else {
                continue;
            };
            // What comes behind the most matches is not kept, so it need not be judged.
            if self.found.len() >= 2 * MAX_MATCHES {
                return;
            }
            let end = (start + text.len()).min(self.bytes.len());
            for action in actions {
                match *action {
                    Action::Rule(rule) => self.rule_hit(rule, start..end),
                    Action::Name => self.name_hit(start..end),
                    Action::Scheme => self.scheme_hit(start..end),
                    Action::Decode(hint) => self.hints.add(hint, start),
                }
            }
        }
    }

    fn rule_hit(&mut self, index: usize, hit: Range<usize>) {
        let rule = &self.scanner.rules[index];
        match &rule.shape {
            Shape::Token { .. } => {
                if !starts_alone(self.bytes, hit.start) || !rule.body_may_start(self.bytes, hit.end) {
                    return;
                }
                if let Some(end) = rule.body_at(self.bytes, hit.end)
                    && ends_alone(self.bytes, end)
                {
                    self.token(rule, hit.start..end, hit.end - hit.start);
                }
            }
            Shape::Named { .. } => {
                self.look_at_name(hit);
                for one in std::mem::take(&mut self.values) {
                    if rule.body_at(self.bytes, one.value.start) == Some(one.value.end) {
                        self.named(rule, &one);
                    }
                    self.values.push(one);
                }
            }
            Shape::Pattern { reach, .. } => {
                let stretch = hit.start.saturating_sub(*reach)..self.bytes.len().min(hit.end + reach);
                let stretches = self.stretches.entry(index).or_default();
                match stretches.last_mut() {
                    Some(last) if last.end >= stretch.start => last.end = last.end.max(stretch.end),
                    _ => stretches.push(stretch),
                }
            }
            Shape::File => {}
        }
    }

    /// A token with a prefix: the format alone is strong evidence.
    fn token(&mut self, rule: &Rule, span: Range<usize>, prefix: usize) {
        let token = &self.bytes[span.clone()];
        let body = &token[prefix.min(token.len())..];
        let verdict = rule.check.and_then(|check| check.verdict(token));
        if verdict != Some(Verdict::Valid)
            && (generic::is_placeholder(body) || generic::entropy(body) < rule.entropy)
        {
            return;
        }
        let confidence = match verdict {
            Some(Verdict::Invalid) => rule.check.map_or(Confidence::Medium, Check::confidence_if_invalid),
            _ if rule.judge => {
                let Some(confidence) = confidence(generic::likelihood(Promise::Password, token, true)) else {
                    return;
                };
                let is_shown = generic::is_documentation_host(&self.bytes[span.end..]);
                if is_shown { Confidence::Low } else { confidence }
            }
            _ => Confidence::High,
        };
        self.keep(6, rule.info.clone(), span, confidence, verdict, None);
    }

    /// A value of a provider's format under a name that says so.
    fn named(&mut self, rule: &Rule, one: &Assignment) {
        let value = &self.bytes[one.value.clone()];
        // A commit or an id of the provider has the form of its keys: the name must promise a secret.
        let promised = generic::promise(&self.bytes[self.name.clone()]).is_some();
        if !promised || generic::is_placeholder(value) || generic::entropy(value) < rule.entropy {
            return;
        }
        let name = self.name_text(&one.name);
        let random = generic::randomness(value) >= 0.5 || generic::is_uuid(value);
        let confidence = if random { Confidence::High } else { Confidence::Low };
        let verdict = rule.check.and_then(|check| check.verdict(value));
        self.keep(4, rule.info.clone(), one.value.clone(), confidence, verdict, Some(name));
    }

    fn look_at_name(&mut self, word: Range<usize>) {
        if self.name.start <= word.start && word.end <= self.name.end {
            return;
        }
        self.name = assignment::name_around(self.bytes, word);
        self.values.clear();
        self.judged = false;
        assignment::values_of(self.bytes, &self.name, &mut self.values);
    }

    fn name_hit(&mut self, word: Range<usize>) {
        self.look_at_name(word);
        if self.judged || self.values.is_empty() {
            return;
        }
        self.judged = true;
        let Some(promise) = generic::promise(&self.bytes[self.name.clone()]) else { return };
        for one in std::mem::take(&mut self.values) {
            self.generic(promise, &one);
            self.values.push(one);
        }
    }

    fn generic(&mut self, promise: Promise, one: &Assignment) {
        let (value, scheme) = without_scheme(self.bytes, one.value.clone());
        let text = &self.bytes[value.clone()];
        if !one.quoted && !scheme && !self.bare_may_be_secret(one, text) {
            return;
        }
        let promise = if scheme || one.operator == Operator::Argument && promise != Promise::Password {
            Promise::Credential
        } else {
            promise
        };
        let mut score = generic::likelihood(promise, text, one.quoted);
        score -= match one.operator {
            // `pass` is a verb as well, and what a test passes is a path.
            Operator::Argument if promise == Promise::Password => 0.3,
            Operator::Argument | Operator::Compare | Operator::Space => 0.1,
            Operator::Assign => 0.0,
        };
        if generic::is_badge(self.bytes, &value)
            || generic::is_page_nonce(self.bytes, &one.name)
            || generic::is_test_vector(self.bytes, &one.name, &value)
            || one.operator == Operator::Argument && generic::is_in_list(self.bytes, &one.name, &value)
        {
            return;
        }
        let Some(confidence) = confidence(score) else { return };
        let info = match promise {
            Promise::Password => &self.scanner.password,
            _ => &self.scanner.credential,
        };
        let name = self.name_text(&one.name);
        self.keep(2, info.clone(), value, confidence, None, Some(name));
    }

    /// Whether a value without quotes may be a literal: in code it is a variable, in prose it is a word.
    fn bare_may_be_secret(&self, one: &Assignment, text: &[u8]) -> bool {
        if self.bytes.get(one.value.end) == Some(&b'(') {
            return false;
        }
        if generic::is_no_identifier(text) {
            return true;
        }
        if self.code {
            return false;
        }
        let rest = &self.bytes[one.value.end..];
        let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
        let word_follows = spaces > 0 && rest.get(spaces).is_some_and(u8::is_ascii_alphabetic);
        let tight = self.bytes[..one.value.start].last() == Some(&b'=');
        !word_follows || tight
    }

    /// What follows `Bearer ` or `Basic ` in a header.
    fn scheme_hit(&mut self, scheme: Range<usize>) {
        if !starts_alone(self.bytes, scheme.start) {
            return;
        }
        let Some((value, _)) = assignment::value_after(self.bytes, scheme.end) else { return };
        let text = &self.bytes[value.clone()];
        let basic = self.bytes[scheme.start].eq_ignore_ascii_case(&b'b') && scheme.len() == 6;
        let score =
            if basic { basic_likelihood(text) } else { generic::likelihood(Promise::Credential, text, true) };
        if let Some(confidence) = confidence(score) {
            self.keep(2, self.scanner.authorization.clone(), value, confidence, None, None);
        }
    }

    fn name_text(&self, name: &Range<usize>) -> String {
        let text = String::from_utf8_lossy(&self.bytes[name.clone()]);
        text.trim_matches(['-', '.', '$']).to_owned()
    }

    fn keep(
        &mut self,
        rank: u8,
        rule: Arc<RuleInfo>,
        span: Range<usize>,
        confidence: Confidence,
        verdict: Option<Verdict>,
        name: Option<String>,
    ) {
        if confidence < self.scanner.options.min_confidence || self.found.len() >= 2 * MAX_MATCHES {
            return;
        }
        if is_published(&self.bytes[span.clone()]) {
            return;
        }
        let secret = Secret::new(&self.bytes[span.clone()]);
        self.found
            .push((rank, SecretMatch { rule, span, secret, confidence, verdict, name, decoded: Vec::new() }));
    }

    fn pattern(&mut self, index: usize, stretch: Range<usize>) {
        let rule = &self.scanner.rules[index];
        let Some(regex) = rule.regex() else { return };
        let mut captures = regex.create_captures();
        let mut at = stretch.start;
        while at <= stretch.end {
            regex.captures(Input::new(self.bytes).span(at..stretch.end), &mut captures);
            let Some(whole) = captures.get_match() else { return };
            let group = |index| captures.get_group(index);
            let span = match rule.filter.as_ref().and_then(|filter| filter.group) {
                Some(index) => group(index),
                None => captures.get_group_by_name("secret").or_else(|| group(1)),
            };
            let span = span.filter(|span| !span.is_empty()).map_or(whole.range(), |span| span.range());
            if !span.is_empty() && self.is_admitted(rule, &span, whole.range()) {
                self.token(rule, span, 0);
            }
            at = whole.end().max(at + 1);
        }
    }

    /// Whether the allowlists of the rule's own file let the match through.
    fn is_admitted(&self, rule: &Rule, span: &Range<usize>, whole: Range<usize>) -> bool {
        rule.filter.as_ref().is_none_or(|filter| {
            filter.admits(Candidate {
                path: self.path,
                secret: &self.bytes[span.clone()],
                whole: &self.bytes[whole],
                line: super::places::line(self.bytes, span),
            })
        })
    }

    fn finish(mut self) -> Vec<SecretMatch> {
        for (index, stretches) in std::mem::take(&mut self.stretches) {
            for stretch in stretches {
                self.pattern(index, stretch);
            }
        }
        for index in 0..self.scanner.everywhere.len() {
            self.pattern(self.scanner.everywhere[index], 0..self.bytes.len());
        }
        // The better evidence wins where matches overlap; a whole private key wins over a line of it.
        let mut found = self.found;
        found.sort_by(|(rank_a, a), (rank_b, b)| {
            (rank_b, b.span.len(), a.span.start, &a.rule.id).cmp(&(
                rank_a,
                a.span.len(),
                b.span.start,
                &b.rule.id,
            ))
        });
        let mut kept: BTreeMap<usize, SecretMatch> = BTreeMap::new();
        for (_, one) in found {
            let before = kept.range(..one.span.end).next_back();
            if before.is_none_or(|(_, other)| other.span.end <= one.span.start) && kept.len() < MAX_MATCHES {
                kept.insert(one.span.start, one);
            }
        }
        kept.into_values().collect()
    }
}

fn confidence(score: f32) -> Option<Confidence> {
    match score {
        s if s >= 0.8 => Some(Confidence::High),
        s if s >= 0.5 => Some(Confidence::Medium),
        s if s >= 0.3 => Some(Confidence::Low),
        _ => None,
    }
}

/// Base64 of `user:password`.
fn basic_likelihood(text: &[u8]) -> f32 {
    let Some(decoded) = super::base64::decode(text) else { return 0.0 };
    match decoded.iter().position(|&byte| byte == b':') {
        Some(colon) if decoded.iter().all(|byte| (b' '..0x7f).contains(byte)) => {
            generic::likelihood(Promise::Password, &decoded[colon + 1..], true)
        }
        _ => 0.0,
    }
}
