//! The server of names.

use super::NAME;
use super::wire::{Answer, Question};
use crate::chaos::fault::FaultError;
use crate::chaos::fault::chance::{hit, roll};
use crate::chaos::fault::helper::Holding;
use crate::chaos::fault::record::Record;
use globset::{Glob, GlobMatcher};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the real server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look at the clock when nobody asks.
const LOOK: Duration = Duration::from_millis(200);
/// No question over UDP is longer.
const LONGEST: usize = 4096;

/// Who is answered how.
struct Site {
    answer: Option<Answer>,
    said: Value,
    glob: Option<GlobMatcher>,
    percent: f64,
    seed: u64,
    upstream: Option<SocketAddr>,
    record: Record,
    counts: HashMap<String, u64>,
}

impl Site {
    fn of(holding: &Holding<'_>) -> Result<Self, FaultError> {
        let (plan, ground) = (holding.plan, holding.ground);
        let address = plan["address"].as_str().and_then(|text| text.parse().ok());
        let glob = plan["names"].as_str().map(Glob::new).transpose();
        let glob = glob.map_err(|error| FaultError::Target(error.to_string()))?;
        let about = json!({"fault": NAME, "id": ground.id, "seed": ground.seed});
        let other = plan["record"].as_str().map(Path::new);
        let record = Record::open(holding.ground.folder, ground.id, other, about);
        Ok(Self {
            answer: match plan["answer"].as_str() {
                Some("failure") => Some(Answer::Failure),
                Some("refused") => Some(Answer::Refused),
                Some("not-found") => Some(Answer::NoName),
                _ => address.map(Answer::Address),
            },
            said: plan["answer"].clone(),
            glob: glob.map(|glob| glob.compile_matcher()),
            percent: plan["intensity"].as_f64().unwrap_or(100.0),
            seed: ground.seed,
            upstream: plan["upstream"].as_str().and_then(|text| text.parse().ok()),
            record: record.map_err(FaultError::io(holding.ground.folder))?,
            counts: HashMap::new(),
        })
    }

    /// Whether this question is answered wrongly, which is written down.
    fn hits(&mut self, question: &Question) -> bool {
        if self
            .glob
            .as_ref()
            .is_some_and(|glob| !glob.is_match(&question.name))
        {
            return false;
        }
        let key = format!("{} {}", question.name, question.kind);
        let count = self.counts.entry(key.clone()).or_default();
        let n = *count;
        *count += 1;
        let hit = hit(roll(self.seed, NAME, &key, n), self.percent);
        if hit {
            self.record.note("dns", &key, n, &self.said);
        }
        hit
    }
}

/// What the child does.
pub(super) fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
    let mut site = Site::of(holding)?;
    let listen = holding.plan["listen"].as_str().unwrap_or_default();
    let socket = UdpSocket::bind(listen)
        .and_then(|socket| socket.set_read_timeout(Some(LOOK)).map(|()| socket));
    let socket = socket
        .map_err(|error| FaultError::Target(format!("cannot listen at {listen}: {error}")))?;
    let socket = Arc::new(socket);
    holding.ready();
    let deadline = Instant::now() + holding.left();
    let mut packet = [0; LONGEST];
    while Instant::now() < deadline {
        if let Ok((length, from)) = socket.recv_from(&mut packet) {
            reply(&mut site, &socket, &packet[..length], from);
        }
    }
    Ok(())
}

fn reply(site: &mut Site, socket: &Arc<UdpSocket>, packet: &[u8], from: SocketAddr) {
    let Some(question) = Question::read(packet) else {
        return;
    };
    let answer = if site.hits(&question) {
        let Some(answer) = site.answer else { return };
        answer
    } else {
        match site.upstream {
            Some(upstream) => return pass_on(socket, packet.to_vec(), from, upstream),
            None => Answer::Failure,
        }
    };
    // Who asked asks again.
    let _ = socket.send_to(&question.answer(packet, answer), from);
}

/// Asks the real server; others are answered meanwhile.
fn pass_on(socket: &Arc<UdpSocket>, packet: Vec<u8>, from: SocketAddr, upstream: SocketAddr) {
    let socket = Arc::clone(socket);
    thread::spawn(move || -> io::Result<()> {
        let own = if upstream.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let own = UdpSocket::bind(own)?;
        own.connect(upstream)?;
        own.set_read_timeout(Some(PATIENCE))?;
        own.send(&packet)?;
        let mut answer = [0; LONGEST];
        let length = own.recv(&mut answer)?;
        socket.send_to(&answer[..length], from)?;
        Ok(())
    });
}
