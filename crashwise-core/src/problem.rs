//! What is wrong with a document or with parameters: all of it at once, each with its place.

use crate::Position;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Line and column in the source, when it came from a text.
    pub position: Option<Position>,
    /// The key, as a path of names: `requirements.resources.memory`, `steps[2].needs`. Empty for the whole.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Problem {
    /// A problem at a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { position: None, key: key.into(), message: message.into() }
    }

    /// A problem at a JSON pointer, with the pointer, as [`crate::Document::problems`] takes it.
    ///
    /// ```
    /// use crashwise_core::Problem;
    /// let (pointer, problem) = Problem::at("/steps/2/needs", "expected a list");
    /// assert_eq!((pointer.as_str(), problem.key.as_str()), ("/steps/2/needs", "steps[2].needs"));
    /// ```
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> (String, Self) {
        let pointer = pointer.into();
        let problem = Self::new(crate::document::key_of(&pointer), message);
        (pointer, problem)
    }

    /// Says where it stands in the source.
    #[must_use]
    pub fn with_position(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }
}

/// Everything that is wrong with one source. Displays one line per problem: `file:line:column: key: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file, or a word such as `parameters`.
    pub source_name: String,
    /// The problems, in the order of their places.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// The problems of a source; they are put in the order of their places.
    pub fn new(source_name: impl Into<String>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.position, &a.key, &a.message).cmp(&(b.position, &b.key, &b.message)));
        problems.dedup();
        Self { source_name: source_name.into(), problems }
    }

    /// A single problem.
    pub fn one(source_name: impl Into<String>, problem: Problem) -> Self {
        Self::new(source_name, vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.source_name)?;
            if let Some(position) = problem.position {
                write!(f, ":{position}")?;
            }
            if !problem.key.is_empty() {
                write!(f, ": {}", problem.key)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The candidate that somebody who wrote `word` most likely meant, if any is near.
///
/// ```
/// use crashwise_core::nearest;
/// assert_eq!(nearest("security_asessment", ["secret_detection", "security_assessment"]), Some("security_assessment"));
/// assert_eq!(nearest("zzz", ["security_assessment"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed_edits = 1.max(word.chars().count() / 4);
    candidates
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase();
            let near = strsim::damerau_levenshtein(&word, &other) <= allowed_edits;
            let likeness = strsim::jaro_winkler(&word, &other);
            (if near { likeness.max(0.8) } else { likeness }, candidate)
        })
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean "x"?)`, or nothing when no candidate is near.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default()
}
