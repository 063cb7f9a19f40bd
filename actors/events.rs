//! The events of membership, and how an application subscribes to them.
//!
//! ```text
//! NodeHandle::events                Events::next in Rust
//! local.membership.subscribe(f)     f(event), one at a time, in order
//! GET /local/membership/events      server-sent events
//! ```
//!
//! Each subscriber gets each event once, in the order in which this node saw it happen. A slow subscriber delays no other:
//! it loses the oldest events, and gets an event that says how many it missed.

use std::fmt;

use chinwag_protocol::{
    identity::{Gid, Nid, NodeAddr},
    swim::{ClusterId, Incarnation},
    value::{Object, Value},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Something that happened to the members or to the groups, as this node sees it.
///
/// As a value it is `{event, sid, nid, node: {ip, port}, life, turn[, by]}`, or `{event: 'groupChanged', gid}`, or
/// `{event: 'addressTaken', life}`, or `{event: 'merged', from, into}`, or `{event: 'lagged', missed}`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// This node heard from a peer, or of it, for the first time, or the peer is back after it had left.
    Joined(Peer),
    /// An operator put the peer in a group, it does not answer, and no member has ever heard from it. It stays in the group.
    Unreachable(Peer),
    /// A member could not reach the peer.
    Suspected {
        /// The peer that is suspected.
        peer: Peer,
        /// The member that could not reach it.
        by: Nid,
    },
    /// The peer has refuted the suspicion.
    Refuted(Peer),
    /// A verdict removed the peer from this node's groups.
    Failed {
        /// The peer that failed.
        peer: Peer,
        /// The member that decided it.
        by: Nid,
    },
    /// The peer left voluntarily.
    Left(Peer),
    /// A verdict had removed the peer and it is back in its groups, or it was started again before any member missed it.
    Rejoined(Peer),
    /// Other members know a life of this node's address that is not this node's: another process states the same address, or
    /// this node was started before with a clock that was ahead.
    AddressTaken {
        /// The other life.
        life: u64,
    },
    /// This node's cluster was merged with another, because an operator put or joined their nodes.
    Merged {
        /// The former id of this node's cluster.
        from: ClusterId,
        /// The id that both have now.
        into: ClusterId,
    },
    /// A group of this node was put or deleted, or its members have changed.
    GroupChanged {
        /// The group's name.
        gid: Gid,
    },
    /// The subscriber was too slow and has missed events.
    Lagged {
        /// The number of events that it missed.
        missed: u64,
    },
}

/// The peer that an event is about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// The peer's identifier.
    pub nid: Nid,
    /// The peer's address.
    pub node: NodeAddr,
    /// The peer's life, and its turn within that life.
    pub incarnation: Incarnation,
}

impl Event {
    /// The event's name: `joined`, `unreachable`, `suspected`, `refuted`, `failed`, `left`, `rejoined`, `addressTaken`, `merged`,
    /// `groupChanged` or `lagged`.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Joined(_) => "joined",
            Event::Unreachable(_) => "unreachable",
            Event::Suspected { .. } => "suspected",
            Event::Refuted(_) => "refuted",
            Event::Failed { .. } => "failed",
            Event::Left(_) => "left",
            Event::Rejoined(_) => "rejoined",
            Event::AddressTaken { .. } => "addressTaken",
            Event::Merged { .. } => "merged",
            Event::GroupChanged { .. } => "groupChanged",
            Event::Lagged { .. } => "lagged",
        }
    }

    /// The peer that the event is about, if it is about a peer.
    pub fn peer(&self) -> Option<&Peer> {
        match self {
            Event::Joined(peer) | Event::Unreachable(peer) | Event::Refuted(peer) => Some(peer),
            Event::Left(peer) | Event::Rejoined(peer) => Some(peer),
            Event::Suspected { peer, .. } | Event::Failed { peer, .. } => Some(peer),
            Event::AddressTaken { .. } | Event::Merged { .. } => None,
            Event::GroupChanged { .. } | Event::Lagged { .. } => None,
        }
    }

    /// The event as a value, as shipped code and server-sent events have it.
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        object.insert("event", self.name());
        if let Some(peer) = self.peer() {
            object.insert("sid", peer.nid.sid().as_str());
            object.insert("nid", peer.nid.to_string());
            object.insert("node", NodeAddr::new(peer.node.ip(), peer.node.port()).to_value());
            object.insert("life", peer.incarnation.life as f64);
            object.insert("turn", peer.incarnation.turn);
        }
        match self {
            Event::Suspected { by, .. } | Event::Failed { by, .. } => drop(object.insert("by", by.to_string())),
            Event::GroupChanged { gid } => drop(object.insert("gid", gid.as_str())),
            Event::Lagged { missed } => drop(object.insert("missed", *missed as f64)),
            Event::AddressTaken { life } => drop(object.insert("life", *life as f64)),
            Event::Merged { from, into } => {
                for (key, id) in [("from", from), ("into", into)] {
                    object.insert(key, format!("{:x}", id.number()));
                }
            }
            Event::Joined(_) | Event::Unreachable(_) | Event::Refuted(_) | Event::Left(_) | Event::Rejoined(_) => {}
        }
        Value::Object(object)
    }
}

/// The events of a subscriber, from its subscription on.
///
/// ```
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let mut events = node.events().await?;
/// # node.groups().put("pair", [node.addr().clone()]).await?;
/// if let Some(event) = events.next().await {
///     println!("{}: {:?}", event.name(), event.peer());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// This type is no `Stream`, so that it depends on no version of the crate `futures`. A program that needs one makes it:
///
/// ```
/// use futures_util::{StreamExt as _, stream};
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let events = node.events().await?;
/// let stream = stream::unfold(events, async |mut events| Some((events.next().await?, events)));
/// # node.groups().put("pair", [node.addr().clone()]).await?;
/// # assert_eq!(Box::pin(stream).next().await.map(|event| event.name()), Some("groupChanged"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "events are received with `next`"]
pub struct Events(Receiver<Event>);

impl Events {
    pub(crate) fn new(receiver: Receiver<Event>) -> Events {
        Events(receiver)
    }

    /// Waits for the next event, and returns `None` once the node has ended. If the wait is cancelled, no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Lagged { missed }),
            Err(RecvError::Closed) => None,
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;

    #[tokio::test]
    async fn a_slow_subscriber_gets_the_number_of_events_that_it_missed() {
        let (tell, told) = broadcast::channel(2);
        let names = ["a", "b", "c", "d", "e"].map(|name| Event::GroupChanged { gid: Gid::new(name).unwrap() });
        let mut events = Events::new(told);
        for event in &names {
            tell.send(event.clone()).unwrap();
        }
        assert_eq!(events.next().await, Some(Event::Lagged { missed: 3 }));
        assert_eq!(events.next().await.as_ref(), Some(&names[3]));
        drop(tell);
        assert_eq!(events.next().await.as_ref(), Some(&names[4]));
        assert_eq!(events.next().await, None);
    }
}
