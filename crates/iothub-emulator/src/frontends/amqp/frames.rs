//! Frames out of bytes, and into them (AMQP 1.0, part 2.3, "Framing").

use bytes::Buf;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use fe2o3_amqp_types::performatives::Performative;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frontends::amqp::encoding::length;
use crate::transport::stream::{Source, TransportFault};

/// Bytes of a frame, at most, as clients are told.
pub(crate) const FRAME_MAX_BYTES: u32 = 64 * 1024;
/// What a client must take (AMQP 1.0, part 2.7.1).
pub(crate) const FRAME_MIN_MAX_BYTES: u32 = 512;
const HEADER_BYTES: usize = 8;
const AMQP: u8 = 0;
const SASL: u8 = 1;

/// The layers of a connection, by the first bytes of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Sasl,
    Amqp,
}

impl Layer {
    /// Returns the bytes that ask for it.
    pub(crate) fn header(self) -> [u8; HEADER_BYTES] {
        match self {
            Self::Sasl => *b"AMQP\x03\x01\x00\x00",
            Self::Amqp => *b"AMQP\x00\x01\x00\x00",
        }
    }
}

/// Why there is no next frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// The client is gone, or went in the middle of one.
    Ended,
    /// What came is no frame, or one that is too large.
    Garbage(&'static str),
    /// What came is not of the layer below.
    Transport(TransportFault),
}

/// A frame of the upper layer.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) channel: u16,
    /// Nothing in a frame that only says that its sender lives.
    pub(crate) performative: Option<Performative>,
    /// What follows it: a part of a message.
    pub(crate) payload: Bytes,
}

/// Reads frames. What is lost when reading is given up half-way is nothing.
pub(crate) struct FrameReader {
    source: Source,
    buffer: BytesMut,
    has_heard: bool,
}

