//! Which hub, and how patient.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueHint};

use iothub_model::duration::{self, DurationError};
use iothub_model::placeholder::Placeholder;
use iothub_model::twin::HubHost;

/// Which hub, and how patient.
#[derive(Clone, Args)]
#[command(next_help_heading = "Hub")]
pub struct HubArgs {
    /// The hub: `embedded:DIR` runs one in this process and keeps it in DIR, `embedded` forgets it at the end
    #[arg(long, value_name = "HUB")]
    pub hub: Option<HubName>,

    /// A shared access policy's connection string; better given as IOTHUB_CONNECTION_STRING, which `ps` does not show
    #[arg(long, value_name = "STRING")]
    pub connection_string: Option<String>,

    /// The certificate authority to trust, in PEM, in place of the system's: for `twinctl hub serve`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,

    /// How many requests at once [default: 32 reads, 16 writes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: Option<u16>,

    /// How long one request may take
    #[arg(long, value_name = "TIME", default_value = "100s", value_parser = duration)]
    pub timeout: Duration,

    /// How long a request is tried again while the hub is busy or does not answer; 0s tries once
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration_or_zero)]
    pub retry_budget: Duration,
}

impl HubArgs {
    /// How long one request may take, unless an option says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(100);
    /// How long a request is tried again, unless an option says otherwise.
    pub const RETRY_BUDGET: Duration = Duration::from_secs(300);
}

/// Without the connection string.
impl std::fmt::Debug for HubArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hub, connection_string: _, ca_file, concurrency, timeout, retry_budget } = self;
        f.debug_struct("HubArgs")
            .field("hub", hub)
            .field("ca_file", ca_file)
            .field("concurrency", concurrency)
            .field("timeout", timeout)
            .field("retry_budget", retry_budget)
            .finish_non_exhaustive()
    }
}

/// What `--hub` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubName {
    /// The embedded one, in a folder, or for this run alone.
    Embedded(Option<PathBuf>),
    /// One by its host name.
    Host(HubHost),
}

impl FromStr for HubName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("embedded", "")) => Err("a folder is missing after `embedded:`".to_owned()),
            Some(("embedded", folder)) => Ok(Self::Embedded(Some(folder.into()))),
            None if text == "embedded" => Ok(Self::Embedded(None)),
            _ => {
                text.parse().map(Self::Host).map_err(|error: iothub_model::twin::IdError| {
                    match Placeholder::first_in(text) {
                        Some(placeholder) => format!("it has {placeholder}: {}", placeholder.advice()),
                        None => error.to_string(),
                    }
                })
            }
        }
    }
}

/// Parses a duration that is longer than zero.
pub(super) fn duration(text: &str) -> Result<Duration, DurationError> {
    duration::parse_nonzero(text, duration::DAY)
}

/// Parses a duration that may be zero.
fn duration_or_zero(text: &str) -> Result<Duration, DurationError> {
    duration::parse(text, duration::DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs() {
        for (text, hub) in [
            ("embedded", Ok(HubName::Embedded(None))),
            ("embedded:a/b:c", Ok(HubName::Embedded(Some("a/b:c".into())))),
            ("embedded:", Err(())),
            ("My-Hub.azure-devices.net", Ok(HubName::Host("my-hub.azure-devices.net".parse().expect("a host")))),
            ("127.0.0.1:8443", Ok(HubName::Host("127.0.0.1:8443".parse().expect("a host")))),
            ("https://hub", Err(())),
            ("", Err(())),
        ] {
            assert_eq!(text.parse::<HubName>().map_err(|_| ()), hub, "{text}");
        }
    }
}
