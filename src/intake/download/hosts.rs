//! Whom a download may ask: names and addresses that are listed, and no others.
//!
//! Addresses of logs come from outside. Without this guard whoever can report a build could have this
//! process read what only it can reach.

use super::address::{Kind, kind};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;
use url::{Host, Url};

/// One entry of a list of hosts: `logs.example.org`, `*.example.org` (all names below it), `10.0.0.5`
/// or `[::1]`. Behind it may stand `:PORT`, or `:*` for any; without, it is the scheme's own port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: Pattern,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Below(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// 80 for http, 443 for https.
    Own,
    Any,
    Is(u16),
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no host: write logs.example.org, *.example.org, 10.0.0.5 or [::1], with :PORT behind it if need be"
            )
        };
        let (host, port) = split_port(text).ok_or_else(wrong)?;
        let host = match host.strip_prefix("*.") {
            Some(rest) => match Host::parse(rest).map_err(|_| wrong())? {
                Host::Domain(name) => Pattern::Below(bare(&name)),
                Host::Ipv4(_) | Host::Ipv6(_) => return Err(wrong()),
            },
            None if host.contains('*') => return Err(wrong()),
            None => match Host::parse(host).map_err(|_| wrong())? {
                Host::Domain(name) => Pattern::Name(bare(&name)),
                Host::Ipv4(address) => Pattern::Address(address.into()),
                Host::Ipv6(address) => Pattern::Address(address.into()),
            },
        };
        Ok(Self { host, port })
    }
}

fn split_port(text: &str) -> Option<(&str, Port)> {
    let after = text.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = text[after..].find(':') else {
        return Some((text, Port::Own));
    };
    let (host, port) = (&text[..after + colon], &text[after + colon + 1..]);
    let port = match port {
        "*" => Port::Any,
        digits => Port::Is(digits.parse().ok()?),
    };
    Some((host, port))
}

/// Without the dot that may end a name.
fn bare(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl HostPattern {
    /// The host of an address that somebody typed, at any port.
    pub fn of(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => Pattern::Name(bare(name)),
            Host::Ipv4(address) => Pattern::Address(address.into()),
            Host::Ipv6(address) => Pattern::Address(address.into()),
        };
        let port = Port::Any;
        Some(Self { host, port })
    }

    fn takes(&self, url: &Url) -> bool {
        self.takes_port(url) && self.takes_host(url)
    }

    fn takes_port(&self, url: &Url) -> bool {
        match self.port {
            Port::Any => true,
            // The parser drops a port that is the scheme's own.
            Port::Own => url.port().is_none(),
            Port::Is(port) => url.port_or_known_default() == Some(port),
        }
    }

    fn takes_host(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(name)) => self.takes_name(name),
            Some(Host::Ipv4(address)) => self.host == Pattern::Address(address.into()),
            Some(Host::Ipv6(address)) => self.host == Pattern::Address(address.into()),
            None => false,
        }
    }

    fn takes_name(&self, name: &str) -> bool {
        let name = bare(name);
        match &self.host {
            Pattern::Name(own) => *own == name,
            Pattern::Below(parent) => name
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            Pattern::Address(_) => false,
        }
    }
}

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was refused, without what may be secret in an address.
    pub what: String,
    /// Why, and what would allow it.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: refused: {}", self.what, self.why)
    }
}

impl std::error::Error for Refusal {}

/// How the addresses of a name are found.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Whom downloads may ask.
#[derive(Clone)]
pub struct Hosts {
    /// May be asked at public addresses; an address that is listed itself may be any.
    pub public: Vec<HostPattern>,
    /// May be asked wherever they are: names of servers in the own network.
    pub private: Vec<HostPattern>,
    /// True when every public address may be asked.
    pub anywhere: bool,
    /// How names are resolved; the system does it when nothing else is said.
    pub lookup: Option<Lookup>,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts")
            .field("public", &self.public)
            .field("private", &self.private)
            .field("anywhere", &self.anywhere)
            .finish_non_exhaustive()
    }
}

impl Hosts {
    /// Only those that are listed.
    pub fn listed(public: Vec<HostPattern>, private: Vec<HostPattern>) -> Self {
        Self {
            public,
            private,
            anywhere: false,
            lookup: None,
        }
    }

    /// Every public address, and the hosts of addresses that the user typed.
    pub fn typed<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Self {
        Self {
            public: Vec::new(),
            private: urls.into_iter().filter_map(HostPattern::of).collect(),
            anywhere: true,
            lookup: None,
        }
    }

