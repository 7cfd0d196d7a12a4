//! The rules of MQTT 3.1.1 for one packet, checked on its bytes before it is decoded: the decoder accepts much after which a server must
//! close the connection (part 4.8). The numbers in brackets are those of the specification's statements.

/// Which rule a packet breaks.
pub(crate) type Violation = &'static str;

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const SUBACK: u8 = 9;
const UNSUBSCRIBE: u8 = 10;
const UNSUBACK: u8 = 11;
const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;

/// Checks the packet at the front of a buffer. Returns `true` if the packet is whole, and `false` if more bytes are needed. Its content
/// may have `max` bytes. What the first bytes show is checked before the rest is there.
pub(crate) fn check(buffer: &[u8], max: usize) -> Result<bool, Violation> {
    let Some((&first, rest)) = buffer.split_first() else { return Ok(false) };
    check_first_byte(first)?;
    let Some((length, content)) = remaining_length(rest)? else { return Ok(false) };
    if length > max {
        return Err("the packet is larger than the hub takes");
    }
    match content.get(..length) {
        Some(content) => check_content(first, Fields(content)).map(|()| true),
        None => Ok(false),
    }
}

/// Checks the type and the flags [MQTT-2.2.2-1, MQTT-2.2.2-2].
fn check_first_byte(first: u8) -> Result<(), Violation> {
    let wanted = match first >> 4 {
        PUBLISH => {
            return match (qos_of(first), first & 0b1000 != 0) {
                (3, _) => Err("a PUBLISH has QoS 3 [MQTT-3.3.1-4]"),
                (0, true) => Err("a PUBLISH at QoS 0 is marked as a duplicate [MQTT-3.3.1-2]"),
                _ => Ok(()),
            };
        }
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => 0b0010,
        CONNECT | PUBACK | PUBREC | PUBCOMP | PINGREQ | DISCONNECT => 0,
        CONNACK | SUBACK | UNSUBACK | PINGRESP => return Err("only servers send packets of this type"),
        _ => return Err("the first byte has a packet type that is reserved"),
    };
    match first & 0x0f == wanted {
        true => Ok(()),
        false => {
            Err("the reserved flags of the first byte have other values than the packet type needs [MQTT-2.2.2-2]")
        }
    }
}

fn qos_of(first: u8) -> u8 {
    (first >> 1) & 0b11
}

/// Reads the length of a packet's content. Returns the length and what follows it; `None` if the length is not whole.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, Violation> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((length, &bytes[at + 1..])));
        }
    }
    match bytes.len() < 4 {
        true => Ok(None),
        false => Err("the remaining length has more than four bytes"),
    }
}

fn check_content(first: u8, mut fields: Fields<'_>) -> Result<(), Violation> {
    match first >> 4 {
        CONNECT => check_connect(&mut fields)?,
        PUBLISH => {
            check_topic(fields.text()?)?;
            if qos_of(first) > 0 {
                fields.packet_id()?;
            }
            // All the rest is the message.
            return Ok(());
        }
        PUBACK | PUBREC | PUBREL | PUBCOMP => fields.packet_id()?,
        SUBSCRIBE => {
            fields.packet_id()?;
            fields.filters(|fields| match fields.byte()? {
                0..=2 => Ok(()),
                _ => Err("a SUBSCRIBE asks for another QoS than 0, 1 or 2 [MQTT-3.8.3-4]"),
            })?;
        }
        UNSUBSCRIBE => {
            fields.packet_id()?;
            fields.filters(|_| Ok(()))?;
        }
        // PINGREQ and DISCONNECT have no content.
        _ => {}
    }
    match fields.0.is_empty() {
        true => Ok(()),
        false => Err("bytes follow the end of the packet's content"),
    }
}

