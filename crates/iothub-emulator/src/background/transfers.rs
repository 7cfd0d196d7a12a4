//! Carrying imports and exports out: one at a time, with requests like any client's.

use std::sync::Arc;

use serde_json::Value;
use serde_json::json;

use crate::background::blob::{Blobs, trimmed};
use crate::background::transfer_error::TransferError;
use crate::background::transferred_configurations;
use crate::core::command::Refusal;
use crate::core::requests::bulk::Bulk;
use crate::core::requests::devices::{CountDevices, ScanDevices};
use crate::core::requests::modules::FindModules;
use crate::core::requests::transfers::{AdvanceTransfer, BeginTransfer, EndTransfer, GetTransfer};
use crate::handle;
use crate::handle::HubHandle;
use crate::limits::admission::Admission;
use iothub_model::twin::DeviceId;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::OrderedValue;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::BULK_MAX;
use iothub_model::wire::bulk::BulkEntry;
use iothub_model::wire::bulk::ids_in;
use iothub_model::wire::json_fault::json_fault;
use iothub_model::wire::members;
use iothub_model::wire::numbers::as_the_service_reads;
use iothub_model::wire::transfers::ERRORS_BLOB;
use iothub_model::wire::transfers::TransferProperties;
use iothub_model::wire::transfers::TransferStatus;
use iothub_model::wire::transfers::TransferType;

/// Devices that are exported before others get their turn.
const SLICE: usize = 128;

/// Carries out what is asked for, without end.
pub(crate) async fn run(live: Arc<HubHandle>, admission: Arc<Admission>) {
    // What was under way when the hub stopped has done a part of its work, which nobody can tell; so it is not taken up again.
    let stopped = Some("the hub was stopped while the job was under way".to_owned());
    let _ = live.handle(EndTransfer { failure: stopped }).await;
    loop {
        match live.handle(BeginTransfer).await {
            Ok(Some(transfer)) => {
                let properties = &transfer.properties;
                let failure = tokio::select! {
                    done = transfer_one(&live, properties, admission.configurations()) => {
                        done.err().map(|error| error.to_string())
                    }
                    // Whatever it waits for, a storage account that takes its time included, is dropped with it.
                    () = cancelled(&live, &properties.job_id) => continue,
                };
                let _ = live.handle(EndTransfer { failure }).await;
            }
            Ok(None) | Err(_) => live.transfers_changed.notified().await,
        }
    }
}

/// Waits until a job is cancelled.
async fn cancelled(live: &HubHandle, id: &str) {
    loop {
        live.transfers_changed.notified().await;
        let job = live.handle(GetTransfer { id: id.to_owned() }).await;
        if job.is_ok_and(|job| job.is_over()) {
            return;
        }
    }
}

async fn transfer_one(live: &HubHandle, properties: &TransferProperties, limit: usize) -> Result<(), TransferError> {
    let blobs = Blobs::new()?;
    match properties.kind {
        TransferType::Import => import(live, &blobs, properties, limit).await,
        TransferType::Export => export(live, &blobs, properties).await,
    }
}

/// Says how far a transfer is, and hears whether it was cancelled.
async fn advance(live: &HubHandle, properties: &TransferProperties, progress: u64) -> Result<(), TransferError> {
    let transfer = live.handle(AdvanceTransfer { id: properties.job_id.clone(), progress }).await?;
    match transfer.properties.status {
        TransferStatus::Running => Ok(()),
        _ => Err(TransferError::Cancelled),
    }
}

