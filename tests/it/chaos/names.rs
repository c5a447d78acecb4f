//! Names that are answered wrongly, as programs see them that ask the system.

use super::network::Apart;
use super::proxy::Holding;
use super::{Place, until};
use serde_json::{Value, json};

/// What the system says that a name means: exit code and address.
fn meaning(apart: &Apart, name: &str) -> (Option<i32>, String) {
    let output = apart.run("timeout", &["3", "getent", "ahostsv4", name]);
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.split_whitespace().next().unwrap_or_default();
    (output.status.code(), first.to_owned())
}

fn dns(mut arguments: Value) -> Value {
    arguments["upstream"] = json!("127.0.0.1:5353");
    json!({"fault": "dns", "arguments": arguments, "seed": 3})
}

/// A server of names that knows one address for all of them: this fault again.
fn real() -> Value {
    json!({"fault": "dns", "arguments": {"answer": "wrong", "address": "10.9.9.9",
           "listen": "127.0.0.1:5353", "resolv-conf": "none"}})
}

/// Namespaces; none when nothing can be mounted.
fn apart() -> Option<Apart> {
    // An address beside loopback: without one, the C library asks nobody.
    let script = "ip link set lo up; ip link add v0 type veth peer name v1; \
                  ip address add 10.88.0.1/24 dev v0; ip link set v0 up; ip link set v1 up";
    Apart::new(script, &["getent", "mount"])
}

#[test]
fn names_are_not_found_or_lead_elsewhere() {
    let Some(apart) = apart() else { return };
    for (arguments, code, address) in [
        (json!({"answer": "not-found"}), 2, ""),
        (json!({"answer": "refused"}), 2, ""),
        (json!({"answer": "failure"}), 2, ""),
        (
            json!({"answer": "wrong", "address": "10.1.2.3"}),
            0,
            "10.1.2.3",
        ),
        // Ended by the time-out of this test.
        (json!({"answer": "nothing"}), 124, ""),
    ] {
        let mut arguments = arguments;
        arguments["names"] = json!("db.*");
        arguments["record"] = json!("record.jsonl");
        let before = meaning(&apart, "db.example");
        assert_ne!(before.0, Some(0), "nobody answers yet");
        let faults = [real(), dns(arguments.clone())];
        let holding = Holding::within(Place::new(), &apart.prefix(), &faults);
        let wanted = (Some(code), address.to_owned());
        assert_eq!(meaning(&apart, "db.example"), wanted, "{arguments}");
        assert_eq!(
            meaning(&apart, "web.example"),
            (Some(0), "10.9.9.9".into()),
            "{arguments}"
        );
        let record = holding.place.read("record.jsonl");
        assert!(
            record.contains("db.example 1") && !record.contains("web"),
            "{record}"
        );
        let place = holding.end();
        let mounts = apart.run("cat", &["/proc/self/mountinfo"]).stdout;
        assert!(
            !String::from_utf8(mounts).unwrap().contains("resolv-"),
            "nothing is mounted"
        );
        assert!(place.runs().is_empty());
    }
}

#[test]
fn a_killed_runner_leaves_names_alone() {
    let Some(apart) = apart() else { return };
    let wrong = dns(json!({"answer": "wrong", "address": "10.1.2.3"}));
    let mut holding = Holding::within(Place::new(), &apart.prefix(), &[wrong]);
    assert_eq!(meaning(&apart, "a.example").1, "10.1.2.3");
    holding.kill_runner();
    until("nothing is mounted", || {
        let mounts = apart.run("cat", &["/proc/self/mountinfo"]).stdout;
        !String::from_utf8(mounts).unwrap().contains("resolv-")
    });
    until("the written down", || holding.place.runs().is_empty());
}

#[test]
fn the_seed_decides_which_questions_are_answered_wrongly() {
    let Some(apart) = apart() else { return };
    let half = || {
        let faults = [
            real(),
            dns(json!({"answer": "wrong", "address": "10.1.2.3", "intensity": 50})),
        ];
        let holding = Holding::within(Place::new(), &apart.prefix(), &faults);
        let wrong: Vec<bool> = (0..12)
            .map(|_| meaning(&apart, "a.example").1 == "10.1.2.3")
            .collect();
        holding.end();
        wrong
    };
    let first = half();
    assert!(first.contains(&true) && first.contains(&false), "{first:?}");
    assert_eq!(half(), first);
}
