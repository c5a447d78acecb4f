//! From a report to the builds that failed.

use super::{Address, Comment, Report, ResultLine};
use crate::event::{Build, FieldValue};
use crate::source::digest::digest;

/// The builds of a report that failed, voting or not, with all that the comment and the addresses
/// say. The same comment gives the same uuids, by whichever way it came.
pub fn builds(comment: &Comment, report: &Report) -> Vec<Build> {
    let all = report.builds.iter().enumerate();
    all.map(|(number, line)| build(comment, report, line, number))
        .filter(Build::failed)
        .collect()
}

fn build(comment: &Comment, report: &Report, line: &ResultLine, number: usize) -> Build {
    let address = line
        .url
        .as_deref()
        .map(|url| Address::read(url, line.name.as_deref()));
    let address = address.unwrap_or_default();
    let mut build = Build {
        job: line.name.clone().or_else(|| address.job.clone()),
        result: Some(line.result.clone()),
        pipeline: report.pipeline.clone().or_else(|| address.pipeline.clone()),
        project: comment.project.clone(),
        branch: comment.branch.clone(),
        change: comment.change.clone().or_else(|| address.change.clone()),
        patchset: comment
            .patchset
            .clone()
            .or_else(|| address.patchset.clone()),
        commit: comment.commit.clone(),
        voting: Some(line.voting),
        log_url: line.url.clone(),
        finished: comment.created,
        ..Build::new(uuid(comment, line, &address, number))
    };
    if let Some(url) = &comment.change_url {
        build.extra.set("change_url", FieldValue::text(url));
    }
    if let Some(number) = address.number.and_then(|number| i64::try_from(number).ok()) {
        build.extra.set("build_number", FieldValue::Integer(number));
    }
    build
}

/// The build's own uuid where the address has it. The seven digits of a log folder are not enough
/// to be unique, so change, patchset and pipeline follow them; everything else is named by a digest.
fn uuid(comment: &Comment, line: &ResultLine, address: &Address, number: usize) -> String {
    if let Some(uuid) = &address.uuid {
        return uuid.clone();
    }
    if let Some(short) = &address.short_uuid {
        let parts = [
            Some(short.as_str()),
            comment.change.as_deref().or(address.change.as_deref()),
            comment.patchset.as_deref().or(address.patchset.as_deref()),
            address.pipeline.as_deref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        let uuid = parts.join("-");
        if Build::check_uuid(&uuid).is_ok() {
            return uuid;
        }
    }
    // A numbered build of Jenkins has an address of its own. Without a number, the report that
    // tells of the build has to do: a second run is told of by another report.
    match (&line.url, address.number) {
        (Some(url), Some(_)) => digest(&[without_view(url)]),
        _ => digest(&[
            comment.change.as_deref().unwrap_or_default(),
            comment.patchset.as_deref().unwrap_or_default(),
            &number.to_string(),
            body(&comment.text),
        ]),
    }
}

/// The address without the page that it shows of the build.
fn without_view(url: &str) -> &str {
    let mut rest = url.trim_end_matches('/');
    for view in ["consoleText", "consoleFull", "console", "display/redirect"] {
        rest = rest
            .strip_suffix(view)
            .unwrap_or(rest)
            .trim_end_matches('/');
    }
    rest
}

/// The text without `Patch Set 3: Verified-1`, which not every way of hearing it has.
pub(super) fn body(text: &str) -> &str {
    match text.split_once("\n\n") {
        Some((first, rest)) if first.starts_with("Patch Set ") => rest.trim(),
        _ => text.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Build> {
        let comment = Comment {
            change: Some("1234".into()),
            patchset: Some("5".into()),
            project: Some("shop/api".into()),
            branch: Some("main".into()),
            commit: Some("abc".into()),
            change_url: Some("https://review.example/1234".into()),
            created: "2026-01-02T03:04:05Z".parse().ok(),
            ..Comment::of_text(text)
        };
        builds(&comment, &Report::read(text))
    }

    #[test]
    fn all_that_is_known_is_in_the_build() {
        let all = of("Build failed (check pipeline).\n\n\
            - unit https://zuul.example/t/shop/build/00112233445566778899aabbccddeeff : FAILURE in 3m 02s\n\
            - docs https://zuul.example/t/shop/build/ffffffffffffffffffffffffffffffff : SUCCESS in 1m 00s\n");
        let [build] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!(build.uuid, "00112233445566778899aabbccddeeff");
        let mut expected = Build::new(build.uuid.clone());
        expected.job = Some("unit".into());
        expected.result = Some("FAILURE".into());
        expected.pipeline = Some("check".into());
        expected.project = Some("shop/api".into());
        expected.branch = Some("main".into());
        expected.change = Some("1234".into());
        expected.patchset = Some("5".into());
        expected.commit = Some("abc".into());
        expected.voting = Some(true);
        expected.log_url =
            Some("https://zuul.example/t/shop/build/00112233445566778899aabbccddeeff".into());
        expected.finished = "2026-01-02T03:04:05Z".parse().ok();
        expected.extra.set(
            "change_url",
            FieldValue::text("https://review.example/1234"),
        );
        assert_eq!(*build, expected);
    }

    #[test]
    fn the_seven_digits_of_a_log_folder_come_first_and_are_made_unique() {
        let of_change = |change: &str| {
            let url = format!("http://logs.example/34/{change}/5/gate/unit/0a1b2c3");
            let text =
                format!("Build failed.\n\n- unit {url} : TIMED_OUT in 1h 00m 00s (non-voting)");
            let comment = Comment::of_text(&text);
            builds(&comment, &Report::read(&text)).remove(0)
        };
        let build = of_change("1234");
        assert_eq!(build.uuid, "0a1b2c3-1234-5-gate");
        assert_eq!(
            (build.pipeline.as_deref(), build.voting),
            (Some("gate"), Some(false))
        );
        assert_eq!(
            (build.change.as_deref(), build.patchset.as_deref()),
            (Some("1234"), Some("5"))
        );
        assert_ne!(build.uuid, of_change("2234").uuid);
    }

    #[test]
    fn a_build_of_jenkins_is_the_same_by_each_of_its_pages() {
        let one = of("Build Failed \n\nhttps://ci.example/job/unit/17/ : FAILURE");
        let two = of("Build Failed\n\nhttps://ci.example/job/unit/17/console : FAILURE");
        assert_eq!(one[0].uuid, two[0].uuid);
        assert_eq!(
            one[0].extra.get("build_number"),
            Some(&FieldValue::Integer(17))
        );
        assert_ne!(
            one[0].uuid,
            of("https://ci.example/job/unit/18/ : FAILURE")[0].uuid
        );
    }

    #[test]
    fn builds_without_an_address_are_kept_apart() {
        let text = "Build failed.\n\n- a a : NODE_FAILURE\n- b b : NODE_FAILURE\n";
        let all = of(text);
        assert_eq!(all.len(), 2);
        assert_ne!(all[0].uuid, all[1].uuid);
        assert!(
            all.iter()
                .all(|build| Build::check_uuid(&build.uuid).is_ok() && build.log_url.is_none())
        );
        let with_prefix = of(&format!("Patch Set 5: Verified-1\n\n{text}"));
        assert_eq!(
            all[0].uuid, with_prefix[0].uuid,
            "the same comment by another way"
        );
    }
}