    /// Looks at an address before a connection is made; what its name stands for is looked at when
    /// the connection is made.
    pub fn check(&self, url: &Url) -> Result<(), Refusal> {
        let refused = |why: String| {
            let what = shown(url);
            Err(Refusal { what, why })
        };
        if !matches!(url.scheme(), "http" | "https") {
            return refused("only http and https are asked".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("a user or password in an address is not taken".into());
        }
        let listed = self.public.iter().chain(&self.private);
        let listed = listed.into_iter().any(|pattern| pattern.takes(url));
        if listed {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        if !self.anywhere {
            let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
            return refused(format!(
                "`{host}{port}` is not listed; add it to `download.hosts` to allow it"
            ));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.address(host, address)
    }

    /// Looks at an address that a name stands for.
    fn address(&self, name: &str, address: IpAddr) -> Result<(), Refusal> {
        let known = self.private.iter().any(|pattern| pattern.takes_name(name));
        let (what, may) = match kind(address) {
            Kind::Public => return Ok(()),
            Kind::Private(_) if known => return Ok(()),
            Kind::Private(what) => (what, true),
            Kind::Never(what) => (what, false),
        };
        let remedy = match (self.anywhere, may) {
            (true, _) => "a redirect must not lead there",
            (false, true) => "add the name to `download.private-hosts` to allow it",
            (false, false) => {
                "only an address that is listed itself in `download.hosts` is asked there"
            }
        };
        Err(Refusal {
            what: name.to_owned(),
            why: format!("its address {address} is {what}; {remedy}"),
        })
    }

    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Some(lookup) = &self.lookup {
            return lookup(name);
        }
        let found = (name, 0).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    }

    fn resolve(
        &self,
        name: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let mut refused = None;
        let mut good = Vec::new();
        for address in self.lookup(name)? {
            match self.address(name, address) {
                Ok(()) => good.push(SocketAddr::new(address, 0)),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            Some(refusal) if good.is_empty() => Err(refusal.into()),
            None if good.is_empty() => Err("the name has no address".into()),
            _ => Ok(good),
        }
    }
}

/// Resolves names for the client: the connection goes to an address that was looked at, whatever the
/// name stands for a moment later.
#[derive(Debug, Clone)]
pub(super) struct Resolver(pub(super) Arc<Hosts>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let hosts = Arc::clone(&self.0);
        Box::pin(async move {
            let looked = tokio::task::spawn_blocking(move || hosts.resolve(name.as_str()));
            let addresses: Addrs = Box::new(looked.await??.into_iter());
            Ok(addresses)
        })
    }
}

/// An address without query and user, which may hold secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only addresses that cannot have them refuse.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(public: &[&str], private: &[&str]) -> Hosts {
        let read = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Hosts::listed(read(public), read(private))
    }

    fn check(hosts: &Hosts, url: &str) -> Result<(), String> {
        let url = Url::parse(url).unwrap();
        hosts.check(&url).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn only_what_is_listed_is_asked() {
        let list = hosts(
            &["logs.example.org", "*.example.com", "x.net:8080", "y.net:*"],
            &[],
        );
        let good = [
            "http://logs.example.org/a",
            "https://logs.example.org/a",
            "https://LOGS.example.org./a",
            "https://logs.example.org:443/a",
            "https://a.b.example.com/",
            "http://x.net:8080/",
            "http://y.net:99/",
        ];
        for url in good {
            assert_eq!(check(&list, url), Ok(()), "{url}");
        }
        let bad = [
            "http://logs.example.org:8080/",
            "http://xlogs.example.org/",
            "http://logs.example.org.evil.net/",
            "http://example.com/",
            "http://evilexample.com/",
            "http://x.net/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "ftp://logs.example.org/",
            "file:///etc/passwd",
            "http://u@logs.example.org/",
            "http://u:p@logs.example.org/",
            "http://logs.example.org@evil.net/",
        ];
        for url in bad {
            assert!(check(&list, url).is_err(), "{url}");
        }
        assert_eq!(
            check(&list, "http://evil.net:81/a?token=s"),
            Err("http://evil.net:81/a: refused: `evil.net:81` is not listed; add it to `download.hosts` to allow it".into())
        );
    }

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        let list = hosts(&["127.0.0.1", "[::1]:80"], &[]);
        for url in [
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://[0:0::1]:80/",
        ] {
            assert_eq!(check(&list, url), Ok(()), "{url}");
        }
        assert!(check(&list, "http://[::ffff:127.0.0.1]/").is_err());
    }

    #[test]
    fn a_name_may_stand_for_a_private_address_only_when_that_is_said() {
        let list = hosts(&["a.org", "*.b.org"], &["c.org"]);
        let at = |name: &str, address: &str| list.address(name, address.parse().unwrap());
        assert_eq!(at("a.org", "93.184.216.34"), Ok(()));
        assert_eq!(at("c.org", "10.0.0.1"), Ok(()));
        assert_eq!(at("C.org.", "127.0.0.1"), Ok(()));
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "::1",
            "fd00::1",
            "::ffff:192.168.0.1",
        ] {
            let refusal = at("a.org", address).unwrap_err().to_string();
            assert!(refusal.contains("download.private-hosts"), "{refusal}");
            assert!(at("x.b.org", address).is_err());
        }
        for address in ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "::"] {
            let refusal = at("c.org", address).unwrap_err().to_string();
            assert!(refusal.contains("download.hosts"), "{refusal}");
        }
    }

    #[test]
    fn what_the_user_typed_may_be_anywhere_and_nothing_else() {
        let typed = Url::parse("http://10.0.0.7:81/x").unwrap();
        let list = Hosts::typed([&typed]);
        assert_eq!(check(&list, "http://10.0.0.7:82/y"), Ok(()));
        assert_eq!(check(&list, "https://example.org/"), Ok(()));
        assert!(
            check(&list, "http://10.0.0.8/")
                .unwrap_err()
                .contains("a redirect must not")
        );
        assert!(check(&list, "http://[::ffff:169.254.169.254]/").is_err());
    }

    #[test]
    fn what_is_no_host_is_said() {
        for bad in [
            "",
            "*",
            "*.",
            "a*.org",
            "*.1.2.3.4",
            "a b",
            "http://a/",
            "a:x",
            "a:99999",
            "::1",
            "10.0.0.0/8",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }
}
