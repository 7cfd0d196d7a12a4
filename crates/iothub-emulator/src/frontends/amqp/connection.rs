//! One connection, from its first byte to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::Accepted;
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::messaging::Rejected;
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::performatives::Begin;
use fe2o3_amqp_types::performatives::Close;
use fe2o3_amqp_types::performatives::Detach;
use fe2o3_amqp_types::performatives::Disposition;
use fe2o3_amqp_types::performatives::End;
use fe2o3_amqp_types::performatives::Flow;
use fe2o3_amqp_types::performatives::Performative;
use fe2o3_amqp_types::performatives::Transfer;
use fe2o3_amqp_types::primitives::SimpleValue;
use serde::Serialize;
use serde_amqp::primitives::Binary;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::timeout;

use crate::core::command::Refusal;
use crate::core::messages::Settlement;
use crate::core::requests::messages::{SettleFeedback, TakeFeedback};
use crate::frontends::amqp::frames::{Frame, FrameReader, NoFrame, write, write_empty};
use crate::frontends::amqp::login::{CHANNEL_MAX, IDLE_TIMEOUT, Peer};
use crate::frontends::amqp::message::Received;
use crate::frontends::amqp::nodes::{Node, shown};
use crate::frontends::amqp::refusal::error;
use crate::frontends::amqp::session::{AmqpSession, DELIVERY_MAX_BYTES, Delivery, Link, Wrong};
use crate::frontends::amqp::{AMQP, AmqpFront, message, refusal};
use crate::transport::connection::stopped;
use crate::transport::stream::{Farewell, Sink, Source};
use iothub_model::wire::ErrorCode;

/// Sessions of a connection, at most, whatever the channels that there are.
const SESSIONS_MAX: usize = 64;
/// Bytes of messages of which a connection has sent parts, at most.
const HELD_MAX_BYTES: usize = 4 << 20;
/// Links of a session, at most.
const LINKS_MAX: usize = 16;
/// How often it is looked whether there is feedback, whether the token still holds, and whether the client lives.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A client that does not hear of the end by then is let go unheard.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a frame beside a message's part, at most.
const TRANSFER_BYTES: usize = 64;

impl AmqpFront {
    /// Serves one connection until it ends, however that is.
    pub(crate) async fn serve(self, source: Source, mut sink: Sink) {
        let mut stopping = self.stopping.clone();
        let farewell = tokio::select! {
            farewell = self.converse(source, &mut sink) => farewell,
            () = stopped(&mut stopping) => Farewell::GoingAway,
        };
        let _ = timeout(CLOSE_TIMEOUT, sink.close(farewell)).await;
    }

    async fn converse(&self, source: Source, sink: &mut Sink) -> Farewell {
        let begun = Instant::now();
        let mut reader = FrameReader::new(source);
        let peer = match self.admit(&mut reader, sink).await {
            Ok(peer) => peer,
            Err(farewell) => return farewell,
        };
        let mut connection = Connection::new(self, peer);
        let (mut heard, mut spoke) = (Instant::now(), Instant::now());
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !connection.is_over {
            tokio::select! {
                frame = reader.frame() => match frame {
                    Ok(frame) => {
                        heard = Instant::now();
                        connection.take(frame).await;
                    }
                    Err(NoFrame::Ended) => return Farewell::Normal,
                    Err(NoFrame::Garbage(what)) => {
                        connection.farewell = Farewell::Protocol;
                        connection.close(error("amqp:connection:framing-error", what));
                    }
                    Err(NoFrame::Transport(fault)) => {
                        self.log.refused(AMQP, "/", &fault.refusal());
                        return fault.farewell;
                    }
                },
                _ = look.tick() => {
                    if connection.token.is_none() && begun.elapsed() >= self.patience.connect {
                        connection.close(error("amqp:unauthorized-access", "no token came"));
                    } else if heard.elapsed() >= Duration::from_millis(2 * u64::from(IDLE_TIMEOUT)) {
                        connection.close(error("amqp:resource-limit-exceeded", "nothing came for too long"));
                    } else {
                        connection.look(spoke.elapsed());
                    }
                }
            }
            if !connection.out.is_empty() {
                let out = connection.out.split().freeze();
                match timeout(self.patience.write, sink.write(out)).await {
                    Ok(Ok(())) => spoke = Instant::now(),
                    Ok(Err(_)) => return Farewell::Normal,
                    Err(_) => {
                        self.log.cut(AMQP, "/", "the client does not read what the hub writes to it");
                        return Farewell::Policy;
                    }
                }
            }
        }
        connection.farewell
    }
}