fn check_connect(fields: &mut Fields<'_>) -> Result<(), Violation> {
    // Other versions are answered before this.
    if fields.data()? != b"MQTT" {
        return Err("the protocol name of the CONNECT is not `MQTT` [MQTT-3.1.2-1]");
    }
    let (_level, flags) = (fields.byte()?, fields.byte()?);
    let has = |flag: u8| flags & flag != 0;
    if has(0b0000_0001) {
        return Err("the reserved flag of the CONNECT is set [MQTT-3.1.2-3]");
    }
    let _keep_alive = fields.number()?;
    let _client_id = fields.text()?;
    match (has(0b0000_0100), (flags >> 3) & 0b11) {
        (true, 3) => return Err("the will of the CONNECT has QoS 3 [MQTT-3.1.2-14]"),
        (true, _) => {
            check_topic(fields.text()?)?;
            let _message = fields.data()?;
        }
        (false, 0) if !has(0b0010_0000) => {}
        (false, _) => return Err("the CONNECT has flags of a will but no will [MQTT-3.1.2-13, MQTT-3.1.2-15]"),
    }
    let (has_user_name, has_password) = (has(0b1000_0000), has(0b0100_0000));
    if has_password && !has_user_name {
        return Err("the CONNECT has a password but no user name [MQTT-3.1.2-22]");
    }
    if has_user_name {
        let _user_name = fields.text()?;
    }
    if has_password {
        let _password = fields.data()?;
    }
    Ok(())
}

/// Checks the topic of a message, or of a will.
fn check_topic(topic: &str) -> Result<(), Violation> {
    match topic {
        "" => Err("a topic is empty [MQTT-4.7.3-1]"),
        topic if levels(topic).any(|level| level.contains(['#', '+'])) => {
            Err("the topic of a message has a wildcard, `#` or `+` [MQTT-3.3.2-2]")
        }
        _ => Ok(()),
    }
}

fn check_filter(filter: &str) -> Result<(), Violation> {
    if filter.is_empty() {
        return Err("a topic filter is empty [MQTT-4.7.3-1]");
    }
    let mut levels = levels(filter).peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        let is_wildcard = level == "+" || level == "#" && is_last;
        if level.contains(['#', '+']) && !is_wildcard {
            return Err(
                "a wildcard in a topic filter is no level of its own, or `#` is not the last one [MQTT-4.7.1-2, MQTT-4.7.1-3]",
            );
        }
    }
    Ok(())
}

/// Returns the levels of a topic or filter, without the ids of a device and a module: these may have `#` and `+`.
fn levels(topic: &str) -> impl Iterator<Item = &str> {
    let is_of_device = topic.starts_with("devices/");
    let is_of_module = is_of_device && topic.split('/').nth(2) == Some("modules");
    // `devices/+/…` is a filter of all devices, and `#` ends one.
    let is_id = move |(at, level): &(usize, &str)| {
        (*at == 1 && is_of_device || *at == 3 && is_of_module) && !matches!(*level, "#" | "+")
    };
    topic.split('/').enumerate().filter(move |level| !is_id(level)).map(|(_, level)| level)
}

