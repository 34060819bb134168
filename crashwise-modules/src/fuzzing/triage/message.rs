use std::borrow::Cow;

/// The message with everything that differs between two runs of one bug folded: numbers and addresses to `#`, what is
/// quoted from the input to `…`.
///
/// ```
/// use crashwise_modules::fuzzing::triage::fold;
///
/// assert_eq!(fold("index out of bounds: the len is 3 but the index is 70"), "index out of bounds: the len is # but the index is #");
/// assert_eq!(fold("unexpected token \"a\\\"b\" at 0x7ff1"), "unexpected token \"…\" at #");
/// ```
pub fn fold(message: &str) -> Cow<'_, str> {
    let line = message.split('\n').next().unwrap_or(message).trim();
    let line = &line[..line.floor_char_boundary(400)];
    if !line.bytes().any(|byte| byte.is_ascii_digit() || byte == b'"' || byte == b'`' || byte == b'\'') {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.char_indices().peekable();
    let mut word = false;
    while let Some((at, c)) = chars.next() {
        let run = if c.is_ascii_hexdigit() && !word { hexadecimal(&line[at..]) } else { 0 };
        if run >= COMMIT || (c.is_ascii_digit() && !word) {
            let rest = &line[at..];
            let end = match rest.strip_prefix("0x") {
                Some(hex) => 2 + hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len()),
                None if run >= COMMIT => run,
                None => rest.find(|c: char| !(c.is_ascii_digit() || c == '_')).unwrap_or(rest.len()),
            };
            while chars.peek().is_some_and(|(next, _)| *next < at + end) {
                chars.next();
            }
            out.push('#');
            continue;
        }
        let quoted = match c {
            '"' => quoted(&line[at + 1..], '"'),
            '\'' if !word => quoted(&line[at + 1..], '\''),
            // Code in the text of a message stands in backticks; input does too, after "of".
            '`' if out.ends_with(" of ") || out.ends_with(": ") && !line.contains("left == right") => {
                quoted(&line[at + 1..], '`')
            }
            _ => None,
        };
        out.push(c);
        if let Some(length) = quoted {
            while chars.peek().is_some_and(|(next, _)| *next < at + 1 + length) {
                chars.next();
            }
            out.push('…');
            if let Some((_, close)) = chars.next() {
                out.push(close);
            }
            word = false;
            continue;
        }
        word = c.is_alphabetic() || c == '_' || (word && c.is_ascii_digit());
    }
    Cow::Owned(out)
}

/// From how many digits on a number without `0x` is one: the name of a commit or of a build.
const COMMIT: usize = 16;

/// How many hexadecimal digits `text` begins with, if no letter follows.
fn hexadecimal(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    if text[end..].starts_with(char::is_alphanumeric) { 0 } else { end }
}

/// The length of what is quoted, if it is and is not empty.
fn quoted(text: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return (at > 0).then_some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn only_what_varies_is_folded() {
        for (message, expect) in [
            ("", ""),
            ("plain text", "plain text"),
            ("u32 and x86_64 stay, 17 goes", "u32 and x86_64 stay, # goes"),
            ("slice 1..22 of 3_000", "slice #..# of #"),
            (
                "built of /rustc/f81db40311cdd241ae4d33f34f2f75732e44d8e8/core, face",
                "built of /rustc/#/core, face",
            ),
            ("`Option::unwrap()` on a `None` value", "`Option::unwrap()` on a `None` value"),
            (
                "byte index 2 is not a char boundary; it is inside 'ñ' (bytes 1..3) of `añb`",
                "byte index # is not a char boundary; it is inside '…' (bytes #..#) of `…`",
            ),
            ("don't stop 'x' \"unclosed", "don't stop '…' \"unclosed"),
            ("first\nsecond 2", "first"),
        ] {
            assert_eq!(fold(message), expect, "{message}");
        }
    }
}
