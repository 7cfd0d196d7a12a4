//! How the service says no: codes, their numbers and statuses, and the body that carries them.
//!
//! The reliable sign is the response header `iothub-errorcode`. The body is
//! `{"Message":"ErrorCode:<Name>;<text>","ExceptionMessage":"Tracking ID:…"}` for twins, identities, queries and throttling;
//! some paths send `{"errorCode":409301,"message":…,"trackingId":…}`; a gateway may send anything at all.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

/// The header that carries a code's name.
pub const ERROR_CODE_HEADER: &str = "iothub-errorcode";
/// A second name for it, which Microsoft's C# client reads on bulk operations.
pub const ERROR_CODE_HEADER_BULK: &str = "IotHubErrorCode";
/// The header that names a request on the service's side.
pub const REQUEST_ID_HEADER: &str = "x-ms-request-id";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $number:literal $status:literal,)*) => {
        /// The service's error codes, by their own names (docs: Azure IoT Hub error codes).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the symbolic name, as the header has it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Returns the number, whose first three digits are the HTTP status.
            pub fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }

            /// Returns the HTTP status that it comes with.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// No `api-version`, or one that is not served.
    InvalidProtocolVersion 400001 400,
    /// A request that means nothing.
    InvalidOperation 400003 400,
    /// A bad id, key, depth, size or query.
    ArgumentInvalid 400004 400,
    /// Something needed is not there.
    ArgumentNull 400005 400,
    /// A body that is not JSON.
    IotHubFormatError 400006 400,
    /// One device twice in a bulk request.
    DeviceDefinedMultipleTimes 400011 400,
    /// Some entries of a bulk request failed.
    BulkRegistryOperationFailure 400013 400,
    /// A blob container that cannot be used.
    BlobContainerValidationError 400008 400,
    /// A scope that names no edge device.
    InvalidDeviceScope 400028 400,
    /// A request for new keys that names none of a device's two.
    InvalidPolicyKey 400035 400,
    /// None of the devices of a bulk request got new keys.
    BulkRegenerateDeviceKeyOperationFailure 400036 400,
    /// A configuration's target condition that is none.
    InvalidConfigurationTargetCondition 400401 400,
    /// A configuration's content that is none.
    InvalidConfigurationContent 400402 400,
    /// A configuration's metric whose query is none.
    InvalidConfigurationCustomMetricsQuery 400404 400,
    /// A JSON Patch of a digital twin that is none.
    InvalidDigitalTwinJsonPatch 400505 400,
    /// A JSON Patch of a digital twin that changes what it may not, or gives a value that there cannot be.
    InvalidDigitalTwinPatch 400507 400,
    /// A JSON Patch of a digital twin with a path that there cannot be.
    InvalidDigitalTwinPatchPath 400508 400,
    /// Anything else that is wrong with a request.
    GenericBadRequest 400000 400,
    /// The credentials are not accepted, for no reason in particular.
    GenericUnauthorized 401000 401,
    /// A bad key, an expired token, or a policy without the right.
    IotHubUnauthorizedAccess 401002 401,
    /// The same, mostly for devices.
    IotHubUnauthorized 401003 401,
    /// A write to one of IoT Edge's own modules, whatever the credentials (docs: error codes; iotedge#1162).
    SystemModuleModifyUnauthorizedAccess 401100 401,
    /// The request is forbidden, for no reason in particular.
    GenericForbidden 403000 403,
    /// The hub is suspended.
    IotHubSuspended 403001 403,
    /// The daily quota is used up.
    IotHubQuotaExceeded 403002 403,
    /// Another import or export job is running.
    JobQuotaExceeded 403003 403,
    /// As many messages wait for the device as may.
    DeviceMaximumQueueDepthExceeded 403004 403,
    /// The hub's tier does not have it.
    OperationNotAvailableInCurrentTier 403010 403,
    /// A section of the twin is too large, or has too many properties.
    DeviceModelMaxPropertiesExceeded 403100 403,
    /// No such device, or no such twin.
    DeviceNotFound 404001 404,
    /// No such job.
    JobNotFound 404002 404,
    /// No such module.
    ModuleNotFound 404010 404,
    /// The device is not connected.
    DeviceNotOnline 404103 404,
    /// No such configuration.
    ConfigurationNotFound 404301 404,
    /// Not a thing that can be done now.
    OperationNotAllowedInCurrentState 405102 405,
    /// The device is there already.
    DeviceAlreadyExists 409001 409,
    /// The module is there already.
    ModuleAlreadyExistsOnDevice 409301 409,
    /// The configuration is there already.
    ConfigurationAlreadyExists 409401 409,
    /// A job of this id is there already.
    JobAlreadyExists 409104 409,
    /// The etag is not the current one.
    PreconditionFailed 412001 412,
    /// The lock of a message is another one's now, or over.
    DeviceMessageLockLost 412002 412,
    /// The body is too large.
    MessageTooLarge 413001 413,
    /// More devices than one request takes.
    TooManyDevices 413002 413,
    /// More modules than a device can have.
    TooManyModulesOnDevice 413003 413,
    /// More configurations than a hub can have.
    ConfigurationCountLimitExceeded 413101 413,
    /// Too many requests.
    ThrottlingException 429001 429,
    /// Too many requests are waiting.
    ThrottleBacklogLimitExceeded 429002 429,
    /// The request waited too long behind others.
    ThrottlingBacklogTimeout 429003 429,
    /// As many jobs are waiting and running as may.
    ThrottlingMaxActiveJobCountExceeded 429004 429,
    /// It took too long.
    GenericTimeout 500008 500,
    /// The service failed; try again.
    ServerError 500001 500,
    /// The service is not there; try again.
    ServiceUnavailable 503001 503,
    /// The device gave no answer in time.
    GatewayTimeout 504101 504,
}

