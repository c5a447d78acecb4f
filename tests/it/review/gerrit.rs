//! A real Gerrit: `WHORL_GERRIT` is its address; `tests/real/run gerrit` starts one. The accounts are
//! those of `tests/real/start-gerrit.sh`.

use super::{HOSTILE, note, refused, turned, until_said};
use crate::proxy::{Fault, Proxy};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tokio::sync::RwLock;
use url::Url;
use whorl::note::review::{Gerrit, GerritSettings, Notify, Vote};
use whorl::note::{Target, Then};
use whorl::state::Note;

/// Written to by the test that stops the server.
pub(crate) static SERVER: RwLock<()> = RwLock::const_new(());

pub(crate) fn server() -> Option<Url> {
    let Ok(url) = std::env::var("WHORL_GERRIT") else {
        crate::skip("WHORL_GERRIT names no Gerrit (tests/real/run gerrit starts one)");
        return None;
    };
    Some(url.parse().unwrap())
}

pub(super) fn settings(url: &Url) -> GerritSettings {
    GerritSettings {
        url: url.clone(),
        user: "whorl".into(),
        password: "secret".into(),
        timeout: Duration::from_secs(10),
        notify: Notify::None,
        vote: Some(Vote {
            label: "Verified".into(),
            known: 1,
            unexplained: -1,
        }),
        longest: 16_000,
    }
}

fn target(url: &Url) -> Gerrit {
    Gerrit::new(settings(url)).unwrap()
}

/// A change in a project of its own.
pub(crate) struct Change {
    server: Url,
    pub(crate) project: String,
    pub(crate) number: String,
    id: String,
    folder: tempfile::TempDir,
}

impl Change {
    /// A new project with one change that was pushed over HTTP.
    pub(crate) async fn push(server: &Url) -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let unique = format!("{}-{}", std::process::id(), now.as_nanos());
        let project = format!("team/shop-{unique}");
        let folder = tempfile::tempdir().unwrap();
        let mut change = Self {
            server: server.clone(),
            id: format!("I{:040x}", now.as_nanos()),
            project,
            number: String::new(),
            folder,
        };
        let path = format!("projects/{}", change.project.replace('/', "%2F"));
        change
            .ask("admin", "PUT", &path, &json!({"create_empty_commit": true}))
            .await;
        let mut remote = server.join(&format!("a/{}", change.project)).unwrap();
        remote.set_username("admin").unwrap();
        remote.set_password(Some("secret")).unwrap();
        change.git(&["clone", "-q", remote.as_str(), "."]);
        change.patchset("first");
        let found = change
            .ask(
                "admin",
                "GET",
                &format!("changes/{}", change.id),
                &json!(null),
            )
            .await;
        change.number = found["_number"].to_string();
        change
    }

    /// Pushes a patchset.
    pub(crate) fn patchset(&self, text: &str) {
        std::fs::write(self.folder.path().join("file"), text).unwrap();
        self.git(&["add", "file"]);
        let message = format!("Change it\n\nChange-Id: {}", self.id);
        let amend: &[&str] = if text == "first" { &[] } else { &["--amend"] };
        let commit = ["commit", "-q", "-m", message.as_str()];
        self.git(&[&commit, amend].concat());
        self.git(&["push", "-q", "origin", "HEAD:refs/for/master"]);
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .current_dir(self.folder.path())
            .args([
                "-c",
                "user.name=Admin",
                "-c",
                "user.email=admin@example.com",
            ])
            .args(arguments)
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {told}");
    }

    async fn ask(&self, user: &str, method: &str, path: &str, body: &Value) -> Value {
        let url = self.server.join(&format!("a/{path}")).unwrap();
        let client = reqwest::Client::new();
        let mut request = client
            .request(method.parse().unwrap(), url)
            .basic_auth(user, Some("secret"))
            .timeout(Duration::from_secs(30));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(text.trim_start_matches(")]}'")).unwrap()
    }

    pub(crate) async fn review(&self, user: &str, body: &Value) {
        let path = format!("changes/{}/revisions/current/review", self.number);
        self.ask(user, "POST", &path, body).await;
    }

    /// What whorl said here, oldest first.
    pub(crate) async fn messages(&self) -> Vec<Value> {
        let path = format!("changes/{}/messages", self.number);
        let all = self.ask("admin", "GET", &path, &json!(null)).await;
        let ours = |one: &Value| one["author"]["name"] == "whorl";
        let all = all.as_array().unwrap().iter();
        all.filter(|one| ours(one)).cloned().collect()
    }

    pub(crate) async fn vote(&self) -> Value {
        let path = format!("changes/{}/detail", self.number);
        let detail = self.ask("admin", "GET", &path, &json!(null)).await;
        let all = detail["labels"]["Verified"]["all"].as_array();
        // Without any vote there is no list.
        let ours = all.into_iter().flatten().find(|one| one["name"] == "whorl");
        ours.map_or(Value::Null, |one| one["value"].clone())
    }

    fn note(&self, patchset: &str, generation: u64) -> Note {
        note(&self.project, &self.number, patchset, generation)
    }
}

