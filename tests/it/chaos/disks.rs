//! Faults of disks, by what real programs meet.

use super::Ran;
use super::method::{put_out, seeded as fault, shell, write};
use super::room::Room;
use serde_json::{Value, json};
use std::time::Duration;

fn undo(what: &str) -> Value {
    json!({"type": "action", "name": "undo", "provider": {"type": "fault", "undo": what}})
}

/// Runs a method in a room and gives what its activities put out.
fn outputs(room: &Room, method: &[Value]) -> Vec<Value> {
    let before = room.mounts();
    let outputs = put_out(&room.place, &run(room, method));
    assert_eq!(room.mounts(), before, "nothing is left mounted");
    outputs
}

fn run(room: &Room, method: &[Value]) -> Ran {
    write(&room.place, method);
    room.chaos(&["run", "e.json"])
}

fn text(output: &Value) -> String {
    format!(
        "{}{}",
        output["stdout"].as_str().unwrap(),
        output["stderr"].as_str().unwrap()
    )
}

fn names_in(room: &Room, disk: &str) -> Vec<String> {
    let entries = std::fs::read_dir(room.inside(disk)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_full_disk_has_no_room_until_it_is_taken_back() {
    let Some(room) = Room::new() else { return };
    let write = "dd if=/dev/zero of=full/x bs=64k count=16 conv=fsync 2>&1; rm -f full/x";
    let some = fault(
        "some",
        "disk-full",
        0,
        &json!({"path": "full", "free": 2048}),
    );
    let outputs = outputs(
        &room,
        &[
            shell("before", write),
            fault("full", "disk-full", 0, &json!({"path": "full"})),
            shell("during", write),
            undo("full"),
            shell("after", write),
            some,
            shell("a little", "stat -f -c %a/%S full"),
        ],
    );
    assert!(!text(&outputs[0]).contains("No space left"), "{outputs:?}");
    assert!(
        text(&outputs[2]).contains("No space left on device"),
        "{outputs:?}"
    );
    assert!(!text(&outputs[4]).contains("No space left"), "{outputs:?}");
    assert_eq!(text(&outputs[6]), "512/4096\n", "2048 KB stay free");
    assert_eq!(names_in(&room, "full"), Vec::<String>::new());
}

#[test]
fn without_inodes_no_file_can_be_made_though_there_is_room() {
    let Some(room) = Room::new() else { return };
    let outputs = outputs(
        &room,
        &[
            shell("old", "touch inodes/old"),
            fault("none", "inodes-full", 0, &json!({"path": "inodes"})),
            shell("new", "touch inodes/new 2>&1"),
            shell("room", "echo more >> inodes/old && cat inodes/old"),
            undo("none"),
            shell("after", "touch inodes/new && echo made"),
        ],
    );
    assert!(
        text(&outputs[2]).contains("No space left on device"),
        "{outputs:?}"
    );
    assert_eq!(text(&outputs[3]), "more\n");
    assert_eq!(text(&outputs[5]), "made\n");
}

#[test]
fn a_readonly_disk_is_not_written() {
    let Some(room) = Room::new() else { return };
    let outputs = outputs(
        &room,
        &[
            shell(
                "before",
                "echo a > ro/f && mount -o remount,bind,nosuid,noexec ro",
            ),
            fault("ro", "disk-readonly", 0, &json!({"path": "ro"})),
            shell("during", "echo b >> ro/f; cat ro/f"),
            undo("ro"),
            shell(
                "after",
                "echo c >> ro/f; cat ro/f; grep whorl-test.* /proc/self/mounts | grep /ro",
            ),
            shell("as it was", "mount -o remount,bind,rw,suid,exec ro"),
        ],
    );
    assert!(
        text(&outputs[2]).contains("Read-only file system"),
        "{outputs:?}"
    );
    assert!(text(&outputs[2]).starts_with("a\n"), "{outputs:?}");
    let after = text(&outputs[4]);
    assert!(
        after.starts_with("a\nc\n") && after.contains("nosuid,noexec"),
        "what else was set stays: {after}"
    );
}

#[test]
fn the_root_file_system_is_spared() {
    let Some(room) = Room::new() else { return };
    for (name, arguments, why) in [
        (
            "disk-full",
            json!({"path": "/"}),
            "filled only as far as `megabytes` says",
        ),
        ("inodes-full", json!({"path": "/"}), "`count` says"),
        ("disk-readonly", json!({"path": "/"}), "stays as it is"),
        (
            "disk-slow",
            json!({"path": "/"}),
            "no folder that can be mirrored",
        ),
    ] {
        let ran = run(&room, &[fault("x", name, 0, &arguments)]);
        let journal = room.place.json("journal.json");
        assert_eq!(journal["run"][0]["status"], "failed", "{name} {}", ran.err);
        let exception = journal["run"][0]["exception"].to_string();
        // Where inodes are made as they are needed, there is nothing to spare.
        assert!(
            exception.contains(why) || exception.contains("as they are needed"),
            "{exception}"
        );
    }
}

#[test]
fn nobody_takes_away_what_takes_faults_back() {
    let Some(room) = Room::new() else { return };
    // The run's own folder is on that disk, below what would be hit.
    for (name, path) in [
        ("disk-readonly", "ro"),
        ("disk-errors", "ro"),
        ("file-moved", "ro/state"),
    ] {
        let method = [fault("x", name, 0, &json!({"path": path}))];
        write(&room.place, &method);
        let ran = room.chaos(&["run", "--strict", "--state-dir", "ro/state", "e.json"]);
        assert_eq!(ran.code, 4, "{name}: {}", ran.err);
        assert!(
            ran.err
                .contains("what takes faults back is written down there"),
            "{}",
            ran.err
        );
        assert_eq!(room.chaos(&["undo", "--state-dir", "ro/state"]).code, 0);
    }
}

/// Forty programs read a file, each of them anew.
const READ: &str =
    "for n in $(seq 40); do cat fuse/f >/dev/null 2>&1 && printf . || printf x; done";

#[test]
fn the_same_seed_fails_the_same_reads() {
    let Some(room) = Room::new() else { return };
    let pattern = |seed: u64| {
        let outputs = outputs(
            &room,
            &[
                shell("make", "echo content > fuse/f"),
                fault(
                    "bad",
                    "disk-errors",
                    seed,
                    &json!({"path": "fuse", "read": 30}),
                ),
                shell("read", READ),
                shell("write", "echo content > fuse/f && echo written"),
                undo("bad"),
                shell("after", READ),
                shell("why", "cat fuse/f"),
            ],
        );
        assert_eq!(text(&outputs[3]), "written\n", "writes are not hit");
        assert_eq!(text(&outputs[5]), ".".repeat(40));
        assert_eq!(text(&outputs[6]), "content\n");
        text(&outputs[2])
    };
    let first = pattern(1);
    let failed = first.matches('x').count();
    assert!((8..36).contains(&failed), "{first}");
    assert_eq!(pattern(1), first);
    assert_ne!(pattern(2), first);
}

#[test]
fn each_error_of_a_disk_is_written_down() {
    let Some(room) = Room::new() else { return };
    let record = room.place.path("hits.jsonl");
    let bad = json!({"path": "fuse", "read": 30, "record": record});
    let outputs = outputs(
        &room,
        &[
            shell("make", "echo content > fuse/f"),
            fault("bad", "disk-errors", 7, &bad),
            shell("read", READ),
            undo("bad"),
            shell("after", READ),
        ],
    );
    let failed = text(&outputs[2]).matches('x').count();
    let lines = room.place.read("hits.jsonl");
    let hits: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // Those that programs saw, and no other; programs that did not look twice saw each.
    assert!(failed > 0 && hits.len() == failed, "{failed}: {lines}");
    for hit in &hits {
        assert_eq!(hit["fault"], "disk-errors");
        assert_eq!((&hit["seed"], &hit["value"]), (&json!(7), &json!("EIO")));
        assert_eq!(hit["key"], "read f");
    }
    let said = outputs[3].to_string();
    assert!(
        said.contains(&format!("after {failed} operations")),
        "{said}"
    );
    let inside = json!({"path": "fuse", "record": room.place.path("fuse/hits")});
    let ran = run(&room, &[fault("bad", "disk-errors", 7, &inside)]);
    assert!(ran.err.contains("must not be in the folder"), "{}", ran.err);
}

#[test]
fn each_operation_fails_with_the_error_that_is_asked_for() {
    let Some(room) = Room::new() else { return };
    for (operation, error, line, sign) in [
        ("read", "EIO", "cat fuse/f 2>&1", "Input/output error"),
        (
            "write",
            "ENOSPC",
            "dd if=/dev/zero of=fuse/f bs=1k count=1 conv=notrunc 2>&1",
            "No space left",
        ),
        (
            "fsync",
            "EIO",
            "dd if=/dev/zero of=fuse/f bs=1k count=1 conv=fsync,notrunc 2>&1",
            "fsync failed",
        ),
        ("open", "EACCES", "cat fuse/f 2>&1", "Permission denied"),
    ] {
        let bad = json!({"path": "fuse", "error": error, operation: 100});
        let outputs = outputs(
            &room,
            &[
                shell("make", "echo content > fuse/f"),
                fault("bad", "disk-errors", 0, &bad),
                shell("try", line),
                shell("list", "ls fuse"),
                undo("bad"),
                shell("after", line),
            ],
        );
        assert!(text(&outputs[2]).contains(sign), "{operation}: {outputs:?}");
        assert_eq!(text(&outputs[3]), "f\n", "what is not asked for works");
        assert!(
            !text(&outputs[5]).contains(sign),
            "{operation}: {outputs:?}"
        );
        let cause = &outputs[1]["cause"]["text"];
        assert!(
            cause
                .as_str()
                .unwrap()
                .contains(&format!("failed with {error}: {operation} 100 %")),
            "{cause}"
        );
    }
}

#[test]
fn a_slow_disk_takes_its_time() {
    let Some(room) = Room::new() else { return };
    let line = "dd if=/dev/zero of=fuse/f bs=1k count=1 conv=fsync 2>&1";
    let slow = json!({"path": "fuse", "delay": 400, "fsync": 100});
    outputs(
        &room,
        &[
            shell("before", line),
            fault("slow", "disk-slow", 0, &slow),
            shell("during", line),
            // Who does not sync does not wait, not even beside somebody who does.
            shell(
                "beside",
                &format!("{line} & cat fuse/f > /dev/null; kill $! 2>/dev/null; true"),
            ),
        ],
    );
    let journal = room.place.json("journal.json");
    let took = |at: usize| journal["run"][at]["duration"].as_f64().unwrap();
    assert!(
        took(2) >= 0.4 && took(2) > took(0) + 0.3,
        "{} after {}",
        took(2),
        took(0)
    );
}

#[test]
fn ordinary_work_goes_well_in_a_mirror() {
    let Some(room) = Room::new() else { return };
    let work = r"set -e; cd fuse
        mkdir -p a/b; echo one > a/b/f; ln -s f a/b/link; ln a/b/f a/b/hard
        chmod 640 a/b/f; touch -d @86400 a/b/f; chown 1:2 a/b/f; mv a c; echo two >> c/b/f
        cat c/b/link; stat -c '%a %u %g %h %s' c/b/hard; truncate -s 3 c/b/f; cat c/b/f; echo
        dd if=/dev/urandom of=big bs=300k count=2 2>/dev/null; cp big copy; cmp big copy
        seq 30 | xargs touch; ls | wc -l; rm [0-9]*; ls -a c/b | tr '\n' ' '
        python3 -c 'import mmap; f = open(chr(98)+chr(105)+chr(103), chr(114)+chr(98)); print(len(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)))'
        find . -newermt @86399 -name f | wc -l; rm -r c big copy; ls | wc -l";
    let mirrored = json!({"path": "fuse", "delay": 1, "intensity": 1});
    let direct = &outputs(&room, &[shell("direct", work)])[0];
    assert_eq!(direct["status"], 0, "{direct}");
    let through = outputs(
        &room,
        &[fault("m", "disk-slow", 0, &mirrored), shell("mirror", work)],
    );
    assert_eq!(&through[1], direct);
}

#[test]
fn who_has_a_file_open_keeps_it_when_the_fault_is_taken_back() {
    let Some(room) = Room::new() else { return };
    let mut reader = shell(
        "reader",
        "exec 3<fuse/f; touch opened; while ! test -e go; do sleep 0.02; done; cat <&3; echo more >&4",
    );
    reader["provider"]["arguments"][1] = json!(
        "exec 3<fuse/f 4>>fuse/f; touch opened; while ! test -e go; do sleep 0.02; done; cat <&3; echo more >&4"
    );
    reader["background"] = json!(true);
    let outputs = outputs(
        &room,
        &[
            shell("make", "echo content > fuse/f"),
            fault("m", "disk-errors", 0, &json!({"path": "fuse", "read": 100})),
            reader,
            shell(
                "opened",
                "while ! test -e opened; do sleep 0.02; done; cat fuse/f 2>&1",
            ),
            undo("m"),
            // The mirror hears of it within a moment.
            shell(
                "go",
                "sleep 0.5; touch go; while ! grep -q more fuse/f; do sleep 0.02; done",
            ),
        ],
    );
    assert!(
        text(&outputs[3]).contains("Input/output error"),
        "{outputs:?}"
    );
    assert_eq!(text(&outputs[2]), "content\n", "{outputs:?}");
    super::until("the mirror's end", || {
        std::thread::sleep(Duration::from_millis(10));
        super::crashes::children(&room.place).is_empty()
    });
}
