//! A first look at hits in the text as it is, before it is told what is code, string and comment: nearly all end here.

use crate::prefilter::{Prefer, tail_of_hir};
use crate::source::lexer::Opens;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Hir, HirKind, Look, LookSet, Repetition};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// How many bytes from the start of a literal are looked at.
const REACH: usize = 96;
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
    caches: Mutex<Vec<Cache>>,
    blanked: bool,
}

impl Glance {
    /// Looks at what a match is from its literal on. `None` where that cannot be told.
    pub(crate) fn new(hir: &Hir, text: Text) -> Option<Self> {
        let mut tail = unanchored(&tail_of_hir(hir, Prefer::Early)?);
        if text == Text::Names {
            tail = Hir::concat(vec![tail, Hir::look(Look::WordEndHalfAscii)]);
        }
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).nfa_size_limit(Some(1 << 20)))
            .build_from_hir(&tail)
            .ok()?;
        let config = DFA::config().cache_capacity(CACHE).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let blanked = matches!(text, Text::Code | Text::Names);
        Some(Self { dfa, caches: Mutex::default(), blanked })
    }

    /// Keeps the hits whose literal may be that of a match. What is behind something that
    /// may be no code is left to a closer look.
    pub(crate) fn keep<H: Copy>(
        &self,
        (text, opens): (&[u8], Opens),
        hits: &[H],
        place: impl Fn(&H) -> usize,
        kept: &mut Vec<H>,
    ) {
        let known = self.caches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut cache = known.unwrap_or_else(|| self.dfa.create_cache());
        kept.extend(hits.iter().filter(|hit| self.may_match(text, opens, place(hit), &mut cache)).copied());
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).push(cache);
    }

    fn may_match(&self, text: &[u8], opens: Opens, place: usize, cache: &mut Cache) -> bool {
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

/// Without groups and anchors: where a string begins and ends nobody knows yet. Matches all that the regex matches, and more. The
/// parser bounds the nesting of a pattern, and with it this recursion.
fn unanchored(hir: &Hir) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(unanchored).collect();
    match hir.kind() {
        HirKind::Look(look) if LookSet::singleton(*look).contains_anchor() => Hir::empty(),
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        HirKind::Capture(capture) => unanchored(&capture.sub),
        HirKind::Repetition(one) => {
            Hir::repetition(Repetition { sub: Box::new(unanchored(&one.sub)), ..one.clone() })
        }
        _ => hir.clone(),
    }
}

impl fmt::Debug for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glance").field("blanked", &self.blanked).finish_non_exhaustive()
    }
}