#[tokio::test]
async fn a_note_is_on_the_change_exactly_once() {
    let Some(url) = server() else { return };
    let _running = SERVER.read().await;
    let change = Change::push(&url).await;
    let failure = "Build failed.\n\n- gate-full https://logs.example/1/ : FAILURE in 3m 5s";
    change
        .review(
            "ci",
            &json!({"message": failure, "tag": "autogenerated:zuul"}),
        )
        .await;
    let first = change.note("1", 1);
    target(&url).say(&first).await.unwrap();
    let said = change.messages().await;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["tag"], "autogenerated:whorl");
    assert_eq!(change.vote().await, 1);
    let text = said[0]["message"].as_str().unwrap();
    let shown = text.replace(&change.project, "PROJECT");
    let shown = shown.replace(&format!("PROJECT/{}/", change.number), "PROJECT/CHANGE/");
    insta::assert_snapshot!(shown);
    assert!(
        text.contains(HOSTILE),
        "what hurts nobody in Gerrit is as it was"
    );
    // As after a kill between saying it and recording that: by another process.
    target(&url).say(&first).await.unwrap();
    assert_eq!(change.messages().await.len(), 1);
    // The same change by its other names.
    for name in [
        change.id.clone(),
        format!("{}~master~{}", change.project, change.id),
    ] {
        let mut same = first.clone();
        same.json["change"] = name.into();
        target(&url).say(&same).await.unwrap();
    }
    assert_eq!(change.messages().await.len(), 1);
    let second = Note {
        kind: "mixed".into(),
        ..change.note("1", 2)
    };
    target(&url).say(&second).await.unwrap();
    target(&url).say(&first).await.unwrap();
    let said = change.messages().await;
    assert_eq!(said.len(), 2);
    assert!(said[1]["message"].as_str().unwrap().contains("(say 2)"));
    assert_eq!(change.vote().await, -1);
}

#[tokio::test]
async fn nothing_is_said_on_an_older_patchset_or_an_abandoned_change() {
    let Some(url) = server() else { return };
    let _running = SERVER.read().await;
    let change = Change::push(&url).await;
    let gerrit = target(&url);
    gerrit.say(&change.note("1", 1)).await.unwrap();
    change.patchset("second");
    let refusal = refused(&gerrit, &change.note("1", 2)).await;
    assert_eq!(refusal.then, Then::Drop);
    assert_eq!(refusal.error, "patchset 2 is the newest");
    // Gerrit folds it by itself.
    gerrit
        .say(&turned(&change.note("1", 2), "outdated"))
        .await
        .unwrap();
    assert_eq!(change.messages().await.len(), 1);
    gerrit.say(&change.note("2", 1)).await.unwrap();
    let wrong = turned(&change.note("2", 1), "withdrawn");
    gerrit.say(&wrong).await.unwrap();
    gerrit.say(&wrong).await.unwrap();
    assert_eq!(change.messages().await.len(), 3);
    assert_eq!(change.vote().await, 0, "the vote is taken back too");
    // Of what was never said nothing is withdrawn.
    let other = Change::push(&url).await;
    gerrit
        .say(&turned(&other.note("1", 1), "withdrawn"))
        .await
        .unwrap();
    assert_eq!(other.messages().await.len(), 0);
    other
        .ask(
            "admin",
            "POST",
            &format!("changes/{}/abandon", other.number),
            &json!({}),
        )
        .await;
    let refusal = refused(&gerrit, &other.note("1", 3)).await;
    assert_eq!(
        (refusal.then, refusal.error.as_str()),
        (Then::Drop, "the change is abandoned")
    );
}

#[tokio::test]
async fn a_merged_change_is_told_without_a_vote() {
    let Some(url) = server() else { return };
    let _running = SERVER.read().await;
    let change = Change::push(&url).await;
    change
        .review(
            "admin",
            &json!({"labels": {"Code-Review": 2, "Verified": 1}}),
        )
        .await;
    change
        .ask(
            "admin",
            "POST",
            &format!("changes/{}/submit", change.number),
            &json!({}),
        )
        .await;
    let late = Note {
        kind: "unexplained".into(),
        ..change.note("1", 1)
    };
    target(&url).say(&late).await.unwrap();
    assert_eq!(change.messages().await.len(), 1);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let Some(url) = server() else { return };
    let _running = SERVER.read().await;
    let change = Change::push(&url).await;
    let wrong = |edit: fn(&mut GerritSettings)| {
        let mut settings = settings(&url);
        edit(&mut settings);
        Gerrit::new(settings).unwrap()
    };
    let refusal = refused(
        &wrong(|s| s.password = "pa55word".into()),
        &change.note("1", 1),
    )
    .await;
    insta::assert_snapshot!(refusal.error, @"does not take the credentials: answered 401 Unauthorized: Unauthorized");
    assert!(matches!(refusal.then, Then::Rest(Some(_))), "{refusal:?}");
    let mut nowhere = change.note("1", 1);
    nowhere.json["change"] = json!("99999999");
    let refusal = refused(&target(&url), &nowhere).await;
    assert_eq!(refusal.then, Then::Park);
    assert_eq!(
        refusal.error,
        "there is no one change 99999999, or whorl may not see it"
    );
    for strange in ["..", "1 OR 2", "x~y~z", ""] {
        nowhere.json["change"] = json!(strange);
        assert_eq!(
            refused(&target(&url), &nowhere).await.then,
            Then::Park,
            "{strange}"
        );
    }
    assert_eq!(change.messages().await.len(), 0);
    assert!(!format!("{:?}", wrong(|s| s.password = "pa55word".into())).contains("pa55"));
}

