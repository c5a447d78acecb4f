//! The layouts that are known by name, behind an alias, daily indexes and a data stream: from
//! discovery to a recorded verdict.

use crate::elastic::{clusters, prefix};
use crate::serve::program::Home;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use url::Url;

/// A cluster that is filled for one test; what was made there goes with it.
struct Filler {
    server: String,
    url: Url,
    name: String,
    made: Vec<String>,
}

impl Drop for Filler {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            self.call(Method::DELETE, path, &Value::Null);
        }
    }
}

impl Filler {
    fn each(what: &str) -> Vec<Self> {
        let all = clusters().into_iter().map(|(server, url)| Self {
            server,
            url,
            name: prefix(what),
            made: Vec::new(),
        });
        all.collect()
    }

    fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = reqwest::blocking::Client::new()
            .request(method, self.url.join(path).unwrap())
            .header("content-type", "application/json")
            .body(match body {
                Value::Null => String::new(),
                Value::String(lines) => lines.clone(),
                other => other.to_string(),
            });
        let answer = request.send().unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().unwrap();
        (status, serde_json::from_str(&text).unwrap_or(json!(text)))
    }

    /// Makes something that is removed at the end, or says why the server will not.
    fn make(&mut self, path: &str, body: &Value) -> Result<(), String> {
        let (status, said) = self.call(Method::PUT, path, body);
        if status != 200 {
            return Err(format!("{status} {said}"));
        }
        self.made.push(path.to_owned());
        Ok(())
    }

    /// Sends documents by `action` (a data stream takes only `create`).
    fn send(&self, action: &str, documents: &[(String, Value)]) {
        let mut body = String::new();
        for (index, document) in documents {
            let to = json!({action: {"_index": index}});
            body.extend([
                to.to_string(),
                "\n".into(),
                document.to_string(),
                "\n".into(),
            ]);
        }
        let (_, answer) = self.call(Method::POST, "_bulk?refresh=true", &body.into());
        assert_eq!(answer["errors"], false, "{}: {answer}", self.server);
    }

    fn home(&self, preset: &str, indexes: &str) -> Home {
        Home::new(&format!(
            "store:\n  kind: elasticsearch\n  elasticsearch:\n    urls: ['{}']\n    layout: \
             {{preset: {preset}, indexes: ['{indexes}']}}\n    ready: {{quiet: 0s, deadline: 3s}}\n\
             {:4}discover: {{every: 1s, since: 20000h}}\n",
            self.url, ""
        ))
    }
}

/// A document as elastic-recheck's Logstash made it: a traceback joined, tags by file, exact fields.
fn recheck(build: &str, day: u8, second: u8, message: &str) -> Value {
    json!({
        "@timestamp": format!("2026-03-0{day}T10:00:{second:02}.000Z"),
        "build_uuid": build, "build_short_uuid": &build[..7], "build_name": "gate-tempest-dsvm-full",
        "build_status": "FAILURE", "build_queue": "gate", "build_change": "47836",
        "build_patchset": "8", "build_ref": "refs/zuul/master/Z8be8", "build_branch": "master",
        "build_node": "bare-precise-1", "project": "openstack/nova", "voting": 1,
        "filename": "console.html", "tags": ["console.html", "console", "multiline"],
        "log_url": format!("http://logs.example.org/{build}/console.html"), "message": message,
    })
}

/// A document as OpenStack's `logsender` makes it: one line, numbers for change and vote.
fn openstack(build: &str, second: u8, file: &str, message: &str) -> Value {
    json!({
        "@timestamp": format!("2026-03-01T10:00:{second:02}.000000"),
        "build_node": "zuul-executor", "build_name": "tempest-full-py3", "build_status": "FAILURE",
        "project": "openstack/nova", "voting": 1, "build_set": "c0ffee", "build_queue": "gate",
        "build_ref": "refs/changes/36/847836/8", "build_branch": "master", "build_change": 847_836,
        "build_patchset": "8", "build_newrev": "UNKNOWN", "build_uuid": build,
        "node_provider": "local", "log_url": format!("https://logs.example.org/{build}/"),
        "tenant": "openstack", "hosts_id": ["ab12"], "hosts_region": ["mirror-int.ord"],
        "zuul_executor": "ze01", "change_url": "https://review.example.org/847836",
        "filename": file, "tags": [file], "message": message,
    })
}

const KNOWN: &str = "c2fa1d1deae94c2c9beb2fbc84696f8a";
const UNKNOWN: &str = "0af3b11bd1724d0c8c7f2c0b4b5ddc31";
const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"tempest/api.py\", line 148, in \
                         wait\nTimeoutException: Request timed out";

/// What both layouts must lead to: two builds found, one explained.
fn is_found_and_explained(home: &Home, server: &str, job: &str) {
    let program = home.start();
    super::until("both builds are found", || {
        let found = |uuid: &str| program.send("GET", &format!("/api/v1/builds/{uuid}"), "").0;
        (found(KNOWN) == 200 && found(UNKNOWN) == 200).then_some(())
    });
    let build = program.verdict(KNOWN, "matched");
    assert_eq!(build["problems"], json!([]), "{server}: {build}");
    assert_eq!(build["matches"].as_array().unwrap().len(), 1, "{build}");
    assert_eq!(build["matches"][0]["fingerprint"], "timeout", "{build}");
    let evidence = &build["matches"][0]["evidence"][0];
    assert!(
        evidence.to_string().contains("Request timed out"),
        "{build}"
    );
    let said = &build["build"];
    assert_eq!(
        (&said["job"], &said["result"]),
        (&json!(job), &json!("FAILURE"))
    );
    assert_eq!(said["project"], "openstack/nova", "{build}");
    assert_eq!(said["pipeline"], "gate", "{build}");
    assert_eq!(said["patchset"], "8", "{build}");
    program.verdict(UNKNOWN, "unmatched");
    assert_eq!(program.stop(), Some(0));
}

