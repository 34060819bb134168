//! Expressions: CEL over `params`, `steps` and the item of a `foreach`.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::objects::{Key, Map};
use cel::{Context, Program};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

/// A parsed expression.
///
/// ```
/// use crashwise_runner::definition::Expression;
/// use std::collections::BTreeMap;
/// let depth = Expression::parse("params.depth > 2 ? 'deep' : 'flat'").unwrap();
/// let names = BTreeMap::from([("params".to_owned(), serde_json::json!({"depth": 3}))]);
/// assert_eq!(depth.evaluate(&names).unwrap(), "deep");
/// ```
#[derive(Clone)]
pub struct Expression {
    text: String,
    program: Arc<Program>,
    names: BTreeSet<Vec<String>>,
    functions: BTreeSet<String>,
    order_varies: bool,
    /// At most how deep its tree is.
    levels: usize,
}

/// Why an expression could not be parsed or has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expression `{text}` {problem}")]
pub struct ExpressionError {
    /// The expression.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ExpressionError {
    fn new(text: &str, problem: impl Into<String>) -> Self {
        let text = if text.chars().count() > 80 {
            text.chars().take(79).chain(['…']).collect()
        } else {
            text.into()
        };
        Self { text, problem: problem.into() }
    }
}

impl Expression {
    /// The most bytes of an expression.
    pub const MAX_BYTES: usize = 1024;

    /// The most opening brackets of an expression. With [`Self::MAX_OPERATORS`] they bound the depth of its tree, which the
    /// parser and the evaluation go down recursively.
    pub const MAX_BRACKETS: usize = 20;

    /// The most operators and dots of an expression.
    pub const MAX_OPERATORS: usize = 60;

    /// Parses an expression.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ExpressionError::new(text, "is empty"));
        }
        if text.len() > Self::MAX_BYTES {
            return Err(ExpressionError::new(text, format!("is longer than {} bytes", Self::MAX_BYTES)));
        }
        let mut levels = 1;
        for (what, of, most) in [
            ("brackets", "([{", Self::MAX_BRACKETS),
            ("operators and dots", "+-*/%<>=!&|?.", Self::MAX_OPERATORS),
        ] {
            let count = text.chars().filter(|c| of.contains(*c)).count();
            levels += count;
            if count > most {
                return Err(ExpressionError::new(
                    text,
                    format!("has {count} {what}: expected at most {most}"),
                ));
            }
        }
        let program = deep(text, || Program::compile(text))?.map_err(|errors| {
            let first = errors.errors.first();
            let message = first.map_or_else(
                || errors.to_string(),
                |error| format!("column {}: {}", error.pos.1.max(1), one_line(&error.msg)),
            );
            ExpressionError::new(text, format!("is not valid CEL: {message}"))
        })?;
        let mut reader = Reader::default();
        reader.read(program.expression(), &mut Vec::new());
        Ok(Self {
            text: text.to_owned(),
            program: Arc::new(program),
            names: reader.names,
            functions: reader.functions,
            order_varies: reader.comprehends,
            levels,
        })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names it refers to, each as far as it can be known: `steps.scan.counts.high` is `[steps, scan, counts, high]`.
    pub fn names(&self) -> impl Iterator<Item = &[String]> {
        self.names.iter().map(Vec::as_slice)
    }

    /// The functions it calls that there are not.
    pub(super) fn unknown_functions(&self) -> Vec<&str> {
        // A function can be added only under a name that none has.
        let free = |name: &&str| Context::default().add_function(name, |_: i64| 0_i64).is_ok();
        self.functions.iter().map(String::as_str).filter(free).collect()
    }

    /// Whether its value may differ between evaluations: CEL goes through maps in any order.
    pub(super) fn order_varies(&self) -> bool {
        self.order_varies
    }

    /// Evaluates it with values for its outermost names.
    pub fn evaluate(&self, names: &BTreeMap<String, Value>) -> Result<Value, ExpressionError> {
        if self.levels <= 8 { self.value(names) } else { deep(&self.text, || self.value(names))? }
    }

    fn value(&self, names: &BTreeMap<String, Value>) -> Result<Value, ExpressionError> {
        let mut context = Context::default();
        for (name, value) in names {
            context.add_variable_from_value(name.as_str(), to_cel(value));
        }
        let failed = |what: &str, error: String| {
            ExpressionError::new(&self.text, format!("{what}: {}", one_line(&error)))
        };
        let value =
            self.program.execute(&context).map_err(|error| failed("has no value", error.to_string()))?;
        value.json().map_err(|error| failed("gives no JSON", error.to_string()))
    }

    /// Evaluates a condition.
    pub fn holds(&self, names: &BTreeMap<String, Value>) -> Result<bool, ExpressionError> {
        match self.evaluate(names)? {
            Value::Bool(holds) => Ok(holds),
            other => {
                let problem = format!(
                    "is a condition, so it must be true or false; it is {}",
                    one_line(&other.to_string())
                );
                Err(ExpressionError::new(&self.text, problem))
            }
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Does work that goes down the tree of an expression on a stack that is deep enough: built without optimisation, parser and
/// evaluation take tens of kilobytes for each level.
fn deep<T: Send>(text: &str, work: impl FnOnce() -> T + Send) -> Result<T, ExpressionError> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, work);
        let done = worker.ok().and_then(|worker| worker.join().ok());
        done.ok_or_else(|| ExpressionError::new(text, "could not be handled"))
    })
}

fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 160 { line.chars().take(159).chain(['…']).collect() } else { line }
}

/// Whole numbers become CEL's `int`, so that `1 + steps.a.counts.high` has one type.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => cel::Value::Bool(*it),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(it), _) => cel::Value::Int(it),
            (None, Some(it)) => cel::Value::UInt(it),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(it) => cel::Value::String(Arc::new(it.clone())),
        Value::Array(items) => cel::Value::List(items.iter().map(to_cel).collect::<Vec<_>>().into()),
        Value::Object(entries) => {
            let map: HashMap<Key, cel::Value> =
                entries.iter().map(|(name, value)| (Key::from(name.clone()), to_cel(value))).collect();
            cel::Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// Names of types, which are values in CEL.
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Collects the names that an expression refers to.
#[derive(Default)]
struct Reader {
    names: BTreeSet<Vec<String>>,
    functions: BTreeSet<String>,
    comprehends: bool,
}

impl Reader {
    /// `bound` are the variables of the comprehensions around.
    fn read<'e>(&mut self, expr: &'e IdedExpr, bound: &mut Vec<&'e str>) {
        if let Some(path) = path(&expr.expr) {
            if !bound.contains(&path[0].as_str()) && !TYPES.contains(&path[0].as_str()) {
                self.names.insert(path);
            }
            return;
        }
        match &expr.expr {
            Expr::Call(call) => {
                if call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    self.functions.insert(call.func_name.clone());
                }
                if let Some(target) = &call.target {
                    self.read(target, bound);
                }
                call.args.iter().for_each(|argument| self.read(argument, bound));
            }
            Expr::Comprehension(comprehension) => {
                self.comprehends = true;
                self.read(&comprehension.iter_range, bound);
                let depth = bound.len();
                bound.push(&comprehension.iter_var);
                bound.push(&comprehension.accu_var);
                bound.extend(comprehension.iter_var2.as_deref());
                for part in [
                    &comprehension.accu_init,
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ] {
                    self.read(part, bound);
                }
                bound.truncate(depth);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.read(element, bound)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr, bound)),
            Expr::Struct(of) => of.entries.iter().for_each(|entry| self.entry(&entry.expr, bound)),
            Expr::Select(select) => self.read(&select.operand, bound),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entry<'e>(&mut self, entry: &'e EntryExpr, bound: &mut Vec<&'e str>) {
        match entry {
            EntryExpr::StructField(field) => self.read(&field.value, bound),
            EntryExpr::MapEntry(entry) => {
                self.read(&entry.key, bound);
                self.read(&entry.value, bound);
            }
        }
    }
}

/// `a.b["c"]` as `[a, b, c]`; none for anything else.
fn path(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => {
            let mut path = path(&select.operand.expr)?;
            path.push(select.field.clone());
            Some(path)
        }
        Expr::Call(call) if call.func_name == "_[_]" && call.args.len() == 2 => {
            let mut path = path(&call.args[0].expr)?;
            match &call.args[1].expr {
                Expr::Literal(LiteralValue::String(field)) => path.push(field.inner().to_owned()),
                _ => return None,
            }
            Some(path)
        }
        _ => None,
    }
}
