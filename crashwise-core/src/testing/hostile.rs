//! A tree that tries to break whoever walks it.

use std::fs;
use std::io;
use std::path::Path;

/// Fills an empty folder with what breaks careless tools: links that loop or leave, a FIFO, broken UTF-8 in names and
/// contents, a very long line, a deep path, an empty file, binaries, and files that only claim to be archives.
///
/// `outside` is a folder beside the tree; a link in the tree leads to the file `canary` that is made there.
pub fn hostile_tree(tree: &Path, outside: &Path) -> io::Result<()> {
    fs::write(outside.join("canary"), "api_key = \"CANARY-0123456789abcdef0123456789\"\n")?;
    fs::write(tree.join("empty"), "")?;
    fs::write(tree.join("broken.py"), b"x = '\xff\xfe\xc3('\nprint(\xed\xa0\x80)\n")?;
    fs::write(tree.join("nul.js"), b"var a = 1;\0\0\0eval(b)\n")?;
    fs::write(tree.join("long.js"), "a".repeat(1 << 20))?;
    fs::write(tree.join("unclosed.rs"), "fn main() { r##\"never closed /* /* \u{202e} \n")?;
    fs::write(tree.join("bom.py"), b"\xef\xbb\xbfprint(1)\r\n")?;
    fs::write(tree.join("utf16.cs"), b"\xff\xfec\0l\0a\0s\0s\0")?;
    for name in ["fake.zip", "fake.tar.gz", "Cargo.lock", "package-lock.json", "pom.xml", "yarn.lock"] {
        fs::write(tree.join(name), b"PK\x03\x04<<<<<<< HEAD\n{\"a\": [[[[[[\x00\xff")?;
    }
    fs::write(tree.join("braces.json"), "[".repeat(200_000))?;
    fs::write(tree.join("name with\nnewline.py"), "print(1)\n")?;
    fs::write(tree.join("-rf"), "x\n")?;
    let mut deep = tree.to_path_buf();
    for _ in 0..120 {
        deep.push("dir");
    }
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("deep.py"), "import os\nos.system(x)\n")?;
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        symlink(".", tree.join("loop"))?;
        symlink("missing", tree.join("dangling.py"))?;
        symlink(outside.join("canary"), tree.join("escape.py"))?;
        symlink(outside, tree.join("escape_dir"))?;
        fs::write(tree.join(std::ffi::OsStr::from_bytes(b"na\xffme.py")), "print(2)\n")?;
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, tree.join("fifo.py"), rustix::fs::FileType::Fifo, mode, 0)?;
    }
    Ok(())
}
