//! What every request must have: a version that is served, and a token with the right to what it asks.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::Uri;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;
use http_body_util::LengthLimitError;
use http_body_util::Limited;
use serde::de::DeserializeOwned;

use crate::access::Right;
use crate::core::command::Refusal;
use crate::core::device::Device;
use crate::core::requests::devices::GetDevice;
use crate::core::requests::sessions::admit as check_proof;
use crate::core::session::Proof;
use crate::frontends::https::admission::admit;
use crate::frontends::https::context::Context;
use crate::frontends::https::refusal::bad_json;
use crate::frontends::https::response::text_of;
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::twin::ModuleId;
use iothub_model::twin::TwinId;
use iothub_model::wire::API_VERSION;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::decode_segment;
use iothub_model::wire::encode_segment;
use iothub_model::wire::members;
use iothub_model::wire::numbers::as_the_service_reads;
use iothub_model::wire::registry::DeviceStatus;
use iothub_model::wire::sas::SasToken;
use iothub_model::wire::versions;

/// Bytes of a body, at most. Twins are far smaller; SDKs send whole ones with their metadata.
const BODY_MAX_BYTES: usize = 1 << 20;
/// A body that has not come by then does not come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A right as a type, so that a resource cannot be written without one.
pub(crate) trait Needs {
    const RIGHT: Right;
}

macro_rules! needs {
    ($($name:ident)*) => {
        $(pub(crate) struct $name;

        impl Needs for $name {
            const RIGHT: Right = Right::$name;
        })*
    };
}

needs! { RegistryRead RegistryWrite ServiceConnect Configurations Jobs Administer }

/// A request that may be done: its version is served and its token has the right `R`.
pub(crate) struct ServiceCall<R> {
    uri: Uri,
    /// The request's headers.
    pub(crate) headers: HeaderMap,
    right: PhantomData<fn() -> R>,
}

impl<R: Needs> FromRequestParts<Arc<Context>> for ServiceCall<R> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Refusal> {
        let version = api_version(&parts.uri);
        if !version.as_deref().is_some_and(versions::is_served) {
            let found = match version {
                None => "the request names no api-version".to_owned(),
                Some(version) => format!("the api-version `{}` is not served", version.escape_debug()),
            };
            let text = format!("{found}; {API_VERSION} is, for example");
            return Err(Refusal::new(ErrorCode::InvalidProtocolVersion, text));
        }
        let authorization = text_of(&parts.headers, &header::AUTHORIZATION);
        let now = context.live.now();
        match own_modules(authorization, parts.uri.path()) {
            Some((device, token)) => check_own_key(context, device, token, parts.uri.path()).await?,
            None => context.access.check_request(authorization, &parts.method, parts.uri.path(), R::RIGHT, now)?,
        }
        if context.admission.is_limited() {
            admit(&context.admission, parts, now).await?;
        }
        Ok(Self { uri: parts.uri.clone(), headers: parts.headers.clone(), right: PhantomData })
    }
}

impl<R> ServiceCall<R> {
    /// Returns the device that the path's second segment names.
    pub(crate) fn device(&self) -> Result<DeviceId, Refusal> {
        self.segment(1)?.parse().map_err(invalid)
    }

    /// Returns the device that the path's second segment names, and the module that its fourth names.
    pub(crate) fn module(&self) -> Result<(DeviceId, ModuleId), Refusal> {
        Ok((self.device()?, self.segment(3)?.parse().map_err(invalid)?))
    }

    /// Returns the twin that the path names, a device's or a module's.
    pub(crate) fn twin(&self) -> Result<TwinId, Refusal> {
        let device = self.device()?;
        let module = match self.segment(3)? {
            none if none.is_empty() => None,
            module => Some(module.parse().map_err(invalid)?),
        };
        Ok(TwinId { device, module })
    }

    /// Returns the path's second segment, decoded: the id of something that has no type of its own.
    pub(crate) fn second_segment(&self) -> Result<String, Refusal> {
        self.segment(1)
    }

    /// Returns the path's third segment, decoded: a job's id.
    pub(crate) fn third_segment(&self) -> Result<String, Refusal> {
        self.segment(2)
    }

