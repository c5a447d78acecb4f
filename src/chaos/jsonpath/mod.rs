//! The JSON paths of tolerances: the dialect of `jsonpath2`, which experiments are written in.
//!
//! In: a path and a value. Out: the values it finds, in order. It is not RFC 9535: equality is `=`,
//! names in brackets have double quotes, a filter looks at the value itself and not at its children,
//! `or` binds closer than `and`.

mod eval;
mod lex;
mod parse;

use serde_json::Value;

/// A path that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    steps: Vec<Step>,
}

/// A path that makes no sense, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct PathError {
    /// Counted from one.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// `..`: here and everywhere below.
    deep: bool,
    picks: Vec<Pick>,
}

#[derive(Debug, Clone, PartialEq)]
enum Pick {
    Name(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>, Option<i64>),
    All,
    Filter(Test),
    /// The name or index that another path finds.
    By(Operand),
    Call(Function, Vec<Operand>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    CharAt,
    Entries,
    Keys,
    Length,
    Substring,
    Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Root(Vec<Step>),
    Here(Vec<Step>),
    Literal(Value),
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Some(Operand),
    Compare(Operand, Operator, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Path {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse::path(text)
    }

    /// The values that the path finds.
    pub fn find(&self, root: &Value) -> Vec<Value> {
        eval::find(&self.steps, root, root)
    }
}
