//! Confirms what the literals of a shape suggest, in windows around them.

use super::arguments::Arguments;
use super::expression::{builds_string, is_built, is_dynamic};
use super::flow::{Flow, Origin, value_of};
use super::secret;
use super::text::{SourceText, is_word};
use crate::source::lexer::TokenKind;
use crate::source::rule::{ArgTest, ArgumentKind, Scope, Shape, Test};
use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use std::cell::{Cell, OnceCell};
use std::ops::Range;

/// What stands before a literal and may belong to the match, in bytes.
const BEFORE: usize = 256;
/// What stands behind it and may belong to the match.
const BEHIND: usize = 1024;

/// With more places than this at which a match may begin, one search over all of them costs less.
const MAX_BEGINNINGS: usize = 32;

/// Bytes that may be looked at around matches, whatever the size of the file; each byte of the file adds to it.
const BUDGET: usize = 4 << 20;

/// A confirmed match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) range: Range<usize>,
    /// What must not be shown.
    pub(crate) secret: Option<Range<usize>>,
    /// Where the input of a user that reaches it enters.
    pub(crate) input: Option<usize>,
}

/// Confirms matches in one file.
pub(crate) struct Confirm<'s, 't> {
    pub(crate) source: &'s SourceText<'t>,
    flow: OnceCell<Flow>,
    /// Bytes that may still be looked at: hostile text would have every call look at all that follows it.
    budget: Cell<usize>,
}

impl<'s, 't> Confirm<'s, 't> {
    pub(crate) fn new(source: &'s SourceText<'t>) -> Self {
        let budget = Cell::new(source.bytes.len().saturating_mul(8).saturating_add(BUDGET));
        Self { source, flow: OnceCell::new(), budget }
    }

