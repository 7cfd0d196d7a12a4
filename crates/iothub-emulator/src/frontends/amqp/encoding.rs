//! Where values end, found out before any is decoded: what nests too deeply, claims to be longer than it is or counts more
//! than it can hold never reaches the decoder (AMQP 1.0, part 1.6, "Primitive type definitions").

/// How deeply values may stand in one another; what clients send needs five or so.
const DEPTH_MAX: usize = 16;

/// Returns the length of the value that stands at the front; nothing when none does, or not one that is to be decoded.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    value(&mut rest, 0)?;
    Some(bytes.len() - rest.len())
}

/// Returns the code of the described value that stands at the front: what kind of frame or section it is.
pub(crate) fn descriptor(bytes: &[u8]) -> Option<u64> {
    match bytes {
        [0, 0x53, code, ..] => Some(u64::from(*code)),
        [0, 0x80, code @ ..] => Some(u64::from_be_bytes(*code.first_chunk()?)),
        _ => None,
    }
}

fn value(rest: &mut &[u8], depth: usize) -> Option<()> {
    let code = constructor(rest, depth)?;
    content(code, rest, depth)
}

/// Passes over what says of which type a value is, with its descriptor if it has one.
fn constructor(rest: &mut &[u8], depth: usize) -> Option<u8> {
    if depth > DEPTH_MAX {
        return None;
    }
    match take(rest, 1)?[0] {
        0 => {
            value(rest, depth + 1)?;
            constructor(rest, depth + 1)
        }
        code => Some(code),
    }
}

fn content(code: u8, rest: &mut &[u8], depth: usize) -> Option<()> {
    match code >> 4 {
        4 => {}
        width @ 5..=9 => drop(take(rest, 1 << (width - 5))?),
        0xa | 0xb => {
            let length = number(rest, code & 0x10 != 0)?;
            take(rest, length)?;
        }
        0xc..=0xf => {
            let wide = code & 0x10 != 0;
            let length = number(rest, wide)?;
            let mut inner = take(rest, length)?;
            let count = number(&mut inner, wide)?;
            // Elements without any bytes are rare, and as many of them as somebody likes would be a cheap way to fill memory.
            if count > inner.len() {
                return None;
            }
            let element = match code >> 4 {
                0xe | 0xf if count > 0 => Some(constructor(&mut inner, depth + 1)?),
                _ => None,
            };
            for _ in 0..count {
                match element {
                    Some(code) => content(code, &mut inner, depth + 1)?,
                    None => value(&mut inner, depth + 1)?,
                }
            }
            if !inner.is_empty() {
                return None;
            }
        }
        _ => return None,
    }
    Some(())
}

/// Takes a length or a count: four bytes in the wide types, one in the others.
fn number(rest: &mut &[u8], wide: bool) -> Option<usize> {
    match wide {
        false => take(rest, 1).map(|bytes| usize::from(bytes[0])),
        true => {
            let bytes = take(rest, 4)?;
            usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_amqp::Value;

    use super::*;

    #[test]
    fn lengths() {
        for (bytes, expected) in [
            (&[0x40][..], Some(1)),
            (&[0x41, 0xff], Some(1)),
            (&[0x50, 7, 9], Some(2)),
            (&[0x71, 0, 0, 0, 1], Some(5)),
            (&[0x83, 0, 0, 0, 0, 0, 0, 0, 1], Some(9)),
            (&[0xa1, 2, b'a', b'b'], Some(4)),
            (&[0xb1, 0, 0, 0, 1, b'a', b'b'], Some(6)),
            (&[0x45], Some(1)),
            (&[0xc0, 3, 2, 0x40, 0x41], Some(5)),
            (&[0xc1, 4, 2, 0x40, 0x50, 1], Some(6)),
            (&[0xe0, 4, 2, 0x50, 1, 2], Some(6)),
            (&[0xe0, 2, 0, 0x50], None),
            (&[0, 0x53, 0x10, 0x45], Some(4)),
            (&[], None),
            (&[0x50], None),
            (&[0x10], None),
            (&[0xa1, 3, b'a', b'b'], None),
            (&[0xb1, 0xff, 0xff, 0xff, 0xff, b'a'], None),
            (&[0xc0, 4, 2, 0x40, 0x41], None),
            (&[0xc0, 3, 1, 0x40, 0x41], None),
            (&[0xc0, 2, 200, 0x40], None),
            // Four thousand million nothings.
            (&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40], None),
        ] {
            assert_eq!(length(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn depths() {
        let nested = |depth: usize| {
            let mut bytes = vec![0x40];
            for _ in 0..depth {
                let length = u32::try_from(bytes.len() + 4).expect("short").to_be_bytes();
                bytes = [&[0xd0][..], &length, &[0, 0, 0, 1], &bytes].concat();
            }
            bytes
        };
        for (depth, whole) in [(1, true), (16, true), (17, false), (2000, false)] {
            let bytes = nested(depth);
            assert_eq!(length(&bytes), whole.then_some(bytes.len()), "{depth}");
        }
        assert_eq!(length(&[0; 5000]), None, "descriptors of descriptors");
    }

    #[test]
    fn descriptors() {
        for (bytes, expected) in [
            (&[0, 0x53, 0x10, 0x45][..], Some(0x10)),
            (&[0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x70, 0x45], Some(0x70)),
            (&[0x53, 0x10], None),
            (&[0, 0x80, 0, 0], None),
            (&[0, 0xa3, 1, b'a', 0x45], None),
        ] {
            assert_eq!(descriptor(bytes), expected, "{bytes:x?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// No bytes panic, here or in the decoder that gets them; and what was measured is what is decoded.
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(prop_oneof![
            Just(0u8), Just(0x40), Just(0x53), Just(0xc0), Just(0xd0), Just(0xe0), Just(0xa1), 0u8..8, any::<u8>()
        ], 0..60)) {
            if let Some(length) = length(&bytes) {
                prop_assert!(length <= bytes.len());
                let _ = serde_amqp::from_slice::<Value>(&bytes[..length]);
                let _ = serde_amqp::from_slice::<fe2o3_amqp_types::performatives::Performative>(&bytes[..length]);
            }
        }
    }
}
