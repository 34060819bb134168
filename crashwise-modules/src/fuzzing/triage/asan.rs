//! `AddressSanitizer`, and `HWAddressSanitizer`, which words its reports alike.
//!
//! ```text
//! ==27066==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602… at pc 0x55c… bp 0x7ff… sp 0x7ff…
//! WRITE of size 1 at 0x60200000001a thread T0
//!     #0 0x55c313f8231c in parse /src/c.c:12:35
//! ```

use super::clue::{Clue, Weight};
use super::fault;
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};
use super::symbolized::frame;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    // Of its own failures it speaks without a colon.
    let text = after(line, "AddressSanitizer: ").or_else(|| after(line, "AddressSanitizer "))?;
    if line.contains("SUMMARY:")
        || line.contains("WARNING:")
        || !(line.contains("ERROR") || line.contains("==") || text.starts_with("CHECK failed"))
    {
        return None;
    }
    let mut kind = kind(text)?;
    if kind == "sanitizer-check-failed" && text.contains("unable to mmap") {
        kind = "out-of-memory";
    }
    if kind == "tag-mismatch" {
        kind = hardware_cause(lines, index).unwrap_or(kind);
    }
    let weight = match kind {
        "abrt" | "ill" | "trap" | "unknown-signal" => Weight::Consequence,
        "segv" | "bus" | "fpe" | "stack-overflow" => Weight::Fault,
        "out-of-memory" | "allocation-size-too-big" | "rss-limit-exceeded" => Weight::Limit,
        _ => Weight::Sanitizer,
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.address = after(text, "address ")
        .or_else(|| after(text, "double-free on "))
        .or_else(|| after(text, "not malloc()-ed: "))
        .and_then(|rest| rest.starts_with("0x").then(|| number(rest))?)
        .map(|(address, _)| address);
    // A page has joined the first two lines.
    clue.access = [" READ of size ", " WRITE of size "]
        .iter()
        .find_map(|words| text.find(words))
        .and_then(|at| access(&text[at..]));
    let nearby = (index + 1..index + 6).map(|near| lines.at(near)).take_while(|line| frame(line).is_none());
    for near in nearby {
        if clue.access.is_none() {
            clue.access = access(near);
        }
        if let Some(rest) = after(near, " access of size ").or_else(|| after(near, " of size "))
            && let Some(found) = &mut clue.access
            && found.size.is_none()
        {
            found.size = number(rest).map(|(size, _)| size);
        }
    }
    if kind == "segv" && clue.address.is_none() && text.contains("0x000000000000") {
        clue.address = Some(0);
    }
    fault::jump(&mut clue, text);
    Some(clue.near_null())
}

