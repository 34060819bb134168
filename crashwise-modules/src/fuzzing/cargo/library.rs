//! libFuzzer itself, a library of C++ that takes longer to compile than most targets: all builds of a run link that of the one without
//! a sanitizer. A sanitizer in libFuzzer itself, which it gets where it is compiled beside a target that has one, finds nothing and
//! makes it slow.

use std::fs;
use std::path::{Path, PathBuf};

use crashwise_core::read_regular;

/// The variable by which `libfuzzer-sys` links a library that is there, in place of compiling it.
pub(super) const VARIABLE: &str = "CUSTOM_LIBFUZZER_PATH";
/// Bytes that it may have.
const MOST: u64 = 64 << 20;

/// Copies the library that the build in `from` compiled to `to`; `None` if there is none, or of several versions.
pub(super) fn lend(from: &Path, to: &Path) -> Option<PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = entries(from.to_owned())
        .flat_map(|host| entries(host.path().join("release/build")))
        .filter(|unit| unit.file_name().to_string_lossy().starts_with("libfuzzer-sys-"))
        .filter_map(|unit| read_regular(&unit.path().join("out/libfuzzer.a"), MOST).ok());
    let (library, None) = (found.next()?, found.next()) else { return None };
    let place = to.join("libfuzzer.a");
    fs::create_dir_all(to).and_then(|()| fs::write(&place, library)).ok()?;
    Some(place)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::lend;

    #[test]
    fn one_library_is_lent_and_no_link() {
        let place = tempfile::tempdir().expect("a folder");
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        assert_eq!(lend(&from, &to), None);
        let out = |unit: &str| from.join("x86_64-unknown-linux-gnu/release/build").join(unit).join("out");
        for unit in ["libfuzzer-sys-01", "libfuzzer-sys-02", "other-03", "libfuzzer-sys-04"] {
            fs::create_dir_all(out(unit)).expect("a folder");
        }
        fs::write(out("other-03").join("libfuzzer.a"), b"other").expect("written");
        std::os::unix::fs::symlink(
            out("other-03").join("libfuzzer.a"),
            out("libfuzzer-sys-04").join("libfuzzer.a"),
        )
        .expect("a link");
        assert_eq!(lend(&from, &to), None);
        fs::write(out("libfuzzer-sys-01").join("libfuzzer.a"), b"one").expect("written");
        let lent = lend(&from, &to).expect("one");
        assert_eq!(
            (lent.clone(), fs::read(lent).expect("a file")),
            (to.join("libfuzzer.a"), b"one".to_vec())
        );
        fs::write(out("libfuzzer-sys-02").join("libfuzzer.a"), b"two").expect("written");
        assert_eq!(lend(&from, &to), None, "which version?");
    }
}
