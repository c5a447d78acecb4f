//! `network-degrade`: packets that are late, lost, out of order, there twice, corrupted or slow.
//!
//! The kernel hands packets to a child of ours (NFQUEUE), which says when they go on. When nobody listens
//! to the queue, the kernel lets them pass: that is what is left when everybody dies.

use super::partition::{addresses, hosts_of, names};
use super::queue;
use crate::chaos::fault::helper::{self, Holding};
use crate::chaos::fault::namespace::{Kind, Namespace};
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

pub(super) const DEGRADE: &str = "network-degrade";

const PARAMETERS: [(&str, &str); 11] = [
    (
        "to",
        "a list of hosts that packets go to, by name or address",
    ),
    (
        "hosts",
        "what names mean, when the system does not know: {db: 10.0.0.2}",
    ),
    ("protocol", "tcp, udp or all (as when not given)"),
    ("port", "only packets to this port, of tcp or udp"),
    ("delay", "milliseconds by which packets are late"),
    (
        "jitter",
        "milliseconds by which the delay is longer or shorter, by the seed",
    ),
    ("loss", "percent of the packets that are lost"),
    (
        "reorder",
        "percent of the packets that go at once, before those that are late",
    ),
    ("duplicate", "percent of the packets that come twice"),
    (
        "corrupt",
        "percent of the packets of which one bit is wrong: who checks sums does not take them",
    ),
    ("rate", "bytes per second"),
];

/// Packets that are disturbed.
pub(in crate::chaos::fault) struct Degrade;

/// A rule, and the program that knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rule {
    program: String,
    words: Vec<String>,
}

impl Rule {
    /// Adds, looks for (`-C`) or deletes it.
    fn act(&self, space: Namespace, action: &str) -> Result<(), FaultError> {
        let gone = || FaultError::Target("the network namespace is gone".into());
        let mut command = space.command(&self.program).ok_or_else(gone)?;
        let ran = command
            .args(["-w", "5", action, "OUTPUT"])
            .args(&self.words)
            .output()
            .map_err(FaultError::io(Path::new(&self.program)))?;
        if ran.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&ran.stderr);
        let first = text.lines().next().unwrap_or("failed");
        Err(FaultError::Target(format!("{}: {first}", self.program)))
    }
}

fn hosts(parameters: &Parameters<'_>) -> Result<Vec<String>, FaultError> {
    let wrong = || parameters.missing("to", "must be a list of hosts");
    let list = parameters.value("to").and_then(Value::as_array);
    let list = list.filter(|list| !list.is_empty()).ok_or_else(wrong)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    list.iter().map(text).collect()
}

fn percent(parameters: &Parameters<'_>, key: &str) -> Result<f64, FaultError> {
    let Some(value) = parameters.value(key) else {
        return Ok(0.0);
    };
    let share = value.as_f64().filter(|n| (0.0..=100.0).contains(n));
    share.ok_or_else(|| parameters.missing(key, "must be a number from 0 to 100"))
}

/// What is done to packets, as the child reads it.
fn effects(parameters: &Parameters<'_>) -> Result<Value, FaultError> {
    let (delay, jitter) = (
        parameters.whole("delay", 0, 60_000)?.unwrap_or(0),
        parameters.whole("jitter", 0, 60_000)?.unwrap_or(0),
    );
    let rate = parameters.whole("rate", 1, 1 << 40)?;
    let mut effects = json!({"delay": delay, "jitter": jitter, "rate": rate});
    let mut any = delay + jitter > 0 || rate.is_some();
    for key in ["loss", "duplicate", "corrupt"] {
        let share = percent(parameters, key)?;
        any |= share > 0.0;
        effects[key] = json!(share);
    }
    let reorder = percent(parameters, "reorder")?;
    if reorder > 0.0 && delay == 0 {
        return Err(parameters.missing("reorder", "needs a `delay`: others are overtaken then"));
    }
    if !any {
        let needed = "`delay`, `loss`, `duplicate`, `corrupt` or `rate` is needed";
        return Err(parameters.missing("delay", needed));
    }
    effects["reorder"] = json!(reorder);
    Ok(effects)
}

/// `50 ± 10 ms late, 5 % lost`.
fn in_words(effects: &Value) -> String {
    let mut all = Vec::new();
    if effects["delay"] != 0 || effects["jitter"] != 0 {
        let (delay, jitter) = (&effects["delay"], &effects["jitter"]);
        all.push(format!("{delay} ± {jitter} ms late"));
    }
    let shares = [
        ("loss", "lost"),
        ("reorder", "before their turn"),
        ("duplicate", "there twice"),
        ("corrupt", "corrupted"),
    ];
    for (key, word) in shares {
        let share = effects[key].as_f64().unwrap_or_default();
        if share > 0.0 {
            all.push(format!("{share} % {word}"));
        }
    }
    if let Some(rate) = effects["rate"].as_u64() {
        all.push(format!("not faster than {rate} bytes per second"));
    }
    all.join(", ")
}

