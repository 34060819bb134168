//! Finds what is assigned to a name, in code, configuration and shell alike.

use std::ops::Range;

/// The longest name in bytes.
const MAX_NAME: usize = 80;
/// The longest value in bytes.
const MAX_VALUE: usize = 1024;
/// The most values of one list.
const MAX_ITEMS: usize = 16;
/// The most white space skipped between the parts.
const MAX_SPACE: usize = 64;

/// A name and one value of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
    /// Whether the value is a string literal.
    pub(super) quoted: bool,
    pub(super) operator: Operator,
}

/// What joins name and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `=`, `:`, `=>` and their relatives, an XML element or attribute.
    Assign,
    /// `==`, `!=`.
    Compare,
    /// The value is the argument after the name, or the only argument of a call of the name.
    Argument,
    /// Only white space: a flag and its value, or a scheme and its credentials.
    Space,
}

/// The whole name around a word of it.
pub(super) fn name_around(bytes: &[u8], word: Range<usize>) -> Range<usize> {
    let start = word.start - count_back(&bytes[..word.start], MAX_NAME, is_name_byte);
    let end = word.end + count(&bytes[word.end..], MAX_NAME, is_name_byte);
    // A dot at the end belongs to the sentence, not to the name.
    let end = end - count_back(&bytes[word.end..end], MAX_NAME, |byte| matches!(byte, b'.' | b'-'));
    start..end
}

/// The values assigned to the name; pushes nothing where it is not an assignment.
pub(super) fn values_of(bytes: &[u8], name: &Range<usize>, out: &mut Vec<Assignment>) {
    let mut cursor = Cursor { bytes, at: name.end };
    let called = cursor.peek() == Some(b'(');
    let flag = bytes[name.clone()].starts_with(b"-");
    let element = name.start.checked_sub(1).is_some_and(|before| bytes[before] == b'<');
    cursor.skip_closing_quote();
    let mut operator = match cursor.operator(element) {
        Some(operator) => operator,
        None if flag => Operator::Space,
        None => return,
    };
    if operator == Operator::Argument && !called && !cursor.comma_was_after_quote(name.end) {
        return;
    }
    if operator == Operator::Space && matches!(cursor.peek(), None | Some(b'\n' | b'\r' | b'-')) {
        return;
    }
    cursor.skip_space();
    if let Some(typed) = cursor.after_type(operator) {
        cursor.at = typed;
        operator = Operator::Assign;
        cursor.skip_space();
    }
    let push = |value: (Range<usize>, bool), out: &mut Vec<Assignment>| {
        let (value, quoted) = value;
        if !value.is_empty() && (quoted || matches!(operator, Operator::Assign | Operator::Space)) {
            out.push(Assignment { name: name.clone(), value, quoted, operator });
        }
    };
    match cursor.peek() {
        Some(b'[') => {
            cursor.at += 1;
            for _ in 0..MAX_ITEMS {
                cursor.skip_white();
                let Some(value) = cursor.quoted() else { break };
                push((value, true), out);
                cursor.skip_white();
                if cursor.peek() != Some(b',') {
                    break;
                }
                cursor.at += 1;
            }
        }
        Some(b'\n' | b'\r') if operator == Operator::Assign => {
            for _ in 0..MAX_ITEMS {
                cursor.skip_white();
                if !cursor.rest().starts_with(b"- ") {
                    break;
                }
                cursor.at += 2;
                let Some(value) = cursor.value() else { break };
                push(value, out);
            }
        }
        Some(_) => {
            if let Some(value) = cursor.value() {
                push(value, out);
            }
        }
        None => {}
    }
}

/// The value that follows `at` after white space, as after `Bearer`.
pub(super) fn value_after(bytes: &[u8], at: usize) -> Option<(Range<usize>, bool)> {
    let mut cursor = Cursor { bytes, at };
    cursor.skip_space();
    cursor.value()
}

