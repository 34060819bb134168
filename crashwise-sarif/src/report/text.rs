//! Text of the target made harmless.

use std::borrow::Cow;
use std::fmt::Write;

/// Control characters, and those that turn the direction of text, become visible escapes; line ends and tabs stay.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_hidden(letter) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(letter));
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// The same on one line: every run of white space is one blank.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&visible(word));
    }
    line
}

/// As text or attribute value of HTML and XML.
pub(super) fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in visible(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// An address that may become a link: web, without white space or control characters.
pub(super) fn is_link(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://"))
        && !text.contains(|letter: char| letter.is_whitespace() || is_hidden(letter))
}

/// `1 file`, `2 files`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn is_hidden(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        // Directions, invisible joiners, line and paragraph separators, the byte order mark, and what XML cannot hold.
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fffe}'
        | '\u{ffff}'
        | '\u{e0000}'..='\u{e007f}' => true,
        letter => letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_or_a_page() {
        for (text, expect) in [
            ("plain ü", "plain ü"),
            ("\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}"),
            ("a\r\nb\tc", "a\\u{d}\nb\tc"),
            ("x\u{202e}gpj.exe\u{9b}1m", "x\\u{202e}gpj.exe\\u{9b}1m"),
            ("\u{7f}\u{0}", "\\u{7f}\\u{0}"),
        ] {
            assert_eq!(visible(text), expect);
        }
        assert_eq!(one_line("  a\n\n b\u{1b} "), "a b\\u{1b}");
        assert_eq!(markup("<a href='x'>\"&\u{0}"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\\u{0}");
        assert!(
            is_link("https://example.com/a") && !is_link("javascript:alert(1)") && !is_link("https://a b")
        );
    }
}
