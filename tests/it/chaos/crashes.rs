//! Whoever dies, in whichever order, at whatever moment: of no kind of fault is anything left.

use super::room::Room;
use super::{Place, Ran, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Processes of ours that belong to a place: all that have its state folder among their arguments.
fn ours(place: &Place, word: &str) -> Vec<i32> {
    let state = place.path("state").display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let mut words = line.split('\0').skip(1);
        let is =
            words.next() == Some("chaos") && words.next() == Some(word) && line.contains(&state);
        found.extend(pid.filter(|_: &i32| is));
    }
    found
}

/// The children that do the work of a place's faults.
pub(super) fn children(place: &Place) -> Vec<i32> {
    let mut found = ours(place, "fault-child");
    found.extend(ours(place, "stress"));
    found
}

fn send(pid: i32, signal: Signal) {
    // Who is gone already needs no signal.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// One fault of each kind, and how it is seen that it is there.
struct Kind {
    name: &'static str,
    arguments: Value,
    /// Whether anything of it is there.
    there: Box<dyn Fn(&Scene) -> bool>,
}

/// A room with everything that faults can be done to.
struct Scene {
    room: Room,
    sleeper: Child,
    limited: Child,
    memory: bool,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for child in [&mut self.sleeper, &mut self.limited] {
            let _ = child.kill();
            child.wait().unwrap();
        }
        for pid in children(&self.room.place) {
            send(pid, Signal::SIGKILL);
        }
    }
}

impl Scene {
    fn new() -> Option<Self> {
        let room = Room::new()?;
        room.place.write("moved", "content");
        room.place.write("unreadable", "content");
        room.place.write("corrupted", "content");
        let sleep = || {
            Command::new("sleep")
                .arg("120")
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let (sleeper, limited) = (sleep(), sleep());
        fs::write(room.inside("fuse/f"), "content").unwrap();
        let listed = room.place.chaos(&["faults"]).out;
        let memory = listed
            .split("memory-limit:")
            .nth(1)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap();
        let memory = !memory.contains("NOT HERE");
        Some(Self {
            room,
            sleeper,
            limited,
            memory,
        })
    }

    fn names(&self, disk: &str) -> usize {
        fs::read_dir(self.room.inside(disk)).map_or(9, Iterator::count)
    }

    fn child(&self, count: usize) -> bool {
        children(&self.room.place).len() >= count
    }

    /// A mount of the room: its options and its kind.
    fn mount(&self, disk: &str) -> String {
        let point = self.room.place.path(disk).display().to_string();
        let mounts = self.room.mounts();
        let mut lines = mounts.lines().rev();
        let topmost = lines.find(|line| line.contains(&format!(" {point} ")));
        topmost.unwrap_or_default().to_owned()
    }

    fn kinds(&self) -> Vec<Kind> {
        let kind = |name, arguments, there: Box<dyn Fn(&Self) -> bool>| Kind {
            name,
            arguments,
            there,
        };
        let content = |name: &'static str| {
            Box::new(move |scene: &Self| {
                fs::read(scene.room.place.path(name)).ok().as_deref() != Some(b"content")
            })
        };
        let mut kinds = vec![
            kind("file-moved", json!({"path": "moved"}), content("moved")),
            kind(
                "file-unreadable",
                json!({"path": "unreadable"}),
                content("unreadable"),
            ),
            kind(
                "file-corrupted",
                json!({"path": "corrupted"}),
                content("corrupted"),
            ),
            kind(
                "process-stop",
                json!({"pid": self.sleeper.id()}),
                Box::new(|scene| {
                    fs::read_to_string(format!("/proc/{}/stat", scene.sleeper.id()))
                        .unwrap()
                        .contains(") T ")
                }),
            ),
            kind(
                "cpu-stress",
                json!({"threads": 1, "intensity": 2}),
                Box::new(|scene| scene.child(1)),
            ),
            kind(
                "memory-stress",
                json!({"megabytes": 8}),
                Box::new(|scene| scene.child(1)),
            ),
            kind(
                "io-stress",
                json!({"path": "io", "megabytes": 1, "intensity": 2}),
                Box::new(|scene| scene.names("io") > 0),
            ),
            kind(
                "disk-full",
                json!({"path": "full"}),
                Box::new(|scene| scene.names("full") > 0),
            ),
            kind(
                "inodes-full",
                json!({"path": "inodes"}),
                Box::new(|scene| scene.names("inodes") > 0),
            ),
            kind(
                "disk-readonly",
                json!({"path": "ro"}),
                Box::new(|scene| scene.mount("ro").contains(" ro,")),
            ),
            kind(
                "disk-errors",
                json!({"path": "fuse"}),
                Box::new(|scene| scene.mount("fuse").contains("fuse.whorl")),
            ),
        ];
        if self.memory {
            kinds.push(kind(
                "memory-limit",
                json!({"pid": self.limited.id(), "megabytes": 64}),
                Box::new(|scene| {
                    let text = fs::read_to_string(format!("/proc/{}/cgroup", scene.limited.id()));
                    text.unwrap().contains("/whorl-")
                }),
            ));
        }
        kinds
    }

