//! The program at its edges: the binary, over real HTTPS, against the embedded hub, and Microsoft's SDKs as its clients.

mod bad_input;
mod docs;
mod kill;
mod modules;
mod python;
mod race;
mod story;
mod support;
