//! How the service says no over AMQP: a condition that clients act by, and a text.

use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::definitions::ErrorCondition;
use serde_amqp::primitives::Symbol;

use crate::core::command::Refusal;
use iothub_model::wire::ErrorCode;

/// Makes an error of a condition.
pub(crate) fn error(condition: &'static str, text: impl Into<String>) -> Error {
    let condition = ErrorCondition::Custom(Symbol::from(condition));
    Error { condition, description: Some(text.into()), info: None }
}

/// Makes an error of a refusal. The description begins like the body of a refusal over HTTPS.
pub(crate) fn of(refusal: &Refusal) -> Error {
    let Refusal { code, text } = refusal;
    error(condition(*code), format!("ErrorCode:{code};{text}"))
}

/// Returns the condition that Microsoft's SDKs know a code by.
fn condition(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::DeviceNotFound | ErrorCode::ModuleNotFound => "amqp:not-found",
        ErrorCode::DeviceMaximumQueueDepthExceeded => "amqp:resource-limit-exceeded",
        ErrorCode::IotHubUnauthorizedAccess => "amqp:unauthorized-access",
        ErrorCode::MessageTooLarge => "amqp:link:message-size-exceeded",
        ErrorCode::InvalidOperation => "amqp:not-implemented",
        ErrorCode::ArgumentInvalid | ErrorCode::ArgumentNull => "com.microsoft:argument-error",
        ErrorCode::IotHubQuotaExceeded => "com.microsoft:quota-exceeded",
        ErrorCode::ThrottlingBacklogTimeout | ErrorCode::ThrottlingException => {
            "com.microsoft:device-container-throttled"
        }
        ErrorCode::OperationNotAvailableInCurrentTier => "amqp:not-allowed",
        ErrorCode::ServiceUnavailable => "com.microsoft:timeout",
        _ => "amqp:internal-error",
    }
}

/// Returns the code by which the log has an error that a client is told, and its condition and text.
pub(crate) fn logged(error: &Error) -> (ErrorCode, String) {
    let condition = match &error.condition {
        ErrorCondition::Custom(symbol) => symbol.as_str(),
        // All errors of the hub are made above.
        _ => "amqp:internal-error",
    };
    let description = error.description.as_deref().unwrap_or_default();
    let coded = description.strip_prefix("ErrorCode:").and_then(|rest| rest.split_once(';'));
    if let Some((code, text)) = coded.and_then(|(code, text)| Some((ErrorCode::from_name(code)?, text))) {
        return (code, format!("{condition}: {text}"));
    }
    let code = match condition {
        "amqp:not-found" => ErrorCode::DeviceNotFound,
        "amqp:unauthorized-access" => ErrorCode::IotHubUnauthorizedAccess,
        "amqp:link:message-size-exceeded" => ErrorCode::MessageTooLarge,
        "amqp:decode-error" | "com.microsoft:argument-error" => ErrorCode::ArgumentInvalid,
        _ => ErrorCode::InvalidOperation,
    };
    (code, format!("{condition}: {description}"))
}
