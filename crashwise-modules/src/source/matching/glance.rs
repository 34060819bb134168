//! A first look at hits in the text as it is, before it is told what is code, string and comment: nearly all end here.

use crate::prefilter::{Before, Prefer, tail_of_hir};
use crate::source::lexer::Opens;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{self, Class, ClassBytes, ClassBytesRange, Hir, HirKind, LookSet, Repetition};
use std::fmt;

/// How many bytes from the start of a literal are looked at.
const REACH: usize = 96;
/// Repetitions are told apart up to this number.
const COUNTED: u32 = 16;
/// Bytes of states for each thread; what does not fit is made again.
const CACHE: usize = 256 << 10;

/// What a shape is matched in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// The text with comments and strings blanked out.
    Code,
    /// The same, and what is matched is the whole name of a function.
    Names,
    /// The text as it is.
    Whole,
    /// What is between the quotes of a string.
    String,
}

/// Tells whether a shape may match at a place.
pub(crate) struct Glance {
    dfa: DFA,
    blanked: bool,
}

/// What looks of one kind keep from one place for the next.
#[derive(Debug)]
pub(crate) struct Look(Cache);

impl Glance {
    /// Looks at what a match is from its literal on. `None` where that cannot be told.
    pub(crate) fn new(hir: &Hir, text: Text) -> Option<Self> {
        let mut tail = loosened(&tail_of_hir(hir, Prefer::Early)?, text);
        if text == Text::Names {
            tail = Hir::concat(vec![tail, Hir::look(hir::Look::WordEndHalfAscii)]);
        }
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).nfa_size_limit(Some(1 << 20)))
            .build_from_hir(&tail)
            .ok()?;
        let config = DFA::config().cache_capacity(CACHE).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let blanked = matches!(text, Text::Code | Text::Names);
        Some(Self { dfa, blanked })
    }

    /// The begin of looking at places.
    pub(crate) fn look(&self) -> Look {
        Look(self.dfa.create_cache())
    }

    /// Whether a literal at a place may be that of a match. What is behind something that may be no code is left to a closer look.
    pub(crate) fn may_match(&self, (text, opens): (&[u8], Opens), place: usize, look: &mut Look) -> bool {
        let Look(cache) = look;
        let end = text.len().min(place.saturating_add(REACH));
        let input = Input::new(text).span(place..end).anchored(Anchored::Yes);
        let Ok(mut state) = self.dfa.start_state_forward(cache, &input) else { return true };
        for at in place..end {
            if self.blanked && opens.at(text, at) {
                return true;
            }
            match self.dfa.next_state(cache, state, text[at]) {
                Ok(next) if !next.is_tagged() => state = next,
                Ok(next) if next.is_dead() => return false,
                _ => return true,
            }
        }
        end < text.len() || self.dfa.next_eoi_state(cache, state).is_ok_and(|last| last.is_match())
    }
}

/// Whether a match in a string that has a literal at a place may begin where the string does.
pub(crate) fn may_begin(before: &Before, text: &[u8], place: usize) -> bool {
    before.may_begin(text, place, REACH, |byte| STRING_BEGIN.contains(&byte))
}

/// Matches all that the regex matches, and more: without groups, with fewer states for long repetitions, and without anchors, for
/// where a text begins and ends nobody knows yet, but that a string ends at a quote or a line. The parser bounds the nesting of a
/// pattern, and with it this recursion.
fn loosened(hir: &Hir, text: Text) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(|part| loosened(part, text)).collect();
    match hir.kind() {
        HirKind::Look(hir::Look::End) if text == Text::String => string_end(),
        HirKind::Look(look) if LookSet::singleton(*look).contains_anchor() => Hir::empty(),
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        HirKind::Capture(capture) => loosened(&capture.sub, text),
        HirKind::Repetition(one) => Hir::repetition(Repetition {
            min: one.min.min(COUNTED),
            max: one.max.filter(|max| *max <= COUNTED),
            sub: Box::new(loosened(&one.sub, text)),
            ..one.clone()
        }),
        _ => hir.clone(),
    }
}

/// What stands before the first byte of a string, be it quoted, a here-document, in brackets of its own, or a part of one that is
/// filled in.
const STRING_BEGIN: &[u8] = b"\"'`\n}([{<|!/^";

/// What stands behind the last byte of a string, be it quoted, a here-document, in brackets of its own, or a part of one that is
/// filled in.
fn string_end() -> Hir {
    let bytes = b"\"'`\n)]}>|/!$#%{\\".map(|byte| ClassBytesRange::new(byte, byte));
    Hir::alternation(vec![Hir::class(Class::Bytes(ClassBytes::new(bytes))), Hir::look(hir::Look::End)])
}

impl fmt::Debug for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glance").field("blanked", &self.blanked).finish_non_exhaustive()
    }
}
