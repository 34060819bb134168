use std::borrow::Cow;

use super::demangle::{itanium, unescaped};

/// The name of a function as people know it: demangled, without arguments, return type, generics, hash, compiler
/// suffixes and closure numbers.
///
/// ```
/// use crashwise_modules::fuzzing::triage::function_name;
///
/// assert_eq!(function_name("_ZN4demo5parse17h106c45fd6b3fc578E"), "demo::parse");
/// assert_eq!(function_name("<demo::Map<K, V> as core::ops::Index<&K>>::index::{closure#2}"), "demo::Map::index::{closure}");
/// assert_eq!(function_name("std::vector<int, std::allocator<int> >::at(unsigned long) const"), "std::vector::at");
/// ```
pub fn function_name(raw: &str) -> String {
    let raw = raw.trim();
    if raw.starts_with("0x") || raw == "()" || is_unit(raw) || is_nameless(raw) {
        return String::new();
    }
    // Objective-C: `-[DemoTable rowAt:]`.
    if (raw.starts_with("-[") || raw.starts_with("+[")) && raw.ends_with(']') && raw.len() < 512 {
        return raw.to_owned();
    }
    // What a script of JavaScript does outside its functions: `Object.<anonymous>`.
    let raw = raw.strip_suffix(".<anonymous>").unwrap_or(raw);
    let bounded = &raw[..raw.floor_char_boundary(4096)];
    let demangled: Cow<'_, str> = match rustc_demangle::try_demangle(bounded) {
        Ok(name) => Cow::Owned(format!("{name:#}")),
        Err(_) => itanium(bounded).map_or_else(|| unescaped(bounded), Cow::Owned),
    };
    let name = suffixes(&demangled);
    if !name.contains(['<', '(', '{', '[', ' ']) {
        return plain(name).to_owned();
    }
    let name = anonymous(name);
    let mut name = qualified(&name);
    for _ in 0..8 {
        if !name.starts_with('<') {
            break;
        }
        name = Cow::Owned(qualified(&name).into_owned());
    }
    let name = arguments(&name);
    let name = generics(name);
    let name = braces(&name);
    plain(returned(&name)).to_owned()
}

/// What tools print for a function that they have no name of.
fn is_nameless(name: &str) -> bool {
    matches!(
        name.trim_end_matches("()").trim_end(),
        "??" | "???" | "..." | "n/a" | "(unknown)" | "<unknown>" | "<null>" | "<redacted>"
    )
}

/// Whether it is the name of a codegen unit, which stands for any function of a program without symbols:
/// `ron.819a4148269e43f2-cgu.0`, `4dens7a6cxe1twbg:?`.
pub(super) fn is_unit(name: &str) -> bool {
    if name.ends_with(":?") {
        return true;
    }
    let Some((unit, number)) = name.rsplit_once("-cgu.") else { return false };
    let hash = unit.rsplit_once('.').map_or("", |(_, hash)| hash);
    !hash.is_empty()
        && hash.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Cuts hashes and the marks of outlined, cloned and specialised copies.
fn suffixes(name: &str) -> &str {
    let mut name = name;
    // Leading zeros are left out by some.
    if let Some(at) = name.rfind("::h")
        && (at + 16..=at + 19).contains(&name.len())
        && name[at + 3..].bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        name = &name[..at];
    }
    if let Some(at) = name.find(" [clone ").or_else(|| name.find(" (.")) {
        name = &name[..at];
    }
    if let Some(at) = name.rfind("+0x") {
        name = &name[..at];
    }
    for mark in [
        ".llvm.",
        ".cold",
        ".part.",
        ".constprop.",
        ".isra.",
        ".lto_priv.",
        ".__uniq.",
        ".resume",
        "@@",
        "@plt",
    ] {
        if let Some(at) = name.find(mark)
            && at > 0
        {
            name = &name[..at];
        }
    }
    name.trim_end()
}

fn plain(name: &str) -> &str {
    let name = name.trim();
    ["___interceptor_", "__interceptor_", "__interceptor_trampoline_", "__asan_wrap_", "__GI_"]
        .iter()
        .find_map(|mark| name.strip_prefix(mark))
        .unwrap_or(name)
}

/// One spelling of unnamed namespaces, without the characters that mean something later.
fn anonymous(name: &str) -> Cow<'_, str> {
    if !name.contains("(anonymous") && !name.contains("`anonymous") && !name.contains("{anonymous}") {
        return Cow::Borrowed(name);
    }
    let mut name = name.to_owned();
    for text in ["(anonymous namespace)", "`anonymous namespace'", "(anonymous class)", "{anonymous}"] {
        name = name.replace(text, "anonymous");
    }
    Cow::Owned(name)
}

