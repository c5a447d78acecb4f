//! `tls-certificate`: TLS in front of something, with a certificate that is wrong in one way.

use super::helper::{self, Holding};
use super::proxy::{listen, settled, upstream};
use super::record::Record;
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub(super) const NAME: &str = "tls-certificate";

const PARAMETERS: [(&str, &str); 6] = [
    ("upstream", "host:port, without TLS, of who is behind it"),
    (
        "listen",
        "address:port to listen at; any free port of 127.0.0.1 when not given",
    ),
    (
        "wrong",
        "expired, not-yet-valid, wrong-name, self-signed or nothing",
    ),
    ("name", "the name of the server; localhost when not given"),
    (
        "authority",
        "a file that gets the certificate of the authority, for clients to trust; it is removed afterwards",
    ),
    (
        "record",
        "a file that gets a line of JSON for each connection, and stays",
    ),
];

const WRONG: [&str; 5] = [
    "expired",
    "not-yet-valid",
    "wrong-name",
    "self-signed",
    "nothing",
];

/// A server whose certificate is wrong.
pub(super) struct Tls;

/// What the server shows, and what clients may trust.
struct Papers {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: String,
}

fn failed(error: &dyn std::fmt::Display) -> FaultError {
    FaultError::Effect(format!("the certificate could not be made: {error}"))
}

/// A certificate that is wrong in one way, and an authority.
fn papers(wrong: &str, name: &str) -> Result<Papers, FaultError> {
    let wrong_key = |error: rcgen::Error| failed(&error);
    let key = KeyPair::generate().map_err(wrong_key)?;
    let shown = if wrong == "wrong-name" {
        "wrong-name.invalid"
    } else {
        name
    };
    let mut leaf = CertificateParams::new(vec![shown.to_owned()]).map_err(wrong_key)?;
    leaf.distinguished_name.push(DnType::CommonName, shown);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (leaf.not_before, leaf.not_after) = match wrong {
        "expired" => (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 12, 31)),
        "not-yet-valid" => (date_time_ymd(2090, 1, 1), date_time_ymd(2090, 12, 31)),
        _ => (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 12, 31)),
    };
    let mut root = CertificateParams::default();
    root.distinguished_name
        .push(DnType::CommonName, "whorl chaos authority");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().map_err(wrong_key)?;
    let authority = root.self_signed(&root_key).map_err(wrong_key)?;
    let leaf = if wrong == "self-signed" {
        leaf.self_signed(&key)
    } else {
        leaf.signed_by(&key, &Issuer::new(root, root_key))
    };
    Ok(Papers {
        chain: vec![leaf.map_err(wrong_key)?.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        authority: authority.pem(),
    })
}

fn acceptor(papers: Papers) -> Result<TlsAcceptor, FaultError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_no_client_auth();
            builder.with_single_cert(papers.chain, papers.key)
        });
    let config = config.map_err(|error| failed(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What the child does.
pub(super) fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
    let plan = holding.plan;
    let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
    let papers = papers(&text("wrong"), &text("name"))?;
    if let Some(file) = plan["authority"].as_str() {
        fs::write(file, &papers.authority).map_err(FaultError::io(Path::new(file)))?;
    }
    let acceptor = acceptor(papers)?;
    let about = json!({"fault": NAME, "id": holding.ground.id, "seed": holding.ground.seed});
    let record = plan["record"].as_str().map(Path::new);
    let record = Record::open(holding.ground.folder, holding.ground.id, record, about);
    let record = record.map_err(FaultError::io(holding.ground.folder))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(FaultError::io(holding.ground.folder))?;
    runtime.block_on(async {
        let listen = text("listen");
        let listener = TcpListener::bind(&listen).await;
        let listener = listener
            .map_err(|error| FaultError::Target(format!("cannot listen at {listen}: {error}")))?;
        holding.ready();
        let serve = serve(listener, acceptor, text("upstream"), text("wrong"), record);
        let _: Result<(), _> = timeout(holding.left(), serve).await;
        Ok(())
    })
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    upstream: String,
    wrong: String,
    record: Record,
) {
    for n in 0.. {
        let Ok((client, _)) = listener.accept().await else {
            // No more files: some of them will be closed.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        record.note("certificate", "", n, &json!(wrong));
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        tokio::spawn(async move {
            // Who does not like the certificate goes, which is what we are here for.
            let Ok(mut client) = acceptor.accept(client).await else {
                return;
            };
            if let Ok(mut upstream) = TcpStream::connect(&upstream).await {
                let _ = copy_bidirectional(&mut client, &mut upstream).await;
            }
        });
    }
}

fn wrong(parameters: &Parameters<'_>) -> Result<&'static str, FaultError> {
    let wrong = parameters.one_of("wrong", &WRONG)?;
    wrong.ok_or_else(|| parameters.missing("wrong", "must say what is wrong"))
}

fn file(parameters: &Parameters<'_>, key: &str) -> Result<Option<PathBuf>, FaultError> {
    let path = parameters.has(key).then(|| parameters.path(key));
    path.transpose()
}

impl Fault for Tls {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "listens with TLS and a certificate that is expired, of another name or of nobody, and passes on"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        listen(parameters)?;
        upstream(parameters)?;
        wrong(parameters)?;
        parameters.text("name")?;
        file(parameters, "record")?;
        file(parameters, "authority").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let authority = file(parameters, "authority")?;
        if let Some(there) = authority.as_ref().filter(|path| path.exists()) {
            let text = format!("{} is there already", there.display());
            return Err(FaultError::Target(text));
        }
        Ok(json!({
            "listen": settled(listen(parameters)?)?,
            "upstream": upstream(parameters)?,
            "wrong": wrong(parameters)?,
            "name": parameters.text("name")?.unwrap_or("localhost"),
            "authority": authority,
            "record": file(parameters, "record")?,
            "mark": helper::mark(ground),
        }))
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)
    }

    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
        helper::end(helper::mark_in(plan))?;
        if let Some(file) = plan["authority"].as_str().map(Path::new) {
            match fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FaultError::io(file)(error));
                }
                _ => {}
            }
        }
        let shown = Record::count(ground.folder, ground.id);
        Ok(format!(
            "the certificate is gone; it was shown {shown} times"
        ))
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        hold(&mut Holding::new(self.name(), plan, ground, say))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Own(format!(
            "a proxy at {}",
            plan["listen"].as_str().unwrap_or_default()
        ))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &format!(
                "listen at {} with TLS: {}",
                plan["listen"],
                self.describe(plan).text
            ),
            "end the proxy: nobody listens there any more",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
        let listen = text("listen");
        Cause {
            fault: NAME.into(),
            text: match plan["wrong"].as_str() {
                Some("nothing") => format!("{listen} had a certificate"),
                Some("wrong-name") => format!("the certificate of {listen} had another name"),
                Some("self-signed") => format!("the certificate of {listen} was of nobody known"),
                Some(wrong) => format!(
                    "the certificate of {listen} was {}",
                    wrong.replace('-', " ")
                ),
                None => String::new(),
            },
            target: listen,
        }
    }
}
