//! A small HTTP proxy for tests: it counts what goes through, and does to it what networks do.
//!
//! One request on each connection; loopback only. Without a target it answers `{}` to everything.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

/// What is done to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed before the request was read.
    Refuse,
    /// The request is read and never answered.
    Hang,
    /// The request is passed on; its answer is lost and the connection is gone.
    Lose,
    /// This status, with the seconds after which to come back, instead of passing it on.
    Status(u16, Option<u64>),
    /// The request is passed on; the connection ends in the middle of the answer.
    Cut,
    /// The request is passed on; the answer is half of the JSON, as if that were all.
    HalfJson,
    /// The request is passed on after a while.
    Delay(Duration),
    /// Of a bulk request every third document is refused with 429 and the others are passed on.
    RefuseItems,
}

/// What went through, for one kind of path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    /// Bytes of the requests' bodies.
    pub(crate) sent: u64,
    /// Bytes of the answers' bodies.
    pub(crate) received: u64,
}

#[derive(Debug, Default)]
struct Plan {
    next: Vec<(String, u64, Fault)>,
    storm: Vec<Fault>,
    percent: u64,
    seed: u64,
    counts: BTreeMap<String, Count>,
    done: BTreeMap<String, u64>,
}

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    url: Url,
    plan: Arc<Mutex<Plan>>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of a server.
    pub(crate) fn to(target: &Url) -> Self {
        Self::start(Some(target), None)
    }

    /// In front of a server (or of none), answering 401 but to exactly this `Authorization`.
    pub(crate) fn guarded(target: Option<&Url>, authorization: &str) -> Self {
        Self::start(target, Some(authorization.to_owned()))
    }

    /// In front of nothing.
    pub(crate) fn alone() -> Self {
        Self::start(None, None)
    }

    fn start(target: Option<&Url>, authorization: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let plan = Arc::new(Mutex::new(Plan::default()));
        let one = One {
            target: target.map(|url| {
                format!(
                    "{}:{}",
                    url.host_str().unwrap(),
                    url.port_or_known_default().unwrap()
                )
            }),
            authorization,
            plan: plan.clone(),
            ended: ended.clone(),
        };
        let stop = ended.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let one = one.clone();
                // A client that is gone is no concern of the proxy.
                std::thread::spawn(move || one.serve(client).ok());
            }
        });
        let url = format!("http://{address}/").parse().unwrap();
        Self { url, plan, ended }
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    /// Does it to the next `n` requests.
    pub(crate) fn next(&self, n: u64, fault: Fault) {
        self.next_on("", n, fault);
    }

    /// Does it to the next `n` requests whose method and path hold `part`.
    pub(crate) fn next_on(&self, part: &str, n: u64, fault: Fault) {
        let mut plan = self.plan.lock().unwrap();
        plan.next.push((part.to_owned(), n, fault));
    }

    /// Does one of these to so many of 100 requests, the same ones for the same seed.
    pub(crate) fn storm(&self, faults: &[Fault], percent: u64, seed: u64) {
        let mut plan = self.plan.lock().unwrap();
        (plan.storm, plan.percent, plan.seed) = (faults.to_vec(), percent, seed.max(1));
    }

    /// Does nothing any more.
    pub(crate) fn calm(&self) {
        let mut plan = self.plan.lock().unwrap();
        plan.next.clear();
        plan.percent = 0;
    }

    /// What went through since the start for paths that hold `part`.
    pub(crate) fn count(&self, part: &str) -> Count {
        let plan = self.plan.lock().unwrap();
        let mut all = Count::default();
        for (_, one) in plan.counts.iter().filter(|(path, _)| path.contains(part)) {
            all.requests += one.requests;
            all.sent += one.sent;
            all.received += one.received;
        }
        all
    }

    /// How often each fault was done.
    pub(crate) fn done(&self) -> BTreeMap<String, u64> {
        self.plan.lock().unwrap().done.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let address = format!("127.0.0.1:{}", self.url.port().unwrap());
        drop(TcpStream::connect(address));
    }
}

