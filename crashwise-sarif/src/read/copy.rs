//! Several logs as one.

use super::input::{Bounded, Budget, error};
use super::{ReadError, ReadOptions};
use crate::write::SCHEMA;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{self, BufWriter, Read, Write};

/// Writes one log that holds the runs of several, each as it is, in the order of the inputs; returns how many.
///
/// Nothing is held in memory but the text at hand. The runs keep their identity (`automationDetails`), so that a
/// service tells them apart. To join the findings instead, read the logs and write a [`Report`](crate::Report).
///
/// ```
/// use crashwise_sarif::{ReadOptions, merge_logs};
/// let log = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "lint"}}, "results": []}]}"#;
/// let mut merged = Vec::new();
/// let runs = merge_logs([log.as_bytes(), log.as_bytes()], &ReadOptions::new(), &mut merged).unwrap();
/// assert_eq!(runs, 2);
/// ```
///
/// # Errors
///
/// When an input cannot be read, is not SARIF 2.1.0, or is over a limit, or `out` cannot be written. What was
/// written by then is not a log.
pub fn merge_logs<R: Read>(
    inputs: impl IntoIterator<Item = R>,
    options: &ReadOptions,
    out: &mut dyn Write,
) -> Result<u64, ReadError> {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    write!(out, "{{\"$schema\":\"{SCHEMA}\",\"version\":\"2.1.0\",\"runs\":[")?;
    let mut runs = 0;
    for input in inputs {
        let input = Bounded::new(input, options.max_bytes)?;
        let budget = input.budget();
        let limit = options.max_result_bytes;
        let mut parser = serde_json::Deserializer::from_reader(input);
        let mut copy = Copy { out: &mut out, budget: &budget, limit, runs, version: None, failed: None };
        let outcome = parser.deserialize_map(LogCopy { copy: &mut copy }).and_then(|()| parser.end());
        if let Some(error) = copy.failed {
            return Err(ReadError::Io(error));
        }
        runs = copy.runs;
        let version = copy.version;
        outcome.map_err(|problem| error(problem, &budget, ("a value", limit), options.max_bytes))?;
        if !version.as_ref().is_some_and(|version| version == "2.1.0" || version.starts_with("2.1.0-")) {
            let version = version.unwrap_or_else(|| "(none)".to_owned()).chars().take(40).collect();
            return Err(ReadError::Version { version });
        }
    }
    out.write_all(b"\n]}\n")?;
    out.flush()?;
    Ok(runs)
}

struct Copy<'c, W> {
    out: &'c mut W,
    budget: &'c Budget,
    limit: u64,
    runs: u64,
    version: Option<String>,
    failed: Option<io::Error>,
}

impl<W: Write> Copy<'_, W> {
    /// Keeps the error of writing, which the parser cannot carry.
    fn put<E: Error>(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) -> Result<(), E> {
        write(self.out).map_err(|error| {
            self.failed = Some(error);
            E::custom("the merged log could not be written")
        })
    }

    fn text<E: Error>(&mut self, text: &str) -> Result<(), E> {
        self.put(|out| Ok(serde_json::to_writer(out, text)?))
    }
}

struct LogCopy<'s, 'c, W> {
    copy: &'s mut Copy<'c, W>,
}

impl<'de, W: Write> Visitor<'de> for LogCopy<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SARIF log, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.copy.budget.set(self.copy.limit);
        let mut has_runs = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "version" => self.copy.version = Some(map.next_value()?),
                "runs" => {
                    has_runs = true;
                    map.next_value_seed(RunsCopy { copy: self.copy })?;
                }
                "inlineExternalProperties" => {
                    return Err(A::Error::custom("inlineExternalProperties cannot be merged"));
                }
                _ => {
                    self.copy.budget.lift();
                    map.next_value::<IgnoredAny>()?;
                }
            }
            self.copy.budget.set(self.copy.limit);
        }
        if has_runs { Ok(()) } else { Err(A::Error::missing_field("runs")) }
    }
}

struct RunsCopy<'s, 'c, W> {
    copy: &'s mut Copy<'c, W>,
}

impl<'de, W: Write> DeserializeSeed<'de> for RunsCopy<'_, '_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, W: Write> Visitor<'de> for RunsCopy<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of runs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let before: &'static [u8] = if self.copy.runs == 0 { b"\n" } else { b",\n" };
            if seq.next_element_seed(ValueCopy { copy: self.copy, before })?.is_none() {
                return Ok(());
            }
            self.copy.runs += 1;
        }
    }
}

/// Copies any value; what comes before it is written only when there is a value.
struct ValueCopy<'s, 'c, W> {
    copy: &'s mut Copy<'c, W>,
    before: &'static [u8],
}

impl<'de, W: Write> DeserializeSeed<'de> for ValueCopy<'_, '_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.copy.budget.set(self.copy.limit);
        self.copy.put(|out| out.write_all(self.before))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de, W: Write> Visitor<'de> for ValueCopy<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.copy.put(|out| out.write_all(b"null"))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.copy.put(|out| write!(out, "{value}"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.copy.put(|out| write!(out, "{value}"))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.copy.put(|out| write!(out, "{value}"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.copy.put(|out| Ok(serde_json::to_writer(out, &value)?))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.copy.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.copy.put(|out| out.write_all(b"["))?;
        let mut before: &'static [u8] = b"";
        while seq.next_element_seed(ValueCopy { copy: self.copy, before })?.is_some() {
            before = b",";
        }
        self.copy.put(|out| out.write_all(b"]"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.copy.put(|out| out.write_all(b"{"))?;
        let mut first = true;
        while let Some(key) = map.next_key::<String>()? {
            if !first {
                self.copy.put(|out| out.write_all(b","))?;
            }
            first = false;
            self.copy.text(&key)?;
            map.next_value_seed(ValueCopy { copy: self.copy, before: b":" })?;
            self.copy.budget.set(self.copy.limit);
        }
        self.copy.put(|out| out.write_all(b"}"))
    }
}
