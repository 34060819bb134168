//! Whether a value is a secret, judged by its characters.

#[cfg(test)]
mod tests;

use super::model::{entropy, surprise};
use super::names::{self, Promise};

/// Words that stand in a value where a secret would: examples, defaults and names of the thing itself.
const STAND_INS: &[&str] = &[
    "abc",
    "abcd",
    "abcdef",
    "access",
    "account",
    "admin",
    "an",
    "and",
    "anon",
    "any",
    "api",
    "app",
    "auth",
    "bad",
    "bar",
    "base",
    "baz",
    "bearer",
    "blank",
    "bogus",
    "change",
    "changed",
    "changeit",
    "changeme",
    "client",
    "config",
    "consumer",
    "correct",
    "credential",
    "credentials",
    "custom",
    "data",
    "database",
    "db",
    "default",
    "demo",
    "dev",
    "disabled",
    "dummy",
    "empty",
    "enabled",
    "enter",
    "env",
    "error",
    "example",
    "expected",
    "failed",
    "fake",
    "false",
    "field",
    "file",
    "fixme",
    "foo",
    "foobar",
    "from",
    "goes",
    "guest",
    "has",
    "hash",
    "hello",
    "here",
    "hidden",
    "http",
    "id",
    "in",
    "incorrect",
    "input",
    "insert",
    "invalid",
    "is",
    "it",
    "jwt",
    "key",
    "keys",
    "letmein",
    "local",
    "localhost",
    "login",
    "master",
    "me",
    "mine",
    "missing",
    "mock",
    "my",
    "mypass",
    "mysql",
    "name",
    "new",
    "nil",
    "no",
    "none",
    "not",
    "nothing",
    "null",
    "oauth",
    "of",
    "old",
    "only",
    "openid",
    "or",
    "other",
    "our",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "path",
    "placeholder",
    "plain",
    "please",
    "postgres",
    "prefix",
    "private",
    "prod",
    "production",
    "public",
    "put",
    "pw",
    "pwd",
    "random",
    "read",
    "redacted",
    "refresh",
    "removed",
    "replace",
    "request",
    "required",
    "root",
    "salt",
    "sample",
    "sec",
    "secret",
    "secrets",
    "server",
    "service",
    "session",
    "set",
    "sha",
    "shared",
    "shh",
    "short",
    "some",
    "something",
    "staging",
    "string",
    "super",
    "system",
    "temp",
    "test",
    "tester",
    "testing",
    "text",
    "that",
    "the",
    "this",
    "to",
    "todo",
    "token",
    "tokens",
    "true",
    "type",
    "undefined",
    "unknown",
    "unset",
    "unused",
    "use",
    "used",
    "user",
    "username",
    "valid",
    "value",
    "var",
    "very",
    "welcome",
    "will",
    "with",
    "world",
    "wrong",
    "xxx",
    "yes",
    "you",
    "your",
];

/// How likely the value is a secret, from 0 to 1; one half and more is worth reporting.
pub(in crate::secrets) fn likelihood(promise: Promise, value: &[u8], quoted: bool) -> f32 {
    if is_placeholder(value) || is_reference(value, quoted) {
        return 0.0;
    }
    match promise {
        Promise::Password => password(value, quoted),
        Promise::Credential => credential(value),
        Promise::Hint => hint(value),
    }
}

/// Whether the value is a hash of a password, as password files and frameworks write it.
fn is_password_hash(value: &[u8]) -> bool {
    [
        b"$2".as_slice(),
        b"$1$",
        b"$5$",
        b"$6$",
        b"$apr1$",
        b"$argon2",
        b"$scrypt$",
        b"$pbkdf2",
        b"pbkdf2",
        b"{SSHA",
        b"{bcrypt}",
    ]
    .iter()
    .any(|prefix| value.starts_with(prefix))
}

/// A password need not look random, but it is neither a word for itself nor prose.
fn password(value: &[u8], quoted: bool) -> f32 {
    let shape = Shape::of(value);
    if value.len() < 4 || value.len() > 128 || shape.digits == value.len() || shape.spaces > 2 {
        return 0.1;
    }
    if shape.letters == 0 || only_stand_ins(value) || is_password_hash(value) {
        return 0.3;
    }
    let surprise = surprise(value);
    let mixed = shape.digits > 0 && shape.letters > 0;
    let marked = shape.others > 0
        && !value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_-.:/ ".contains(&byte));
    let mut score: f32 = match surprise {
        s if s >= 5.6 => 0.8,
        s if s >= 4.8 => 0.7,
        s if s >= 4.1 => 0.55,
        _ => 0.35,
    };
    if mixed {
        score += 0.15;
    }
    if marked && shape.spaces == 0 {
        score += 0.1;
    }
    if shape.spaces > 0 || !value.is_ascii() {
        score -= 0.3;
    }
    if !quoted && !mixed && surprise < 4.8 {
        score -= 0.15;
    }
    score.clamp(0.0, 0.95)
}