impl ErrorCode {
    /// Returns `true` if the credentials are the reason, so that they are not good for the next request either.
    pub fn is_about_credentials(self) -> bool {
        matches!(
            self,
            Self::GenericUnauthorized
                | Self::IotHubUnauthorizedAccess
                | Self::IotHubUnauthorized
                | Self::GenericForbidden
        )
    }

    /// Finds a code by its symbolic name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// Finds a code by its number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| u64::from(code.number()) == number)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A refusal as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubError {
    /// The HTTP status.
    pub status: u16,
    /// The code's name as the hub sent it, known to us or not; none when nobody said.
    pub code_name: Option<String>,
    /// What the hub said about it; empty when it said nothing that can be read.
    pub message: String,
    /// What Microsoft's support asks for.
    pub tracking_id: Option<String>,
}

impl HubError {
    /// Returns the code, when it is one that we know.
    pub fn code(&self) -> Option<ErrorCode> {
        self.code_name.as_deref().and_then(ErrorCode::from_name)
    }

    /// Reads a refusal from what came: the status, the header if there was one, and the body whatever it is.
    ///
    /// Never fails: a body that is not the service's own (a proxy's HTML, half a JSON) only leaves less to say.
    pub fn decode(status: u16, error_code_header: Option<&str>, body: &[u8]) -> Self {
        let mut error =
            Self { status, code_name: error_code_header.map(str::to_owned), message: String::new(), tracking_id: None };
        if let Ok(body) = serde_json::from_slice::<Body>(body) {
            error.read_body(body, 0);
        }
        error
    }

    fn read_body(&mut self, body: Body, nesting: u8) {
        if let Some(number) = body.error_code.as_ref().and_then(Value::as_u64).filter(|number| *number != 0) {
            // A number that has no name here is still the hub's own code.
            let name =
                || ErrorCode::from_number(number).map_or_else(|| number.to_string(), |code| code.name().to_owned());
            self.code_name.get_or_insert_with(name);
        }
        let text = body.message.unwrap_or_default();
        // Direct methods wrap one envelope in the other's message.
        if nesting == 0
            && let Ok(inner) = serde_json::from_str::<Body>(&text)
        {
            self.read_body(inner, 1);
        } else if let Some((name, rest)) = text.strip_prefix("ErrorCode:").and_then(|text| text.split_once(';')) {
            self.code_name.get_or_insert_with(|| name.trim().to_owned());
            self.message = one_line(rest);
        } else {
            self.message = one_line(&text);
        }
        let tracking = body.tracking_id.or_else(|| {
            let text = body.exception_message?;
            let (_, rest) = text.split_once("Tracking ID:")?;
            Some(rest.trim().to_owned())
        });
        if let Some(tracking) = tracking.filter(|tracking| !tracking.is_empty()) {
            self.tracking_id.get_or_insert(one_line(&tracking));
        }
    }
}

/// How many characters of the hub's own words are repeated, at most.
const WORDS_MAX: usize = 1000;

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(alias = "Message")]
    message: Option<String>,
    #[serde(alias = "ExceptionMessage", rename = "exceptionMessage")]
    exception_message: Option<String>,
    #[serde(rename = "errorCode")]
    error_code: Option<Value>,
    #[serde(rename = "trackingId")]
    tracking_id: Option<String>,
}

