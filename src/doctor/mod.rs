//! Why a hub cannot be worked with: what stands between here and there, looked at piece by piece, from the name to a query.
//!
//! `network` goes the way that the client goes without it: name, connection, TLS. `service` asks the hub through the one client
//! there is. Nothing is changed, and each piece is a [`Finding`]: what was found, and what to do next. Read [`examine`] first.

mod finding;
mod network;
mod service;

pub(crate) use finding::{Finding, Health};

use crate::client::HubClient;

/// How the hub is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Straight.
    Direct,
    /// By a proxy, so that name, connection and TLS are not this machine's to look at.
    Proxy,
    /// It runs in this process.
    InProcess,
}

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Patient {
    /// The client, as every command has it; best without patience, since a doctor does not wait.
    pub client: HubClient,
    /// How it reaches the hub.
    pub way: Way,
    /// The only authorities to trust, in PEM; without it, those of the system.
    pub ca_pem: Option<Vec<u8>>,
}

/// Looks at everything in turn and tells of each piece at once. Stops where nothing further can be found out.
pub(crate) async fn examine(patient: &Patient, tell: &mut (dyn FnMut(Finding) + Send)) {
    match patient.way {
        Way::Direct => {
            if !network::examine(patient.client.host(), patient.ca_pem.as_deref(), tell).await {
                return;
            }
        }
        Way::Proxy => tell(Finding::new("connection", Health::Skip, "by the proxy of HTTPS_PROXY or ALL_PROXY")),
        Way::InProcess => tell(Finding::new("connection", Health::Skip, "the hub runs in this process")),
    }
    service::examine(&patient.client, tell).await;
}

#[cfg(test)]
mod tests;
