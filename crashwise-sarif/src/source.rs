//! Findings that can be gone through more than once.

use crashwise_core::Finding;
use std::fmt;
use std::io;

/// Findings in a fixed order that can be gone through more than once, each time the same.
///
/// A report needs two passes, one for its rules and one for its results, so that it never holds all findings.
pub trait FindingSource: Send + Sync {
    /// Calls `visit` with every finding; ends with the first error.
    fn for_each(&self, visit: &mut dyn FnMut(Finding) -> io::Result<()>) -> io::Result<()>;
}

impl FindingSource for Vec<Finding> {
    fn for_each(&self, visit: &mut dyn FnMut(Finding) -> io::Result<()>) -> io::Result<()> {
        self.iter().cloned().try_for_each(visit)
    }
}

impl<S: FindingSource + ?Sized> FindingSource for Box<S> {
    fn for_each(&self, visit: &mut dyn FnMut(Finding) -> io::Result<()>) -> io::Result<()> {
        (**self).for_each(visit)
    }
}

/// Findings from a function that opens them anew each time, e.g. from files of JSON lines.
///
/// ```
/// use crashwise_core::FindingLines;
/// use crashwise_sarif::{FindingSource, Opened};
/// let lines = "{\"rule_id\":\"demo/eval\",\"title\":\"eval\",\"severity\":\"high\"}\n";
/// let source = Opened::new(move || Ok(FindingLines::new(lines.as_bytes())));
/// let mut count = 0;
/// source.for_each(&mut |_| Ok(count += 1)).unwrap();
/// assert_eq!(count, 1);
/// ```
pub struct Opened<F>(F);

impl<F> Opened<F> {
    /// Goes through what `open` returns.
    pub fn new(open: F) -> Self {
        Self(open)
    }
}

impl<F> fmt::Debug for Opened<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl<F, I> FindingSource for Opened<F>
where
    F: Fn() -> io::Result<I> + Send + Sync,
    I: IntoIterator<Item = io::Result<Finding>>,
{
    fn for_each(&self, visit: &mut dyn FnMut(Finding) -> io::Result<()>) -> io::Result<()> {
        for finding in (self.0)()? {
            visit(finding?)?;
        }
        Ok(())
    }
}
