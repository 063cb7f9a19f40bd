//! Translates between messages and the state machine: the entries of members, the outcomes of replies, and the calls to passive
//! nodes. The messages themselves are in [`peer`].

use std::fmt;

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Reply},
    identity::{Gid, Nid, NodeAddr},
    member_list::Known,
    peer::{self, Entry},
    swim::{Outcome, Statement, Status, Update},
    value::{Object, Value},
};

/// The methods of membership, which `local.gossip` has in addition to its own.
pub(crate) const METHODS: [&str; 5] = ["listing", "news", "ping", "relay", "sync"];

/// Why a request without the sender's address is rejected, where the address is required.
pub(super) const NO_FROM: &str = "the message has no `from`";

/// Splits entries into the members' status and what else they state.
pub(crate) fn parts(entries: Vec<Entry>) -> (Vec<Update<Nid>>, Vec<Known>) {
    entries.into_iter().map(|entry| (entry.update, Known::from(entry))).unzip()
}

/// The call that makes a passive node probe another node.
pub(crate) fn probe_call(to: &NodeAddr) -> Call {
    let mut remote = Object::new();
    remote.insert("node", address(to).to_value());
    remote.insert("service", "status");
    remote.insert("method", "get");
    let arguments = vec![Value::from(vec![Value::from("sid")]), Value::Object(remote)];
    Call::new(Gid::local(), "comm", "send", arguments)
}

/// Returns the address without the other properties of a node.
pub(crate) fn address(node: &NodeAddr) -> NodeAddr {
    NodeAddr::new(node.ip(), node.port())
}

/// The name of a status in `membership.list`.
pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Unreachable => "unreachable",
        Status::Alive => "alive",
        Status::Suspect => "suspect",
        Status::Failed => "failed",
        Status::Left => "left",
        Status::Expelled => "expelled",
    }
}

pub(crate) fn status_of_name(name: &str) -> Option<Status> {
    let all = [
        Status::Pending,
        Status::Unreachable,
        Status::Alive,
        Status::Suspect,
        Status::Failed,
        Status::Left,
        Status::Expelled,
    ];
    all.into_iter().find(|status| status_name(*status) == name)
}

/// The name of the error for a node of another cluster.
pub(crate) const STRANGER: &str = "Stranger";

/// The name of the error for a node that states this node's address, or an address at which another node answers.
pub(crate) const ADDRESS_TAKEN: &str = "AddressTaken";

pub(crate) fn stranger(why: impl fmt::Display) -> CallError {
    CallError::new(ErrorKind::Other(STRANGER.to_owned()), why.to_string())
}

pub(crate) fn address_taken(why: impl fmt::Display) -> CallError {
    CallError::new(ErrorKind::Other(ADDRESS_TAKEN.to_owned()), why.to_string())
}

/// Whether an error has this name.
pub(crate) fn is_named(error: &CallError, name: &str) -> bool {
    matches!(&error.kind, ErrorKind::Other(kind) if kind == name)
}

/// Whether a request's `merge` field asks a node in this life to merge the clusters.
pub(crate) fn asks_to_merge(merge: Option<u64>, life: u64) -> bool {
    merge.is_some_and(|of| of == 0 || of == life)
}

/// The outcome of a ping. Any answer is a sign of life, even an error, unless a node of another cluster returned it.
pub(crate) fn ping_outcome(reply: &peer::Reply) -> Outcome {
    match reply {
        Ok(peer::Answer::Pong(pong)) => Outcome::Answered(pong.stated.statement),
        Ok(_) => Outcome::Answered(Statement::default()),
        Err(error) if error.is_refusal() || is_named(error, STRANGER) => Outcome::Refused,
        Err(error) if error.kind.is_answer() => Outcome::Answered(Statement::default()),
        Err(_) => Outcome::Lost,
    }
}

/// The outcome of a relayed probe, and what the probed peer stated.
pub(crate) fn relay_outcome(reply: &peer::Reply) -> (Outcome, Option<Statement>) {
    match reply {
        Ok(peer::Answer::Relayed(relayed)) => match relayed.reached {
            true => {
                let peer = relayed.peer.as_ref().map(|peer| peer.statement);
                (Outcome::Answered(relayed.stated.statement), peer)
            }
            false => (Outcome::Unreachable(relayed.stated.statement), None),
        },
        Ok(_) => (Outcome::Lost, None),
        // The relay has restarted without membership, so it is passive now.
        Err(error) if error.kind == ErrorKind::UnknownMethod => (Outcome::Unreachable(Statement::default()), None),
        Err(error) if error.is_refusal() => (Outcome::Refused, None),
        Err(_) => (Outcome::Lost, None),
    }
}

/// The outcome of a probe by a passive node.
pub(crate) fn outcome_of_probe_call(reply: &Reply) -> Outcome {
    match reply {
        Ok(_) => Outcome::Answered(Statement::default()),
        Err(error) if error.kind.is_answer() => Outcome::Unreachable(Statement::default()),
        // The error does not show whether the relay or the peer was not reached.
        Err(_) => Outcome::Lost,
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::{
        peer::{Answer, Pong, Relayed, Stated},
        swim::Incarnation,
    };

    use super::*;

    #[test]
    fn any_answer_but_that_of_another_cluster_is_a_sign_of_life() {
        let failed = |kind| Err(CallError::new(kind, "x"));
        let statement = Statement::of(Incarnation { life: 3, turn: 1 });
        let stated = Stated { statement, name: "".into() };
        let pong = Answer::Pong(Pong { stated: stated.clone(), about: None });
        assert_eq!(ping_outcome(&Ok(pong)), Outcome::Answered(statement));
        assert_eq!(ping_outcome(&failed(ErrorKind::UnknownMethod)), Outcome::Answered(Statement::default()));
        assert_eq!(ping_outcome(&failed(ErrorKind::Other("Error".into()))), Outcome::Answered(Statement::default()));
        assert_eq!(ping_outcome(&failed(ErrorKind::Unreachable)), Outcome::Lost);
        assert_eq!(ping_outcome(&failed(ErrorKind::DeadlineExceeded)), Outcome::Lost);
        assert_eq!(ping_outcome(&Err(stranger("x"))), Outcome::Refused);

        let probed = Stated { statement: Statement::of(Incarnation::of_life(4)), name: "".into() };
        let reached = Relayed { stated: stated.clone(), reached: true, peer: Some(probed.clone()) };
        let outcome = (Outcome::Answered(statement), Some(probed.statement));
        assert_eq!(relay_outcome(&Ok(Answer::Relayed(reached))), outcome);
        let unreached = Relayed { stated, reached: false, peer: None };
        assert_eq!(relay_outcome(&Ok(Answer::Relayed(unreached))), (Outcome::Unreachable(statement), None));
        assert_eq!(relay_outcome(&failed(ErrorKind::Other("Error".into()))), (Outcome::Lost, None));
        let error = Err(CallError::new(ErrorKind::Other("Error".into()), "x"));
        assert_eq!(outcome_of_probe_call(&error), Outcome::Unreachable(Statement::default()));
    }
}
