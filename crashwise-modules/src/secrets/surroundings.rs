//! What stands around a match: schemes before a value, the edges of words, the kind of file.

use std::ops::Range;

/// The value behind `Bearer `, `Basic ` or `Token `, and whether there was one of them.
pub(super) fn without_scheme(bytes: &[u8], value: Range<usize>) -> (Range<usize>, bool) {
    for scheme in [b"bearer ".as_slice(), b"basic ", b"token "] {
        if bytes[value.clone()].get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
            return (value.start + scheme.len()..value.end, true);
        }
    }
    (value, false)
}

/// Whether nothing before `at` makes the text there the middle of a longer word. Escapes as in `\nghp_` and `%20ghp_`
/// do not count.
pub(super) fn starts_alone(bytes: &[u8], at: usize) -> bool {
    match bytes[..at] {
        [.., b'\\', b'n' | b't' | b'r'] | [.., b'%', _, _] | [] => true,
        [.., before] => !before.is_ascii_alphanumeric() && before != b'_',
    }
}

pub(super) fn ends_alone(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|after| !after.is_ascii_alphanumeric() && *after != b'_')
}

/// Whether a file of this name is program code, where a value without quotes is an expression.
pub(super) fn is_code(path: &str) -> bool {
    const CODE: [&str; 40] = [
        "c", "cc", "cpp", "cs", "cxx", "dart", "erl", "ex", "exs", "fs", "go", "groovy", "h", "hpp", "hs",
        "java", "jl", "js", "jsx", "kt", "lua", "m", "mjs", "ml", "mm", "php", "pl", "pm", "py", "r", "rb",
        "rs", "scala", "sol", "swift", "ts", "tsx", "vb", "vue", "zig",
    ];
    let extension =
        path.rsplit(['/', '\\']).next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, ext)| ext);
    CODE.binary_search(&extension.to_ascii_lowercase().as_str()).is_ok()
}
