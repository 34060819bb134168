//! Findings that somebody has looked at: marks beside them, ignore files, and allowlists.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use regex_automata::meta::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::compile;
use super::scanner::SecretMatch;
use crate::walk::{FilePatterns, InvalidPattern};

/// Marks in a comment on the line of a secret.
const MARKS: [&str; 9] = [
    "crashwise:allow",
    "gitleaks:allow",
    "betterleaks:allow",
    "kingfisher:ignore",
    "kingfisher:allow",
    "trufflehog:ignore",
    "noseyparker:ignore",
    "pragma: allowlist secret",
    "pragma:allowlist secret",
];
/// The most lines read of an ignore file.
const MAX_LINES: usize = 100_000;

/// Secrets that are known and accepted. All conditions that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Allowlist {
    /// Why they are accepted. Stands in the report.
    pub reason: String,
    /// Last day on which it holds, as `2027-01-31`; none means for ever.
    pub expires: Option<String>,
    /// Patterns of files (syntax of `.gitignore`); none means every file.
    pub paths: Vec<String>,
    /// Ids of rules, with or without `secret/`; none means every rule.
    pub rules: Vec<String>,
    /// Regexes over the secret, of which one must match; none means every secret.
    pub regexes: Vec<String>,
    /// Words of which the secret must hold one, in any case; none means every secret.
    pub stopwords: Vec<String>,
}

/// Why an allowlist cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAllowlist {
    /// It has no condition: everything would be allowed.
    #[error("allowlist {index} has no condition, expected paths, rules, regexes or stopwords")]
    Empty {
        /// Its position, from 1.
        index: usize,
    },
    /// Its day of expiry is not one.
    #[error("allowlist {index} expires on {day:?}, expected a day as 2027-01-31")]
    Day {
        /// Its position, from 1.
        index: usize,
        /// The text given.
        day: String,
    },
    /// A regex of it is not valid.
    #[error("allowlist {index} has regex {regex:?}, which is not valid")]
    Regex {
        /// Its position, from 1.
        index: usize,
        /// The text given.
        regex: String,
    },
    /// A path of it is not valid.
    #[error("allowlist {index} has a path that is not valid")]
    Path {
        /// Its position, from 1.
        index: usize,
        /// What is wrong with it.
        source: InvalidPattern,
    },
}

/// Allowlists, ready to be asked.
#[derive(Debug)]
pub(super) struct Allowlists(Vec<Compiled>);

#[derive(Debug)]
struct Compiled {
    list: Allowlist,
    paths: FilePatterns,
    regexes: Vec<Regex>,
}

impl Allowlists {
    /// Compiles the lists; those that have expired by `today` (days since 1970) are left out and counted.
    pub(super) fn new(lists: Vec<Allowlist>, today: u64) -> Result<(Self, usize), InvalidAllowlist> {
        let mut compiled = Vec::new();
        let mut expired = 0;
        for (at, list) in lists.into_iter().enumerate() {
            let index = at + 1;
            if list.paths.is_empty()
                && list.rules.is_empty()
                && list.regexes.is_empty()
                && list.stopwords.is_empty()
            {
                return Err(InvalidAllowlist::Empty { index });
            }
            if let Some(day) = &list.expires {
                let last = days(day).ok_or_else(|| InvalidAllowlist::Day { index, day: day.clone() })?;
                if last < today {
                    expired += 1;
                    continue;
                }
            }
            let paths =
                FilePatterns::new(&list.paths).map_err(|source| InvalidAllowlist::Path { index, source })?;
            let regex = |regex: &String| {
                compile(regex).ok_or_else(|| InvalidAllowlist::Regex { index, regex: regex.clone() })
            };
            let regexes = list.regexes.iter().map(regex).collect::<Result<_, _>>()?;
            compiled.push(Compiled { list, paths, regexes });
        }
        Ok((Self(compiled), expired))
    }

    /// The reason of the first list that allows the secret.
    pub(super) fn reason(&self, path: &str, one: &SecretMatch) -> Option<&str> {
        self.0.iter().find(|list| list.allows(path, one)).map(|list| list.list.reason.as_str())
    }
}

impl Compiled {
    fn allows(&self, path: &str, one: &SecretMatch) -> bool {
        let secret = one.secret.reveal();
        let id = one.rule.id.as_str();
        let lower = String::from_utf8_lossy(secret).to_lowercase();
        (self.list.paths.is_empty() || self.paths.match_file(std::path::Path::new(path)))
            && (self.list.rules.is_empty() || self.list.rules.iter().any(|rule| same_rule(rule, id)))
            && (self.regexes.is_empty() || self.regexes.iter().any(|regex| regex.is_match(secret)))
            && (self.list.stopwords.is_empty()
                || self.list.stopwords.iter().any(|word| lower.contains(&word.to_lowercase())))
    }
}

pub(super) fn same_rule(given: &str, id: &str) -> bool {
    given == id || id.strip_prefix("secret/") == Some(given)
}

/// The mark on a line that allows what is on it, if there is one. A mark may name a rule behind it in brackets, as in
/// `crashwise:allow[github-pat]`, and then allows that rule only.
pub(super) fn mark(line: &[u8], rule: &str) -> Option<&'static str> {
    let line = String::from_utf8_lossy(line).to_ascii_lowercase();
    MARKS.into_iter().find(|mark| {
        line.match_indices(mark).any(|(at, _)| match line[at + mark.len()..].strip_prefix('[') {
            Some(rest) => rest
                .split(']')
                .next()
                .is_some_and(|rules| rules.split(',').any(|one| same_rule(one.trim(), rule))),
            None => true,
        })
    })
}

