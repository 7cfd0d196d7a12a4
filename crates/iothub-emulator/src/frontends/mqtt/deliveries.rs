//! Messages from the cloud on their way over one connection.

use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::core::outbox::Outbox;
use crate::core::requests::deliveries::{CompleteMessage, TakeMessages};
use crate::frontends::mqtt::attached::Attached;
use crate::frontends::mqtt::outbox::Message;
use crate::frontends::mqtt::under_way::UnderWay;
use iothub_model::tiers::Feature;
use iothub_model::wire::topics::Subscription;

/// Sends what waits for the client, whenever something may. Does not end but with the connection.
pub(crate) async fn deliver(attached: &Attached) {
    let link = &attached.link;
    // Those of an earlier session may have waited for this one.
    attached.outbox.messages_wait();
    loop {
        attached.outbox.has_messages().await;
        // Those that wait since the hub had another tier stay where they are.
        if !attached.gate.has(Feature::CloudToDeviceMessages) {
            continue;
        }
        // Of several subscriptions that match, the highest QoS counts (MQTT 3.1.1, MQTT-3.3.5-1).
        let at_most_once = match Subscription::OF_MESSAGES {
            all if all.iter().any(|(one, _)| link.is_subscribed(*one)) => false,
            all if all.iter().any(|(_, other)| link.is_subscribed(*other)) => true,
            _ => continue,
        };
        let take = TakeMessages { id: link.id().clone(), connection: link.connection(), at_most_once };
        // Refused when the connection is no longer the client's, which then is about to end, or when the disk is full.
        let _ = attached.live.begin(take, |outcome| {
            let Ok(messages) = &outcome.reply else { return };
            for message in messages {
                let (pkid, again) = match at_most_once {
                    true => (None, false),
                    false => {
                        let (pkid, again) = attached.under_way().number(message.sequence);
                        (Some(pkid), again)
                    }
                };
                attached.outbox.offer(Message::FromCloud { message: message.clone(), pkid, again }, outcome.seen);
            }
        });
    }
}

impl Attached {
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the acknowledgement of a packet; one of a packet that is not under way says nothing. Returns nothing when the
    /// connection is to be closed.
    pub(crate) fn delivered(&self, pkid: u16) -> Option<()> {
        let Some(message) = self.under_way().remove(pkid) else { return Some(()) };
        let (id, connection) = (self.link.id().clone(), self.link.connection());
        // Refused when it is no longer this connection's, which then is about to end, or when the disk is full: then the message
        // will come again.
        let complete = CompleteMessage { id, connection, message };
        self.live.begin(complete, |_| ()).ok()?;
        self.live.messages_changed.notify_one();
        Some(())
    }
}
