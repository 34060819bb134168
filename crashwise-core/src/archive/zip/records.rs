//! Records of a ZIP file, parsed from bytes.

use super::super::error::{Fault, Rule};

pub(super) const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
pub(super) const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const END64_LOCATOR: u32 = 0x0706_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;

/// Bytes of the fixed parts.
pub(super) const LOCAL_FIXED: usize = 30;
pub(super) const END_FIXED: usize = 22;
pub(super) const END64_FIXED: usize = 56;
pub(super) const LOCATOR_FIXED: usize = 20;

const FLAG_ENCRYPTED: u16 = 1;
pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_PATCH: u16 = 1 << 5;
const FLAG_STRONG_ENCRYPTION: u16 = 1 << 6;
pub(super) const FLAG_UTF8: u16 = 1 << 11;
const FLAG_MASKED: u16 = 1 << 13;

/// Little-endian fields one after the other.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Rule::ZipDirectory)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Rule::ZipDirectory)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

/// Where the central directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) entries: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The end record; fields at their maximum stand for ZIP64 ones.
pub(super) fn end(bytes: &[u8]) -> Result<Directory, Fault> {
    let mut fields = Fields::new(bytes);
    fields.u32()?;
    let (disk, directory_disk) = (fields.u16()?, fields.u16()?);
    let (entries_here, entries) = (fields.u16()?, fields.u16()?);
    let (size, offset) = (fields.u32()?, fields.u32()?);
    if (disk, directory_disk) != (0, 0) || entries_here != entries {
        return Err(Rule::ZipDirectory.into());
    }
    Ok(Directory { entries: entries.into(), offset: offset.into(), size: size.into() })
}

impl Directory {
    /// Whether a field needs ZIP64.
    pub(super) fn needs_zip64(&self) -> bool {
        self.entries == u64::from(u16::MAX)
            || self.offset == u64::from(u32::MAX)
            || self.size == u64::from(u32::MAX)
    }

    /// Takes the ZIP64 values; what the small record could say must agree.
    pub(super) fn merge(self, large: Directory) -> Result<Directory, Fault> {
        let agree = |small: u64, most: u64, large: u64| small == most || small == large;
        if agree(self.entries, u16::MAX.into(), large.entries)
            && agree(self.offset, u32::MAX.into(), large.offset)
            && agree(self.size, u32::MAX.into(), large.size)
        {
            Ok(large)
        } else {
            Err(Rule::ZipDirectory.into())
        }
    }
}

/// The ZIP64 locator: the offset of the ZIP64 end record. `None` if this is no locator.
pub(super) fn locator(bytes: &[u8]) -> Result<Option<u64>, Fault> {
    let mut fields = Fields::new(bytes);
    if fields.u32()? != END64_LOCATOR {
        return Ok(None);
    }
    let disk = fields.u32()?;
    let offset = fields.u64()?;
    if disk != 0 || fields.u32()? != 1 {
        return Err(Rule::ZipDirectory.into());
    }
    Ok(Some(offset))
}

/// The ZIP64 end record; gives its own whole size, too.
pub(super) fn end64(bytes: &[u8]) -> Result<(Directory, u64), Fault> {
    let mut fields = Fields::new(bytes);
    if fields.u32()? != END64 {
        return Err(Rule::ZipDirectory.into());
    }
    let own = fields.u64()?;
    fields.bytes(4)?;
    let disks = (fields.u32()?, fields.u32()?);
    let (entries_here, entries) = (fields.u64()?, fields.u64()?);
    let (size, offset) = (fields.u64()?, fields.u64()?);
    if disks != (0, 0) || entries_here != entries || own < 44 {
        return Err(Rule::ZipDirectory.into());
    }
    Ok((Directory { entries, offset, size }, own.saturating_add(12)))
}

/// What the central directory says about one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Central<'a> {
    pub(super) name: &'a [u8],
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) time: u16,
    pub(super) date: u16,
    pub(super) crc: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
    /// Unix mode, when the entry was made there.
    pub(super) mode: Option<u32>,
    pub(super) is_dos_directory: bool,
}

