//! Secrets that are written in another form: encoded, escaped, cut into pieces, or turned around.
//!
//! Each decoder finds stretches of the input that it can read and gives their content as a layer; layers are scanned
//! like files and may hold layers themselves. Their number, their depth and their size are bounded.

mod escapes;
mod kubernetes;
mod runs;
mod strings;

#[cfg(test)]
mod tests;

use std::ops::Range;

/// How a stretch of bytes was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Decoding {
    /// Base64 in either alphabet, padded or not.
    Base64,
    /// Pairs of hexadecimal digits.
    Hex,
    /// Gzip inside base64 or hexadecimal digits.
    Gzip,
    /// `%41` as in URLs.
    Percent,
    /// `\x41`, `\u0041`, `\101` as in string literals.
    Escapes,
    /// A list of character codes or of single characters.
    Characters,
    /// String literals joined by an operator, and the constants between them.
    Concatenation,
    /// Letters in reverse order.
    Reversed,
    /// Letters moved by thirteen.
    Rot13,
    /// Bytes combined with a key that stands in the same input.
    Xor,
    /// Base64 because it is a value of a Kubernetes secret.
    Manifest,
}

/// A stretch of an input and what it says.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) decoding: Decoding,
    /// Where the encoded form is.
    pub(super) span: Range<usize>,
    pub(super) content: Vec<u8>,
}

/// What a decoder may still produce.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    layers: usize,
}

impl Budget {
    /// For an input of `len` bytes: twice as much again, and never less than a mebibyte.
    pub(super) fn for_input(len: usize) -> Self {
        Self { bytes: len.saturating_mul(2).clamp(1 << 20, 64 << 20), layers: 20_000 }
    }

    fn take(&mut self, bytes: usize) -> bool {
        if self.layers == 0 || bytes > self.bytes {
            return false;
        }
        self.layers -= 1;
        self.bytes -= bytes;
        true
    }
}

/// The shortest content worth a scan.
const LEAST: usize = 12;

/// What tells that there may be something to decode, found together with the literals of the rules.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hint {
    Percent,
    Escape,
    Joint,
    Characters,
    Reversed,
    Rotated,
    Xor,
    Kubernetes,
}

/// Literals and what they hint at; letters match in both cases.
pub(super) const HINTS: [(&str, Hint); 45] = [
    ("%20", Hint::Percent),
    ("%22", Hint::Percent),
    ("%2b", Hint::Percent),
    ("%2f", Hint::Percent),
    ("%3a", Hint::Percent),
    ("%3d", Hint::Percent),
    ("%5f", Hint::Percent),
    ("%7b", Hint::Percent),
    (r"\x2", Hint::Escape),
    (r"\x3", Hint::Escape),
    (r"\x4", Hint::Escape),
    (r"\x5", Hint::Escape),
    (r"\x6", Hint::Escape),
    (r"\x7", Hint::Escape),
    (r"\u00", Hint::Escape),
    (r"\u{", Hint::Escape),
    (r"\14", Hint::Escape),
    (r"\15", Hint::Escape),
    (r"\16", Hint::Escape),
    ("\" +", Hint::Joint),
    ("' +", Hint::Joint),
    ("+ \"", Hint::Joint),
    ("+ '", Hint::Joint),
    ("\" . ", Hint::Joint),
    ("' . ", Hint::Joint),
    ("\" & ", Hint::Joint),
    ("\" .. ", Hint::Joint),
    (", 0x6", Hint::Characters),
    (",0x6", Hint::Characters),
    (", 10", Hint::Characters),
    (", 11", Hint::Characters),
    (",10", Hint::Characters),
    (",11", Hint::Characters),
    ("'].join", Hint::Characters),
    ("\"].join", Hint::Characters),
    ("join(['", Hint::Characters),
    ("join([\"", Hint::Characters),
    ("reverse", Hint::Reversed),
    ("[::-1]", Hint::Reversed),
    ("strrev", Hint::Reversed),
    ("rot13", Hint::Rotated),
    ("rot_13", Hint::Rotated),
    ("xor", Hint::Xor),
    ("kind: secret", Hint::Kubernetes),
    ("\"kind\": \"secret", Hint::Kubernetes),
];

/// The most places kept of one hint.
const MAX_PLACES: usize = 50_000;

/// The hints of one input, places in order.
#[derive(Debug, Default)]
pub(super) struct Hints {
    percent: Vec<usize>,
    escapes: Vec<usize>,
    joints: Vec<usize>,
    characters: Vec<usize>,
    manifests: Vec<usize>,
    reversed: bool,
    rotated: bool,
    xor: bool,
}

impl Hints {
    pub(super) fn add(&mut self, hint: Hint, at: usize) {
        let places = match hint {
            Hint::Percent => &mut self.percent,
            Hint::Escape => &mut self.escapes,
            Hint::Joint => &mut self.joints,
            Hint::Characters => &mut self.characters,
            Hint::Kubernetes => &mut self.manifests,
            Hint::Reversed => {
                self.reversed = true;
                return;
            }
            Hint::Rotated => {
                self.rotated = true;
                return;
            }
            Hint::Xor => {
                self.xor = true;
                return;
            }
        };
        if places.len() < MAX_PLACES {
            places.push(at);
        }
    }
}

/// The layers directly below `bytes`, until the budget is used up.
pub(super) fn layers(bytes: &[u8], hints: &Hints, budget: &mut Budget) -> Vec<Layer> {
    let mut found = Vec::new();
    let mut push = |layer: Layer| {
        if layer.content.len() >= LEAST && budget.take(layer.content.len()) {
            found.push(layer);
        }
    };
    runs::find(bytes, &mut push);
    escapes::find(bytes, hints, &mut push);
    strings::find(bytes, hints, &mut push);
    kubernetes::find(bytes, &hints.manifests, &mut push);
    found
}

/// Whether it reads as text: hardly any byte outside printable ASCII and UTF-8.
fn is_text(bytes: &[u8]) -> bool {
    let is_odd = |byte: &&u8| !((b' '..0x7f).contains(*byte) || matches!(byte, b'\n' | b'\r' | b'\t'));
    // What is no text is given up early.
    bytes
        .chunks(256)
        .try_fold(0, |odd, chunk| {
            Some(odd + chunk.iter().filter(is_odd).count()).filter(|odd| odd * 20 <= bytes.len())
        })
        .is_some()
}
