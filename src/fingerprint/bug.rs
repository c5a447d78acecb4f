//! Which bug a fingerprint stands for.

use crate::event::BugRef;

/// Forms that `bug:` takes, for messages.
pub(super) const FORMS: &str = "launchpad:N, github:owner/repo#N, gitlab:group/project#N, \
     jira:KEY-N, bugzilla:N or a URL";

/// The bug that a file's name stands for: a number is a bug in Launchpad, as it was for
/// elastic-recheck; anything else is a name without an address.
pub(super) fn from_id(id: &str) -> BugRef {
    if is_number(id) {
        return launchpad(id);
    }
    BugRef {
        name: id.to_owned(),
        url: None,
    }
}

/// Reads the value of `bug:`.
pub(super) fn parse(text: &str) -> Option<BugRef> {
    let text = text.trim();
    if is_number(text) {
        return Some(launchpad(text));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        let url = url::Url::parse(text).ok()?;
        return Some(named(text, Some(url.to_string())));
    }
    let (tracker, rest) = text.split_once(':')?;
    match tracker {
        "launchpad" => is_number(rest).then(|| launchpad(rest)),
        "bugzilla" => is_number(rest).then(|| named(text, None)),
        "jira" => {
            let (key, number) = rest.rsplit_once('-')?;
            let ok = is_word(key) && is_number(number);
            ok.then(|| named(text, None))
        }
        "github" => {
            let (path, number) = project(rest, 2..=2)?;
            let url = format!("https://github.com/{path}/issues/{number}");
            Some(named(text, Some(url)))
        }
        "gitlab" => {
            let (path, number) = project(rest, 2..=20)?;
            let url = format!("https://gitlab.com/{path}/-/issues/{number}");
            Some(named(text, Some(url)))
        }
        _ => None,
    }
}

fn launchpad(number: &str) -> BugRef {
    BugRef {
        name: format!("launchpad:{number}"),
        url: Some(format!("https://bugs.launchpad.net/bugs/{number}")),
    }
}

fn named(name: &str, url: Option<String>) -> BugRef {
    BugRef {
        name: name.to_owned(),
        url,
    }
}

/// Splits `a/b#7` and checks its parts.
fn project(text: &str, depth: std::ops::RangeInclusive<usize>) -> Option<(&str, &str)> {
    let (path, number) = text.rsplit_once('#')?;
    let ok = is_number(number)
        && depth.contains(&path.split('/').count())
        && path.split('/').all(is_word);
    ok.then_some((path, number))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bug: Option<BugRef>) -> String {
        bug.map_or("refused".into(), |b| {
            format!("{} -> {}", b.name, b.url.as_deref().unwrap_or("-"))
        })
    }

    #[test]
    fn every_form_is_read() {
        let forms = [
            "1182131",
            "launchpad:1182131",
            "github:openstack/nova#7",
            "gitlab:a/b/c#12",
            "jira:OSP-44",
            "bugzilla:1234",
            "https://example.org/b?id=3",
            "github:nova#7",
            "github:a/b",
            "launchpad:x",
            "mantis:3",
            "nonsense",
            "https://",
        ];
        let lines: Vec<_> = forms.iter().map(|f| shown(parse(f))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        launchpad:1182131 -> https://bugs.launchpad.net/bugs/1182131
        launchpad:1182131 -> https://bugs.launchpad.net/bugs/1182131
        github:openstack/nova#7 -> https://github.com/openstack/nova/issues/7
        gitlab:a/b/c#12 -> https://gitlab.com/a/b/c/-/issues/12
        jira:OSP-44 -> -
        bugzilla:1234 -> -
        https://example.org/b?id=3 -> https://example.org/b?id=3
        refused
        refused
        refused
        refused
        refused
        refused
        ");
    }

    #[test]
    fn a_name_that_is_no_number_has_no_address() {
        assert_eq!(shown(Some(from_id("dns-flake"))), "dns-flake -> -");
        assert!(from_id("1226337").url.is_some());
    }
}
