//! `network-partition`: hosts that no longer reach each other.
//!
//! Everything is in one table of our own, so that one command takes all of it back. The pairs of hosts
//! are in sets whose elements the kernel forgets when the fault's time is over, whoever is alive then.

use super::nft;
use crate::chaos::fault::namespace::{Kind, Namespace};
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, ToSocketAddrs};

const PARAMETERS: [(&str, &str); 5] = [
    (
        "sides",
        "lists of hosts: who is in one does not reach who is in another",
    ),
    (
        "hosts",
        "what names mean, when the system does not know: {db: 10.0.0.2}",
    ),
    (
        "how",
        "drop (as when not given): nothing comes back; reset: connections are reset; unreachable: the host is",
    ),
    ("except-ports", "TCP ports that stay reachable"),
    (
        "namespace",
        "the network namespace, by name (ip netns) or file; that of the run when not given",
    ),
];

/// Hosts that do not reach each other.
pub(in crate::chaos::fault) struct Partition;

/// The addresses of each side.
fn sides(parameters: &Parameters<'_>) -> Result<Vec<Vec<String>>, FaultError> {
    let wrong = || {
        parameters.missing(
            "sides",
            "must be at least two lists of hosts: [[a, b], [c]]",
        )
    };
    let hosts = |side: &Value| -> Result<Vec<String>, FaultError> {
        let hosts = side.as_array().filter(|hosts| !hosts.is_empty());
        let hosts = hosts.ok_or_else(wrong)?.iter();
        hosts
            .map(|host| host.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect()
    };
    let sides = parameters.value("sides").and_then(Value::as_array);
    let sides: Vec<Vec<String>> = sides
        .ok_or_else(wrong)?
        .iter()
        .map(hosts)
        .collect::<Result<_, _>>()?;
    if sides.len() < 2 {
        return Err(wrong());
    }
    let all: Vec<&String> = sides.iter().flatten().collect();
    let different: BTreeSet<&String> = all.iter().copied().collect();
    if different.len() < all.len() {
        return Err(parameters.missing("sides", "has a host twice"));
    }
    Ok(sides)
}

pub(super) fn names<'a>(
    parameters: &Parameters<'a>,
) -> Result<Option<&'a Map<String, Value>>, FaultError> {
    let wrong = || parameters.missing("hosts", "must map names to addresses");
    let Some(value) = parameters.value("hosts") else {
        return Ok(None);
    };
    let map = value.as_object().ok_or_else(wrong)?;
    let good = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.parse::<IpAddr>().is_ok())
    };
    if map.values().all(good) {
        Ok(Some(map))
    } else {
        Err(wrong())
    }
}

fn ports(parameters: &Parameters<'_>) -> Result<Vec<u16>, FaultError> {
    let wrong = || parameters.missing("except-ports", "must be a list of ports");
    let Some(value) = parameters.value("except-ports") else {
        return Ok(Vec::new());
    };
    let port = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok());
    let ports = value.as_array().ok_or_else(wrong)?.iter();
    ports.map(|value| port(value).ok_or_else(wrong)).collect()
}

/// The addresses of a host.
pub(super) fn addresses(
    host: &str,
    names: Option<&Map<String, Value>>,
) -> Result<Vec<IpAddr>, FaultError> {
    let meant = names.and_then(|names| names.get(host)?.as_str());
    let meant = meant.unwrap_or(host);
    if let Ok(address) = meant.parse() {
        return Ok(vec![address]);
    }
    let unknown = |why: String| FaultError::Target(format!("host '{host}': {why}"));
    let found = (meant, 0).to_socket_addrs();
    let found = found.map_err(|error| unknown(error.to_string()))?;
    let found: BTreeSet<IpAddr> = found.map(|address| address.ip()).collect();
    if found.is_empty() {
        return Err(unknown("has no address".into()));
    }
    Ok(found.into_iter().collect())
}