/// What a machine issued looks random, as a whole or in one of its parts.
fn credential(value: &[u8]) -> f32 {
    if value.len() < 8 {
        return 0.1;
    }
    if is_uuid(value) {
        return 0.6;
    }
    let (run, random) = most_random_run(value);
    if run < 8 || only_stand_ins(value) || encodes_stand_ins(value) {
        return 0.1;
    }
    if run < value.len() && run < 16 {
        return random.min(0.3);
    }
    random
}

/// Only what is random beyond doubt.
fn hint(value: &[u8]) -> f32 {
    if value.len() < 12 || is_uuid(value) || only_stand_ins(value) {
        return 0.1;
    }
    let (run, random) = most_random_run(value);
    if run < 16 { random.min(0.4) } else { random - 0.1 }
}

/// The length of the run of token characters that looks most random, and how random it looks.
fn most_random_run(value: &[u8]) -> (usize, f32) {
    value
        .split(|&byte| !(byte.is_ascii_alphanumeric() || b"_-+/=.~%".contains(&byte)))
        .map(|run| (run.len(), randomness(run)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, 0.0))
}

/// Whether a run is random in a way that no name of a variable or type is: hexadecimal, or letters and digits mixed
/// all along.
pub(in crate::secrets) fn is_no_identifier(run: &[u8]) -> bool {
    let switches = run.windows(2).filter(|pair| is_switch(pair[0], pair[1])).count();
    let hexadecimal = run.len() >= 20 && run.iter().all(u8::is_ascii_hexdigit);
    run.len() >= 12 && randomness(run) >= 0.7 && (hexadecimal || switches >= 4)
}

/// How random a run of characters looks, from 0 to 1.
pub(in crate::secrets) fn randomness(run: &[u8]) -> f32 {
    let shape = Shape::of(run);
    if run.len() < 8 || shape.letters == 0 || shape.digits == run.len() {
        return 0.1;
    }
    let surprise = surprise(run);
    let hexadecimal = run.iter().all(u8::is_ascii_hexdigit);
    let distinct = entropy(run);
    if distinct < 2.0 {
        return 0.1;
    }
    if hexadecimal && shape.digits > 0 {
        return if run.len() >= 16 { 0.8 } else { 0.6 };
    }
    let mut score: f32 = match surprise {
        s if s >= 6.2 => 0.85,
        s if s >= 5.5 => 0.7,
        s if s >= 5.0 => 0.5,
        _ => 0.2,
    };
    // Words and versions change between letters and digits once or twice.
    let switches = run.windows(2).filter(|pair| is_switch(pair[0], pair[1])).count();
    if switches >= 4 && switches * 8 >= run.len() && run.len() >= 12 {
        score = score.max(0.7);
    }
    if shape.digits == 0 {
        score -= if run.len() < 12 { 0.3 } else { 0.15 };
    }
    if run.len() >= 24 && distinct >= 4.0 && shape.digits > 0 {
        score += 0.1;
    }
    score.clamp(0.0, 0.95)
}

fn is_switch(a: u8, b: u8) -> bool {
    a.is_ascii_digit() && b.is_ascii_alphabetic() || a.is_ascii_alphabetic() && b.is_ascii_digit()
}