    /// Whether it gave up before all places were looked at.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget.get() == 0
    }

    fn spend(&self, bytes: usize) {
        self.budget.set(self.budget.get().saturating_sub(bytes));
    }

    fn flow(&self) -> &Flow {
        self.flow.get_or_init(|| Flow::new(self.source))
    }

    /// The matches of a shape around places where one of its literals stands: offset and number of the literal, sorted.
    pub(crate) fn matches(&self, test: &Test, places: &[(usize, usize)], found: &mut Vec<Match>) {
        let Shape::String { built } = test.shape else {
            return self.regex_matches(test, places, found);
        };
        let mut last = usize::MAX;
        for (place, _) in places {
            if self.is_exhausted() {
                return;
            }
            let index = self.source.token_from(*place);
            let Some(token) = self.source.tokens.get(index).filter(|token| token.start <= *place) else {
                continue;
            };
            if index == last || !token.kind.is_string() {
                continue;
            }
            last = index;
            let content = &self.source.bytes[token.content()];
            if !test.regex.is_match(content) || (built && !is_built(self.source, token, test.safe.as_ref())) {
                continue;
            }
            let input = if built { self.input_of_statement(token.start) } else { None };
            self.accept(test, Match { range: token.start..token.end, secret: None, input }, found);
        }
    }

    /// Where input enters what is put together in the statement at a place.
    fn input_of_statement(&self, place: usize) -> Option<usize> {
        let lines = self.source.lines_of(&(place..place), BEHIND);
        let end = lines.end.max(place);
        self.spend(16 * (end - place));
        let start = place;
        self.flow().origin(self.source, &(start..end), start).input
    }

    fn regex_matches(&self, test: &Test, places: &[(usize, usize)], found: &mut Vec<Match>) {
        let Some(regex) = test.regex.get() else { return };
        let blank = matches!(test.shape, Shape::Call { .. } | Shape::Pattern(Scope::Code));
        let searched = if blank { &self.source.code } else { self.source.bytes };
        let mut done = 0;
        for begin in self.beginnings(test, places, searched) {
            let end = begin.end.saturating_add(BEHIND).min(searched.len());
            let mut start = begin.start.max(done);
            while start <= begin.end {
                if self.is_exhausted() {
                    return;
                }
                let Some(hit) = self.first_match(regex, &searched[..end], start..begin.end) else { break };
                self.spend(hit.len());
                if hit.end == end && end < searched.len() {
                    // It touches the end of the window, so it may be half of one.
                    start = hit.start + 1;
                    continue;
                }
                start = hit.end.max(hit.start + 1);
                done = start;
                self.confirm(test, hit, found);
            }
        }
    }

    /// Where matches may begin that have one of their literals at a place: ranges, ends included, in order and apart.
    fn beginnings(&self, test: &Test, places: &[(usize, usize)], searched: &[u8]) -> Vec<Range<usize>> {
        let begin = |(place, literal): &(usize, usize)| {
            let start = test.literals[*literal].before.earliest(searched, *place, BEFORE);
            self.spend(place - start);
            (!self.is_exhausted()).then_some(start..*place)
        };
        let mut all: Vec<_> = places.iter().map_while(begin).collect();
        all.sort_unstable_by_key(|range| range.start);
        all.dedup_by(|next, last| {
            let overlap = next.start <= last.end;
            if overlap {
                last.end = last.end.max(next.end);
            }
            overlap
        });
        all
    }

    /// The first match that begins in a range, its end included.
    fn first_match(&self, regex: &Regex, text: &[u8], begin: Range<usize>) -> Option<Range<usize>> {
        let input = Input::new(text);
        if begin.len() > MAX_BEGINNINGS {
            self.spend(text.len() - begin.start);
            let hit = regex.find(input.span(begin.start..text.len()))?;
            return (hit.start() <= begin.end).then(|| hit.range());
        }
        // A search that may begin in one place only ends as soon as the text differs.
        (begin.start..=begin.end).find_map(|start| {
            self.spend(16);
            let anchored = input.clone().span(start..text.len()).anchored(Anchored::Yes);
            regex.find(anchored).map(|hit| hit.range())
        })
    }

    fn confirm(&self, test: &Test, hit: Range<usize>, found: &mut Vec<Match>) {
        match test.shape {
            Shape::Call { bare } => self.confirm_call(test, hit, bare, found),
            Shape::Pattern(scope) => {
                // White space that a pattern starts with says nothing of where it is.
                let token = self.source.token_at(hit.start);
                let inside =
                    token.filter(|token| token.start < hit.start || token.kind == TokenKind::Comment);
                let in_comment = inside.is_some_and(|token| !token.kind.is_string());
                let allowed = match scope {
                    Scope::Code | Scope::Text => inside.is_none(),
                    Scope::String => {
                        inside.is_some() && !in_comment || token.is_some_and(|token| token.kind.is_string())
                    }
                    Scope::Any => !in_comment,
                };
                if !allowed {
                    return;
                }
                if let Some(one) = self.groups(test, hit) {
                    self.accept(test, one, found);
                }
            }
            Shape::String { .. } => {}
        }
    }

    /// Looks at the groups of a pattern.
    fn groups(&self, test: &Test, hit: Range<usize>) -> Option<Match> {
        if test.value.is_none() && test.args.is_empty() && !test.same {
            return Some(Match { range: hit, secret: None, input: None });
        }
        let blank = test.shape == Shape::Pattern(Scope::Code);
        let searched = if blank { &self.source.code } else { self.source.bytes };
        let input = Input::new(searched).span(hit.start..searched.len()).anchored(Anchored::Yes);
        let groups = test.regex.captures(input)?;
        let group = |name: &str| groups.get_group_by_name(name).map(|group| group.range());
        let caught = |name: &str| group(name).map(|group| &searched[group]);
        if test.same && caught("first") != caught("second") {
            return None;
        }
        let mut secret = None;
        if let Some(value) = test.value {
            let group = group("value")?;
            if !secret::passes(value, &self.source.bytes[group.clone()]) {
                return None;
            }
            secret = Some(group);
        }
        let (mut range, mut input) = (hit, None);
        if !test.args.is_empty() {
            let arg = value_of(self.source, group("arg")?.start);
            self.spend(4 * arg.len());
            for one in &test.args {
                input = input.or(self.passes(one, &arg, range.start)?.input);
            }
            range.end = range.end.max(arg.end);
        }
        Some(Match { range, secret, input })
    }

    fn confirm_call(&self, test: &Test, hit: Range<usize>, bare: bool, found: &mut Vec<Match>) {
        let source = self.source;
        let method = matches!(source.code[hit.start], b'.' | b'-' | b'?' | b':');
        if source.token_at(hit.start).is_some() || (!method && !starts_name(source, hit.start)) {
            return;
        }
        let open = source.skip_space(hit.end, source.code.len());
        let args = if source.code.get(open) == Some(&b'(') && (!bare || open == hit.end) {
            Arguments::parenthesised(source, open)
        } else if bare && (open > hit.end || source.code.get(open).is_some_and(|b| !is_word(*b))) {
            let same_line = !source.code[hit.end..open].contains(&b'\n');
            same_line.then(|| Arguments::bare(source, open))
        } else {
            return;
        };
        self.spend(args.as_ref().map_or(16 << 10, |args| 4 * args.range.len()));
        let Some(args) = args else {
            // The end is out of reach: what does not depend on the arguments still holds.
            if test.args.is_empty() && test.lacks.is_empty() {
                self.accept(test, Match { range: hit, secret: None, input: None }, found);
            }
            return;
        };
        if args.list.is_empty() && bare {
            return;
        }
        let between = &source.bytes[args.range.clone()];
        if test.lacks.iter().any(|regex| regex.is_match(between)) {
            return;
        }
        let mut input = None;
        for test in &test.args {
            match self.argument(test, &args, hit.start) {
                Some(origin) => input = input.or(origin.input),
                None => return,
            }
        }
        self.accept(test, Match { range: hit.start..args.end, secret: None, input }, found);
    }

    /// What is known of the argument that passes a test; `None` where none does.
    fn argument(&self, test: &ArgTest, args: &Arguments, place: usize) -> Option<Origin> {
        let named = test.name.as_deref().and_then(|name| args.named(self.source, name));
        let placed = test.at.and_then(|at| args.positional(self.source, at));
        if test.at.is_some() || test.name.is_some() {
            return self.passes(test, &named.or(placed)?, place);
        }
        args.list.iter().find_map(|arg| self.passes(test, arg, place))
    }

    fn passes(&self, test: &ArgTest, arg: &Range<usize>, place: usize) -> Option<Origin> {
        let source = self.source;
        let written = &source.bytes[arg.clone()];
        if test.matches.as_ref().is_some_and(|regex| !regex.is_match(written))
            || test.not.as_ref().is_some_and(|regex| regex.is_match(written))
        {
            return None;
        }
        let dynamic = is_dynamic(source, arg);
        match test.is {
            Some(ArgumentKind::Constant) if dynamic => return None,
            None | Some(ArgumentKind::Constant) => return Some(Origin::default()),
            Some(_) if !dynamic => return None,
            Some(_) => {}
        }
        let origin = self.flow().origin(source, arg, place);
        let built = origin.built || builds_string(source, arg, test.not.as_ref());
        let passes = match test.is {
            Some(ArgumentKind::Built) => built,
            Some(ArgumentKind::Tainted) => origin.input.is_some(),
            Some(ArgumentKind::Unsafe) => built || origin.input.is_some(),
            _ => true,
        };
        passes.then_some(origin)
    }

    fn accept(&self, test: &Test, found: Match, all: &mut Vec<Match>) {
        if let Some(unless) = &test.unless {
            let lines = self.source.lines_of(&found.range, BEHIND);
            if unless.is_match(&self.source.bytes[lines]) {
                return;
            }
        }
        all.push(found);
    }
}

/// Whether the name at an offset is a whole one: no method, no part of a longer name, no definition.
fn starts_name(source: &SourceText<'_>, at: usize) -> bool {
    let before = &source.code[..at];
    if before.last().is_some_and(|b| is_word(*b) || matches!(b, b'.' | b'@' | b':'))
        || before.ends_with(b"->")
    {
        // `::name` of PHP, C++ and Ruby is the global one when nothing stands before it.
        let global = before.ends_with(b"::")
            && !before[..before.len() - 2].last().is_some_and(|b| is_word(*b) || *b == b'>');
        let escaped = before.ends_with(b"@") && source.language == crate::source::Language::Php;
        return global || escaped;
    }
    let end = source.skip_space_back(at);
    let word = source.word_before(end);
    !matches!(word, b"def" | b"function" | b"fn" | b"func" | b"class" | b"void" | b"sub" | b"macro_rules")
}
