//! What is allowed, but probably means something else than its writer meant.

use crate::chaos::model;
use crate::chaos::place::KeyPath;
use serde_json::Value;

/// Something worth a second look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Where it is.
    pub path: KeyPath,
    /// What it is.
    pub message: String,
}

const TOP: [&str; 17] = [
    "title",
    "description",
    "tags",
    "version",
    "configuration",
    "secrets",
    "steady-state-hypothesis",
    "method",
    "rollbacks",
    "controls",
    "contributions",
    "extensions",
    "runtime",
    "dry",
    "stop-conditions",
    "contact",
    "template",
];
const HYPOTHESIS: [&str; 3] = ["title", "probes", "controls"];
const ACTIVITY: [&str; 12] = [
    "type",
    "name",
    "provider",
    "tolerance",
    "background",
    "pauses",
    "timeout",
    "controls",
    "dry",
    "ref",
    "frequency",
    "secrets",
];

/// Keys that nobody reads and that look like ones that somebody does; tolerances of two.
pub fn hints(experiment: &Value) -> Vec<Hint> {
    let top = KeyPath::top();
    let mut found = Vec::new();
    keys(experiment, &TOP, &top, &mut found);
    if let Some(hypothesis) = experiment.get("steady-state-hypothesis") {
        let path = top.key("steady-state-hypothesis");
        keys(hypothesis, &HYPOTHESIS, &path, &mut found);
        for (n, probe) in model::probes(experiment).iter().enumerate() {
            let path = path.key("probes").item(n);
            keys(probe, &ACTIVITY, &path, &mut found);
            pair(probe, &path, &mut found);
        }
    }
    for list in ["method", "rollbacks"] {
        for (n, activity) in model::list(experiment, list).iter().enumerate() {
            keys(activity, &ACTIVITY, &top.key(list).item(n), &mut found);
        }
    }
    for (n, activity) in model::list(experiment, "rollbacks").iter().enumerate() {
        let reference = activity.get("ref").and_then(Value::as_str);
        if let Some(name) = reference.filter(|name| model::lookup(experiment, name).is_none()) {
            found.push(Hint {
                path: top.key("rollbacks").item(n).key("ref"),
                message: format!("there is no activity '{name}' in method or hypothesis: this rollback would fail"),
            });
        }
    }
    found
}

fn keys(map: &Value, known: &[&str], path: &KeyPath, found: &mut Vec<Hint>) {
    for key in map.as_object().into_iter().flat_map(|map| map.keys()) {
        if known.contains(&key.as_str()) || key.starts_with("x-") {
            continue;
        }
        if let Some(near) = nearest(key, known.iter().copied()) {
            found.push(Hint {
                path: path.key(key),
                message: format!("is not read by anybody; did you mean `{near}`?"),
            });
        }
    }
}

/// `[200, 503]` is either a list or a range, and which one depends on the probe.
fn pair(probe: &Value, path: &KeyPath, found: &mut Vec<Hint>) {
    let Some([low, high]) = probe["tolerance"].as_array().map(Vec::as_slice) else {
        return;
    };
    let meaning = if probe["provider"]["type"] == "python" {
        "anything from the first to the second, for a plain value"
    } else {
        "one of the two, not anything between them"
    };
    found.push(Hint {
        path: path.key("tolerance"),
        message: format!("[{low}, {high}] means {meaning}"),
    });
}

/// The word that is most like one that was written, when it is like it at all.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', ' '], "-");
    let written = plain(written);
    known
        .map(|word| (distance(&written, &plain(word)), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 5 && *distance < word.len())
        .min()
        .map(|(_, word)| word)
}

/// How many letters have to be changed, added or left out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (n, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = n + 1;
        for (m, y) in b.iter().enumerate() {
            let change = before + usize::from(x != *y);
            before = row[m + 1];
            row[m + 1] = change.min(before + 1).min(row[m] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
