//! What a run of a definition would do, without running it.

use super::check::{DefinedStep, Definition};
use super::expression::Expression;
use super::template::Template;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What would become of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// Its name.
    pub id: String,
    /// What it does, e.g. `module file_scanner`.
    pub action: String,
    /// In which round it can begin, from 0: all before it must be over.
    pub stage: usize,
    /// Whether it would run.
    pub forecast: Forecast,
    /// How often it would run; none when that depends on other steps.
    pub times: Option<usize>,
    /// Its configuration or parameters; none when they depend on other steps.
    pub with: Option<Value>,
}

/// Whether a step would run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Forecast {
    /// It would.
    Runs,
    /// Its condition does not hold with these parameters, or a step that it needs is skipped.
    Skipped,
    /// That depends on the results of other steps: the condition.
    Depends(String),
    /// An expression has no value with these parameters.
    Fails(String),
}

/// What would run with these parameters, which were checked already.
pub fn plan(definition: &Definition, params: &Value) -> Vec<PlannedStep> {
    let names = BTreeMap::from([("params".to_owned(), params.clone())]);
    let mut planned: BTreeMap<usize, PlannedStep> = BTreeMap::new();
    // Every pass plans at least one step, because there are no cycles.
    while planned.len() < definition.steps.len() {
        let before = planned.len();
        for (n, step) in definition.steps.iter().enumerate() {
            if !planned.contains_key(&n) && step.needs.iter().all(|need| planned.contains_key(need)) {
                let next = planned_step(step, &planned, &names);
                planned.insert(n, next);
            }
        }
        if planned.len() == before {
            break;
        }
    }
    planned.into_values().collect()
}

fn planned_step(
    step: &DefinedStep,
    planned: &BTreeMap<usize, PlannedStep>,
    names: &BTreeMap<String, Value>,
) -> PlannedStep {
    let needs = || step.needs.iter().filter_map(|need| planned.get(need));
    let forecast = match &step.when {
        Some(condition) if knowable(condition) => match condition.holds(names) {
            Ok(true) => Forecast::Runs,
            Ok(false) => Forecast::Skipped,
            Err(error) => Forecast::Fails(error.to_string()),
        },
        Some(condition) => Forecast::Depends(condition.text().to_owned()),
        None if needs().any(|need| need.forecast == Forecast::Skipped) => Forecast::Skipped,
        None => needs()
            .find_map(|need| match &need.forecast {
                Forecast::Depends(_) | Forecast::Fails(_) => {
                    Some(Forecast::Depends(format!("{} runs", need.id)))
                }
                Forecast::Runs | Forecast::Skipped => None,
            })
            .unwrap_or(Forecast::Runs),
    };
    let known = |template: &Template| {
        let mut all = true;
        template.each(&mut |expression| all &= knowable(expression));
        all.then(|| template.evaluate(names).ok()).flatten()
    };
    let times = match &step.foreach {
        None => Some(1),
        Some(foreach) => known(&foreach.list).and_then(|list| list.as_array().map(Vec::len)),
    };
    PlannedStep {
        id: step.id.clone(),
        action: step.action.to_string(),
        stage: needs().map(|need| need.stage + 1).max().unwrap_or(0),
        forecast,
        times,
        with: known(&step.with),
    }
}

fn knowable(expression: &Expression) -> bool {
    expression.names().all(|name| name.first().is_some_and(|root| root == "params"))
}
