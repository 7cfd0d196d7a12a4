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

impl Presence<'_> {
    /// Writes it into the members of a document. A twin has no member for the time of the change.
    pub(crate) fn show(&self, state: &mut String, since: Option<&mut String>, last_activity: &mut String) {
        if let Some((new, at)) = self.state {
            new.clone_into(state);
            if let Some(since) = since {
                at.clone_into(since);
            }
        }
        if let Some(at) = self.activity {
            at.clone_into(last_activity);
        }
    }
}
