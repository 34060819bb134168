//! Errors of Erlang and Elixir.
//!
//! ```text
//! ** (FunctionClauseError) no function clause matching in Demo.Parser.field/2            Elixir
//!     (demo 0.1.0) lib/demo/parser.ex:42: Demo.Parser.field("x", 1)
//! ** exception error: no function clause matching demo_parse:field([],1) (src/demo_parse.erl, line 12)
//!      in function  demo_parse:record/1 (src/demo_parse.erl, line 30)                    Erlang's shell
//! ** Reason for termination ==
//! ** {badarg,[{ets,update_counter,[7,1],[]},{demo,add,2,[{file,"src/demo.erl"},{line,41}]}]}
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index).trim_start();
    if let Some((class, text)) = line.strip_prefix("** (").and_then(|text| text.split_once(')'))
        && class.starts_with(|c: char| c.is_ascii_uppercase())
    {
        let mut clue = Clue::new(Weight::Program, index, "elixir-exception", text);
        clue.cause = Some(class.rsplit('.').next().unwrap_or(class).into());
        clue.stack = elixir;
        return Some(clue);
    }
    if let Some(text) = after(line, "** exception error: ") {
        let mut clue = Clue::new(Weight::Program, index, "erlang-exception", text);
        let cause = if text.starts_with("no function clause") {
            "function_clause"
        } else if text.starts_with("no match of right hand") {
            "badmatch"
        } else if text.starts_with("no case clause") {
            "case_clause"
        } else if text.starts_with("an error occurred when evaluating an arithmetic") {
            "badarith"
        } else if text.starts_with("bad argument") {
            "badarg"
        } else {
            text.split([' ', ',', ':']).next().unwrap_or(text)
        };
        clue.cause = Some(cause.into());
        clue.stack = shell;
        return Some(clue);
    }
    if line.starts_with("** Reason for termination") {
        let text = lines.at(index + 1).trim_start().strip_prefix("** {")?;
        let mut clue = Clue::new(Weight::Program, index, "erlang-exception", text);
        let name = text.trim_start_matches('{').split([',', '}']).next()?;
        clue.cause = (!name.is_empty()).then(|| name.into());
        clue.stack = terms;
        return Some(clue);
    }
    None
}

/// `    (demo 0.1.0) lib/demo/parser.ex:42: Demo.Parser.field("x", 1)`
fn elixir<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let text = line.strip_prefix("    ")?;
        let (owner, rest) = match text.strip_prefix('(').and_then(|text| text.split_once(") ")) {
            Some((owner, rest)) => (owner.split(' ').next().unwrap_or(owner), rest),
            None => ("", text),
        };
        let (place, function) = rest.split_once(": ")?;
        split_place(place).1?;
        let function = function.split('(').next().unwrap_or(function);
        // Those of the language and its machine are nobody's fault.
        let own = !matches!(owner, "elixir" | "stdlib" | "kernel" | "ex_unit" | "iex" | "mix");
        Some(own.then(|| RawFrame::at(function, place)))
    };
    lines
        .from(from)
        .take(256)
        .skip_while(|(at, line)| *at < from + 6 && frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .flatten()
        .collect()
}

/// `     in function  demo:record/1 (src/demo.erl, line 30)`, and the first one in the message itself.
fn shell<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let placed = |text: &'a str| {
        let (call, place) = text.rsplit_once(" (")?;
        let (file, row) = place.strip_suffix(')')?.split_once(", line ")?;
        let function = call.split('(').next().unwrap_or(call).trim().rsplit(' ').next()?;
        Some(RawFrame { function, file: Some(file), line: row.parse().ok(), ..RawFrame::default() })
    };
    let first = from.checked_sub(1).and_then(|at| placed(lines.at(at)));
    let rest = lines.from(from).take(256).map_while(|(_, line)| {
        let text = line.trim_start();
        let text = text.strip_prefix("in function ").or_else(|| text.strip_prefix("in call from "));
        text.or_else(|| line.trim_start().strip_prefix("called as ").map(|_| ""))
    });
    first.into_iter().chain(rest.filter_map(placed)).collect()
}

/// `{demo,add,2,[{file,"src/demo.erl"},` and `{line,41}]}`, over as many lines as it takes.
fn terms<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    let mut name = "";
    for (_, line) in lines.from(from).take(200) {
        let text = line.trim();
        if text.is_empty() || (text.starts_with("** ") && !text.starts_with("** {")) {
            break;
        }
        for part in text.split('{') {
            if let Some(file) = part.strip_prefix("file,\"").and_then(|text| text.split('"').next()) {
                let own = !["gen_server.erl", "proc_lib.erl", "gen_statem.erl"].contains(&file);
                if own {
                    frames.push(RawFrame { function: name, file: Some(file), ..RawFrame::default() });
                }
                name = if own { name } else { "" };
            } else if let Some(row) = part.strip_prefix("line,").and_then(number) {
                let open = frames.last_mut().filter(|last| last.line.is_none() && !name.is_empty());
                if let Some(last) = open {
                    last.line = u32::try_from(row.0).ok();
                }
            } else if part.contains(',') {
                // Module, function and arity: `demo,add,2,[`.
                name = part.split(',').nth(1).unwrap_or(part);
            }
        }
    }
    frames
}
