//! Memory, disks and control groups under pressure, by their real effect.

use super::method::{self, fault, shell, write};
use super::room::Room;
use super::{Place, crashes, until};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs a method and gives what its activities put out; no child of a fault is left.
fn outputs(place: &Place, method: &[Value]) -> Vec<Value> {
    let outputs = method::outputs(place, method);
    assert!(crashes::children(place).is_empty());
    outputs
}

/// Shell: the folder in /proc of the fault's child.
const CHILD: &str = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | \
    grep -q \"fault-child.*$WHORL_CHAOS_STATE\" && child=$p; done; ";

#[test]
fn memory_is_really_taken() {
    let place = Place::new();
    let look =
        format!("{CHILD} grep VmRSS $child/status | tr -dc 0-9; echo; cat $child/oom_score_adj");
    let method = [
        fault("m", "memory-stress", &json!({"megabytes": 120})),
        shell("rss", &look),
    ];
    let outputs = outputs(&place, &method);
    let text = outputs[1]["stdout"].as_str().unwrap();
    let (kibibytes, goes_first) = text.trim().split_once('\n').unwrap();
    let kibibytes: u64 = kibibytes.parse().unwrap();
    assert!(
        (120 * 1024..160 * 1024).contains(&kibibytes),
        "{kibibytes} KiB"
    );
    assert_eq!(goes_first, "1000");
    // What has to stay available is not taken.
    write(
        &place,
        &[fault("m", "memory-stress", &json!({"megabytes": 1 << 24}))],
    );
    assert_eq!(place.chaos(&["run", "--strict", "e.json"]).code, 4);
    let journal = place.json("journal.json");
    assert!(
        journal["run"][0]["exception"]
            .to_string()
            .contains("are available"),
        "{journal}"
    );
}

#[test]
fn a_disk_is_really_written() {
    let Some(room) = Room::new() else { return };
    let count = format!(
        "{CHILD} a=$(grep ^syscw $child/io | tr -dc 0-9); sleep 0.3; \
        b=$(grep ^syscw $child/io | tr -dc 0-9); echo $((b - a)); ls -A io | wc -l"
    );
    let stress = json!({"path": "io", "writers": 2, "megabytes": 1});
    let method = [fault("io", "io-stress", &stress), shell("count", &count)];
    write(&room.place, &method);
    let ran = room.chaos(&["run", "e.json"]);
    let journal = room.place.json("journal.json");
    let text = journal["run"][1]["output"]["stdout"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let (writes, files) = text
        .trim()
        .split_once('\n')
        .unwrap_or_else(|| panic!("{}", ran.err));
    assert!(
        writes.parse::<u64>().unwrap() > 20,
        "{writes} writes in 0.3 s"
    );
    assert_eq!(files, "2");
    assert_eq!(fs::read_dir(room.inside("io")).unwrap().count(), 0);
}

/// A program that takes 200 MB as soon as it is told to.
struct Hungry(Child);

impl Hungry {
    fn new(place: &Place) -> Self {
        let code = "import os, time\nprint(flush=True)\nwhile not os.path.exists('eat'): time.sleep(0.01)\nx = b'x' * (200 << 20)";
        let mut child = Command::new("python3")
            .args(["-c", code])
            .current_dir(place.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "\n", "it runs");
        Self(child)
    }
}

impl Drop for Hungry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Whether memory can be limited here; why not has been said.
fn can_limit() -> bool {
    let listed = Place::new().chaos(&["faults"]).out;
    let line = listed
        .split("memory-limit:")
        .nth(1)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    if line.contains("NOT HERE") {
        crate::skip(line.trim());
        return false;
    }
    true
}

/// The group of a process, in the hierarchy that limits memory.
fn group_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let first = text.lines().find(|line| line.contains(":memory:"));
    let line = first
        .or_else(|| text.lines().find(|line| line.starts_with("0::")))
        .unwrap();
    line.rsplit(':').next().unwrap().to_owned()
}

#[test]
fn who_takes_more_memory_than_the_limit_is_killed() {
    if !can_limit() {
        return;
    }
    for (limit, killed) in [(64, true), (600, false)] {
        let place = Place::new();
        let mut hungry = Hungry::new(&place);
        let home = group_of(hungry.0.id());
        let pid = json!({"pid": hungry.0.id(), "megabytes": limit});
        let state = format!("cut -d' ' -f3 /proc/{}/stat", hungry.0.id());
        let eat = format!(
            "touch eat; while [ $({state}) != Z ]; do sleep 0.02; done; cat /proc/{}/cgroup",
            hungry.0.id()
        );
        let method = [fault("limit", "memory-limit", &pid), shell("eat", &eat)];
        let outputs = outputs(&place, &method);
        let status = hungry.0.wait().unwrap();
        assert_eq!(
            status.signal(),
            killed.then_some(9),
            "{limit} MB: {status} {outputs:?}"
        );
        let group = PathBuf::from(outputs[0]["plan"]["group"].as_str().unwrap());
        assert!(!group.exists(), "{} is gone", group.display());
        assert_eq!(
            home,
            group_of(std::process::id()),
            "it was where its parent is"
        );
    }
}

