//! Second pass: the results, one by one.

use super::input::{Bounded, Budget, error};
use super::result::Converter;
use super::run::{Head, LogSummary};
use super::{ReadError, ReadOptions};
use crashwise_core::{Finding, Gap, GapReason};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_sarif::sarif;
use std::fmt;
use std::io::{self, Read};

pub(super) fn read<R: Read>(
    input: Bounded<R>,
    heads: Vec<Head>,
    options: &ReadOptions,
    visit: &mut dyn FnMut(Finding) -> io::Result<()>,
) -> Result<LogSummary, ReadError> {
    let budget = input.budget();
    let mut pass =
        Pass { budget: budget.clone(), options, visit, heads, run: 0, has_results: false, failed: None };
    let mut parser = serde_json::Deserializer::from_reader(input);
    let outcome = pass.descend(Level::Log).deserialize(&mut parser);
    if let Some(error) = pass.failed {
        return Err(ReadError::Io(error));
    }
    outcome.map_err(|problem| {
        error(problem, &budget, ("a result", options.max_result_bytes), options.max_bytes)
    })?;
    Ok(LogSummary { runs: pass.heads.into_iter().map(Head::into_summary).collect() })
}

struct Pass<'p> {
    budget: Budget,
    options: &'p ReadOptions,
    visit: &'p mut dyn FnMut(Finding) -> io::Result<()>,
    heads: Vec<Head>,
    run: usize,
    has_results: bool,
    failed: Option<io::Error>,
}

impl<'p> Pass<'p> {
    fn descend<'s>(&'s mut self, level: Level) -> Step<'s, 'p> {
        Step { pass: self, level }
    }

    /// A run without results is one in which the tool did not look, which is not the same as finding nothing.
    fn end_run(&mut self) {
        if let Some(head) = self.heads.get_mut(self.run).filter(|_| !self.has_results) {
            let gap = Gap::new(head.tool.driver.name.as_str(), GapReason::Failed, "the run has no results");
            head.coverage.push(gap);
        }
        self.run += 1;
        self.has_results = false;
    }

    fn result(&mut self, result: sarif::Result) -> Result<(), &'static str> {
        let Some(head) = self.heads.get_mut(self.run) else {
            return Err("the log changed while it was read");
        };
        let finding = Converter { head, options: self.options }.finding(result);
        match finding {
            None => head.skipped += 1,
            Some(finding) => {
                head.results += 1;
                if let Err(error) = (self.visit)(finding) {
                    self.failed = Some(error);
                    return Err("the receiver of findings failed");
                }
            }
        }
        Ok(())
    }
}

/// Where in the log the pass is.
#[derive(Clone, Copy)]
enum Level {
    Log,
    Runs,
    Run,
    Results,
}

struct Step<'s, 'p> {
    pass: &'s mut Pass<'p>,
    level: Level,
}

impl<'de> DeserializeSeed<'de> for Step<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.level {
            Level::Log | Level::Run => deserializer.deserialize_map(self),
            Level::Runs | Level::Results => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Step<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::Log => "a SARIF log, which is an object",
            Level::Runs => "an array of runs",
            Level::Run => "a run, which is an object",
            Level::Results => "an array of results",
        })
    }

    /// `"results": null` says that the tool did not look.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match (self.level, key.as_str()) {
                (Level::Log, "runs") => map.next_value_seed(self.pass.descend(Level::Runs))?,
                (Level::Run, "results") => map.next_value_seed(self.pass.descend(Level::Results))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Level::Runs = self.level {
            while seq.next_element_seed(self.pass.descend(Level::Run))?.is_some() {
                self.pass.end_run();
            }
            return Ok(());
        }
        self.pass.has_results = true;
        loop {
            self.pass.budget.set(self.pass.options.max_result_bytes);
            let Some(result) = seq.next_element()? else { break };
            self.pass.result(result).map_err(A::Error::custom)?;
        }
        self.pass.budget.lift();
        Ok(())
    }
}
