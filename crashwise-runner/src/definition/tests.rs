use super::*;
use crate::workflows::SecurityAssessment;
use crashwise_core::testing::{FakeCall, WorkflowTest};
use crashwise_core::workflow::{
    AnyWorkflow, StepErrorKind, StepFailure, Workflow, WorkflowContext, WorkflowError,
};
use crashwise_core::{
    Metadata, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, ModuleOutput, ModuleRegistry,
    Severity, Summary,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Strict {
    depth: u8,
}

struct Named(&'static str);
struct Typed;

#[crashwise_core::async_trait]
impl Module for Named {
    type Config = BTreeMap<String, Value>;
    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(self.0, "1.0.0", ModuleKind::Scanner, "A fake")
    }
    async fn run(&self, cx: &ModuleContext, _: Self::Config) -> Result<Summary, ModuleError> {
        std::fs::write(cx.workspace().root().join("tidied"), self.0)?;
        Ok(Summary::new())
    }
}

#[crashwise_core::async_trait]
impl Module for Typed {
    type Config = Strict;
    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("typed", "1.0.0", ModuleKind::Scanner, "A fake")
    }
    async fn run(&self, _: &ModuleContext, config: Strict) -> Result<Summary, ModuleError> {
        Ok(Summary::new().with("depth", config.depth))
    }
}

fn registry() -> ModuleRegistry {
    let mut registry = ModuleRegistry::new();
    for name in ["file_scanner", "code_analyzer", "fuzzer", "tidy"] {
        registry.add(Named(name)).unwrap();
    }
    registry.add(Typed).unwrap();
    registry
}

const METADATA: &str = "
name: demo
version: 1.0.0
description: Shows it.
vertical: local
parameters:
  type: object
  properties:
    deep: {type: boolean, default: false}
    targets: {type: array, default: [a, b, c]}
";

fn parse(workflow: &str) -> Result<Definition, String> {
    let source =
        Source::new(("metadata.yaml", METADATA), ("workflow.yaml", workflow)).with_workflows(["other"]);
    Definition::parse(&source, &registry()).map_err(|problems| problems.to_string())
}

/// A definition as a workflow with types, which the test harness wants.
struct Erased(Definition);

impl Workflow for Erased {
    type Params = Value;
    type Output = Value;
    fn metadata(&self) -> Metadata {
        AnyWorkflow::metadata(&self.0)
    }
    async fn run(&self, cx: &WorkflowContext, params: Value) -> Result<Value, WorkflowError> {
        self.0.run_json(cx, params).await
    }
}

fn test(workflow: &str) -> WorkflowTest<Erased> {
    WorkflowTest::new(Erased(parse(workflow).unwrap()))
}

fn params(given: Value) -> Value {
    Metadata::from_yaml("metadata.yaml", METADATA).unwrap().check_parameters(given).unwrap()
}

fn found(module: &str, severities: &[Severity]) -> ModuleOutput {
    let mut output = ModuleOutput::new(module, "1.0.0");
    output.coverage.add("files", 3);
    for severity in severities {
        output.counts.add(*severity);
    }
    output
}

type Answer = fn(&FakeCall) -> Result<ModuleOutput, StepFailure>;

#[allow(clippy::unnecessary_wraps, reason = "an answer of a fake")]
fn high(_: &FakeCall) -> Result<ModuleOutput, StepFailure> {
    Ok(found("file_scanner", &[Severity::High]))
}

#[allow(clippy::unnecessary_wraps, reason = "an answer of a fake")]
fn none(_: &FakeCall) -> Result<ModuleOutput, StepFailure> {
    Ok(found("file_scanner", &[]))
}

