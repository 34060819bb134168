//! Rules ready to match.

use super::schema::{Argument, ArgumentKind, Matcher, Rule, Scope, ValueTest};
use crate::prefilter::{MandatoryLiteral, Prefer, literals_of_hir};
use crate::source::matching::{Glance, Text, may_begin};
use crashwise_core::Problem;
use regex_automata::Input;
use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_syntax::hir::Hir;
use std::sync::OnceLock;

/// A regex that is compiled when it is first needed. Its text was checked before.
#[derive(Debug)]
pub(crate) struct LazyRegex {
    text: String,
    regex: OnceLock<Option<Regex>>,
}

impl LazyRegex {
    fn new(text: String) -> Self {
        Self { text, regex: OnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| build(&self.text).ok()).as_ref()
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.get().is_some_and(|regex| regex.is_match(text))
    }

    /// The groups of the first match.
    pub(crate) fn captures(&self, input: Input<'_>) -> Option<Captures> {
        let regex = self.get()?;
        let mut groups = regex.create_captures();
        regex.captures(input, &mut groups);
        groups.is_match().then_some(groups)
    }
}

fn build(text: &str) -> Result<Regex, Box<BuildError>> {
    Regex::builder()
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(4 << 20)))
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build(text)
        .map_err(Box::new)
}

fn parse(text: &str) -> Result<Hir, Box<regex_syntax::Error>> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    parser.parse(text).map_err(Box::new)
}

/// A rule ready to match.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) rule: Rule,
    pub(crate) requires: Option<LazyRegex>,
    pub(crate) tests: Vec<Test>,
    pub(crate) replace: Option<LazyRegex>,
}

/// One shape of a rule, ready to match.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) shape: Shape,
    /// The regex as the rule has it.
    written: String,
    pub(crate) regex: LazyRegex,
    pub(crate) literals: Vec<MandatoryLiteral>,
    glance: OnceLock<Option<Glance>>,
    pub(crate) args: Vec<ArgTest>,
    pub(crate) lacks: Vec<LazyRegex>,
    pub(crate) unless: Option<LazyRegex>,
    pub(crate) safe: Option<LazyRegex>,
    pub(crate) value: Option<ValueTest>,
    /// Whether the groups `first` and `second` must have caught the same.
    pub(crate) same: bool,
}

impl Test {
    /// Whether a match may begin before a literal of it, by its number, at a place of a text whose strings nobody knows yet.
    pub(crate) fn may_begin(&self, text: &[u8], literal: u32, place: usize) -> bool {
        let string = matches!(self.shape, Shape::String { .. });
        !string || may_begin(&self.literals[literal as usize].before, text, place)
    }

    /// The first look at hits, where there can be one.
    pub(crate) fn glance(&self) -> Option<&Glance> {
        let text = match self.shape {
            Shape::Call { .. } => Text::Names,
            Shape::Pattern(Scope::Code) => Text::Code,
            Shape::Pattern(_) => Text::Whole,
            Shape::String { .. } => Text::String,
        };
        self.glance.get_or_init(|| Glance::new(&parse(&self.written).ok()?, text)).as_ref()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `bare`: without parentheses too.
    Call {
        bare: bool,
    },
    Pattern(Scope),
    String {
        built: bool,
    },
}

/// What holds for an argument, ready to test.
#[derive(Debug)]
pub(crate) struct ArgTest {
    pub(crate) at: Option<usize>,
    pub(crate) name: Option<String>,
    pub(crate) is: Option<ArgumentKind>,
    pub(crate) matches: Option<LazyRegex>,
    pub(crate) not: Option<LazyRegex>,
}

/// A problem and the JSON pointer of the key it is about.
type Found = Vec<(String, Problem)>;

struct Checker(Found);

impl Checker {
    fn refuse(&mut self, pointer: &str, message: impl Into<String>) {
        self.0.push((pointer.to_owned(), Problem::new(key_of(pointer), message)));
    }

    fn regex(&mut self, pointer: &str, text: &str) -> LazyRegex {
        // Parsing finds what is wrong at a fraction of the cost of compiling.
        if let Err(error) = parse(text) {
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.refuse(pointer, format!("is not a valid regex: {reason}"));
        }
        LazyRegex::new(text.to_owned())
    }

