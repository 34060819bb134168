//! From what is written to what can run: names resolved, expressions parsed, everything checked at once.

use super::expression::Expression;
use super::file::{DefinitionFile, OnError, StepEntry};
use super::load::Source;
use super::outcome::fields;
use super::template::Template;
use crashwise_core::workflow::StepOptions;
use crashwise_core::{AnyModule, Document, Metadata, ModuleRegistry, Problem, Problems, Span, nearest};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A workflow as data that was checked and can run: it is an [`AnyWorkflow`](crashwise_core::workflow::AnyWorkflow).
#[derive(Debug, Clone)]
pub struct Definition {
    pub(super) metadata: Metadata,
    pub(super) steps: Vec<DefinedStep>,
    pub(super) outputs: BTreeMap<String, Template>,
}

/// A step of a definition.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DefinedStep {
    /// Its name.
    pub id: String,
    /// What it does.
    pub action: Action,
    /// The steps that must be over before it begins, as indexes, sorted.
    pub needs: Vec<usize>,
    /// How it is carried out.
    pub options: StepOptions,
    /// Its condition.
    pub when: Option<Expression>,
    /// What an error of it does to the run.
    pub on_error: OnError,
    pub(super) foreach: Option<Foreach>,
    pub(super) with: Template,
    pub(super) cleanup: Option<(Action, Template)>,
}

/// What a step does.
#[derive(Clone)]
#[non_exhaustive]
pub enum Action {
    /// Runs a module.
    Module(Arc<dyn AnyModule>),
    /// Runs another workflow.
    Workflow(String),
    /// Waits for a person, at most so long.
    Approval(Option<Duration>),
    /// Waits for a signal.
    Signal(String),
    /// Waits for some time.
    Sleep(Duration),
}

#[derive(Debug, Clone)]
pub(super) struct Foreach {
    pub(super) list: Template,
    pub(super) name: String,
    pub(super) limit: usize,
}

impl DefinedStep {
    /// Whether it is done once for each item of a list.
    pub fn repeats(&self) -> bool {
        self.foreach.is_some()
    }
}

impl Action {
    /// A word for what is done.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Module(_) => "module",
            Self::Workflow(_) => "workflow",
            Self::Approval(_) => "approval",
            Self::Signal(_) => "signal",
            Self::Sleep(_) => "sleep",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module) => write!(f, "module {}", module.info().name),
            Self::Workflow(name) => write!(f, "workflow {name}"),
            Self::Approval(_) => f.write_str("approval"),
            Self::Signal(name) => write!(f, "signal {name}"),
            Self::Sleep(time) => write!(f, "sleep {}", Span::new(*time)),
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Action({self})")
    }
}

impl Definition {
    /// Reads and checks a definition; all problems at once, with line and column. The modules it names must be in the
    /// registry.
    pub fn parse(source: &Source, modules: &ModuleRegistry) -> Result<Self, Problems> {
        let metadata = Metadata::from_yaml(&source.metadata.0, &source.metadata.1)?;
        let document = Document::parse(&source.workflow.0, &source.workflow.1)?;
        let file: DefinitionFile = document.decode()?;
        let mut check = Check { source, modules, metadata: &metadata, file: &file, problems: Vec::new() };
        let (steps, outputs) = check.all();
        let problems = check.problems;
        if problems.is_empty() {
            Ok(Self { metadata, steps, outputs })
        } else {
            Err(document.problems(problems))
        }
    }

    /// The description.
    pub fn description(&self) -> &Metadata {
        &self.metadata
    }

    /// The steps, as they are written.
    pub fn steps(&self) -> &[DefinedStep] {
        &self.steps
    }
}

struct Check<'s> {
    source: &'s Source,
    modules: &'s ModuleRegistry,
    metadata: &'s Metadata,
    file: &'s DefinitionFile,
    problems: Vec<(String, Problem)>,
}

