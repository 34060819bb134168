//! Precision and recall on labelled repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crashwise_core::{Confidence, LineIndex};
use crashwise_modules::secrets::{ScanOptions, SecretScanner};

use super::folds::{self, Judged};

/// A labelled stretch of a file.
struct Label {
    truth: char,
    span: Range<usize>,
    category: String,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    hit: usize,
    missed: usize,
    false_labelled: usize,
    false_unlabelled: usize,
}

impl Counts {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn figures(self) -> String {
        let (hit, missed) = (self.hit as f64, self.missed as f64);
        let wrong = (self.false_labelled + self.false_unlabelled) as f64;
        let precision = hit / (hit + wrong).max(1.0);
        let recall = hit / (hit + missed).max(1.0);
        let f1 = 2.0 * precision * recall / (precision + recall).max(1e-9);
        format!(
            "true {:5}  found {:5}  false {:4} labelled {:4} unlabelled   P {precision:.3}  R {recall:.3}  F1 {f1:.3}",
            self.hit + self.missed,
            self.hit,
            self.false_labelled,
            self.false_unlabelled
        )
    }
}

/// Measures and prints; says so where there is no labelled data.
pub fn run(args: &[String]) {
    let option = |name: &str| super::option(args, name);
    let show = option("--show").unwrap_or_default();
    let only = option("--repo");
    let root = PathBuf::from(
        env::var("CRASHWISE_CREDDATA").unwrap_or_else(|_| "../shared/data/creddata-dev".into()),
    );
    let labels = match read_labels(&root) {
        Ok(labels) => labels,
        Err(error) => {
            println!("no labelled data at {} ({error}): set CRASHWISE_CREDDATA", root.display());
            return;
        }
    };
    let mut options = ScanOptions::new();
    let folds = args.iter().any(|arg| arg == "--folds");
    if folds || args.iter().any(|arg| arg == "--low") {
        options = options.with_min_confidence(Confidence::Low);
    }
    let scanner = SecretScanner::new(options);
    let mut tally = Tally { show, ..Tally::default() };
    for (path, rows) in &labels {
        let repository = path.split('/').nth(1).unwrap_or_default();
        if only.as_ref().is_some_and(|only| only != repository) {
            continue;
        }
        let Ok(bytes) = fs::read(root.join(path)) else { continue };
        let rows = rows.iter().filter_map(|row| row.label(&bytes)).collect();
        tally.file(&scanner, (repository, path), &bytes, rows);
    }
    if folds {
        let repositories = tally.repositories.iter();
        let rows = repositories.map(|(name, all)| (name.clone(), all.hit + all.missed)).collect();
        return folds::run(&tally.judged, &rows);
    }
    tally.print();
}

/// What was found of what is labelled, and what else.
#[derive(Default)]
struct Tally {
    /// What is printed with its line: `fp`, `fn` or nothing.
    show: String,
    repositories: BTreeMap<String, Counts>,
    /// Found and missed.
    categories: BTreeMap<String, (usize, usize)>,
    /// Right and wrong.
    rules: BTreeMap<String, (usize, usize)>,
    judged: Vec<Judged>,
    true_rows: BTreeMap<String, usize>,
}

