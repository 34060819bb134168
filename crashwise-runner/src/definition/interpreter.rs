//! A definition as a workflow: a loop over its steps, polled with the caller's waker only, so it runs on every engine.

use super::check::{Action, DefinedStep, Definition};
use super::expression::{Expression, ExpressionError};
use super::file::OnError;
use super::outcome::Outcome;
use super::template::Template;
use crashwise_core::workflow::{AnyWorkflow, StepFailure, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Schema};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

const MAX_ITEMS: usize = 10_000;

impl AnyWorkflow for Definition {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn run_json<'a>(
        &'a self,
        cx: &'a WorkflowContext,
        params: Value,
    ) -> LocalBoxFuture<'a, Result<Value, WorkflowError>> {
        async move { Interpreter { definition: self, cx, params, over: RefCell::default() }.run().await }
            .boxed_local()
    }
}

struct Interpreter<'a> {
    definition: &'a Definition,
    cx: &'a WorkflowContext,
    params: Value,
    over: RefCell<BTreeMap<usize, (Outcome, Option<WorkflowError>)>>,
}

impl Interpreter<'_> {
    async fn run(&self) -> Result<Value, WorkflowError> {
        self.steps().await?;
        let steps = &self.definition.steps;
        let mut over = self.over.borrow_mut();
        let works = |n: &usize| matches!(steps[*n].action, Action::Module(_) | Action::Workflow(_));
        let tried: Vec<usize> =
            over.iter().filter(|(n, it)| works(n) && it.0.status != "skipped").map(|it| *it.0).collect();
        if !tried.is_empty() && tried.iter().all(|n| over[n].1.is_some()) {
            let first = over.get_mut(&tried[0]).and_then(|(_, error)| error.take());
            return Err(first.unwrap_or_else(|| WorkflowError::failed("no step succeeded")));
        }
        drop(over);
        let output = self.output()?;
        if self.definition.metadata.output_schema != Value::Null
            && let Ok(schema) = Schema::new(self.definition.metadata.output_schema.clone())
            && let Some((_, problem)) = schema.check(&output).into_iter().next()
        {
            let key = if problem.key.is_empty() { "output" } else { &problem.key };
            return Err(WorkflowError::failed(format!(
                "output does not fit output_schema: {key}: {}",
                problem.message
            )));
        }
        Ok(output)
    }

    /// Runs each step as soon as those it needs are over. After an error nothing new begins, what runs is waited for, and
    /// the error of the first step in order is returned, so that a replay returns the same.
    async fn steps(&self) -> Result<(), WorkflowError> {
        let steps = &self.definition.steps;
        let mut begun = vec![false; steps.len()];
        let mut running: Vec<(usize, LocalBoxFuture<'_, Result<Outcome, WorkflowError>>)> = Vec::new();
        let mut errors = BTreeMap::new();
        poll_fn(|task| {
            loop {
                if errors.is_empty() {
                    for (n, step) in steps.iter().enumerate() {
                        if !begun[n] && step.needs.iter().all(|need| self.over.borrow().contains_key(need)) {
                            begun[n] = true;
                            running.push((n, self.step(n, step).boxed_local()));
                        }
                    }
                }
                let before = running.len();
                running.retain_mut(|(n, future)| match future.as_mut().poll(task) {
                    Poll::Pending => true,
                    Poll::Ready(Ok(outcome)) => {
                        self.over.borrow_mut().entry(*n).or_insert((outcome, None));
                        false
                    }
                    Poll::Ready(Err(error)) => {
                        errors.insert(*n, error);
                        false
                    }
                });
                if running.is_empty() && (!errors.is_empty() || begun.iter().all(|begun| *begun)) {
                    return Poll::Ready(());
                }
                if running.len() == before {
                    return Poll::Pending;
                }
            }
        })
        .await;
        errors.into_values().next().map_or(Ok(()), Err)
    }

    async fn step(&self, n: usize, step: &DefinedStep) -> Result<Outcome, WorkflowError> {
        let goes = match &step.when {
            Some(condition) => {
                condition.holds(&self.names([condition], None)).map_err(|error| at(step, &error))?
            }
            None => {
                step.needs.iter().all(|need| self.over.borrow().get(need).is_some_and(|it| it.0.succeeded()))
            }
        };
        if !goes {
            self.cx.step(&step.id).when(false).call_named("", Value::Null).await?;
            return Ok(Outcome::skipped(&step.action, step.foreach.is_some()));
        }
        let Some(foreach) = &step.foreach else { return self.once(n, step, self.cx, None).await };
        let list = match self.value(step, &foreach.list, None)? {
            Value::Array(items) => items,
            other => {
                let text =
                    format!("step {}: foreach.in: expected a list, found {}", step.id, kind_of(&other));
                return Err(WorkflowError::failed(text));
            }
        };
        if list.len() > MAX_ITEMS {
            let text =
                format!("step {}: foreach.in: {} items are more than {MAX_ITEMS}", step.id, list.len());
            return Err(WorkflowError::failed(text));
        }
        let list = self.fix(self.cx, format!("{}:items", step.id), &foreach.list, list).await?;
        let each = async |cx: WorkflowContext, item: Value| {
            self.once(n, step, &cx, Some((&foreach.name, item))).await
        };
        let outcomes = self.cx.map(&step.id, foreach.limit, list, each).await?;
        Ok(Outcome::items(outcomes))
    }

    /// Does a step once, with the policy for its errors.
    async fn once(
        &self,
        n: usize,
        step: &DefinedStep,
        cx: &WorkflowContext,
        item: Option<(&str, Value)>,
    ) -> Result<Outcome, WorkflowError> {
        let tolerant = step.on_error == OnError::Continue;
        match self.act(step, cx, item.as_ref()).await {
            Ok(outcome) if outcome.status == "rejected" && !tolerant => {
                let word = |name: &str| outcome.value[name].as_str().unwrap_or_default().to_owned();
                Err(WorkflowError::Rejected {
                    approval: step.id.clone(),
                    by: word("by"),
                    comment: word("comment"),
                })
            }
            Err(WorkflowError::Step(error)) if tolerant && error.kind.is_tolerable() => {
                let outcome = Outcome::failed(&step.action, &error);
                if item.is_none() {
                    let error = Some(WorkflowError::Step(error));
                    self.over.borrow_mut().insert(n, (outcome.clone(), error));
                }
                Ok(outcome)
            }
            result => result,
        }
    }

    async fn act(
        &self,
        step: &DefinedStep,
        cx: &WorkflowContext,
        item: Option<&(&str, Value)>,
    ) -> Result<Outcome, WorkflowError> {
        let with = self.value(step, &step.with, item)?;
        match &step.action {
            Action::Module(module) => {
                let with = self.fix(cx, format!("{}:with", step.id), &step.with, with).await?;
                let mut call = cx.step(&step.id).options(step.options.clone());
                if let Some((Action::Module(module), config)) = &step.cleanup {
                    let (module, config) = (module.clone(), self.value(step, config, item)?);
                    call = call.cleanup(move |cx| {
                        let (module, config) = (module.clone(), config.clone());
                        async move {
                            let done = module.run_json(&cx, config).await;
                            done.map(drop).map_err(|error| StepFailure::from_module(&error))
                        }
                    });
                }
                Ok(Outcome::module(&call.call_any(module.clone(), with).await?))
            }
            Action::Workflow(name) => {
                let with = self.fix(cx, format!("{}:with", step.id), &step.with, with).await?;
                Ok(Outcome::workflow(&cx.child_named(&step.id, name, with).await?))
            }
            Action::Approval(timeout) => {
                let mut approval = cx.approval(&step.id).prompt(with.as_str().unwrap_or_default());
                if let Some(time) = timeout {
                    approval = approval.timeout(*time);
                }
                Ok(Outcome::approval(&approval.decide().await?))
            }
            Action::Signal(name) => Ok(Outcome::signal(&cx.branch(&step.id).signal::<Value>(name).await?)),
            Action::Sleep(time) => {
                cx.branch(&step.id).sleep(*time).await?;
                Ok(Outcome::sleep())
            }
        }
    }

    fn output(&self) -> Result<Value, WorkflowError> {
        let mut output = serde_json::Map::new();
        for (name, template) in &self.definition.outputs {
            let mut expressions = Vec::new();
            template.each(&mut |expression| expressions.push(expression));
            let value = template
                .evaluate(&self.names(expressions, None))
                .map_err(|error| WorkflowError::failed(format!("outputs.{name}: {error}")))?;
            output.insert(name.clone(), value);
        }
        if output.is_empty() {
            for (n, (outcome, _)) in self.over.borrow().iter() {
                let mut seen = json!({"status": outcome.status});
                if let Some(counts) = outcome.value.get("counts") {
                    seen["counts"] = counts.clone();
                }
                output.insert(self.definition.steps[*n].id.clone(), seen);
            }
        }
        Ok(Value::Object(output))
    }

    fn value(
        &self,
        step: &DefinedStep,
        template: &Template,
        item: Option<&(&str, Value)>,
    ) -> Result<Value, WorkflowError> {
        let mut expressions = Vec::new();
        template.each(&mut |expression| expressions.push(expression));
        template.evaluate(&self.names(expressions, item)).map_err(|error| at(step, &error))
    }

    /// A value that evaluation may order in another way next time is kept in the journal.
    async fn fix<T: Serialize + DeserializeOwned>(
        &self,
        cx: &WorkflowContext,
        name: String,
        template: &Template,
        value: T,
    ) -> Result<T, WorkflowError> {
        if template.order_varies() { Ok(cx.checkpoint(&name, &value).await?) } else { Ok(value) }
    }

    /// The values of the names that expressions refer to, and only of those.
    fn names<'e>(
        &self,
        expressions: impl IntoIterator<Item = &'e Expression>,
        item: Option<&(&str, Value)>,
    ) -> BTreeMap<String, Value> {
        let mut names = BTreeMap::from([("steps".to_owned(), json!({}))]);
        let over = self.over.borrow();
        for path in expressions.into_iter().flat_map(Expression::names) {
            match (path.first().map(String::as_str), path.get(1)) {
                (Some("params"), _) if !names.contains_key("params") => {
                    names.insert("params".to_owned(), self.params.clone());
                }
                (Some("steps"), Some(id)) => {
                    let found = over.iter().find(|(n, _)| self.definition.steps[**n].id == *id);
                    if let Some((_, (outcome, _))) = found {
                        names.entry("steps".to_owned()).or_default()[id] = outcome.value.clone();
                    }
                }
                _ => {}
            }
        }
        if let Some((name, value)) = item {
            names.insert((*name).to_owned(), value.clone());
        }
        names
    }
}

fn at(step: &DefinedStep, error: &ExpressionError) -> WorkflowError {
    WorkflowError::failed(format!("step {}: {error}", step.id))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