/// Reads one central header.
pub(super) fn central<'a>(fields: &mut Fields<'a>) -> Result<Central<'a>, Fault> {
    if fields.u32()? != CENTRAL {
        return Err(Rule::ZipDirectory.into());
    }
    let made_by = fields.u16()?;
    fields.u16()?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    let (time, date) = (fields.u16()?, fields.u16()?);
    let crc = fields.u32()?;
    let (packed, size) = (fields.u32()?, fields.u32()?);
    let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let disk = fields.u16()?;
    fields.u16()?;
    let attributes = fields.u32()?;
    let offset = fields.u32()?;
    let name = fields.bytes(name.into())?;
    let extra = Extra::parse(fields.bytes(extra.into())?, name)?;
    fields.bytes(comment.into())?;
    let mut large = extra.zip64.map(Fields::new);
    let mut widen = |small: u32| match &mut large {
        Some(fields) if small == u32::MAX => fields.u64(),
        _ => Ok(small.into()),
    };
    // The order of the ZIP64 field is fixed: size, packed size, offset.
    let size = widen(size)?;
    let packed = widen(packed)?;
    let offset = widen(offset)?;
    extra.check_unused(large, &[size, packed, offset]).map_err(|_| Rule::ZipDirectory)?;
    if disk != 0 && disk != u16::MAX {
        return Err(Rule::ZipDirectory.into());
    }
    let unix = matches!(made_by >> 8, 3 | 19);
    let mode = (unix && attributes >> 16 != 0).then_some(attributes >> 16);
    let is_dos_directory = attributes & 0x10 != 0;
    Ok(Central { name, flags, method, time, date, crc, packed, size, offset, mode, is_dos_directory })
}

impl Central<'_> {
    /// Refuses what cannot be read.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED) != 0 || self.method == 99 {
            return Err(Rule::ZipEncrypted.into());
        }
        if self.flags & FLAG_PATCH != 0 || !matches!(self.method, 0 | 8 | 93) {
            return Err(Rule::ZipMethod.into());
        }
        if self.method == 0 && self.packed != self.size {
            return Err(Rule::ContentSize.into());
        }
        Ok(())
    }

    /// Compares the local header, whose fixed part is `fixed` and whose name and extra fields follow in `rest`.
    /// Gives the width of the sizes in a data descriptor.
    pub(super) fn check_local(&self, fixed: &[u8], rest: &[u8]) -> Result<Width, Fault> {
        let bad = || Fault::from(Rule::ZipLocalHeader);
        let mut fields = Fields::new(fixed);
        fields.bytes(6)?;
        let (flags, method) = (fields.u16()?, fields.u16()?);
        fields.u32()?;
        let crc = fields.u32()?;
        let (packed, size) = (fields.u32()?, fields.u32()?);
        let name = usize::from(fields.u16()?);
        let (local_name, extra) = rest.split_at_checked(name).ok_or_else(bad)?;
        let extra = Extra::parse(extra, local_name)?;
        // Bits 1 and 2 are the compressor's level and may differ.
        if (flags ^ self.flags) & !0b110 != 0 || method != self.method || local_name != self.name {
            return Err(bad());
        }
        let mut large = extra.zip64.map(Fields::new);
        let mut widen = |small: u32| match &mut large {
            Some(fields) if small == u32::MAX => fields.u64(),
            _ => Ok(small.into()),
        };
        let size = widen(size)?;
        let packed = widen(packed)?;
        extra.check_unused(large, &[size, packed])?;
        let exact = (crc, size, packed) == (self.crc, self.size, self.packed);
        // With a descriptor the writer did not know them yet and left zeros.
        let unknown = flags & FLAG_DESCRIPTOR != 0
            && (crc == 0 || crc == self.crc)
            && (size == 0 || size == self.size)
            && (packed == 0 || packed == self.packed);
        if !exact && !unknown {
            return Err(bad());
        }
        Ok(if extra.zip64.is_some() { Width::Eight } else { Width::Four })
    }

    /// Compares the data descriptor at the start of `bytes` and gives its length.
    ///
    /// Its signature is optional and its sizes are wide with ZIP64 (some writers widen them without saying so), so the
    /// forms are tried against what is known; `next` says whether another record may begin behind it.
    pub(super) fn check_descriptor(
        &self,
        bytes: &[u8],
        width: Width,
        next: impl Fn(usize) -> bool,
    ) -> Result<usize, Fault> {
        let widths = match width {
            Width::Eight => [Width::Eight, Width::Four],
            Width::Four => [Width::Four, Width::Eight],
        };
        for width in widths {
            for signed in [true, false] {
                let mut form = Vec::with_capacity(24);
                if signed {
                    form.extend(DESCRIPTOR.to_le_bytes());
                }
                form.extend(self.crc.to_le_bytes());
                for size in [self.packed, self.size] {
                    match (width, u32::try_from(size)) {
                        (Width::Four, Ok(size)) => form.extend(size.to_le_bytes()),
                        (Width::Four, Err(_)) => form.clear(),
                        (Width::Eight, _) => form.extend(size.to_le_bytes()),
                    }
                }
                if form.len() >= 12 && bytes.starts_with(&form) && next(form.len()) {
                    return Ok(form.len());
                }
            }
        }
        Err(Rule::ZipLocalHeader.into())
    }

    /// Seconds since 1970 of the DOS time, taken as UTC.
    pub(super) fn mtime(&self) -> Option<i64> {
        let (year, month, day) =
            (i64::from(self.date >> 9) + 1980, i64::from(self.date >> 5 & 15), i64::from(self.date & 31));
        if !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        // Days from civil, with March as the first month.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
        let (hour, minute, second) = (self.time >> 11, self.time >> 5 & 63, (self.time & 31) * 2);
        Some(days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
    }
}

