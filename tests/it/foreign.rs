//! A cluster that somebody else fills: from an existing index to a classified build.

mod shapes;
mod survey;

use crate::elastic::{clusters, prefix};
use crate::serve::program::{Home, until};
use serde_json::{Value, json};
use std::process::{Command, Output};
use url::Url;

/// Documents as a log sender writes them, one for each line, into daily indexes whose mapping the
/// cluster makes up by itself: strings are analysed, and exact below `.keyword`.
pub(crate) struct Filled {
    pub(crate) name: String,
    pub(crate) url: Url,
    prefix: String,
}

const LINES: [(&str, &str, &str); 6] = [
    ("u1", "job-output.txt", "starting"),
    ("u1", "job-output.txt", "Connection refused by the mirror"),
    ("u1", "logs/syslog.txt", "kernel: refused connection"),
    ("u2", "job-output.txt", "all is well"),
    ("u2", "logs/syslog.txt", "Connection refused by the mirror"),
    ("u3", "job-output.txt", "never seen before"),
];

impl Filled {
    pub(crate) fn each() -> Vec<Self> {
        let all = Self::each_empty();
        all.iter().for_each(Self::fill);
        all
    }

    /// Before the first log was sent.
    pub(crate) fn each_empty() -> Vec<Self> {
        let empty = |(name, url)| Self {
            name,
            url,
            prefix: prefix("foreign"),
        };
        clusters().into_iter().map(empty).collect()
    }

    pub(crate) fn fill(&self) {
        let mut body = String::new();
        for (n, (build, file, message)) in LINES.into_iter().enumerate() {
            let index = format!("{}-2026.03.0{}", self.prefix, 1 + n % 2);
            let tags = match file {
                "job-output.txt" => json!(["job-output.txt", "console"]),
                _ => json!(["syslog.txt"]),
            };
            let line = json!({
                "@timestamp": format!("2026-03-0{}T10:00:0{n}.000Z", 1 + n % 2),
                "build_uuid": build, "build_name": "tempest", "build_status": "FAILURE",
                "project": "nova", "voting": 1, "filename": file, "tags": tags,
                "message": message,
            });
            let action = json!({"index": {"_index": index}});
            body.extend([
                action.to_string(),
                "\n".into(),
                line.to_string(),
                "\n".into(),
            ]);
        }
        let client = reqwest::blocking::Client::new();
        let answer = client
            .post(self.url.join("_bulk?refresh=true").unwrap())
            .header("content-type", "application/x-ndjson")
            .body(body)
            .send()
            .unwrap();
        let answer: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
        assert_eq!(answer["errors"], false, "{answer}");
    }

    /// A configuration that reads these indexes.
    fn home(&self) -> Home {
        self.home_with("ready: {quiet: 0s, deadline: 3s}")
    }

    fn home_with(&self, more: &str) -> Home {
        self.home_at(&self.url, more)
    }

    /// The same through another address.
    pub(crate) fn home_at(&self, url: &Url, more: &str) -> Home {
        let layout = format!(
            "layout: {{preset: openstack, indexes: ['{}-%Y.%m.%d']}}",
            self.prefix
        );
        Self::home_of(url, &format!("{layout}\n    {more}"))
    }

    /// With a layout of its own.
    fn home_laid_out(&self, layout: &str) -> Home {
        Self::home_of(&self.url, layout)
    }

    fn home_of(url: &Url, keys: &str) -> Home {
        let home = Home::new(&format!(
            "store:\n  kind: elasticsearch\n  elasticsearch:\n    urls: ['{url}']\n    {keys}\n"
        ));
        home.rule("mirror", "message:\"connection refused\" AND tags:console");
        home.rule("exact", "tags:\"job-output.txt\" AND message:starting");
        home
    }
}