impl Tally {
    fn file(
        &mut self,
        scanner: &SecretScanner,
        (repository, path): (&str, &str),
        bytes: &[u8],
        mut rows: Vec<Label>,
    ) {
        let lines = LineIndex::new(bytes);
        let mut seen = BTreeSet::new();
        rows.retain(|row| seen.insert((row.span.start, row.span.end, row.truth)));
        let first_row: &mut usize = self.true_rows.entry(repository.to_owned()).or_default();
        let counts = self.repositories.entry(repository.to_owned()).or_default();
        let mut hit = vec![false; rows.len()];
        for one in scanner.scan_bytes(path, bytes) {
            let overlapping: Vec<usize> = (0..rows.len())
                .filter(|&row| rows[row].span.start < one.span.end && one.span.start < rows[row].span.end)
                .collect();
            let truths: Vec<usize> =
                overlapping.iter().copied().filter(|&row| rows[row].truth == 'T').collect();
            self.judged.push(Judged {
                repository: repository.to_owned(),
                rule: one.rule.id.to_string(),
                confidence: one.confidence,
                rows: truths.iter().map(|row| *first_row + row).collect(),
            });
            let of_rule = self.rules.entry(one.rule.id.to_string()).or_default();
            if truths.is_empty() {
                of_rule.1 += 1;
                match overlapping.first() {
                    Some(_) => counts.false_labelled += 1,
                    None => counts.false_unlabelled += 1,
                }
                if self.show == "fp" {
                    let place = lines.position(bytes, one.span.start);
                    let line = String::from_utf8_lossy(lines.line_text(bytes, one.span.start));
                    let label = overlapping.first().map_or('-', |&row| rows[row].truth);
                    println!(
                        "{label} {path}:{place} {} {:?}\n    {}",
                        one.rule.id,
                        one.name,
                        clip(&line, place.column.number())
                    );
                }
            } else {
                of_rule.0 += 1;
            }
            for row in truths {
                hit[row] = true;
            }
        }
        *first_row += rows.len();
        for (row, hit) in rows.iter().zip(hit).filter(|(row, _)| row.truth == 'T') {
            let of_category = self.categories.entry(row.category.clone()).or_default();
            if hit {
                counts.hit += 1;
                of_category.0 += 1;
            } else {
                counts.missed += 1;
                of_category.1 += 1;
                if self.show == "fn" {
                    let place = lines.position(bytes, row.span.start);
                    let line = String::from_utf8_lossy(lines.line_text(bytes, row.span.start));
                    println!("{} {path}:{place}\n    {}", row.category, clip(&line, place.column.number()));
                }
            }
        }
    }

    fn print(self) {
        let mut all = Counts::default();
        for (name, counts) in &self.repositories {
            println!("{name:10} {}", counts.figures());
            all.hit += counts.hit;
            all.missed += counts.missed;
            all.false_labelled += counts.false_labelled;
            all.false_unlabelled += counts.false_unlabelled;
        }
        println!("{:10} {}", "all", all.figures());
        for (name, (found, missed)) in self.categories {
            println!("  category {name:32} found {found:4} missed {missed:4}");
        }
        for (name, (right, wrong)) in self.rules {
            println!("  rule     {name:32} right {right:4} wrong  {wrong:4}");
        }
    }
}

/// The part of a line around a one-based column.
fn clip(line: &str, column: u32) -> String {
    let from = (column as usize).saturating_sub(60);
    line.chars().skip(from).take(160).collect::<String>().trim().to_owned()
}

/// One row of a label file.
struct Row {
    truth: char,
    first: usize,
    last: usize,
    columns: Option<(usize, Option<usize>)>,
    category: String,
}

impl Row {
    /// The labelled bytes; the whole of its lines where the row has no columns.
    fn label(&self, bytes: &[u8]) -> Option<Label> {
        let mut starts = vec![0];
        starts.extend(bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1));
        let first = *starts.get(self.first.checked_sub(1)?)?;
        let end = starts.get(self.last).map_or(bytes.len(), |next| next - 1);
        let span = match self.columns {
            // Columns count characters of the line.
            Some((from, to)) => {
                let line = String::from_utf8_lossy(&bytes[first..end]);
                let at = |column: usize| line.chars().take(column).map(char::len_utf8).sum::<usize>();
                first + at(from)..to.filter(|_| self.first == self.last).map_or(end, |to| first + at(to))
            }
            None => first..end,
        };
        Some(Label { truth: self.truth, span, category: self.category.clone() })
    }
}

fn read_labels(root: &Path) -> std::io::Result<BTreeMap<String, Vec<Row>>> {
    let mut labels: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut files: Vec<_> = fs::read_dir(root.join("meta"))?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(file)?;
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let field = |name: &str| {
                header.iter().position(|one| *one == name).and_then(|at| fields.get(at)).copied()
            };
            let number = |name| field(name).and_then(|text| text.parse::<f64>().ok());
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small whole numbers"
            )]
            let whole = |name| number(name).map(|number: f64| number.max(0.0) as usize);
            let (Some(path), Some(truth), Some(first)) = (
                field("FilePath"),
                field("GroundTruth").and_then(|text| text.chars().next()),
                whole("LineStart"),
            ) else {
                continue;
            };
            labels.entry(path.to_owned()).or_default().push(Row {
                truth,
                first,
                last: whole("LineEnd").unwrap_or(first),
                columns: whole("ValueStart").map(|start| (start, whole("ValueEnd"))),
                category: field("Category").unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(labels)
}
