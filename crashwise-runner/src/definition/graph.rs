//! A definition as a picture.

use super::check::{Action, DefinedStep, Definition};
use std::fmt::Write as _;

/// The steps in the language of Graphviz.
pub fn dot(definition: &Definition) -> String {
    let mut text = format!(
        "digraph {:?} {{\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n",
        definition.metadata.name
    );
    for step in &definition.steps {
        let shape = match &step.action {
            Action::Module(_) => "box",
            Action::Workflow(_) => "component",
            Action::Approval(_) => "diamond",
            Action::Signal(_) => "cds",
            Action::Sleep(_) => "ellipse",
        };
        let label = lines(step)
            .map(|line| escape(&line, &[('\\', "\\\\"), ('"', "\\\"")]))
            .collect::<Vec<_>>()
            .join("\\n");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {} [shape={shape}, label=\"{label}\"];", step.id);
    }
    for (from, to) in edges(definition) {
        let style = if definition.steps[to].when.is_some() { " [style=dashed]" } else { "" };
        let _ = writeln!(text, "  {} -> {}{style};", definition.steps[from].id, definition.steps[to].id);
    }
    text.push_str("}\n");
    text
}

/// The steps in the language of Mermaid.
pub fn mermaid(definition: &Definition) -> String {
    let mut text = String::from("flowchart LR\n");
    for step in &definition.steps {
        let (open, close) = match &step.action {
            Action::Module(_) => ("[", "]"),
            Action::Workflow(_) => ("[[", "]]"),
            Action::Approval(_) => ("{", "}"),
            Action::Signal(_) => (">", "]"),
            Action::Sleep(_) => ("(", ")"),
        };
        let replace = [('&', "&amp;"), ('"', "&quot;"), ('<', "&lt;"), ('>', "&gt;"), ('#', "&num;")];
        let label = lines(step).map(|line| escape(&line, &replace)).collect::<Vec<_>>().join("<br>");
        // `end` is a word of Mermaid, so ids get a prefix.
        let _ = writeln!(text, "  s_{}{open}\"{label}\"{close}", step.id);
    }
    for (from, to) in edges(definition) {
        let arrow = if definition.steps[to].when.is_some() { "-.->" } else { "-->" };
        let _ = writeln!(text, "  s_{} {arrow} s_{}", definition.steps[from].id, definition.steps[to].id);
    }
    text
}

fn lines(step: &DefinedStep) -> impl Iterator<Item = String> {
    let when = step
        .when
        .as_ref()
        .map(|when| format!("when {}", when.text().split_whitespace().collect::<Vec<_>>().join(" ")));
    let each = step.repeats().then(|| "for each item".to_owned());
    [Some(step.id.clone()), Some(step.action.to_string()), each, when].into_iter().flatten()
}

/// Which step is needed by which.
fn edges(definition: &Definition) -> impl Iterator<Item = (usize, usize)> {
    definition.steps.iter().enumerate().flat_map(|(to, step)| step.needs.iter().map(move |from| (*from, to)))
}

fn escape(text: &str, replace: &[(char, &str)]) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match replace.iter().find(|(plain, _)| *plain == c) {
            Some((_, with)) => escaped.push_str(with),
            None if c.is_control() => escaped.push(' '),
            None => escaped.push(c),
        }
    }
    escaped
}