    /// Returns the condition that the request sets.
    pub(crate) fn if_match(&self) -> IfMatch {
        let values = self.headers.get_all(header::IF_MATCH).iter();
        // What is no text is no etag of ours either, and must not count as no condition.
        IfMatch::parse(values.map(|value| value.to_str().unwrap_or("\"\u{fffd}\"")))
    }

    /// Returns the path, as it came.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Returns a parameter of the query string, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.uri, name)
    }

    /// Decodes one segment of the path, once, after the path was split: ids hold `%` and `#`, and `+` is a plus. Empty when
    /// the path has fewer.
    fn segment(&self, index: usize) -> Result<String, Refusal> {
        let raw = self.uri.path().trim_start_matches('/').split('/').nth(index).unwrap_or("");
        decode_segment(raw).ok_or_else(|| invalid("the path is not UTF-8"))
    }
}

/// Returns the device whose modules a request is about and the token that its own key must have signed; none for a token that
/// names a policy, and for any other path. C's live suite and IoT Edge's identity service make modules so.
fn own_modules(authorization: Option<&str>, path: &str) -> Option<(DeviceId, SasToken)> {
    let token = SasToken::parse(authorization?).ok().filter(|token| token.policy().is_none())?;
    let mut segments = path.trim_start_matches('/').split('/');
    let (Some("devices"), Some(device), Some("modules")) = (segments.next(), segments.next(), segments.next()) else {
        return None;
    };
    Some((decode_segment(device)?.parse().ok()?, token))
}

/// Lets a device through that signed a request with its own key, or refuses it. Modules of a disabled device are closed to
/// everybody, which is said later.
async fn check_own_key(context: &Context, device: DeviceId, token: SasToken, path: &str) -> Result<(), Refusal> {
    let registered = context.live.handle(GetDevice { id: device.clone() }).await.ok();
    let proof = Proof::Key(token.clone());
    let is_signed =
        |device: &Device| check_proof(DeviceStatus::Enabled, device.identity().authentication, &proof).is_ok();
    if !registered.is_some_and(|device| is_signed(&device)) {
        let text = format!("the token is not signed by a key of the device {device}, whose modules these are");
        return Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
    }
    let is_for = |path: &str| context.access.check_token(&token, path, context.live.now());
    // Go's client leaves `devices/` out of what its token is for.
    is_for(path).or_else(|refusal| is_for(&format!("/{}", encode_segment(device.as_str()))).map_err(|_| refusal))
}

/// Returns the version that a request asks for.
pub(crate) fn api_version(uri: &Uri) -> Option<String> {
    parameter(uri, "api-version")
}

/// Returns a parameter of the query string, decoded: the first of this name, which counts in any case, as ASP.NET reads names. A
/// parameter without a value is empty.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut decoded = pairs.filter_map(|(key, value)| Some((decode_segment(key)?, decode_segment(value)?)));
    decoded.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn invalid(reason: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::ArgumentInvalid, reason.to_string())
}

/// Reads a body and the JSON in it, whose members' names count in any case, and its numbers as the service reads them.
pub(crate) async fn read_json<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let bytes = read_some(body).await?;
    let text = as_the_service_reads(&bytes).map_err(invalid)?;
    members::read(&text).map_err(|error| bad_json(&error))
}

/// Does the same where a part of the JSON is passed on as its bytes.
pub(crate) async fn read_json_with_bytes<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    members::read(&read_some(body).await?).map_err(|error| bad_json(&error))
}

/// What some writers of UTF-8 begin with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

async fn read_some(body: Body) -> Result<Bytes, Refusal> {
    let bytes = read(body).await?;
    // PowerShell and .NET's writers of text begin with the mark, and .NET's readers pass over it.
    let bytes = if bytes.starts_with(BYTE_ORDER_MARK) { bytes.slice(BYTE_ORDER_MARK.len()..) } else { bytes };
    if bytes.is_empty() {
        return Err(Refusal::new(ErrorCode::ArgumentNull, "the request has no body"));
    }
    Ok(bytes)
}

pub(crate) async fn read(body: Body) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX_BYTES).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(ErrorCode::MessageTooLarge, format!("the body has more than {BODY_MAX_BYTES} bytes")))
        }
        Ok(Err(_)) => Err(Refusal::new(ErrorCode::GenericBadRequest, "the body broke off")),
        Err(_) => Err(Refusal::new(ErrorCode::GenericBadRequest, "the body did not come in time")),
    }
}
