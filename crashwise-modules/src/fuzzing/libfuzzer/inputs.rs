//! Inputs that change their folder during a campaign.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crashwise_core::read_regular;

use super::campaign::Campaign;
use super::heat::Heat;
use super::turns::{FRESH, Turn};

impl Campaign {
    /// Leaves out inputs that known crashes are made of, or puts them back. Not in a folder of somebody else, from which they
    /// would be gone if this process were killed.
    pub(super) fn arrange(&self, heat: &mut Heat, without: bool) {
        if !self.replay && self.corpus.parent() == self.work.parent() {
            // What cannot be moved is fuzzed like the rest.
            let _ = heat.arrange(&self.corpus, &self.work.join("left-out"), without);
        }
    }

    /// Puts what a process found by itself into the corpus, but what was taken out of it.
    pub(super) fn gather(&self, work: &Path) {
        let only = self.native_only();
        for entry in fs::read_dir(work.join(FRESH)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let into = if only.join(&name).exists() { &only } else { &self.corpus };
            let _ = fs::rename(entry.path(), into.join(name));
        }
    }

    /// Inputs that the build without a sanitizer survives and the target does not.
    pub(super) fn native_only(&self) -> PathBuf {
        self.work.join("native-only")
    }

    /// Takes an input out of the corpus that crashes when it is read: the process would never get further. Whether there was
    /// such an input. The build without a sanitizer keeps what it survives, else it would find the way there again.
    pub(super) fn forget(&self, input: &[u8], turn: &Turn) -> bool {
        let only = self.native_only();
        let keep = self.native.is_some() && !turn.native && fs::create_dir_all(&only).is_ok();
        let mut found = false;
        for folder in [&self.corpus, &only].into_iter().take(if turn.native { 2 } else { 1 }) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let same =
                    entry.metadata().is_ok_and(|data| data.is_file() && data.len() == input.len() as u64)
                        && read(&entry.path()).is_ok_and(|bytes| bytes == input);
                if same {
                    let kept = keep && fs::rename(entry.path(), only.join(entry.file_name())).is_ok();
                    found |= kept || fs::remove_file(entry.path()).is_ok();
                }
            }
        }
        found
    }
}

/// An input of the corpus, or an artifact.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // The target may have written anything there.
    read_regular(path, 64 << 20)
}
