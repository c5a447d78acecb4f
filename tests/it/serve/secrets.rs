//! No page and no answer gives out a secret that a log holds.

use super::program::{Home, gzip, until};
use serde_json::Value;

/// Built of parts, so that nobody who looks for secrets in sources finds one here.
fn token() -> String {
    format!("ghp{}{}", "_", "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA3")
}

#[test]
fn what_a_log_holds_is_not_given_out_with_its_secrets() {
    let home = Home::new(
        "notes:
  redact: [{name: own, pattern: 'ticket-([0-9]+)'}]
",
    );
    let program = home.start();
    let (token, own) = (token(), "4711471147");
    let log = format!(
        "first line\nclone with {token} went boom\nticket-{own} boom\nlast line of the log\n"
    );
    for (uuid, log) in [("u1", log.clone()), ("u2", log.replace("boom", "bang"))] {
        let at = format!("/api/v1/builds/{uuid}");
        let meta = format!(
            "{{\"job\":\"unit\",\"project\":\"p\",\"log_url\":\"https://ci:{token}@logs.example/{uuid}/\"}}"
        );
        assert_eq!(program.send("PUT", &at, meta).0, 200);
        program.log_file(uuid, "console.txt", log.as_bytes());
        program.log_file(uuid, "more/packed.log.gz", &gzip(log.as_bytes()));
        let done = r#"{"result":"FAILURE"}"#;
        assert_eq!(program.send("POST", &format!("{at}/complete"), done).0, 202);
    }
    program.verdict("u1", "matched");
    program.verdict("u2", "unmatched");
    let (status, made) = program.send("POST", "/api/v1/report", "");
    assert_eq!(status, 200, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let path = |key: &str| made[key].as_str().unwrap().to_owned();
    let shown = "clone with [redacted github token] went boom";
    until("the search has it", || {
        let found = program.json("/api/v1/search?q=message:boom");
        (found["events"].as_u64()? >= 4).then_some(())
    });
    for (surface, wanted) in [
        (
            "/builds/u1",
            "clone with [redacted github token] went <mark>boom",
        ),
        ("/builds/u1/logs/console.txt", shown),
        ("/builds/u1/logs/console.txt?line=2", shown),
        ("/builds/u1/logs/more/packed.log.gz", shown),
        ("/search?q=message:clone", "[redacted github token]"),
        ("/search?q=message:boom", "[redacted own]"),
        ("/api/v1/search?q=message:clone", "[redacted github token]"),
        ("/api/v1/builds/u1", shown),
        (
            "/api/v1/builds",
            "https://ci:[redacted github token]@logs.example/",
        ),
        ("/api/v1/builds/u1/logs/console.txt", shown),
        ("/api/v1/builds/u1/logs/more/packed.log.gz", shown),
        ("/notes", "[redacted github token]"),
        (
            "/api/v1/report",
            "https://ci:[redacted github token]@logs.example/",
        ),
        (
            &path("json"),
            "https://ci:[redacted github token]@logs.example/",
        ),
        (
            &path("html"),
            "https://ci:[redacted github token]@logs.example/",
        ),
        (
            "/builds/u2",
            "https://ci:[redacted github token]@logs.example/",
        ),
        ("/", "u2"),
        ("/bugs/boom", "u1"),
        ("/unexplained", "u2"),
    ] {
        let answer = program.get(surface);
        assert!(!answer.contains(&token), "{surface}: {answer}");
        assert!(!answer.contains(own), "{surface}: {answer}");
        assert!(answer.contains(wanted), "{surface}: {answer}");
    }
    // Lines stay where they were.
    let page = program.get("/builds/u1/logs/console.txt?line=2");
    assert!(
        page.contains("<li id=\"L4\"><a href=\"#L4\">4</a><span>last line"),
        "{page}"
    );
    let raw = program.get("/api/v1/builds/u1/logs/console.txt");
    let lines: Vec<&str> = raw.lines().collect();
    assert_eq!(lines[0], "first line");
    assert_eq!(
        (lines.len(), raw.ends_with("last line of the log\n")),
        (4, true)
    );
    let evidence = &program.build("u1")["matches"][0]["evidence"][0];
    assert_eq!(
        (&evidence["line"], &evidence["offset"]),
        (&2.into(), &11.into())
    );
    // What runs here says none of it in its own log either.
    assert!(!program.said(&token));
}

#[test]
fn who_sends_logs_may_have_them_as_they_were_sent() {
    let home = Home::new("intake: {token: a-token-of-the-ci}\n");
    let program = home.start();
    let log = format!("clone with {} went boom\n", token());
    let at = format!("{}/api/v1/builds/u1/logs/console.txt", program.base);
    let with = |request: reqwest::blocking::RequestBuilder, token: &str| {
        let answer = request.bearer_auth(token).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    let meta = format!("{}/api/v1/builds/u1", program.base);
    let right = "a-token-of-the-ci";
    assert_eq!(with(program.client.put(meta).body("{}"), right).0, 200);
    assert_eq!(
        with(program.client.put(&at).body(log.clone()), right).0,
        200
    );
    assert_eq!(with(program.client.get(&at), right), (200, log));
    for other in ["a-token-of-the-c", ""] {
        let (status, text) = with(program.client.get(&at), other);
        assert_eq!(
            (status, text.as_str()),
            (200, "clone with [redacted github token] went boom\n")
        );
    }
}
