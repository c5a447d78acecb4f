//! Clients that send one byte now and then, that do not take what they asked for, or that only hold a
//! connection: they are cut off, and others are served meanwhile.

use super::{SERVICE, bounded, eventually, files_allowed, open_files, peak};
use crate::serve::program::{Home, Program, files};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn connect(program: &Program) -> TcpStream {
    TcpStream::connect(program.base.trim_start_matches("http://")).unwrap()
}

/// A build that is sent like any other gets its verdict.
fn served(program: &Program, uuid: &str) {
    assert_eq!(program.feed(uuid, b"boom\n"), 202);
    eventually("others are served", || {
        let build = program.build(uuid);
        assert_ne!(build["verdict"], "error", "{build}");
        (build["verdict"] == "matched").then_some(())
    });
    assert_eq!(program.get("/healthz"), "ok\n");
    assert!(program.get("/").contains("whorl"));
}

/// A client that sends a byte now and then.
struct Dripping {
    stream: TcpStream,
    answer: Vec<u8>,
    ended: bool,
}

impl Dripping {
    fn new(program: &Program, head: &str) -> Self {
        let mut stream = connect(program);
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            answer: Vec::new(),
            ended: false,
        }
    }

    /// One byte more, unless it was cut off.
    fn drip(&mut self) {
        let mut some = [0; 4096];
        match self.stream.read(&mut some) {
            Ok(0) => self.ended = true,
            Ok(n) => self.answer.extend_from_slice(&some[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
        if !self.ended
            && self
                .stream
                .write(b"a")
                .is_err_and(|e| e.kind() != ErrorKind::WouldBlock)
        {
            self.ended = true;
        }
    }
}

#[test]
fn one_byte_at_a_time_does_not_keep_a_connection() {
    let home = Home::new("intake: {patience: 5s}\n");
    let program = home.start();
    served(&program, "before");
    let before = peak(program.pid()).unwrap();
    let body = |n| {
        format!(
            "PUT /api/v1/builds/s{n}/logs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n"
        )
    };
    let facts =
        |n| format!("PUT /api/v1/builds/s{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n");
    let mut heads: Vec<Dripping> = (0..50)
        .map(|_| Dripping::new(&program, "GET /healthz HTTP/1.1\r\nX-Long: "))
        .collect();
    let mut bodies: Vec<Dripping> = (0..100)
        .map(|n| Dripping::new(&program, &if n % 2 == 0 { body(n) } else { facts(n) }))
        .collect();
    let mut tried = false;
    eventually("all are cut off", || {
        heads.iter_mut().chain(&mut bodies).for_each(Dripping::drip);
        if !tried {
            served(&program, "meanwhile");
            tried = true;
        }
        std::thread::sleep(Duration::from_millis(50));
        let mut all = heads.iter().chain(&bodies);
        all.all(|one| one.ended).then_some(())
    });
    let told = bodies.iter().filter(|one| {
        let text = String::from_utf8_lossy(&one.answer);
        text.starts_with("HTTP/1.1 408") && text.contains("less than 1 KiB arrived")
    });
    // Some may be cut off by the reset that follows a byte too many.
    assert!(told.count() > 0, "nobody was told why");
    assert!(files(&home.data().join("incoming")).is_empty());
    bounded(before, peak(program.pid()).unwrap(), SERVICE);
}

/// A sender that is slow, but does send, is heard to the end.
#[test]
fn a_slow_sender_is_not_a_silent_one() {
    let home = Home::new("intake: {patience: 5s}\n");
    let program = home.start();
    let mut stream = connect(&program);
    let line = "a line that comes slowly\n".repeat(100);
    let length = 30 * line.len() + 5;
    write!(
        stream,
        "PUT /api/v1/builds/slow/logs/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    // Longer than the patience of anybody.
    for _ in 0..30 {
        stream.write_all(line.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(400));
    }
    stream.write_all(b"boom\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(program.build("slow")["logs"][0]["bytes"], length);
}

/// A connection that takes next to nothing.
fn narrow(program: &Program, runtime: &tokio::runtime::Runtime) -> TcpStream {
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = program.base.trim_start_matches("http://").parse().unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    })
}

/// More than there are threads for work that blocks.
const READERS: usize = 600;

#[test]
fn clients_that_do_not_take_their_answer_leave_the_threads_to_others() {
    if files_allowed() < 4 * (READERS as u64 + 400) {
        crate::skip("clients that stop reading: too few files may be open");
        return;
    }
    let home = Home::new("intake: {patience: 5s}\n");
    let program = home.start();
    let log = "a line of a log that nobody reads to its end\n".repeat(400_000);
    program.log_file("long", "a.txt", log.as_bytes());
    served(&program, "before");
    let (before, files) = (peak(program.pid()).unwrap(), open_files(program.pid()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = "GET /api/v1/builds/long/logs/a.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut readers: Vec<TcpStream> = (0..READERS).map(|_| narrow(&program, &runtime)).collect();
    for stream in &mut readers {
        stream.set_nonblocking(false).unwrap();
        // The second request waits behind the first answer.
        stream.write_all(ask.repeat(2).as_bytes()).unwrap();
    }
    served(&program, "meanwhile");
    let most = peak(program.pid()).unwrap();
    // Nobody has to read on for them to be cut off.
    eventually("they are cut off", || {
        (open_files(program.pid()) <= files + 16).then_some(())
    });
    bounded(before, most, SERVICE);
    let answers: Vec<Vec<u8>> = readers.iter_mut().map(rest).collect();
    let busy = answers.iter().filter(|answer| {
        let text = String::from_utf8_lossy(answer).to_lowercase();
        text.contains("503 service unavailable") && text.contains("retry-after: 5")
    });
    assert!(busy.count() > 0, "nobody was told to come again");
}

/// What has arrived until the connection ended.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // It may end with a reset.
    let _ = stream.read_to_end(&mut all);
    all
}

#[test]
fn idle_connections_make_room_for_others() {
    files_allowed();
    let home = Home::new("");
    // Room for 64 connections.
    let program = home.start_with_files(256);
    served(&program, "before");
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, base) = (stop.clone(), program.base.clone());
    let crowd = std::thread::spawn(move || {
        let mut held = Vec::new();
        // Whoever is sent away comes again, at most 300 at a time.
        while !flag.load(Ordering::Relaxed) {
            let address = base.trim_start_matches("http://").parse().unwrap();
            let soon = Duration::from_millis(100);
            if let Ok(mut stream) = TcpStream::connect_timeout(&address, soon) {
                if held.len() % 4 == 0 {
                    // Some of them begin to speak.
                    let _ = stream.write_all(b"GET / HT");
                }
                held.push(stream);
            }
            if held.len() >= 300 {
                held.drain(..100);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    });
    eventually("it says that there is no room", || {
        program.said("no room for more connections").then_some(())
    });
    let begun = Instant::now();
    for n in 0..3 {
        served(&program, &format!("meanwhile-{n}"));
    }
    assert!(begun.elapsed() < super::DEADLINE);
    assert!(
        open_files(program.pid()) < 200,
        "some are left for the work"
    );
    stop.store(true, Ordering::Relaxed);
    crowd.join().unwrap();
    for n in 0..3 {
        let build = program.build(&format!("meanwhile-{n}"));
        assert_eq!(build["history"].as_array().unwrap().len(), 1, "{build}");
    }
}