impl Check<'_> {
    fn report(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::at(pointer, message));
    }

    fn all(&mut self) -> (Vec<DefinedStep>, BTreeMap<String, Template>) {
        let file = self.file;
        let mut seen = BTreeSet::new();
        for (n, entry) in file.steps.iter().enumerate() {
            if !seen.insert(entry.id.as_str()) {
                self.report(
                    format!("/steps/{n}/id"),
                    format!("a step before this one is named {:?} too", entry.id),
                );
            }
        }
        let steps: Vec<DefinedStep> =
            file.steps.iter().enumerate().filter_map(|(n, entry)| self.step(n, entry)).collect();
        if steps.len() == file.steps.len() {
            self.cycles(&steps);
        }
        let mut outputs = BTreeMap::new();
        for (name, value) in &file.outputs {
            let pointer = format!("/outputs/{}", name.replace('~', "~0").replace('/', "~1"));
            let template = self.template(value, &pointer);
            self.references(&template, &pointer, None, None);
            outputs.insert(name.clone(), template);
        }
        (steps, outputs)
    }

    fn step(&mut self, n: usize, entry: &StepEntry) -> Option<DefinedStep> {
        let at = format!("/steps/{n}");
        let action = self.action(&at, entry);
        let item = entry.foreach.as_ref().map(|foreach| foreach.name.as_str());
        let mut needs = BTreeSet::new();
        for (m, need) in entry.needs.iter().enumerate() {
            if let Some(index) = self.index(need) {
                needs.insert(index);
            } else {
                let hint = self.near_step(need);
                self.report(format!("{at}/needs/{m}"), format!("there is no step named {need:?}{hint}"));
            }
        }
        let body = match &entry.approval {
            Some(approval) => Value::String(approval.prompt.clone()),
            None => entry.with.clone(),
        };
        let body_at = format!("{at}/{}", if entry.approval.is_some() { "approval/prompt" } else { "with" });
        let with = self.template(&body, &body_at);
        needs.extend(self.references(&with, &body_at, item, Some(n)));
        let foreach = entry.foreach.as_ref().map(|foreach| {
            let in_at = format!("{at}/foreach/in");
            let list = self.template(&foreach.list, &in_at);
            needs.extend(self.references(&list, &in_at, None, Some(n)));
            if !matches!(list, Template::Whole(_) | Template::List(_) | Template::Fixed(Value::Array(_))) {
                self.report(&in_at, "expected a list, or a text that is one `${{ … }}`");
            }
            if ["params", "steps"].contains(&foreach.name.as_str()) {
                self.report(format!("{at}/foreach/as"), format!("{:?} has a meaning already", foreach.name));
            }
            Foreach { list, name: foreach.name.clone(), limit: foreach.limit }
        });
        let when = entry.when.as_ref().and_then(|text| self.condition(n, text, &mut needs));
        let cleanup = entry.cleanup.as_ref().and_then(|cleanup| {
            let module = self.module(&format!("{at}/cleanup/module"), &cleanup.module);
            let with_at = format!("{at}/cleanup/with");
            let with = self.template(&cleanup.with, &with_at);
            needs.extend(self.references(&with, &with_at, item, Some(n)));
            self.config(module.as_ref(), &with, &with_at);
            Some((Action::Module(module?), with))
        });
        let action = action?;
        if let Action::Module(module) = &action {
            self.config(Some(module), &with, &body_at);
        }
        Some(DefinedStep {
            id: entry.id.clone(),
            action,
            needs: needs.into_iter().collect(),
            options: options(entry),
            when,
            on_error: entry.on_error,
            foreach,
            with,
            cleanup,
        })
    }

    fn action(&mut self, at: &str, entry: &StepEntry) -> Option<Action> {
        let mut actions = Vec::new();
        if let Some(name) = &entry.module {
            actions.push(("module", self.module(&format!("{at}/module"), name).map(Action::Module)));
        }
        if let Some(name) = &entry.workflow {
            self.workflow(&format!("{at}/workflow"), name);
            actions.push(("workflow", Some(Action::Workflow(name.clone()))));
        }
        if let Some(approval) = &entry.approval {
            actions.push(("approval", Some(Action::Approval(approval.timeout.map(Span::duration)))));
        }
        if let Some(name) = &entry.signal {
            actions.push(("signal", Some(Action::Signal(name.clone()))));
        }
        if let Some(time) = entry.sleep {
            actions.push(("sleep", Some(Action::Sleep(time.duration()))));
        }
        let (kind, action) = match actions.as_slice() {
            [(kind, action)] => (*kind, action.clone()),
            [] => {
                self.report(at, "does nothing: expected one of module, workflow, approval, signal, sleep");
                return None;
            }
            several => {
                let kinds: Vec<&str> = several.iter().map(|(kind, _)| *kind).collect();
                self.report(at, format!("does several things ({}): expected one", kinds.join(", ")));
                return None;
            }
        };
        let given = [
            ("with", !entry.with.is_null(), &["module", "workflow"][..]),
            ("retry", entry.retry.is_some(), &["module"]),
            ("timeout", entry.timeout.is_some(), &["module"]),
            ("total_timeout", entry.total_timeout.is_some(), &["module"]),
            ("heartbeat_timeout", entry.heartbeat_timeout.is_some(), &["module"]),
            ("cached", entry.cached, &["module"]),
            ("at_most_once", entry.at_most_once, &["module"]),
            ("queue", entry.queue.is_some(), &["module"]),
            ("priority", entry.priority.is_some(), &["module"]),
            ("cleanup", entry.cleanup.is_some(), &["module"]),
        ];
        for (key, there, kinds) in given {
            if there && !kinds.contains(&kind) {
                let message = format!("is for steps with {}, and this step has {kind}", kinds.join(" or "));
                self.report(format!("{at}/{key}"), message);
            }
        }
        action
    }

    fn module(&mut self, at: &str, name: &str) -> Option<Arc<dyn AnyModule>> {
        match self.modules.find(name) {
            Ok(module) => Some(Arc::clone(module)),
            Err(error) => {
                self.report(at, error.to_string());
                None
            }
        }
    }

    fn workflow(&mut self, at: &str, name: &str) {
        if name == self.metadata.name {
            self.report(at, "a workflow cannot be a step of itself");
        } else if let Some(known) = &self.source.workflows
            && !known.contains(name)
        {
            let hint = hint(name, known.iter().map(String::as_str));
            self.report(at, format!("there is no workflow named {name:?}{hint}"));
        }
    }

    /// Checks a configuration that holds no expressions.
    fn config(&mut self, module: Option<&Arc<dyn AnyModule>>, with: &Template, at: &str) {
        if let (Some(module), Some(value)) = (module, with.fixed())
            && let Err(problems) = module.check_config(value.clone())
        {
            for problem in problems.problems {
                let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
                self.report(at, format!("{key}{}", problem.message));
            }
        }
    }

    fn template(&mut self, value: &Value, at: &str) -> Template {
        let mut problems = Vec::new();
        let template = Template::parse(value, at, &mut problems);
        for (pointer, message) in problems {
            self.report(pointer, message);
        }
        template
    }

    fn condition(&mut self, n: usize, text: &str, needs: &mut BTreeSet<usize>) -> Option<Expression> {
        let at = format!("/steps/{n}/when");
        let bare = text.trim().strip_prefix("${{").and_then(|text| text.strip_suffix("}}")).unwrap_or(text);
        match Expression::parse(bare) {
            Ok(expression) => {
                let template = Template::Whole(expression.clone());
                needs.extend(self.references(&template, &at, None, Some(n)));
                Some(expression)
            }
            Err(error) => {
                self.report(at, error.to_string());
                None
            }
        }
    }

    /// Checks the names of a template and gives the steps that it refers to. `this` is the step it belongs to.
    fn references(
        &mut self,
        template: &Template,
        at: &str,
        item: Option<&str>,
        this: Option<usize>,
    ) -> Vec<usize> {
        let mut expressions = Vec::new();
        template.each(&mut |expression| expressions.push(expression.clone()));
        let mut steps = Vec::new();
        for expression in expressions {
            for function in expression.unknown_functions() {
                self.report(
                    at,
                    format!("expression `{}`: there is no function named {function:?}", expression.text()),
                );
            }
            for name in expression.names() {
                let text = name.join(".");
                let problem = match name.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                    [root, ..] if Some(*root) == item => continue,
                    ["params"] => continue,
                    ["params", parameter, ..] => self.parameter(parameter),
                    ["steps"] => Some("names no step: expected `steps.` and the id of a step".to_owned()),
                    ["steps", id, field @ ..] => match self.index(id) {
                        Some(index) if Some(index) == this => Some("is the step itself".to_owned()),
                        Some(index) => {
                            steps.push(index);
                            self.field(index, field.first().copied())
                        }
                        None => Some(format!("names no step{}", self.near_step(id))),
                    },
                    [root, ..] => {
                        let known = ["params", "steps"].into_iter().chain(item);
                        Some(format!("is not known{}", hint(root, known)))
                    }
                    [] => None,
                };
                if let Some(problem) = problem {
                    self.report(at, format!("expression `{}`: `{text}` {problem}", expression.text()));
                }
            }
        }
        steps
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let properties = self.metadata.parameters.get("properties").and_then(Value::as_object);
        let open = self
            .metadata
            .parameters
            .get("additionalProperties")
            .is_some_and(|more| more != &Value::Bool(false));
        let known = properties.is_some_and(|properties| properties.contains_key(name));
        let names = || properties.into_iter().flat_map(serde_json::Map::keys).map(String::as_str);
        (!known && !open).then(|| format!("names no parameter{}", hint(name, names())))
    }

    fn field(&self, index: usize, field: Option<&str>) -> Option<String> {
        let entry = &self.file.steps[index];
        let kind = [
            ("workflow", entry.workflow.is_some()),
            ("approval", entry.approval.is_some()),
            ("signal", entry.signal.is_some()),
            ("sleep", entry.sleep.is_some()),
        ];
        let kind = kind.into_iter().find(|(_, there)| *there).map_or("module", |(kind, _)| kind);
        let known = fields(kind, entry.foreach.is_some());
        let field = field?;
        (!known.contains(&field)).then(|| {
            format!(
                "names nothing that step {:?} has: expected one of {}{}",
                entry.id,
                known.join(", "),
                hint(field, known.iter().copied())
            )
        })
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.file.steps.iter().position(|step| step.id == id)
    }

    fn near_step(&self, id: &str) -> String {
        hint(id, self.file.steps.iter().map(|step| step.id.as_str()))
    }

    /// Reports the steps that wait for each other: takes away what can run until nothing more can.
    fn cycles(&mut self, steps: &[DefinedStep]) {
        let mut left: BTreeSet<usize> = (0..steps.len()).collect();
        loop {
            let ready: Vec<usize> = left
                .iter()
                .copied()
                .filter(|n| steps[*n].needs.iter().all(|need| !left.contains(need)))
                .collect();
            if ready.is_empty() {
                break;
            }
            for n in ready {
                left.remove(&n);
            }
        }
        let Some(first) = left.first().copied() else { return };
        // Each step that is left needs one that is left, so following them comes back to a step seen before.
        let mut way = vec![first];
        loop {
            let last = way[way.len() - 1];
            let Some(next) = steps[last].needs.iter().copied().find(|need| left.contains(need)) else {
                return;
            };
            if let Some(begin) = way.iter().position(|seen| *seen == next) {
                let mut names: Vec<&str> = way[begin..].iter().map(|n| steps[*n].id.as_str()).collect();
                names.push(&steps[next].id);
                self.report(
                    format!("/steps/{next}"),
                    format!("steps wait for each other: {}", names.join(" needs ")),
                );
                return;
            }
            way.push(next);
        }
    }
}

fn options(entry: &StepEntry) -> StepOptions {
    let mut options = StepOptions::default();
    if let Some(retry) = &entry.retry {
        options.retry = retry.clone();
    } else if entry.at_most_once {
        options.retry = crashwise_core::workflow::Retry::never();
    }
    options.timeout = entry.timeout;
    options.total_timeout = entry.total_timeout;
    options.heartbeat_timeout = entry.heartbeat_timeout;
    options.cached = entry.cached;
    options.at_most_once = entry.at_most_once;
    options.queue.clone_from(&entry.queue);
    options.priority = entry.priority.unwrap_or_default();
    options
}

fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default()
}
