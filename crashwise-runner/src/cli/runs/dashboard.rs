//! `crashwise runs watch` on a terminal: curves of a fuzzing run, its crashes, and how busy the cores are.

use super::load::CoreLoad;
use super::logs;
use crate::cli::exit::Failure;
use crate::cli::progress::statistics;
use crate::cli::terminal::{Terminal, plain};
use crate::{LatestStats, RunStore, RunSummary};
use crashwise_core::{RunId, Span, Stats};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph};
use ratatui::{DefaultTerminal, Frame};
use std::fmt::Write as _;
use std::time::Duration;

/// How often the screen is drawn.
const EVERY: Duration = Duration::from_millis(500);
/// The most points of a curve; then every other one goes.
const POINTS: usize = 1200;

/// Why the dashboard was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The run is over, or nobody carries it out any more.
    AtTheEnd,
    /// The one who watched had seen enough; the run goes on.
    Early,
}

/// Shows a run until it is over, or until `q`, Escape or Ctrl-C.
pub(super) fn watch(store: &RunStore, id: &RunId, terminal: &Terminal) -> Result<Left, Failure> {
    let unusable = |error| Failure::failed(format!("the terminal could not be drawn on: {error}"));
    let mut screen = ratatui::try_init().map_err(unusable)?;
    let left = follow(store, id, &mut screen);
    ratatui::restore();
    let (left, owned) = left?;
    if left == Left::AtTheEnd && !owned {
        terminal.warn(&format!("nobody carries out run {id}; `crashwise runs resume {id}` does"));
    }
    Ok(left)
}

fn follow(store: &RunStore, id: &RunId, screen: &mut DefaultTerminal) -> Result<(Left, bool), Failure> {
    let unusable = |error| Failure::failed(format!("the terminal could not be drawn on: {error}"));
    let mut dashboard = Dashboard::default();
    let mut load = CoreLoad::default();
    loop {
        let summary = store.summary(id)?;
        let open = store.open_steps(id)?;
        let mut latest = store.stats(id)?;
        latest.retain(|latest| open.iter().any(|step| step.key.as_str() == latest.step));
        let history = store.history(id)?;
        dashboard.events = history.iter().rev().take(5).rev().map(logs::plain_line).collect();
        dashboard.cores = load.look();
        dashboard.take(&latest);
        screen.draw(|frame| dashboard.draw(frame, &summary)).map_err(unusable)?;
        if summary.status.is_final() || !summary.owned {
            return Ok((Left::AtTheEnd, summary.owned || summary.status.is_final()));
        }
        if event::poll(EVERY).map_err(unusable)?
            && let Event::Key(key) = event::read().map_err(unusable)?
        {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
                || (control && key.code == KeyCode::Char('c'))
            {
                return Ok((Left::Early, true));
            }
        }
    }
}

/// What is drawn.
#[derive(Debug, Default)]
struct Dashboard {
    /// Seconds and executions, seconds and edges or percent.
    executions: Vec<(f64, f64)>,
    coverage: Vec<(f64, f64)>,
    in_percent: bool,
    fuzzing: Vec<(String, Stats)>,
    others: Vec<String>,
    cores: Vec<f64>,
    events: Vec<String>,
}

