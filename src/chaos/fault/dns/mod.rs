//! `dns`: names that are not found, or that lead somewhere else.
//!
//! A child answers on a loopback address. Programs ask it because a file that names it is mounted over
//! `/etc/resolv.conf`, in the mount namespace of the run; or because they are told its address.

mod serve;
mod wire;

use super::helper::{self, Holding};
use super::namespace::{Kind, Namespace};
use super::record::Record;
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use globset::Glob;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

pub(super) const NAME: &str = "dns";

const PARAMETERS: [(&str, &str); 8] = [
    (
        "answer",
        "not-found, failure, refused, nothing (no answer at all) or wrong",
    ),
    ("address", "the IPv4 address of the wrong answer"),
    ("names", "only names that fit this glob: *.example.org"),
    (
        "intensity",
        "percent of the questions, chosen by the seed; 100 when not given",
    ),
    (
        "upstream",
        "address:port that all else is passed on to; the first of resolv.conf when not given",
    ),
    (
        "listen",
        "address:port to listen at; 127.0.87.53:53 when not given",
    ),
    (
        "resolv-conf",
        "the file that names the server to programs; /etc/resolv.conf when not given; none: no file",
    ),
    (
        "record",
        "a file that gets a line of JSON for each wrong answer, and stays",
    ),
];

const ANSWERS: [&str; 5] = ["not-found", "failure", "refused", "nothing", "wrong"];
const RESOLV: &str = "/etc/resolv.conf";

/// Names that are answered wrongly.
pub(super) struct Dns;

fn answer(parameters: &Parameters<'_>) -> Result<&'static str, FaultError> {
    let answer = parameters.one_of("answer", &ANSWERS)?;
    let answer = answer.ok_or_else(|| parameters.missing("answer", "must say what is answered"))?;
    if (answer == "wrong") != parameters.has("address") {
        return Err(
            parameters.missing("address", "belongs to the answer `wrong`, and only to that")
        );
    }
    Ok(answer)
}

fn address(parameters: &Parameters<'_>) -> Result<Option<Ipv4Addr>, FaultError> {
    let parse = |text: &str| text.parse::<Ipv4Addr>();
    let address = parameters.text("address")?.map(parse).transpose();
    address.map_err(|_| parameters.missing("address", "must be an IPv4 address"))
}

fn socket(parameters: &Parameters<'_>, key: &str) -> Result<Option<SocketAddr>, FaultError> {
    let parse = |text: &str| text.parse::<SocketAddr>();
    let socket = parameters.text(key)?.map(parse).transpose();
    socket.map_err(|_| parameters.missing(key, "must be an address and a port"))
}

fn listen(parameters: &Parameters<'_>) -> Result<SocketAddr, FaultError> {
    let default = SocketAddr::from(([127, 0, 87, 53], 53));
    Ok(socket(parameters, "listen")?.unwrap_or(default))
}

fn resolv_conf(parameters: &Parameters<'_>) -> Result<Option<String>, FaultError> {
    let path = parameters.text("resolv-conf")?.unwrap_or(RESOLV);
    let path = (path != "none").then(|| path.to_owned());
    if path.is_some() && listen(parameters)?.port() != 53 {
        let message = "must have port 53, as a resolv.conf cannot name another";
        return Err(parameters.missing("listen", message));
    }
    Ok(path)
}

/// The first server that a resolv.conf names.
fn first_server(path: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(path).ok()?;
    let servers = text.lines().filter_map(|line| {
        let address = line.trim().strip_prefix("nameserver")?.trim();
        Some(SocketAddr::new(address.parse().ok()?, 53))
    });
    servers.into_iter().next()
}

/// The mount points in a namespace that have our file over them.
fn mounted(space: Namespace, ours: &Path) -> Result<Vec<String>, FaultError> {
    let ours = ours
        .file_name()
        .map(|name| format!("/{}", name.to_string_lossy()));
    let ours = ours.unwrap_or_default();
    let text = command(space, "cat", &["/proc/self/mountinfo"])?;
    let mounts = text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(3);
        let (root, point) = (words.next()?, words.next()?);
        root.ends_with(&ours).then(|| point.to_owned())
    });
    Ok(mounts.collect())
}

fn command(space: Namespace, program: &str, arguments: &[&str]) -> Result<String, FaultError> {
    let gone = || FaultError::Target("the mount namespace is gone".into());
    let mut command = space.command(program).ok_or_else(gone)?;
    said(program, command.args(arguments))
}