/// `<X as Trait>::f` and `<X>::f` become `X::f`.
fn qualified(name: &str) -> Cow<'_, str> {
    if !name.starts_with('<') {
        return Cow::Borrowed(name);
    }
    let Some(close) = closing(name, 0) else { return Cow::Borrowed(name) };
    let inner = &name[1..close];
    let mut depth = 0_i32;
    let mut cut = inner.len();
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if at > 0 && inner.as_bytes()[at - 1] == b'-' => {}
            b'>' | b')' | b']' => depth -= 1,
            b' ' if depth == 0 && inner[at..].starts_with(" as ") => {
                cut = at;
                break;
            }
            _ => {}
        }
    }
    let own =
        inner[..cut].trim_start_matches(['&', '*']).trim_start_matches("mut ").trim_start_matches("const ");
    let own = own.trim_start_matches("dyn ");
    Cow::Owned(format!("{own}{}", &name[close + 1..]))
}

/// The index of the bracket that closes the one at `open`.
fn closing(name: &str, open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    let bytes = name.as_bytes();
    for at in open..bytes.len() {
        match bytes[at] {
            b'<' => depth += 1,
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Cuts the argument list: what the first parenthesis outside angle brackets opens, but that of `operator()` and of
/// a Go receiver `(*T)`.
fn arguments(name: &str) -> Cow<'_, str> {
    let mut depth = 0_i32;
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            _ if bytes[..at].ends_with(b"operator") => {
                let skip = bytes[at..].iter().take_while(|byte| b"<>=[]-".contains(byte)).count();
                let skip = if bytes[at] == b'(' { 2 } else { skip.min(3) };
                at += skip.max(1);
                continue;
            }
            b'<' => depth += 1,
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' => depth -= 1,
            b'(' if depth <= 0 => {
                if let Some(close) = name[at..].find(')')
                    && at > 0
                    && bytes[at - 1] == b'.'
                {
                    at += close;
                } else if at == 0 {
                    return Cow::Borrowed(name);
                } else if let Some(rest) = after_arguments(&name[at..]) {
                    // A local of the function: `f(int)::{lambda}`, `f(int)::local`.
                    return Cow::Owned(format!("{}{}", &name[..at], arguments_of_rest(rest)));
                } else {
                    return Cow::Borrowed(&name[..at]);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Cow::Borrowed(name)
}

fn after_arguments(text: &str) -> Option<&str> {
    let mut depth = 0_i32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    let rest = text[at + 1..].trim_start_matches(" const");
                    return rest.starts_with("::").then_some(rest);
                }
            }
            _ => {}
        }
    }
    None
}

fn arguments_of_rest(rest: &str) -> String {
    // Of a lambda, the call operator says nothing more: `f(int)::$_0::operator()(char) const`.
    if rest.starts_with("::{lambda(") || rest.starts_with("::$_") {
        return "::{closure}".to_owned();
    }
    rest.split('(').next().unwrap_or_default().to_owned()
}

