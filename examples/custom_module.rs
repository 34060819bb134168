//! Shows a module of your own: a type for its configuration, a description, and what it looks for.
//!
//! Run: `cargo run --example custom_module`
//!
//! ```text
//! ["notes/note src/main.rs:2:4"], 1 file
//! ```

use crashwise_core::testing::{Conformance, ModuleTest};
use crashwise_core::{
    Finding, LineIndex, Location, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, RuleId,
    Severity, Summary, async_trait,
};
use crashwise_modules::walk::{Walk, WalkOptions, WalkedFile};

#[derive(Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NotesConfig {
    include: Vec<String>,
}

struct Notes;

#[async_trait]
impl Module for Notes {
    type Config = NotesConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("notes", "1.0.0", ModuleKind::Analyzer, "Finds notes to self.")
    }

    async fn run(&self, cx: &ModuleContext, config: NotesConfig) -> Result<Summary, ModuleError> {
        let rule = RuleId::new("notes/note").map_err(ModuleError::failed)?;
        let options = WalkOptions::new().with_include(config.include);
        let walk = Walk::new(cx.workspace(), options).map_err(ModuleError::failed)?;
        let visit = move |cx: &ModuleContext| {
            walk.run(cx, &|file: &WalkedFile, bytes: &[u8]| {
                let Some(at) = bytes.windows(4).position(|word| word == b"NOTE") else { return Ok(0) };
                let lines = LineIndex::new(bytes);
                let text = String::from_utf8_lossy(lines.line_text(bytes, at)).into_owned();
                let place = Location::new(file.path.clone()).with_region(lines.region(bytes, at..at + 4));
                let finding = Finding::new(rule.clone(), "a note to self", Severity::Low);
                cx.report(finding.with_location(place.with_snippet(text)))?;
                Ok(1)
            })
        };
        let totals = cx.blocking(visit).await?;
        Ok(Summary::new().with("files_scanned", totals.files))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Conformance::new(Notes).file("a.py", "# NOTE later\n").check().await?;
    let result = ModuleTest::new(Notes).file("src/main.rs", "fn main() {\n// NOTE finish\n}\n").run().await?;
    println!("{:?}, {} file", result.places(), result.coverage.looked_at["files"]);
    Ok(())
}
