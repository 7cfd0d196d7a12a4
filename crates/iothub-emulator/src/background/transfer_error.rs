//! Why an import or export job fails.

use crate::background::blob::BlobError;
use crate::core::command::Refusal;

/// Why an import or export did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Hub(#[from] Refusal),
    #[error("it was cancelled")]
    Cancelled,
}