/// The hosts of lists in a plan.
pub(super) fn hosts_of<'p>(lists: impl Iterator<Item = &'p Value>) -> Vec<Target> {
    let names = lists.filter_map(Value::as_array).flatten();
    names
        .filter_map(|name| name.as_str())
        .map(|name| Target::Host(name.to_owned()))
        .collect()
}

/// Every pair of addresses on different sides, in both directions.
fn pairs(sides: &[Vec<IpAddr>]) -> BTreeSet<(IpAddr, IpAddr)> {
    let mut pairs = BTreeSet::new();
    for (n, side) in sides.iter().enumerate() {
        for other in sides.iter().skip(n + 1) {
            for a in side {
                for b in other.iter().filter(|b| a.is_ipv4() == b.is_ipv4()) {
                    pairs.insert((*a, *b));
                    pairs.insert((*b, *a));
                }
            }
        }
    }
    pairs
}

/// What `nft` reads. Closing braces stand on lines of their own, as it wants them.
fn script(
    table: &str,
    pairs: &BTreeSet<(IpAddr, IpAddr)>,
    ports: &[u16],
    how: &str,
    seconds: u64,
) -> String {
    let mut text = format!("table inet {table} {{\n");
    for (set, kind, four) in [("cut4", "ipv4_addr", true), ("cut6", "ipv6_addr", false)] {
        // Writing to a text cannot fail, here and below.
        let _ = writeln!(text, "set {set} {{\ntype {kind} . {kind}\nflags timeout");
        let elements = pairs.iter().filter(|(a, _)| a.is_ipv4() == four);
        let elements: Vec<String> = elements
            .map(|(a, b)| format!("{a} . {b} timeout {seconds}s"))
            .collect();
        if !elements.is_empty() {
            let _ = writeln!(text, "elements = {{ {} }}", elements.join(", "));
        }
        text.push_str("}\n");
    }
    // What tells of it must come through, which is sent by the hosts' addresses.
    let (tells, verdicts): (&str, &[&str]) = match how {
        "reset" => (
            "tcp flags & rst == rst accept\n",
            &["meta l4proto tcp reject with tcp reset", "drop"],
        ),
        "unreachable" => (
            "icmp type destination-unreachable accept\nicmpv6 type destination-unreachable accept\n",
            &["reject with icmpx type host-unreachable"],
        ),
        _ => ("", &["drop"]),
    };
    for hook in ["input", "output", "forward"] {
        let _ = writeln!(
            text,
            "chain {hook} {{\ntype filter hook {hook} priority -300; policy accept;"
        );
        text.push_str(tells);
        for port in ports {
            let _ = writeln!(text, "tcp dport {port} accept\ntcp sport {port} accept");
        }
        for (family, set) in [("ip", "cut4"), ("ip6", "cut6")] {
            for verdict in verdicts {
                let _ = writeln!(text, "{family} saddr . {family} daddr @{set} {verdict}");
            }
        }
        text.push_str("}\n");
    }
    text.push_str("}\n");
    text
}

/// The name of our table: nobody else's begins like this.
fn table(ground: &Ground<'_>) -> String {
    let run = ground.folder.file_name().unwrap_or_default();
    let run = run
        .to_string_lossy()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("whorl_{run}_{}", ground.id)
}

fn namespace(parameters: &Parameters<'_>) -> Result<Namespace, FaultError> {
    let name = parameters.text("namespace")?;
    let found = name.map_or_else(|| Namespace::own(Kind::Net), Namespace::net);
    found.ok_or_else(|| {
        let name = name.unwrap_or("of our own");
        FaultError::Target(format!("there is no network namespace {name}"))
    })
}

