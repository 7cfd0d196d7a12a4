//! A backend that reads from another one and keeps what is written in memory.
//!
//! The database repairs and writes to a file when it opens it. A file that may be damaged is opened through this backend, so
//! that it stays as it is until it is known to be whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use redb::StorageBackend;

const PAGE: usize = 4096;
/// How far the database may enlarge a file while it opens it. What a damaged header asks for has no other bound.
const MAX_GROWTH: u64 = 64 << 20;

/// What would be on the disk.
#[derive(Debug)]
pub(crate) struct Overlay<B> {
    below: B,
    longest: u64,
    written: Mutex<OverlayRecord>,
}

#[derive(Debug)]
struct OverlayRecord {
    len: u64,
    /// How much of what lies below is still to be seen.
    below: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(crate) fn over(below: B) -> io::Result<Self> {
        let len = below.len()?;
        let written = Mutex::new(OverlayRecord { len, below: len, pages: BTreeMap::new() });
        Ok(Self { below, longest: len.saturating_add(MAX_GROWTH), written })
    }

    fn written(&self) -> MutexGuard<'_, OverlayRecord> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the first `len` bytes of what lies below, and zeros after them.
    fn read_below(&self, len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = len.saturating_sub(offset).min(out.len() as u64);
        let (head, tail) = out.split_at_mut(usize::try_from(there).expect("at most the length of a slice"));
        tail.fill(0);
        if head.is_empty() { Ok(()) } else { self.below.read(offset, head) }
    }

    /// Calls `each` for every page that a range touches, with the part of the page and the part of the range.
    fn pages(offset: u64, len: usize, mut each: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>)) {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = usize::try_from(at % PAGE as u64).expect("less than a page");
            let count = (PAGE - within).min(len - done);
            each(at / PAGE as u64, within..within + count, done..done + count);
            done += count;
        }
    }
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_below(written.below, offset, out)?;
        Self::pages(offset, out.len(), |page, within, part| {
            if let Some(page) = written.pages.get(&page) {
                out[part].copy_from_slice(&page[within]);
            }
        });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.longest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its header asks for a larger file"));
        }
        let mut written = self.written();
        written.len = len;
        // What is cut off is zeros when the file grows again.
        written.below = written.below.min(len);
        for (number, page) in written.pages.range_mut(len / PAGE as u64..) {
            let kept = len.saturating_sub(number * PAGE as u64).min(PAGE as u64);
            page[usize::try_from(kept).expect("at most a page")..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        let mut touched = Vec::new();
        Self::pages(offset, data.len(), |page, within, part| touched.push((page, within, part)));
        for (number, within, part) in touched {
            let mut page = match written.pages.remove(&number) {
                Some(page) => page,
                None => {
                    let mut page = Box::new([0; PAGE]);
                    self.read_below(written.below, number * PAGE as u64, page.as_mut_slice())?;
                    page
                }
            };
            page[within].copy_from_slice(&data[part]);
            written.pages.insert(number, page);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_below_changes() {
        let below = InMemoryBackend::new();
        below.set_len(10_000).expect("memory");
        below.write(0, &[1; 10_000]).expect("memory");
        let overlay = Overlay::over(below).expect("memory");
        let read = |offset, len| {
            let mut out = vec![9; len];
            overlay.read(offset, &mut out).map(|()| out)
        };
        overlay.write(4090, &[2; 12]).expect("there is room");
        assert_eq!(read(4088, 16).expect("it is there"), [&[1; 2][..], &[2; 12], &[1; 2]].concat());
        overlay.set_len(4100).expect("shorter");
        read(4099, 2).expect_err("it ends before");
        overlay.set_len(9000).expect("longer");
        assert_eq!(read(4096, 8).expect("it is there"), [2, 2, 2, 2, 0, 0, 0, 0]);
        assert_eq!(read(8192, 2).expect("it is there"), [0, 0]);
        overlay.set_len(u64::MAX).expect_err("out of all proportion");
        read(u64::MAX, 8).expect_err("no such place");
        let mut out = [0; 12];
        overlay.below.read(4090, &mut out).expect("memory");
        assert_eq!(out, [1; 12]);
    }
}