impl Plan {
    fn fault(&mut self, line: &str) -> Option<Fault> {
        let mut fault = None;
        if let Some(found) = self
            .next
            .iter_mut()
            .find(|(part, n, _)| *n > 0 && line.contains(part.as_str()))
        {
            found.1 -= 1;
            fault = Some(found.2.clone());
        } else if self.percent > 0 && self.dice() % 100 < self.percent {
            let which = usize::try_from(self.dice()).unwrap() % self.storm.len();
            fault = Some(self.storm[which].clone());
        }
        if let Some(fault) = &fault {
            let name = format!("{fault:?}");
            let name = name.split(['(', ' ']).next().unwrap().to_owned();
            *self.done.entry(name).or_default() += 1;
        }
        fault
    }

    /// The next number (xorshift), 31 bits of it.
    fn dice(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed >> 33
    }
}

/// What one connection needs.
#[derive(Clone)]
struct One {
    target: Option<String>,
    authorization: Option<String>,
    plan: Arc<Mutex<Plan>>,
    ended: Arc<AtomicBool>,
}

/// A message: its first line, its other lines, its body.
#[derive(Default)]
struct Message {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl One {
    fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        // The first line is looked at before anything is taken: closing a connection with what was
        // not read is a reset for the other side.
        let mut first = [0; 2048];
        let known = client.peek(&mut first)?;
        if known == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&first[..known]);
        let line = line.lines().next().unwrap_or_default().to_owned();
        let fault = self.plan.lock().unwrap().fault(&line);
        if fault == Some(Fault::Refuse) {
            return Ok(());
        }
        let request = Message::read(&mut BufReader::new(client.try_clone()?))?;
        if fault == Some(Fault::Hang) {
            return self.hang(&client);
        }
        let (mut answer, end) = self.answer(&request, fault)?;
        self.counted(&request, &answer);
        if end == Some(Fault::Lose) {
            return client.shutdown(std::net::Shutdown::Both);
        }
        let length = answer.body.len();
        if end == Some(Fault::Cut) {
            answer.body.truncate(length / 2);
        }
        answer.write(client, length)
    }

    /// The answer, and what is still to be done to it.
    fn answer(
        &self,
        request: &Message,
        fault: Option<Fault>,
    ) -> std::io::Result<(Message, Option<Fault>)> {
        let given = request.header("authorization").unwrap_or_default();
        if self
            .authorization
            .as_ref()
            .is_some_and(|right| right != given)
        {
            let body = json!({"error": {"reason": "unable to authenticate"}, "status": 401});
            return Ok((Message::made(401, None, &body), None));
        }
        let mut answer = match &fault {
            Some(Fault::Status(status, seconds)) => {
                let body = json!({"error": {"reason": format!("told to answer {status}")}});
                Message::made(*status, *seconds, &body)
            }
            Some(Fault::RefuseItems) if request.line.contains("_bulk") => {
                self.bulk_in_part(request)?
            }
            Some(Fault::Delay(time)) => {
                std::thread::sleep(*time);
                self.passed(request)?
            }
            _ => self.passed(request)?,
        };
        if fault == Some(Fault::HalfJson) {
            answer.body.truncate(answer.body.len() / 2);
        }
        Ok((answer, fault))
    }

    fn passed(&self, request: &Message) -> std::io::Result<Message> {
        let Some(target) = &self.target else {
            return Ok(Message::made(200, None, &json!({})));
        };
        let server = TcpStream::connect(target)?;
        request.write(server.try_clone()?, request.body.len())?;
        Message::read(&mut BufReader::new(server))
    }

    /// Passes on a bulk request without every third document, and answers for these itself.
    fn bulk_in_part(&self, request: &Message) -> std::io::Result<Message> {
        let lines: Vec<&[u8]> = request
            .body
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .collect();
        let (mut kept, mut refused, mut at, mut number) = (Vec::new(), Vec::new(), 0, 0);
        while at < lines.len() {
            let action: Value = serde_json::from_slice(lines[at]).unwrap();
            let length = if action.get("delete").is_some() { 1 } else { 2 };
            if number % 3 == 1 {
                refused.push(number);
            } else {
                for line in &lines[at..at + length] {
                    kept.extend_from_slice(line);
                    kept.push(b'\n');
                }
            }
            (at, number) = (at + length, number + 1);
        }
        if kept.is_empty() || refused.is_empty() {
            return self.passed(request);
        }
        let mut headers = request.headers.clone();
        // The answer is read here, so it must not be compressed.
        headers.retain(|h| !h.to_ascii_lowercase().starts_with("accept-encoding"));
        let passed = Message {
            line: request.line.clone(),
            headers,
            body: kept,
        };
        let mut answer = self.passed(&passed)?;
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["errors"] = json!(true);
        let items = body["items"].as_array_mut().unwrap();
        for number in refused {
            let item = json!({"index": {"status": 429, "error": {"reason": "queue is full"}}});
            items.insert(number, item);
        }
        answer.body = body.to_string().into_bytes();
        Ok(answer)
    }

    /// Keeps the connection open until the client gives up or the proxy ends.
    fn hang(&self, client: &TcpStream) -> std::io::Result<()> {
        client.set_read_timeout(Some(Duration::from_millis(100)))?;
        while !self.ended.load(Ordering::SeqCst) {
            match (&*client).read(&mut [0]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn counted(&self, request: &Message, answer: &Message) {
        let mut parts = request.line.split(' ');
        let method = parts.next().unwrap_or_default();
        let path = parts.next().unwrap_or_default().split('?').next();
        let mut plan = self.plan.lock().unwrap();
        let kind = format!("{method} {}", path.unwrap_or_default());
        let count = plan.counts.entry(kind).or_default();
        count.requests += 1;
        count.sent += request.body.len() as u64;
        count.received += answer.body.len() as u64;
    }
}

impl Message {
    fn made(status: u16, seconds: Option<u64>, body: &Value) -> Self {
        let mut headers = vec!["content-type: application/json".to_owned()];
        headers.extend(seconds.map(|s| format!("retry-after: {s}")));
        Self {
            line: format!("HTTP/1.1 {status} Told"),
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    fn read(from: &mut impl BufRead) -> std::io::Result<Self> {
        let mut message = Self::default();
        from.read_line(&mut message.line)?;
        message.line.truncate(message.line.trim_end().len());
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            message.headers.push(line.trim_end().to_owned());
        }
        if message.header("transfer-encoding").is_some() {
            message.read_chunks(from)?;
        } else if let Some(length) = message.header("content-length") {
            message.body.resize(length.parse().unwrap(), 0);
            from.read_exact(&mut message.body)?;
        }
        Ok(message)
    }

    fn read_chunks(&mut self, from: &mut impl BufRead) -> std::io::Result<()> {
        loop {
            let mut size = String::new();
            from.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            from.read_exact(&mut chunk)?;
            if size == 0 {
                return Ok(());
            }
            self.body.extend_from_slice(&chunk[..size]);
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter_map(|line| line.split_once(':'));
        let found = all.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// Writes the message and says that the connection ends; `length` is what it claims to have.
    fn write(&self, mut to: TcpStream, length: usize) -> std::io::Result<()> {
        let mut text = format!("{}\r\n", self.line);
        for header in &self.headers {
            let name = header
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            if !["content-length", "connection", "transfer-encoding"].contains(&name.as_str()) {
                text.extend([header.as_str(), "\r\n"]);
            }
        }
        text.extend(["content-length: ", &length.to_string()]);
        text.push_str("\r\nconnection: close\r\n\r\n");
        to.write_all(text.as_bytes())?;
        to.write_all(&self.body)?;
        to.flush()
    }
}
