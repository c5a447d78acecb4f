//! Who may do what, who is asked, what is kept of it.

use super::{Place, Ran};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// A process that ends with its test.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("60").spawn().unwrap())
    }

    fn state(&self) -> char {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        text.rsplit(") ").next().unwrap().chars().next().unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn stop(target: &Value) -> Value {
    json!({"type": "action", "name": "stop",
           "provider": {"type": "fault", "fault": "process-stop", "arguments": target}})
}

fn away() -> Value {
    json!({"type": "action", "name": "away",
           "provider": {"type": "fault", "fault": "file-moved", "arguments": {"path": "f"}, "duration": 30}})
}

fn look(line: &str) -> Value {
    json!({"type": "probe", "name": "look",
           "provider": {"type": "process", "path": "sh", "arguments": ["-c", line]}})
}

fn write(place: &Place, method: &[Value]) {
    let experiment = json!({"title": "t", "description": "d", "method": method});
    place.write("e.json", experiment.to_string());
}

fn root() -> bool {
    let is = nix::unistd::geteuid().is_root();
    if !is {
        crate::skip("only root is refused what others may not do anyway");
    }
    is
}

#[test]
fn root_hits_nothing_that_is_not_listed() {
    if !root() {
        return;
    }
    let sleeper = Sleeper::new();
    let (pid, state) = (
        sleeper.0.id(),
        format!("cut -d' ' -f3 /proc/{}/stat", sleeper.0.id()),
    );
    let listed = format!("pid:{pid}");
    for (args, allowed) in [
        (vec!["--yes"], false),
        (vec!["--yes", "--target", "process:another"], false),
        (
            vec![
                "--yes",
                "--i-own-this-machine",
                "--target",
                "process:another",
            ],
            false,
        ),
        (vec!["--i-own-this-machine"], false),
        (vec!["--yes", "--target", &listed], true),
        (vec!["--yes", "--i-own-this-machine"], true),
    ] {
        let place = Place::plain();
        write(&place, &[stop(&json!({"pid": pid})), look(&state)]);
        let args: Vec<&str> = ["run", "--result", "r.json"]
            .into_iter()
            .chain(args)
            .chain(["e.json"])
            .collect();
        let ran = place.chaos(&args);
        assert_eq!(ran.code, i32::from(!allowed), "{args:?} {}", ran.err);
        assert_eq!(place.path("journal.json").exists(), allowed, "{args:?}");
        assert_eq!(sleeper.state(), 'S');
        assert!(place.runs().is_empty());
        if allowed {
            assert_eq!(
                place.json("journal.json")["run"][1]["output"]["stdout"],
                "T\n",
                "{args:?}"
            );
            assert!(
                ran.err.contains(&format!("hits process sleep ({pid})")),
                "{}",
                ran.err
            );
        } else {
            assert_eq!(
                place.json("r.json")["verdict"],
                "The experiment could not be run: consent failed."
            );
        }
    }
}

#[test]
fn an_experiment_lists_what_it_may_hit() {
    let sleeper = Sleeper::new();
    for (target, allowed) in [
        (format!("pid:{}", sleeper.0.id()), true),
        ("file:/srv".into(), false),
    ] {
        let place = Place::plain();
        let experiment = json!({
            "title": "t", "description": "d", "method": [stop(&json!({"pid": sleeper.0.id()}))],
            "extensions": [{"name": "whorl", "targets": [target]}],
        });
        place.write("e.json", experiment.to_string());
        let ran = place.chaos(&["run", "--yes", "--strict", "e.json"]);
        // There is no hypothesis, which is all that is wrong with it.
        assert_eq!(ran.code, if allowed { 5 } else { 1 }, "{}", ran.err);
        assert_eq!(
            ran.err.contains("not among the listed targets"),
            !allowed,
            "{}",
            ran.err
        );
    }
}

#[test]
fn what_is_in_namespaces_needs_no_list() {
    if !root() {
        return;
    }
    let place = Place::plain();
    write(
        &place,
        &[
            stop(&json!({"name": "sleep"})),
            look("cut -d' ' -f3 /proc/$(cat pid)/stat"),
        ],
    );
    let inner = place.command(&["run", "--yes", "e.json"]);
    let output = Command::new("unshare")
        .args([
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "sh",
            "-c",
        ])
        .arg("sleep 60 & echo $! > pid; \"$@\"; kill $(cat pid)")
        .arg("sh")
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(
            inner
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(place.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = Ran::of(&output);
    if ran.err.contains("unshare failed") {
        return crate::skip("no right to make namespaces");
    }
    let journal = place.json("journal.json");
    assert_eq!(journal["run"][1]["output"]["stdout"], "T\n", "{}", ran.err);
    assert!(ran.err.contains("with processes"), "{}", ran.err);
}

#[test]
fn a_file_in_a_temporary_folder_needs_no_list() {
    let place = Place::plain();
    place.write("f", "content");
    write(&place, &[away(), look("test -e f || echo gone")]);
    assert_eq!(place.chaos(&["run", "--yes", "e.json"]).code, 0);
    assert_eq!(
        place.json("journal.json")["run"][1]["output"]["stdout"],
        "gone\n"
    );
    // Without anybody who says yes, nothing is begun.
    fs::remove_file(place.path("journal.json")).unwrap();
    let ran = place.chaos(&["run", "e.json"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no terminal to ask on"), "{}", ran.err);
    assert!(
        ran.err.contains("away (file-moved), for at most 30 s"),
        "{}",
        ran.err
    );
    assert!(
        ran.err
            .contains(&format!("hits file {}", place.path("f").display())),
        "{}",
        ran.err
    );
    assert!(!place.path("journal.json").exists());
}

/// Runs with a terminal on which something is typed.
fn typed(place: &Place, answer: &str) -> Option<(i32, String)> {
    let inner = place.command(&["run", "e.json"]);
    let program = inner.get_program().to_string_lossy();
    let child = Command::new("script")
        .args(["-qec", &format!("{program} chaos run e.json"), "/dev/null"])
        .envs(
            inner
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(place.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        crate::skip("no `script`, which makes a terminal");
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{answer}").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    Some((
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    ))
}

#[test]
fn a_terminal_is_asked() {
    for (answer, allowed) in [("no", false), ("", false), ("yes", true)] {
        let place = Place::plain();
        place.write("f", "content");
        write(&place, &[away(), look("test -e f || touch gone")]);
        let Some((code, shown)) = typed(&place, answer) else {
            return;
        };
        assert_eq!(code, i32::from(!allowed), "{answer}: {shown}");
        assert!(shown.contains("Go on?"), "{shown}");
        assert_eq!(place.path("gone").exists(), allowed, "{answer}: {shown}");
        assert_eq!(place.read("f"), "content");
    }
}

#[test]
fn a_dry_run_shows_each_fault_and_its_undo() {
    let sleeper = Sleeper::new();
    let pid = sleeper.0.id();
    let place = Place::plain();
    place.write("f", "content");
    let undo =
        json!({"type": "action", "name": "back", "provider": {"type": "fault", "undo": "away"}});
    write(
        &place,
        &[away(), stop(&json!({"pid": pid})), undo, look("ls f")],
    );
    let ran = place.chaos(&["run", "--dry", "actions", "e.json"]);
    assert_eq!(ran.code, 0, "nobody is asked: {}", ran.err);
    let file = place.path("f").display().to_string();
    for line in [
        format!("would hit: file {file}"),
        format!("would do: mv {file} "),
        format!(" {file}, unless it was written anew"),
        format!("would do: kill -STOP {pid}"),
        format!("undo: kill -CONT {pid}"),
        "would take back what away has put in".into(),
    ] {
        assert!(ran.err.contains(&line), "{line}\n{}", ran.err);
    }
    assert_eq!(
        place.json("journal.json")["run"][3]["output"]["stdout"],
        "f\n"
    );
    assert_eq!(sleeper.state(), 'S');
}

const SECRET: &str = "correct horse/battery";

/// Every file below a folder that holds the secret in some form.
fn tells(place: &Place) -> Vec<String> {
    let pattern = "correct.{1,3}horse|Y29ycmVjdCBob3JzZS9iYXR0ZXJ5";
    let found = Command::new("grep")
        .args(["-rlE", pattern, "."])
        .current_dir(place.folder.path())
        .output();
    String::from_utf8(found.unwrap().stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn secrets_are_in_nothing_that_is_kept() {
    let place = Place::new();
    let say = |name: &str, line: &str| {
        json!({"type": "action", "name": name,
               "provider": {"type": "process", "path": "sh", "arguments": ["-c", line]}})
    };
    place.write("f", "content");
    let experiment = json!({
        "title": "with ${word}", "description": "d", "secrets": {"s": {"word": {"type": "env", "key": "WORD"}}},
        "method": [
            say("plain", "echo '${word}'"),
            say("coded", "printf %s '${word}' | base64; echo 'a?w=correct%20horse%2Fbattery'"),
            {"type": "action", "name": "away", "provider": {
                "type": "fault", "fault": "file-moved", "arguments": {"path": "f"}}},
            {"type": "action", "name": "leaks", "provider": {
                "type": "fault", "fault": "file-moved", "arguments": {"path": "${word}"}}},
        ],
    });
    place.write("e.json", experiment.to_string());
    fs::create_dir_all(place.path("correct horse")).unwrap();
    place.write(SECRET, "x");
    let mut command = place.command(&[
        "run",
        "--events-file",
        "events",
        "--log-file",
        "log",
        "--result",
        "r.json",
        "e.json",
    ]);
    let ran = Ran::of(&command.env("WORD", SECRET).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.err.contains("correct"), "{}", ran.err);
    let journal = place.json("journal.json");
    assert_eq!(journal["run"][0]["output"]["stdout"], "*****\n");
    assert_eq!(journal["run"][1]["output"]["stdout"], "*****\na?w=*****\n");
    assert_eq!(journal["experiment"]["title"], "with *****");
    assert_eq!(journal["run"][2]["status"], "succeeded");
    // What has to be written down to be taken back cannot be masked, so it is not done.
    assert_eq!(journal["run"][3]["status"], "failed");
    assert!(
        journal["run"][3]["exception"]
            .to_string()
            .contains("undo journal"),
        "{journal}"
    );
    assert!(place.read("events").contains("*****") && place.read("log").contains("*****"));
    // The experiment itself, which is ours, has it in one of its lines.
    assert_eq!(tells(&place), ["./e.json"]);
}

#[test]
fn every_run_is_audited() {
    let place = Place::new();
    place.write("f", "content");
    write(&place, &[away()]);
    assert_eq!(place.chaos(&["run", "e.json"]).code, 0);
    write(&place, &[look("true")]);
    assert_eq!(place.chaos(&["run", "e.json"]).code, 0);
    let ran = place.chaos(&["audit", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let records: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = records
        .iter()
        .map(|record| record["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["run", "fault", "end", "run", "end"]);
    assert_eq!(records[0]["who"]["uid"], nix::unistd::getuid().as_raw());
    assert_eq!(records[0]["faults"], json!(["file-moved"]));
    assert_eq!(records[0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(
        records[1]["targets"],
        json!([format!("file {}", place.path("f").display())])
    );
    assert_eq!(records[2]["outcome"], "passed");
    assert_ne!(records[0]["sha256"], records[3]["sha256"]);
    let head = records[4]["hash"].as_str().unwrap();
    assert_eq!(place.chaos(&["audit", "--expect", head]).code, 0);
    // Somebody changes who it was, or takes the last line away.
    let text = place.read("state/audit.jsonl");
    place.write(
        "state/audit.jsonl",
        text.replacen("file-moved", "file-mowed", 1),
    );
    let ran = place.chaos(&["audit"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("line 1: the line was changed"),
        "{}",
        ran.err
    );
    let lines: Vec<&str> = text.lines().collect();
    place.write("state/audit.jsonl", lines[..4].join("\n") + "\n");
    assert_eq!(place.chaos(&["audit"]).code, 0);
    assert_eq!(place.chaos(&["audit", "--expect", head]).code, 1);
}

#[test]
fn a_run_that_cannot_be_audited_puts_nothing_in() {
    let place = Place::new();
    place.write("f", "content");
    fs::create_dir_all(place.path("state/audit.jsonl")).unwrap();
    write(&place, &[away()]);
    let ran = place.chaos(&["run", "e.json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(!place.path("journal.json").exists());
    write(&place, &[look("true")]);
    assert_eq!(
        place.chaos(&["run", "e.json"]).code,
        0,
        "without a fault nothing hangs on it"
    );
}

#[test]
fn the_list_of_faults_says_what_this_machine_can_do() {
    let place = Place::new();
    let ran = place.chaos(&["faults"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran
        .out
        .lines()
        .filter(|line| line.starts_with("    needs "))
        .collect();
    let names = ran
        .out
        .lines()
        .filter(|line| !line.starts_with(' '))
        .count();
    assert_eq!(lines.len(), names, "{}", ran.out);
    let fuse = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_ok();
    let slow = ran
        .out
        .split("disk-slow:")
        .nth(1)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap();
    assert!(fuse || slow.contains("NOT HERE: /dev/fuse"), "{slow}");
    // Nobody but root of the machine may mount.
    let inner = place.command(&["faults"]);
    let output = Command::new("setpriv")
        .args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"])
        .arg(inner.get_program())
        .args(["chaos", "faults"])
        .output();
    if let (true, Ok(output)) = (root(), output) {
        let out = String::from_utf8(output.stdout).unwrap();
        let line = out
            .split("disk-readonly:")
            .nth(1)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap();
        assert!(line.contains("NOT HERE"), "{line}");
    }
}