impl FrameReader {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, buffer: BytesMut::new(), has_heard: false }
    }

    /// Returns `true` if the client has sent anything.
    pub(crate) fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// Returns the layer that the client asks for; none when there is no such one.
    pub(crate) async fn layer(&mut self) -> Result<Option<Layer>, NoFrame> {
        while self.buffer.len() < HEADER_BYTES {
            self.fill().await?;
        }
        let header = self.buffer.split_to(HEADER_BYTES);
        match header.starts_with(b"AMQP") {
            true => Ok([Layer::Sasl, Layer::Amqp].into_iter().find(|layer| *header == layer.header())),
            false => Err(NoFrame::Garbage("it is no protocol header of AMQP")),
        }
    }

    /// Returns the next frame of the upper layer.
    pub(crate) async fn frame(&mut self) -> Result<Frame, NoFrame> {
        let (channel, body) = self.body(AMQP).await?;
        if body.is_empty() {
            return Ok(Frame { channel, performative: None, payload: Bytes::new() });
        }
        let (performative, payload) = decode(body)?;
        Ok(Frame { channel, performative: Some(performative), payload })
    }

    /// Returns what the next frame of the lower layer says.
    pub(crate) async fn sasl<T: DeserializeOwned>(&mut self) -> Result<T, NoFrame> {
        let (_, body) = self.body(SASL).await?;
        decode(body).map(|(said, _)| said)
    }

    async fn body(&mut self, kind: u8) -> Result<(u16, Bytes), NoFrame> {
        loop {
            if let Some(frame) = take(&mut self.buffer, kind)? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Reads more, whatever it is. Returns `false` at the end.
    #[cfg(test)]
    pub(crate) async fn read_on(&mut self) -> bool {
        self.fill().await.is_ok()
    }

    async fn fill(&mut self) -> Result<(), NoFrame> {
        match self.source.read(&mut self.buffer).await {
            Ok(true) => {
                self.has_heard = true;
                Ok(())
            }
            Ok(false) => Err(NoFrame::Ended),
            Err(fault) => Err(NoFrame::Transport(fault)),
        }
    }
}

/// Takes the channel and the body of a frame from the front of a buffer; none while it is not whole.
fn take(buffer: &mut BytesMut, kind: u8) -> Result<Option<(u16, Bytes)>, NoFrame> {
    let Some([a, b, c, d, offset, found, e, f]) = buffer.first_chunk::<HEADER_BYTES>().copied() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes([a, b, c, d]);
    // In words of four bytes, with the header.
    let offset = usize::from(offset) * 4;
    if size > FRAME_MAX_BYTES {
        return Err(NoFrame::Garbage("a frame has more than 64 KiB"));
    }
    let size = usize::try_from(size).expect("no more than 64 KiB");
    if offset < HEADER_BYTES || size < offset {
        return Err(NoFrame::Garbage("the size and the data offset of a frame do not fit"));
    }
    if found != kind {
        return Err(NoFrame::Garbage("a frame has another type than its layer"));
    }
    if buffer.len() < size {
        return Ok(None);
    }
    let mut frame = buffer.split_to(size).freeze();
    frame.advance(offset);
    Ok(Some((u16::from_be_bytes([e, f]), frame)))
}

fn decode<T: DeserializeOwned>(mut body: Bytes) -> Result<(T, Bytes), NoFrame> {
    const UNREAD: NoFrame = NoFrame::Garbage("a frame has no body that may stand here");
    let length = length(&body).ok_or(UNREAD)?;
    let value = serde_amqp::from_slice(&body.split_to(length)).map_err(|_| UNREAD)?;
    Ok((value, body))
}

/// Appends a frame of the upper layer.
pub(crate) fn write(buffer: &mut BytesMut, channel: u16, performative: &impl Serialize, payload: &[u8]) {
    write_frame(buffer, AMQP, channel, &encode(performative), payload);
}

/// Appends a frame of the lower layer.
pub(crate) fn write_sasl(buffer: &mut BytesMut, says: &impl Serialize) {
    write_frame(buffer, SASL, 0, &encode(says), &[]);
}

/// Appends a frame that says no more than that the hub lives.
pub(crate) fn write_empty(buffer: &mut BytesMut) {
    write_frame(buffer, AMQP, 0, &[], &[]);
}

fn write_frame(buffer: &mut BytesMut, kind: u8, channel: u16, body: &[u8], payload: &[u8]) {
    let size = HEADER_BYTES + body.len() + payload.len();
    buffer.put_u32(u32::try_from(size).expect("nothing that the hub sends in one frame is so large"));
    buffer.put_slice(&[2, kind]);
    buffer.put_u16(channel);
    buffer.put_slice(body);
    buffer.put_slice(payload);
}

/// Writes a value as it goes over the wire.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_amqp::to_vec(value).expect("the types of AMQP can all be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Option<usize>, &str>) {
        match (take(&mut BytesMut::from(bytes), AMQP), expected) {
            (Ok(frame), Ok(expected)) => assert_eq!(frame.map(|(_, body)| body.len()), expected, "{bytes:?}"),
            (Err(NoFrame::Garbage(reason)), Err(expected)) => assert!(reason.contains(expected), "{bytes:?}: {reason}"),
            (other, expected) => panic!("{bytes:?}: {other:?} and not {expected:?}"),
        }
    }

    #[test]
    fn what_is_a_frame() {
        check(&[], Ok(None));
        check(&[0, 0, 0, 8, 2, 0, 0], Ok(None));
        check(&[0, 0, 0, 8, 2, 0, 0, 1], Ok(Some(0)));
        check(&[0, 0, 0, 10, 2, 0, 0, 1, 7], Ok(None));
        check(&[0, 0, 0, 10, 2, 0, 0, 1, 7, 8, 9], Ok(Some(2)));
        check(&[0, 0, 0, 13, 3, 0, 0, 1, 1, 2, 3, 4, 5], Ok(Some(1)));
        check(&[0, 0, 0, 7, 2, 0, 0, 1], Err("data offset"));
        check(&[0, 0, 0, 8, 1, 0, 0, 1], Err("data offset"));
        check(&[0, 0, 0, 8, 3, 0, 0, 1], Err("data offset"));
        check(&[0, 0, 0, 8, 2, 1, 0, 1], Err("another type"));
        check(&[0, 1, 0, 1, 2, 0, 0, 1], Err("64 KiB"));
        check(b"GET / HTTP/1.1\r\n", Err("64 KiB"));
    }
}