#[test]
fn what_is_wrong_is_said_before_a_run() {
    for (workflow, expect) in [
        ("steps: []", "workflow.yaml:1:1: steps: "),
        ("steps: [{id: a, modul: fuzzer}]", "1:17: steps[0].modul: unknown key (did you mean \"module\"?)"),
        ("steps: [{id: A, sleep: 1s}]", "steps[0].id: expected"),
        ("steps: [{module: fuzzer}]", "steps[0].id: is required"),
        ("steps: [{id: a}]", "steps[0]: does nothing: expected one of module, workflow"),
        ("steps: [{id: a, sleep: 1s, module: fuzzer}]", "does several things (module, sleep)"),
        (
            "steps:\n  - id: a\n    module: fuzer\n",
            "workflow.yaml:3:5: steps[0].module: there is no module named \"fuzer\" (did you mean \"fuzzer\"?)",
        ),
        ("steps: [{id: a, workflow: othr}]", "there is no workflow named \"othr\" (did you mean \"other\"?)"),
        ("steps: [{id: a, workflow: demo}]", "a workflow cannot be a step of itself"),
        (
            "steps: [{id: a, sleep: 1s}, {id: a, sleep: 1s}]",
            "steps[1].id: a step before this one is named \"a\" too",
        ),
        ("steps: [{id: a, sleep: 1s, needs: [b]}]", "there is no step named \"b\""),
        (
            "steps: [{id: a, sleep: 1s, needs: [b]}, {id: b, sleep: 1s, needs: [a]}]",
            "steps wait for each other: a needs b needs a",
        ),
        ("steps: [{id: a, sleep: 1s, needs: [a]}]", "steps wait for each other: a needs a"),
        (
            "steps: [{id: a, sleep: 1s, retry: {maximum_attempts: 2}}]",
            "steps[0].retry: is for steps with module, and this step has sleep",
        ),
        ("steps: [{id: a, sleep: soon}]", "steps[0].sleep: expected a duration"),
        (
            "steps: [{id: a, module: fuzzer, when: 'params.dep'}]",
            "`params.dep` names no parameter (did you mean \"deep\"?)",
        ),
        (
            "steps: [{id: a, module: fuzzer, when: 'steps.b.status == \"x\"'}]",
            "`steps.b.status` names no step",
        ),
        ("steps: [{id: a, module: fuzzer, when: 'steps.a.counts.high > 0'}]", "is the step itself"),
        ("steps: [{id: a, module: fuzzer, when: 'size(steps) > 0'}]", "names no step"),
        ("steps: [{id: a, module: fuzzer, when: 'true &&'}]", "is not valid CEL: column"),
        ("steps: [{id: a, module: fuzzer, when: 'sise(params) > 0'}]", "there is no function named \"sise\""),
        (
            "steps: [{id: a, module: fuzzer, when: 'parms.deep'}]",
            "`parms.deep` is not known (did you mean \"params\"?)",
        ),
        ("steps: [{id: a, module: fuzzer, with: {x: '${{ item }}'}}]", "`item` is not known"),
        (
            "steps: [{id: a, module: fuzzer, with: {x: '${{ params.deep'}}]",
            "steps[0].with.x: has a `${{` without its `}}`",
        ),
        (
            "steps: [{id: a, module: fuzzer}, {id: b, module: fuzzer, with: {x: '${{ steps.a.cuonts }}'}}]",
            "names nothing that step \"a\" has: expected one of status",
        ),
        ("steps: [{id: a, module: fuzzer, foreach: {in: abc}}]", "steps[0].foreach.in: expected a list"),
        (
            "steps: [{id: a, module: fuzzer, foreach: {in: [1], limit: 0}}]",
            "steps[0].foreach.limit: expected at least 1",
        ),
        (
            "steps: [{id: a, module: typed, with: {dept: 1}}]",
            "steps[0].with: dept: unknown key (did you mean \"depth\"?)",
        ),
        (
            "steps: [{id: a, module: typed, cleanup: {module: tidi}}]",
            "steps[0].cleanup.module: there is no module named \"tidi\" (did you mean \"tidy\"?)",
        ),
        (
            "steps: [{id: a, sleep: 1s}]\noutputs: {x: '${{ steps.c.status }}'}",
            "workflow.yaml:2:11: outputs.x: expression",
        ),
        ("steps: [{id: a, sleep: 1s", "not valid YAML"),
    ] {
        let problems = parse(workflow).expect_err(workflow);
        assert!(problems.contains(expect), "{workflow}\nexpected: {expect}\nfound: {problems}");
    }
}

