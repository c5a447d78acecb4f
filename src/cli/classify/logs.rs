//! The logs that the arguments name.

use super::fetch::{self, Fetches};
use crate::intake::{IntakeError, Limits, LogInput, open_path, open_path_as};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use url::Url;

pub(super) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// All logs of the build. A single path is the root of the names; of several paths each log is
/// called as it was given, so that no two have one name. What is named twice is read once.
pub(super) fn open(args: &[String], limits: &Limits) -> Result<Vec<LogInput>, IntakeError> {
    let single = args.len() == 1;
    let urls: Vec<(&String, Url)> = args
        .iter()
        .filter(|arg| is_url(arg))
        .filter_map(|arg| Some((arg, Url::parse(arg).ok()?)))
        .collect();
    let fetches = Fetches::new(urls.iter().map(|(_, url)| url.clone()).collect(), limits);
    let mut inputs = Vec::new();
    for arg in args {
        if arg == "-" {
            inputs.push(stdin());
        } else if is_url(arg) {
            // What is no URL was refused before.
            let place = urls.iter().position(|(typed, _)| *typed == arg);
            inputs.push(url(arg, single, &fetches, place.unwrap_or(usize::MAX)));
        } else if single {
            inputs.extend(open_path(Path::new(arg), limits)?);
        } else {
            inputs.extend(open_path_as(Path::new(arg), as_given(arg), limits)?);
        }
    }
    let mut seen = BTreeSet::new();
    inputs.retain(|input| input.problem().is_some() || seen.insert(input.name().to_owned()));
    Ok(inputs)
}

fn stdin() -> LogInput {
    LogInput::stream("stdin", || Ok(Box::new(io::stdin().lock()))).as_main()
}

fn url(address: &str, single: bool, fetches: &Arc<Fetches>, place: usize) -> LogInput {
    let name = if single {
        fetch::last_part(address)
    } else {
        address.to_owned()
    };
    let fetches = Arc::clone(fetches);
    LogInput::stream(name, move || fetches.open(place))
}

/// `./logs/` is `logs`, and `.` goes before no name.
fn as_given(path: &str) -> &str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    match path.trim_end_matches('/') {
        "." => "",
        "" if path.starts_with('/') => "/",
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_given_have_no_ornament() {
        let cases = [
            ("./logs/", "logs"),
            ("logs//", "logs"),
            (".", ""),
            ("./", ""),
            (".//a", "a"),
            ("/var/log", "/var/log"),
            ("../x", "../x"),
            ("/", "/"),
        ];
        for (given, name) in cases {
            assert_eq!(as_given(given), name, "{given}");
        }
    }
}
