//! Many identities and twins in one request (docs: Import and export IoT Hub device identities in bulk).
//!
//! Each entry is done or not done by itself, in order, as a request for it alone would have done it. What is
//! done is on disk in one piece.

use std::collections::HashSet;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Entropy, Refusal, TwinWrite, invalid};
use crate::core::module::reserved;
use crate::core::record::Record;
use crate::core::requests::devices::{DeleteDevice, PutDevice};
use crate::core::requests::modules::{DeleteModule, PutModule};
use crate::core::requests::twins::WriteTwin;
use crate::core::state::Hub;
use iothub_model::twin::IfMatch;
use iothub_model::twin::OrderedValue;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::BULK_MAX;
use iothub_model::wire::bulk::BulkEntry;
use iothub_model::wire::bulk::BulkError;
use iothub_model::wire::bulk::BulkResult;
use iothub_model::wire::bulk::BulkWarning;
use iothub_model::wire::bulk::ImportMode;
use iothub_model::wire::modules::ModuleBody;
use iothub_model::wire::modules::is_system_module;
use iothub_model::wire::registry::DeviceBody;
use iothub_model::wire::twins::TwinBody;

/// Looks at what one request of `POST /devices` may hold.
pub(crate) fn check(entries: &[BulkEntry]) -> Result<(), Refusal> {
    if entries.is_empty() {
        return Err(invalid("the body names no device"));
    }
    if entries.len() > BULK_MAX {
        let text = format!("the body names {} devices, and a request takes {BULK_MAX} at most", entries.len());
        return Err(Refusal::new(ErrorCode::TooManyDevices, text));
    }
    for entry in entries {
        match entry.import_mode {
            None => return Err(invalid(format!("the entry of `{}` has no importMode", entry.id.escape_debug()))),
            Some(ImportMode::CreateOrUpdate | ImportMode::CreateOrUpdateIfMatchETag) => {
                let text = format!(
                    "the entry of `{}` has an importMode that is for import jobs only",
                    entry.id.escape_debug()
                );
                return Err(invalid(text));
            }
            Some(_) => {}
        }
    }
    check_named_once(entries.iter().map(|entry| {
        let module = entry.module_id.as_deref().filter(|module| !module.is_empty());
        (entry.id.as_str(), module)
    }))
}

/// Refuses a request that names a device, or a module of one, more than once.
pub(crate) fn check_named_once<'n>(names: impl IntoIterator<Item = (&'n str, Option<&'n str>)>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let Some((device, module)) = names.into_iter().find(|name| !seen.insert(*name)) else { return Ok(()) };
    let what = match module {
        None => format!("device `{}`", device.escape_debug()),
        Some(module) => format!("module `{}` of the device `{}`", module.escape_debug(), device.escape_debug()),
    };
    Err(Refusal::new(ErrorCode::DeviceDefinedMultipleTimes, format!("the {what} is named more than once")))
}

/// What is to be done for one entry, step by step.
enum Step {
    Put(IfMatch),
    Delete(IfMatch),
    /// A part of an entry that also makes or replaces an identity, or all of it.
    Twin(IfMatch),
}

/// Many identities and twins, each by itself. Replies with which were not done.
#[derive(Clone, Debug)]
pub(crate) struct Bulk {
    /// What is to be done, each with what the hub makes keys and numbers of.
    pub(crate) entries: Vec<(BulkEntry, Entropy)>,
}

impl Ask for Bulk {
    type Reply = BulkResult;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<BulkResult, Refusal> {
        let mut result = BulkResult::default();
        for (entry, entropy) in self.entries {
            let (device_id, module_id) = (entry.id.clone(), entry.module_id.clone());
            match hub.bulk_entry(entry, &entropy, now, records) {
                Ok(None) => {}
                Ok(Some(without_twin)) => result.warnings.push(BulkWarning {
                    device_id,
                    warning_code: "DeviceRegisteredWithoutTwin",
                    warning_status: without_twin.text,
                }),
                Err(Refusal { code, text }) => {
                    result.errors.push(BulkError { device_id, module_id, error_code: code, error_status: text });
                }
            }
        }
        result.is_successful = result.errors.is_empty();
        Ok(result)
    }
}

