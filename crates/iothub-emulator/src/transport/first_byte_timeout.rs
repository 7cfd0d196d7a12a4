//! A stream whose client has to begin in time.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::ReadBuf;
use tokio::time::Sleep;
use tokio::time::sleep;

/// The bytes with which an HTTP/2 client begins (RFC 9113, 3.4).
const HTTP_2_PREFACE: usize = 24;

/// A stream from which reading fails when its first bytes have not come in time, and which is as any other after that.
pub(crate) struct Prompt<S> {
    stream: S,
    /// Bytes that have yet to come.
    owed: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Prompt<S> {
    /// Waits so long for the beginning of HTTP/2, for which the server would wait for ever.
    pub(crate) fn for_http_2(stream: S, patience: Duration) -> Self {
        Self { stream, owed: HTTP_2_PREFACE, deadline: Some(Box::pin(sleep(patience))) }
    }

    /// Waits so long for the first byte of HTTP/1.1; the server itself waits in time for the rest of what has begun.
    pub(crate) fn for_http_1(stream: S, patience: Duration) -> Self {
        Self { stream, owed: 1, deadline: Some(Box::pin(sleep(patience))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(deadline) = &mut self.deadline {
            let is_late = deadline.as_mut().poll(context).is_ready();
            self.owed = self.owed.saturating_sub(buffer.filled().len() - filled);
            if self.owed == 0 {
                self.deadline = None;
            } else if is_late {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

write_through!(Prompt);