impl Dashboard {
    /// Takes over the latest statistics of the steps that run.
    fn take(&mut self, latest: &[LatestStats]) {
        let is_fuzzing = |latest: &&LatestStats| matches!(latest.stats, Stats::FuzzingLiveUpdate { .. });
        let told = latest.iter().filter(|latest| !is_fuzzing(latest));
        self.others = told
            .map(|latest| format!("{}  {}", plain(&latest.step), plain(&statistics(&latest.stats))))
            .collect();
        let fuzzing: Vec<(String, Stats)> = latest
            .iter()
            .filter(is_fuzzing)
            .map(|latest| (plain(&latest.step), latest.stats.clone()))
            .collect();
        if fuzzing.is_empty() {
            // What was last known stays on the screen.
            return;
        }
        let (mut seconds, mut sum, mut percent, mut edges, mut counted) = (0.0_f64, 0.0, 0.0, 0.0, 0.0);
        for (_, stats) in &fuzzing {
            let Stats::FuzzingLiveUpdate { executions, coverage, elapsed_time, details, .. } = stats else {
                continue;
            };
            seconds = seconds.max(number(*elapsed_time));
            sum += number(*executions);
            edges += details.get("edges").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
            if let Some(share) = coverage {
                percent += share;
                counted += 1.0;
            }
        }
        self.in_percent = counted > 0.0;
        let covered = if self.in_percent { percent / counted } else { edges };
        for (curve, value) in [(&mut self.executions, sum), (&mut self.coverage, covered)] {
            // A run that was taken up again counts from the beginning.
            if curve.last().is_some_and(|(last, _)| *last > seconds) {
                curve.clear();
            }
            match curve.last_mut() {
                Some(last) if last.0 >= seconds => last.1 = value,
                _ => curve.push((seconds, value)),
            }
            if curve.len() > POINTS {
                let mut keep = false;
                curve.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
        }
        self.fuzzing = fuzzing;
    }

    fn draw(&self, frame: &mut Frame, summary: &RunSummary) {
        let cores = u16::try_from(self.cores.len().min(16)).unwrap_or(16);
        let steps = u16::try_from((self.fuzzing.len() * 2 + self.others.len()).min(12)).unwrap_or(12);
        let [head, curves, numbers, load, events] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(6),
            Constraint::Length(steps.max(1) + 2),
            Constraint::Length(if cores == 0 { 0 } else { cores + 2 }),
            Constraint::Length(7),
        ])
        .areas(frame.area());
        let title = format!("{} on {}", summary.workflow, plain(&summary.target));
        let state = format!("run {}  {}   q leaves, the run goes on", summary.run_id, summary.status);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Paragraph::new(vec![Line::styled(title, bold), Line::raw(state)]), head);
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(curves);
        let unit = if self.in_percent { "coverage, %" } else { "coverage, edges" };
        curve(frame, left, unit, &self.coverage, Color::Green);
        curve(frame, right, "executions", &self.executions, Color::Cyan);
        let lines: Vec<Line> =
            self.fuzzing.iter().flat_map(|(step, stats)| numbers_of(step, stats)).collect();
        let lines = lines.into_iter().chain(self.others.iter().map(|text| Line::raw(text.clone())));
        let mut lines: Vec<Line> = lines.collect();
        if lines.is_empty() {
            lines.push(Line::raw("no statistics yet"));
        }
        frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("steps")), numbers);
        self.draw_load(frame, load);
        let events_text: Vec<Line> = self.events.iter().map(|line| Line::raw(line.clone())).collect();
        frame.render_widget(Paragraph::new(events_text).block(Block::bordered().title("events")), events);
    }

    fn draw_load(&self, frame: &mut Frame, area: Rect) {
        if area.height < 3 {
            return;
        }
        let block = Block::bordered().title("cores");
        let inside = block.inner(area);
        frame.render_widget(block, area);
        let rows = Layout::vertical(vec![Constraint::Length(1); usize::from(inside.height)]).split(inside);
        for (core, (row, share)) in rows.iter().zip(&self.cores).enumerate() {
            let label = format!("{core:>3} {:>4.0} %", share * 100.0);
            let gauge = LineGauge::default().ratio(share.clamp(0.0, 1.0)).label(label);
            frame.render_widget(gauge.filled_style(Style::new().fg(Color::Yellow)), *row);
        }
    }
}

/// What is known of a fuzzing step, on two lines.
fn numbers_of(step: &str, stats: &Stats) -> Vec<Line<'static>> {
    let Stats::FuzzingLiveUpdate {
        executions,
        executions_per_sec,
        crashes,
        unique_crashes,
        corpus_size,
        coverage,
        elapsed_time,
        details,
    } = stats
    else {
        return Vec::new();
    };
    let coverage = coverage.map(|share| format!("  coverage {share:.1} %")).unwrap_or_default();
    let first = format!(
        "{step}  {}  {executions} executions  {executions_per_sec:.0}/s  corpus {corpus_size}{coverage}",
        Span::new(Duration::from_secs(*elapsed_time))
    );
    let mut second = format!("    unique crashes {unique_crashes}  of {crashes}");
    for name in ["edges", "features", "stability", "last_find"] {
        if let Some(value) = details.get(name).and_then(serde_json::Value::as_f64) {
            let unit = match name {
                "last_find" => " s ago",
                "stability" => " %",
                _ => "",
            };
            let _ = write!(second, "  {} {value:.0}{unit}", name.replace('_', " "));
        }
    }
    let style = if *unique_crashes > 0 { Style::new().fg(Color::Red) } else { Style::new() };
    vec![Line::raw(first), Line::styled(second, style)]
}