fn recheck_mapping() -> Value {
    let exact = json!({"match_mapping_type": "string", "mapping": {"type": "keyword"}});
    json!({"dynamic_templates": [{"exact": exact}], "properties": {
        "message": {"type": "text"}, "@timestamp": {"type": "date"},
    }})
}

/// Fills two days; every build has events in both.
fn fill_recheck(filler: &mut Filler) {
    let mut documents = Vec::new();
    for day in 1..=2 {
        let index = format!("{}-2026.03.0{day}", filler.name);
        filler
            .make(&index, &json!({"mappings": recheck_mapping()}))
            .unwrap();
        for (build, message) in [(KNOWN, TRACEBACK), (UNKNOWN, "went away")] {
            documents.push((index.clone(), recheck(build, day, 0, "Starting")));
            documents.push((index.clone(), recheck(build, day, 1, message)));
        }
    }
    filler.send("index", &documents);
}

fn recheck_rules(home: &Home) {
    home.rule(
        "timeout",
        "message:\"Request timed out\" AND message:TimeoutException AND \
                          tags:\"console\" AND build_name:gate-tempest-dsvm-full AND voting:1",
    );
    // Exact fields: part of a name is none.
    home.rule("part", "message:TimeoutException AND build_name:tempest");
}

#[test]
fn elastic_rechecks_daily_indexes_are_read() {
    for mut filler in Filler::each("recheck") {
        fill_recheck(&mut filler);
        let home = filler.home("elastic-recheck", &format!("{}-%Y.%m.%d", filler.name));
        recheck_rules(&home);
        is_found_and_explained(&home, &filler.server, "gate-tempest-dsvm-full");
    }
}

#[test]
fn an_alias_over_elastic_rechecks_indexes_is_read() {
    for mut filler in Filler::each("aliased") {
        fill_recheck(&mut filler);
        let alias = format!("ci-{}", filler.name);
        let add = json!({"add": {"index": format!("{}-*", filler.name), "alias": alias}});
        let body = json!({"actions": [add]});
        assert_eq!(filler.call(Method::POST, "_aliases", &body).0, 200);
        let home = filler.home("elastic-recheck", &alias);
        recheck_rules(&home);
        is_found_and_explained(&home, &filler.server, "gate-tempest-dsvm-full");
    }
}

fn openstack_documents(index: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (build, message) in [(KNOWN, "Request timed out"), (UNKNOWN, "went away")] {
        for (second, file, message) in [
            (0, "job-output.txt", "Starting"),
            (1, "job-output.txt", message),
            (2, "controller/logs/screen-n-cpu.txt", "all is well"),
        ] {
            all.push((index.to_owned(), openstack(build, second, file, message)));
        }
    }
    all
}

fn openstack_rules(home: &Home) {
    home.rule(
        "timeout",
        "message:\"Request timed out\" AND tags:\"job-output.txt\" AND \
                          build_name:tempest-full-py3 AND build_queue:gate AND voting:1",
    );
    home.rule(
        "part",
        "message:\"Request timed out\" AND build_name:tempest",
    );
}

#[test]
fn openstacks_indexes_are_read() {
    for mut filler in Filler::each("logsender") {
        let index = format!("{}-2026-03-01", filler.name);
        filler.make(&index, &json!({})).unwrap();
        filler.send("index", &openstack_documents(&index));
        let home = filler.home("openstack", &format!("{}-*", filler.name));
        openstack_rules(&home);
        is_found_and_explained(&home, &filler.server, "tempest-full-py3");
    }
}

#[test]
fn a_data_stream_of_openstacks_documents_is_read() {
    for mut filler in Filler::each("stream") {
        let stream = filler.name.clone();
        let template = json!({
            "index_patterns": [stream], "data_stream": {}, "priority": 500,
            "template": {"settings": {"number_of_replicas": 0}},
        });
        let made = filler
            .make(&format!("_index_template/{stream}"), &template)
            .and_then(|()| filler.make(&format!("_data_stream/{stream}"), &Value::Null));
        if let Err(why) = made {
            let said = writeln!(
                std::io::stderr(),
                "SKIPPED: {} has no data streams: {why}",
                filler.server
            );
            said.unwrap();
            continue;
        }
        filler.send("create", &openstack_documents(&stream)[..3]);
        // The stream goes on in a second index; the name stays.
        let (status, said) =
            filler.call(Method::POST, &format!("{stream}/_rollover"), &Value::Null);
        assert_eq!(status, 200, "{said}");
        filler.send("create", &openstack_documents(&stream)[3..]);
        let home = filler.home("openstack", &stream);
        openstack_rules(&home);
        is_found_and_explained(&home, &filler.server, "tempest-full-py3");
        println!("{}: a data stream", filler.server);
    }
}