#[tokio::test]
async fn a_vote_that_may_not_be_given_does_not_keep_back_what_is_to_be_said() {
    let Some(url) = server() else { return };
    let _running = SERVER.read().await;
    let change = Change::push(&url).await;
    for (generation, label, known) in [(1, "Nope", 1), (2, "Code-Review", 2), (3, "Verified", 5)] {
        let vote = Some(Vote {
            label: label.into(),
            known,
            unexplained: 0,
        });
        let settings = GerritSettings {
            vote,
            ..settings(&url)
        };
        let gerrit = Gerrit::new(settings).unwrap();
        gerrit.say(&change.note("1", generation)).await.unwrap();
        assert_eq!(change.messages().await.len() as u64, generation, "{label}");
    }
    assert_eq!(change.vote().await, Value::Null);
}

#[tokio::test]
async fn a_long_text_is_cut_to_what_gerrit_takes() {
    let Some(url) = server() else { return };
    let _running = SERVER.read().await;
    let change = Change::push(&url).await;
    let mut long = change.note("1", 1);
    long.text = format!(
        "head\n\n{}",
        "- a line that is said often: ä\n".repeat(3_000)
    );
    target(&url).say(&long).await.unwrap();
    target(&url).say(&long).await.unwrap();
    let said = change.messages().await;
    assert_eq!(said.len(), 1);
    let text = said[0]["message"].as_str().unwrap();
    assert!(text.len() > 14_000, "{}", text.len());
    assert!(text.contains("left out here for its length: https://whorl.example/changes/1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_two_messages_or_none() {
    let Some(url) = server() else { return };
    let _running = SERVER.read().await;
    let faults = [
        Fault::Refuse,
        Fault::Hang,
        Fault::Lose,
        Fault::Cut,
        Fault::HalfJson,
        Fault::Status(500, None),
        Fault::Status(429, Some(1)),
        Fault::Status(503, None),
    ];
    let change = Change::push(&url).await;
    let proxy = Proxy::to(&url);
    let gerrit = Gerrit::new(GerritSettings {
        timeout: Duration::from_secs(3),
        ..settings(&proxy.url())
    })
    .unwrap();
    let mut generation = 0;
    for fault in faults {
        for part in ["GET", "POST"] {
            generation += 1;
            proxy.next_on(part, 1, fault.clone());
            until_said(&gerrit, &change.note("1", generation)).await;
            let said = change.messages().await;
            assert_eq!(said.len() as u64, generation, "{fault:?} on {part}");
        }
    }
    assert_eq!(proxy.done().values().sum::<u64>(), generation);
}

#[tokio::test]
async fn a_gerrit_that_was_stopped_is_told_when_it_is_back() {
    let Some(url) = server() else { return };
    if !can_stop() {
        return;
    }
    let _alone = SERVER.write().await;
    let change = Change::push(&url).await;
    let gerrit = target(&url);
    gerrit.say(&change.note("1", 1)).await.unwrap();
    script("stop.sh", &["gerrit"]).await;
    let refusal = refused(&gerrit, &change.note("1", 2)).await;
    let later = matches!(refusal.then, Then::Rest(None) | Then::Again(None));
    assert!(later, "{refusal:?}");
    script("start-gerrit.sh", &[]).await;
    gerrit.say(&change.note("1", 2)).await.unwrap();
    gerrit.say(&change.note("1", 2)).await.unwrap();
    assert_eq!(change.messages().await.len(), 2);
}

/// True when the server is one that may be stopped.
pub(crate) fn can_stop() -> bool {
    let ours =
        std::env::var("PARTS_RUN").is_ok_and(|run| Path::new(&run).join("gerrit.pid").exists());
    if !ours {
        crate::skip("stopping Gerrit: PARTS_RUN names no folder of one that tests/real started");
    }
    ours
}

/// One of the scripts that keep the server; it outlives them, so their output is not waited for.
pub(crate) async fn script(name: &str, arguments: &[&str]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/real")
        .join(name);
    let mut command = Command::new(file);
    command.args(arguments).env("GERRIT_KEEP", "1");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status().unwrap());
    assert!(status.await.unwrap().success(), "{name}");
}
