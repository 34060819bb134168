//! Maps of sparse files: the old GNU header and the three PAX versions.

use super::super::error::{Bound, Fault, Rule};
use super::header::{BLOCK, number};
use super::pax::{SparseKeys, decimal};

/// The pieces of a sparse file that hold data, ascending and apart, inside `size`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map {
    /// Size of the file with its holes.
    pub(super) size: u64,
    /// Offset and length of each piece.
    pub(super) pieces: Vec<(u64, u64)>,
}

/// Gathers pieces and checks each as it comes.
#[derive(Debug)]
pub(super) struct Builder {
    pieces: Vec<(u64, u64)>,
    end: u64,
    data: u64,
    most: usize,
}

impl Builder {
    pub(super) fn new(most: usize) -> Self {
        Self { pieces: Vec::new(), end: 0, data: 0, most }
    }

    pub(super) fn add(&mut self, offset: u64, length: u64) -> Result<(), Fault> {
        if self.pieces.len() >= self.most {
            return Err(Fault::Limit(Bound::SparsePieces, self.most as u64));
        }
        let end = offset.checked_add(length).ok_or(Rule::SparseMap)?;
        if offset < self.end {
            return Err(Rule::SparseMap.into());
        }
        self.end = end;
        self.data += length;
        self.pieces.push((offset, length));
        Ok(())
    }

    /// Ends the map: the pieces must lie inside `size` and together be `data` bytes.
    pub(super) fn finish(self, size: u64, data: u64) -> Result<Map, Fault> {
        if self.end > size || self.data != data {
            return Err(Rule::SparseMap.into());
        }
        Ok(Map { size, pieces: self.pieces })
    }

    /// Pieces in an old GNU header or one of its continuation blocks. `false` when the list has ended.
    pub(super) fn add_fields(&mut self, fields: &[u8]) -> Result<bool, Fault> {
        for field in fields.chunks_exact(24) {
            if field[0] == 0 && field[12] == 0 {
                return Ok(false);
            }
            let value = |raw| u64::try_from(number(raw)?).map_err(|_| Fault::from(Rule::SparseMap));
            self.add(value(&field[..12])?, value(&field[12..])?)?;
        }
        Ok(true)
    }
}

/// The map of versions 0.0 and 0.1, which is wholly in the extended header.
pub(super) fn from_keys(keys: &SparseKeys, data: u64, most: usize) -> Result<Map, Fault> {
    let size = keys.size.ok_or(Rule::SparseMap)?;
    if !keys.map.len().is_multiple_of(2)
        || keys.pieces.is_some_and(|pieces| pieces != (keys.map.len() / 2) as u64)
    {
        return Err(Rule::SparseMap.into());
    }
    let mut builder = Builder::new(most);
    for pair in keys.map.chunks_exact(2) {
        builder.add(pair[0], pair[1])?;
    }
    builder.finish(size, data)
}

/// Reads the map of version 1.0, decimal lines at the start of the content in whole blocks. Also gives the bytes taken.
pub(super) fn from_content(
    keys: &SparseKeys,
    data: u64,
    most: usize,
    mut block: impl FnMut() -> Result<[u8; BLOCK], Fault>,
) -> Result<(Map, u64), Fault> {
    let size = keys.size.ok_or(Rule::SparseMap)?;
    let mut taken = 0;
    let mut current = [0; BLOCK];
    let mut at = BLOCK;
    let mut line = || -> Result<u64, Fault> {
        let mut digits = Vec::with_capacity(20);
        loop {
            if at == BLOCK {
                taken += BLOCK as u64;
                if taken > data {
                    return Err(Rule::SparseMap.into());
                }
                current = block()?;
                at = 0;
            }
            let byte = current[at];
            at += 1;
            match byte {
                b'\n' => return decimal(&digits).map_err(|_| Rule::SparseMap.into()),
                _ if digits.len() < 20 => digits.push(byte),
                _ => return Err(Rule::SparseMap.into()),
            }
        }
    };
    let count = line()?;
    if count > most as u64 {
        return Err(Fault::Limit(Bound::SparsePieces, most as u64));
    }
    let mut builder = Builder::new(most);
    for _ in 0..count {
        let offset = line()?;
        builder.add(offset, line()?)?;
    }
    Ok((builder.finish(size, data - taken)?, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_ascend_and_fit() {
        let build = |pieces: &[(u64, u64)], size, data| {
            let mut builder = Builder::new(3);
            pieces.iter().try_for_each(|&(o, l)| builder.add(o, l)).and_then(|()| builder.finish(size, data))
        };
        assert!(build(&[(0, 5), (10, 5), (20, 0)], 20, 10).is_ok());
        assert!(build(&[(10, 5), (0, 5)], 20, 10).is_err());
        assert!(build(&[(0, 5), (4, 5)], 20, 10).is_err());
        assert!(build(&[(0, 5)], 4, 5).is_err());
        assert!(build(&[(0, 5)], 20, 6).is_err());
        assert!(build(&[(u64::MAX, 5)], 20, 5).is_err());
        assert!(build(&[(0, 1), (1, 1), (2, 1), (3, 1)], 20, 4).is_err());
    }
}
