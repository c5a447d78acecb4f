//! A small HTTP server whose answers a test writes byte by byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use url::Url;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
    /// How many came before.
    pub(super) number: usize,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A server on loopback, one thread for each connection, one request on each.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn start<F>(answer: F) -> Self
    where
        F: Fn(&Asked, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            under_way: Arc::default(),
            most: Arc::default(),
        };
        let answer = Arc::new(answer);
        let (asked, under_way, most) = (
            Arc::clone(&server.asked),
            Arc::clone(&server.under_way),
            Arc::clone(&server.most),
        );
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
                std::thread::spawn(move || {
                    let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    // A client that is gone is its own matter.
                    let _ = serve(connection.unwrap(), &*answer, &asked);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    pub(super) fn url(&self, path: &str) -> Url {
        self.at("127.0.0.1", path)
    }

    /// By another name.
    pub(super) fn at(&self, host: &str, path: &str) -> Url {
        let port = self.address.port();
        Url::parse(&format!("http://{host}:{port}{path}")).unwrap()
    }

    pub(super) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(super) fn requests(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The most connections at one time.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

type Answer = dyn Fn(&Asked, &mut TcpStream) -> io::Result<()> + Send + Sync;

fn serve(mut out: TcpStream, answer: &Answer, asked: &Mutex<Vec<Asked>>) -> io::Result<()> {
    let mut lines = BufReader::new(out.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = {
        let mut asked = asked.lock().unwrap();
        let request = Asked {
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            number: asked.len(),
        };
        asked.push(request.clone());
        request
    };
    answer(&request, &mut out)?;
    out.shutdown(Shutdown::Write)
}

pub(super) fn head(status: &str, more: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{more}Connection: close\r\n\r\n")
}

pub(super) fn reply(out: &mut TcpStream, status: &str, more: &str, body: &[u8]) -> io::Result<()> {
    let length = format!("{more}Content-Length: {}\r\n", body.len());
    out.write_all(head(status, &length).as_bytes())?;
    out.write_all(body)
}

pub(super) fn ok(out: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    reply(out, "200 OK", "", body)
}

/// Says nothing more until the client is gone.
pub(super) fn hang(out: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 64];
    while out.read(&mut rest)? > 0 {}
    Ok(())
}
