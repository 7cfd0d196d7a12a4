//! The options of the embedded hub: `hub`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

use super::HubArgs;
use super::connection::duration;
use crate::manifest::range::Pattern;
use iothub_model::tiers::Tier;
use iothub_model::twin::{DeviceId, IdError, ModuleId};

/// Run the embedded hub, and look after its devices
#[derive(Debug, Subcommand)]
pub enum HubCommand {
    /// Serve the embedded hub until Ctrl-C
    ///
    /// It speaks the service API over HTTPS, as Microsoft's SDKs do. Everything is kept in one folder: devices, keys, and the
    /// certificate authority that clients have to trust. An acknowledged write survives a power cut.
    Serve(Box<ServeArgs>),
    /// Add, list, show and remove devices
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Print a shared access signature, for clients without an SDK
    ///
    /// It is signed with the key of a connection string, --connection-string or IOTHUB_CONNECTION_STRING, of a policy or of a device. With
    /// --data the hub of a folder has the keys. The token alone goes to stdout. It opens what its key opens until it expires: treat it as
    /// a password.
    Token(TokenArgs),
    /// Show, set and clear how an embedded hub misbehaves, while it runs
    #[command(subcommand, after_help = FAULTS_HELP)]
    Faults(FaultsCommand),
}

/// The options of `twinctl hub serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  twinctl hub serve --data hub --https 127.0.0.1:8443
  twinctl hub serve --data hub --https 127.0.0.1:0 --ready-file ready.json &
  until test -s ready.json; do sleep 0.1; done

The ready file is JSON: hostName, https, mqtt, amqp, websocket, caFile, and connectionStrings for
iothubowner, service, device, registryRead and registryReadWrite.

Most device SDKs know no other ports than 8883, and 443 for WebSockets; service SDKs send messages
to devices by port 5671. Several hubs on one Linux machine take several addresses, each with such
ports of its own:
  twinctl hub serve --data hub2 --https 127.0.0.2:8443")]
pub struct ServeArgs {
    /// The folder to keep everything in; made when it is not there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: PathBuf,

    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    pub https: SocketAddr,

    /// Where to listen for devices that speak MQTT over TLS [default: port 8883 of the address of --https, or a free port
    /// where that has port 0]
    #[arg(long, value_name = "ADDR:PORT")]
    pub mqtt: Option<SocketAddr>,

    /// Where to listen for services that send messages to devices over AMQP [default: port 5671 of the address of --https, or
    /// a free port where that has port 0]
    #[arg(long, value_name = "ADDR:PORT")]
    pub amqp: Option<SocketAddr>,

    /// The name that clients use, put into the certificate and the connection strings [default: the address]
    #[arg(long, value_name = "NAME")]
    pub host_name: Option<String>,

    /// Show this certificate (PEM, with those between it and its authority) in place of one that the hub makes, whose keys are of
    /// elliptic curves: some clients take RSA alone
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,

    /// The key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,

    /// The authority of --tls-cert (PEM), which clients are told to trust [default: the hub's own, DIR/ca.pem]
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub tls_ca: Option<PathBuf>,

    /// Write a file when it listens, with the host name, the CA file and the connection strings
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ready_file: Option<PathBuf>,

    /// Append a line of JSON for each request, and for each device or service that is refused or cut over MQTT or AMQP
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub request_log: Option<PathBuf>,

    /// Evaluate automatic device configurations so often [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub evaluate_configurations: Option<Duration>,

    /// How it behaves.
    #[command(flatten)]
    pub behaviour: BehaviourArgs,
}

/// What a hub is asked to be like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Behaviour, off unless asked for")]
pub struct BehaviourArgs {
    /// Keep the throttles and the daily quota of a tier: F1, B1, B2, B3, S1, S2 or S3
    #[arg(long, value_name = "TIER")]
    pub tier: Option<Tier>,

    /// How many units of the tier
    #[arg(long, value_name = "N", default_value = "1", requires = "tier")]
    pub units: u32,

    /// Let queries answer from the state of so long ago
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub query_lag: Option<Duration>,

    /// Let each request take so long, half as much or half as much again by chance
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub latency: Option<Duration>,

    /// Misbehave by these rules, or by those in this file; `twinctl hub faults --help` has the language
    #[arg(long, value_name = "FILE|RULES")]
    pub faults: Option<String>,

    /// Take Microsoft Entra tokens signed by a key of this JSON Web Key Set, which has `issuer` beside `keys`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub entra_issuer: Option<PathBuf>,
}

