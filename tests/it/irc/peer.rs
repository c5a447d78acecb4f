//! A second client, written for the tests only, that sees what people would see.

use super::PATIENCE;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout_at};

pub(super) struct Peer {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    pub(super) nick: String,
    tokens: u32,
}

impl Peer {
    /// Registers, waiting for a server that is just starting.
    pub(super) async fn new(port: u16, nick: &str) -> Self {
        Self::with(port, nick, None).await
    }

    pub(super) async fn with(port: u16, nick: &str, password: Option<&str>) -> Self {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        let (read, write) = stream.into_split();
        let nick = nick.to_owned();
        let mut peer = Self {
            read: BufReader::new(read),
            write,
            nick,
            tokens: 0,
        };
        if let Some(password) = password {
            peer.send(&format!("PASS {password}")).await;
        }
        let nick = peer.nick.clone();
        peer.send(&format!("NICK {nick}")).await;
        peer.send(&format!("USER {nick} 0 * :{nick}")).await;
        peer.until(|line| line.contains(" 376 ") || line.contains(" 422 "))
            .await;
        peer
    }

    pub(super) async fn joined(port: u16, nick: &str, channel: &str) -> Self {
        let mut peer = Self::new(port, nick).await;
        peer.send(&format!("JOIN {channel}")).await;
        peer.until(|line| line.contains(" 366 ")).await;
        peer
    }

    pub(super) async fn send(&mut self, line: &str) {
        self.write
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .unwrap();
    }

    async fn line(&mut self, deadline: Instant) -> String {
        let mut line = Vec::new();
        let read = timeout_at(deadline, self.read.read_until(b'\n', &mut line)).await;
        let n = read
            .unwrap_or_else(|_| panic!("{} waited in vain", self.nick))
            .unwrap();
        assert!(n > 0, "{} was thrown out", self.nick);
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// The first line that is as wished; pings are answered meanwhile.
    pub(super) async fn until(&mut self, wished: impl Fn(&str) -> bool) -> String {
        self.all_until(wished).await.pop().unwrap()
    }

    /// All lines up to the first one that is as wished.
    pub(super) async fn all_until(&mut self, wished: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            let line = self.line(deadline).await;
            if let Some(token) = line.strip_prefix("PING ") {
                self.send(&format!("PONG {token}")).await;
            }
            all.push(line);
            if wished(all.last().unwrap()) {
                return all;
            }
        }
    }

    /// Everything that the server has told up to now.
    pub(super) async fn so_far(&mut self) -> Vec<String> {
        self.tokens += 1;
        let token = format!("fence{}", self.tokens);
        self.send(&format!("PING {token}")).await;
        self.all_until(|line| line.contains("PONG") && line.ends_with(&token))
            .await
    }

    /// The next text that somebody says in a channel or to us, as (who, text).
    pub(super) async fn hears(&mut self, command: &str) -> (String, String) {
        let part = format!(" {command} ");
        let line = self
            .until(|line| line.contains(&part) && line.starts_with(':') && line.contains('!'))
            .await;
        let (prefix, rest) = line[1..].split_once(' ').unwrap();
        let who = prefix.split('!').next().unwrap().to_owned();
        let text = rest.splitn(3, ' ').nth(2).unwrap();
        (who, text.strip_prefix(':').unwrap_or(text).to_owned())
    }

    /// What WHOIS says of a nick.
    pub(super) async fn whois(&mut self, nick: &str) -> Vec<String> {
        self.send(&format!("WHOIS {nick}")).await;
        self.all_until(|line| line.contains(" 318 ")).await
    }

    /// Who is in a channel.
    pub(super) async fn names(&mut self, channel: &str) -> Vec<String> {
        self.send(&format!("NAMES {channel}")).await;
        let all = self.all_until(|line| line.contains(" 366 ")).await;
        let of = all.iter().filter(|line| line.contains(" 353 "));
        of.flat_map(|line| line.rsplit(" :").next().unwrap().split(' '))
            .map(|name| {
                name.trim_start_matches(['@', '+', '~', '&', '%'])
                    .to_owned()
            })
            .collect()
    }
}
