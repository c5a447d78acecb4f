//! A TCP proxy that does to one connection what networks and tired servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is closed at once.
    Refuse,
    /// Nothing ever comes.
    Hang,
    /// It ends in the middle, with data that nobody read: a reset.
    Reset,
    /// The first answer is cut.
    HalfGreeting,
    /// The first answer has no end.
    Endless,
    /// The first answer is this code.
    Busy(u16),
    /// Everything is passed on but the answer to the mail itself.
    LoseLast,
}

/// A running proxy.
pub(super) struct Wire {
    pub(super) port: u16,
    next: Arc<Mutex<Option<Fault>>>,
}

impl Wire {
    pub(super) fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let next: Arc<Mutex<Option<Fault>>> = Arc::default();
        let inner = next.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let fault = inner.lock().unwrap().take();
                // A client that is gone is no concern of the proxy.
                std::thread::spawn(move || serve(client, target, fault).ok());
            }
        });
        Self { port, next }
    }

    /// Does it to the next connection.
    pub(super) fn next(&self, fault: Fault) {
        *self.next.lock().unwrap() = Some(fault);
    }
}

fn serve(mut client: TcpStream, target: u16, fault: Option<Fault>) -> std::io::Result<()> {
    match fault {
        Some(Fault::Refuse) => Ok(()),
        Some(Fault::Hang) => client.read_to_end(&mut Vec::new()).map(drop),
        Some(Fault::HalfGreeting) => client.write_all(b"220 he"),
        Some(Fault::Busy(code)) => {
            client.write_all(format!("{code} too tired\r\n").as_bytes())?;
            client.read_to_end(&mut Vec::new()).map(drop)
        }
        Some(Fault::Endless) => loop {
            client.write_all(b"220-and so on\r\n")?;
        },
        Some(Fault::Reset) => {
            client.write_all(b"220 hello\r\n")?;
            // The client's greeting is there and is not read: closing now is a reset.
            client.peek(&mut [0]).map(drop)
        }
        Some(Fault::LoseLast) => pass(client, target, true),
        None => pass(client, target, false),
    }
}

fn pass(client: TcpStream, target: u16, lose_last: bool) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", target))?;
    server.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut to_server, mut from_client) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    let (mut to_client, mut answers) = (client, BufReader::new(server));
    let mut line = Vec::new();
    let mut in_data = false;
    while answers.read_until(b'\n', &mut line)? > 0 {
        if in_data && lose_last {
            return to_client.shutdown(Shutdown::Both);
        }
        in_data = line.starts_with(b"354");
        to_client.write_all(&line)?;
        line.clear();
    }
    to_client.shutdown(Shutdown::Both)
}
