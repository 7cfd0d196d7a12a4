//! Packets out of bytes.

use bytes::BytesMut;
use mqttbytes::v4;
use mqttbytes::v4::Packet;

use crate::frontends::mqtt::rules;
use crate::frontends::mqtt::rules::Violation;
use crate::transport::stream::{Source, TransportFault};

/// Bytes of a message from a device, at most (docs: IoT Hub quotas and throttling).
pub(crate) const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// Bytes of a packet: a message, and a topic of MQTT's longest with what stands before it.
pub(crate) const PACKET_MAX_BYTES: usize = MESSAGE_MAX_BYTES + 64 * 1024 + 16;
/// Bytes of the first packet, from a client that has not said yet who it is. A will may be as long as MQTT has it.
pub(crate) const CONNECT_MAX_BYTES: usize = 80 * 1024;

/// Why there is no next packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoPacket {
    /// The client is gone.
    Ended,
    /// The client is gone, and has sent a part of a packet.
    Torn,
    /// A CONNECT of another version of MQTT.
    Version,
    /// A CONNECT whose password is no text, and so no token.
    Password,
    /// What came is no packet that a client may send.
    Malformed(Violation),
    /// What came is not of the layer below.
    Transport(TransportFault),
}

/// Reads packets.
pub(crate) struct PacketReader {
    source: Source,
    buffer: BytesMut,
}

impl PacketReader {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, buffer: BytesMut::new() }
    }

    /// Returns the next packet, which may have `max` bytes.
    pub(crate) async fn next(&mut self, max: usize) -> Result<Packet, NoPacket> {
        loop {
            if let Some(packet) = take(&mut self.buffer, max)? {
                return Ok(packet);
            }
            match self.source.read(&mut self.buffer).await {
                Ok(true) => {}
                Ok(false) if self.buffer.is_empty() => return Err(NoPacket::Ended),
                Ok(false) => return Err(NoPacket::Torn),
                Err(fault) => return Err(NoPacket::Transport(fault)),
            }
        }
    }
}

/// Takes a packet from the front of a buffer; none while it is not whole.
fn take(buffer: &mut BytesMut, max: usize) -> Result<Option<Packet>, NoPacket> {
    use mqttbytes::Error;
    if has_other_version(buffer) {
        return Err(NoPacket::Version);
    }
    if !rules::check(buffer, max).map_err(NoPacket::Malformed)? {
        return Ok(None);
    }
    match v4::read(buffer, max) {
        Ok(packet) => Ok(Some(packet)),
        // All other texts have been looked at.
        Err(Error::TopicNotUtf8) => Err(NoPacket::Password),
        Err(_) => Err(NoPacket::Malformed("it has no packet's form")),
    }
}

/// Returns `true` if a CONNECT of another version stands at the front of a buffer. What follows its version has another form than
/// 3.1.1 has, so it is looked for before the packet is read.
fn has_other_version(buffer: &[u8]) -> bool {
    const CONNECT: u8 = 0x10;
    let Some((&CONNECT, rest)) = buffer.split_first() else { return false };
    // The rest's length has one to four bytes, all but the last with the highest bit set.
    let Some(last) = rest.iter().take(4).position(|byte| byte & 0x80 == 0) else { return false };
    match &rest[last + 1..] {
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] => *level != 4,
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], expected: Result<bool, &NoPacket>) {
        let taken = take(&mut BytesMut::from(bytes), 128).map(|packet| packet.is_some());
        assert_eq!(taken.as_ref().map(|whole| *whole), expected, "{bytes:?}");
    }

    #[test]
    fn what_is_a_packet() {
        check(&[], Ok(false));
        check(&[0xc0], Ok(false));
        check(&[0xc0, 0], Ok(true));
        check(&[0x30, 5, 0, 3, b'a'], Ok(false));
        for bytes in [&[0x30, 0x81, 0x01][..], &[0x00, 0], b"GET / HTTP/1.1", &[0x30, 3, 0, 9, b'a']] {
            assert!(matches!(take(&mut BytesMut::from(bytes), 128), Err(NoPacket::Malformed(_))), "{bytes:?}");
        }
        // MQTT 5, as its clients send it and cut short.
        check(&[0x10, 8, 0, 4, b'M', b'Q', b'T', b'T', 5, 0], Err(&NoPacket::Version));
        check(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0], Err(&NoPacket::Version));
        check(&[0x10, 0x81, 0x01, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 5, 0x11], Err(&NoPacket::Version));
        check(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T'], Ok(false));
        check(&[0x10, 0x80, 0x80, 0x80], Ok(false));
        check(&[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 3, 2, 0, 60, 0, 0], Err(&NoPacket::Version));
        check(&[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 0x84, 2, 0, 60, 0, 0], Err(&NoPacket::Version));
        check(&[0x10, 14, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 60, 0, 0], Err(&NoPacket::Version));
        let bytes = [&[0x10, 20, 0, 4][..], b"MQTT", &[4, 0xc2, 0, 60, 0, 1, b'd', 0, 1, b'u', 0, 2, 0xff, 0]].concat();
        check(&bytes, Err(&NoPacket::Password));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&*bytes);
            while let Ok(Some(_)) = take(&mut buffer, 128) {}
        }

        /// Whole frames of every type with arbitrary content reach the parsers behind the framing.
        #[test]
        fn no_frame_panics(kind in 0u8..=255, content in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut frame = vec![kind, u8::try_from(content.len()).expect("below 100")];
            frame.extend(content);
            let _ = take(&mut BytesMut::from(&*frame), 128);
        }

        /// CONNECTs whose lengths and flags lie.
        #[test]
        fn no_connect_panics(flags in any::<u8>(), rest in proptest::collection::vec(prop_oneof![Just(0u8), 0u8..6, any::<u8>()], 0..60)) {
            let mut content = vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 60];
            content.extend(rest);
            let mut frame = vec![0x10, u8::try_from(content.len()).expect("below 70")];
            frame.extend(content);
            let _ = take(&mut BytesMut::from(&*frame), 128);
        }
    }
}
