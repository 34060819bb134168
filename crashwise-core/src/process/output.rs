use std::borrow::Cow;

/// Captured output of one stream: its beginning and its end, and how much was left out between.
///
/// A crash report stands at the end of a log and the command that made it at the beginning, so each gets half the cap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Where in `tail`, once it is full, the oldest byte stands.
    oldest: usize,
    half: usize,
    total: u64,
}

impl Output {
    pub(super) fn with_cap(bytes: usize) -> Self {
        Self { half: bytes / 2, ..Self::default() }
    }

    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        self.total += chunk.len() as u64;
        let room = self.half - self.head.len();
        let (first, rest) = chunk.split_at(room.min(chunk.len()));
        self.head.extend_from_slice(first);
        chunk = &rest[rest.len().saturating_sub(self.half)..];
        let room = self.half - self.tail.len();
        let (first, mut rest) = chunk.split_at(room.min(chunk.len()));
        self.tail.extend_from_slice(first);
        while !rest.is_empty() {
            let length = rest.len().min(self.half - self.oldest);
            self.tail[self.oldest..self.oldest + length].copy_from_slice(&rest[..length]);
            self.oldest = (self.oldest + length) % self.half;
            rest = &rest[length..];
        }
    }

    /// Bytes that were written, kept or not.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that were left out because of the cap.
    pub fn cut(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// What was kept; a line that says how much is missing stands where something was cut.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        if self.tail.is_empty() {
            return Cow::Borrowed(&self.head);
        }
        let mut bytes = self.head.clone();
        if self.cut() > 0 {
            bytes.extend_from_slice(format!("\n[{} bytes left out]\n", self.cut()).as_bytes());
        }
        bytes.extend_from_slice(&self.tail[self.oldest..]);
        bytes.extend_from_slice(&self.tail[..self.oldest]);
        Cow::Owned(bytes)
    }

    /// The same as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Output;

    fn check(cap: usize, chunks: &[&str], expect: &str, cut: u64) {
        let mut output = Output::with_cap(cap);
        for chunk in chunks {
            output.push(chunk.as_bytes());
        }
        assert_eq!(output.text(), expect);
        assert_eq!(output.cut(), cut);
        assert_eq!(output.total(), chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
    }

    #[test]
    fn the_middle_is_left_out() {
        check(8, &[], "", 0);
        check(8, &["abc"], "abc", 0);
        check(8, &["abcdefgh"], "abcdefgh", 0);
        check(8, &["abc", "def", "gh"], "abcdefgh", 0);
        check(8, &["abcdefghi"], "abcd\n[1 bytes left out]\nfghi", 1);
        check(8, &["abcdef", "ghi", "jkl", "m"], "abcd\n[5 bytes left out]\njklm", 5);
        check(8, &["abcdefghijklmnopqrstuvwxyz"], "abcd\n[18 bytes left out]\nwxyz", 18);
        check(0, &["abc"], "", 3);
    }
}
