//! The child that says when packets go on.

use super::degrade::DEGRADE;
use crate::chaos::fault::FaultError;
use crate::chaos::fault::chance::{hit, roll};
use crate::chaos::fault::helper::Holding;
use nfq::{Message, Queue, Verdict};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Packets that may wait; more are lost, as in a router.
const WAITING: u32 = 8192;
/// How often to look when nothing comes.
const LOOK: Duration = Duration::from_micros(500);

#[derive(Debug, Clone, Deserialize)]
struct Effects {
    delay: u64,
    jitter: u64,
    loss: f64,
    reorder: f64,
    rate: Option<u64>,
}

/// What is known of packets so far.
struct Road {
    effects: Effects,
    seed: u64,
    counts: HashMap<String, u64>,
    /// When the last byte before is on its way.
    free: Instant,
}

/// Where a packet goes: address, protocol and port, as far as it says.
fn flow(packet: &[u8]) -> String {
    let header = usize::from(packet.first().copied().unwrap_or(0) & 0x0F) * 4;
    let Some(to) = packet.get(16..20) else {
        return String::new();
    };
    let protocol = packet[9];
    let port = packet
        .get(header + 2..header + 4)
        .filter(|_| matches!(protocol, 6 | 17));
    let port = port.map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
    format!("{}.{}.{}.{} {protocol} {port}", to[0], to[1], to[2], to[3])
}

impl Road {
    /// When a packet goes on; never, when it is lost.
    fn due(&mut self, packet: &[u8], now: Instant) -> Option<Instant> {
        let key = flow(packet);
        let count = self.counts.entry(key.clone()).or_default();
        let n = *count;
        *count += 1;
        let roll = |what: &str| roll(self.seed, what, &key, n);
        if hit(roll("loss"), self.effects.loss) {
            return None;
        }
        let mut due = now;
        if let Some(rate) = self.effects.rate {
            let time = Duration::from_secs_f64(packet.len() as f64 / rate as f64);
            self.free = self.free.max(now) + time;
            due = self.free;
        }
        if hit(roll("reorder"), self.effects.reorder) {
            return Some(due);
        }
        let part = roll("jitter") % (2 * self.effects.jitter + 1);
        let late = (self.effects.delay + part).saturating_sub(self.effects.jitter);
        Some(due + Duration::from_millis(late))
    }
}

/// What the child does.
pub(super) fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
    let plan = holding.plan;
    let number = plan["queue"].as_u64().and_then(|n| u16::try_from(n).ok());
    let number = number.unwrap_or_default();
    let effects = serde_json::from_value(plan["effects"].clone());
    let effects = effects.map_err(|error| FaultError::Target(error.to_string()))?;
    let wrong = |error: io::Error| FaultError::Target(format!("queue {number}: {error}"));
    let mut queue = Queue::open().map_err(wrong)?;
    queue.bind(number).map_err(wrong)?;
    queue.set_queue_max_len(number, WAITING).map_err(wrong)?;
    queue.set_nonblocking(true);
    let road = Road {
        effects,
        seed: holding.ground.seed,
        counts: HashMap::new(),
        free: Instant::now(),
    };
    holding.ready();
    let deadline = Instant::now() + holding.left();
    serve(&mut queue, road, deadline)
        .map_err(|error| FaultError::Effect(format!("{DEGRADE}: {error}")))
}

fn serve(queue: &mut Queue, mut road: Road, deadline: Instant) -> io::Result<()> {
    let mut waiting: BTreeMap<(Instant, u64), Message> = BTreeMap::new();
    let mut number = 0;
    while Instant::now() < deadline {
        match queue.recv() {
            Ok(mut message) => {
                let due = road.due(message.get_payload(), Instant::now());
                if let Some(due) = due {
                    number += 1;
                    waiting.insert((due, number), message);
                } else {
                    message.set_verdict(Verdict::Drop);
                    queue.verdict(message)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
            // There were too many at once: some of them are lost, as in a router.
            Err(_) => {}
        }
        while waiting
            .first_key_value()
            .is_some_and(|((due, _), _)| *due <= Instant::now())
        {
            if let Some((_, mut message)) = waiting.pop_first() {
                message.set_verdict(Verdict::Accept);
                queue.verdict(message)?;
            }
        }
    }
    Ok(())
}