/// Returns where the log has what is for an address.
fn log_path(address: &str) -> String {
    format!("/{}", shown(address).trim_start_matches('/'))
}

/// An open connection. Dropped, it is gone, whichever way it ended, and what it had in its hands waits again.
struct Connection<'a> {
    front: &'a AmqpFront,
    peer: Peer,
    /// What the client showed that it may something.
    token: Option<String>,
    /// By the client's channels, which are the hub's as well.
    sessions: BTreeMap<u16, AmqpSession>,
    /// What is to be written.
    out: BytesMut,
    is_over: bool,
    /// What to say when it is over.
    farewell: Farewell,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        for session in self.sessions.values_mut() {
            for link in session.links.values_mut() {
                self.front.release(link);
            }
        }
    }
}

impl AmqpFront {
    /// Notes an error that a client is told.
    fn note(&self, path: &str, error: &Error) {
        let (code, text) = refusal::logged(error);
        self.log.refused(AMQP, path, &Refusal::new(code, text));
    }

    /// Lets wait again what a link has in its hands.
    fn release(&self, link: &mut Link) {
        let outcomes: Vec<u64> = std::mem::take(&mut link.lent).into_values().flatten().collect();
        self.settle(link.receiver, outcomes, Settlement::Release);
    }

    fn settle(&self, receiver: u64, outcomes: Vec<u64>, how: Settlement) {
        if !outcomes.is_empty() {
            // When the disk is full it will come again.
            let settle = SettleFeedback { receiver, outcomes, how };
            let _ = self.live.begin(settle, |_| ());
        }
    }
}

impl<'a> Connection<'a> {
    fn new(front: &'a AmqpFront, mut peer: Peer) -> Self {
        let token = peer.token.take();
        Self {
            front,
            peer,
            token,
            sessions: BTreeMap::new(),
            out: BytesMut::new(),
            is_over: false,
            farewell: Farewell::Normal,
        }
    }

    /// Takes a frame: does what it asks, and puts the answers where they are written.
    async fn take(&mut self, frame: Frame) {
        let Frame { channel, performative, payload } = frame;
        let Some(performative) = performative else { return };
        match (performative, self.sessions.contains_key(&channel)) {
            (Performative::Close(_), _) => {
                self.say(0, &Close { error: None });
                self.is_over = true;
            }
            (Performative::Begin(begin), false) => self.begin(channel, &begin),
            (Performative::Attach(attach), true) => self.attach(channel, attach),
            (Performative::Flow(flow), true) => self.flow(channel, &flow),
            (Performative::Transfer(transfer), true) => self.transfer(channel, transfer, payload).await,
            (Performative::Disposition(disposition), true) => self.disposition(channel, &disposition),
            (Performative::Detach(detach), true) => self.detach(channel, &detach),
            (Performative::End(_), true) => {
                for link in self.sessions.remove(&channel).iter_mut().flat_map(|session| session.links.values_mut()) {
                    self.front.release(link);
                }
                self.say(channel, &End { error: None });
            }
            (Performative::Begin(_) | Performative::Open(_), _) | (_, false) => {
                self.close(error("amqp:illegal-state", "a frame that means nothing at this point"));
            }
        }
    }

    /// Does what time brings about.
    fn look(&mut self, silent: Duration) {
        if let Some(token) = &self.token
            && let Err(refusal) = self.front.opens_anything(token)
        {
            return self.close(refusal::of(&refusal));
        }
        let linked: Vec<(u16, u32)> = self.links(|link| link.node == Node::Feedback && link.has_credit());
        for (channel, handle) in linked {
            self.offer_feedback(channel, handle);
        }
        // Half of what it asks for, so that it does not give up just then.
        let due = self.peer.idle_timeout.map(|idle| Duration::from_millis(u64::from(idle / 2)));
        if due.is_some_and(|due| silent >= due) && self.out.is_empty() {
            write_empty(&mut self.out);
        }
    }