/// A value that names where the secret comes from: a variable, a call, a path, an address.
fn is_reference(value: &[u8], quoted: bool) -> bool {
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    if text.starts_with('/') && text.matches('/').count() > 1
        || text.starts_with("./")
        || text.starts_with("../")
        || text.starts_with("~/")
    {
        return true;
    }
    if text.contains("://") || text.starts_with("urn:") || text.starts_with("arn:") {
        return true;
    }
    if quoted {
        return false;
    }
    // Bare: calls, members and indices are code.
    let member = text.split('.').count() > 1
        && text
            .split('.')
            .all(|part| part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_'))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    text.contains('(')
        || text.contains('[')
        || text.contains("->")
        || text.contains("::")
        || member && surprise(value) < 5.5
}

/// A value that somebody is meant to replace, or that is filled in later.
pub(in crate::secrets) fn is_placeholder(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return true };
    if matches!((first, last), (b'<', b'>') | (b'%', b'%') | (b'[', b']') | (b'(', b')'))
        || matches!((first, last), (b'{', b'}')) && !text.contains(['"', '\''])
    {
        return true;
    }
    if ["${", "{{", "<%", "#{", "$(", "@@", "%%", "...", "***", "\u{2026}", "\\u003c"]
        .iter()
        .any(|mark| text.contains(mark))
    {
        return true;
    }
    if first == b'$'
        && bytes.len() > 1
        && bytes[1..].iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return true;
    }
    // printf and friends
    if bytes.windows(2).any(|pair| pair[0] == b'%' && matches!(pair[1], b's' | b'v' | b'q' | b'@')) {
        return true;
    }
    // `xxxxxxxx`, `aaaa`, `0000`: hardly any variety
    let mut distinct = [false; 256];
    for &byte in bytes {
        distinct[usize::from(byte.to_ascii_lowercase())] = true;
    }
    let variety = distinct.iter().filter(|&&seen| seen).count();
    if variety <= 2 || bytes.len() >= 16 && variety <= 4 {
        return true;
    }
    let lower = text.to_ascii_lowercase();
    if [
        "example",
        "xxxx",
        "changeme",
        "placeholder",
        "your_",
        "your-",
        "yourtoken",
        "insert_",
        "redacted",
        "dummy",
        "foobar",
    ]
    .iter()
    .any(|word| lower.contains(word))
    {
        return true;
    }
    is_sequence(lower.as_bytes()) || is_sequence(&hexadecimal_bytes(lower.as_bytes()))
}

/// The bytes that pairs of hexadecimal digits stand for; none where it is not all digits.
fn hexadecimal_bytes(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    pairs.collect::<Option<Vec<u8>>>().unwrap_or_default()
}

/// Whether most of the text counts up or down, as `abcdefgh` and `12345678` do.
fn is_sequence(text: &[u8]) -> bool {
    let steps = text.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
    text.len() >= 5 && steps * 4 >= (text.len() - 1) * 3
}

/// Whether the words of the value are stand-ins, whatever digits, signs and single letters are between them.
fn only_stand_ins(value: &[u8]) -> bool {
    let (mut known, mut unknown) = (0, 0);
    for word in names::words(value) {
        if word.bytes().any(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if is_stand_in(&word, 3) {
            known += word.len();
        } else {
            unknown += word.len();
        }
    }
    known > 0 && unknown <= 2
}

/// Whether the value is base64 of stand-ins.
fn encodes_stand_ins(value: &[u8]) -> bool {
    crate::secrets::base64::decode(value).is_some_and(|decoded| {
        decoded.iter().all(|byte| (b' '..=b'~').contains(byte)) && only_stand_ins(&decoded)
    })
}

/// A stand-in, or stand-ins written together.
fn is_stand_in(word: &str, depth: usize) -> bool {
    STAND_INS.binary_search(&word).is_ok()
        || depth > 0
            && (2..word.len().saturating_sub(1)).any(|at| {
                word.is_char_boundary(at)
                    && STAND_INS.binary_search(&&word[..at]).is_ok()
                    && is_stand_in(&word[at..], depth - 1)
            })
}

/// 8-4-4-4-12 hexadecimal digits.
pub(in crate::secrets) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, &byte)| {
            if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
}

/// How many characters of each sort there are.
struct Shape {
    letters: usize,
    digits: usize,
    spaces: usize,
    others: usize,
}

impl Shape {
    fn of(value: &[u8]) -> Self {
        let mut shape = Self { letters: 0, digits: 0, spaces: 0, others: 0 };
        for byte in value {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' => shape.letters += 1,
                b'0'..=b'9' => shape.digits += 1,
                b' ' | b'\t' => shape.spaces += 1,
                _ => shape.others += 1,
            }
        }
        // An escape for a space or a line end separates words as they do.
        let escapes = value.windows(2).filter(|pair| matches!(pair, [b'\\', b'n' | b'r' | b't'])).count();
        shape.spaces += escapes;
        shape.others -= escapes;
        shape.letters -= escapes;
        shape
    }
}
