//! Whether the containers of a job open, before there is the job: a live hub refuses one whose containers do not at once
//! (mwalser/terraform-provider-iothub).

use std::time::Duration;

use crate::background::blob::{BlobError, Blobs};
use crate::core::command::Refusal;
use iothub_model::duration;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::transfers::ERRORS_BLOB;
use iothub_model::wire::transfers::TransferProperties;
use iothub_model::wire::transfers::TransferType;

/// All containers of a job have so long to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Refuses a job whose containers do not let the hub do what the job will do. `spare` is the name of a blob that is not there.
pub(crate) async fn containers(properties: &TransferProperties, spare: &str) -> Result<(), Refusal> {
    within(PATIENCE, properties, spare).await
}

async fn within(patience: Duration, properties: &TransferProperties, spare: &str) -> Result<(), Refusal> {
    tokio::time::timeout(patience, look(properties, spare)).await.unwrap_or_else(|_| {
        Err(unusable(format!("the storage account does not answer within {}", duration::exact(patience))))
    })
}

/// Reads, writes and deletes as the job will, and leaves nothing behind: a block that nobody commits is no blob.
async fn look(properties: &TransferProperties, spare: &str) -> Result<(), Refusal> {
    let blobs = Blobs::new().map_err(|error| Refusal::new(ErrorCode::ServerError, error.to_string()))?;
    let written = match properties.kind {
        TransferType::Export => properties.output_blob(),
        TransferType::Import => {
            let input = properties.input_blob_container_uri.as_deref().unwrap_or_default();
            opened("read from input", blobs.try_read(input, properties.input_blob()).await)?;
            ERRORS_BLOB
        }
    };
    let output = properties.output_blob_container_uri.as_deref().unwrap_or_default();
    opened("write to output", blobs.try_write(output, written).await)?;
    opened("delete from output", blobs.try_delete(output, spare).await)
}

fn opened(doing: &str, tried: Result<(), BlobError>) -> Result<(), Refusal> {
    match tried {
        Ok(()) => Ok(()),
        // The container opens; what an import lacks fails the job.
        Err(error) if error.is_missing_blob() => Ok(()),
        Err(error) if error.is_unauthorized() => {
            Err(unusable(format!("Unauthorized to {doing} blob container: {error}")))
        }
        Err(error) => Err(unusable(format!("Unable to {doing} blob container: {error}"))),
    }
}

fn unusable(text: String) -> Refusal {
    Refusal::new(ErrorCode::BlobContainerValidationError, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_storage_account_that_does_not_answer_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}/acct/c?sig=secret", silent.local_addr().expect("an address"));
        let import = json!({"type": "import", "inputBlobContainerUri": uri, "outputBlobContainerUri": uri});
        let properties = serde_json::from_value(import).expect("properties");
        let refusal = within(Duration::from_millis(50), &properties, "spare").await.expect_err("a refusal");
        assert_eq!(refusal.code, ErrorCode::BlobContainerValidationError);
        assert!(refusal.text.contains("does not answer") && !refusal.text.contains("secret"), "{}", refusal.text);
    }
}