/// What `HWAddressSanitizer` takes for the cause of a mismatch, further down.
fn hardware_cause(lines: &Lines<'_>, index: usize) -> Option<&'static str> {
    let cause = lines.from(index).take(60).find_map(|(_, line)| after(line, "Cause: "))?;
    Some(match cause.trim() {
        "use-after-free" => "heap-use-after-free",
        "heap-buffer-overflow" | "heap-buffer-underflow" => "heap-buffer-overflow",
        "global-overflow" | "global-buffer-overflow" => "global-buffer-overflow",
        cause if cause.starts_with("stack tag-mismatch") => "stack-tag-mismatch",
        _ => return None,
    })
}

/// `READ of size 4 at …`, or `The signal is caused by a WRITE memory access.`
pub(super) fn access(line: &str) -> Option<Access> {
    // Of threads that make a heading of the line.
    let trimmed = line.trim_start_matches([' ', '#', '*', '>']);
    for (word, kind) in
        [("READ", AccessKind::Read), ("WRITE", AccessKind::Write), ("UNKNOWN", AccessKind::Unknown)]
    {
        if let Some(rest) = trimmed.strip_prefix(word)
            && let Some(rest) = rest.strip_prefix(" of size ")
        {
            return Some(Access { kind, size: number(rest).map(|(size, _)| size) });
        }
        if line.contains("caused by a") && line.contains(word) && line.contains("memory access") {
            return Some(Access { kind, size: None });
        }
    }
    None
}

/// The name of the error in one spelling.
pub(super) fn kind(text: &str) -> Option<&'static str> {
    const FIRST_WORDS: &[(&str, &str)] = &[
        ("ABRT", "abrt"),
        ("BUS", "bus"),
        ("CHECK", "sanitizer-check-failed"),
        ("FPE", "fpe"),
        ("ILL", "ill"),
        ("SEGV", "segv"),
        ("SIGABRT", "abrt"),
        ("SIGTRAP", "trap"),
        ("TRAP", "trap"),
        ("access-violation", "segv"),
        ("alloc-dealloc-mismatch", "alloc-dealloc-mismatch"),
        ("alloca-overflow", "dynamic-stack-buffer-overflow"),
        ("allocation-size-too-big", "allocation-size-too-big"),
        ("allocation-tail-overwritten", "heap-buffer-overflow"),
        ("bad-__sanitizer_annotate_contiguous_container", "bad-annotate-contiguous-container"),
        ("bad-free", "bad-free"),
        ("bad-malloc_usable_size", "bad-malloc_usable_size"),
        ("breakpoint", "trap"),
        ("calloc-overflow", "calloc-overflow"),
        ("container-overflow", "container-overflow"),
        ("double-free", "double-free"),
        ("dynamic-stack-buffer-overflow", "dynamic-stack-buffer-overflow"),
        ("global-buffer-overflow", "global-buffer-overflow"),
        ("heap-buffer-overflow", "heap-buffer-overflow"),
        ("heap-use-after-free", "heap-use-after-free"),
        ("illegal-instruction", "ill"),
        ("initialization-order-fiasco", "initialization-order-fiasco"),
        ("int-divide-by-zero", "fpe"),
        ("intra-object-overflow", "intra-object-overflow"),
        ("invalid-aligned-alloc-alignment", "invalid-aligned-alloc-alignment"),
        ("invalid-allocation-alignment", "invalid-allocation-alignment"),
        ("invalid-free", "bad-free"),
        ("invalid-pointer-pair", "invalid-pointer-pair"),
        ("invalid-posix-memalign-alignment", "invalid-posix-memalign-alignment"),
        ("memcpy-param-overlap", "param-overlap"),
        ("negative-size-param", "negative-size-param"),
        ("new-delete-type-mismatch", "new-delete-type-mismatch"),
        ("odr-violation", "odr-violation"),
        ("out-of-memory", "out-of-memory"),
        ("pvalloc-overflow", "pvalloc-overflow"),
        ("reallocarray-overflow", "reallocarray-overflow"),
        ("requested", "allocation-size-too-big"),
        ("rss-limit-exceeded", "rss-limit-exceeded"),
        ("stack-buffer-overflow", "stack-buffer-overflow"),
        ("stack-buffer-underflow", "stack-buffer-underflow"),
        ("stack-overflow", "stack-overflow"),
        ("stack-use-after-return", "stack-use-after-return"),
        ("stack-use-after-scope", "stack-use-after-scope"),
        ("tag-mismatch", "tag-mismatch"),
        ("unknown-crash", "unknown-crash"),
        ("use-after-poison", "use-after-poison"),
        ("wild-addr-read", "segv"),
        ("wild-addr-write", "segv"),
        ("wild-jump", "segv"),
    ];
    const PHRASES: &[(&str, &str)] = &[
        ("attempting double-free", "double-free"),
        ("attempting free on address", "bad-free"),
        ("attempting to call malloc_usable_size()", "bad-malloc_usable_size"),
        ("attempting to call __sanitizer_get_allocated_size()", "bad-malloc_usable_size"),
        ("calloc parameters overflow", "calloc-overflow"),
        ("pvalloc parameters overflow", "pvalloc-overflow"),
        ("reallocarray parameters overflow", "reallocarray-overflow"),
        ("invalid allocation alignment", "invalid-allocation-alignment"),
        ("invalid alignment requested in aligned_alloc", "invalid-aligned-alloc-alignment"),
        ("invalid alignment requested in posix_memalign", "invalid-posix-memalign-alignment"),
        ("specified RSS limit exceeded", "rss-limit-exceeded"),
        ("hard rss limit exhausted", "rss-limit-exceeded"),
        ("soft rss limit exhausted", "rss-limit-exceeded"),
        ("crashed on unknown address", "segv"),
        ("failed to allocate", "out-of-memory"),
        ("allocator is out of memory", "out-of-memory"),
        ("out of memory: allocator is trying to allocate", "out-of-memory"),
    ];
    let word = text.split([' ', ':', '(', '\n']).next().unwrap_or("");
    if let Ok(at) = FIRST_WORDS.binary_search_by(|(name, _)| (*name).cmp(word)) {
        return Some(FIRST_WORDS[at].1);
    }
    if word.ends_with("-param-overlap") {
        return Some("param-overlap");
    }
    PHRASES.iter().find(|(phrase, _)| text.starts_with(phrase)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_name_is_found() {
        for (text, expect) in [
            ("heap-buffer-overflow on address 0x1", Some("heap-buffer-overflow")),
            ("attempting double-free on 0x602 in thread T0:", Some("double-free")),
            ("attempting free on address which was not malloc()-ed: 0x1", Some("bad-free")),
            ("memcpy-param-overlap: memory ranges", Some("param-overlap")),
            ("strncat-param-overlap: memory ranges", Some("param-overlap")),
            ("negative-size-param: (size=-1)", Some("negative-size-param")),
            ("requested allocation size 0x1 exceeds maximum", Some("allocation-size-too-big")),
            ("ABRT on unknown address 0x1", Some("abrt")),
            ("wild-addr-write on unknown", Some("segv")),
            ("100 byte(s) leaked in 1 allocation(s).", None),
            ("", None),
        ] {
            assert_eq!(super::kind(text), expect, "{text}");
        }
    }
}