/// Width of the sizes in a data descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Four,
    Eight,
}

/// Extra fields that matter.
struct Extra<'a> {
    zip64: Option<&'a [u8]>,
}

impl<'a> Extra<'a> {
    fn parse(bytes: &'a [u8], name: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::new(bytes);
        let mut zip64 = None;
        while !fields.is_empty() {
            // Some aligners pad with fewer bytes than a field's head.
            if fields.0.len() < 4 && fields.0.iter().all(|&b| b == 0) {
                break;
            }
            let id = fields.u16()?;
            let length = fields.u16()?;
            let body = fields.bytes(length.into())?;
            match id {
                1 if zip64.replace(body).is_some() => return Err(Rule::ZipDirectory.into()),
                // A second name in Unicode: readers differ in which they use.
                0x7075 if body.get(5..) != Some(name) => return Err(Rule::ZipLocalHeader.into()),
                _ => {}
            }
        }
        Ok(Self { zip64 })
    }

    /// A ZIP64 field may repeat what needs no widening, but not say something else: readers differ in whom they believe.
    fn check_unused(&self, rest: Option<Fields<'_>>, values: &[u64]) -> Result<(), Fault> {
        let Some(body) = self.zip64.filter(|_| rest.is_some_and(|rest| rest.len() >= 8)) else {
            return Ok(());
        };
        let said = body.chunks_exact(8).map(|bytes| Fields::new(bytes).u64());
        for (said, value) in said.zip(values) {
            if said? != *value {
                return Err(Rule::ZipLocalHeader.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times() {
        let at = |date: u16, time: u16| {
            let central = Central {
                name: b"",
                flags: 0,
                method: 0,
                time,
                date,
                crc: 0,
                packed: 0,
                size: 0,
                offset: 0,
                mode: None,
                is_dos_directory: false,
            };
            central.mtime()
        };
        assert_eq!(at(0x0021, 0), Some(315_532_800));
        assert_eq!(at(0x585d, 0x63cf), Some(1_709_209_830));
        assert_eq!(at(0, 0), None);
    }
}
