//! Where the log has what clients of MQTT do, and how it has what is not done.

use crate::frontends::mqtt::admission::Refused;
use crate::request_log::ConnectionLog;
use iothub_model::twin::TwinId;

/// The protocol's name in the log, as in the rules of faults.
pub(super) const MQTT: &str = "MQTT";

/// Returns where the log has what a client does.
pub(super) fn log_path(id: &TwinId) -> String {
    match &id.module {
        None => format!("/devices/{}", id.device),
        Some(module) => format!("/devices/{}/modules/{module}", id.device),
    }
}

/// Notes what is not done, perhaps by an injected fault, whose status the service may have no words for.
pub(super) fn note_refused(log: &ConnectionLog, path: &str, refused: &Refused, fault: Option<&str>) {
    match refused {
        Refused::By(refusal) => log.refused_with(MQTT, path, refusal, fault),
        Refused::Status(status) => log.fault(MQTT, path, *status, fault.unwrap_or_default()),
    }
}