    /// The kinds of which something is there.
    fn left(&self) -> Vec<&'static str> {
        let kinds = self.kinds();
        let mut left: Vec<_> = kinds
            .iter()
            .filter(|kind| (kind.there)(self))
            .map(|kind| kind.name)
            .collect();
        if !children(&self.room.place).is_empty() {
            left.push("a child");
        }
        left
    }

    /// An experiment with all of them, that waits in the end.
    fn write(&self, wait: &str) {
        let mut method: Vec<Value> = self
            .kinds()
            .into_iter()
            .map(|kind| json!({"type": "action", "name": kind.name, "provider": {
                "type": "fault", "fault": kind.name, "arguments": kind.arguments, "seed": 7, "duration": 60}}))
            .collect();
        method.push(json!({"type": "action", "name": "wait", "provider": {
            "type": "process", "path": "sh", "arguments": ["-c", format!("touch begun; exec sleep {wait}")]}}));
        let experiment = json!({"title": "t", "description": "d", "method": method});
        self.room.place.write("e.json", experiment.to_string());
    }

    fn start(&self) -> Child {
        let mut command = self.room.command(&["run", "e.json"]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// A run that has put all of them in and waits.
    fn waiting(&self) -> Child {
        self.write("20");
        let mut run = self.start();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.room.place.path("begun").exists() {
            if run.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let _ = run.kill();
                panic!(
                    "not begun: {}",
                    Ran::of(&run.wait_with_output().unwrap()).err
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for kind in self.kinds() {
            assert!((kind.there)(self), "{} was put in", kind.name);
        }
        run
    }

    fn watchdog(&self) -> i32 {
        ours(&self.room.place, "watchdog")[0]
    }

    /// Nothing is left, at the latest after so long.
    fn clean_within(&self, what: &str, time: Duration) {
        let deadline = Instant::now() + time;
        while !self.left().is_empty() || !self.room.place.runs().is_empty() {
            let runs = self.room.place.runs();
            assert!(
                Instant::now() < deadline,
                "{what}: {:?} are left, {runs:?}",
                self.left()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let stray: Vec<_> = fs::read_dir(self.room.place.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(".whorl-"))
            .collect();
        assert!(stray.is_empty(), "{what}: {stray:?}");
        assert_eq!(
            fs::read(self.room.inside("fuse/f")).unwrap(),
            b"content",
            "{what}"
        );
        fs::write(self.room.inside("ro/f"), "x").unwrap();
        fs::write(self.room.inside("full/f"), vec![1; 1 << 20]).unwrap();
        fs::remove_file(self.room.inside("full/f")).unwrap();
    }
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

/// So long a living watchdog may take.
const WATCHED: Duration = Duration::from_secs(5);

#[test]
fn a_watchdog_that_lives_leaves_nothing_of_any_kind() {
    for how in ["runner", "watchdog, then runner", "SIGTERM", "SIGUSR2"] {
        let Some(scene) = Scene::new() else { return };
        let mut run = scene.waiting();
        match how {
            "SIGTERM" => send(pid(&run), Signal::SIGTERM),
            "SIGUSR2" => send(pid(&run), Signal::SIGUSR2),
            "runner" => send(pid(&run), Signal::SIGKILL),
            _ => {
                let first = scene.watchdog();
                send(first, Signal::SIGKILL);
                until("another watchdog", || {
                    ours(&scene.room.place, "watchdog")
                        .iter()
                        .any(|next| *next != first)
                });
                send(pid(&run), Signal::SIGKILL);
            }
        }
        scene.clean_within(how, WATCHED);
        run.wait().unwrap();
    }
}

#[test]
fn undo_takes_back_every_kind_when_both_are_dead() {
    for runner_first in [true, false] {
        for from_outside in [false, true] {
            let Some(scene) = Scene::new() else { return };
            let mut run = scene.waiting();
            let guard = scene.watchdog();
            let order = if runner_first {
                [pid(&run), guard]
            } else {
                [guard, pid(&run)]
            };
            // Stopped, neither can act on the other's death.
            send(order[1], Signal::SIGSTOP);
            send(order[0], Signal::SIGKILL);
            send(order[1], Signal::SIGKILL);
            run.wait().unwrap();
            until("the watchdog's end", || {
                ours(&scene.room.place, "watchdog").is_empty()
            });
            assert!(
                !scene.left().is_empty(),
                "nobody was left to take anything back"
            );
            // What was done in the room is taken back from outside of it, too.
            let ran = if from_outside {
                scene.room.place.chaos(&["undo"])
            } else {
                scene.room.chaos(&["undo"])
            };
            assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
            scene.clean_within(
                &format!("runner first {runner_first}, {}", ran.out),
                Duration::from_secs(1),
            );
        }
    }
}

/// The next number (splitmix64).
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Stops processes until none is found that was not; also one that a stopped one had just begun.
fn freeze(find: impl Fn() -> Vec<i32>) -> BTreeSet<i32> {
    let mut all = BTreeSet::new();
    loop {
        let new: Vec<i32> = find().into_iter().filter(|pid| all.insert(*pid)).collect();
        if new.is_empty() {
            return all;
        }
        for pid in new {
            send(pid, Signal::SIGSTOP);
        }
    }
}

/// The processes that one has begun, and those that they have.
fn below(top: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(i32, i32)> = numbers
        .filter_map(|pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // Behind the name, which may hold anything: the state, the parent.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((pid, parent.parse().ok()?))
        })
        .collect();
    let mut found = vec![top];
    for at in 0.. {
        let Some(parent) = found.get(at).copied() else {
            break;
        };
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
    }
    found.split_off(1)
}

#[test]
fn a_power_loss_at_any_moment_leaves_nothing_of_any_kind() {
    let (mut seed, mut in_the_middle) = (6, 0);
    // How long a run takes when nothing happens to it.
    let Some(scene) = Scene::new() else { return };
    scene.write("0.05");
    let begin = Instant::now();
    scene.start().wait().unwrap();
    let whole = begin.elapsed();
    scene.clean_within("nothing", Duration::from_secs(1));
    for round in 0..20 {
        let Some(scene) = Scene::new() else { return };
        scene.write("0.05");
        let mut run = scene.start();
        let share = u32::try_from(roll(&mut seed) % 1000).unwrap();
        std::thread::sleep(whole * share / 1000);
        // The moment: nobody moves any more, and what is in the folder then is all that is known later.
        let place = &scene.room.place;
        let all = freeze(|| {
            let found = [ours(place, "watchdog"), children(place), below(pid(&run))];
            found.into_iter().flatten().chain([pid(&run)]).collect()
        });
        if place.path("state").exists() {
            let copied = Command::new("cp")
                .args(["-a", "state", "copy"])
                .current_dir(place.folder.path())
                .status();
            assert!(copied.unwrap().success());
        }
        for dead in all {
            send(dead, Signal::SIGKILL);
        }
        run.wait().unwrap();
        until("the end of all", || {
            children(place).is_empty() && ours(place, "watchdog").is_empty()
        });
        in_the_middle += usize::from(!scene.left().is_empty());
        let ran = scene.room.chaos(&["undo", "--state-dir", "copy"]);
        assert_eq!(ran.code, 0, "round {round}: {}{}", ran.out, ran.err);
        assert!(
            scene.left().is_empty(),
            "round {round}: {:?} after {}",
            scene.left(),
            ran.out
        );
        // The folder itself says the same, and doing it once more does no harm.
        assert_eq!(scene.room.chaos(&["undo"]).code, 0);
        scene.clean_within(&format!("round {round}"), Duration::from_secs(1));
    }
    assert!(in_the_middle > 3, "only {in_the_middle} rounds met a fault");
}

#[test]
fn what_a_dead_run_has_planned_in_is_removed() {
    let place = Place::new();
    let dead = place.path("state/plan-99999999-x");
    let alive = place.path(&format!("state/plan-{}-x", std::process::id()));
    for folder in [&dead, &alive] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("file-0"), "a copy").unwrap();
    }
    // It died before its journal was begun: nothing was done. The other one is not of a run.
    let begun = place.path("state/1795329366520-99999999");
    let other = place.path("state/1795329366520-notes");
    fs::create_dir_all(&begun).unwrap();
    fs::create_dir_all(&other).unwrap();
    assert_eq!(place.chaos(&["undo"]).code, 0);
    assert!(!dead.exists() && alive.exists());
    assert!(!begun.exists() && other.exists());
}
