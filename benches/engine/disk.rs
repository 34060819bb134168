//! How fast the disk itself is.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// Writes of one page that reach the disk: the most commits that a program which waits for each can do.
pub struct Probe {
    file: NamedTempFile,
    count: f64,
    took: Duration,
}

impl Probe {
    pub fn new(folder: &Path) -> Self {
        let file = NamedTempFile::new_in(folder).expect("a file in the folder of the journals");
        Self { file, count: 0.0, took: Duration::ZERO }
    }

    /// Writes for a little while; gives how often in a second.
    pub fn turn(&mut self) -> f64 {
        let page = [7_u8; 4096];
        let before = self.count;
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(150) {
            self.file.write_all(&page).expect("room on the disk");
            self.file.as_file().sync_data().expect("a disk that syncs");
            self.count += 1.0;
        }
        let took = began.elapsed();
        self.took += took;
        (self.count - before) / took.as_secs_f64()
    }

    pub fn per_second(&self) -> f64 {
        self.count / self.took.as_secs_f64()
    }
}
