//! What a path finds in a value.

use super::{Function, Operand, Operator, Pick, Step, Test};
use crate::chaos::py;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The values that the steps find, from `here` on.
pub(super) fn find(steps: &[Step], root: &Value, here: &Value) -> Vec<Value> {
    let Some((step, rest)) = steps.split_first() else {
        return vec![here.clone()];
    };
    let mut found = Vec::new();
    for value in step.picks.iter().flat_map(|pick| pick.of(root, here)) {
        found.extend(find(rest, root, &value));
    }
    if step.deep {
        for child in children(here) {
            found.extend(find(steps, root, child));
        }
    }
    found
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

impl Pick {
    fn of(&self, root: &Value, here: &Value) -> Vec<Value> {
        match self {
            Self::Name(name) => here.get(name).cloned().into_iter().collect(),
            Self::Index(index) => item(here, *index).into_iter().collect(),
            Self::Slice(start, end, step) => slice(here, *start, *end, *step),
            Self::All => children(here).into_iter().cloned().collect(),
            Self::Filter(test) if test.holds(root, here) => vec![here.clone()],
            Self::Filter(_) => Vec::new(),
            Self::By(path) => path
                .values(root, here)
                .iter()
                .filter_map(|key| by(here, key))
                .collect(),
            Self::Call(function, arguments) => calls(*function, arguments, root, here),
        }
    }
}

fn item(here: &Value, index: i64) -> Option<Value> {
    let items = here.as_array()?;
    let index = if index < 0 {
        index + i64::try_from(items.len()).ok()?
    } else {
        index
    };
    items.get(usize::try_from(index).ok()?).cloned()
}

fn by(here: &Value, key: &Value) -> Option<Value> {
    match key {
        Value::String(name) => here.get(name).cloned(),
        Value::Bool(yes) => item(here, i64::from(*yes)),
        Value::Number(n) => item(here, n.as_i64()?),
        _ => None,
    }
}

/// Indices of a slice as `jsonpath2` counts them, which for steps below zero is not Python's way.
fn slice(here: &Value, start: Option<i64>, end: Option<i64>, step: Option<i64>) -> Vec<Value> {
    let Some(items) = here.as_array() else {
        return Vec::new();
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let start = match start {
        Some(start) if start < 0 && -start < length => start + length,
        Some(start) if start < 0 => 0,
        other => other.unwrap_or(0),
    };
    let end = end.map_or(length, |end| if end < 0 { end + length } else { end });
    let step = step.unwrap_or(1);
    let mut found = Vec::new();
    let mut index = start;
    while (step > 0 && index < end.min(length)) || (step < 0 && index > end.max(-length - 1)) {
        found.extend(item(here, index));
        index += step;
    }
    found
}

impl Operand {
    fn values(&self, root: &Value, here: &Value) -> Vec<Value> {
        match self {
            Self::Root(steps) => find(steps, root, root),
            Self::Here(steps) => find(steps, root, here),
            Self::Literal(value) => vec![value.clone()],
        }
    }
}

impl Test {
    fn holds(&self, root: &Value, here: &Value) -> bool {
        match self {
            Self::And(tests) => tests.iter().all(|test| test.holds(root, here)),
            Self::Or(tests) => tests.iter().any(|test| test.holds(root, here)),
            Self::Not(test) => !test.holds(root, here),
            Self::Some(Operand::Literal(value)) => py::truth(value),
            Self::Some(path) => !path.values(root, here).is_empty(),
            Self::Compare(left, operator, right) => {
                let right = right.values(root, here);
                let left = left.values(root, here);
                let mut pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
                pairs.any(|(a, b)| operator.holds(a, b))
            }
        }
    }
}

impl Operator {
    fn holds(self, a: &Value, b: &Value) -> bool {
        let order = || py::number_order(a, b);
        match self {
            Self::Equal => py::equal(a, b),
            Self::NotEqual => !py::equal(a, b),
            Self::Less => order() == Some(Ordering::Less),
            Self::AtMost => order().is_some_and(Ordering::is_le),
            Self::Greater => order() == Some(Ordering::Greater),
            Self::AtLeast => order().is_some_and(Ordering::is_ge),
        }
    }
}

/// A call with every combination of what its arguments find.
fn calls(function: Function, arguments: &[Operand], root: &Value, here: &Value) -> Vec<Value> {
    let mut lists: Vec<Vec<Value>> = vec![Vec::new()];
    for argument in arguments {
        let values = argument.values(root, here);
        let longer = |list: &Vec<Value>| {
            let list = list.clone();
            values
                .iter()
                .map(move |value| {
                    let mut list = list.clone();
                    list.push(value.clone());
                    list
                })
                .collect::<Vec<_>>()
        };
        lists = lists.iter().flat_map(longer).collect();
    }
    lists
        .iter()
        .filter_map(|list| call(function, list, here))
        .collect()
}

fn call(function: Function, arguments: &[Value], here: &Value) -> Option<Value> {
    match (function, arguments) {
        (Function::CharAt, [index]) => {
            let text: Vec<char> = here.as_str()?.chars().collect();
            let index = place(index)?;
            let index = if index < 0 {
                index + i64::try_from(text.len()).ok()?
            } else {
                index
            };
            Some(json!(text.get(usize::try_from(index).ok()?)?))
        }
        (Function::Substring, [start]) => substring(here.as_str()?, place(start)?, i64::MAX),
        (Function::Substring, [start, end]) => {
            substring(here.as_str()?, place(start)?, place(end)?)
        }
        (Function::Length, []) => match here {
            Value::Array(items) => Some(json!(items.len())),
            Value::String(text) => Some(json!(text.chars().count())),
            _ => None,
        },
        (Function::Keys, []) => match here {
            Value::Object(map) => Some(map.keys().cloned().collect()),
            Value::Array(items) => Some((0..items.len()).map(|n| json!(n)).collect()),
            _ => None,
        },
        (Function::Values, []) => match here {
            Value::Object(map) => Some(map.values().cloned().collect()),
            Value::Array(_) => Some(here.clone()),
            _ => None,
        },
        (Function::Entries, []) => match here {
            Value::Object(map) => Some(map.iter().map(|(k, v)| json!([k, v])).collect()),
            Value::Array(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(n, v)| json!([n, v]))
                    .collect(),
            ),
            _ => None,
        },
        _ => None,
    }
}

fn place(value: &Value) -> Option<i64> {
    value.as_bool().map(i64::from).or_else(|| value.as_i64())
}

fn substring(text: &str, start: i64, end: i64) -> Option<Value> {
    let length = i64::try_from(text.chars().count()).ok()?;
    let clamp = |n: i64| {
        if n < 0 {
            (n + length).max(0)
        } else {
            n.min(length)
        }
    };
    let (start, end) = (clamp(start), clamp(end));
    let text = text.chars().skip(usize::try_from(start).ok()?);
    Some(json!(
        text.take(usize::try_from((end - start).max(0)).ok()?)
            .collect::<String>()
    ))
}
