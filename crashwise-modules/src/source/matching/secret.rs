//! Whether a quoted value is a secret, judged by the value itself.

use crate::source::rule::ValueTest;

/// Whether a value passes a test.
pub(crate) fn passes(test: ValueTest, value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    match test {
        ValueTest::Password => is_password(value),
        ValueTest::Random => is_random(value),
    }
}

fn is_password(text: &str) -> bool {
    text.len() >= 3 && text.len() <= 256 && !is_reference(text) && !is_prose(text) && !is_name_of_one(text)
}

/// A stand-in: it says that the value comes from elsewhere, or that it is left to be filled in.
fn is_reference(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let bytes = text.as_bytes();
    let wrapped = |open: u8, close: u8| bytes.first() == Some(&open) && bytes.last() == Some(&close);
    let single = bytes.iter().all(|b| *b == bytes[0]);
    single
        || wrapped(b'<', b'>')
        || wrapped(b'[', b']')
        || wrapped(b'{', b'}')
        || wrapped(b'%', b'%')
        || text.contains("${")
        || text.contains("{{")
        || text.contains("#{")
        || text.contains("%s")
        || text.contains("{}")
        || text.contains("...")
        || text.starts_with(['$', '@', '/', '.', '#', ':'])
        || lower.starts_with("your")
        || lower.starts_with("env:")
        || lower.starts_with("process.env")
        || lower.starts_with("http://")
        || lower.starts_with("https://")
        || lower.ends_with("_here")
        || lower.ends_with("-here")
        || matches!(
            lower.as_str(),
            "none"
                | "null"
                | "nil"
                | "undefined"
                | "true"
                | "false"
                | "string"
                | "text"
                | "hidden"
                | "placeholder"
                | "redacted"
                | "required"
                | "optional"
                | "todo"
                | "fixme"
                | "xxx"
                | "unknown"
                | "empty"
                | "default"
                | "basic"
                | "bearer"
                | "plain"
                | "utf-8"
                | "sha256"
                | "sha1"
                | "md5"
                | "invalid"
                | "off"
                | "on"
        )
}

/// Words with spaces between them are messages, labels, queries.
fn is_prose(text: &str) -> bool {
    text.contains(char::is_whitespace) || (text.contains(':') && text.contains(' ')) || text.ends_with(':')
}

/// A constant that names a secret is none: `"password"`, `"X_API_KEY"`, `"auth.token"`, `"confirmPassword"`.
fn is_name_of_one(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let letters = text
        .bytes()
        .all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-' | b'.' | b'/' | b':' | b'[' | b']'));
    let names = [
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "apikey",
        "api_key",
        "api-key",
        "key",
        "credential",
        "auth",
        "login",
        "passphrase",
    ];
    letters && names.iter().any(|name| lower.contains(name))
        || (letters && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && text.contains('_'))
}

/// Whether a value looks drawn at random: no words, and many different characters of more than one kind.
fn is_random(text: &str) -> bool {
    if text.len() < 16 || text.len() > 512 || is_reference(text) || text.contains(char::is_whitespace) {
        return false;
    }
    let body =
        text.rsplit_once(['_', '-']).map_or(text, |(_, body)| if body.len() >= 16 { body } else { text });
    let count = |kind: fn(&u8) -> bool| body.bytes().filter(kind).count();
    let digits = count(u8::is_ascii_digit);
    let lower = count(u8::is_ascii_lowercase);
    let upper = count(u8::is_ascii_uppercase);
    let kinds = usize::from(digits > 0) + usize::from(lower > 0) + usize::from(upper > 0);
    let hexadecimal = body.len() >= 24 && body.bytes().all(|b| b.is_ascii_hexdigit()) && digits > 0;
    // A sequence of the alphabet or of digits is a table, not a key.
    let steps = body.as_bytes().windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count();
    let ordered = steps * 3 > body.len() * 2;
    !ordered && (kinds >= 2 && digits > 0 || hexadecimal) && entropy(body.as_bytes()) >= 3.0
}

/// Shannon's entropy in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / total).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (value, password, random) in [
            ("hunter2", true, false),
            ("SuperSecret123!", true, false),
            ("admin", true, false),
            ("${PASSWORD}", false, false),
            ("<password>", false, false),
            ("Enter your password", false, false),
            ("user.password", false, false),
            ("DB_PASSWORD", false, false),
            ("********", false, false),
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", true, true),
            ("9f86d081884c7d659a2feaa0c55ad015", true, true),
            ("abcdefghijklmnopqrstuvwxyz0123456789", true, false),
            ("content-security-policy", true, false),
        ] {
            assert_eq!(passes(ValueTest::Password, value.as_bytes()), password, "{value}");
            assert_eq!(passes(ValueTest::Random, value.as_bytes()), random, "{value}");
        }
    }
}
