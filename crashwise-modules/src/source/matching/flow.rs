//! Which variables hold input of a user, or a string put together: one pass over the assignments of a file.

use super::expression::builds_string;
use super::profile::Profile;
use super::text::{SourceText, is_word};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

/// The most assignments of a file that are followed.
const MAX_ASSIGNMENTS: usize = 10_000;
/// The longest value that is looked at, in bytes.
const MAX_VALUE: usize = 1024;
/// The most bytes of values that are looked at in a file.
const MAX_BYTES: usize = 2 << 20;
/// How far behind an assignment a use may stand, in bytes.
const MAX_DISTANCE: usize = 8 << 10;

/// What is known of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Where input of a user enters.
    pub(crate) input: Option<usize>,
    /// Whether it is a string put together with something dynamic.
    pub(crate) built: bool,
}

/// The assignments of a file with what is known of their values.
#[derive(Debug, Default)]
pub(crate) struct Flow<'s> {
    by_name: HashMap<&'s [u8], Vec<Assignment>>,
    /// Where functions begin, and how far their first lines are indented; found when it is first asked for.
    functions: OnceCell<Vec<(usize, usize)>>,
}

#[derive(Debug, Clone, Copy)]
struct Assignment {
    end: usize,
    indent: usize,
    origin: Origin,
}

impl<'s> Flow<'s> {
    /// Follows the assignments of a file.
    pub(crate) fn new(source: &'s SourceText<'_>) -> Self {
        let profile = Profile::of(source.language);
        let mut flow = Self::default();
        if let Some(parameters) = &profile.parameters {
            for found in parameters.captures_iter(&source.code).take(MAX_ASSIGNMENTS) {
                if let Some(name) = found.get(1) {
                    let origin = Origin { input: Some(name.start()), built: false };
                    let assignment =
                        Assignment { end: name.end(), indent: source.indent(name.start()), origin };
                    flow.by_name.entry(&source.code[name.range()]).or_default().push(assignment);
                }
            }
        }
        let (mut count, mut bytes) = (0, 0);
        for at in memchr::memchr_iter(b'=', &source.code) {
            if count >= MAX_ASSIGNMENTS || bytes >= MAX_BYTES {
                break;
            }
            let Some((names, appends)) = targets(source, at) else { continue };
            count += 1;
            let value = value_of(source, at + 1);
            bytes += value.len();
            let mut origin = flow.origin(source, &value, at);
            let indent = source.indent(at);
            for name in names {
                let name = &source.code[name];
                if appends && let Some(before) = flow.latest(source, name, at) {
                    origin.input = origin.input.or(before.origin.input);
                    origin.built |= before.origin.built;
                }
                flow.by_name.entry(name).or_default().push(Assignment { end: value.end, indent, origin });
            }
        }
        flow
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
            for word in self.words(source, range) {
                if let Some(assignment) = self.latest(source, &word, place) {
                    origin.input = origin.input.or(assignment.origin.input);
                    origin.built |= assignment.origin.built;
                }
            }
        }
        origin
    }

    /// The names of variables in an expression.
    fn words(&self, source: &SourceText<'_>, range: &Range<usize>) -> Vec<Vec<u8>> {
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
        words.retain(|word| self.by_name.contains_key(word.as_slice()));
        words
    }

    /// The last assignment to a name before a place, in the same function.
    fn latest(&self, source: &SourceText<'_>, name: &[u8], place: usize) -> Option<&Assignment> {
        let assignments = self.by_name.get(name)?;
        let index = assignments.partition_point(|one| one.end <= place);
        let assignment = &assignments[..index].last()?;
        if place - assignment.end > MAX_DISTANCE {
            return None;
        }
        let functions = self.functions.get_or_init(|| functions(source));
        let first = functions.partition_point(|(at, _)| *at <= assignment.end);
        let last = functions.partition_point(|(at, _)| *at <= place);
        let crosses = functions[first..last].iter().any(|(_, indent)| *indent < assignment.indent);
        (!crosses).then_some(assignment)
    }
}

/// Where functions begin, and how far their first lines are indented.
fn functions(source: &SourceText<'_>) -> Vec<(usize, usize)> {
    let Some(regex) = &Profile::of(source.language).functions else { return Vec::new() };
    let found = regex.find_iter(&source.code).take(MAX_ASSIGNMENTS);
    found.map(|found| (found.end(), source.indent(found.end() - 1))).collect()
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
