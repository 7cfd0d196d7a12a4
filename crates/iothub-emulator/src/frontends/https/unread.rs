//! What a refused request still has to send.
//!
//! A client of HTTP/1.1 that sends its body while a refusal comes loses the refusal, because the connection is closed under it. So the
//! rest of the body is read and dropped before the response leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::body::HttpBody;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header;
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::body::SizeHint;

/// Bytes that are read and dropped, at most.
const REST_MAX_BYTES: usize = 1 << 20;
/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request's body, of which a second handle reads what the first leaves.
#[derive(Clone)]
pub(crate) struct SharedBody(Arc<Mutex<Incoming>>);

impl SharedBody {
    pub(crate) fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }

    fn body(&self) -> MutexGuard<'_, Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and drops what nobody has read. Tells the client that the connection ends, if there is more of it.
    pub(crate) async fn drop_rest(mut self, response: &mut Response) {
        let rest = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = self.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > REST_MAX_BYTES {
                    return false;
                }
            }
            true
        };
        if !tokio::time::timeout(PATIENCE, rest).await.unwrap_or(false) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}