    fn links(&self, wanted: impl Fn(&Link) -> bool) -> Vec<(u16, u32)> {
        let all =
            self.sessions.iter().flat_map(|(channel, session)| session.links.iter().map(move |it| (*channel, it)));
        all.filter(|(_, (_, link))| wanted(link)).map(|(channel, (handle, _))| (channel, *handle)).collect()
    }

    fn begin(&mut self, channel: u16, theirs: &Begin) {
        if channel > CHANNEL_MAX {
            return self.close(error("amqp:not-allowed", "a channel beyond those that there are"));
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return self.close(error("amqp:resource-limit-exceeded", "too many sessions"));
        }
        let session = AmqpSession::new(theirs);
        self.say(channel, &session.begin(channel));
        self.sessions.insert(channel, session);
    }

    fn attach(&mut self, channel: u16, theirs: Attach) {
        let handle = theirs.handle.0;
        let receiver = self.front.live.links().next_connection();
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        if session.links.contains_key(&handle) {
            return self.close(error("amqp:session:handle-in-use", "two links have one handle"));
        }
        if session.links.len() >= LINKS_MAX {
            return self.close(error("amqp:resource-limit-exceeded", "too many links"));
        }
        let address = match &theirs.role {
            Role::Sender => theirs.target.as_deref().and_then(|TargetArchetype::Target(target)| target.address.clone()),
            Role::Receiver => theirs.source.as_deref().and_then(|source| source.address.clone()),
        };
        let node = Node::find(address.as_deref().unwrap_or_default(), &theirs.role).and_then(|node| {
            let allowed = self.front.admits(self.token.as_deref(), node);
            allowed.map(|()| node).map_err(|refusal| refusal::of(&refusal))
        });
        let refused = node.as_ref().err().cloned();
        if let Some(error) = &refused {
            let address = shown(address.as_deref().unwrap_or_default());
            self.front.note(&log_path(&address), error);
        }
        let mut link = Link::new(node.unwrap_or(Node::Tokens), receiver).counts_from(match &theirs.role {
            Role::Sender => theirs.initial_delivery_count.unwrap_or(0),
            Role::Receiver => 0,
        });
        link.is_over = refused.is_some();
        session.links.insert(handle, link);
        let role = match theirs.role {
            Role::Sender => Role::Receiver,
            Role::Receiver => Role::Sender,
        };
        let is_refused = refused.is_some();
        let ours = Attach {
            initial_delivery_count: (role == Role::Sender).then_some(0),
            role,
            // A link without ends is one that is about to be refused (AMQP 1.0, part 2.6.3).
            source: theirs.source.filter(|_| !is_refused),
            target: theirs.target.filter(|_| !is_refused),
            unsettled: None,
            incomplete_unsettled: false,
            max_message_size: Some(DELIVERY_MAX_BYTES as u64),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
            ..theirs
        };
        let takes = ours.role == Role::Receiver;
        self.say(channel, &ours);
        match refused {
            Some(error) => self.say(channel, &Detach { handle: handle.into(), closed: true, error: Some(error) }),
            None if takes => self.allow(channel, Some(handle)),
            None => {}
        }
    }

