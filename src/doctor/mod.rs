//! Why a hub cannot be worked with: what stands between here and there, looked at piece by piece, from the name to a query.
//!
//! `network` goes the way that the client goes without it: name, connection, TLS. `service` asks the hub through the one client
//! there is. Nothing is changed, and each piece is a [`Finding`]: what was found, and what to do next. Read [`examine`] first.

mod network;
mod service;

use serde::Serialize;

use crate::client::HubClient;

/// What one piece is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// As it should be.
    Ok,
    /// It works, but not all of it, or not for long.
    Warn,
    /// It does not work.
    Fail,
    /// Not looked at.
    Skip,
}

/// One piece that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Which, in a word or two.
    pub what: &'static str,
    /// What it is like.
    pub health: Health,
    /// What was found: a fragment. Holds no secret.
    pub says: String,
    /// What to do next, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    /// Makes one of which nothing follows.
    pub(crate) fn new(what: &'static str, health: Health, says: impl Into<String>) -> Self {
        Self { what, health, says: says.into(), next: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn next(mut self, next: Option<impl Into<String>>) -> Self {
        self.next = next.map(Into::into);
        self
    }
}

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
