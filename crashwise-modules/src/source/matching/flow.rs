//! Which variables hold input of a user, or a string put together: told by the assignments before a place.

use super::expression::builds_string;
use super::profile::Profile;
use super::text::{SourceText, is_word};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;

/// The longest value that is looked at, in bytes.
const MAX_VALUE: usize = 1024;
/// How far behind an assignment a use may stand, in bytes.
const MAX_DISTANCE: usize = 8 << 10;
/// How many assignments are followed from one to the one before.
const MAX_CHAIN: u32 = 32;
/// Bytes that may be looked at for assignments, whatever the size of the file; each byte of the file adds to it.
const BUDGET: usize = 2 << 20;

/// What is known of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Where input of a user enters.
    pub(crate) input: Option<usize>,
    /// Whether it is a string put together with something dynamic.
    pub(crate) built: bool,
}

impl Origin {
    fn or(self, other: Self) -> Self {
        Self { input: self.input.or(other.input), built: self.built || other.built }
    }
}

/// Follows the assignments of a file.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Of values that were looked at, by the place of their `=`.
    known: RefCell<HashMap<usize, Origin>>,
    chain: Cell<u32>,
    budget: Cell<usize>,
}

/// What a name was set to.
#[derive(Debug, Clone)]
enum Assignment {
    /// Input of a user, as a parameter: the range of its name.
    Parameter(Range<usize>),
    /// The value behind the `=` at a place, and whether it was added to what was there.
    Value { at: usize, value: Range<usize>, appends: bool },
}

impl Assignment {
    fn end(&self) -> usize {
        match self {
            Self::Parameter(name) => name.end,
            Self::Value { value, .. } => value.end,
        }
    }

    fn start(&self) -> usize {
        match self {
            Self::Parameter(name) => name.start,
            Self::Value { at, .. } => *at,
        }
    }
}

impl Flow {
    pub(crate) fn new(source: &SourceText<'_>) -> Self {
        let budget = source.bytes.len().saturating_mul(4).saturating_add(BUDGET);
        Self { known: RefCell::default(), chain: Cell::new(0), budget: Cell::new(budget) }
    }

    /// Nothing where not so many bytes may be looked at any more.
    fn spend(&self, bytes: usize) -> Option<()> {
        self.budget.set(self.budget.get().checked_sub(bytes)?);
        Some(())
    }

    /// What is known of an expression at a place.
    pub(crate) fn origin(&self, source: &SourceText<'_>, range: &Range<usize>, place: usize) -> Origin {
        let profile = Profile::of(source.language);
        let code = &source.code[range.clone()];
        if profile.sanitizers.as_ref().is_some_and(|regex| regex.is_match(code)) {
            return Origin::default();
        }
        let input =
            profile.sources.as_ref().and_then(|regex| regex.find(code)).map(|m| range.start + m.start());
        // PHP names variables in strings; the text itself is looked at there.
        let input = input.or_else(|| {
            source
                .tokens_in(range)
                .iter()
                .filter(|token| token.kind == crate::source::lexer::TokenKind::Interpolated)
                .find_map(|token| {
                    let found = profile.sources.as_ref()?.find(&source.bytes[token.start..token.end])?;
                    Some(token.start + found.start())
                })
        });
        let mut origin = Origin { input, built: builds_string(source, range, None) };
        if origin.input.is_none() || !origin.built {
            for word in words(source, range) {
                origin = origin.or(self.origin_of(source, &word, place));
            }
        }
        origin
    }

    /// What is known of a variable at a place.
    fn origin_of(&self, source: &SourceText<'_>, name: &[u8], place: usize) -> Origin {
        let (at, value, appends) = match self.latest(source, name, place) {
            None => return Origin::default(),
            Some(Assignment::Parameter(name)) => return Origin { input: Some(name.start), built: false },
            Some(Assignment::Value { at, value, appends }) => (at, value, appends),
        };
        if let Some(known) = self.known.borrow().get(&at) {
            return *known;
        }
        if self.chain.get() == MAX_CHAIN {
            return Origin::default();
        }
        self.chain.set(self.chain.get() + 1);
        let mut origin = self.origin(source, &value, at);
        if appends {
            origin = origin.or(self.origin_of(source, name, at));
        }
        self.chain.set(self.chain.get() - 1);
        self.known.borrow_mut().insert(at, origin);
        origin
    }

    /// The last assignment to a name before a place, in the same function.
    fn latest(&self, source: &SourceText<'_>, name: &[u8], place: usize) -> Option<Assignment> {
        let floor = place.saturating_sub(MAX_DISTANCE + 2 * MAX_VALUE);
        let before = &source.code[floor..place];
        self.spend(before.len())?;
        memchr::memmem::find(before, name)?;
        let set = memchr::memrchr_iter(b'=', before).find_map(|at| {
            let at = floor + at;
            let (names, appends) = targets(source, at)?;
            names.into_iter().find(|one| &source.code[one.clone()] == name)?;
            let value = value_of(source, at + 1);
            self.spend(8 * value.len())?;
            (value.end <= place).then_some(Assignment::Value { at, value, appends })
        });
        let given = Profile::of(source.language).parameters.as_ref().and_then(|regex| {
            let names = regex.captures_iter(before).filter_map(|found| found.get(1));
            let name = names.filter(|one| one.as_bytes() == name).last()?;
            Some(Assignment::Parameter(floor + name.start()..floor + name.end()))
        });
        let assignment = set.into_iter().chain(given).max_by_key(Assignment::end)?;
        let near = place - assignment.end() <= MAX_DISTANCE;
        (near && !crosses_function(source, &assignment, place)).then_some(assignment)
    }
}

