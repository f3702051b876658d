//! In: one captured packet. Out: the payload of the UDP datagram in it, cut to what was captured. Pure; bounded by the packet.

use pcap_parser::Linktype;

/// Why a packet holds no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotUdp {
    Foreign,
    /// A datagram sent in pieces. Feeds do not: theirs fit an Ethernet frame.
    Fragment,
}

const ETHERNET_IPV4: u16 = 0x0800;
const ETHERNET_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad and the older double tag.
const ETHERNET_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const PROTOCOL_UDP: u8 = 17;

pub(super) fn payload(link: Linktype, packet: &[u8]) -> Result<&[u8], NotUdp> {
    udp(network(link, packet).ok_or(NotUdp::Foreign)?)
}

/// The IP packet in a frame.
fn network(link: Linktype, frame: &[u8]) -> Option<&[u8]> {
    match link {
        Linktype::ETHERNET => {
            let mut kind_at = 12;
            // At most two tags are nested.
            for _ in 0..2 {
                if ETHERNET_VLAN.contains(&u16_at(frame, kind_at)?) {
                    kind_at += 4;
                }
            }
            is_ip(u16_at(frame, kind_at)?).then(|| frame.get(kind_at + 2..)).flatten()
        }
        Linktype::LINUX_SLL => is_ip(u16_at(frame, 14)?).then(|| frame.get(16..)).flatten(),
        Linktype::LINUX_SLL2 => is_ip(u16_at(frame, 0)?).then(|| frame.get(20..)).flatten(),
        Linktype::NULL | Linktype::LOOP => frame.get(4..),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => Some(frame),
        _ => None,
    }
}

fn is_ip(kind: u16) -> bool {
    kind == ETHERNET_IPV4 || kind == ETHERNET_IPV6
}

fn udp(packet: &[u8]) -> Result<&[u8], NotUdp> {
    let version = packet.first().ok_or(NotUdp::Foreign)? >> 4;
    let (protocol, header) = match version {
        4 => {
            // More fragments to come, or not the first one.
            if u16_at(packet, 6).ok_or(NotUdp::Foreign)? & 0x3fff != 0 {
                return Err(NotUdp::Fragment);
            }
            (packet.get(9), usize::from(packet[0] & 15) * 4)
        }
        6 => (packet.get(6), 40),
        _ => return Err(NotUdp::Foreign),
    };
    if protocol != Some(&PROTOCOL_UDP) {
        return Err(NotUdp::Foreign);
    }
    let datagram = packet.get(header..).ok_or(NotUdp::Foreign)?;
    let length = usize::from(u16_at(datagram, 4).ok_or(NotUdp::Foreign)?);
    // Behind the datagram may lie padding of the frame; and a capture may have been cut short.
    let end = length.clamp(8, datagram.len().max(8));
    datagram.get(8..end.min(datagram.len())).ok_or(NotUdp::Foreign)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(protocol: u8, fragment: u16, udp_length: u16, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0];
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        packet.extend([0, 1, 0, 2]);
        packet.extend(udp_length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(body);
        packet
    }

    fn framed(header: &[u8], packet: &[u8]) -> Vec<u8> {
        [header, packet].concat()
    }

    #[test]
    fn finds_the_payload_behind_every_header() {
        let packet = ip(17, 0x4000, 11, b"abc");
        let ethernet = |kinds: &[u8]| framed(&[&[0; 12], kinds].concat(), &packet);
        for (link, frame) in [
            (Linktype::ETHERNET, ethernet(&[8, 0])),
            (Linktype::ETHERNET, ethernet(&[0x81, 0, 0, 7, 8, 0])),
            (Linktype::ETHERNET, ethernet(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 7, 8, 0])),
            (Linktype::RAW, packet.clone()),
            (Linktype::LINUX_SLL, framed(&[[0; 14].as_slice(), &[8, 0]].concat(), &packet)),
            (Linktype::LINUX_SLL2, framed(&[&[8, 0], [0; 18].as_slice()].concat(), &packet)),
            (Linktype::NULL, framed(&[2, 0, 0, 0], &packet)),
        ] {
            assert_eq!(payload(link, &frame), Ok(&b"abc"[..]), "{link:?}");
            // Padding of the frame is no payload.
            assert_eq!(payload(link, &framed(&frame, &[0; 9])), Ok(&b"abc"[..]), "{link:?}");
        }
        let cut = &packet[..packet.len() - 2];
        assert_eq!(payload(Linktype::RAW, cut), Ok(&b"a"[..]));
    }

    #[test]
    fn refuses_what_is_no_whole_datagram() {
        assert_eq!(payload(Linktype::RAW, &ip(6, 0, 11, b"abc")), Err(NotUdp::Foreign));
        assert_eq!(payload(Linktype::RAW, &ip(17, 0x2000, 11, b"abc")), Err(NotUdp::Fragment));
        assert_eq!(payload(Linktype::RAW, &ip(17, 0x0001, 11, b"abc")), Err(NotUdp::Fragment));
        assert_eq!(payload(Linktype::ETHERNET, &framed(&[&[0; 12][..], &[8, 6]].concat(), b"arp")), Err(NotUdp::Foreign));
        let whole = framed(&[&[0; 12][..], &[8, 0]].concat(), &ip(17, 0, 11, b"abc"));
        for length in 0..whole.len() {
            let cut = payload(Linktype::ETHERNET, &whole[..length]);
            assert!(cut.is_err() || b"abc".starts_with(cut.unwrap_or_default()), "{length}");
        }
    }
}
