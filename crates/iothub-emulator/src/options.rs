//! The options of a hub that is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::access::tls_files::TlsFiles;
use crate::faults::FaultSpec;
use crate::request_log::RequestObserver;
use iothub_model::tiers::Tier;

/// About how often the service evaluates configurations.
const EVALUATE_CONFIGURATIONS: Duration = Duration::from_secs(300);

/// How a hub is to be started; see [`EmulatorBuilder`](crate::EmulatorBuilder) for what each means.
#[derive(Clone, Debug)]
pub(crate) struct HubOptions {
    /// The data folder; in memory without it.
    pub(crate) data: Option<PathBuf>,
    pub(crate) https: SocketAddr,
    pub(crate) mqtt: Option<SocketAddr>,
    pub(crate) amqp: Option<SocketAddr>,
    pub(crate) host_name: Option<String>,
    /// Who is told of every request.
    pub(crate) request_observers: Vec<RequestObserver>,
    pub(crate) request_log: Option<PathBuf>,
    pub(crate) evaluate_configurations: Duration,
    /// By the tier where there is none, and 1 without a tier.
    pub(crate) active_jobs: Option<usize>,
    pub(crate) tier: Option<Tier>,
    pub(crate) units: u32,
    pub(crate) query_lag: Duration,
    pub(crate) latency: Duration,
    pub(crate) faults: FaultSpec,
    pub(crate) entra_issuer: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
}

impl HubOptions {
    /// A hub in memory on free ports of 127.0.0.1, without limits and well-behaved.
    pub(crate) fn loopback() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            data: None,
            https: free,
            mqtt: Some(free),
            amqp: Some(free),
            host_name: None,
            request_observers: Vec::new(),
            request_log: None,
            evaluate_configurations: EVALUATE_CONFIGURATIONS,
            active_jobs: None,
            tier: None,
            units: 1,
            query_lag: Duration::ZERO,
            latency: Duration::ZERO,
            faults: FaultSpec::default(),
            entra_issuer: None,
            tls: None,
        }
    }
}
