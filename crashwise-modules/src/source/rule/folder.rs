//! The rules of the user.

use super::compiled::CompiledRule;
use super::schema::Rule;
use crashwise_core::{Document, Problem, Problems};
use std::path::Path;

/// The most rule files that a folder may hold.
const MAX_FILES: usize = 10_000;

/// Reads every `.yaml` and `.yml` file of a folder, not below it, in the order of names. The problems of all files come
/// together, each with file, line and key.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Rule>, Problems> {
    let name = folder.display().to_string();
    let unreadable = |error: &std::io::Error| Problems::one(&name, Problem::new("", error.to_string()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(&error))? {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(Problems::one(
                &name,
                Problem::new("", format!("holds more than {MAX_FILES} rule files")),
            ));
        }
    }
    files.sort();
    let mut rules: Vec<Rule> = Vec::new();
    let mut problems = Vec::new();
    for path in files {
        match read_file(&path) {
            Ok(rule) if rules.iter().any(|other| other.id == rule.id) => {
                let text = format!("{}: id: another file has a rule {} already", path.display(), rule.id);
                problems.push(text);
            }
            Ok(rule) => rules.push(rule),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if problems.is_empty() {
        Ok(rules)
    } else {
        Err(Problems::new(name, problems.into_iter().map(|text| Problem::new("", text)).collect()))
    }
}

fn read_file(path: &Path) -> Result<Rule, Problems> {
    let name = path.display().to_string();
    let problem = |text: String| Problems::one(&name, Problem::new("", text));
    let metadata = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > Document::MAX_BYTES as u64 {
        return Err(problem("is not a regular file of a sensible size".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    parse(&name, &text)
}

/// Parses and checks one rule.
pub(super) fn parse(name: &str, text: &str) -> Result<Rule, Problems> {
    let document = Document::parse(name, text)?;
    let rule: Rule = document.decode()?;
    match CompiledRule::new(rule.clone()) {
        Ok(_) => Ok(rule),
        Err(found) => Err(document.problems(found)),
    }
}
