//! Who a client says that it is, and by what it wants to prove it.

use std::time::Duration;

use mqttbytes::v4::Connect;
use mqttbytes::v4::ConnectReturnCode;
use time::OffsetDateTime;

use crate::access::Access;
use crate::core::command::Refusal;
use crate::core::session::{Fingerprints, Proof};
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::sas::SasToken;
use iothub_model::wire::topics::FromDevice;
use iothub_model::wire::topics::UserName;

/// A client that may be let in, if the registry knows it by this proof.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) id: TwinId,
    pub(crate) proof: Proof,
    /// The model that the client announces, if it does.
    pub(crate) model: Option<String>,
    /// How long the proof holds; none for ever.
    pub(crate) valid_for: Option<Duration>,
}

/// Why a client is not let in: for the log, since clients are told no more than "not authorized".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The client id is neither a device's nor a module's.
    ClientId,
    /// The user name is missing or names somebody else.
    UserName,
    /// There is neither a token nor a certificate.
    NoProof,
    /// The password is no token.
    Token,
    /// The token is over.
    Expired,
    /// The token is for something else.
    Audience {
        /// What it is for, as it says.
        resource: String,
        /// What it would have to be for.
        wanted: String,
    },
    /// No policy with the right to connect signed the token that names one.
    Policy,
    /// The will is to be sent where the client may not send.
    Will,
}

impl Denied {
    /// Returns the code of the CONNACK [MQTT-3.1.3-9].
    pub(crate) fn code(&self) -> ConnectReturnCode {
        match self {
            Self::ClientId => ConnectReturnCode::BadClientId,
            _ => ConnectReturnCode::NotAuthorized,
        }
    }

    /// Returns what the log has of it.
    pub(crate) fn refusal(&self) -> Refusal {
        let text = match self {
            Self::Audience { resource, wanted } => {
                let text = format!(
                    "the token is for `{}` (sr), and must be for `{wanted}`, whose host is the user name's",
                    resource.escape_debug()
                );
                return Refusal::new(ErrorCode::IotHubUnauthorized, text);
            }
            Self::ClientId => "the client id is neither DEVICE nor DEVICE/MODULE",
            Self::UserName => "the user name is not HOST/CLIENTID/?api-version=…, or names another client",
            Self::NoProof => "the client brings neither a token as its password nor a certificate",
            Self::Token => "the password is no shared access signature",
            Self::Expired => "the token expired more than five minutes ago",
            Self::Policy => "no policy of this hub with the right DeviceConnect signed the token that names one (skn)",
            Self::Will => "the will's topic is not the client's own telemetry",
        };
        Refusal::new(ErrorCode::IotHubUnauthorized, text)
    }
}

/// Reads a CONNECT as far as that goes without the registry.
pub(crate) fn login(
    connect: &Connect,
    certificate: Option<&Fingerprints>,
    access: &Access,
    now: OffsetDateTime,
) -> Result<Login, Denied> {
    let id: TwinId = connect.client_id.parse().map_err(|_| Denied::ClientId)?;
    let (user_name, password) =
        connect.login.as_ref().map_or(("", ""), |login| (login.username.as_str(), login.password.as_str()));
    let user_name = UserName::parse(user_name, &connect.client_id).ok_or(Denied::UserName)?;
    let model = user_name.model_id();
    if let Some(will) = &connect.last_will
        && !matches!(FromDevice::parse(&will.topic, &id), Some(FromDevice::Telemetry { .. }))
    {
        return Err(Denied::Will);
    }
    if password.is_empty() {
        let prints = certificate.cloned().ok_or(Denied::NoProof)?;
        return Ok(Login { id, proof: Proof::Certificate(prints), model, valid_for: None });
    }
    let token = SasToken::parse(password).map_err(|_| Denied::Token)?;
    let valid_for = remaining(token.taken_until(), now).ok_or(Denied::Expired)?;
    // A client behind a gateway, or before a forwarder, names a hub that this one need not know: host names are held against
    // the client's own word only.
    let wanted = match &id.module {
        None => format!("{}/devices/{}", user_name.host, id.device),
        Some(module) => format!("{}/devices/{}/modules/{module}", user_name.host, id.device),
    };
    if !token.is_for(&wanted) {
        let resource = token.resource().unwrap_or_default().to_string();
        return Err(Denied::Audience { resource, wanted });
    }
    let proof = match token.policy() {
        None => Proof::Key(token),
        Some(policy) if access.connects_devices(policy, &token) => Proof::Policy,
        Some(_) => return Err(Denied::Policy),
    };
    Ok(Login { id, proof, model, valid_for: Some(valid_for) })
}

/// Returns how long it is until a second since 1970; nothing when that is over.
fn remaining(until: u64, now: OffsetDateTime) -> Option<Duration> {
    let nanos = i128::from(until) * 1_000_000_000 - now.unix_timestamp_nanos();
    (nanos > 0).then(|| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}