    fn flow(&mut self, channel: u16, theirs: &Flow) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let handle = theirs.handle.as_ref().map(|handle| handle.0);
        let answers = session.flow(theirs);
        self.send_answers();
        if answers {
            self.allow(channel, handle);
        }
    }

    async fn transfer(&mut self, channel: u16, transfer: Transfer, payload: Bytes) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let handle = transfer.handle.0;
        match session.take(&transfer, &payload) {
            Ok(None) => {
                if self.sessions.values().map(AmqpSession::held_bytes).sum::<usize>() > HELD_MAX_BYTES {
                    return self.close(error("amqp:resource-limit-exceeded", "too many messages that are not whole"));
                }
            }
            Ok(Some(delivery)) => self.received(channel, handle, delivery).await,
            Err(Wrong::TooLarge) => {
                let text = "a message of more than 1 MiB";
                return self.end_link(channel, handle, error("amqp:link:message-size-exceeded", text));
            }
            Err(Wrong::Window) => {
                return self.close(error("amqp:session:window-violation", "more than was allowed"));
            }
            Err(Wrong::Invalid) => {
                return self.close(error("amqp:not-allowed", "a part of a message where none may be"));
            }
        }
        if self.sessions.get(&channel).is_some_and(|session| session.wants_more(handle)) {
            self.allow(channel, Some(handle));
        }
    }

    async fn received(&mut self, channel: u16, handle: u32, delivery: Delivery) {
        let link = self.sessions.get(&channel).and_then(|session| session.links.get(&handle));
        let Some(node) = link.map(|link| link.node) else { return };
        let message = Received::read(&delivery.bytes);
        let to = message.as_ref().and_then(Received::to).filter(|_| node == Node::ToDevices);
        let path = to.map_or_else(|| node.path().to_owned(), log_path);
        let outcome = match node {
            Node::Tokens => match message {
                Some(message) => {
                    self.put_token(channel, &message);
                    Ok(())
                }
                None => Err(error("amqp:decode-error", "this is no request")),
            },
            _ => match self.front.admits(self.token.as_deref(), node) {
                Ok(()) => self.front.send(message).await,
                Err(refusal) => Err(refusal::of(&refusal)),
            },
        };
        if let Err(error) = &outcome {
            self.front.note(&path, error);
        }
        if !delivery.settled {
            let state = match outcome {
                Ok(()) => DeliveryState::Accepted(Accepted {}),
                Err(error) => DeliveryState::Rejected(Rejected { error: Some(error) }),
            };
            self.settled(channel, Role::Receiver, delivery.id, Some(state));
        }
    }

    /// Takes a token, and lets the client hear what it is worth (AMQP Claims-based Security 1.0).
    fn put_token(&mut self, channel: u16, request: &Received) {
        let operation = match request.property("operation") {
            Some(SimpleValue::String(operation)) => operation.as_str(),
            Some(_) | None => "",
        };
        let refused = |text: &str| Some((400, Refusal::new(ErrorCode::ArgumentInvalid, text)));
        let refusal = match (operation, request.payload()) {
            ("put-token", Some(token)) => match self.front.opens_anything(token) {
                Ok(()) => {
                    self.token = Some(token.to_owned());
                    None
                }
                Err(refusal) => Some((401, refusal)),
            },
            ("put-token", None) => refused("the token is not a text"),
            _ => refused("the one operation is put-token"),
        };
        let answer = match &refusal {
            None => message::answer(request.id(), 200, "OK"),
            Some((status, refusal)) => {
                self.front.log.refused(AMQP, Node::Tokens.path(), refusal);
                let text = if *status == 401 { refusal.to_string() } else { refusal.text.clone() };
                message::answer(request.id(), *status, &text)
            }
        };
        let link = self.sessions.get_mut(&channel).and_then(|session| {
            session.links.values_mut().find(|link| link.node == Node::TokenAnswers && !link.is_over)
        });
        if let Some(link) = link {
            link.answer(answer);
        }
        self.send_answers();
    }

    fn send_answers(&mut self) {
        for (channel, handle) in self.links(|link| link.node == Node::TokenAnswers) {
            while let Some(answer) = self.link(channel, handle).and_then(Link::next_answer) {
                if self.deliver(channel, handle, &answer, true).is_none() {
                    // It waits until the client takes more.
                    if let Some(link) = self.link(channel, handle) {
                        link.answers.push_front(answer);
                    }
                    break;
                }
            }
        }
    }

    fn offer_feedback(&mut self, channel: u16, handle: u32) {
        let live = &self.front.live;
        let Some(receiver) = self.link(channel, handle).map(|link| link.receiver) else { return };
        let take = TakeFeedback { receiver };
        let Ok(batch) = live.begin(take, |_| ()).map_or_else(Err, |outcome| outcome.reply) else {
            return;
        };
        if batch.is_empty() {
            return;
        }
        let outcomes: Vec<u64> = batch.iter().map(|feedback| feedback.sequence).collect();
        let message = message::feedback(&batch, self.front.access.host_name(), live.now());
        match self.deliver(channel, handle, &message, false) {
            Some(delivery) => {
                if let Some(link) = self.link(channel, handle) {
                    link.lent.insert(delivery, outcomes);
                }
            }
            None => self.front.settle(receiver, outcomes, Settlement::Release),
        }
    }

    fn link(&mut self, channel: u16, handle: u32) -> Option<&mut Link> {
        self.sessions.get_mut(&channel)?.links.get_mut(&handle)
    }

    /// Sends a message over a link, if the client lets it, and returns the delivery's number.
    fn deliver(&mut self, channel: u16, handle: u32, message: &[u8], settled: bool) -> Option<u32> {
        let part = self.peer.frame_max - TRANSFER_BYTES;
        let frames = u32::try_from(message.len().div_ceil(part).max(1)).ok()?;
        let number = self.sessions.get_mut(&channel)?.number(handle, frames)?;
        let mut tag = [0; 16];
        // A lock token to some SDKs, and to the hub itself nothing.
        tag[12..].copy_from_slice(&number.to_be_bytes());
        let mut parts = message.chunks(part).peekable();
        let mut is_first = true;
        while let Some(chunk) = parts.next() {
            let transfer = Transfer {
                handle: handle.into(),
                delivery_id: is_first.then_some(number),
                delivery_tag: is_first.then(|| Binary::from(tag.to_vec())),
                message_format: is_first.then_some(0),
                settled: Some(settled),
                more: parts.peek().is_some(),
                rcv_settle_mode: None,
                state: None,
                resume: false,
                aborted: false,
                batchable: false,
            };
            write(&mut self.out, channel, &transfer, chunk);
            is_first = false;
        }
        Some(number)
    }

    /// Takes what a client says of feedback.
    fn disposition(&mut self, channel: u16, theirs: &Disposition) {
        if theirs.role != Role::Receiver {
            return;
        }
        let how = match &theirs.state {
            Some(DeliveryState::Accepted(_)) => Settlement::Complete,
            Some(DeliveryState::Rejected(_)) => Settlement::Reject,
            Some(DeliveryState::Released(_) | DeliveryState::Modified(_)) => Settlement::Abandon,
            Some(DeliveryState::Received(_)) | None if theirs.settled => Settlement::Release,
            Some(DeliveryState::Received(_)) | None => return,
        };
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let last = theirs.last.unwrap_or(theirs.first);
        let mut done = Vec::new();
        for link in session.links.values_mut() {
            let of: Vec<u32> = link.lent.range(theirs.first..=last.max(theirs.first)).map(|(id, _)| *id).collect();
            for delivery in of {
                let outcomes = link.lent.remove(&delivery).unwrap_or_default();
                self.front.settle(link.receiver, outcomes, how);
                done.push(delivery);
            }
        }
        if !theirs.settled {
            for delivery in done {
                self.settled(channel, Role::Sender, delivery, theirs.state.clone());
            }
        }
    }

    fn settled(&mut self, channel: u16, role: Role, delivery: u32, state: Option<DeliveryState>) {
        let ours = Disposition { role, first: delivery, last: None, settled: true, state, batchable: false };
        self.say(channel, &ours);
    }

    fn detach(&mut self, channel: u16, theirs: &Detach) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let Some(mut link) = session.links.remove(&theirs.handle.0) else { return };
        self.front.release(&mut link);
        if !link.is_over {
            self.say(channel, &Detach { handle: theirs.handle.clone(), closed: theirs.closed, error: None });
        }
    }

    /// Ends a link with a reason.
    fn end_link(&mut self, channel: u16, handle: u32, error: Error) {
        if let Some(link) = self.link(channel, handle) {
            link.is_over = true;
            let path = link.node.path();
            self.front.note(path, &error);
        }
        self.say(channel, &Detach { handle: handle.into(), closed: true, error: Some(error) });
    }

    /// Says how much the client may send: in a session, and over a link.
    fn allow(&mut self, channel: u16, handle: Option<u32>) {
        let Some(flow) = self.sessions.get_mut(&channel).map(|session| session.state(handle)) else { return };
        self.say(channel, &flow);
    }

    /// Ends the connection with a reason.
    fn close(&mut self, error: Error) {
        self.front.note("/", &error);
        self.say(0, &Close { error: Some(error) });
        self.is_over = true;
    }

    fn say(&mut self, channel: u16, performative: &impl Serialize) {
        write(&mut self.out, channel, performative, &[]);
    }
}
