//! The embedded hub's misbehaviour, asked for while it runs. A real hub knows nothing of it.

use super::send::{Answer, Call};
use super::{Error, HubClient};
use iothub_model::wire::faults::{FAULTS_PATH, FaultsReport};

impl HubClient {
    /// Reads which rules there are and what they came to.
    pub(crate) async fn faults(&self) -> Result<FaultsReport, Error> {
        report(&self.transport().read(&Call::new("GET", FAULTS_PATH.to_owned())).await?)
    }

    /// Puts rules, in their own language, in the place of those that are there.
    #[cfg(feature = "embedded")]
    pub(crate) async fn set_faults(&self, spec: impl Into<String>) -> Result<FaultsReport, Error> {
        let call = Call::new("PUT", FAULTS_PATH.to_owned())
            .body(&iothub_model::wire::faults::FaultsBody { spec: spec.into() });
        report(&self.transport().once(&call).await?)
    }

    /// Takes all rules away.
    pub(crate) async fn clear_faults(&self) -> Result<FaultsReport, Error> {
        report(&self.transport().once(&Call::new("DELETE", FAULTS_PATH.to_owned())).await?)
    }
}

fn report(answer: &Answer) -> Result<FaultsReport, Error> {
    serde_json::from_value(answer.json()?).map_err(|_| answer.nonsense("it is no list of faults"))
}
