//! Extended headers: records of `length key=value` and a newline.

use super::super::error::{Fault, Rule};

/// What an extended header says about the next entry. Owners, access times, comments and vendors' keys are dropped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<i64>,
    pub(super) sparse: Option<SparseKeys>,
}

/// The `GNU.sparse.*` keys of all three versions of that format.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SparseKeys {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// `GNU.sparse.size` or `GNU.sparse.realsize`.
    pub(super) size: Option<u64>,
    pub(super) pieces: Option<u64>,
    /// Offsets and lengths in turn, as versions 0.0 and 0.1 list them.
    pub(super) map: Vec<u64>,
}

impl Pax {
    /// Parses the records of one entry's header.
    pub(super) fn parse(data: &[u8]) -> Result<Self, Fault> {
        let mut pax = Self::default();
        for_each(data, |key, value| pax.set(key, value))?;
        Ok(pax)
    }

    /// Checks the records of a global header, which may say nothing about names, sizes or content.
    pub(super) fn check_global(data: &[u8]) -> Result<(), Fault> {
        for_each(data, |key, value| {
            if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
                return Err(Rule::GlobalOverride.into());
            }
            Self::default().set(key, value)
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"path" => once(&mut self.path, text(value)?),
            b"linkpath" => once(&mut self.link_path, text(value)?),
            b"size" => once(&mut self.size, decimal(value)?),
            b"mtime" => once(&mut self.mtime, seconds(value)?),
            b"SCHILY.xattr.security.capability" | b"LIBARCHIVE.xattr.security.capability" => {
                Err(Rule::Capability.into())
            }
            _ => match key.strip_prefix(b"GNU.sparse.") {
                Some(key) => self.sparse.get_or_insert_default().set(key, value),
                None => Ok(()),
            },
        }
    }
}

impl SparseKeys {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"major" => once(&mut self.major, decimal(value)?),
            b"minor" => once(&mut self.minor, decimal(value)?),
            b"name" => once(&mut self.name, text(value)?),
            b"size" | b"realsize" => once(&mut self.size, decimal(value)?),
            b"numblocks" => once(&mut self.pieces, decimal(value)?),
            b"offset" | b"numbytes" => {
                // 0.0 repeats the two keys in turn.
                if self.map.len().is_multiple_of(2) != (key == b"offset") {
                    return Err(Rule::SparseMap.into());
                }
                self.map.push(decimal(value)?);
                Ok(())
            }
            b"map" => {
                if !self.map.is_empty() {
                    return Err(Rule::SparseMap.into());
                }
                for part in value.split(|&b| b == b',').filter(|_| !value.is_empty()) {
                    self.map.push(decimal(part)?);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A key given twice could mean either of two things.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    if place.replace(value).is_some() { Err(Rule::MixedExtensions.into()) } else { Ok(()) }
}

fn text(value: &[u8]) -> Result<Vec<u8>, Fault> {
    if value.contains(&0) { Err(Rule::NulInName.into()) } else { Ok(value.to_vec()) }
}

/// Digits and nothing else.
pub(super) fn decimal(value: &[u8]) -> Result<u64, Fault> {
    if value.first() == Some(&b'-') {
        return Err(Rule::NegativeSize.into());
    }
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| Rule::PaxRecord.into())
}

/// Seconds with an optional fraction, which is dropped.
fn seconds(value: &[u8]) -> Result<i64, Fault> {
    let text = std::str::from_utf8(value).map_err(|_| Rule::PaxRecord)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Rule::PaxRecord.into());
    }
    whole.parse().map_err(|_| Rule::PaxRecord.into())
}

fn for_each(mut data: &[u8], mut record: impl FnMut(&[u8], &[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let bad = || Fault::from(Rule::PaxRecord);
    while !data.is_empty() {
        let space = data.iter().take(20).position(|&b| b == b' ').ok_or_else(bad)?;
        let digits = &data[..space];
        if digits.is_empty() || digits[0] == b'0' {
            return Err(bad());
        }
        let length = usize::try_from(decimal(digits).map_err(|_| bad())?).map_err(|_| bad())?;
        if length > data.len() || length < space + 3 || data[length - 1] != b'\n' {
            return Err(bad());
        }
        let body = &data[space + 1..length - 1];
        let equals = body.iter().position(|&b| b == b'=').ok_or_else(bad)?;
        let (key, value) = (&body[..equals], &body[equals + 1..]);
        if key.is_empty() || key.contains(&0) || key.contains(&b'\n') {
            return Err(bad());
        }
        record(key, value)?;
        data = &data[length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(data: &[u8]) -> Option<Rule> {
        match Pax::parse(data) {
            Ok(_) => None,
            Err(Fault::Rule(rule)) => Some(rule),
            Err(fault) => panic!("{fault}"),
        }
    }

    #[test]
    fn records() {
        let pax =
            Pax::parse(b"12 path=a/b\n11 size=42\n22 mtime=1700000000.5\n14 comment=hi\n").expect("good");
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!((pax.size, pax.mtime), (Some(42), Some(1_700_000_000)));
        for bad in [
            &b"12 path=a/b"[..],
            b"13 path=a/b\n",
            b"11 path=a/b\n",
            b"x path=a\n",
            b"012 path=a/b\n",
            b"99999999999999999999 path=a\n",
            b"5 =a\n",
            b"6 key\n",
            b"10 size=x\n",
            b"\n",
        ] {
            assert_eq!(rule(bad), Some(Rule::PaxRecord), "{}", bad.escape_ascii());
        }
        assert_eq!(rule(b"11 size=-1\n"), Some(Rule::NegativeSize));
        assert_eq!(rule(b"10 path=a\n10 path=b\n"), Some(Rule::MixedExtensions));
        assert_eq!(rule(b"11 path=a\0\n"), Some(Rule::NulInName));
        assert_eq!(rule(b"38 SCHILY.xattr.security.capability=x\n"), Some(Rule::Capability));
        assert_eq!(rule(b"31 SCHILY.xattr.user.any=value\n"), None);
    }
}
