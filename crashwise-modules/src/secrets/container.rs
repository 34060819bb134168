//! Texts inside of archives and office documents.

use std::io::{Cursor, Read};

use crashwise_core::GapReason;
use flate2::read::GzDecoder;

/// The most entries of one container, inner ones included.
const MAX_ENTRIES: usize = 2_000;
/// The largest entry and the most bytes of all entries together.
const MAX_ENTRY: u64 = 8 << 20;
const MAX_TOTAL: u64 = 64 << 20;
/// How many containers inside each other are opened.
const MAX_DEPTH: usize = 3;
/// Length of a block of a tar archive.
const BLOCK: usize = 512;

/// Shows the texts in a container of a known format; what is not shown is told with its reason. Bytes of another format
/// are not a container and show nothing.
pub(super) fn entries(
    bytes: &[u8],
    mut show: impl FnMut(&str, &[u8]),
    mut skipped: impl FnMut(&str, GapReason, String),
) {
    let mut reading =
        Reading { left: MAX_TOTAL, entries: MAX_ENTRIES, show: &mut show, skipped: &mut skipped };
    reading.container(bytes, "", 0);
}

/// Whether a file that starts with these bytes may be a container.
pub(super) fn is_container(head: &[u8]) -> bool {
    matches!(head, [b'P', b'K', 3, 4, ..] | [0x1f, 0x8b, 8, ..]) || head.get(257..262) == Some(b"ustar")
}

struct Reading<'r> {
    left: u64,
    entries: usize,
    show: &'r mut dyn FnMut(&str, &[u8]),
    skipped: &'r mut dyn FnMut(&str, GapReason, String),
}

impl Reading<'_> {
    fn container(&mut self, bytes: &[u8], name: &str, depth: usize) -> bool {
        let known = match bytes {
            [b'P', b'K', 3, 4, ..] => Self::zip,
            [0x1f, 0x8b, 8, ..] => Self::gzip,
            _ if bytes.get(257..262) == Some(b"ustar") => Self::tar,
            _ => return false,
        };
        if depth == MAX_DEPTH {
            (self.skipped)(
                name,
                GapReason::TooDeep,
                format!("more than {MAX_DEPTH} containers inside each other"),
            );
        } else {
            known(self, bytes, name, depth);
        }
        true
    }

    /// One entry: a container, a text, or neither.
    fn entry(&mut self, content: &[u8], name: &str, depth: usize) {
        if !self.container(content, name, depth + 1) && !content[..content.len().min(8192)].contains(&0) {
            (self.show)(name, content);
        }
    }

    /// Reads an entry within the limits.
    fn read(&mut self, reader: impl Read, name: &str) -> Option<Vec<u8>> {
        let limit = MAX_ENTRY.min(self.left);
        let mut content = Vec::new();
        let read = reader.take(limit + 1).read_to_end(&mut content);
        self.left = self.left.saturating_sub(content.len() as u64);
        if content.len() as u64 > limit {
            (self.skipped)(name, GapReason::TooLarge, format!("an entry may have {limit} bytes"));
            return None;
        }
        if let Err(error) = read {
            (self.skipped)(name, GapReason::Malformed, error.to_string());
        }
        Some(content)
    }

    fn may_go_on(&mut self, name: &str) -> bool {
        if self.entries == 0 || self.left == 0 {
            (self.skipped)(
                name,
                GapReason::TooMany,
                format!("more than {MAX_ENTRIES} entries or {MAX_TOTAL} bytes"),
            );
            return false;
        }
        self.entries -= 1;
        true
    }

    fn zip(&mut self, bytes: &[u8], name: &str, depth: usize) {
        let mut archive = match zip::ZipArchive::new(Cursor::new(bytes)) {
            Ok(archive) => archive,
            Err(error) => return (self.skipped)(name, GapReason::Malformed, error.to_string()),
        };
        for index in 0..archive.len() {
            if !self.may_go_on(name) {
                return;
            }
            let entry = match archive.by_index(index) {
                Ok(entry) => entry,
                Err(error) => {
                    (self.skipped)(name, GapReason::Unsupported, error.to_string());
                    continue;
                }
            };
            if entry.is_file() {
                let entry_name = entry
                    .name()
                    .map_or_else(|_| format!("entry {index}"), |name| name.replace(char::is_control, "?"));
                let inner = join(name, &entry_name);
                if let Some(content) = self.read(entry, &inner) {
                    self.entry(&content, &inner, depth);
                }
            }
        }
    }

    fn gzip(&mut self, bytes: &[u8], name: &str, depth: usize) {
        if self.may_go_on(name) {
            let inner = join(name, "content");
            if let Some(content) = self.read(GzDecoder::new(bytes), &inner) {
                self.entry(&content, &inner, depth);
            }
        }
    }

    fn tar(&mut self, bytes: &[u8], name: &str, depth: usize) {
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + BLOCK) {
            if header[0] == 0 {
                return;
            }
            let text = |range: std::ops::Range<usize>| {
                let field = &header[range];
                String::from_utf8_lossy(field.split(|&byte| byte == 0).next().unwrap_or_default())
                    .trim()
                    .to_owned()
            };
            let Ok(size) = usize::from_str_radix(&text(124..136), 8) else {
                return (self.skipped)(
                    name,
                    GapReason::Malformed,
                    format!("the size in the header at byte {at}"),
                );
            };
            if !self.may_go_on(name) {
                return;
            }
            let start = at + BLOCK;
            let inner = join(name, &text(0..100).replace(char::is_control, "?"));
            if matches!(header[156], b'0' | 0) {
                let Some(content) = start.checked_add(size).and_then(|end| bytes.get(start..end)) else {
                    return (self.skipped)(
                        &inner,
                        GapReason::Malformed,
                        "the archive ends inside of it".to_owned(),
                    );
                };
                if let Some(content) = self.read(content, &inner) {
                    self.entry(&content, &inner, depth);
                }
            }
            let Some(next) = size.checked_next_multiple_of(BLOCK).and_then(|size| start.checked_add(size))
            else {
                return;
            };
            at = next;
        }
    }
}

fn join(container: &str, entry: &str) -> String {
    if container.is_empty() { entry.to_owned() } else { format!("{container}!{entry}") }
}