/// What a command says, or why it fails.
fn said(program: &str, command: &mut Command) -> Result<String, FaultError> {
    let ran = command.output();
    let ran = ran.map_err(FaultError::io(Path::new(program)))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&ran.stderr)
        .trim()
        .replace('\n', " ");
    Err(FaultError::Target(format!("{program}: {text}")))
}

fn space(plan: &Value) -> Option<Namespace> {
    let space = Namespace::from_json(Kind::Mount, &plan["namespace"]);
    space.filter(|space| space.command("mount").is_some())
}

impl Fault for Dns {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "answers questions after names with an error, an address of its choice, or not at all"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "rights to mount and port 53; neither with `resolv-conf: none` and another port"
    }

    fn check(&self) -> Result<(), String> {
        let mount = ["-m", "mount", "--bind", "/etc/hosts", RESOLV];
        let tried = said("unshare", Command::new("unshare").args(mount));
        tried.map(drop).map_err(|error| error.to_string())
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        answer(parameters)?;
        address(parameters)?;
        socket(parameters, "upstream")?;
        resolv_conf(parameters)?;
        parameters.percent("intensity")?;
        let glob = parameters.text("names")?.map(Glob::new).transpose();
        glob.map_err(|error| parameters.missing("names", &error.to_string()))?;
        Ok(())
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let resolv = resolv_conf(parameters)?;
        let given = socket(parameters, "upstream")?;
        let from = resolv.as_deref().unwrap_or(RESOLV);
        let upstream = given.or_else(|| first_server(Path::new(from)));
        let listen = listen(parameters)?;
        let run = ground.folder.file_name().unwrap_or_default();
        let name = format!("resolv-{}-{}.conf", run.to_string_lossy(), ground.id);
        let ours = ground.folder.join(name);
        if resolv.is_some() {
            let text = format!("nameserver {}\n", listen.ip());
            fs::write(&ours, text).map_err(FaultError::io(&ours))?;
        }
        let record = parameters.has("record").then(|| parameters.path("record"));
        Ok(json!({
            "answer": answer(parameters)?,
            "address": address(parameters)?,
            "names": parameters.text("names")?,
            "intensity": parameters.percent("intensity")?,
            "upstream": upstream,
            "listen": listen,
            "resolv-conf": resolv,
            "ours": ours,
            "namespace": Namespace::own(Kind::Mount).map(Namespace::to_json),
            "record": record.transpose()?,
            "mark": helper::mark(ground),
        }))
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)?;
        let Some(resolv) = plan["resolv-conf"].as_str() else {
            return Ok(());
        };
        let ours = plan["ours"].as_str().unwrap_or_default();
        let gone = || FaultError::Target("there is no mount namespace".into());
        let space = space(plan).ok_or_else(gone)?;
        command(space, "mount", &["--bind", ours, resolv]).map(drop)
    }

    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
        let ours = plan["ours"].as_str().unwrap_or_default();
        if let Some(space) = space(plan) {
            for point in mounted(space, Path::new(ours))? {
                command(space, "umount", &[&point])?;
            }
        }
        helper::end(helper::mark_in(plan))?;
        let answers = Record::count(ground.folder, ground.id);
        Ok(format!(
            "names are answered as before, after {answers} wrong answers"
        ))
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        serve::hold(&mut Holding::new(self.name(), plan, ground, say))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        let listen = Target::Own(format!(
            "a name server at {}",
            plan["listen"].as_str().unwrap_or_default()
        ));
        let resolv = plan["resolv-conf"]
            .as_str()
            .map(|path| Target::Mount(path.into()));
        std::iter::once(listen).chain(resolv).collect()
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &match plan["resolv-conf"].as_str() {
                Some(path) => format!(
                    "mount --bind {} {path}",
                    plan["ours"].as_str().unwrap_or_default()
                ),
                None => self.describe(plan).text,
            },
            &match plan["resolv-conf"].as_str() {
                Some(path) => format!("umount {path}, and end the name server"),
                None => "end the name server".to_owned(),
            },
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let names = plan["names"].as_str().unwrap_or("*").to_owned();
        let answer = match plan["answer"].as_str() {
            Some("not-found") => "were not found".to_owned(),
            Some("nothing") => "were not answered".to_owned(),
            Some("wrong") => format!("led to {}", plan["address"].as_str().unwrap_or_default()),
            Some(other) => format!("were answered with {other}"),
            None => String::new(),
        };
        Cause {
            fault: NAME.into(),
            text: format!("the names {names} {answer} ({} %)", plan["intensity"]),
            target: names,
        }
    }
}