/// The names of variables in an expression.
fn words(source: &SourceText<'_>, range: &Range<usize>) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut take = |text: &[u8]| {
        let mut at = 0;
        while at < text.len() && words.len() < 64 {
            let length = text[at..].iter().take_while(|b| is_word(**b)).count();
            let member = at > 0 && (text[at - 1] == b'.' || text[..at].ends_with(b"->"));
            let call = text.get(at + length) == Some(&b'(');
            if length > 0 && !text[at].is_ascii_digit() && !member && !call {
                words.push(text[at..at + length].to_vec());
            }
            at += length.max(1);
        }
    };
    for piece in source.code_in(range.clone()) {
        take(&source.code[piece]);
    }
    for token in source.tokens_in(range) {
        if token.kind == crate::source::lexer::TokenKind::Interpolated {
            take(&source.bytes[token.content()]);
        }
    }
    words
}

/// Whether a function begins between an assignment and a place that is less indented than the assignment.
fn crosses_function(source: &SourceText<'_>, assignment: &Assignment, place: usize) -> bool {
    let Some(regex) = &Profile::of(source.language).functions else { return false };
    let end = assignment.end();
    // A match lies in one line.
    let lines = source.lines_of(&(end..place), MAX_DISTANCE);
    let indent = source.indent(assignment.start());
    regex
        .find_iter(&source.code[lines.clone()])
        .map(|found| lines.start + found.end())
        .any(|at| end < at && at <= place && source.indent(at - 1) < indent)
}

/// The names that the `=` at an offset sets, and whether it adds to what they hold.
fn targets(source: &SourceText<'_>, at: usize) -> Option<(Vec<Range<usize>>, bool)> {
    let code = &source.code;
    if matches!(code.get(at + 1), Some(b'=' | b'>' | b'~')) {
        return None;
    }
    let mut end = at;
    let mut appends = false;
    match code[..at].last() {
        Some(b'=' | b'!' | b'<' | b'>' | b'~') => return None,
        Some(b'+' | b'.' | b'|' | b'*' | b'/' | b'-' | b'%' | b'&' | b'^') => {
            appends = true;
            end -= 1;
        }
        Some(b':') => end -= 1,
        _ => {}
    }
    end = source.skip_space_back(end);
    let last = *code[..end].last()?;
    if last == b'}' || last == b']' || last == b')' {
        // `const {a, b} = …`, `[a, b] = …`; `a[b] = …` sets nothing that is followed.
        let floor = end.saturating_sub(256);
        let open = code[floor..end].iter().rposition(|b| matches!(b, b'{' | b'[' | b'('))? + floor;
        if code[..open].last().is_some_and(|b| is_word(*b) || *b == b']') {
            return None;
        }
        return Some((words_in(code, open..end), false));
    }
    let word = source.word_before(end).len();
    if word == 0 {
        return None;
    }
    let mut name = end - word..end;
    let mut before = source.skip_space_back(name.start);
    // `name: Type = value`
    if code[..before].last() == Some(&b':') && code[..before - 1].last() != Some(&b':') {
        before = source.skip_space_back(before - 1);
        let length = source.word_before(before).len();
        if length > 0 {
            name = before - length..before;
        }
    }
    // `a, b := f()`
    let mut names = vec![name.clone()];
    let mut start = name.start;
    while names.len() < 8 {
        let comma = source.skip_space_back(start);
        if code[..comma].last() != Some(&b',') {
            break;
        }
        let end = source.skip_space_back(comma - 1);
        let length = source.word_before(end).len();
        if length == 0 {
            break;
        }
        start = end - length;
        names.push(start..end);
    }
    Some((names, appends))
}

fn words_in(code: &[u8], range: Range<usize>) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = range.start;
    while at < range.end && words.len() < 16 {
        let length = code[at..range.end].iter().take_while(|b| is_word(**b)).count();
        if length > 0 {
            words.push(at..at + length);
        }
        at += length.max(1);
    }
    words
}

/// The value that stands behind an `=`.
pub(crate) fn value_of(source: &SourceText<'_>, start: usize) -> Range<usize> {
    let start = source.skip_space(start, source.code.len());
    let limit = source.code.len().min(start.saturating_add(MAX_VALUE));
    let mut depth = 0_usize;
    let mut at = start;
    while at < limit {
        match source.code[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' | b';' if depth == 0 => break,
            b')' | b']' | b'}' => depth -= 1,
            b'\n' if depth == 0 && source.token_at(at).is_none() => {
                let before = source.code[..source.skip_space_back(at)].last().copied().unwrap_or(0);
                let after = source.code.get(source.skip_space(at, limit)).copied().unwrap_or(0);
                let goes_on = matches!(before, b'+' | b'.' | b'(' | b',' | b'|' | b'?' | b'&' | b'%')
                    || source.bytes[..at].ends_with(b"\\")
                    || matches!(after, b'.' | b'+' | b'?')
                    || source.bytes[..source.skip_space_back(at)].ends_with(b"=");
                if !goes_on {
                    break;
                }
            }
            _ => {}
        }
        at += 1;
    }
    start..at
}