/// The rule for one address.
fn rule(address: IpAddr, protocol: &str, port: Option<u64>, mark: &str, queue: u16) -> Rule {
    let program = if address.is_ipv4() {
        "iptables"
    } else {
        "ip6tables"
    };
    let mut words = vec![
        "-d".to_owned(),
        address.to_string(),
        "-p".into(),
        protocol.into(),
    ];
    if let Some(port) = port {
        words.extend(["--dport".to_owned(), port.to_string()]);
    }
    words.extend(
        [
            "-m",
            "comment",
            "--comment",
            mark,
            "-j",
            "NFQUEUE",
            "--queue-num",
        ]
        .map(str::to_owned),
    );
    words.extend([queue.to_string(), "--queue-bypass".to_owned()]);
    Rule {
        program: program.into(),
        words,
    }
}

fn rules(plan: &Value) -> Vec<Rule> {
    serde_json::from_value(plan["rules"].clone()).unwrap_or_default()
}

fn protocol(parameters: &Parameters<'_>) -> Result<&'static str, FaultError> {
    let protocol = parameters.one_of("protocol", &["tcp", "udp", "all"])?;
    Ok(protocol.unwrap_or("all"))
}

/// A number for the queue that nobody else is likely to have.
fn number(mark: &str) -> u16 {
    let sum = mark.bytes().fold(7_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    // Between 10000 and 60000.
    u16::try_from(10_000 + sum % 50_000).unwrap_or(10_000)
}

impl Fault for Degrade {
    fn name(&self) -> &'static str {
        DEGRADE
    }

    fn about(&self) -> &'static str {
        "delays, loses, reorders, doubles, corrupts or slows down the packets to hosts"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "iptables (ip6tables for IPv6), the kernel's NFQUEUE, rights over the network namespace"
    }

    fn check(&self) -> Result<(), String> {
        // In a namespace that goes with the command; rights over our own are asked for by listing.
        let nobody = IpAddr::from([192, 0, 2, 1]);
        let rule = rule(nobody, "all", None, "check", 10_000);
        let words = rule.words.join(" ");
        let script = format!("{} -w 5 -A OUTPUT {words}", rule.program);
        let tried = Command::new("unshare")
            .args(["-n", "sh", "-c", &script])
            .output();
        match tried {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                Err(text.lines().next().unwrap_or("failed").to_owned())
            }
            Err(error) => Err(format!("unshare: {error}")),
        }
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        hosts(parameters)?;
        names(parameters)?;
        effects(parameters)?;
        let port = parameters.whole("port", 1, 65_535)?;
        if protocol(parameters)? == "all" && port.is_some() {
            return Err(parameters.missing("port", "needs the `protocol` tcp or udp"));
        }
        Ok(())
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let (names, hosts) = (names(parameters)?, hosts(parameters)?);
        let mark = helper::mark(ground);
        let queue = number(&mark);
        let comment = format!("whorl {}", mark.trim_start_matches("--mark="));
        let (protocol, port) = (protocol(parameters)?, parameters.whole("port", 1, 65_535)?);
        let mut rules = Vec::new();
        for host in &hosts {
            let found = addresses(host, names)?.into_iter();
            rules.extend(found.map(|ip| rule(ip, protocol, port, &comment, queue)));
        }
        Ok(json!({
            "to": hosts,
            "effects": effects(parameters)?,
            "rules": rules,
            "queue": queue,
            "mark": mark,
            "namespace": Namespace::own(Kind::Net).map(Namespace::to_json),
        }))
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)?;
        let Some(space) = Namespace::from_json(Kind::Net, &plan["namespace"]) else {
            return Err(FaultError::Target("there is no network namespace".into()));
        };
        let rules = rules(plan);
        rules.iter().try_for_each(|rule| rule.act(space, "-A"))
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let space = Namespace::from_json(Kind::Net, &plan["namespace"]);
        for rule in rules(plan) {
            // Once for each time that it is there. In a namespace that is gone, it is not.
            while let Some(space) = space.filter(|space| rule.act(*space, "-C").is_ok()) {
                rule.act(space, "-D")?;
            }
        }
        helper::end(helper::mark_in(plan))?;
        Ok("packets go as before".into())
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        queue::hold(&mut Holding::new(self.name(), plan, ground, say))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        hosts_of(std::iter::once(&plan["to"]))
    }

    fn steps(&self, plan: &Value) -> Steps {
        let each = |way: &str| {
            let rules = rules(plan).into_iter();
            rules
                .map(|rule| format!("{} {way} OUTPUT {}", rule.program, rule.words.join(" ")))
                .collect()
        };
        Steps {
            does: each("-A"),
            undo: each("-D"),
        }
    }

    fn describe(&self, plan: &Value) -> Cause {
        let hosts = plan["to"].as_array().map(Vec::as_slice).unwrap_or_default();
        let hosts: Vec<&str> = hosts.iter().filter_map(Value::as_str).collect();
        let target = hosts.join(", ");
        Cause {
            fault: DEGRADE.into(),
            text: format!("packets to {target} were {}", in_words(&plan["effects"])),
            target,
        }
    }
}
