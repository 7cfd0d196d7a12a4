//! Faults that a client asks for by a property of a message, as Microsoft's test suites do. The embedded hub refuses such messages.

/// Properties by which Microsoft's test suites ask the service to break a connection.
const FAULT_PROPERTIES: &str = "AzIoTHub_FaultOperation";

/// Returns `true` if a message's property of this name asks the service for a fault.
pub(crate) fn asks_for_fault(name: &str) -> bool {
    name.get(..FAULT_PROPERTIES.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(FAULT_PROPERTIES))
}

/// Why such a message is refused.
pub(crate) const NO_FAULTS_BY_MESSAGES: &str =
    "the embedded hub has no fault injection by message properties; `twinctl hub faults set` makes it misbehave";