/// Writes the body that twins, identities, queries and throttling answer with.
pub fn encode_body(code: ErrorCode, text: &str, tracking_id: &str) -> Value {
    json!({
        "Message": format!("ErrorCode:{code};{text}"),
        "ExceptionMessage": format!("Tracking ID:{tracking_id}"),
    })
}

/// Writes the body of device-side refusals, module identities and newer paths: the code's number in place of its name.
pub fn encode_numbered_body(code: ErrorCode, text: &str, tracking_id: &str, timestamp_utc: &str) -> Value {
    json!({ "errorCode": code.number(), "trackingId": tracking_id, "message": text, "timestampUtc": timestamp_utc })
}

/// Writes a body for a status that has no code of its own: what reads the number alone must find one.
pub fn encode_body_of_number(status: u16, text: &str, tracking_id: &str, timestamp_utc: &str) -> Value {
    let number = u32::from(status) * 1000;
    json!({ "errorCode": number, "trackingId": tracking_id, "message": text, "timestampUtc": timestamp_utc })
}

/// Writes the body that direct methods answer with when it is about the device: a numbered one as a text in the other.
pub fn encode_nested_body(code: ErrorCode, text: &str, tracking_id: &str, timestamp_utc: &str) -> Value {
    let mut inner = encode_numbered_body(code, text, tracking_id, timestamp_utc);
    inner["info"] = Value::Null;
    json!({ "Message": inner.to_string(), "ExceptionMessage": "" })
}

/// Writes the body that import and export jobs over the quota answer with: lines of text in place of a code.
pub fn encode_lines_body(code: ErrorCode, text: &str, timestamp: &str) -> Value {
    json!({
        "Message": format!("Error: {} {code}\nMessage: {text}\nTimestamp: {timestamp}", code.status()),
        "ExceptionMessage": "",
    })
}

/// Writes what the service calls a tracking id: the request's own id, a partition, and the time in UTC.
pub fn tracking_id(request_id: &str, now: time::OffsetDateTime) -> String {
    let now = now.to_offset(time::UtcOffset::UTC);
    format!(
        "{}-G:0-TimeStamp:{:02}/{:02}/{:04} {:02}:{:02}:{:02}",
        request_id.replace('-', ""),
        u8::from(now.month()),
        now.day(),
        now.year(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(code));
            assert_eq!(ErrorCode::from_number(code.number().into()), Some(code));
            assert_eq!(code.number() / 1000, u32::from(code.status()), "{code}");
        }
    }

    #[test]
    fn envelopes() {
        let tracking = "f00d-G:12-TimeStamp:11/24/2026 10:00:00";
        let own = encode_body(ErrorCode::PreconditionFailed, "ETag mismatch", tracking).to_string();
        let nested = encode_nested_body(ErrorCode::GatewayTimeout, "late", "ef", "2026-11-24T10:00:00Z").to_string();
        for (header, body, code, message, tracking_id) in [
            (None, nested.as_str(), Some("GatewayTimeout"), "late", Some("ef")),
            (Some("PreconditionFailed"), own.as_str(), Some("PreconditionFailed"), "ETag mismatch", Some(tracking)),
            (None, own.as_str(), Some("PreconditionFailed"), "ETag mismatch", Some(tracking)),
            (
                None,
                r#"{"errorCode":409301,"message":"there","trackingId":"ab","timestampUtc":"x"}"#,
                Some("ModuleAlreadyExistsOnDevice"),
                "there",
                Some("ab"),
            ),
            (
                None,
                r#"{"Message":"{\"errorCode\":404103,\"message\":\"off\",\"trackingId\":\"cd\",\"info\":null}","ExceptionMessage":""}"#,
                Some("DeviceNotOnline"),
                "off",
                Some("cd"),
            ),
            (
                None,
                r#"{"Message":"Error: 403 x\nMessage: y\nTimestamp: z"}"#,
                None,
                "Error: 403 x Message: y Timestamp: z",
                None,
            ),
            (Some("NewCode"), "", Some("NewCode"), "", None),
            (None, r#"{"errorCode":401999,"message":"new"}"#, Some("401999"), "new", None),
            (None, "<html>no</html>", None, "", None),
            (None, "{\"Message\":", None, "", None),
            (None, "[1]", None, "", None),
        ] {
            let expected = HubError {
                status: 400,
                code_name: code.map(str::to_owned),
                message: message.to_owned(),
                tracking_id: tracking_id.map(str::to_owned),
            };
            assert_eq!(HubError::decode(400, header, body.as_bytes()), expected, "{body}");
        }
    }
}