#[test]
fn who_lives_on_is_back_in_its_group() {
    if !can_limit() {
        return;
    }
    let place = Place::new();
    let hungry = Hungry::new(&place);
    let home = group_of(hungry.0.id());
    let target = json!({"pid": hungry.0.id(), "megabytes": 64});
    let group = format!("cat /proc/{}/cgroup", hungry.0.id());
    let outputs = outputs(
        &place,
        &[
            fault("limit", "memory-limit", &target),
            shell("group", &group),
        ],
    );
    assert!(
        outputs[1]["stdout"].as_str().unwrap().contains("/whorl-"),
        "{outputs:?}"
    );
    assert_eq!(group_of(hungry.0.id()), home);
}

/// A control group that is gone with its test.
struct Group(PathBuf);

impl Group {
    fn below(folder: &Path, name: &str) -> Option<Self> {
        let path = folder.join(format!("{name}-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&path) {
            crate::skip(&format!("no right to make control groups: {error}"));
            return None;
        }
        Some(Self(path))
    }

    fn take(&self, child: &Child) {
        fs::write(self.0.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        until("the group's end", || fs::remove_dir(&self.0).is_ok());
    }
}

/// Some folder of control groups, and the file that limits memory there.
fn tree() -> Option<(PathBuf, &'static str)> {
    let folder = Path::new("/sys/fs/cgroup/memory")
        .join(group_of(std::process::id()).trim_start_matches('/'));
    if folder.join("memory.limit_in_bytes").is_file() {
        return Some((folder, "memory.limit_in_bytes"));
    }
    let unified = PathBuf::from("/sys/fs/cgroup");
    if unified.join("cgroup.subtree_control").is_file() {
        return Some((unified, "memory.max"));
    }
    crate::skip("no control groups with memory");
    None
}

#[test]
fn a_group_has_its_limit_back() {
    let Some((folder, file)) = tree() else { return };
    let Some(group) = Group::below(&folder, "whorl-test-limit") else {
        return;
    };
    let file = group.0.join(file);
    if fs::write(&file, (512u64 << 20).to_string()).is_err() {
        return crate::skip("memory cannot be limited here");
    }
    let place = Place::new();
    let target = json!({"cgroup": group.0, "megabytes": 32});
    let look = format!("cat {}", file.display());
    let outputs = outputs(
        &place,
        &[
            fault("limit", "memory-limit", &target),
            shell("look", &look),
        ],
    );
    assert_eq!(outputs[1]["stdout"], format!("{}\n", 32 << 20));
    assert_eq!(
        fs::read_to_string(&file).unwrap().trim(),
        (512u64 << 20).to_string()
    );
}

struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }
}

fn states(children: &[Child]) -> String {
    let paths: Vec<String> = children
        .iter()
        .map(|child| format!("/proc/{}/stat", child.id()))
        .collect();
    format!(
        "cat {} | sed 's/.*) \\(.\\).*/\\1/' | tr -d '\\n'",
        paths.join(" ")
    )
}

#[test]
fn all_processes_of_a_group_are_stopped() {
    let Some((folder, _)) = tree() else { return };
    let Some(group) = Group::below(&folder, "whorl-test-stop") else {
        return;
    };
    let Some(below) = Group::below(&group.0, "below") else {
        return;
    };
    let children = (0..3)
        .map(|_| Command::new("sleep").arg("60").spawn().unwrap())
        .collect();
    let sleepers = Sleepers(children);
    group.take(&sleepers.0[0]);
    below.take(&sleepers.0[1]);
    let place = Place::new();
    let look = states(&sleepers.0);
    // By its path in the file system, and as /proc/PID/cgroup has it.
    let name = group_of(sleepers.0[0].id());
    for path in [group.0.display().to_string(), name] {
        let target = json!({"cgroup": path});
        let outputs = outputs(
            &place,
            &[fault("stop", "process-stop", &target), shell("look", &look)],
        );
        assert_eq!(outputs[1]["stdout"], "TTS", "the third one is elsewhere");
    }
    let half = json!({"cgroup": group.0, "intensity": 50});
    let outputs = outputs(
        &place,
        &[fault("kill", "process-kill", &half), shell("look", &look)],
    );
    let text = outputs[1]["stdout"].as_str().unwrap();
    assert!(text == "ZSS" || text == "SZS", "one of two: {text}");
}

#[test]
fn processes_are_found_by_name_but_never_our_own_line() {
    let place = Place::new();
    let name = format!("nap-{}", std::process::id());
    std::os::unix::fs::symlink("/bin/sleep", place.path(&name)).unwrap();
    let children = (0..2)
        .map(|_| Command::new(place.path(&name)).arg("60").spawn().unwrap())
        .collect();
    let sleepers = Sleepers(children);
    let look = states(&sleepers.0);
    let stop = |name: &str| fault("stop", "process-stop", &json!({"name": name}));
    let outputs = outputs(&place, &[stop(&name), shell("look", &look)]);
    assert_eq!(outputs[1]["stdout"], "TT");
    // The shell above the run is not hit by its own experiment.
    write(&place, &[stop(&format!("above-{name}"))]);
    let shell_name = place.path(&format!("above-{name}"));
    std::os::unix::fs::symlink("/bin/sh", &shell_name).unwrap();
    let inner = place.command(&["run", "--strict", "e.json"]);
    let status = Command::new(&shell_name)
        .args(["-c", "\"$@\"; exit $?", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(
            inner
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(place.folder.path())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(4), "there is no such process");
}