fn whorl(home: &Home, args: &[&str]) -> Output {
    let config = home.config();
    Command::new(env!("CARGO_BIN_EXE_whorl"))
        .args(args)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_check_says_which_fingerprints_the_cluster_cannot_answer() {
    for filled in Filled::each() {
        let home = filled.home();
        let good = whorl(&home, &["store", "check"]);
        assert_eq!(good.status.code(), Some(0), "{}: {good:?}", filled.name);
        assert!(
            text(&good.stdout).contains("0 cannot be answered"),
            "{good:?}"
        );
        for (names, said) in [
            (
                "build_uuid: uuid.keyword",
                "no index has the field uuid.keyword, which stands for build_uuid: no build can",
            ),
            (
                "build_uuid: build_uuid",
                "the field build_uuid is analysed text",
            ),
            (
                "build_status: result",
                "which stands for build_status: failed builds are not",
            ),
        ] {
            let layout = format!(
                "layout: {{preset: openstack, indexes: \
                                  ['{}-%Y.%m.%d'], names: {{{names}}}}}",
                filled.prefix
            );
            let home = filled.home_laid_out(&layout);
            let odd = text(&whorl(&home, &["store", "check"]).stdout);
            assert!(odd.contains(said), "{odd}");
            assert!(!text(&good.stdout).contains(said));
        }
        home.rule("gone", "loglevel:ERROR AND message:x");
        home.rule("number", "voting:yes AND message:x");
        home.rule("words", "host:\"a b\" AND message:x");
        let bad = whorl(&home, &["store", "check", "--format", "json"]);
        assert_eq!(bad.status.code(), Some(1), "{bad:?}");
        let answer: Value = serde_json::from_slice(&bad.stdout).unwrap();
        let doubts = answer["doubts"].to_string();
        assert!(
            doubts.contains("no index has the field loglevel"),
            "{doubts}"
        );
        assert!(doubts.contains("number.yaml"), "{doubts}");
        assert!(!doubts.contains("mirror"), "{doubts}");
    }
}

#[test]
fn a_check_names_complements_where_the_cluster_has_none() {
    let (mut with, mut without) = (0, 0);
    for filled in Filled::each() {
        let home = filled.home();
        home.rule("other", "message:refused AND project:/~(nova)/");
        home.rule("plain", "message:/a\\~b/");
        // The truth is what the cluster finds: every event has a project that is not called so.
        let path = format!("{}-*/_count", filled.prefix);
        let query = json!({"query": {"query_string": {"query": "project.keyword:/~(x)/"}}});
        let counted = reqwest::blocking::Client::new()
            .post(filled.url.join(&path).unwrap())
            .json(&query)
            .send()
            .unwrap();
        let counted: Value = serde_json::from_str(&counted.text().unwrap()).unwrap();
        let known = counted["count"] == LINES.len();
        let out = whorl(&home, &["store", "check"]);
        let said = text(&out.stdout);
        assert_eq!(out.status.code(), Some(0), "{}: {out:?}", filled.name);
        assert_eq!(said.contains("other: doubtful"), !known, "{said}");
        assert_eq!(said.contains("complement `~`"), !known, "{said}");
        assert!(!said.contains("plain:"), "{said}");
        (with, without) = (with + u32::from(known), without + u32::from(!known));
    }
    println!("{with} clusters know the complement, {without} do not");
}

#[test]
fn a_build_of_an_existing_index_is_classified() {
    for filled in Filled::each() {
        let home = filled.home();
        let rules = home.rules();
        let rules = rules.to_str().unwrap();
        let classify = |uuid: &str| {
            let args = [
                "classify",
                "--build",
                uuid,
                "--queries",
                rules,
                "--format",
                "json",
                "--stats",
            ];
            whorl(&home, &args)
        };
        let out = classify("u1");
        assert_eq!(out.status.code(), Some(0), "{}: {out:?}", filled.name);
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(answer["verdict"], "matched");
        assert_eq!(answer["matches"].as_array().unwrap().len(), 2, "{answer}");
        assert_eq!(
            answer["matches"][0]["evidence"][0]["file"],
            "job-output.txt"
        );
        assert!(
            text(&out.stderr).contains("3 events, 3 requests"),
            "{out:?}"
        );
        assert_eq!(classify("u3").status.code(), Some(3));
        assert_eq!(
            classify("u2").status.code(),
            Some(3),
            "the line is not of the console"
        );
        let none = classify("u9");
        assert_eq!(none.status.code(), Some(3));
        assert!(text(&none.stdout).contains("no-log"), "{none:?}");
    }
}

#[test]
fn a_query_is_asked_of_the_cluster() {
    for filled in Filled::each() {
        let home = filled.home();
        let query = "message:\"connection refused\" AND tags:console";
        let out = whorl(&home, &["query", query, "--format", "json"]);
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(
            answer,
            json!({"id": "query", "events": 1, "builds": ["u1"]})
        );
        let out = whorl(&home, &["query", "message:refused"]);
        let shown = text(&out.stdout);
        assert!(shown.ends_with("3 events in 2 builds match\n"), "{shown}");
        assert!(
            shown.contains("u2 logs/syslog.txt:0: Connection refused"),
            "{shown}"
        );
        let out = whorl(&home, &["query", "voting:yes"]);
        assert_eq!(out.status.code(), Some(1), "{out:?}");
    }
}

#[test]
fn the_service_reads_the_cluster_and_keeps_no_logs() {
    for filled in Filled::each() {
        let home = filled.home();
        let program = home.start();
        for (uuid, wanted) in [("u1", "matched"), ("u3", "unmatched"), ("u9", "no-log")] {
            let at = format!("/api/v1/builds/{uuid}");
            let meta = r#"{"finished":"2026-03-02T11:00:00Z"}"#;
            assert_eq!(program.send("PUT", &at, meta).0, 200);
            let done = program.send("POST", &format!("{at}/complete"), r#"{"result":"FAILURE"}"#);
            assert_eq!(done.0, 202, "{}", done.1);
            program.verdict(uuid, wanted);
        }
        let build = program.build("u1");
        assert_eq!(build["problems"], json!([]), "{build}");
        assert_eq!(build["matches"][0]["fingerprint"], "exact", "{build}");
        let found = program.json("/api/v1/search?q=tags:console");
        assert_eq!(found["events"], 4, "{found}");
        home.rule("new", "message:\"never seen before\"");
        until("the stored build is looked at again", || {
            (program.build("u3")["verdict"] == "matched").then_some(())
        });
        assert!(!home.data().join("index").exists());
    }
}

#[test]
fn builds_are_found_in_the_index_and_looked_at_when_their_log_is_complete() {
    for filled in Filled::each() {
        let home = filled.home_with(
            "ready: {quiet: 0s, deadline: 4s, last-line: 'message:\"connection refused\"'}\n    \
             discover: {every: 1s, since: 20000h}",
        );
        let program = home.start();
        for uuid in ["u1", "u2", "u3"] {
            let at = format!("/api/v1/builds/{uuid}");
            until("it is found", || {
                (program.send("GET", &at, "").0 == 200).then_some(())
            });
        }
        program.verdict("u1", "matched");
        // Its last line never comes; what is there is looked at after the deadline.
        let late = program.verdict("u3", "partial-log");
        assert!(
            late["problems"][0].as_str().unwrap().contains("last line"),
            "{late}"
        );
        assert_eq!(late["build"]["job"], "tempest", "{late}");
        assert_eq!(late["build"]["result"], "FAILURE");
        program.verdict("u2", "unmatched");
    }
}