fn curve(frame: &mut Frame, area: Rect, title: &str, points: &[(f64, f64)], color: Color) {
    let end = points.last().map_or(1.0, |(seconds, _)| seconds.max(1.0));
    let top = points.iter().map(|(_, value)| *value).fold(1.0, f64::max) * 1.05;
    let data = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::new().fg(color))
        .data(points);
    let x = Axis::default().bounds([0.0, end]).labels(["0 s".to_owned(), format!("{end:.0} s")]);
    let y = Axis::default().bounds([0.0, top]).labels(["0".to_owned(), short(top / 1.05)]);
    let last = points.last().map(|(_, value)| format!(": {}", short(*value))).unwrap_or_default();
    let block = Block::bordered().title(format!("{title}{last}"));
    frame.render_widget(Chart::new(vec![data]).block(block).x_axis(x).y_axis(y), area);
}

/// A number in at most five characters.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e9 => format!("{:.1} G", value / 1e9),
        value if value >= 1e6 => format!("{:.1} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "points on a screen")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunStatus;
    use ratatui::Terminal as Screen;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn stats(seconds: u64, executions: u64, coverage: Option<f64>) -> LatestStats {
        let mut details = std::collections::BTreeMap::new();
        details.insert("edges".to_owned(), json!(15));
        details.insert("stability".to_owned(), json!(100.0));
        let stats = Stats::FuzzingLiveUpdate {
            executions,
            executions_per_sec: 1000.0,
            crashes: 9,
            unique_crashes: 2,
            corpus_size: 12,
            coverage,
            elapsed_time: seconds,
            details,
        };
        LatestStats { step: "fuzz".into(), at_ms: seconds.saturating_mul(1000), stats }
    }

    fn summary() -> RunSummary {
        RunSummary {
            run_id: RunId::new("run-00000001").unwrap(),
            workflow: "libfuzzer_fuzzing".into(),
            workflow_version: "1.0.0".into(),
            target: "/src/app\u{1b}[2J".into(),
            status: RunStatus::Running,
            owned: true,
            error: None,
            parent: None,
            forked_from: None,
            submitted_ms: 0,
            updated_ms: 0,
            ended_ms: None,
        }
    }

    fn drawn(dashboard: &Dashboard, (width, height): (u16, u16)) -> String {
        let mut screen = Screen::new(TestBackend::new(width, height)).unwrap();
        screen.draw(|frame| dashboard.draw(frame, &summary())).unwrap();
        screen.backend().to_string()
    }

    #[test]
    fn a_fuzzing_run_is_drawn() {
        let mut dashboard =
            Dashboard { cores: vec![0.5, 1.0], events: vec!["it began".into()], ..Dashboard::default() };
        for seconds in 0..60 {
            dashboard.take(&[stats(
                seconds,
                seconds * 1000,
                Some(10.0 + f64::from(u32::try_from(seconds).unwrap())),
            )]);
        }
        let screen = drawn(&dashboard, (100, 34));
        for text in [
            "libfuzzer_fuzzing on /src/app",
            "run-00000001  running",
            "coverage, %: 69",
            "executions: 59 k",
            "59 s",
            "59000 executions  1000/s  corpus 12  coverage 69.0 %",
            "unique crashes 2  of 9  edges 15  stability 100 %",
            "  0   50 %",
            "  1  100 %",
            "it began",
        ] {
            assert!(screen.contains(text), "{text} is missing:\n{screen}");
        }
        // Braille: both curves are there.
        assert!(screen.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count() > 20, "{screen}");
        assert!(!screen.contains('\u{1b}'));
    }

    #[test]
    fn any_size_and_any_numbers_are_bearable() {
        let mut dashboard = Dashboard::default();
        for size in [(1, 1), (2, 3), (20, 5), (300, 100)] {
            let _ = drawn(&dashboard, size);
        }
        assert!(drawn(&dashboard, (80, 24)).contains("no statistics yet"));
        dashboard.take(&[stats(u64::MAX, u64::MAX, None), stats(0, 0, None)]);
        assert!(drawn(&dashboard, (80, 24)).contains("coverage, edges: 30"));
        for seconds in 0..10_000 {
            dashboard.take(&[stats(seconds, seconds, Some(f64::NAN))]);
        }
        assert!(dashboard.executions.len() <= POINTS, "{}", dashboard.executions.len());
        let _ = drawn(&dashboard, (80, 24));
    }
}