async fn import(
    live: &HubHandle,
    blobs: &Blobs,
    properties: &TransferProperties,
    limit: usize,
) -> Result<(), TransferError> {
    let input = properties.input_blob_container_uri.as_deref().unwrap_or_default();
    let output = properties.output_blob_container_uri.as_deref().unwrap_or_default();
    let mut lines = blobs.read(input, properties.input_blob()).await?;
    let mut errors: Vec<Value> = Vec::new();
    loop {
        let mut entries = Vec::new();
        let mut over = false;
        while entries.len() < BULK_MAX && !over {
            match lines.line().await? {
                None => over = true,
                Some(line) if line.trim_ascii().is_empty() => {}
                Some(line) => match read_line(&line) {
                    Ok(entry) => entries.push((entry, handle::entropy()?)),
                    Err(error) => errors.push(error),
                },
            }
        }
        if !entries.is_empty() {
            advance(live, properties, 0).await?;
            let result = live.handle(Bulk { entries }).await?;
            errors.extend(result.errors.iter().map(|error| {
                failed(&error.device_id, error.module_id.as_deref(), error.error_code, &error.error_status)
            }));
            let warning = |warning| serde_json::to_value(warning).expect("text is JSON");
            errors.extend(result.warnings.iter().map(warning));
        }
        if over {
            break;
        }
    }
    if let Some(name) = properties.configurations_blob() {
        advance(live, properties, 0).await?;
        errors.extend(transferred_configurations::import(live, &mut blobs.read(input, name).await?, limit).await?);
    }
    if !errors.is_empty() {
        let mut log = blobs.write(output, ERRORS_BLOB);
        for error in errors {
            log.line(&error.to_string()).await?;
        }
        log.finish().await?;
    }
    Ok(())
}

fn read_line(line: &[u8]) -> Result<BulkEntry, Value> {
    let line = trimmed(line);
    let wrong = |text: &str| {
        let (device, module) = ids_in(line);
        failed(&device, module.as_deref(), ErrorCode::IotHubFormatError, text)
    };
    let text = as_the_service_reads(line).map_err(|error| wrong(&error.to_string()))?;
    let entry: BulkEntry = members::read(&text).map_err(|error| wrong(&json_fault(&error)))?;
    if entry.status.is_none() {
        return Err(failed(
            &entry.id,
            entry.module_id.as_deref(),
            ErrorCode::ArgumentInvalid,
            "the line has no status",
        ));
    }
    Ok(entry)
}

/// A line of the log of errors, whose codes are numbers.
fn failed(device: &str, module: Option<&str>, code: ErrorCode, status: &str) -> Value {
    let mut error = json!({ "deviceId": device, "errorCode": code.number(), "errorStatus": status });
    if let Some(module) = module {
        error["moduleId"] = json!(module);
    }
    error
}

async fn export(live: &HubHandle, blobs: &Blobs, properties: &TransferProperties) -> Result<(), TransferError> {
    let container = properties.output_blob_container_uri.as_deref().unwrap_or_default();
    let name = properties.output_blob();
    let without_keys = properties.exclude_keys_in_export == Some(true);
    let total = live.handle(CountDevices).await?.total.max(1);
    let mut blob = blobs.write(container, name);
    let (mut after, mut done) = (0, 0);
    loop {
        let slice = live.handle(ScanDevices { after, limit: SLICE }).await?;
        let Some(last) = slice.last() else { break };
        after = last.sequence;
        done += slice.len();
        for device in &slice {
            blob.line(&line_of(device.identity.as_str(), device.twin.as_str(), without_keys)).await?;
            for (identity, twin) in modules_of(live, &device.id).await? {
                blob.line(&line_of(&identity, &twin, without_keys)).await?;
            }
        }
        let percent = u64::try_from(done * 100 / total).unwrap_or(100).min(99);
        advance(live, properties, percent).await?;
    }
    blob.finish().await?;
    if let Some(name) = properties.configurations_blob() {
        let mut blob = blobs.write(container, name);
        transferred_configurations::export(live, &mut blob).await?;
        blob.finish().await?;
    }
    Ok(())
}

async fn modules_of(live: &HubHandle, device: &DeviceId) -> Result<Vec<(String, String)>, Refusal> {
    let modules = live.handle(FindModules { devices: vec![device.as_str().to_owned()] }).await?;
    Ok(modules.iter().map(|it| (it.identity.as_str().to_owned(), it.twin.as_str().to_owned())).collect())
}