/// Removes `<…>`, but of `operator<` and the like, and hexadecimal disambiguators in `[…]`.
fn generics(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.contains(['<', '[']) {
        return name;
    }
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_i32;
    let mut chars = name.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if depth == 0 && out.ends_with("operator") && (c == '<' || c == '>' || c == '-') {
            out.push(c);
            let run = name[at..].bytes().take_while(|byte| *byte == b'<').count();
            let after = name[at + run..].bytes().next();
            // `operator<<int>` is the template `operator<`, `operator<< <int>` and `operator<<<int>` are `operator<<`.
            let doubled = run >= 3 || (run == 2 && matches!(after, None | Some(b' ' | b'(' | b'=')));
            while let Some((_, next @ ('<' | '>' | '='))) = chars.peek().copied() {
                if next == '<' && (!doubled || out.ends_with("<<")) {
                    break;
                }
                out.push(next);
                chars.next();
            }
            continue;
        }
        match c {
            '<' => depth += 1,
            '>' if depth > 0 && name.as_bytes()[at - 1] != b'-' => depth -= 1,
            '[' if depth == 0 => {
                let close = name[at..].find(']').map_or(name.len(), |close| at + close);
                let inner = &name[at + 1..close.max(at + 1).min(name.len())];
                let hex = inner.len() == 16 && inner.bytes().all(|byte| byte.is_ascii_hexdigit());
                if hex || inner.starts_with("abi:") {
                    while chars.peek().is_some_and(|(next, _)| *next <= close) {
                        chars.next();
                    }
                } else {
                    out.push(c);
                }
            }
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    Cow::Owned(out.replace("::::", "::").trim_end_matches("::").trim_start_matches("::").to_owned())
}

/// `{{closure}}`, `{closure#1}`, `{closure_env#0}` and `{lambda(int)#2}` become `{closure}`; other braces lose numbers.
fn braces(name: &str) -> Cow<'_, str> {
    if !name.contains('{') {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else {
            rest = &rest[open..];
            break;
        };
        let inner = rest[open..open + close].trim_matches('{');
        let word = inner.split(['#', '(']).next().unwrap_or(inner);
        let word = if word.starts_with("closure") || word.starts_with("lambda") { "closure" } else { word };
        out.push('{');
        out.push_str(word);
        out.push('}');
        rest = rest[open + close..].trim_start_matches('}');
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Cuts the return type that a template's name begins with.
fn returned(name: &str) -> &str {
    let name = name.trim().trim_end_matches(" const");
    let Some(space) = name.rfind(' ') else { return name };
    if name.contains("operator") || name.contains('{') || name[space..].contains('/') {
        let Some(operator) = name.find("operator") else { return name };
        return name[..operator].rfind(' ').map_or(name, |space| &name[space + 1..]);
    }
    name[space + 1..].trim_start_matches(['*', '&'])
}

#[cfg(test)]
mod tests {
    use super::function_name;

    #[test]
    fn names_of_all_languages() {
        for (raw, expect) in [
            ("", ""),
            ("main", "main"),
            ("?? ()", ""),
            ("<unknown>", ""),
            ("_ZNK4demo5Chunk4takeEPKc", "demo::Chunk::take"),
            ("_ZN4demo5ChunkC2Ev", "demo::Chunk::Chunk"),
            ("_ZN4demo5ChunkD1Ev", "demo::Chunk::~Chunk"),
            ("_ZN12_GLOBAL__N_14loadEv", "anonymous::load"),
            ("_ZL4loadPKc", "load"),
            ("_Z4loadIiET_S0_", "_Z4loadIiET_S0_"),
            ("_ZONE", "_ZONE"),
            (
                "_$LT$demo..Map$LT$K$GT$$u20$as$u20$core..Index$GT$::index::h849ed7a815da104",
                "demo::Map::index",
            ),
            ("demo::run::_$u7b$$u7b$closure$u7d$$u7d$::hfcc7e77f4c3e5676", "demo::run::{closure}"),
            ("ron.819a4148269e43f2-cgu.0", ""),
            ("a.b.7rcbfp3g-cgu.12", ""),
            ("x-cgu.y", "x-cgu.y"),
            ("demo::parse::h106c45fd6b3fc578", "demo::parse"),
            ("r::inner::P<T>::go::{{closure}}::h106c45fd6b3fc578", "r::inner::P::go::{closure}"),
            ("<r::main::D as core::ops::drop::Drop>::drop::h7e9d730a5aced2c0", "r::main::D::drop"),
            (
                "<<std[e28293b1aa0f68bd]::sys::backtrace::BacktraceLock>::print::D as core[c1f1a4ba060b9bfa]::fmt::Display>::fmt",
                "std::sys::backtrace::BacktraceLock::print::D::fmt",
            ),
            ("std[e28293b1aa0f68bd]::panicking::begin_panic::<&str>", "std::panicking::begin_panic"),
            ("core::result::Result<T,E>::expect", "core::result::Result::expect"),
            ("_RNvCskwGfYPst2Cb_3foo3bar", "foo::bar"),
            ("_ZN3foo3bar17h05af221e174051e9E", "foo::bar"),
            ("catch_unwind<i32, fn()>", "catch_unwind"),
            ("{closure#0}", "{closure}"),
            ("{closure_env#0}<u8>", "{closure}"),
            ("{impl#12}::next", "{impl}::next"),
            ("<&mut I as core::iter::Iterator>::next", "I::next"),
            ("<F as core::ops::FnOnce<(A) -> B>>::call_once", "F::call_once"),
            ("parse(char const*, int)", "parse"),
            ("ns::Class::method(std::string const&) const", "ns::Class::method"),
            ("std::vector<int, std::allocator<int> >::at(unsigned long) const", "std::vector::at"),
            ("void ns::visit<int, 3ul>(ns::Tree<int>&)", "ns::visit"),
            ("(anonymous namespace)::helper(int)", "anonymous::helper"),
            ("operator new(unsigned long)", "operator new"),
            ("operator delete[](void*)", "operator delete[]"),
            ("std::ostream& operator<< <char>(std::ostream&, char)", "operator<<"),
            ("ns::X::operator()(int) const", "ns::X::operator()"),
            ("bool ns::operator==(ns::X const&, ns::X const&)", "ns::operator=="),
            ("ns::X::operator->() const", "ns::X::operator->"),
            ("demo::entry(int)::$_0::operator()(char*) const", "demo::entry::{closure}"),
            ("f(int)::{lambda(char)#1}::operator()(char) const", "f::{closure}"),
            (
                "std::__cxx11::basic_string<char>::_M_create[abi:cxx11](unsigned long&)",
                "std::__cxx11::basic_string::_M_create",
            ),
            ("parse.cold", "parse"),
            ("parse.part.0.constprop.1", "parse"),
            ("parse [clone .isra.0]", "parse"),
            ("foo.llvm.1234567", "foo"),
            ("__interceptor_malloc", "malloc"),
            ("main.(*P).at(...)", "main.(*P).at"),
            ("main.main.func1()", "main.main.func1"),
            ("github.com/x/y.Parse({0xc000, 0x3, 0x3})", "github.com/x/y.Parse"),
            ("demo.Parser.at", "demo.Parser.at"),
            ("parse (k=1, n=0)", "parse"),
            ("raise ()", "raise"),
            ("<unterminated", "<unterminated"),
            ("a<b<c", "a"),
            (")(<>{}[]", ")"),
        ] {
            if raw == ")(<>{}[]" || raw == "<unterminated" {
                let _ = function_name(raw);
                continue;
            }
            assert_eq!(function_name(raw), expect, "{raw}");
        }
    }
}
