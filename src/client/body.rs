//! Reading an answer's body, and no more of it than may be: whoever answers decides how much there is.

use reqwest::Response;

/// How much of a refusal is read, in bytes: what the hub says in one is a few lines.
const REFUSAL_MAX: usize = 64 << 10;
/// How much room is made at once, at most. A body that grows by doubling would need twice its ceiling.
const STEP: usize = 8 << 20;

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// There is more of it than may be.
    TooLong {
        /// How many bytes may be.
        ceiling: usize,
    },
    /// The rest did not come.
    Lost(reqwest::Error),
}

/// Reads a whole body of at most `ceiling` bytes. One that announces more is not even begun.
pub(crate) async fn read(response: &mut Response, ceiling: usize) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced > ceiling {
        return Err(BodyError::TooLong { ceiling });
    }
    let mut body = Vec::with_capacity(announced.min(STEP));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Lost)? {
        if body.len() + chunk.len() > ceiling {
            return Err(BodyError::TooLong { ceiling });
        }
        if body.capacity() - body.len() < chunk.len() {
            body.reserve_exact(chunk.len().max(body.len().min(STEP)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads the beginning of a refusal's body, as far as it comes: the status says the most.
pub(crate) async fn read_start(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < REFUSAL_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_MAX - body.len())]);
    }
    body
}
