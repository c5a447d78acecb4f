//! How a cluster is reached: addresses, who asks, whom to trust.

use super::told::shown;
use crate::store::StoreError;
use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use std::fmt;
use std::time::Duration;
use url::Url;

/// How to prove who asks.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nobody asks.
    #[default]
    None,
    /// User and password.
    Basic(String, String),
    /// An API key as the cluster gave it: base64 of `id:key`.
    ApiKey(String),
    /// A token.
    Bearer(String),
}

impl fmt::Debug for Auth {
    /// Names the kind and the user, never a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Basic(user, _) => write!(f, "basic {user}"),
            Self::ApiKey(_) => f.write_str("api key"),
            Self::Bearer(_) => f.write_str("bearer"),
        }
    }
}

/// How to reach a cluster.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The nodes' addresses; the next is asked when one does not answer.
    pub urls: Vec<Url>,
    /// How to prove who asks.
    pub auth: Auth,
    /// PEM text of the authorities to trust beside the public ones.
    pub ca: Option<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How often a request is sent again at most.
    pub retries: u32,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            auth: Auth::None,
            ca: None,
            timeout: Duration::from_secs(30),
            retries: 4,
        }
    }
}

/// Makes ready to speak to one address.
pub(super) fn transport(url: &Url, connection: &Connection) -> Result<Transport, StoreError> {
    let pool = SingleNodeConnectionPool::new(url.clone());
    let mut builder = TransportBuilder::new(pool).enable_meta_header(false);
    // A cluster is a neighbour; what the environment says of proxies is not meant for it.
    builder = builder.disable_proxy();
    builder = match &connection.auth {
        Auth::None => builder,
        Auth::Basic(user, password) => {
            builder.auth(Credentials::Basic(user.clone(), password.clone()))
        }
        Auth::ApiKey(key) => builder.auth(Credentials::EncodedApiKey(key.clone())),
        Auth::Bearer(token) => builder.auth(Credentials::Bearer(token.clone())),
    };
    if let Some(pem) = &connection.ca {
        let setup = |e: &dyn fmt::Display| StoreError::Setup(format!("the CA file: {e}"));
        let certificate = Certificate::from_pem(pem.as_bytes()).map_err(|e| setup(&e))?;
        builder = builder.cert_validation(CertificateValidation::Full(certificate));
    }
    let built = builder.build();
    built.map_err(|e| StoreError::Setup(format!("{}: {e}", shown(url))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let auth = Auth::Basic("reader".into(), "hunter2".into());
        assert_eq!(format!("{auth:?}"), "basic reader");
    }
}
