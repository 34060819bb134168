//! Names as compilers of C++ and Rust write them into a program, where the symbolizer has left them so.

use std::borrow::Cow;

/// The plain name of a mangled function of C++, as Rust and macOS leave it: `_ZNK4demo5Chunk4takeEPKc`. Templates and
/// substitutions are left as they are.
pub(super) fn itanium(name: &str) -> Option<String> {
    let rest = name.strip_prefix("__Z").or_else(|| name.strip_prefix("_Z"))?;
    let (nested, mut rest) = match rest.strip_prefix('N') {
        Some(rest) => (true, rest.trim_start_matches(['K', 'V', 'r'])),
        None => (false, rest),
    };
    let mut parts: Vec<String> = Vec::new();
    loop {
        if let Some(inner) = rest.strip_prefix("St") {
            parts.push("std".to_owned());
            rest = inner;
        }
        // What only its own file sees.
        rest = rest.strip_prefix('L').unwrap_or(rest);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let length: usize = rest[..digits].parse().ok()?;
        let part = rest[digits..].get(..length)?;
        parts.push(if part.starts_with("_GLOBAL__N_") { "anonymous" } else { part }.to_owned());
        rest = &rest[digits + length..];
        if !nested {
            break;
        }
        if rest.starts_with('E') {
            break;
        }
        let last = parts.last()?;
        let special = match rest.get(..2) {
            Some("C1" | "C2" | "C3") => last.clone(),
            Some("D0" | "D1" | "D2") => format!("~{last}"),
            _ => continue,
        };
        parts.push(special);
        return rest[2..].starts_with('E').then(|| parts.join("::"));
    }
    // A template's name goes on.
    (!rest.starts_with('I') && !parts.is_empty()).then(|| parts.join("::"))
}

/// Names of Rust that a symbolizer of C++ has half demangled: `_$LT$demo..Map$LT$K$GT$$u20$as$u20$core..Index$GT$::index`.
pub(super) fn unescaped(name: &str) -> Cow<'_, str> {
    const ESCAPES: [(&str, &str); 12] = [
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$LP$", "("),
        ("$RP$", ")"),
        ("$RF$", "&"),
        ("$BP$", "*"),
        ("$SP$", "@"),
        ("$C$", ","),
        ("$u20$", " "),
        ("$u7b$", "{"),
        ("$u7d$", "}"),
        ("..", "::"),
    ];
    if !ESCAPES.iter().take(11).any(|(escape, _)| name.contains(escape)) {
        return Cow::Borrowed(name);
    }
    let name = name.strip_prefix('_').filter(|rest| rest.starts_with('$')).unwrap_or(name);
    let mut name = name.replace("::_$", "::$");
    for (escape, text) in ESCAPES {
        name = name.replace(escape, text);
    }
    Cow::Owned(name)
}