/// What may join name and value, the longer before the shorter; what has no operator ends the attempt.
const OPERATORS: [(&[u8], Option<Operator>); 18] = [
    (b"===", Some(Operator::Compare)),
    (b"!==", Some(Operator::Compare)),
    (b"==", Some(Operator::Compare)),
    (b"!=", Some(Operator::Compare)),
    (b"=>", Some(Operator::Assign)),
    (b"=~", None),
    (b"||=", Some(Operator::Assign)),
    (b"::=", Some(Operator::Assign)),
    (b":=", Some(Operator::Assign)),
    (b"::", None),
    (b"?=", Some(Operator::Assign)),
    (b"+=", Some(Operator::Assign)),
    (b"=", Some(Operator::Assign)),
    (b":", Some(Operator::Assign)),
    (b",", Some(Operator::Argument)),
    (b"(", Some(Operator::Argument)),
    (b"%3D", Some(Operator::Assign)),
    (b"%3d", Some(Operator::Assign)),
];

struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at.min(self.bytes.len())..]
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        self.at += count(self.rest(), MAX_SPACE, |byte| matches!(byte, b' ' | b'\t'));
    }

    fn skip_white(&mut self) {
        self.at += count(self.rest(), 4 * MAX_SPACE, |byte| byte.is_ascii_whitespace());
    }

    /// A quote that ends the name, with the backslashes before it, and a bracket behind it.
    fn skip_closing_quote(&mut self) {
        let escapes = count(self.rest(), 8, |byte| byte == b'\\');
        if self.rest().get(escapes).is_some_and(|&byte| is_quote(byte)) {
            self.at += escapes + 1;
            if self.peek() == Some(b']') {
                self.at += 1;
            }
        }
    }

    fn comma_was_after_quote(&self, name_end: usize) -> bool {
        self.bytes[name_end..self.at].iter().any(|&byte| is_quote(byte))
    }

    fn operator(&mut self, element: bool) -> Option<Operator> {
        if element && self.peek() == Some(b'>') {
            self.at += 1;
            return Some(Operator::Assign);
        }
        self.skip_space();
        // Most names are assigned nothing: the first byte tells.
        if !matches!(
            self.peek()?,
            b'=' | b'!' | b'|' | b':' | b'?' | b'+' | b',' | b'(' | b'%' | b'v' | b'V' | b'c'
        ) {
            return None;
        }
        // `key="password" value="..."`
        for attribute in [b"value=".as_slice(), b"Value=", b"content="] {
            if self.rest().starts_with(attribute) {
                self.at += attribute.len();
                return Some(Operator::Assign);
            }
        }
        let (text, operator) = OPERATORS.iter().find(|(text, _)| self.rest().starts_with(text))?;
        self.at += text.len();
        *operator
    }

    /// Where the value starts in `name: type = value`.
    fn after_type(&self, operator: Operator) -> Option<usize> {
        if operator != Operator::Assign {
            return None;
        }
        let rest = self.rest();
        let kind = count(rest, 40, |byte| byte.is_ascii_alphanumeric() || b"_&'<>[]?.: ".contains(&byte));
        let behind = &rest[kind..];
        let named = rest.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || byte == b'&');
        (named && rest[..kind].ends_with(b" ") && behind.starts_with(b"= ")).then_some(self.at + kind + 1)
    }

    fn value(&mut self) -> Option<(Range<usize>, bool)> {
        if let Some(value) = self.quoted() {
            return Some((value, true));
        }
        let len = count(self.rest(), MAX_VALUE + 1, |byte| {
            byte > b' ' && byte != 0x7f && !b"\"'`,;<>|&)]}".contains(&byte)
        });
        let end = self.at + len;
        let bare = self.at
            ..end - count_back(&self.bytes[self.at..end], 4, |byte| matches!(byte, b'.' | b'\\' | b':'));
        self.at = end;
        (!bare.is_empty() && bare.len() <= MAX_VALUE).then_some((bare, false))
    }

    /// A string literal, its prefix letters and escaped quotes included.
    fn quoted(&mut self) -> Option<Range<usize>> {
        let rest = self.rest();
        let prefix = count(rest, 2, |byte| b"bBrRfFuULl@$".contains(&byte));
        let escapes = count(&rest[prefix..], 8, |byte| byte == b'\\');
        let open = prefix + escapes;
        let quote = *rest.get(open).filter(|&&byte| is_quote(byte))?;
        let start = self.at + open + 1;
        let mut at = start;
        let limit = self.bytes.len().min(start + MAX_VALUE);
        while at < limit {
            let here = self.bytes[at];
            if here == b'\n' && quote != b'`' {
                return None;
            }
            if here == b'\\' {
                // Inside an escaped string the closing quote has as many backslashes as the opening one.
                let run = count(&self.bytes[at..limit], limit, |byte| byte == b'\\');
                if run == escapes && self.bytes.get(at + run) == Some(&quote) {
                    self.at = at + run + 1;
                    return Some(start..at);
                }
                at += run + usize::from(run % 2 == 1 || run > escapes);
                continue;
            }
            if here == quote {
                // Without its backslashes it ends the string around an escaped one.
                self.at = at + 1;
                return (escapes == 0).then_some(start..at);
            }
            at += 1;
        }
        None
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$')
}

