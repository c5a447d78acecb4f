//! Bytes on their way, and what networks do to them.

use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is done to connections, new ones and those that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Closed as soon as they are made.
    Refuse,
    /// Kept open; nothing goes through any more.
    Hang,
    /// Reset.
    Reset,
    /// Half of what the server says next goes through, and nothing after that.
    Half,
}

/// A proxy that ends with the test.
pub(super) struct Proxy {
    pub(super) port: u16,
    fault: Arc<watch::Sender<Fault>>,
}

impl Proxy {
    pub(super) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(watch::channel(Fault::None).0);
        let told = fault.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(one(client, target, told.clone()));
            }
        });
        Self { port, fault }
    }

    pub(super) fn now(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

/// One connection; errors end it, as they would.
async fn one(mut client: TcpStream, target: u16, mut told: watch::Receiver<Fault>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        let fault = *told.borrow_and_update();
        match fault {
            Fault::Refuse => return,
            Fault::Reset => {
                // Closing with this set is a reset.
                let _ = client.set_zero_linger();
                return;
            }
            Fault::Hang => {
                if told.changed().await.is_err() {
                    return;
                }
                // What was held back is lost with the connection.
                continue;
            }
            Fault::None | Fault::Half => {}
        }
        tokio::select! {
            changed = told.changed() => if changed.is_err() { return },
            n = client.read(&mut up) => match n {
                Ok(n) if n > 0 => if server.write_all(&up[..n]).await.is_err() { return },
                _ => return,
            },
            n = server.read(&mut down) => match n {
                Ok(n) if n > 0 => {
                    let n = if fault == Fault::Half { n.div_ceil(2) } else { n };
                    if client.write_all(&down[..n]).await.is_err() { return }
                    if fault == Fault::Half && told.changed().await.is_err() { return }
                },
                _ => return,
            },
        }
    }
}
