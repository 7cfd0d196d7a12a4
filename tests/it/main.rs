//! The program at its edges: the binary, over real HTTPS, against the embedded hub, and Microsoft's SDKs as its clients.

mod azurite;
mod bad_input;
mod configurations;
mod device_run;
mod docs;
mod faults;
mod interrupt;
mod kill;
mod modules;
#[cfg(target_os = "linux")]
mod node;
mod outlook;
mod python;
#[cfg(target_os = "linux")]
mod python_device;
mod python_entra;
mod python_registry;
mod race;
mod story;
mod support;
