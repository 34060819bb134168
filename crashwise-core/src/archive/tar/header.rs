//! One 512-byte header.

use super::super::error::{Fault, Rule};

/// Size of a header and unit of all content.
pub(crate) const BLOCK: usize = 512;

/// The greatest size that the twelve octal digits of a header hold.
pub(crate) const OCTAL_MOST: u64 = 0o777_7777_7777;

/// A header whose checksum was right.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

/// Which dialect a header is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V7,
    Posix,
    Gnu,
}

impl<'a> Header<'a> {
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, Fault> {
        let stated = octal(&block[148..156]).map_err(|_| Rule::HeaderChecksum)?;
        if stated != checksum(block) {
            return Err(Rule::HeaderChecksum.into());
        }
        Ok(Self(block))
    }

    /// Refuses what one reader takes for the first half of the name and another one does not.
    pub(super) fn check_dialect(&self) -> Result<(), Fault> {
        let is_known = match self.dialect() {
            Dialect::Posix => true,
            // Two times stand where the other dialect has the prefix.
            Dialect::Gnu => [345..357, 357..369].into_iter().all(|field| number(&self.0[field]).is_ok()),
            Dialect::V7 => self.0[345..500].iter().all(|&b| b == 0),
        };
        if is_known { Ok(()) } else { Err(Rule::HeaderMagic.into()) }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.0[257..265] {
            b"ustar\x0000" => Dialect::Posix,
            b"ustar  \0" => Dialect::Gnu,
            _ => Dialect::V7,
        }
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// The raw field up to its NUL; anything but NULs behind the first is refused.
    fn text(&self, from: usize, to: usize) -> Result<&'a [u8], Fault> {
        let field = &self.0[from..to];
        let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
        if field[end..].iter().any(|&b| b != 0) {
            return Err(Rule::NulInName.into());
        }
        Ok(&field[..end])
    }

    /// The name, joined with the prefix of the POSIX dialect.
    pub(super) fn name(&self) -> Result<Vec<u8>, Fault> {
        let name = self.text(0, 100)?;
        let prefix = if self.dialect() == Dialect::Posix { self.text(345, 500)? } else { b"" };
        if prefix.is_empty() {
            return Ok(name.to_vec());
        }
        let mut joined = prefix.to_vec();
        joined.push(b'/');
        joined.extend_from_slice(name);
        Ok(joined)
    }

    /// For messages, when the name itself may be what is wrong.
    pub(super) fn raw_name(&self) -> &'a [u8] {
        let field = &self.0[..100];
        let end = field.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
        &field[..end]
    }

    pub(super) fn link_name(&self) -> Result<&'a [u8], Fault> {
        self.text(157, 257)
    }

    pub(super) fn mode(&self) -> Result<u64, Fault> {
        u64::try_from(number(&self.0[100..108])?).map_err(|_| Rule::HeaderNumber.into())
    }

    pub(super) fn size(&self) -> Result<u64, Fault> {
        u64::try_from(number(&self.0[124..136])?).map_err(|_| Rule::NegativeSize.into())
    }

    pub(super) fn mtime(&self) -> Result<i64, Fault> {
        number(&self.0[136..148])
    }

    /// A field of the old GNU sparse format.
    pub(super) fn sparse_field(&self, from: usize, to: usize) -> &'a [u8] {
        &self.0[from..to]
    }
}

/// Whether a file begins with a tar header.
pub(crate) fn is_header(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(|block| Header::parse(block).is_ok())
}

/// Sum of all bytes, those of the checksum itself counted as spaces.
pub(crate) fn checksum(block: &[u8; BLOCK]) -> u64 {
    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
    let own: u64 = block[148..156].iter().map(|&b| u64::from(b)).sum();
    sum - own + 8 * u64::from(b' ')
}

/// Octal digits with spaces before and a NUL or space behind; an empty field is zero.
fn octal(field: &[u8]) -> Result<u64, Fault> {
    let start = field.iter().position(|&b| b != b' ').unwrap_or(field.len());
    let rest = &field[start..];
    let end = rest.iter().position(|&b| b == b' ' || b == 0).unwrap_or(rest.len());
    if rest[end..].iter().any(|&b| b != b' ' && b != 0) {
        return Err(Rule::HeaderNumber.into());
    }
    if rest.first() == Some(&b'-') {
        return Err(Rule::NegativeSize.into());
    }
    rest[..end].iter().try_fold(0u64, |value, &b| match b {
        b'0'..=b'7' => value
            .checked_mul(8)
            .and_then(|value| value.checked_add(u64::from(b - b'0')))
            .ok_or_else(|| Rule::HeaderNumber.into()),
        _ => Err(Rule::HeaderNumber.into()),
    })
}

/// An octal or base-256 number.
pub(super) fn number(field: &[u8]) -> Result<i64, Fault> {
    match field[0] {
        0x80 | 0xff => {
            let negative = field[0] == 0xff;
            // All bytes above the low eight are the sign, and so is the top bit of the eight.
            let (high, low) = field.split_at(field.len().saturating_sub(8));
            let sign = if negative { 0xff } else { 0 };
            if high.iter().skip(1).any(|&b| b != sign) {
                return Err(Rule::HeaderNumber.into());
            }
            let mut bytes = [sign; 8];
            bytes[8 - low.len()..].copy_from_slice(low);
            if high.is_empty() {
                bytes[8 - low.len()] = sign;
            }
            let value = i64::from_be_bytes(bytes);
            if (value < 0) == negative { Ok(value) } else { Err(Rule::HeaderNumber.into()) }
        }
        _ => i64::try_from(octal(field)?).map_err(|_| Rule::HeaderNumber.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(field: &[u8]) -> Result<i64, Rule> {
        number(field).map_err(|fault| match fault {
            Fault::Rule(rule) => rule,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn numbers() {
        assert_eq!(value(b"00000000017\0"), Ok(15));
        assert_eq!(value(b"     17 \0   "), Ok(15));
        assert_eq!(value(b"777777777777"), Ok(0o7777_7777_7777));
        assert_eq!(value(&[0; 12]), Ok(0));
        assert_eq!(value(b"00000000018\0"), Err(Rule::HeaderNumber));
        assert_eq!(value(b"17x\0\0\0\0\0\0\0\0\0"), Err(Rule::HeaderNumber));
        assert_eq!(value(b"-0000000001\0"), Err(Rule::NegativeSize));
        assert_eq!(value(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Ok(1 << 33));
        assert_eq!(value(&[0xff; 12]), Ok(-1));
        assert_eq!(value(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Rule::HeaderNumber));
        assert_eq!(value(&[0x80, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0]), Err(Rule::HeaderNumber));
        assert_eq!(value(&[0x80, 0, 0, 0, 0, 0, 1, 0xff]), Ok(0x1ff));
    }
}