/// Makes the line of a device or module, with the names that entries of bulk requests have.
fn line_of(identity: &str, twin: &str, without_keys: bool) -> String {
    let read = |text: &str| serde_json::from_str::<OrderedObject>(text).expect("a kept document is JSON");
    let (mut identity, mut twin) = (read(identity), read(twin));
    if without_keys && let Some(OrderedValue::Object(authentication)) = identity.get_mut("authentication") {
        authentication.insert("symmetricKey", OrderedValue::from(json!({ "primaryKey": null, "secondaryKey": null })));
    }
    // A module has no status of its own, and every line needs one.
    if !identity.contains_key("status") {
        identity.insert("status", "enabled");
    }
    let mut line = OrderedObject::new();
    for (name, own) in [
        ("id", "deviceId"),
        ("moduleId", "moduleId"),
        ("eTag", "etag"),
        ("status", "status"),
        ("statusReason", "statusReason"),
        ("authentication", "authentication"),
        ("capabilities", "capabilities"),
        ("deviceScope", "deviceScope"),
        ("parentScopes", "parentScopes"),
    ] {
        if let Some(value) =
            identity.remove(own).filter(|value| !value.is_null() && *value != OrderedValue::from(json!([])))
        {
            line.insert(name, value);
        }
    }
    for (name, own) in [("twinETag", "etag"), ("tags", "tags"), ("properties", "properties")] {
        if let Some(value) = twin.remove(own) {
            line.insert(name, value);
        }
    }
    // What the hub adds to a section is not exported (MicrosoftDocs/azure-docs#116520).
    if let Some(OrderedValue::Object(properties)) = line.get_mut("properties") {
        for name in ["desired", "reported"] {
            if let Some(OrderedValue::Object(section)) = properties.get_mut(name) {
                section.retain(|key, _| !key.starts_with('$'));
            }
        }
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_names_in_any_case() {
        let entry =
            read_line(br#"{"ID":"d","Status":"Disabled","importmode":"UPDATE","ETag":"x","TAGS":{"a":1,"A":2}}"#);
        let entry = entry.expect("an entry");
        assert_eq!((entry.id.as_str(), entry.e_tag.as_deref()), ("d", Some("x")));
        assert_eq!(entry.tags, Some(json!({"a": 1, "A": 2}).into()));
        assert!(entry.status.is_some() && entry.import_mode.is_some());
    }

    #[test]
    fn a_line_keeps_the_order_of_the_twin() {
        let identity = r#"{"deviceId":"d","etag":"MQ==","status":"disabled","statusReason":null,"authentication":{"symmetricKey":{"primaryKey":"x","secondaryKey":"y"},"type":"sas"},"capabilities":{"iotEdge":false}}"#;
        let twin = r#"{"deviceId":"d","etag":"AAAAAAAAAAI=","tags":{"z":1,"a":{"y":1,"b":2}},"properties":{"desired":{"q":1,"c":2,"$metadata":{},"$version":2},"reported":{"$metadata":{},"$version":1}}}"#;
        let expected = r#"{"id":"d","eTag":"MQ==","status":"disabled","authentication":{"symmetricKey":{"primaryKey":null,"secondaryKey":null},"type":"sas"},"capabilities":{"iotEdge":false},"twinETag":"AAAAAAAAAAI=","tags":{"z":1,"a":{"y":1,"b":2}},"properties":{"desired":{"q":1,"c":2},"reported":{}}}"#;
        let line = line_of(identity, twin, true);
        assert_eq!(line, expected);
        let module =
            line_of(r#"{"deviceId":"d","moduleId":"m","etag":"MQ=="}"#, r#"{"etag":"x","properties":{}}"#, false);
        assert_eq!(
            module,
            r#"{"id":"d","moduleId":"m","eTag":"MQ==","status":"enabled","twinETag":"x","properties":{}}"#
        );
    }
}
