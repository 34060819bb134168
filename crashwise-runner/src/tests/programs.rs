//! Random programs, against a model of a few lines.

use super::program::{Interpreter, Model, program};
use super::random::Random;
use crate::{Durability, RunRequest, RunStatus, Runner, RunnerBuilder};
use crashwise_core::Target;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn batch(
    builder: impl Fn(Interpreter) -> RunnerBuilder,
    seeds: std::ops::Range<u64>,
    restarts: u32,
) -> u64 {
    let interpreter = Interpreter::default();
    let mut runner: Runner = builder(interpreter.clone()).build().unwrap();
    let mut runs = Vec::new();
    for seed in seeds {
        let request = RunRequest::new("program", Target::Directory(".".into()))
            .with_params(json!({"seed": seed, "depth": 0}));
        let handle = runner.submit(request).await.unwrap();
        let mut model = Model::default();
        let expect = model.run(&program(&mut Random(seed), 0));
        for n in 1..=model.signals {
            handle.signal("number", json!(n)).await.unwrap();
        }
        runs.push((seed, expect, model, handle.id().clone()));
    }
    for _ in 0..restarts {
        tokio::time::sleep(Duration::from_millis(20)).await;
        runner.shutdown().await;
        interpreter.parked.lock().unwrap().clear();
        runner = builder(interpreter.clone()).build().unwrap();
    }
    for (seed, expect, model, id) in runs {
        let handle = runner.handle(&id).unwrap();
        if model.cancelled {
            interpreter.parked(id.as_str()).await;
            handle.cancel().await.unwrap();
        }
        let report = handle.wait().await.unwrap();
        let (status, output) = if model.cancelled {
            (RunStatus::Cancelled, Value::Null)
        } else {
            (RunStatus::Completed, Value::from(expect))
        };
        assert_eq!((report.status, &report.output), (status, &output), "seed {seed}: {report:?}");
        let mut undone = interpreter.undone.lock().unwrap().remove(id.as_str()).unwrap_or_default();
        let mut expect = if model.cancelled { model.undo } else { Vec::new() };
        expect.reverse();
        if model.side_by_side {
            undone.sort_unstable();
            expect.sort_unstable();
        }
        assert_eq!(undone, expect, "seed {seed} undoes what it did, in reverse");
    }
    let (asked, made) = (interpreter.asked.load(Ordering::Relaxed), interpreter.made.load(Ordering::Relaxed));
    assert!(made >= 20 && made < asked, "{made} results for {asked} requests: the cache is used");
    let carried_out = interpreter.carried_out.lock().unwrap();
    for (step, count) in carried_out.iter() {
        assert!(*count <= 1 + u64::from(restarts), "{step} was carried out {count} times");
    }
    interpreter.steps.load(Ordering::Relaxed)
}

#[test]
fn random_programs_do_what_the_model_says_in_memory() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut steps = 0;
    for part in 0..10 {
        let builder = |interpreter| Runner::builder().workflow(interpreter).max_concurrent(100);
        // A runner keeps a thousand runs at hand.
        steps += runtime.block_on(batch(builder, part * 500..(part + 1) * 500, 0));
    }
    assert!(steps > 6_000, "{steps}");
}

#[test]
fn random_programs_do_what_the_model_says_over_restarts() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut steps = 0;
    for part in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let builder = |interpreter| {
            Runner::builder()
                .state_dir(folder.path())
                .durability(Durability::Relaxed)
                .workflow(interpreter)
                .max_concurrent(100)
        };
        steps += runtime.block_on(batch(builder, part * 500..(part + 1) * 500, 2));
    }
    assert!(steps > 6_000, "{steps}");
}