impl Hub {
    /// Does one entry. Says why its twin was left as a new one is, when that was all that was wrong.
    fn bulk_entry(
        &mut self,
        mut entry: BulkEntry,
        entropy: &Entropy,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Option<Refusal>, Refusal> {
        let id = id_of(&entry)?;
        if let Some(module) = id.module.as_ref().filter(|module| is_system_module(module)) {
            // Whatever is to happen to it, and whatever the entry says of its etags.
            return Err(reserved(module));
        }
        let mode = entry.import_mode.unwrap_or(ImportMode::CreateOrUpdate);
        let exists = match &id.module {
            None => self.find(&id.device).is_some(),
            Some(_) => self.modules.twin(&id).is_some(),
        };
        if matches!(mode, ImportMode::CreateOrUpdate | ImportMode::CreateOrUpdateIfMatchETag) {
            self.check_twin_etag(&id, entry.twin_etag.as_deref())?;
        }
        let steps = steps(mode, &entry, exists)?;
        let twin = TwinBody::decode_entry(entry.tags.take(), entry.properties.take());
        let mut twin = Some(twin.map_err(|error| invalid(error.to_string()))?);
        let mut body = Some(entry);
        for step in steps {
            match step {
                Step::Put(if_match) => {
                    let entry = body.take().expect("an entry has one identity to put");
                    self.put_bulk(&id, entry, if_match, entropy.clone(), now, records)?;
                }
                Step::Delete(if_match) => {
                    let device = id.device.clone();
                    match id.module.clone() {
                        None => DeleteDevice { id: device, if_match }.perform(self, now, records)?,
                        Some(module) => DeleteModule { device, module, if_match }.delete(self, records)?,
                    }
                }
                Step::Twin(if_match) => {
                    let body = twin.take().expect("an entry has one twin to write");
                    let write = WriteTwin { id: id.clone(), how: TwinWrite::Merge, body, if_match };
                    match write.perform(self, now, records) {
                        Err(refusal) if mode_creates(mode) && !exists => return Ok(Some(refusal)),
                        written => written?,
                    };
                }
            }
        }
        Ok(None)
    }

    /// Compares the etag that an entry names for its twin with that of the twin, if both are there, before anything is written. It
    /// has nothing to do with the identity's etag (docs: Import and export IoT Hub device identities in bulk, "Import behavior").
    fn check_twin_etag(&self, id: &TwinId, wanted: Option<&str>) -> Result<(), Refusal> {
        let wanted = IfMatch::of_body(wanted);
        let twin = match &id.module {
            None => self.find(&id.device).map(|device| device.twin()),
            Some(_) => self.modules.twin(id).map(|module| module.twin()),
        };
        match twin {
            Some(twin) if !wanted.holds_for(&twin.etag) => {
                let text = format!("the entry's twinETag names {wanted}, and the twin's etag is {}", twin.etag);
                Err(Refusal::new(ErrorCode::PreconditionFailed, text))
            }
            _ => Ok(()),
        }
    }

    fn put_bulk(
        &mut self,
        id: &TwinId,
        entry: BulkEntry,
        if_match: IfMatch,
        entropy: Entropy,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<(), Refusal> {
        let device = id.device.clone();
        let Some(module) = id.module.clone() else {
            let body = Box::new(DeviceBody {
                device_id: None,
                status: entry.status,
                status_reason: entry.status_reason,
                authentication: entry.authentication,
                capabilities: entry.capabilities,
                device_scope: entry.device_scope,
                parent_scopes: entry.parent_scopes,
            });
            return PutDevice { id: device, body, if_match, entropy }.perform(self, now, records).map(|_| ());
        };
        let body = Box::new(ModuleBody { authentication: entry.authentication, ..ModuleBody::default() });
        PutModule { device, module, body, if_match, entropy }.put(self, records).map(|_| ())
    }
}

fn mode_creates(mode: ImportMode) -> bool {
    matches!(mode, ImportMode::Create | ImportMode::CreateOrUpdate | ImportMode::CreateOrUpdateIfMatchETag)
}

fn id_of(entry: &BulkEntry) -> Result<TwinId, Refusal> {
    let wrong = |error: iothub_model::twin::IdError| invalid(error.to_string());
    let module = entry.module_id.as_deref().filter(|module| !module.is_empty());
    let module = module.map(|module| module.parse().map_err(wrong)).transpose()?;
    Ok(TwinId { device: entry.id.parse().map_err(wrong)?, module })
}

/// The table of modes.
fn steps(mode: ImportMode, entry: &BulkEntry, exists: bool) -> Result<Vec<Step>, Refusal> {
    let of_identity = || matching(("eTag", &entry.e_tag), ("twinETag", &entry.twin_etag));
    let of_twin = || matching(("twinETag", &entry.twin_etag), ("eTag", &entry.e_tag));
    let names_twin = |value: &Option<OrderedValue>| value.as_ref().is_some_and(|value| !value.is_null());
    let mut steps = match mode {
        ImportMode::Create => vec![Step::Put(IfMatch::Absent)],
        ImportMode::Update => vec![Step::Put(IfMatch::Any)],
        ImportMode::UpdateIfMatchETag => vec![Step::Put(of_identity()?)],
        ImportMode::CreateOrUpdate => vec![Step::Put(if exists { IfMatch::Any } else { IfMatch::Absent })],
        ImportMode::CreateOrUpdateIfMatchETag if exists => vec![Step::Put(of_identity()?)],
        ImportMode::CreateOrUpdateIfMatchETag => vec![Step::Put(IfMatch::Absent)],
        ImportMode::Delete => return Ok(vec![Step::Delete(IfMatch::Any)]),
        ImportMode::DeleteIfMatchETag => return Ok(vec![Step::Delete(of_identity()?)]),
        ImportMode::UpdateTwin => return Ok(vec![Step::Twin(IfMatch::Absent)]),
        ImportMode::UpdateTwinIfMatchETag => return Ok(vec![Step::Twin(of_twin()?)]),
    };
    if names_twin(&entry.tags) || names_twin(&entry.properties) {
        steps.push(Step::Twin(IfMatch::Absent));
    }
    Ok(steps)
}

/// Returns the condition of a mode that compares an etag: none, if the entry has no etag at all. A client that sends
/// only the other etag expects a guard that this mode does not give, so the entry is refused.
fn matching(
    (name, etag): (&str, &Option<String>),
    (other, another): (&str, &Option<String>),
) -> Result<IfMatch, Refusal> {
    match (IfMatch::of_body(etag.as_deref()), IfMatch::of_body(another.as_deref())) {
        (IfMatch::Absent, IfMatch::Absent | IfMatch::Any) => Ok(IfMatch::Any),
        (IfMatch::Absent, _) => {
            let text = format!("the mode compares the {name}, and the entry has the {other} alone");
            Err(Refusal::new(ErrorCode::PreconditionFailed, text))
        }
        (given, _) => Ok(given),
    }
}