#[test]
fn hostile_expressions_end() {
    for text in [
        format!("{}1{}", "(".repeat(20), ")".repeat(20)),
        format!("{}1{}", "-(true?".repeat(20), ":0)".repeat(20)),
        format!("{}1{}", "[{1:".repeat(20), "}]".repeat(20)),
        format!("{}true", "!".repeat(60)),
        format!("{}1", "-".repeat(60)),
        format!("{}1", "1+".repeat(60)),
        format!("a{}", ".b".repeat(60)),
        format!("a{}", "[0]".repeat(20)),
        format!("{}1", "true?1:".repeat(60)),
        format!("{}[]{}", "[1].map(a,".repeat(19), ")".repeat(19)),
        "(".repeat(1000),
        "!".repeat(1000),
        "-".repeat(1000),
        format!("{}1", "1+".repeat(500)),
        format!("[{}]", "[".repeat(900)),
        format!("a{}", ".b".repeat(500)),
        format!("a{}", "[0]".repeat(330)),
        format!("{}1", "true?1:".repeat(140)),
        "x".repeat(2000),
    ] {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.evaluate(&BTreeMap::new());
        }
    }
}

#[tokio::test]
async fn data_flows_and_steps_without_needs_run_side_by_side() {
    let test = test("
steps:
  - {id: scan, module: file_scanner}
  - {id: stock, module: code_analyzer}
  - id: fuzz
    module: fuzzer
    with: {depth: '${{ steps.scan.counts.total + 1 }}', name: 'found ${{ steps.scan.counts.high }} in $${{', raw: '${{ {\"a\": {\"b\": 1}} }}'}
outputs:
  high: ${{ steps.scan.counts.high }}
  seen: ${{ steps.fuzz.summary }}
")
    .fake_taking("scan", Duration::from_secs(2), high)
    .fake_taking("stock", Duration::from_secs(5), none)
    .fake_taking("fuzz", Duration::from_secs(2), |call| {
        let mut output = found("fuzzer", &[]);
        output.summary.values.insert("config".into(), call.config.clone());
        Ok(output)
    });
    let run = test.run(params(json!({}))).await;
    assert_eq!(run.elapsed, Duration::from_secs(5));
    let output = run.result.unwrap();
    assert_eq!(output["high"], 1);
    let config = &output["seen"]["config"];
    assert_eq!(*config, json!({"depth": 2, "name": "found 1 in ${{", "raw": {"a": {"b": 1}}}));
    test.replay_from_every_prefix(params(json!({}))).await.unwrap();
}

#[tokio::test]
async fn conditions_decide_and_what_needs_a_skipped_step_is_skipped() {
    let workflow = "
steps:
  - {id: scan, module: file_scanner, when: params.deep}
  - {id: after, module: fuzzer, needs: [scan]}
  - {id: always, module: tidy, when: 'steps.scan.status in [\"skipped\", \"completed\"]'}
outputs: {scan: '${{ steps.scan.status }}', after: '${{ steps.after.status }}', always: '${{ steps.always.status }}'}
";
    let test = test(workflow).fake("*", none);
    let output = test.run(params(json!({}))).await.result.unwrap();
    assert_eq!(output, json!({"scan": "skipped", "after": "skipped", "always": "completed"}));
    let output = test.run(params(json!({"deep": true}))).await.result.unwrap();
    assert_eq!(output, json!({"scan": "completed", "after": "completed", "always": "completed"}));
    test.replay_from_every_prefix(params(json!({}))).await.unwrap();
}

#[tokio::test]
async fn foreach_keeps_its_limit_and_order() {
    let workflow = "
steps:
  - id: fuzz
    module: fuzzer
    foreach: {in: '${{ params.targets }}', as: target, limit: 2}
    with: {name: '${{ target }}'}
outputs: {names: '${{ steps.fuzz.items.map(one, one.summary.name) }}', total: '${{ steps.fuzz.counts.total }}'}
";
    let test = test(workflow).fake_taking("fuzz/*/fuzz", Duration::from_secs(1), |call| {
        let mut output = found("fuzzer", &[Severity::Low]);
        output.summary.values.insert("name".into(), call.config["name"].clone());
        Ok(output)
    });
    let run = test.run(params(json!({}))).await;
    assert_eq!(run.elapsed, Duration::from_secs(2));
    assert_eq!(run.result.unwrap(), json!({"names": ["a", "b", "c"], "total": 3}));
    test.replay_from_every_prefix(params(json!({}))).await.unwrap();
}

#[tokio::test]
async fn lists_whose_order_varies_are_kept() {
    let workflow = "
steps:
  - {id: scan, module: file_scanner}
  - id: fuzz
    module: fuzzer
    foreach: {in: '${{ steps.scan.summary.map(key, key) }}'}
    with: {name: '${{ item }}'}
";
    let test = test(workflow).fake("fuzz/*/fuzz", none).fake("scan", |_| {
        let mut output = found("file_scanner", &[]);
        for n in 0..20 {
            output.summary.values.insert(format!("key{n}"), n.into());
        }
        Ok(output)
    });
    let run = test.run(params(json!({}))).await;
    assert!(run.began("fuzz:items") && run.began("fuzz/19/fuzz"), "{:?}", run.order);
}

#[tokio::test]
async fn errors_end_the_run_or_not_as_it_is_written() {
    let fails = |_: &FakeCall| Err(StepFailure::fatal("it burns"));
    let strict = "
steps:
  - {id: scan, module: file_scanner}
  - {id: after, module: fuzzer, needs: [scan]}
";
    let run = test(strict).fake("scan", fails).fake("after", none).run(params(json!({}))).await;
    assert!(!run.began("after"));
    assert!(run.result.unwrap_err().to_string().contains("step scan failed: it burns"));

    let tolerant = "
steps:
  - {id: scan, module: file_scanner, on_error: continue}
  - {id: after, module: fuzzer, needs: [scan]}
  - {id: other, module: fuzzer, on_error: continue}
outputs: {scan: '${{ steps.scan.error }}', after: '${{ steps.after.status }}', high: '${{ steps.scan.counts.high }}'}
";
    let output =
        test(tolerant).fake("scan", fails).fake("other", none).run(params(json!({}))).await.result.unwrap();
    assert_eq!(output, json!({"scan": "step scan failed: it burns", "after": "skipped", "high": 0}));
    let nothing = test(tolerant).fake("*", fails).run(params(json!({}))).await.result.unwrap_err();
    assert!(nothing.to_string().contains("step scan failed"), "{nothing}");
    let config = |_: &FakeCall| Err(StepFailure::new(StepErrorKind::Config, "depth: expected a number"));
    let error = test(tolerant)
        .fake("scan", config)
        .fake("other", none)
        .run(params(json!({})))
        .await
        .result
        .unwrap_err();
    assert!(error.to_string().contains("depth"), "configurations are not tolerated: {error}");
}

#[tokio::test]
async fn people_time_signals_and_other_workflows() {
    let workflow = "
steps:
  - {id: nap, sleep: 1h}
  - {id: ok, approval: {prompt: 'Publish ${{ params.targets.size() }}?', timeout: 1d}, needs: [nap], on_error: continue}
  - {id: go, signal: begin, needs: [ok]}
  - {id: child, workflow: other, with: {n: '${{ steps.go.payload }}'}}
outputs: {by: '${{ steps.ok.by }}', ok: '${{ steps.ok.approved }}', child: '${{ steps.child.output }}', go: '${{ steps.go.status }}'}
";
    let yes = test(workflow).approve("ok", "ann").signal("begin", 5).fake_value("child", 7);
    let run = yes.run(params(json!({}))).await;
    assert_eq!(run.elapsed, Duration::from_hours(1));
    assert_eq!(run.result.unwrap(), json!({"by": "ann", "ok": true, "child": 7, "go": "completed"}));
    yes.replay_from_every_prefix(params(json!({}))).await.unwrap();

    let no = test(workflow).reject("ok", "bob", "not today").run(params(json!({}))).await.result.unwrap();
    assert_eq!(no, json!({"by": "bob", "ok": false, "child": null, "go": "skipped"}));
    let strict = workflow.replace(", on_error: continue", "");
    let error =
        test(&strict).reject("ok", "bob", "not today").run(params(json!({}))).await.result.unwrap_err();
    assert_eq!(error.to_string(), "\"ok\" was rejected by bob: not today");
}

#[tokio::test]
async fn cleanup_runs_its_module_when_the_step_fails() {
    let workflow = "
steps:
  - {id: fuzz, module: fuzzer, cleanup: {module: tidy}, retry: {maximum_attempts: 1}}
";
    let run =
        test(workflow).fake("fuzz", |_| Err(StepFailure::fatal("it burns"))).run(params(json!({}))).await;
    assert!(run.result.is_err());
    run.assert_order(&["fuzz", "fuzz/cleanup"]);
}

#[tokio::test]
async fn expressions_without_a_value_end_the_run_with_their_text() {
    let workflow = "
steps:
  - {id: scan, module: file_scanner, with: {x: '${{ params.targets[7] }}'}, on_error: continue}
";
    let error =
        test(workflow).fake("scan", none).run(params(json!({}))).await.result.unwrap_err().to_string();
    assert!(error.starts_with("step scan: expression `params.targets[7]` has no value"), "{error}");
    let workflow = "steps: [{id: scan, module: file_scanner, when: 'params.targets'}]";
    let error =
        test(workflow).fake("scan", none).run(params(json!({}))).await.result.unwrap_err().to_string();
    assert!(error.contains("must be true or false"), "{error}");
}

#[tokio::test]
async fn security_assessment_is_the_same_as_data() {
    let source = Source::new(
        ("metadata.yaml", include_str!("../workflows/security_assessment/metadata.yaml")),
        ("workflow.yaml", include_str!("../workflows/security_assessment/workflow.yaml")),
    );
    let data = Erased(Definition::parse(&source, &registry()).unwrap());
    let rust = AnyWorkflow::metadata(&SecurityAssessment);
    assert_eq!(Workflow::metadata(&data), rust);
    let params = rust.check_parameters(json!({"analyzer_config": {"check_sql": false}})).unwrap();
    let typed = serde_json::from_value(params.clone()).unwrap();
    let fails = |_: &FakeCall| Err(StepFailure::fatal("it burns"));
    for (scan, analyze) in [(high as Answer, none as Answer), (fails, high), (high, fails), (fails, fails)] {
        let data = WorkflowTest::new(Erased(Definition::parse(&source, &registry()).unwrap()))
            .fake("scan", scan)
            .fake("analyze", analyze);
        let rust = WorkflowTest::new(SecurityAssessment).fake("scan", scan).fake("analyze", analyze);
        let (data, rust) = (data.run(params.clone()).await, rust.run(Clone::clone(&typed)).await);
        assert_eq!(data.order, rust.order);
        match (data.result, rust.result) {
            (Ok(data), Ok(rust)) => assert_eq!(data, serde_json::to_value(rust).unwrap()),
            (Err(data), Err(rust)) => assert_eq!(data.to_string(), rust.to_string()),
            (data, rust) => panic!("{data:?} is not {rust:?}"),
        }
    }
}

#[test]
fn plans_say_what_would_run() {
    let definition = parse(
        "
steps:
  - {id: scan, module: file_scanner}
  - {id: deep, module: fuzzer, when: params.deep, foreach: {in: '${{ params.targets }}'}}
  - {id: after, module: fuzzer, needs: [deep]}
  - {id: loud, module: tidy, when: steps.scan.counts.high > 0, with: {n: '${{ params.targets.size() }}'}}
",
    )
    .unwrap();
    let forecasts = |given| {
        plan(&definition, &params(given)).into_iter().map(|step| (step.id, step.stage, step.forecast))
    };
    let depends = Forecast::Depends("steps.scan.counts.high > 0".into());
    let expect = [
        ("scan", 0, Forecast::Runs),
        ("deep", 0, Forecast::Skipped),
        ("after", 1, Forecast::Skipped),
        ("loud", 1, depends),
    ];
    let expect: Vec<_> =
        expect.into_iter().map(|(id, stage, forecast)| (id.to_owned(), stage, forecast)).collect();
    assert_eq!(forecasts(json!({})).collect::<Vec<_>>(), expect);
    let deep = plan(&definition, &params(json!({"deep": true})));
    assert_eq!((deep[1].times, &deep[1].forecast), (Some(3), &Forecast::Runs));
    assert_eq!(deep[3].with, Some(json!({"n": 3})));
}

#[test]
fn pictures() {
    let definition = parse(
        "
steps:
  - {id: scan, module: file_scanner}
  - {id: ok, approval: {prompt: x}, needs: [scan]}
  - {id: end, module: fuzzer, when: 'steps.ok.comment != \"<no>\"'}
",
    )
    .unwrap();
    let dot = dot(&definition);
    assert!(dot.contains("scan [shape=box, label=\"scan\\nmodule file_scanner\"];"), "{dot}");
    assert!(dot.contains("scan -> ok;") && dot.contains("ok -> end [style=dashed];"), "{dot}");
    assert!(dot.contains("when steps.ok.comment != \\\"<no>\\\""), "{dot}");
    let mermaid = mermaid(&definition);
    assert!(mermaid.starts_with("flowchart LR\n  s_scan[\"scan<br>module file_scanner\"]\n"), "{mermaid}");
    assert!(mermaid.contains("s_ok -.-> s_end") && mermaid.contains("&quot;&lt;no&gt;&quot;"), "{mermaid}");
}

#[test]
fn folders() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in [("one", "workflow.yaml"), ("two", "workflow.json")] {
        let at = folder.path().join(name);
        std::fs::create_dir(&at).unwrap();
        std::fs::write(at.join("metadata.yaml"), METADATA).unwrap();
        std::fs::write(at.join(file), r#"{"steps": [{"id": "a", "sleep": "1s"}]}"#).unwrap();
    }
    std::fs::create_dir(folder.path().join("none")).unwrap();
    let found = discover(folder.path()).unwrap();
    assert_eq!(found, [folder.path().join("one"), folder.path().join("two")]);
    for path in &found {
        Definition::parse(&load(path).unwrap(), &registry()).unwrap();
    }
    let error = load(&folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none holds no workflow: expected metadata.yaml and"), "{error}");
}

#[test]
fn the_published_schema_is_one() {
    let schema = crashwise_core::schema_of::<DefinitionFile>();
    let schema = crashwise_core::Schema::new(schema).unwrap();
    let workflow = json!({"steps": [{"id": "a", "module": "fuzzer", "retry": {"maximum_attempts": 2}}]});
    assert_eq!(schema.check(&workflow), []);
}

#[test]
fn the_schemas_in_the_docs_are_those_of_the_types() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
    for (name, schema) in [
        ("workflow.json", crashwise_core::schema_of::<DefinitionFile>()),
        ("metadata.json", crashwise_core::schema_of::<Metadata>()),
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let kept: Value = serde_json::from_str(&text).unwrap();
        let command = name.trim_end_matches(".json");
        assert_eq!(kept, schema, "write {name} anew with `crashwise workflow schema {command}`");
    }
}