/// What is left of a packet's content.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("the packet ends before its content does")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Violation> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u16, Violation> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// Takes bytes that have their length in front.
    fn data(&mut self) -> Result<&'a [u8], Violation> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// Takes a text [MQTT-1.5.3-1, MQTT-1.5.3-2].
    fn text(&mut self) -> Result<&'a str, Violation> {
        match str::from_utf8(self.data()?) {
            Ok(text) if text.contains('\0') => Err("a text has U+0000 in it [MQTT-1.5.3-2]"),
            Ok(text) => Ok(text),
            Err(_) => Err("a text is not UTF-8 [MQTT-1.5.3-1]"),
        }
    }

    fn packet_id(&mut self) -> Result<(), Violation> {
        match self.number()? {
            0 => Err("the packet identifier is 0 [MQTT-2.3.1-1]"),
            _ => Ok(()),
        }
    }

    /// Takes one topic filter or more, and what follows each.
    fn filters(&mut self, mut after: impl FnMut(&mut Self) -> Result<(), Violation>) -> Result<(), Violation> {
        if self.0.is_empty() {
            return Err("there is no topic filter [MQTT-3.8.3-3, MQTT-3.10.3-2]");
        }
        while !self.0.is_empty() {
            check_filter(self.text()?)?;
            after(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a packet of this first byte and content.
    fn packet(first: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        [&[first, u8::try_from(content.len()).expect("a short one")][..], &content].concat()
    }

    fn connect(flags: u8, payload: &[&[u8]]) -> Vec<u8> {
        packet(0x10, &[b"\0\x04MQTT\x04", &[flags], b"\0\x3c", &payload.concat()])
    }

    const ID: &[u8] = b"\0\x01d";
    const NAME: &[u8] = b"\0\x02me";
    const WORD: &[u8] = b"\0\x02\xff\0";
    const TOPIC: &[u8] = b"\0\x03a/b";
    const SEVEN: &[u8] = b"\0\x07";

    #[test]
    fn packets_of_a_client() {
        for packet in [
            connect(0b0000_0010, &[ID]),
            connect(0b0000_0000, &[b"\0\0"]),
            connect(0b1000_0000, &[ID, NAME]),
            // A password is bytes, and no text.
            connect(0b1100_0000, &[ID, NAME, WORD]),
            connect(0b1110_1100, &[ID, TOPIC, WORD, NAME, WORD]),
            connect(0b1100_0000, &[ID, b"\0\0", b"\0\0"]),
            packet(0x30, &[TOPIC, b"message"]),
            packet(0x31, &[TOPIC]),
            packet(0x32, &[TOPIC, SEVEN, b"message"]),
            packet(0x3d, &[TOPIC, SEVEN]),
            packet(0x40, &[SEVEN]),
            packet(0x50, &[SEVEN]),
            packet(0x62, &[SEVEN]),
            packet(0x70, &[SEVEN]),
            packet(0x82, &[SEVEN, TOPIC, &[0], b"\0\x01#", &[1], b"\0\x05a/+/#", &[2], b"\0\x03+/b", &[0]]),
            packet(0xa2, &[SEVEN, TOPIC, TOPIC]),
            packet(0xc0, &[]),
            packet(0xe0, &[]),
        ] {
            assert_eq!(check(&packet, 128), Ok(true), "{packet:x?}");
            for end in 0..packet.len() {
                assert_eq!(check(&packet[..end], 128), Ok(false), "{:x?}", &packet[..end]);
            }
        }
    }

    #[test]
    fn what_breaks_a_rule() {
        let of_flags = (0x00..=0xff_u8).filter(|first| {
            let is_publish = first >> 4 == PUBLISH && !matches!(first & 0x0f, 0x6 | 0x7 | 0x8 | 0x9 | 0xe | 0xf);
            !is_publish && !matches!(first, 0x10 | 0x40 | 0x50 | 0x62 | 0x70 | 0x82 | 0xa2 | 0xc0 | 0xe0)
        });
        for first in of_flags {
            assert!(check(&[first], 128).is_err(), "{first:x}");
        }
        let check = |bytes: &[u8], reason: &str| match check(bytes, 128) {
            Err(violation) => assert!(violation.contains(reason), "{bytes:x?}: {violation}"),
            other => panic!("{reason}: {bytes:x?} is {other:?}"),
        };
        let nul: &[u8] = b"\0\x03a\0b";
        let surrogate: &[u8] = b"\0\x03\xed\xa0\x80";
        let overlong: &[u8] = b"\0\x02\xc0\x80";
        check(&[0x30, 0x80, 0x80, 0x80, 0x80], "four bytes");
        check(&[0x30, 0x81, 0x01], "larger");
        check(&packet(0x10, &[b"\0\x04mqtt\x04\x02\0\x3c", ID]), "protocol name");
        check(&packet(0x10, &[b"\0\0\x04\x02\0\x3c", ID]), "protocol name");
        check(&packet(0x10, &[]), "ends before");
        check(&connect(0b0000_0011, &[ID]), "reserved flag");
        check(&connect(0b0000_1010, &[ID]), "no will");
        check(&connect(0b0010_0010, &[ID]), "no will");
        check(&connect(0b0001_1110, &[ID, TOPIC, WORD]), "will of the CONNECT has QoS 3");
        check(&connect(0b0000_0110, &[ID, TOPIC]), "ends before");
        check(&connect(0b0000_0110, &[ID, b"\0\x01#", WORD]), "wildcard");
        check(&connect(0b0000_0110, &[ID, nul, WORD]), "U+0000");
        check(&connect(0b0100_0010, &[ID, WORD]), "no user name");
        check(&connect(0b1100_0010, &[ID, NAME]), "ends before");
        check(&connect(0b0000_0010, &[ID, b"x"]), "bytes follow");
        check(&connect(0b1100_0010, &[ID, NAME, WORD, b"x"]), "bytes follow");
        for text in [nul, surrogate, overlong, b"\0\x01\xff"] {
            let reason = if text == nul { "U+0000" } else { "not UTF-8" };
            check(&connect(0b0000_0010, &[text]), reason);
            check(&connect(0b1000_0010, &[ID, text]), reason);
            check(&packet(0x30, &[text]), reason);
            check(&packet(0x82, &[SEVEN, text, &[0]]), reason);
            check(&packet(0xa2, &[SEVEN, text]), reason);
        }
        for topic in [&b"\0\x01#"[..], b"\0\x01+", b"\0\x03a+b", b"\0\x03a/#"] {
            check(&packet(0x30, &[topic]), "wildcard");
        }
        check(&packet(0x30, &[b"\0\0", b"message"]), "topic is empty");
        for (topic, is_taken) in [
            ("devices/a#b/messages/events/", true),
            ("devices/+/modules/#x/messages/events/", false),
            ("devices/a+/modules/#x/messages/events/", true),
            ("devices/a/messages/events/a=#", false),
            ("devices/a/modules/b/modules/c#", false),
            ("devices", true),
            ("devices/#", false),
        ] {
            assert_eq!(check_topic(topic).is_ok(), is_taken, "{topic}");
        }
        for (filter, is_taken) in [
            ("devices/a#b/messages/devicebound/#", true),
            ("devices/a+/modules/#/#", false),
            ("devices/a+/modules/#x/#", true),
            ("devices/+/messages/devicebound/#", true),
            ("devices/a/messages/a#", false),
            ("devices/a/me+/x", false),
            ("#", true),
            ("+/+/#", true),
            ("devices/#", true),
            ("devices/#/messages", false),
        ] {
            assert_eq!(check_filter(filter).is_ok(), is_taken, "{filter}");
        }
        check(&packet(0x30, &[b"\0\x09a"]), "ends before");
        check(&packet(0x30, &[]), "ends before");
        check(&packet(0x32, &[TOPIC, b"\0\0", b"message"]), "identifier is 0");
        check(&packet(0x32, &[TOPIC]), "ends before");
        for first in [0x40, 0x50, 0x62, 0x70] {
            check(&packet(first, &[b"\0\0"]), "identifier is 0");
            check(&packet(first, &[SEVEN, b"x"]), "bytes follow");
            check(&packet(first, &[]), "ends before");
        }
        for (first, after) in [(0x82, &[0][..]), (0xa2, &[])] {
            check(&packet(first, &[b"\0\0", TOPIC, after]), "identifier is 0");
            check(&packet(first, &[SEVEN]), "no topic filter");
            check(&packet(first, &[SEVEN, b"\0\0", after]), "filter is empty");
            check(&packet(first, &[SEVEN, b"\0\x09a"]), "ends before");
            for filter in [&b"\0\x02a#"[..], b"\0\x03#/a", b"\0\x02##", b"\0\x02a+", b"\0\x04a/+b"] {
                check(&packet(first, &[SEVEN, filter, after]), "level of its own");
            }
        }
        check(&packet(0x82, &[SEVEN, TOPIC]), "ends before");
        check(&packet(0x82, &[SEVEN, TOPIC, &[3]]), "another QoS");
        check(&packet(0x82, &[SEVEN, TOPIC, &[0x80]]), "another QoS");
        check(&packet(0xc0, &[b"x"]), "bytes follow");
        check(&packet(0xe0, &[b"x"]), "bytes follow");
    }
}
