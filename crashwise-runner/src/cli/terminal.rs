//! The terminal: what is written where, and in which colours.

use super::args::{Color, Globals};
use super::exit::Failure;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use std::io::{self, BufWriter, IsTerminal, Write};

/// What is written where. Results go to standard output, everything else to standard error.
#[derive(Debug)]
pub(super) struct Terminal {
    color: Color,
    quiet: bool,
    progress: bool,
    width: Option<usize>,
}

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

impl Terminal {
    pub(super) fn new(globals: &Globals) -> Self {
        let size = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
        Self {
            color: globals.color,
            quiet: globals.quiet,
            progress: !globals.quiet && !globals.no_progress,
            width: size.map(|(terminal_size::Width(columns), _)| usize::from(columns)),
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether progress is shown at all, as bars or as lines.
    pub(super) fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Whether progress can be drawn over and over.
    pub(super) fn draws(&self) -> bool {
        self.progress
            && io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Whether standard output is a screen that can be drawn on as a whole.
    pub(super) fn is_screen(&self) -> bool {
        self.draws() && self.width.is_some() && io::stdin().is_terminal()
    }

    /// Columns of the terminal that standard output is, if it is one.
    pub(super) fn width(&self) -> Option<usize> {
        self.width
    }

    fn choice(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        match self.color {
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
            Color::Auto => AutoStream::choice(stream),
        }
    }

    /// Whether what is written to standard output is coloured.
    pub(super) fn colors_output(&self) -> bool {
        !matches!(self.choice(&io::stdout()), ColorChoice::Never)
    }

    /// Writes to standard output. A reader that went away is no error.
    pub(super) fn print(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let stdout = io::stdout();
        let choice = self.choice(&stdout);
        Self::write_to(AutoStream::new(stdout.lock(), choice), write)
    }

    /// Writes what holds no styles to standard output. A reader that went away is no error.
    pub(super) fn print_plain(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        Self::write_to(io::stdout().lock(), write)
    }

    fn write_to(
        stream: impl Write,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(1 << 16, stream);
        match write(&mut out).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                // What is left in the buffer has no reader.
                let _ = out.into_parts();
                Ok(())
            }
            Err(error) => Err(Failure::failed(format!("standard output could not be written: {error}"))),
        }
    }

    /// Says something that is not the result; nothing when it should be quiet.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.tell(text);
        }
    }

    /// Says what is wrong.
    pub(super) fn error(&self, text: &str) {
        self.tell(&format!("{BAD}error:{BAD:#} {}", plain(text)));
    }

    /// Says something that deserves attention.
    pub(super) fn warn(&self, text: &str) {
        self.note(&format!("{WARN}warning:{WARN:#} {}", plain(text)));
    }

    pub(super) fn tell(&self, text: &str) {
        let stderr = io::stderr();
        let choice = self.choice(&stderr);
        // Nobody can be told that nobody can be told.
        let _ = writeln!(AutoStream::new(stderr.lock(), choice), "{text}");
    }
}

/// Text without control characters that could steer a terminal; line ends stay.
pub(super) fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}
