//! A text on standard input as a target.

use super::exit::Failure;
use crashwise_core::TemporaryFolder;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most bytes that are read.
const MAX_BYTES: u64 = 8 << 30;
/// The name of the folder and of the file in it, as reports show them.
const NAME: &str = "stdin";

/// A folder with what was on standard input, readable by its owner only; it goes away with this value.
#[derive(Debug)]
pub(super) struct StandardInput {
    folder: PathBuf,
    _kept: TemporaryFolder,
}

impl StandardInput {
    /// Reads standard input to its end.
    pub(super) fn keep() -> Result<Self, Failure> {
        Self::read(io::stdin().lock(), MAX_BYTES)
            .map_err(|error| Failure::failed(format!("standard input could not be read: {error}")))
    }

    fn read(input: impl Read, limit: u64) -> io::Result<Self> {
        let kept = TemporaryFolder::new("stdin")?;
        let folder = kept.path().join(NAME);
        std::fs::create_dir(&folder)?;
        let read = io::copy(&mut input.take(limit + 1), &mut File::create(folder.join(NAME))?)?;
        if read > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {limit} bytes"),
            ));
        }
        Ok(Self { folder, _kept: kept })
    }

    /// The folder to look at.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_kept_for_as_long_as_it_is_needed() {
        let input = StandardInput::read(&b"text"[..], 4).unwrap();
        let folder = input.folder().to_owned();
        assert_eq!(std::fs::read(folder.join("stdin")).unwrap(), b"text");
        drop(input);
        assert!(!folder.exists());
        assert!(StandardInput::read(&b"texts"[..], 4).is_err());
    }
}
