//! Bad input of every kind: what the user is told, and that nothing was done.

mod credentials;
mod hostile_hub;
mod hub_start;
mod manifests;
mod usage;
mod values;
