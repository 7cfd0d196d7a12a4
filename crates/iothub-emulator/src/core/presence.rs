//! How a device or module shows whether it is connected.

/// A device's `connectionState` while it is connected.
pub(crate) const CONNECTED: &str = "Connected";
/// And while it is not.
pub(crate) const DISCONNECTED: &str = "Disconnected";

/// What a connection changes of how a device shows itself.
#[derive(Debug)]
pub(crate) struct Presence<'a> {
    /// The new `connectionState`, and when it changed.
    pub(crate) state: Option<(&'static str, &'a str)>,
    /// The new `lastActivityTime`.
    pub(crate) activity: Option<&'a str>,
}
