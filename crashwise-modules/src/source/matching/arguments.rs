//! The arguments of a call.

use super::text::SourceText;
use crate::source::Language;
use std::ops::Range;

/// The longest argument list that is looked at, in bytes.
const MAX_LENGTH: usize = 16 << 10;
/// The most arguments that are looked at.
const MAX_ARGUMENTS: usize = 64;

/// The arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Between the parentheses.
    pub(crate) range: Range<usize>,
    /// Behind the closing parenthesis.
    pub(crate) end: usize,
    pub(crate) list: Vec<Range<usize>>,
}

impl Arguments {
    /// The arguments behind the parenthesis at `open`; `None` when it does not close within bounds.
    pub(crate) fn parenthesised(source: &SourceText<'_>, open: usize) -> Option<Self> {
        let start = open + 1;
        let limit = source.code.len().min(start.saturating_add(MAX_LENGTH));
        let mut depth = 0_usize;
        let mut list = Vec::new();
        let mut from = start;
        for at in start..limit {
            match source.code[at] {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' if depth > 0 => depth -= 1,
                b')' | b']' | b'}' => {
                    add(source, &mut list, from..at);
                    return Some(Self { range: start..at, end: at + 1, list });
                }
                b',' if depth == 0 => {
                    add(source, &mut list, from..at);
                    from = at + 1;
                }
                _ => {}
            }
        }
        None
    }

    /// The arguments of a call without parentheses: to the end of the statement.
    pub(crate) fn bare(source: &SourceText<'_>, start: usize) -> Self {
        let limit = source.code.len().min(start.saturating_add(MAX_LENGTH));
        let mut depth = 0_usize;
        let mut list = Vec::new();
        let mut from = start;
        let mut at = start;
        while at < limit {
            match source.code[at] {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' if depth > 0 => depth -= 1,
                b')' | b']' | b'}' | b';' => break,
                b',' if depth == 0 => {
                    add(source, &mut list, from..at);
                    from = at + 1;
                }
                // A string may run over lines: its bytes are no code.
                b'\n'
                    if depth == 0
                        && !matches!(source.code[source.skip_space_back(at) - 1], b',' | b'.' | b'+')
                        && source.token_at(at).is_none() =>
                {
                    break;
                }
                b' ' if depth == 0 && source.language == Language::Ruby => {
                    let rest = &source.code[at..limit];
                    if [&b" if "[..], b" unless ", b" do ", b" do\n"]
                        .iter()
                        .any(|word| rest.starts_with(word))
                    {
                        break;
                    }
                }
                b'?' if source.language == Language::Php && source.code.get(at + 1) == Some(&b'>') => break,
                _ => {}
            }
            at += 1;
        }
        add(source, &mut list, from..at);
        Self { range: start..at, end: at, list }
    }

    /// The value of the argument of a name (`shell=True`), without the name.
    pub(crate) fn named(&self, source: &SourceText<'_>, name: &str) -> Option<Range<usize>> {
        self.list.iter().find_map(|arg| {
            let (found, value) = split_name(source, arg)?;
            (found == name.as_bytes()).then_some(value)
        })
    }

    /// The argument at a place, if none before it is given by name.
    pub(crate) fn positional(&self, source: &SourceText<'_>, at: usize) -> Option<Range<usize>> {
        let arg = self.list.get(at)?;
        split_name(source, arg).is_none().then(|| arg.clone())
    }
}

fn add(source: &SourceText<'_>, list: &mut Vec<Range<usize>>, range: Range<usize>) {
    let start = source.skip_space(range.start, range.end);
    let end = source.skip_space_back(range.end).max(start);
    if start < end && list.len() < MAX_ARGUMENTS {
        list.push(start..end);
    }
}

/// The name and the value of an argument that has a name.
pub(crate) fn split_name<'s>(
    source: &'s SourceText<'_>,
    arg: &Range<usize>,
) -> Option<(&'s [u8], Range<usize>)> {
    let code = &source.code[arg.clone()];
    let length = code.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    if length == 0 {
        return None;
    }
    let mark = source.skip_space(arg.start + length, arg.end);
    let sign = match source.language {
        Language::Python => b'=',
        Language::Ruby | Language::Php | Language::CSharp => b':',
        _ => return None,
    };
    let next = source.code.get(mark + 1).copied();
    if source.code.get(mark) != Some(&sign) || next == Some(sign) || mark >= arg.end {
        return None;
    }
    let value = source.skip_space(mark + 1, arg.end);
    Some((&code[..length], value..arg.end))
}
