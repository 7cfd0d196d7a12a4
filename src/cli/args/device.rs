//! The options of the devices that are simulated: `device`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::HubArgs;
use super::connection::duration;
use crate::device::report::Property;

/// Simulate devices
#[derive(Debug, Subcommand)]
pub enum SimulationCommand {
    /// Run simulated devices over MQTT
    ///
    /// Each connects as a device does, gets its twin, reports what --report says, and prints what the hub sends it: its desired
    /// properties, then each patch of them, and the direct methods that it is called with, which it answers with 200 and what
    /// they brought. It reconnects when the connection is lost, and gets its twin again, so that it misses no change.
    ///
    /// --connection-string takes a device's own, or with --id a shared access policy's, which fetches the devices' keys.
    ///
    /// --concurrency devices connect at a time, 16 by default. One that cannot be reached is tried for --retry-budget, one that
    /// was connected for ever; one that the hub does not let in is given up.
    ///
    /// Ctrl-C ends it.
    Run(DeviceRunArgs),
}

/// The options of `twinctl device run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export IOTHUB_DEVICE_CONNECTION_STRING='HostName=...;DeviceId=thermostat-001;SharedAccessKey=...'
  twinctl device run --report connectivity=cellular
  twinctl device run --report network.rssi=-71 --once      # report, and leave
  twinctl device run --ack --ca-file hub/ca.pem            # on `twinctl hub serve`

  export IOTHUB_CONNECTION_STRING='HostName=...;SharedAccessKeyName=iothubowner;SharedAccessKey=...'
  twinctl device run --id 'press-{001..100}' --ack         # a hundred in one process

What reaches a device goes to stdout, a line each: the device, what it is, the version, the value.
How it fares goes to stderr. With several devices, one that is given up does not stop the others,
and the exit code is 5.")]
pub struct DeviceRunArgs {
    /// Report this property: KEY=VALUE, where dots in KEY nest and VALUE is JSON if it can be read so, else text; null
    /// removes it
    #[arg(long, value_name = "KEY=VALUE")]
    pub report: Vec<Property>,

    /// Report desired properties back, each under its own path, so that reported equals desired
    #[arg(long)]
    pub ack: bool,

    /// Which devices, with the connection string of a policy: an id, or many as in 'press-{001..100}'
    #[arg(long = "id", value_name = "ID")]
    pub ids: Vec<String>,

    /// Only the first N of them
    #[arg(long, value_name = "N", requires = "ids", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,

    /// End when the twin is read and all is reported
    #[arg(long)]
    pub once: bool,

    /// End after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub exit_after: Option<Duration>,

    /// Speak MQTT over a WebSocket, on the port of the hub's HTTPS
    #[arg(long)]
    pub websocket: bool,

    /// The port to connect to [default: 8883; with --websocket that of the host name, or 443]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}
