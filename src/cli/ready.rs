//! What `twinctl hub serve` tells of itself when it listens: the ready file.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::file;
use super::outcome::{CliError, CliResult};
use iothub_emulator::{Emulator, Policy};
use iothub_model::wire::Secret;

/// What a client needs to know of a hub that listens; serialized, the content of a ready file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    /// The host name with its port (none for 443), as connection strings and tokens have it.
    pub(super) host_name: String,
    /// The address that is listened on.
    https: SocketAddr,
    /// The address where MQTT over TLS is listened for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mqtt: Option<SocketAddr>,
    /// The address where AMQP over TLS is listened for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amqp: Option<SocketAddr>,
    /// Where MQTT and AMQP over WebSocket are spoken.
    pub(super) websocket: String,
    /// The certificate authority to trust, in PEM.
    pub(super) ca_file: PathBuf,
    /// One for each shared access policy.
    pub(super) connection_strings: ConnectionStrings,
}

/// Connection strings with their keys. Serializing them shows the keys, `Debug` does not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectionStrings {
    #[serde(serialize_with = "expose")]
    iothubowner: Secret,
    #[serde(serialize_with = "expose")]
    service: Secret,
    #[serde(serialize_with = "expose")]
    device: Secret,
    #[serde(serialize_with = "expose")]
    registry_read: Secret,
    #[serde(serialize_with = "expose")]
    registry_read_write: Secret,
}

fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

impl Ready {
    /// Returns what clients need to know of a hub with a data folder.
    pub(super) fn of(hub: &Emulator) -> Self {
        let of = |policy| Secret::new(hub.connection_string(policy));
        Self {
            host_name: hub.host_name().to_owned(),
            https: hub.https_addr(),
            mqtt: hub.mqtt_addr(),
            amqp: hub.amqp_addr(),
            websocket: hub.websocket_url().to_owned(),
            ca_file: hub.ca_file().map(PathBuf::from).unwrap_or_default(),
            connection_strings: ConnectionStrings {
                iothubowner: of(Policy::IotHubOwner),
                service: of(Policy::Service),
                device: of(Policy::Device),
                registry_read: of(Policy::RegistryRead),
                registry_read_write: of(Policy::RegistryReadWrite),
            },
        }
    }
}

impl Ready {
    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a ready file is strings") + "\n"
    }
}

impl ConnectionStrings {
    /// Returns each with the name of its policy.
    pub(super) fn by_policy(&self) -> [(Policy, &Secret); 5] {
        [
            (Policy::IotHubOwner, &self.iothubowner),
            (Policy::Service, &self.service),
            (Policy::Device, &self.device),
            (Policy::RegistryRead, &self.registry_read),
            (Policy::RegistryReadWrite, &self.registry_read_write),
        ]
    }
}

/// The ready file of one hub, from before its start to its end.
pub(super) struct ReadyFile(PathBuf);

impl ReadyFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Removes the file that an earlier hub left, and returns what it held. What is no regular file stays.
    pub(super) fn remove_old(&self) -> CliResult<Option<Vec<u8>>> {
        let failed = |error| CliError::doing(format!("removing the old ready file {}", self.0.display()), error);
        if !std::fs::symlink_metadata(&self.0).is_ok_and(|there| there.is_file()) {
            return Ok(None);
        }
        let held = std::fs::read(&self.0).map_err(failed)?;
        std::fs::remove_file(&self.0).map_err(failed)?;
        Ok(Some(held))
    }

    /// Puts back what was removed.
    pub(super) fn put_back(&self, held: Option<Vec<u8>>) {
        if let Some(held) = held {
            // The error of the start is what there is to say.
            let _ = file::write_private(&self.0, &held);
        }
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, ready: &Ready) -> CliResult<()> {
        // It holds keys: for its owner alone.
        file::write_private(&self.0, ready.text().as_bytes())
            .map_err(|error| CliError::doing(format!("writing the ready file {}", self.0.display()), error))
    }

    /// Removes it, unless another hub has written it since.
    pub(super) fn remove(&self, ready: &Ready) {
        let is_regular = std::fs::symlink_metadata(&self.0).is_ok_and(|there| there.is_file());
        if is_regular && std::fs::read(&self.0).is_ok_and(|held| held == ready.text().as_bytes()) {
            // The hub stops all the same.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ready_file_has_keys_and_debug_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Emulator::builder().data_dir(folder.path()).mqtt(None).amqp(None);
        let hub = options.start().await.expect("a hub");
        let owner = hub.connection_string(Policy::IotHubOwner);
        let ready = Ready::of(&hub);
        let key = owner.rsplit_once("SharedAccessKey=").expect("a key").1;
        assert!(!format!("{ready:?}").contains(key));
        let ready = serde_json::to_value(ready).expect("JSON");
        let keys: Vec<_> = ready.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["caFile", "connectionStrings", "hostName", "https", "websocket"]);
        let names: Vec<_> = ready["connectionStrings"].as_object().expect("an object").keys().collect();
        assert_eq!(names, ["device", "iothubowner", "registryRead", "registryReadWrite", "service"]);
        assert_eq!(ready["connectionStrings"]["iothubowner"], owner.as_str());
    }
}
