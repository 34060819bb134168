//! Errors of Haskell, as GHC's programs print them.
//!
//! ```text
//! demo: Prelude.head: empty list
//! CallStack (from HasCallStack):
//!   error, called at libraries/base/GHC/List.hs:1646:3 in base:GHC.List
//!   head, called at src/Demo/Parse.hs:12:9 in demo-0.1.0.0-inplace:Demo.Parse
//! demo: src/Demo/Parse.hs:(30,1)-(33,20): Non-exhaustive patterns in function parse
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if line.starts_with("CallStack (from ") {
        let said =
            (index.saturating_sub(4)..index).rev().map(|at| lines.at(at)).find(|line| line.contains(": "))?;
        let text = said.split_once(": ").map_or(said, |(_, text)| text);
        let mut clue = Clue::new(Weight::Program, index, "haskell-exception", text);
        clue.cause = Some("ErrorCall".into());
        clue.stack = stack;
        return Some(clue);
    }
    let (place, text) = line.split_once(": Non-exhaustive ").map(|(place, text)| (place, text.trim()))?;
    let place = place.rsplit(": ").next()?;
    let mut clue = Clue::new(Weight::Program, index, "haskell-exception", line);
    clue.cause = Some("PatternMatchFail".into());
    let function = after(text, "in function ").unwrap_or("").split(' ').next().unwrap_or("");
    clue.place = spanned(place).map(|place| RawFrame { function, ..place });
    clue.stack = stack;
    Some(clue)
}

/// Each entry names who was called, and the place of who called.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let entries = lines.from(from).take(256).map_while(|(_, line)| line.split_once(", called at "));
    entries
        .filter_map(|(_, place)| {
            let (place, package) = place.split_once(" in ")?;
            let frame = RawFrame::at("", place);
            let own = !["base:", "ghc-"].iter().any(|known| package.starts_with(known));
            own.then_some(frame)
        })
        .collect()
}

/// `src/Parse.hs:(30,1)-(33,20)` and `src/Parse.hs:30:1-20`.
fn spanned(place: &str) -> Option<RawFrame<'_>> {
    let (file, rest) = place.split_once(".hs:")?;
    let file = &place[..file.len() + 3];
    let (line, rest) = number(rest.trim_start_matches('('))?;
    let column =
        number(rest.trim_start_matches([':', ','])).and_then(|(column, _)| u32::try_from(column).ok());
    Some(RawFrame { file: Some(file), line: u32::try_from(line).ok(), column, ..RawFrame::default() })
}
