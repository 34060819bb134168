//! The files of a source of advisories: folders, archives and single files.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crashwise_core::Document;
use serde::Deserialize;

use super::error::DatabaseError;
use super::record::Record;
use super::rustsec;

/// A record is not larger than this.
const MAX_RECORD: u64 = 16 << 20;
/// A source does not hold more files than this.
const MAX_FILES: usize = 4_000_000;
const MAX_DEPTH: usize = 16;

/// A file that may hold a record.
pub(super) struct SourceFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// Receives each file, or the name of one that cannot be read and why.
pub(super) type Visitor<'a> = dyn FnMut(Result<SourceFile, (String, String)>) + 'a;

/// Passes every file of a source to `visitor`, in a fixed order.
pub(super) fn visit(path: &Path, visitor: &mut Visitor<'_>) -> Result<(), DatabaseError> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if metadata.is_dir() {
        return visit_folder(path, visitor);
    }
    match extension(path).as_str() {
        "zip" => visit_zip(path, &name_of(path), visitor),
        "json" | "yaml" | "yml" | "md" => {
            visitor(read_file(path, &name_of(path)));
            Ok(())
        }
        _ => Err(DatabaseError::UnknownSource { path: path.to_owned() }),
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> DatabaseError {
    DatabaseError::Io { doing: "read", path: path.to_owned(), source }
}

fn visit_folder(root: &Path, visitor: &mut Visitor<'_>) -> Result<(), DatabaseError> {
    let mut open = vec![(root.to_owned(), 0)];
    let mut files = 0;
    while let Some((folder, depth)) = open.pop() {
        let entries = fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        let mut entries: Vec<PathBuf> = entries.map_err(|error| unreadable(&folder, error))?;
        entries.sort();
        for path in entries {
            let metadata = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, error))?;
            let kind = metadata.file_type();
            if kind.is_dir() {
                let hidden = name_of(&path).starts_with('.');
                if !hidden && depth < MAX_DEPTH {
                    open.push((path, depth + 1));
                }
                continue;
            }
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            match extension(&path).as_str() {
                _ if !kind.is_file() => continue,
                "json" | "yaml" | "yml" => {}
                // Markdown that is no advisory lies beside advisories.
                "md" if name_of(&path).contains('-')
                    && name_of(&path).contains(|c: char| c.is_ascii_digit()) => {}
                "zip" => {
                    visit_zip(&path, &relative, visitor)?;
                    continue;
                }
                _ => continue,
            }
            files += 1;
            if files > MAX_FILES {
                return Err(unreadable(root, std::io::Error::other("there are too many files")));
            }
            visitor(read_file(&path, &relative));
        }
    }
    Ok(())
}

/// An archive holds all advisories of an ecosystem: without it a database would be silent about them.
fn visit_zip(path: &Path, name: &str, visitor: &mut Visitor<'_>) -> Result<(), DatabaseError> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let opened = zip::ZipArchive::new(file).map_err(std::io::Error::other);
    let mut archive = opened.map_err(|error| unreadable(path, error))?;
    for index in 0..archive.len().min(MAX_FILES) {
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(error) => {
                visitor(Err((format!("{name}: entry {index}"), error.to_string())));
                continue;
            }
        };
        let entry_name = match entry.name() {
            Ok(name) => name.into_owned(),
            Err(error) => {
                visitor(Err((format!("{name}: entry {index}"), error.to_string())));
                continue;
            }
        };
        if !entry.is_file() || !matches!(extension(Path::new(&entry_name)).as_str(), "json" | "yaml" | "yml")
        {
            continue;
        }
        visitor(read_text(&mut entry, entry_name));
    }
    Ok(())
}

fn read_file(path: &Path, name: &str) -> Result<SourceFile, (String, String)> {
    match File::open(path) {
        Ok(file) => read_text(file, name.to_owned()),
        Err(error) => Err((name.to_owned(), error.to_string())),
    }
}

fn read_text(reader: impl Read, name: String) -> Result<SourceFile, (String, String)> {
    let mut text = String::new();
    match reader.take(MAX_RECORD + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > MAX_RECORD => {
            Err((name, format!("it is larger than {MAX_RECORD} bytes")))
        }
        Ok(_) => Ok(SourceFile { name, text }),
        Err(error) => Err((name, error.to_string())),
    }
}

/// The records of a file; JSON may hold one or a list of them.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Record>, String> {
    match extension(Path::new(name)).as_str() {
        "md" => rustsec::parse(text).map(|record| vec![record]),
        "json" if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).map_err(|error| error.to_string())
        }
        "json" => serde_json::from_str(text).map(|record| vec![record]).map_err(|error| error.to_string()),
        _ => {
            let document = Document::parse(name, text).map_err(|problems| problems.to_string())?;
            Record::deserialize(document.value())
                .map(|record| vec![record])
                .map_err(|error| error.to_string())
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}
