//! The program at its edges: the binary, over real HTTPS, against the embedded hub, and Microsoft's SDKs as its clients.

mod against;
#[cfg(unix)]
mod annotations;
mod azurite;
mod bad_input;
#[cfg(target_os = "linux")]
mod browser;
mod comment;
mod configurations;
#[cfg(unix)]
mod connections;
mod device_run;
mod docs;
mod doctor;
mod drift;
mod environment;
mod faults;
mod files;
mod guards;
mod hub_devices;
#[cfg(target_os = "linux")]
mod hub_guide;
#[cfg(target_os = "linux")]
mod hub_serve;
#[cfg(unix)]
mod idle;
mod import;
mod inspect;
mod interrupt;
#[cfg(target_os = "linux")]
mod java;
mod kill;
mod merge_base;
#[cfg(target_os = "linux")]
mod messages;
mod modules;
mod names_in_queries;
mod next;
#[cfg(target_os = "linux")]
mod node;
#[cfg(target_os = "linux")]
mod node_identities;
mod older_side;
mod outlook;
mod outputs;
mod python;
#[cfg(target_os = "linux")]
mod python_device;
mod python_entra;
mod python_registry;
mod race;
#[cfg(unix)]
mod recipes;
mod schema;
mod sensitive;
#[cfg(unix)]
mod sessions;
mod shell;
mod story;
mod support;
