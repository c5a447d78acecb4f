//! The child that says when packets go on.

use super::copies::Copies;
use super::degrade::DEGRADE;
use super::packet;
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
    duplicate: f64,
    corrupt: f64,
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

/// What happens to a packet.
struct Fate {
    /// When it goes on.
    due: Instant,
    /// It comes once more.
    twice: bool,
    /// This bit behind its header is wrong.
    wrong: Option<u64>,
}

impl Road {
    /// What happens to a packet; nothing, when it is lost.
    fn fate(&mut self, packet: &[u8], now: Instant) -> Option<Fate> {
        let key = packet::flow(packet);
        let count = self.counts.entry(key.clone()).or_default();
        let n = *count;
        *count += 1;
        let roll = |what: &str| roll(self.seed, what, &key, n);
        if hit(roll("loss"), self.effects.loss) {
            return None;
        }
        let wrong = hit(roll("corrupt"), self.effects.corrupt).then(|| roll("bit"));
        let twice = hit(roll("duplicate"), self.effects.duplicate);
        let mut due = now;
        if let Some(rate) = self.effects.rate {
            let time = Duration::from_secs_f64(packet.len() as f64 / rate as f64);
            self.free = self.free.max(now) + time;
            due = self.free;
        }
        if !hit(roll("reorder"), self.effects.reorder) {
            let part = roll("jitter") % (2 * self.effects.jitter + 1);
            let late = (self.effects.delay + part).saturating_sub(self.effects.jitter);
            due += Duration::from_millis(late);
        }
        Some(Fate { due, twice, wrong })
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
    let mut waiting: BTreeMap<(Instant, u64), (Message, bool)> = BTreeMap::new();
    let mut copies = Copies::default();
    let mut number = 0;
    while Instant::now() < deadline {
        match queue.recv() {
            Ok(mut message) if copies.are_ours(message.get_payload()) => {
                message.set_verdict(Verdict::Accept);
                queue.verdict(message)?;
            }
            Ok(mut message) => {
                let Some(fate) = road.fate(message.get_payload(), Instant::now()) else {
                    message.set_verdict(Verdict::Drop);
                    queue.verdict(message)?;
                    continue;
                };
                if let Some(bit) = fate.wrong {
                    packet::spoil(message.get_payload_mut(), bit);
                }
                number += 1;
                waiting.insert((fate.due, number), (message, fate.twice));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
            // There were too many at once: some of them are lost, as in a router.
            Err(_) => {}
        }
        while waiting
            .first_key_value()
            .is_some_and(|((due, _), _)| *due <= Instant::now())
        {
            if let Some((_, (mut message, twice))) = waiting.pop_first() {
                if twice {
                    copies.send(message.get_payload());
                }
                message.set_verdict(Verdict::Accept);
                queue.verdict(message)?;
            }
        }
    }
    Ok(())
}
