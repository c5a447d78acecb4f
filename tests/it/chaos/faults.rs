//! Faults by their real effect, and that none is left whoever dies.

use super::method::{fault, outputs, shell, write};
use super::{Place, Ran, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

/// Processes whose arguments have this text.
fn with_argument(text: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|_| String::from_utf8_lossy(&line).contains(text)) {
            found.push(pid);
        }
    }
    found
}

pub(super) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

pub(super) fn watchdog(place: &Place) -> Option<i32> {
    let mark = format!("watchdog\0{}", place.path("state").display());
    with_argument(&mark).first().copied()
}

/// A run that has put its faults in and waits.
fn waiting(place: &Place) -> Child {
    place.write("f", "content");
    place.write("g", "other content");
    write(
        place,
        &[
            fault("away", "file-moved", &json!({"path": "f"})),
            fault("wrong", "file-corrupted", &json!({"path": "g"})),
            fault("busy", "cpu-stress", &json!({"threads": 1, "intensity": 5})),
            // Its own child of the run is no fault, so it does not outlive this test by much.
            shell("wait", "touch begun; exec sleep 20"),
        ],
    );
    let child = place.start(&["run", "e.json"]);
    until("the faults", || place.path("begun").exists());
    assert!(!place.path("f").exists());
    assert_ne!(fs::read(place.path("g")).unwrap(), b"other content");
    assert_eq!(stressing(place).len(), 1);
    child
}

fn stressing(place: &Place) -> Vec<i32> {
    let run = place.runs().first().map(|run| run.display().to_string());
    run.map_or_else(Vec::new, |run| {
        let mut found = with_argument(&run);
        found.retain(|pid| Some(*pid) != watchdog(place));
        found
    })
}

