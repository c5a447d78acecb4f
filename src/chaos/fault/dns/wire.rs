//! As much of DNS as has to be known to answer wrongly.

use std::net::Ipv4Addr;

/// A question, as a resolver asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// In small letters, without the last dot.
    pub(super) name: String,
    pub(super) kind: u16,
    /// Where the question ends in the packet.
    end: usize,
}

/// The type of an IPv4 address.
pub(super) const A: u16 = 1;

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server could not find out: SERVFAIL.
    Failure,
    /// There is no such name: NXDOMAIN.
    NoName,
    /// The server does not want to: REFUSED.
    Refused,
    /// An address; none for questions after anything else.
    Address(Ipv4Addr),
}

impl Question {
    /// The first question of a packet; nothing when it is no question.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let flags = *packet.get(2)?;
        let count = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
        if flags & 0x80 != 0 || count == 0 {
            return None;
        }
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*packet.get(at)?);
            at += 1;
            match length {
                0 => break,
                // Nothing comes before the first name that it could point to.
                64.. => return None,
                _ => {
                    let label = packet.get(at..at + length)?;
                    labels.push(String::from_utf8_lossy(label).to_lowercase());
                    at += length;
                }
            }
        }
        let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
        let end = at + 4;
        (packet.len() >= end).then(|| Self {
            name: labels.join("."),
            kind,
            end,
        })
    }

    /// The answer to it.
    pub(super) fn answer(&self, packet: &[u8], answer: Answer) -> Vec<u8> {
        let code = match answer {
            Answer::Failure => 2,
            Answer::NoName => 3,
            Answer::Refused => 5,
            Answer::Address(_) => 0,
        };
        let address = match answer {
            Answer::Address(address) if self.kind == A => Some(address),
            _ => None,
        };
        let mut out = packet[..self.end].to_vec();
        // An answer; recursion is there; nothing of what may have been behind the question.
        out[2] = 0x80 | (packet[2] & 0x79);
        out[3] = 0x80 | code;
        out[4..12].copy_from_slice(&[0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
        if let Some(address) = address {
            // The name of the question, its type and class, a time to live of one second, four bytes.
            out.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            out.extend_from_slice(&address.octets());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &[u8] = b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x02Db\x04test\0\0\x01\0\x01EDNS";

    #[test]
    fn a_question_and_its_answers() {
        let question = Question::read(ASKED).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("db.test", A));
        let answer = question.answer(ASKED, Answer::Address(Ipv4Addr::new(10, 1, 2, 3)));
        assert_eq!(&answer[..12], b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0");
        assert!(answer.ends_with(&[0, 4, 10, 1, 2, 3]));
        let answer = question.answer(ASKED, Answer::NoName);
        assert_eq!((answer[3], answer[7]), (0x83, 0));
    }

    #[test]
    fn what_is_no_question_is_none() {
        for end in 0..ASKED.len() - 4 {
            assert_eq!(Question::read(&ASKED[..end]), None, "cut at {end}");
        }
        let mut answer = ASKED.to_vec();
        answer[2] |= 0x80;
        assert_eq!(Question::read(&answer), None);
        let pointing = b"\0\0\0\0\0\x01\0\0\0\0\0\0\xC0\x0C\0\x01\0\x01";
        assert_eq!(Question::read(pointing), None);
    }
}
