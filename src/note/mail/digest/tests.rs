//! The digest as people read it.

use super::*;

fn bug(name: &str, title: &str, builds: u64, before: u64) -> Bug {
    Bug {
        name: name.into(),
        url: Some(format!("https://bugs.launchpad.net/bugs/{}", &name[10..])),
        title: title.into(),
        builds,
        before,
        status: None,
    }
}

fn figures() -> Figures {
    let at = "2026-11-20T06:00:00Z".parse().unwrap();
    Figures {
        until: at,
        rate: Rate {
            explained: 87,
            of: 102,
            interval: Some((0.772, 0.909)),
        },
        before: Some(Rate {
            explained: 80,
            of: 110,
            interval: None,
        }),
        not_looked_at: 3,
        bugs: vec![
            Bug {
                status: Some("in progress, Ann; as of 2026-11-19 06:00 UTC".into()),
                ..bug(
                    "launchpad:1182131",
                    "Security group list races with deletion",
                    31,
                    12,
                )
            },
            bug(
                "launchpad:1349617",
                "SSHException: Error reading SSH protocol banner[Errno 104] Connection reset by peer while the guest boots",
                14,
                22,
            ),
            bug("launchpad:1", "One that is here for the first time", 3, 0),
        ],
        bugs_total: 14,
        returned: vec![bug("launchpad:77", "Counted as fixed <b>", 2, 0)],
        unexplained: vec![Build {
            job: "tempest-full-py3".into(),
            project: Some("openstack/nova".into()),
            change: Some("912345,4".into()),
            page: "https://whorl.example/builds/u1".into(),
            at,
        }],
        unexplained_total: 15,
        parked: vec![Parked {
            target: "slack-infra".into(),
            error: "not_in_channel: invite the app to the channel".into(),
        }],
        parked_total: 1,
        base_url: "https://whorl.example/".into(),
    }
}

fn nothing() -> Figures {
    let none = Rate {
        explained: 0,
        of: 0,
        interval: None,
    };
    Figures {
        rate: none,
        before: Some(none),
        not_looked_at: 0,
        bugs: Vec::new(),
        bugs_total: 0,
        returned: Vec::new(),
        unexplained: Vec::new(),
        unexplained_total: 0,
        parked: Vec::new(),
        parked_total: 0,
        ..figures()
    }
}

#[test]
fn a_day() {
    let digest = digest(&figures(), Period::Daily).unwrap();
    insta::assert_snapshot!(
        "daily_text",
        format!("Subject: {}\n\n{}", digest.subject, digest.text)
    );
    insta::assert_snapshot!("daily_html", digest.html);
}

#[test]
fn a_week_in_which_nothing_failed() {
    let digest = digest(&nothing(), Period::Weekly).unwrap();
    insta::assert_snapshot!(
        "quiet_week",
        format!("Subject: {}\n\n{}", digest.subject, digest.text)
    );
}

#[test]
fn no_line_but_an_address_is_too_long() {
    let text = digest(&figures(), Period::Weekly).unwrap().text;
    for line in text.lines().filter(|line| !line.contains("://")) {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
}

#[test]
fn what_a_log_says_makes_no_html_and_no_lines() {
    let mut data = figures();
    data.bugs[0].title = "<script>x</script>\nTop bugs\u{202e}".into();
    data.bugs[0].url = Some("javascript:alert(1)".into());
    let digest = digest(&data, Period::Daily).unwrap();
    assert!(!digest.html.contains("<script>") && !digest.html.contains("javascript:"));
    assert!(
        digest.text.contains("<script>x</script> Top bugs"),
        "{}",
        digest.text
    );
}
