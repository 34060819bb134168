//! From the content of files and blobs to occurrences of secrets.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crashwise_core::{ByteSpan, Gap, GapReason, ModuleContext, ModuleError, RelPath, SuppressionKind};

use super::container;
use super::places::{self, Places};
use super::redact::Redaction;
use super::report::{MAX_PLACES, Occurrence, Origin, suppressed};
use super::scanner::{MAX_MATCHES, SecretScanner};
use super::secret::Secret;
use super::suppress::{self, Allowlists};
use crate::walk::{ContentKind, Encoding, Visitor, WalkedFile, Want, text_of};

/// The most occurrences kept of one run.
pub(super) const MAX_OCCURRENCES: usize = 40_000;

/// Scans what it is shown and keeps the occurrences.
pub(super) struct Visit<'c> {
    pub(super) cx: &'c ModuleContext,
    pub(super) scanner: SecretScanner,
    pub(super) containers: bool,
    pub(super) allow: Allowlists,
    /// The report of an earlier run, which is not scanned.
    pub(super) baseline: Option<String>,
    /// Rules that are not reported.
    pub(super) without: Vec<String>,
    pub(super) found: Mutex<Vec<Occurrence>>,
    /// Digests are slow on purpose: each is made once.
    pub(super) digests: Mutex<HashMap<Secret, Arc<str>>>,
    /// Files of which it was said that they hold too many.
    pub(super) crowded: Mutex<HashSet<String>>,
}

/// What is known of the bytes that are scanned.
#[derive(Clone, Copy)]
struct From<'f> {
    file: &'f WalkedFile,
    /// The entry of a container that holds them.
    entry: Option<&'f str>,
    origin: Option<&'f Origin>,
}

impl Visitor for Visit<'_> {
    fn wants(&self, file: &WalkedFile) -> Want {
        // A report of secrets may hold them.
        if self.baseline.as_deref() == Some(file.path.as_str()) { Want::Nothing } else { Want::Whole }
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        Ok(self.content(file, bytes, None))
    }
}

impl Visit<'_> {
    /// Scans a blob of a repository.
    pub(super) fn blob(&self, path: &RelPath, bytes: &[u8], origin: &Origin) {
        let mut file = WalkedFile::in_memory(path.clone(), bytes);
        let (text, offset) = text_of(bytes, file.kind);
        file.offset = offset;
        self.content(&file, &text, Some(origin));
    }

    /// Scans what a commit or a tag says.
    pub(super) fn message(&self, path: &RelPath, entry: &str, bytes: &[u8], origin: &Origin) {
        let file = WalkedFile::in_memory(path.clone(), bytes);
        let mut occurrences = Vec::new();
        self.text(From { file: &file, entry: Some(entry), origin: Some(origin) }, bytes, &mut occurrences);
        self.keep(occurrences);
    }

    fn content(&self, file: &WalkedFile, bytes: &[u8], origin: Option<&Origin>) -> u64 {
        let mut occurrences = Vec::new();
        if file.window.as_ref().is_none_or(|window| window.own.start == 0) {
            self.path(file, bytes, origin, &mut occurrences);
        }
        if file.kind.is_text() {
            self.text(From { file, entry: None, origin }, bytes, &mut occurrences);
        } else if self.containers {
            let cx = self.cx;
            container::entries(
                bytes,
                |name, content| {
                    self.text(From { file, entry: Some(name), origin }, content, &mut occurrences);
                },
                |entry, reason, detail| {
                    cx.not_covered(Gap::new(format!("{}!{entry}", file.path), reason, detail));
                },
            );
        }
        self.keep(occurrences)
    }

    /// Keeps what was found as far as there is room, and says how much it was.
    fn keep(&self, occurrences: Vec<Occurrence>) -> u64 {
        let count = occurrences.len() as u64;
        if count > 0 {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MAX_OCCURRENCES.saturating_sub(found.len());
            found.extend(occurrences.into_iter().take(room));
        }
        count
    }

    /// Whether there is no room for more, which the run says at its end.
    fn is_full(&self) -> bool {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).len() >= MAX_OCCURRENCES
    }

    fn digest(&self, secret: &Secret) -> Arc<str> {
        let digests = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = digests().get(secret) {
            return Arc::clone(known);
        }
        let digest: Arc<str> = secret.digest().into();
        digests().insert(secret.clone(), Arc::clone(&digest));
        digest
    }

    /// What the path of a file alone says. What stands for the secret is the file.
    fn path(&self, file: &WalkedFile, bytes: &[u8], origin: Option<&Origin>, out: &mut Vec<Occurrence>) {
        let rules = self.scanner.rules.iter();
        for found in rules.filter_map(|rule| rule.of_path(file.path.as_str())) {
            if self.without.iter().any(|rule| rule == found.rule.id.as_str()) {
                continue;
            }
            let reason = self.allow.reason(file.path.as_str(), &found);
            out.push(Occurrence {
                path: file.path.clone(),
                region: None,
                snippet: String::new(),
                suppression: reason.map(|reason| suppressed(SuppressionKind::External, reason)),
                digest: blake3::hash(bytes).to_hex()[..32].into(),
                found,
                entry: None,
                origin: origin.cloned(),
            });
        }
    }

    fn text(&self, from: From<'_>, bytes: &[u8], out: &mut Vec<Occurrence>) {
        if self.is_full() {
            return;
        }
        let file = from.file;
        let path = from.entry.unwrap_or(file.path.as_str());
        let all = self.scanner.scan_bytes(path, bytes);
        if all.is_empty() {
            return;
        }
        if all.len() >= MAX_MATCHES {
            let detail = format!("more than {MAX_MATCHES} secrets in one file");
            let what =
                from.entry.map_or_else(|| file.path.to_string(), |entry| format!("{}!{entry}", file.path));
            let is_new = self.crowded.lock().unwrap_or_else(PoisonError::into_inner).insert(what.clone());
            if is_new {
                self.cx.not_covered(Gap::new(what, GapReason::TooMany, detail));
            }
        }
        let mut seen: HashMap<(&str, &[u8]), usize> = HashMap::new();
        let window = file.window.as_ref();
        let places = Places::new(bytes, &all, window);
        let redaction = Redaction::new(bytes, &all);
        for found in &all {
            let id = found.rule.id.as_str();
            if window.is_some_and(|window| !window.own.contains(&found.span.start))
                || self.without.iter().any(|rule| rule == id)
            {
                continue;
            }
            let mut region = places.region(&found.span);
            // Offsets are those of the file, where the text is not a translation of it.
            region.bytes = match file.kind {
                ContentKind::Text(Encoding::Bytes) => region
                    .bytes
                    .map(|bytes| ByteSpan::new(bytes.start + file.offset, bytes.end + file.offset)),
                _ => None,
            };
            let suppression = if let Some(mark) = suppress::mark(places::line(bytes, &found.span), id) {
                Some(suppressed(SuppressionKind::InSource, mark))
            } else {
                let reason = self.allow.reason(file.path.as_str(), found);
                reason.map(|reason| suppressed(SuppressionKind::External, reason))
            };
            // A report names no more places of one secret than these.
            let count = seen.entry((id, found.secret.reveal())).or_default();
            *count += 1;
            let snippet =
                if *count <= MAX_PLACES + 1 { redaction.snippet(&found.span) } else { String::new() };
            out.push(Occurrence {
                path: file.path.clone(),
                region: Some(region),
                snippet,
                found: found.clone(),
                digest: self.digest(&found.secret),
                suppression,
                entry: from.entry.map(str::to_owned),
                origin: from.origin.cloned(),
            });
        }
    }
}