/// Show, set and clear how an embedded hub misbehaves
#[derive(Debug, Subcommand)]
pub enum FaultsCommand {
    /// Show the rules, and for how many requests each was and was due
    Show {
        /// Which hub.
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Put these rules in the place of those that are there
    Set {
        /// Rules, or a file of them
        #[arg(value_name = "FILE|RULES")]
        rules: String,
        /// Which hub.
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Take all rules away
    Clear {
        /// Which hub.
        #[command(flatten)]
        hub: HubArgs,
    },
}

const FAULTS_HELP: &str = "\
A rule says which requests, what happens, and how often:
  PATCH,PUT  /twins/*        429          20%
  GET        /twins/press-*  503          first 3
  *          /devices/query  half         every 5th
  MQTT       twin/patch      429          10%
  *          *               slow 20ms..2s
  seed 7

Methods: one, several with commas, or * for all. Paths: * for any; within one, * stands for any
characters but /, and ** for any at all. What happens: a status from 400 to 599; reset-before or
reset-after (the connection breaks before or after the request is done); slow TIME or slow
TIME..TIME; half (half of the answer comes); garbage (the answer is nonsense); no-answer (it is
done, and nothing comes). How often: a share by chance, first N, every Nth, or nothing for always.

The method MQTT is what devices ask for, with the paths connect, twin/get, twin/patch, telemetry,
method, subscribe and unsubscribe; /devices/ID/connect and so on for one device alone.

A rule ends with its line or with `;`, and a word that begins with # begins a comment. The first
rule that is due decides; slow ones let the next go on. The seed makes chance repeatable.

Example:
  twinctl hub faults set 'PATCH /twins/* reset-after 10%; GET * 503 first 2' --connection-string ...";

/// Add, list, show and remove devices.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Register devices and print their connection strings
    #[command(after_help = "\
Examples:
  twinctl hub device add thermostat-001 thermostat-002 --data hub
  twinctl hub device add 'press-{001..100}' --no-port --data hub")]
    Add {
        /// The devices' ids; many as in 'press-{001..100}'
        #[arg(value_name = "ID", required = true)]
        ids: Vec<DeviceNames>,
        /// Make them IoT Edge devices
        #[arg(long)]
        edge: bool,
        /// Leave the port of HTTPS out of HostName, as device SDKs over MQTT need it: they use port 8883
        #[arg(long)]
        no_port: bool,
        /// Which hub.
        #[command(flatten)]
        target: DeviceTarget,
    },
    /// List devices
    List {
        /// Which hub.
        #[command(flatten)]
        target: DeviceTarget,
    },
    /// Print the connection string of a device, and nothing else
    #[command(after_help = "\
Examples:
  twinctl hub device connection-string thermostat-001 --ca-file hub/ca.pem
  twinctl hub device connection-string thermostat-001 --no-port --data hub")]
    ConnectionString {
        /// The device's id
        #[arg(value_name = "ID")]
        id: DeviceId,
        /// Leave the port of HTTPS out of HostName, as device SDKs over MQTT need it: they use port 8883
        #[arg(long)]
        no_port: bool,
        /// Which hub.
        #[command(flatten)]
        target: DeviceTarget,
    },
    /// Remove devices, with their twins and modules
    Remove {
        /// The devices' ids; many as in 'press-{001..100}'
        #[arg(value_name = "ID", required = true)]
        ids: Vec<DeviceNames>,
        /// Which hub.
        #[command(flatten)]
        target: DeviceTarget,
    },
    /// Show one device: its connection string and its twin, which has the identity's etag, status and capabilities
    Show {
        /// The device's id
        #[arg(value_name = "ID")]
        id: DeviceId,
        /// Leave the port of HTTPS out of HostName, as device SDKs over MQTT need it: they use port 8883
        #[arg(long)]
        no_port: bool,
        /// Which hub.
        #[command(flatten)]
        target: DeviceTarget,
    },
}

/// One device or many, as `press-{001..100}` names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNames {
    /// Their ids.
    pub ids: Vec<DeviceId>,
}

impl FromStr for DeviceNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pattern = Pattern::parse(text).map_err(|error| format!("{}: {}", error.message, error.help))?;
        let id = |name: String| name.parse().map_err(|error: IdError| error.to_string());
        Ok(Self { ids: pattern.names().map(id).collect::<Result<_, _>>()? })
    }
}

/// The options of `twinctl hub token`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TOKEN=$(twinctl hub token)                    # of IOTHUB_CONNECTION_STRING
  curl --cacert hub/ca.pem -H \"Authorization: $TOKEN\" \\
    'https://127.0.0.1:8443/twins/thermostat-001?api-version=2021-04-12'
  twinctl hub token --data hub --policy service --expires 10m
  twinctl hub token --device thermostat-001 --no-port --ca-file hub/ca.pem   # for MQTT")]
pub struct TokenArgs {
    /// For this device, with its own key
    #[arg(long, value_name = "ID")]
    pub device: Option<DeviceId>,

    /// For this module of the device, with the device's key, which connects its modules
    #[arg(long, value_name = "ID", requires = "device")]
    pub module: Option<ModuleId>,

    /// With the key of this policy of the folder [default: iothubowner]
    #[arg(long, value_name = "NAME", requires = "data", conflicts_with = "device")]
    pub policy: Option<String>,

    /// How long it is good; the hub takes it for five minutes more, for clocks that are behind
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub expires: Duration,

    /// Leave the port out of what it is for, as for a connection string without one
    #[arg(long)]
    pub no_port: bool,

    /// Which hub.
    #[command(flatten)]
    pub target: DeviceTarget,
}

/// A hub that runs, or the folder of one that does not.
#[derive(Debug, Args)]
pub struct DeviceTarget {
    /// The folder of an embedded hub that is not running
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["hub", "connection_string"])]
    pub data: Option<PathBuf>,

    /// Which hub.
    #[command(flatten)]
    pub hub: HubArgs,
}
