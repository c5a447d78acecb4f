//! Faults of networks between hosts that the test makes: namespaces that go with the process that holds
//! them.

use super::faults::{send, watchdog};
use super::proxy::{Holding, behind};
use super::{Place, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

/// Namespaces of a test's own; they end with it, and with every process in them.
pub(super) struct Apart(Child);

/// Three hosts at a bridge, each with a server.
const HOSTS: &str = r#"
ip link set lo up
mount -t tmpfs none /run
ip link add bridge0 type bridge
ip link set bridge0 up
for host in "a 10.77.0.1" "b 10.77.0.2" "c 10.77.0.3"; do
  set -- $host
  ip netns add $1
  ip link add to-$1 type veth peer name eth0 netns $1
  ip link set to-$1 master bridge0 up
  ip netns exec $1 ip address add $2/24 dev eth0
  ip netns exec $1 ip link set eth0 up
  ip netns exec $1 ip link set lo up
  ip netns exec $1 python3 -m http.server -d /sys/kernel/mm 8000 >/dev/null 2>&1 &
done
"#;

impl Apart {
    /// New namespaces for network and mounts in which a script was run; nothing, said aloud, when this
    /// machine does not let us, or has not these programs.
    pub(super) fn new(script: &str, programs: &[&str]) -> Option<Self> {
        for program in ["unshare", "nsenter", "ip"].iter().chain(programs) {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {program}")])
                .output();
            if !found.unwrap().status.success() {
                return skip(&format!("no {program}"));
            }
        }
        let unshare = ["-n", "-m", "-p", "--fork", "--kill-child"];
        let tried = Command::new("unshare")
            .args(unshare)
            .arg("true")
            .output()
            .unwrap();
        if !tried.status.success() {
            let why = String::from_utf8_lossy(&tried.stderr);
            return skip(&format!("no namespaces: {why}"));
        }
        let script = format!("set -e\n{script}\necho there\nexec sleep 120");
        let mut child = Command::new("unshare")
            .args(unshare)
            .args(["sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let apart = Self(child);
        assert_eq!(line, "there\n", "the script has failed");
        Some(apart)
    }

    /// What enters them.
    pub(super) fn prefix(&self) -> Vec<String> {
        let target = self.0.id().to_string();
        ["nsenter", "-t", &target, "-n", "-m", "--wd=."]
            .map(str::to_owned)
            .to_vec()
    }

    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments);
        behind(&self.prefix(), command).output().unwrap()
    }

    /// How a request from one host to another ends: curl's exit code.
    fn asks(&self, from: &str, to: &str) -> Option<i32> {
        let url = format!("http://{to}:8000/");
        let curl = [
            "netns",
            "exec",
            from,
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-m",
            "1",
            &url,
        ];
        self.run("ip", &curl).status.code()
    }

    fn tables(&self) -> String {
        let output = self.run("ip", &["netns", "exec", "a", "nft", "list", "tables"]);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It ends what is in its namespaces with itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn skip(why: &str) -> Option<Apart> {
    // Not `eprintln!`: that is only seen when a test fails.
    let text = format!("SKIPPED: {why}\n");
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    None
}

const B: &str = "10.77.0.2";
const C: &str = "10.77.0.3";

/// The hosts, once all servers answer.
fn hosts() -> Option<Apart> {
    let apart = Apart::new(HOSTS, &["nft", "curl", "python3"])?;
    until("servers", || {
        [B, C].iter().all(|to| apart.asks("a", to) == Some(0))
    });
    Some(apart)
}

fn parted(how: &str) -> Value {
    json!({"fault": "network-partition", "arguments": {
        "sides": [["a"], ["b"]], "how": how, "namespace": "a",
        "hosts": {"a": "10.77.0.1", "b": B},
    }})
}

#[test]
fn parted_hosts_do_not_reach_each_other() {
    let Some(apart) = hosts() else { return };
    // 28: time-out; 7: could not connect.
    for (how, code) in [("drop", 28), ("reset", 7), ("unreachable", 7)] {
        let holding = Holding::within(Place::new(), &apart.prefix(), &[parted(how)]);
        assert_eq!(apart.asks("a", B), Some(code), "{how}");
        assert_eq!(
            apart.asks("b", "10.77.0.1"),
            Some(code),
            "{how}: the other direction"
        );
        assert_eq!(apart.asks("a", C), Some(0), "{how}: others are reached");
        let place = holding.end();
        assert_eq!(apart.asks("a", B), Some(0), "{how}: taken back");
        assert_eq!(apart.tables(), "");
        assert!(place.runs().is_empty());
    }
}

#[test]
fn some_ports_stay_reachable() {
    let Some(apart) = hosts() else { return };
    let mut fault = parted("drop");
    fault["arguments"]["except-ports"] = json!([8000]);
    let _holding = Holding::within(Place::new(), &apart.prefix(), &[fault]);
    assert_eq!(apart.asks("a", B), Some(0));
}

#[test]
fn a_killed_runner_leaves_no_partition() {
    let Some(apart) = hosts() else { return };
    let mut holding = Holding::within(Place::new(), &apart.prefix(), &[parted("drop")]);
    assert_eq!(apart.asks("a", B), Some(28));
    holding.kill_runner();
    until("the table is gone", || apart.tables().is_empty());
    assert_eq!(apart.asks("a", B), Some(0));
    until("the written down", || holding.place.runs().is_empty());
}

#[test]
fn the_kernel_forgets_a_partition_when_nobody_is_left() {
    let Some(apart) = hosts() else { return };
    let mut fault = parted("drop");
    fault["duration"] = json!(3);
    let mut holding = Holding::within(Place::new(), &apart.prefix(), &[fault]);
    assert_eq!(apart.asks("a", B), Some(28));
    let guard = watchdog(&holding.place).unwrap();
    send(guard, Signal::SIGSTOP);
    holding.kill_runner();
    send(guard, Signal::SIGKILL);
    until("the hosts reach each other", || {
        apart.asks("a", B) == Some(0)
    });
    assert!(
        apart.tables().contains("whorl_"),
        "the table waits for who finishes"
    );
    // Somewhere else, by what is written down.
    let undo = holding.place.chaos(&["undo"]);
    assert_eq!(undo.code, 0, "{}{}", undo.out, undo.err);
    assert_eq!(apart.tables(), "");
    assert!(holding.place.runs().is_empty());
    assert!(holding.pid() > 0);
}

/// A run inside host a.
fn at_a(apart: &Apart, arguments: &Value, seed: u64) -> Holding {
    let mut prefix = apart.prefix();
    prefix.extend(["ip", "netns", "exec", "a"].map(str::to_owned));
    let fault = json!({"fault": "network-degrade", "arguments": arguments, "seed": seed});
    Holding::within(Place::new(), &prefix, &[fault])
}

/// Three hosts, when packets can be queued.
fn queued() -> Option<Apart> {
    let all = whorl::chaos::fault::ALL;
    let fault = all
        .iter()
        .find(|fault| fault.name() == "network-degrade")
        .unwrap();
    if let Err(why) = fault.check() {
        return skip(&why);
    }
    hosts()
}

/// Seconds that connecting from a takes.
fn connecting(apart: &Apart, to: &str) -> f64 {
    let url = format!("http://{to}:8000/");
    let curl = [
        "netns",
        "exec",
        "a",
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-m",
        "3",
        "-w",
        "%{time_connect}",
        &url,
    ];
    let output = apart.run("ip", &curl).stdout;
    String::from_utf8(output).unwrap().parse().unwrap()
}

fn rules(apart: &Apart) -> String {
    let of = |program| {
        let output = apart.run("ip", &["netns", "exec", "a", program, "-S", "OUTPUT"]);
        String::from_utf8(output.stdout).unwrap()
    };
    of("iptables") + &of("ip6tables")
}

#[test]
fn packets_are_late_and_a_killed_runner_leaves_none_so() {
    let Some(apart) = queued() else { return };
    until("nobody is late", || connecting(&apart, B) < 0.15);
    let mut holding = at_a(&apart, &json!({"to": [B], "delay": 200}), 1);
    let took = connecting(&apart, B);
    assert!(took >= 0.2, "{took}");
    until("others are not late", || connecting(&apart, C) < 0.15);
    holding.kill_runner();
    until("no rule", || !rules(&apart).contains("NFQUEUE"));
    until("nobody is late", || connecting(&apart, B) < 0.15);
    until("the written down", || holding.place.runs().is_empty());
}

/// Prints what comes, until nothing comes for a second.
const HEAR: &str = "
import socket, sys
to = sys.argv[1]
s = socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((to, 9000))
s.settimeout(20)
open('hears', 'w')
got = []
try:
    while True:
        got.append(s.recv(100).decode())
        s.settimeout(1)
except TimeoutError:
    print(' '.join(got))
";

const SAY: &str = "
import socket, sys, time
to = sys.argv[1]
s = socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET, socket.SOCK_DGRAM)
for n in range(50):
    s.sendto(str(n).encode(), (to, 9000))
    time.sleep(0.002)
";

/// Which of fifty packets to host b arrive, in their order.
fn arrived(apart: &Apart, to: &str, arguments: &Value, seed: u64) -> String {
    let holding = at_a(apart, arguments, seed);
    let place = &holding.place;
    let mut hear = Command::new("ip");
    hear.args(["netns", "exec", "b", "python3", "-c", HEAR, to])
        .current_dir(place.folder.path());
    let mut hear = behind(&apart.prefix(), hear);
    let hear = hear.stdout(Stdio::piped()).spawn().unwrap();
    until("who hears", || place.path("hears").exists());
    let say = apart.run("ip", &["netns", "exec", "a", "python3", "-c", SAY, to]);
    assert!(say.status.success(), "{say:?}");
    let heard = hear.wait_with_output().unwrap().stdout;
    let place = holding.end();
    assert!(place.runs().is_empty());
    assert!(!rules(apart).contains("NFQUEUE"), "the rule is gone");
    String::from_utf8(heard).unwrap()
}

/// The numbers of the packets that came.
fn numbers(heard: &str) -> Vec<u32> {
    let words = heard.split_whitespace();
    words.map(|n| n.parse().unwrap()).collect()
}

#[test]
fn the_seed_decides_which_packets_are_lost() {
    let Some(apart) = queued() else { return };
    let lossy =
        json!({"to": ["b"], "hosts": {"b": B}, "protocol": "udp", "port": 9000, "loss": 30});
    let first = arrived(&apart, B, &lossy, 4);
    let count = first.split_whitespace().count();
    assert!((20..48).contains(&count), "{first}");
    assert_eq!(arrived(&apart, B, &lossy, 4), first);
    assert_ne!(arrived(&apart, B, &lossy, 5), first);
}

#[test]
fn packets_overtake_others() {
    let Some(apart) = queued() else { return };
    let arguments = json!({"to": [B], "protocol": "udp", "delay": 40, "reorder": 20});
    let heard = arrived(&apart, B, &arguments, 4);
    let numbers = numbers(&heard);
    assert_eq!(numbers.len(), 50, "none is lost: {heard}");
    assert!(!numbers.is_sorted(), "{heard}");
}

/// Datagrams that a host did not take for their sum.
fn wrong_sums(apart: &Apart, host: &str) -> u64 {
    let command = ["netns", "exec", host, "grep", "^Udp:", "/proc/net/snmp"];
    let output = apart.run("ip", &command).stdout;
    let text = String::from_utf8(output).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|row| row.split(' ').collect()).collect();
    let place = rows[0].iter().position(|name| *name == "InCsumErrors");
    rows[1][place.unwrap()].parse().unwrap()
}

#[test]
fn packets_come_twice_and_the_seed_decides_which() {
    let Some(apart) = queued() else { return };
    let twice = json!({"to": [B], "protocol": "udp", "port": 9000, "duplicate": 30});
    let sorted = |seed| {
        let mut numbers = numbers(&arrived(&apart, B, &twice, seed));
        numbers.sort_unstable();
        numbers
    };
    let first = sorted(4);
    let mut once = first.clone();
    once.dedup();
    assert_eq!(once, (0..50).collect::<Vec<_>>(), "none is lost");
    assert!((53..80).contains(&first.len()), "{first:?}");
    for n in once {
        let times = first.iter().filter(|one| **one == n).count();
        assert!(times <= 2, "{n} came {times} times: a copy is not copied");
    }
    assert_eq!(sorted(4), first);
    assert_ne!(sorted(5), first);
    // TCP does not mind.
    let tcp = json!({"to": [B], "protocol": "tcp", "duplicate": 100});
    let _holding = at_a(&apart, &tcp, 1);
    assert_eq!(apart.asks("a", B), Some(0));
}

#[test]
fn corrupted_packets_are_not_taken() {
    let Some(apart) = queued() else { return };
    let corrupt = json!({"to": [B], "protocol": "udp", "port": 9000, "corrupt": 30});
    let before = wrong_sums(&apart, "b");
    let count = numbers(&arrived(&apart, B, &corrupt, 4)).len();
    assert!((20..48).contains(&count), "{count}");
    // One whose length or port is what is wrong is not even summed up.
    let refused = wrong_sums(&apart, "b") - before;
    let missing = 50 - count as u64;
    assert!(refused > 0 && refused <= missing, "{refused} of {missing}");
}

#[test]
fn packets_of_ipv6_are_late_lost_and_there_twice() {
    let Some(apart) = queued() else { return };
    if !std::path::Path::new("/proc/net/if_inet6").exists() {
        skip("no IPv6");
        return;
    }
    for (host, address) in [("a", "fd00:77::1/64"), ("b", "fd00:77::2/64")] {
        let add = [
            "-n", host, "address", "add", address, "dev", "eth0", "nodad",
        ];
        let added = apart.run("ip", &add);
        assert!(added.status.success(), "{added:?}");
    }
    let b = "fd00:77::2";
    // Until the neighbour is known packets wait, and some are lost by that.
    until("b is reached", || {
        // An answer, if only that nobody listens there.
        let curl = [
            "netns",
            "exec",
            "a",
            "curl",
            "-s",
            "-m",
            "1",
            "http://[fd00:77::2]:9/",
        ];
        apart.run("ip", &curl).status.code() == Some(7)
    });
    let hosts = json!({"b": b});
    let with = |key: &str, share: u64| json!({"to": ["b"], "hosts": hosts, "protocol": "udp", "port": 9000, key: share});
    let lossy = arrived(&apart, b, &with("loss", 30), 4);
    assert!((20..48).contains(&numbers(&lossy).len()), "{lossy}");
    assert_eq!(arrived(&apart, b, &with("loss", 30), 4), lossy);
    let twice = numbers(&arrived(&apart, b, &with("duplicate", 30), 4));
    assert!((53..80).contains(&twice.len()), "{twice:?}");
    let late = arrived(&apart, b, &with("delay", 100), 4);
    assert_eq!(numbers(&late), (0..50).collect::<Vec<_>>());
}
