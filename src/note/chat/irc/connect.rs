//! A connection to a server, encrypted or not, and its lines.

use super::settings::{Settings, Tls, Unusable};
use super::wire::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The longest line that a server may send, with tags.
const LONGEST: usize = 16 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections: files are read once, so that a wrong one is known at the start.
pub(super) struct Connector {
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self, Unusable> {
        let Some(tls) = &settings.tls else {
            return Ok(Self { tls: None });
        };
        let host = settings.host.clone();
        let name = ServerName::try_from(host)
            .map_err(|_| Unusable(format!("{} is no name for TLS", settings.host)))?;
        let config = config(tls)?;
        Ok(Self {
            tls: Some((TlsConnector::from(Arc::new(config)), name)),
        })
    }

    /// Connects; the caller limits the time.
    pub(super) async fn connect(&self, settings: &Settings) -> io::Result<Connection> {
        let stream = TcpStream::connect((settings.host.as_str(), settings.port)).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        };
        let (read, write) = tokio::io::split(stream);
        let patience = settings.timeout;
        Ok(Connection {
            reader: Reader {
                read,
                buffer: Vec::new(),
            },
            writer: Writer { write, patience },
        })
    }
}

/// An open connection.
pub(super) struct Connection {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// The server's lines.
pub(super) struct Reader {
    read: ReadHalf<Box<dyn Stream>>,
    buffer: Vec<u8>,
}

/// Our lines.
pub(super) struct Writer {
    write: WriteHalf<Box<dyn Stream>>,
    patience: Duration,
}

impl Reader {
    /// The next line that is one. A caller may give up waiting and ask again: nothing is lost.
    pub(super) async fn next(&mut self) -> io::Result<Message> {
        loop {
            while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(message) = Message::parse(&line) {
                    return Ok(message);
                }
            }
            if self.buffer.len() > LONGEST {
                return Err(io::Error::other("the server sends a line without an end"));
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
        }
    }
}

impl Writer {
    /// Sends lines; a server that does not take them in time is an error.
    pub(super) async fn send(&mut self, lines: &[Message]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for line in lines {
            text.extend([line.to_string().as_str(), "\r\n"]);
        }
        let sent = async {
            self.write.write_all(text.as_bytes()).await?;
            self.write.flush().await
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the server takes no lines");
        timeout(self.patience, sent)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// Ends the connection as well as it can be ended in a second, with a last line if there is one.
    pub(super) async fn close(&mut self, last: Option<Message>) {
        let end = async {
            self.send(last.as_slice()).await?;
            self.write.shutdown().await
        };
        // It is given up anyway.
        let _ = timeout(Duration::from_secs(1), end).await;
    }
}

fn config(tls: &Tls) -> Result<ClientConfig, Unusable> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = &tls.ca_file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|e| wrong(file, &e))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Unusable(format!("TLS: {e}")))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
    let chain = certificates(certificate)?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|e| wrong(certificate, &e))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let found = CertificateDer::pem_file_iter(file).map_err(|e| wrong(file, &e))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|e| wrong(file, &e))?;
    if found.is_empty() {
        return Err(wrong(file, &"holds no certificate"));
    }
    Ok(found)
}

fn wrong(file: &Path, why: &dyn std::fmt::Display) -> Unusable {
    Unusable(format!("{}: {why}", file.display()))
}
