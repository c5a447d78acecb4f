//! What kind of address an address is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anybody's.
    Public,
    /// Of the own network: where that is said.
    Private(&'static str),
    /// No name stands for it in good faith.
    Never(&'static str),
}

use Kind::{Never, Private, Public};

/// Addresses of cloud machines' own data and secrets that lie outside the link-local range.
const METADATA: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

pub(super) fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind4(address),
        IpAddr::V6(address) => kind6(address),
    }
}

fn kind4(address: Ipv4Addr) -> Kind {
    if METADATA.contains(&address) {
        return Never("a metadata address of a cloud");
    }
    match address.octets() {
        [0, ..] => Never("unspecified"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Private("private"),
        [127, ..] => Private("loopback"),
        [100, 64..=127, ..] => Private("shared by a provider's customers"),
        [198, 18..=19, ..] => Private("for benchmarks"),
        [169, 254, ..] => Never("link-local"),
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Never("reserved")
        }
        [224..=239, ..] => Never("multicast"),
        [240..=255, ..] => Never("reserved"),
        _ => Public,
    }
}

fn kind6(address: Ipv6Addr) -> Kind {
    if address == METADATA_6 {
        return Never("a metadata address of a cloud");
    }
    let parts = address.segments();
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0] => Never("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Private("loopback"),
        // Mapped, the older compatible form, translated (SIIT), and NAT64: the one inside counts.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4.
        | [0x2002, high, low, ..] => kind4(inner(high, low)),
        [0x64, 0xff9b, 1, ..] => Private("behind a local NAT64"),
        [0x2001, 0, ..] => Never("a tunnel's (Teredo)"),
        [0x2001, 0xdb8, ..] | [0x100, 0, 0, 0, ..] => Never("reserved"),
        [0xfc00..=0xfdff, ..] => Private("unique-local"),
        [0xfe80..=0xfebf, ..] => Never("link-local"),
        [0xfec0..=0xfeff, ..] => Private("site-local"),
        [0xff00..=0xffff, ..] => Never("multicast"),
        _ => Public,
    }
}

fn inner(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_is_known() {
        let private = [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "127.0.0.1",
            "127.9.9.9",
            "100.64.0.1",
            "198.18.0.1",
            "::1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "::ffff:0:192.168.0.1",
        ];
        for text in private {
            let kind = kind(text.parse().unwrap());
            assert!(matches!(kind, Private(_)), "{text}: {kind:?}");
        }
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:0.0.0.0",
        ];
        for text in never {
            let kind = kind(text.parse().unwrap());
            assert!(matches!(kind, Never(_)), "{text}: {kind:?}");
        }
        let public = [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "2606:4700::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ];
        for text in public {
            assert_eq!(kind(text.parse().unwrap()), Public, "{text}");
        }
    }
}