fn everything_is_back(place: &Place) {
    until("the file", || place.path("f").exists());
    until("the content", || {
        fs::read(place.path("g")).unwrap() == b"other content"
    });
    until("the written down", || place.runs().is_empty());
    assert_eq!(place.read("f"), "content");
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

#[test]
fn a_killed_runner_leaves_nothing() {
    let place = Place::new();
    let mut run = waiting(&place);
    send(pid(&run), Signal::SIGKILL);
    run.wait().unwrap();
    everything_is_back(&place);
}

#[test]
fn a_killed_watchdog_is_replaced() {
    let place = Place::new();
    let mut run = waiting(&place);
    let first = watchdog(&place).unwrap();
    send(first, Signal::SIGKILL);
    until("another watchdog", || {
        watchdog(&place).is_some_and(|next| next != first)
    });
    send(pid(&run), Signal::SIGKILL);
    run.wait().unwrap();
    everything_is_back(&place);
}

#[test]
fn what_both_leave_is_taken_back_later() {
    for runner_first in [true, false] {
        let place = Place::new();
        let mut run = waiting(&place);
        let guard = watchdog(&place).unwrap();
        let busy = stressing(&place);
        // Stopped, neither can act on the other's death.
        let order = if runner_first {
            [pid(&run), guard]
        } else {
            [guard, pid(&run)]
        };
        send(order[1], Signal::SIGSTOP);
        send(order[0], Signal::SIGKILL);
        send(order[1], Signal::SIGKILL);
        run.wait().unwrap();
        until("the watchdog's end", || watchdog(&place).is_none());
        assert!(!place.path("f").exists(), "nobody was left to take it back");
        let ran = place.chaos(&["undo"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains("file-moved taken back"), "{}", ran.out);
        everything_is_back(&place);
        for pid in busy {
            let state = fs::read_to_string(format!("/proc/{pid}/stat"));
            assert!(
                state.is_err() || state.unwrap().contains(") Z "),
                "still busy"
            );
        }
        assert!(place.chaos(&["undo"]).out.contains("nothing to take back"));
    }
}

#[test]
fn a_run_that_goes_on_is_left_alone() {
    let place = Place::new();
    let mut run = waiting(&place);
    let ran = place.chaos(&["undo"]);
    assert!(ran.out.contains("is going on"), "{}", ran.out);
    assert!(!place.path("f").exists());
    assert_eq!(place.chaos(&["undo", "--force"]).code, 0);
    assert!(place.path("f").exists());
    send(pid(&run), Signal::SIGTERM);
    run.wait().unwrap();
    everything_is_back(&place);
}

#[test]
fn a_copy_of_the_folder_is_enough() {
    let place = Place::new();
    let mut run = waiting(&place);
    let copied = Command::new("cp")
        .args(["-a", "state", "copy"])
        .current_dir(place.folder.path())
        .status();
    assert!(copied.unwrap().success());
    let guard = watchdog(&place).unwrap();
    send(guard, Signal::SIGSTOP);
    send(pid(&run), Signal::SIGKILL);
    send(guard, Signal::SIGKILL);
    run.wait().unwrap();
    let ran = place.chaos(&["undo", "--state-dir", "copy"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!(place.read("f"), "content");
    assert_eq!(place.read("g"), "other content");
    // The folder itself says the same, and once more does no harm.
    assert_eq!(place.chaos(&["undo"]).code, 0);
    everything_is_back(&place);
}

#[test]
fn a_signal_takes_everything_back() {
    for (signal, args) in [
        (Signal::SIGTERM, ["run", "e.json"]),
        (Signal::SIGUSR2, ["run", "e.json"]),
    ] {
        let place = Place::new();
        let run = waiting(&place);
        assert_eq!(args[0], "run");
        send(pid(&run), signal);
        let ran = Ran::of(&run.wait_with_output().unwrap());
        assert_eq!(ran.code, 1, "{}", ran.err);
        everything_is_back(&place);
        assert_eq!(place.json("journal.json")["status"], "interrupted");
    }
}

#[test]
fn a_fault_ends_with_its_time() {
    let place = Place::new();
    place.write("f", "content");
    let mut away = fault("away", "file-moved", &json!({"path": "f"}));
    away["provider"]["duration"] = json!(0.3);
    let wait = shell("wait", "while ! test -e f; do sleep 0.02; done; echo back");
    let outputs = outputs(
        &place,
        &[away, shell("gone", "test -e f || echo gone"), wait],
    );
    assert_eq!(outputs[1]["stdout"], "gone\n");
    assert_eq!(outputs[2]["stdout"], "back\n");
}

#[test]
fn an_activity_takes_a_fault_back() {
    let place = Place::new();
    place.write("f", "content");
    let undo =
        json!({"type": "action", "name": "undo", "provider": {"type": "fault", "undo": "away"}});
    let method = [
        fault("away", "file-moved", &json!({"path": "f"})),
        undo,
        shell("there", "cat f"),
    ];
    assert_eq!(outputs(&place, &method)[2]["stdout"], "content");
}

#[test]
fn a_file_cannot_be_opened() {
    let place = Place::new();
    place.write("f", "content");
    let method = [
        fault("x", "file-unreadable", &json!({"path": "f"})),
        shell("cat", "cat f 2>&1"),
    ];
    let outputs = outputs(&place, &method);
    assert_eq!(outputs[1]["status"], 1, "{outputs:?}");
    assert_eq!(place.read("f"), "content");
}

#[test]
fn a_corrupted_file_is_the_same_with_the_same_seed() {
    let place = Place::new();
    let content = "0123456789".repeat(100);
    place.write("f", &content);
    let method = [
        fault(
            "x",
            "file-corrupted",
            &json!({"path": "f", "intensity": 10}),
        ),
        shell("sum", "cksum f; cmp -l f - </dev/null | wc -l"),
        shell("keep", "cp f kept"),
    ];
    let first = outputs(&place, &method)[1]["stdout"].clone();
    let kept = fs::read(place.path("kept")).unwrap();
    let changed = kept
        .iter()
        .zip(content.as_bytes())
        .filter(|(a, b)| a != b)
        .count();
    assert!((50..200).contains(&changed), "{changed} of 1000 bytes");
    assert_eq!(place.read("f"), content);
    assert_eq!(outputs(&place, &method)[1]["stdout"], first);
}

#[test]
fn processes_are_stopped_and_killed() {
    let place = Place::new();
    let mut sleeper = Command::new("sleep").arg("30").spawn().unwrap();
    let target = json!({"pid": sleeper.id()});
    let state = format!("cut -d' ' -f3 /proc/{}/stat", sleeper.id());
    let method = [
        fault("stop", "process-stop", &target),
        shell("state", &state),
    ];
    assert_eq!(outputs(&place, &method)[1]["stdout"], "T\n");
    let state = fs::read_to_string(format!("/proc/{}/stat", sleeper.id())).unwrap();
    assert!(state.contains(") S "), "it goes on: {state}");
    outputs(&place, &[fault("kill", "process-kill", &target)]);
    assert!(sleeper.try_wait().unwrap().is_some());
}

#[test]
fn a_target_that_is_not_there_is_a_failed_action() {
    let place = Place::new();
    write(
        &place,
        &[fault("x", "file-moved", &json!({"path": "nothing"}))],
    );
    assert_eq!(place.chaos(&["run", "--strict", "e.json"]).code, 4);
    let journal = place.json("journal.json");
    assert_eq!(journal["run"][0]["status"], "failed");
    write(
        &place,
        &[fault("x", "file-moved", &json!({"file": "nothing"}))],
    );
    let ran = place.chaos(&["validate", "e.json"]);
    assert!(
        ran.err
            .contains("`file`: is not known here; known are path"),
        "{}",
        ran.err
    );
}

#[test]
fn what_an_earlier_run_left_is_taken_back_first() {
    let place = Place::new();
    let mut run = waiting(&place);
    let guard = watchdog(&place).unwrap();
    send(guard, Signal::SIGSTOP);
    send(pid(&run), Signal::SIGKILL);
    send(guard, Signal::SIGKILL);
    run.wait().unwrap();
    assert!(!place.path("f").exists());
    let method = [
        fault("away", "file-moved", &json!({"path": "f"})),
        shell("gone", "test -e f || echo gone"),
    ];
    assert_eq!(outputs(&place, &method)[1]["stdout"], "gone\n");
    everything_is_back(&place);
}

#[test]
fn a_kill_at_any_moment_leaves_nothing() {
    let place = Place::new();
    place.write("f", "content");
    write(
        &place,
        &[
            fault("away", "file-moved", &json!({"path": "f"})),
            shell("wait", "exec sleep 1"),
        ],
    );
    let mut away = 0;
    for step in 0..25 {
        let mut run = place.start(&["run", "e.json"]);
        std::thread::sleep(Duration::from_millis(step * 3));
        send(pid(&run), Signal::SIGKILL);
        away += usize::from(!place.path("f").exists());
        run.wait().unwrap();
        assert_eq!(place.chaos(&["undo"]).code, 0);
        assert_eq!(place.read("f"), "content", "killed after {} ms", step * 3);
        let left: Vec<_> = fs::read_dir(place.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().contains(".whorl-"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(away > 0, "none was killed while the file was away");
}
