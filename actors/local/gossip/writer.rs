//! Turns the requests of a state machine into messages to peers.

use std::sync::Arc;

use chinwag_protocol::{
    group::Member,
    identity::{Gid, Nid},
    peer::{Body, Gossip, Outgoing, Shared, Stated},
    rumor::{Request, Rumor},
};

/// Turns requests into messages. The same request to several peers becomes one message that they share.
pub(crate) struct Writer {
    from: Member,
    stated: Stated,
    last: Option<Outgoing>,
}

impl Writer {
    /// Creates a writer for requests of this sender. A passive sender states nothing about itself.
    pub(crate) fn new(from: Member, stated: Stated) -> Writer {
        let stated = if stated.statement.is_passive() { Stated::default() } else { stated };
        Writer { from, stated, last: None }
    }

    /// Returns the message that carries a request.
    pub(crate) fn message(&mut self, gid: &Gid, request: Request<Nid, Shared>, quiet: bool) -> Outgoing {
        if let Some(last) = self.last.as_ref().filter(|last| carries(last, &request, quiet)) {
            return last.clone();
        }
        let body = Body::Gossip(Gossip { gid: gid.clone(), quiet, direct: false, request });
        let (from, stated) = (Some(self.from.clone()), self.stated.clone());
        let message = Outgoing::from(chinwag_protocol::peer::Request { from, stated, body });
        self.last = Some(message.clone());
        message
    }
}

/// Whether a message carries the same request. Compares payloads and lists of ids by address only.
fn carries(message: &Outgoing, request: &Request<Nid, Shared>, quiet: bool) -> bool {
    let Body::Gossip(Gossip { quiet: is_quiet, request: carried, .. }) = &message.request().body else { return false };
    match (carried, request) {
        (Request::Offer(one), Request::Offer(other)) => Arc::ptr_eq(one, other),
        (Request::Push(one), Request::Push(other)) => {
            let key = |rumor: &Rumor<Nid, Shared>| (rumor.hop, rumor.age, rumor.urgency);
            let same = Arc::ptr_eq(&one.message, &other.message) && one.id == other.id && key(one) == key(other);
            same && *is_quiet == quiet
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chinwag_protocol::{
        call::Remote,
        identity::NodeAddr,
        peer::Message,
        rumor::{Id, Urgency},
        swim::Statement,
        value::Value,
    };

    use super::*;

    fn push(message: &Shared, hop: u32) -> Request<Nid, Shared> {
        let id = Id::Numbered { origin: NodeAddr::new("127.0.0.1", 1).nid(), incarnation: 7, sequence: 3 };
        let (age, message) = (Duration::ZERO, message.clone());
        Request::Push(Rumor {
            id,
            hop,
            age,
            urgency: Urgency::Normal,
            replay: false,
            former: None,
            size: 1.into(),
            message,
        })
    }

    #[test]
    fn equal_requests_to_several_peers_share_one_message() {
        let stated = Stated { statement: Statement::default(), name: "west".into() };
        let mut writer = Writer::new(Member::from(NodeAddr::new("127.0.0.1", 2)), stated);
        let message = Arc::new(Message { arguments: Value::Null, remote: Remote::new("s", "m"), mid: None });
        let mut send = |request, quiet| writer.message(&Gid::all(), request, quiet);
        let same = |one: &Outgoing, other: &Outgoing| std::ptr::eq(one.request(), other.request());
        let first = send(push(&message, 1), true);
        assert_eq!(first.request().stated, Stated::default(), "a passive node states nothing");
        assert!(same(&first, &send(push(&message, 1), true)));
        assert!(!same(&first, &send(push(&message, 2), true)), "another hop");
        let quiet = send(push(&message, 1), true);
        assert!(!same(&quiet, &send(push(&message, 1), false)), "another quiet flag");
        let ids: Arc<[Id<Nid>]> = Arc::new([]);
        let offer = send(Request::Offer(ids.clone()), true);
        assert!(same(&offer, &send(Request::Offer(ids), true)));
        assert!(!same(&offer, &send(Request::Pull(Arc::new([])), true)));
    }
}