fn how(parameters: &Parameters<'_>) -> Result<&'static str, FaultError> {
    let how = parameters.one_of("how", &["drop", "reset", "unreachable"])?;
    Ok(how.unwrap_or("drop"))
}

/// Whole seconds, so that the kernel does not forget before we do.
fn seconds(ground: &Ground<'_>) -> u64 {
    let seconds = ground.seconds.clamp(1.0, 1e6).ceil();
    std::time::Duration::try_from_secs_f64(seconds).map_or(1, |time| time.as_secs())
}

impl Fault for Partition {
    fn name(&self) -> &'static str {
        "network-partition"
    }

    fn about(&self) -> &'static str {
        "lets hosts no longer reach each other; the kernel forgets it when the time is over"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "nft (package nftables), the kernel's nf_tables, rights over the network namespace"
    }

    fn check(&self) -> Result<(), String> {
        let pair = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let script = script("whorl_check", &BTreeSet::from([pair]), &[], "reset", 1);
        let own = Namespace::own(Kind::Net).ok_or("there are no network namespaces")?;
        let checked = nft::run(own, &["--check", "-f", "-"], &script);
        checked.map(drop).map_err(|error| error.to_string())
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        sides(parameters)?;
        names(parameters)?;
        ports(parameters)?;
        how(parameters)?;
        parameters.text("namespace").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let names = names(parameters)?;
        let named = sides(parameters)?;
        let mut found = Vec::new();
        for side in &named {
            let side: Result<Vec<Vec<IpAddr>>, _> =
                side.iter().map(|host| addresses(host, names)).collect();
            found.push(side?.concat());
        }
        let pairs = pairs(&found);
        if pairs.is_empty() {
            return Err(FaultError::Target(
                "no two addresses can be kept apart".into(),
            ));
        }
        let namespace = namespace(parameters)?;
        let table = table(ground);
        let script = script(
            &table,
            &pairs,
            &ports(parameters)?,
            how(parameters)?,
            seconds(ground),
        );
        Ok(json!({
            "sides": named,
            "how": how(parameters)?,
            "namespace": namespace.to_json(),
            "table": table,
            "script": script,
        }))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let gone = || FaultError::Target("the network namespace is gone".into());
        let namespace = Namespace::from_json(Kind::Net, &plan["namespace"]).ok_or_else(gone)?;
        let script = plan["script"].as_str().unwrap_or_default();
        nft::run(namespace, &["-f", "-"], script)?;
        let table = plan["table"].as_str().unwrap_or_default();
        let listed = nft::run(namespace, &["list", "table", "inet", table], "")?;
        if !listed.contains("expires") {
            return Err(FaultError::Effect("the kernel keeps nobody apart".into()));
        }
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let namespace = Namespace::from_json(Kind::Net, &plan["namespace"]);
        let Some(namespace) = namespace.filter(|space| space.command("nft").is_some()) else {
            return Ok("the namespace is gone, and all with it".into());
        };
        let table = plan["table"].as_str().unwrap_or_default();
        if nft::tables(namespace)?.iter().any(|there| there == table) {
            nft::run(namespace, &["delete", "table", "inet", table], "")?;
        }
        Ok("the hosts reach each other".into())
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        hosts_of(plan["sides"].as_array().into_iter().flatten())
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &format!(
                "nft -f - <<'END'\n{}END",
                plan["script"].as_str().unwrap_or_default()
            ),
            &format!(
                "nft delete table inet {}",
                plan["table"].as_str().unwrap_or_default()
            ),
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let sides = plan["sides"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let sides: Vec<String> = sides
            .iter()
            .map(|side| {
                let hosts = side.as_array().map(Vec::as_slice).unwrap_or_default();
                let hosts: Vec<&str> = hosts.iter().filter_map(Value::as_str).collect();
                hosts.join(", ")
            })
            .collect();
        let target = sides.join(" | ");
        let how = plan["how"].as_str().unwrap_or_default();
        Cause {
            fault: self.name().into(),
            text: format!("the network was parted ({how}): {target}"),
            target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_of_different_sides_and_one_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let sides = [
            vec![ip("10.0.0.1"), ip("fd00::1")],
            vec![ip("10.0.0.2")],
            vec![ip("10.0.0.3"), ip("fd00::3")],
        ];
        let pairs = pairs(&sides);
        assert_eq!(pairs.len(), 8, "{pairs:?}");
        assert!(pairs.contains(&(ip("10.0.0.3"), ip("10.0.0.1"))));
        assert!(pairs.contains(&(ip("fd00::1"), ip("fd00::3"))));
    }
}
