//! Packets that come twice: the copy is sent past the queue, and known again when it comes by.

use super::packet;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// A socket that takes packets with their headers (`SOCK_RAW`, `IPPROTO_RAW`).
const RAW: (i32, i32) = (3, 255);
/// How long a copy may take from the socket to the queue.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// Sends copies, and remembers them until they come by.
#[derive(Debug, Default)]
pub(super) struct Copies {
    v4: Option<Socket>,
    v6: Option<Socket>,
    sent: VecDeque<(Instant, Vec<u8>)>,
}

impl Copies {
    /// Sends a packet once more.
    pub(super) fn send(&mut self, packet: &[u8]) {
        let now = Instant::now();
        while self
            .sent
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > ON_ITS_WAY)
        {
            self.sent.pop_front();
        }
        self.sent.push_back((now, packet::plain(packet)));
        // One that cannot be sent is one that is lost.
        if self.hand_over(packet).is_err() {
            self.sent.pop_back();
        }
    }

    fn hand_over(&mut self, packet: &[u8]) -> io::Result<()> {
        let to = packet::target(packet).ok_or(io::ErrorKind::InvalidData)?;
        let socket = match to {
            IpAddr::V4(_) => open(&mut self.v4, Domain::IPV4)?,
            IpAddr::V6(_) => open(&mut self.v6, Domain::IPV6)?,
        };
        socket
            .send_to(packet, &SockAddr::from(SocketAddr::new(to, 0)))
            .map(drop)
    }

    /// Whether a packet is a copy that was sent from here; each counts once.
    pub(super) fn are_ours(&mut self, packet: &[u8]) -> bool {
        if self.sent.is_empty() {
            return false;
        }
        let plain = packet::plain(packet);
        let Some(place) = self.sent.iter().position(|(_, sent)| *sent == plain) else {
            return false;
        };
        self.sent.remove(place).is_some()
    }
}

fn open(socket: &mut Option<Socket>, domain: Domain) -> io::Result<&Socket> {
    let opened = match socket.take() {
        Some(socket) => socket,
        None => Socket::new(domain, Type::from(RAW.0), Some(Protocol::from(RAW.1)))?,
    };
    Ok(socket.insert(opened))
}