    fn optional(&mut self, pointer: &str, text: Option<&String>) -> Option<LazyRegex> {
        text.map(|text| self.regex(pointer, text))
    }
}

impl CompiledRule {
    /// Checks and prepares a rule; all problems at once.
    pub(crate) fn new(rule: Rule) -> Result<Self, Found> {
        let mut check = Checker(Vec::new());
        if rule.matches.is_empty() {
            check.refuse("/match", "holds no shape to match");
        }
        if rule.languages.is_empty() {
            check.refuse("/languages", "names no language");
        }
        let tests = rule.matches.iter().enumerate().map(|(n, one)| test(&mut check, n, one)).collect();
        let requires = check.optional("/requires", rule.requires.as_ref());
        let replace = check.optional("/replace/find", rule.replace.as_ref().map(|replace| &replace.find));
        if check.0.is_empty() { Ok(Self { rule, requires, tests, replace }) } else { Err(check.0) }
    }
}

/// `/match/0/call` as people write it: `match[0].call`.
fn key_of(pointer: &str) -> String {
    let mut key = String::new();
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            key.extend(["[", part, "]"]);
        } else {
            key.push_str(if key.is_empty() { "" } else { "." });
            key.push_str(part);
        }
    }
    key
}

fn test(check: &mut Checker, n: usize, matcher: &Matcher) -> Test {
    let at = |key: &str| format!("/match/{n}/{key}");
    let (key, text, shape) = match (&matcher.call, &matcher.pattern, &matcher.string) {
        (Some(call), None, None) => ("call", call, Shape::Call { bare: matcher.bare }),
        (None, Some(pattern), None) => ("pattern", pattern, Shape::Pattern(matcher.scope)),
        (None, None, Some(string)) => ("string", string, Shape::String { built: matcher.built }),
        _ => {
            check.refuse(&format!("/match/{n}"), "expected exactly one of call, pattern and string");
            ("call", &String::new(), Shape::Pattern(Scope::Code))
        }
    };
    let literals = parse(text).ok().and_then(|hir| literals_of_hir(&hir, Prefer::Early)).unwrap_or_default();
    if literals.iter().any(|literal| literal.bytes.len() < 2) || literals.is_empty() {
        check.refuse(&at(key), "holds no literal of two characters or more without which it cannot match");
    }
    let call = matches!(shape, Shape::Call { .. });
    if !call && !matcher.lacks.is_empty() {
        check.refuse(&at("lacks"), "belongs to a call");
    }
    if !call && !matcher.args.is_empty() && !text.contains("(?P<arg>") {
        check.refuse(&at("args"), "belongs to a call, or needs a group (?P<arg>...) in the pattern");
    }
    let wrapped = if call { format!(r"(?:{text})\b{{end-half}}") } else { text.clone() };
    check.regex(&at(key), text);
    if matcher.value.is_some() && !text.contains("(?P<value>") {
        check.refuse(&at("value"), "needs a group (?P<value>...) in the pattern");
    }
    if matcher.same && !["(?P<first>", "(?P<second>"].iter().all(|group| text.contains(group)) {
        check.refuse(&at("same"), "needs groups (?P<first>...) and (?P<second>...) in the pattern");
    }
    Test {
        shape,
        written: text.clone(),
        regex: LazyRegex::new(wrapped),
        literals,
        glance: OnceLock::new(),
        args: matcher.args.iter().enumerate().map(|(m, arg)| argument(check, (n, m), arg)).collect(),
        lacks: matcher
            .lacks
            .iter()
            .enumerate()
            .map(|(m, text)| check.regex(&format!("/match/{n}/lacks/{m}"), text))
            .collect(),
        unless: check.optional(&at("unless"), matcher.unless.as_ref()),
        safe: check.optional(&at("safe"), matcher.safe.as_ref()),
        value: matcher.value,
        same: matcher.same,
    }
}

fn argument(check: &mut Checker, (n, m): (usize, usize), arg: &Argument) -> ArgTest {
    let at = |key: &str| format!("/match/{n}/args/{m}/{key}");
    ArgTest {
        at: arg.at,
        name: arg.name.clone(),
        is: arg.is,
        matches: check.optional(&at("matches"), arg.matches.as_ref()),
        not: check.optional(&at("not"), arg.not.as_ref()),
    }
}