/// The lines of a `.gitleaksignore`: `[commit:]file:rule:line`, or a fingerprint of a report.
#[derive(Debug, Default)]
pub(super) struct IgnoreFile {
    fingerprints: BTreeSet<String>,
    /// File and line to the rules named there.
    places: BTreeMap<(String, u32), BTreeSet<String>>,
}

impl IgnoreFile {
    pub(super) fn parse(text: &str) -> Self {
        let mut file = Self::default();
        for line in text.lines().take(MAX_LINES) {
            let line = line.split('#').next().unwrap_or_default().trim();
            let mut parts = line.rsplitn(3, ':');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(number), Some(rule), Some(rest)) => {
                    let Ok(number) = number.parse() else { continue };
                    let commit = rest.split_once(':').filter(|(commit, _)| {
                        commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
                    });
                    let path = commit.map_or(rest, |(_, path)| path).to_owned();
                    file.places.entry((path, number)).or_default().insert(rule.to_owned());
                }
                (Some(one), None, None) if !one.is_empty() => {
                    file.fingerprints.insert(one.to_owned());
                }
                _ => {}
            }
        }
        file
    }

    /// Whether the file names this finding. Rules of the program that the format comes from go by other names than
    /// ours: a name that is none of ours stands for any rule.
    pub(super) fn names(
        &self,
        fingerprint: &str,
        place: (&str, u32),
        rule: &str,
        is_ours: impl Fn(&str) -> bool,
    ) -> bool {
        self.fingerprints.contains(fingerprint)
            || self
                .places
                .get(&(place.0.to_owned(), place.1))
                .is_some_and(|rules| rules.iter().any(|named| same_rule(named, rule) || !is_ours(named)))
    }
}

/// Days since 1970 of now.
pub(super) fn today() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400)
}

/// Days since 1970 of a day as `2027-01-31`.
fn days(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        parts
            .next()
            .filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?
            .parse::<u64>()
            .ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    // Years begin in March, so that the leap day is the last of them.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{ScanOptions, SecretScanner};

    #[test]
    fn marks_allow_their_line_or_one_rule_of_it() {
        for (line, rule, expect) in [
            ("x = 1 # crashwise:allow", "secret/a", true),
            ("x = 1 // gitleaks:allow because", "secret/a", true),
            ("x = 1 # Kingfisher:Ignore", "secret/a", true),
            ("x = 1 # crashwise:allow[a, b]", "secret/b", true),
            ("x = 1 # crashwise:allow[a]", "secret/b", false),
            ("x = 1", "secret/a", false),
        ] {
            assert_eq!(mark(line.as_bytes(), rule).is_some(), expect, "{line}");
        }
    }

    #[test]
    fn days_of_the_calendar() {
        for (text, expect) in [
            ("1970-01-01", Some(0)),
            ("2000-03-01", Some(11_017)),
            ("2024-02-29", Some(19_782)),
            ("2026-11-21", Some(20_778)),
            ("2026-13-01", None),
            ("26-01-01", None),
            ("2026-01-01-", None),
        ] {
            assert_eq!(days(text), expect, "{text}");
        }
    }

    #[test]
    fn ignore_files_name_places_and_fingerprints() {
        let commit = "0123456789012345678901234567890123456789";
        let file = IgnoreFile::parse(&format!(
            "# note\n{commit}:src/a.py:generic-api-key:7\nb.py:secret/x:3\nabcdef01\n"
        ));
        let ours = |name: &str| name == "secret/x" || name == "secret/y";
        assert!(file.names("", ("src/a.py", 7), "secret/x", ours), "a foreign name stands for any rule");
        assert!(file.names("", ("b.py", 3), "secret/x", ours));
        assert!(!file.names("", ("b.py", 3), "secret/y", ours));
        assert!(!file.names("", ("b.py", 4), "secret/x", ours));
        assert!(file.names("abcdef01", ("z", 1), "secret/y", ours));
    }

    #[test]
    fn allowlists_need_all_their_conditions() {
        let found = SecretScanner::new(ScanOptions::new()).scan_bytes("", b"password = 'q8Xn!41kz'");
        let check = |list: Allowlist, today, expect: Option<&str>| {
            let (lists, _) = Allowlists::new(vec![list], today).expect("valid");
            assert_eq!(lists.reason("src/app.py", &found[0]), expect);
        };
        let list =
            || Allowlist { reason: "known".into(), paths: vec!["*.py".into()], ..Allowlist::default() };
        check(list(), 0, Some("known"));
        check(Allowlist { rules: vec!["generic-password".into()], ..list() }, 0, Some("known"));
        check(Allowlist { rules: vec!["other".into()], ..list() }, 0, None);
        check(Allowlist { regexes: vec!["^q8".into()], ..list() }, 0, Some("known"));
        check(Allowlist { stopwords: vec!["XN!".into()], ..list() }, 0, Some("known"));
        check(Allowlist { paths: vec!["*.rs".into()], ..list() }, 0, None);
        check(Allowlist { expires: Some("2020-01-01".into()), ..list() }, 20_000, None);
        for list in [
            Allowlist::default(),
            Allowlist { regexes: vec!["(".into()], ..Allowlist::default() },
            Allowlist { expires: Some("soon".into()), ..list() },
        ] {
            assert!(Allowlists::new(vec![list], 0).is_err());
        }
    }
}
