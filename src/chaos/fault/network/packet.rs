//! What packets say of themselves: just enough to tell flows apart and to know where the header ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    to: IpAddr,
    protocol: u8,
    /// Bytes of the IP header.
    length: usize,
}

/// Nothing, when it is cut or of neither version. Of IPv6 the first header counts.
fn head(packet: &[u8]) -> Option<Head> {
    let first = *packet.first()?;
    match first >> 4 {
        4 => {
            let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some(Head {
                to: Ipv4Addr::from(to).into(),
                protocol: packet[9],
                length: usize::from(first & 0x0F) * 4,
            })
        }
        6 => {
            let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some(Head {
                to: Ipv6Addr::from(to).into(),
                protocol: packet[6],
                length: 40,
            })
        }
        _ => None,
    }
}

/// The address that a packet goes to.
pub(super) fn target(packet: &[u8]) -> Option<IpAddr> {
    head(packet).map(|head| head.to)
}

/// Address, protocol and port, as far as the packet says.
pub(super) fn flow(packet: &[u8]) -> String {
    let Some(head) = head(packet) else {
        return String::new();
    };
    let port = packet.get(head.length + 2..head.length + 4);
    let port = port.filter(|_| matches!(head.protocol, 6 | 17));
    let port = port.map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
    format!("{} {} {port}", head.to, head.protocol)
}

/// Turns one bit behind the IP header.
pub(super) fn spoil(packet: &mut [u8], drawn: u64) {
    let header = head(packet).map_or(packet.len(), |head| head.length);
    let bits = packet.len().saturating_sub(header) as u64 * 8;
    if bits == 0 {
        return;
    }
    let bit = drawn % bits;
    let place = header + usize::try_from(bit / 8).unwrap_or(0);
    packet[place] ^= 1 << (bit % 8);
}

/// Without what the kernel fills in when a whole packet is given to it: number and sum of IPv4.
pub(super) fn plain(packet: &[u8]) -> Vec<u8> {
    let mut plain = packet.to_vec();
    if plain.first().is_some_and(|first| first >> 4 == 4) && plain.len() >= 12 {
        plain[4..6].fill(0);
        plain[10..12].fill(0);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(version: u8) -> Vec<u8> {
        let mut packet = vec![0; if version == 4 { 20 } else { 40 }];
        if version == 4 {
            (packet[0], packet[9]) = (0x45, 17);
            packet[16..20].copy_from_slice(&[10, 77, 0, 2]);
        } else {
            (packet[0], packet[6]) = (0x60, 17);
            packet[24..40].copy_from_slice(&"fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        }
        packet.extend([0x12, 0x34, 0x23, 0x28, 0, 9, 0, 0, b'x']);
        packet
    }

    #[test]
    fn flows_of_both_versions() {
        assert_eq!(flow(&udp(4)), "10.77.0.2 17 9000");
        assert_eq!(flow(&udp(6)), "fd00::2 17 9000");
        for cut in 0..udp(6).len() {
            let _ = (flow(&udp(6)[..cut]), flow(&udp(4)[..cut.min(29)]));
        }
        assert_eq!(flow(b"nonsense"), "");
    }

    #[test]
    fn one_bit_behind_the_header_is_turned() {
        for version in [4, 6] {
            for drawn in [0, 1, 71, 72, u64::MAX] {
                let (whole, mut spoilt) = (udp(version), udp(version));
                spoil(&mut spoilt, drawn);
                let turned = whole.iter().zip(&spoilt).map(|(a, b)| (a ^ b).count_ones());
                assert_eq!(turned.sum::<u32>(), 1);
                let header = whole.len() - 9;
                assert_eq!(whole[..header], spoilt[..header]);
            }
        }
        spoil(&mut [], 5);
    }
}
