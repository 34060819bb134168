//! Random programs of the durable engine, against their model.

use crate::program::{Echo, Interpreter, Model, program};
use crate::random::Random;
use crate::support::Bench;
use crashwise_core::workflow::AnyWorkflow;
use crashwise_runner::RunStatus;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const PROGRAMS: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_programs_do_what_the_model_says() {
    let interpreter = Interpreter::default();
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(interpreter.clone());
    let echo = Echo(Arc::clone(&interpreter.made));
    let bench = Bench::new(&[Arc::clone(&workflow)], |modules| {
        modules.add(echo).unwrap();
    })
    .await;
    let mut runs = Vec::new();
    for seed in 0..PROGRAMS {
        let run = bench.submit(&workflow, json!({"seed": seed, "depth": 0})).await;
        let mut model = Model::default();
        let expect = model.run(&program(&mut Random(seed), 0));
        for n in 1..=model.signals {
            // One that a run that is over no longer takes was not needed.
            run.signal("number", json!(n)).await.unwrap();
        }
        runs.push((seed, expect, model, run));
    }
    for (seed, expect, model, run) in runs {
        if model.cancelled {
            let parked = interpreter.parked(run.id().as_str());
            tokio::time::timeout(Duration::from_mins(1), parked).await.expect("it gets there");
            run.cancel().await.unwrap();
        }
        let waited = tokio::time::timeout(Duration::from_mins(1), run.wait()).await;
        let report = waited.unwrap_or_else(|_| panic!("seed {seed} hangs: {run:?}")).unwrap();
        let expected = if model.cancelled {
            (RunStatus::Cancelled, Value::Null)
        } else {
            (RunStatus::Completed, Value::from(expect))
        };
        assert_eq!((report.status, report.output.clone()), expected, "seed {seed}: {report:?}");
        let mut undone = interpreter.undone.lock().unwrap().remove(run.id().as_str()).unwrap_or_default();
        let mut expect = if model.cancelled { model.undo } else { Vec::new() };
        expect.reverse();
        if model.side_by_side {
            undone.sort_unstable();
            expect.sort_unstable();
        }
        assert_eq!(undone, expect, "seed {seed} undoes what it did, in reverse");
    }
    let (asked, made) = (interpreter.asked.load(Ordering::Relaxed), interpreter.made.load(Ordering::Relaxed));
    assert!(made < asked, "{made} results for {asked} requests: the cache is used");
    for (step, count) in interpreter.carried_out.lock().unwrap().iter() {
        assert_eq!(*count, 1, "{step} was carried out {count} times");
    }
    assert!(interpreter.steps.load(Ordering::Relaxed) > 20);
}
