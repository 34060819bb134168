//! What the processes of a piece of work have to be protected by, and what they were.
//!
//! A runner puts it over the future of a step, and everything that starts a process below finds it there: modules need not pass it
//! on. It does not follow into tasks that are spawned; a module that spawns some carries it over with [`Protection::current`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Level and program of processes, to what each layer was enforced by.
pub type Processes = BTreeMap<String, BTreeMap<String, String>>;

/// How many kinds of processes are remembered.
const MOST: usize = 64;
/// With what the means of a layer begin that was asked for and is not enforced.
const MISSING: &str = "missing: ";

tokio::task_local! {
    static CURRENT: Arc<Protection>;
}

/// What processes have to be protected by, and what they were.
#[derive(Debug, Default)]
pub struct Protection {
    required: bool,
    seen: Mutex<Processes>,
}

impl Protection {
    /// With `required`, a process that is to be sandboxed, or to run in a container, is not started unless all that its level
    /// promises and its limits ask for can be enforced.
    pub fn new(required: bool) -> Arc<Self> {
        Arc::new(Self { required, seen: Mutex::default() })
    }

    /// Puts it over `work`.
    pub async fn over<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// What stands over the task that asks.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Whether nothing may be missing.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Remembers what a process was protected by. Of processes of one name what is missing is remembered rather than what is there.
    pub fn record(&self, name: String, layers: BTreeMap<String, String>) {
        join(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner), name, layers);
    }

    /// What was remembered so far, which is forgotten.
    pub fn take(&self) -> Processes {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds a kind of processes to others.
pub(crate) fn join(all: &mut Processes, name: String, layers: BTreeMap<String, String>) {
    if all.len() >= MOST && !all.contains_key(&name) {
        return;
    }
    let known = all.entry(name).or_default();
    for (layer, means) in layers {
        match known.get(&layer) {
            Some(before) if before.starts_with(MISSING) || !means.starts_with(MISSING) => {}
            _ => drop(known.insert(layer, means)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Processes, Protection, join};
    use std::collections::BTreeMap;

    fn layers(means: &[(&str, &str)]) -> BTreeMap<String, String> {
        means.iter().map(|(layer, means)| ((*layer).to_owned(), (*means).to_owned())).collect()
    }

    #[test]
    fn what_is_missing_once_is_missing() {
        let mut all = Processes::new();
        join(&mut all, "sandbox a".into(), layers(&[("memory", "cgroup2"), ("network", "namespace")]));
        join(&mut all, "sandbox a".into(), layers(&[("memory", "missing: none"), ("files", "landlock")]));
        join(&mut all, "sandbox a".into(), layers(&[("memory", "cgroup1")]));
        let expect = layers(&[("memory", "missing: none"), ("network", "namespace"), ("files", "landlock")]);
        assert_eq!(all, Processes::from([("sandbox a".to_owned(), expect)]));
        for number in 0..2 * MOST {
            join(&mut all, format!("limits {number}"), layers(&[]));
        }
        assert_eq!(all.len(), MOST);
    }

    #[tokio::test]
    async fn it_stands_over_what_it_is_put_over() {
        assert!(Protection::current().is_none());
        let protection = Protection::new(true);
        let found = async {
            let current = Protection::current().expect("one");
            current.record("sandbox x".into(), layers(&[("memory", "cgroup1")]));
            tokio::task::yield_now().await;
            Protection::current().is_some_and(|current| current.is_required())
        };
        assert!(std::sync::Arc::clone(&protection).over(found).await);
        assert!(Protection::current().is_none());
        assert_eq!(protection.take().len(), 1);
        assert!(protection.take().is_empty());
    }
}
