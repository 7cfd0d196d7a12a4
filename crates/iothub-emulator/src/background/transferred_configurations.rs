//! Configurations on their way out of and into the hub, a line each.

use serde_json::Value;
use serde_json::json;

use crate::background::blob::{BlobError, BlobReader, BlobWriter, trimmed};
use crate::background::transfer_error::TransferError;
use crate::core::command::{Refusal, invalid};
use crate::core::requests::configurations::{GetConfiguration, ListConfigurations, PutConfiguration};
use crate::handle::HubHandle;
use iothub_model::twin::IfMatch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::ImportMode;
use iothub_model::wire::configuration_lines::ConfigurationEntry;
use iothub_model::wire::configuration_lines::decode_line;
use iothub_model::wire::configuration_lines::encode_line;
use iothub_model::wire::configuration_lines::id_in;
use iothub_model::wire::json_fault::json_fault;

/// Writes a line for each configuration, in order of creation.
pub(crate) async fn export(live: &HubHandle, blob: &mut BlobWriter<'_>) -> Result<(), TransferError> {
    for configuration in live.handle(ListConfigurations).await? {
        let configuration = serde_json::from_str(&configuration.to_json()).expect("a configuration is a JSON object");
        blob.line(&encode_line(configuration)).await?;
    }
    Ok(())
}

/// Makes and updates configurations, `limit` of them in all, and returns the lines of the log for those that it could not.
pub(crate) async fn import(live: &HubHandle, lines: &mut BlobReader, limit: usize) -> Result<Vec<Value>, BlobError> {
    let mut errors = Vec::new();
    while let Some(line) = lines.line().await? {
        let line = trimmed(&line);
        if line.is_empty() {
            continue;
        }
        let written = match decode_line(line) {
            Ok(entry) => {
                let id = entry.body.id.clone().unwrap_or_default();
                put(live, &id, entry, limit).await.map_err(|refusal| (id, refusal))
            }
            Err(error) => Err((id_in(line), Refusal::new(ErrorCode::IotHubFormatError, json_fault(&error)))),
        };
        if let Err((id, Refusal { code, text })) = written {
            errors.push(json!({ "configurationId": id, "errorCode": code.number(), "errorStatus": text }));
        }
    }
    live.configurations_changed.notify_one();
    Ok(errors)
}

/// Makes a configuration, or updates the one that is there if its etag is the line's (C# SDK, `ConfigurationImportMode`).
async fn put(live: &HubHandle, id: &str, entry: ConfigurationEntry, limit: usize) -> Result<(), Refusal> {
    if let Some(mode) = entry.import_mode.filter(|mode| *mode != ImportMode::CreateOrUpdateIfMatchETag) {
        let text =
            format!("configurations have the importMode createOrUpdateIfMatchETag alone, and not {}", mode.name());
        return Err(invalid(text));
    }
    let id = id.to_owned();
    let current = live.handle(GetConfiguration { id: id.clone() }).await;
    let if_match = match (current, entry.etag.as_deref()) {
        (Err(refusal), _) if refusal.code == ErrorCode::ConfigurationNotFound => IfMatch::Absent,
        (Err(refusal), _) => return Err(refusal),
        (Ok(_), etag) => match IfMatch::of_body(etag) {
            IfMatch::Absent => IfMatch::Any,
            given => given,
        },
    };
    let put = PutConfiguration { id, body: Box::new(entry.body), if_match, limit };
    live.handle(put).await.map(|_| ())
}