fn count(bytes: &[u8], most: usize, accept: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take(most).take_while(|&&byte| accept(byte)).count()
}

fn count_back(bytes: &[u8], most: usize, accept: impl Fn(u8) -> bool) -> usize {
    bytes.iter().rev().take(most).take_while(|&&byte| accept(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        let bytes = text.as_bytes();
        let Some(at) = text.to_ascii_lowercase().find("pass") else { return Vec::new() };
        let name = name_around(bytes, at..at + 4);
        let mut out = Vec::new();
        values_of(bytes, &name, &mut out);
        out.into_iter().map(|one| text[one.value].to_owned()).collect()
    }

    #[test]
    fn forms_of_assignment() {
        for (text, expect) in [
            ("password = \"v1\"", vec!["v1"]),
            ("DB_PASSWORD=v1 DB_HOST=x", vec!["v1"]),
            ("password: v1\n", vec!["v1"]),
            ("\"password\" : \"v1\",", vec!["v1"]),
            ("'password' => 'v1'", vec!["v1"]),
            ("let password: &str = \"v1\";", vec!["v1"]),
            ("const password: string = 'v1'", vec!["v1"]),
            ("password := `v1`", vec!["v1"]),
            ("cfg[\"password\"] = \"v1\"", vec!["v1"]),
            ("setPassword(\"v1\")", vec!["v1"]),
            ("props.set(\"password\", \"v1\")", vec!["v1"]),
            ("if (password == 'v1')", vec!["v1"]),
            ("<password>v1</password>", vec!["v1"]),
            ("<add key=\"password\" value=\"v1\"/>", vec!["v1"]),
            ("tool --password v1 x", vec!["v1"]),
            ("tool --password=v1 x", vec!["v1"]),
            ("?user=a&password=v1&x=2", vec!["v1"]),
            (r#"{\"password\":\"v1\",\"b\":1}"#, vec!["v1"]),
            (r#""password": "a\"b""#, vec![r#"a\"b"#]),
            (r#"{\\\"password\\\": \\\"v1\\\"}"#, vec!["v1"]),
            ("passwords: [\"v1\", \"v2\"]", vec!["v1", "v2"]),
            ("passwords:\n  - v1\n  - 'v2'\nnext: 1", vec!["v1", "v2"]),
            ("password = b'v1'", vec!["v1"]),
            ("password%3Dv1&", vec!["v1"]),
            ("password", vec![]),
            ("password = \"", vec![]),
            ("password = \"no end\n", vec![]),
            ("a password is needed", vec![]),
            ("Password::new(x)", vec![]),
            ("password(x)", vec![]),
            ("f(password, other)", vec![]),
            ("password =~ /x/", vec![]),
            ("password:", vec![]),
        ] {
            assert_eq!(values(text), expect, "{text}");
        }
    }

    #[test]
    fn names_end_at_other_bytes() {
        let text = b"x (my-db.password1) y";
        assert_eq!(&text[name_around(text, 9..13)], b"my-db.password1");
        let sentence = b"the pass. Then";
        assert_eq!(&sentence[name_around(sentence, 4..8)], b"pass");
    }
}
