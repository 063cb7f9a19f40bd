//! What membership says on the wire: methods of `local.gossip`, as a node of the JavaScript reference ends its process
//! on a service that it does not have, and says "Method … not found" of a method.
//!
//! ```text
//! ping({from, life, turn})                     {life, turn}
//! relay({to, from, life, turn, budget})        {reached, life, turn[, peer: {life, turn}]}
//! tell({from, life, turn, update})             {life, turn}
//! exchange({from, life, turn, view             {from, life, turn, view
//!           [, joining, groups]})                [, groups: [{config, nodes}]]}
//! news([update or addition, ...])              null; spread by gossip in the group `all`
//!
//! update:   {peer: {ip, port}, life, turn, claim: alive | suspect | dead | left, by: {ip, port}}
//! addition: {gid, node: {ip, port}}            as `groups.add(gid, node)`; no matter where the group is not known
//! ```
//!
//! A node is named by its address, from which its NID follows: a SID may differ between two nodes' views. News are at most
//! [`MOST_NEWS`] pieces.

use std::collections::BTreeMap;

use chinwag_protocol::{
    call::{Answer, Call, CallError, ErrorKind, Reply},
    group::{Group, GroupConfig},
    identity::{Gid, Nid, NodeAddr},
    swim::{Claim, Incarnation, MOST_NEWS, Outcome, Status, Update},
    value::{Object, Value},
};

/// The methods that `local.gossip` has beside its own.
pub(crate) const METHODS: [&str; 5] = ["exchange", "news", "ping", "relay", "tell"];

/// Whether a call is membership's own traffic, which is let in however busy the node is: a node that is slow to answer
/// calls is not dead.
pub(crate) fn is_ours(call: &Call) -> bool {
    call.service == "gossip" && call.gid.is_local() && METHODS.contains(&call.method.as_str())
}

/// Addresses that came with a message.
pub(crate) type Addresses = Vec<(Nid, NodeAddr)>;

fn call(method: &str, argument: Object) -> Call {
    Call::new(Gid::local(), "gossip", method, vec![Value::Object(argument)])
}

/// An address without what else a node says of itself.
fn address(node: &NodeAddr) -> Value {
    NodeAddr::new(node.ip(), node.port()).to_value()
}

pub(crate) fn state(object: &mut Object, incarnation: Incarnation) {
    // whole numbers up to 2^53 stay what they are; milliseconds since 1970 take 41 bits
    object.insert("life", incarnation.life as f64);
    object.insert("turn", incarnation.turn);
}

fn stating(me: &NodeAddr, incarnation: Incarnation) -> Object {
    let mut object = Object::new();
    object.insert("from", address(me));
    state(&mut object, incarnation);
    object
}

pub(crate) fn ping(me: &NodeAddr, incarnation: Incarnation) -> Call {
    call("ping", stating(me, incarnation))
}

pub(crate) fn relay(me: &NodeAddr, incarnation: Incarnation, to: &NodeAddr, budget: std::time::Duration) -> Call {
    let mut object = stating(me, incarnation);
    object.insert("to", address(to));
    object.insert("budget", budget.as_secs_f64() * 1_000.0);
    call("relay", object)
}

/// The same asked of a node that takes no part.
pub(crate) fn relay_by_call(to: &NodeAddr) -> Call {
    let mut remote = Object::new();
    remote.insert("node", address(to));
    remote.insert("service", "status");
    remote.insert("method", "get");
    let arguments = vec![Value::from(vec![Value::from("sid")]), Value::Object(remote)];
    Call::new(Gid::local(), "comm", "send", arguments)
}

pub(crate) fn tell(me: &NodeAddr, incarnation: Incarnation, update: Value) -> Call {
    let mut object = stating(me, incarnation);
    object.insert("update", update);
    call("tell", object)
}

pub(crate) fn exchange(me: &NodeAddr, incarnation: Incarnation, view: Vec<Value>, joining: Option<&[Gid]>) -> Call {
    let mut object = stating(me, incarnation);
    object.insert("view", view);
    if let Some(groups) = joining {
        object.insert("joining", true);
        object.insert("groups", groups.iter().map(|gid| Value::from(gid.as_str())).collect::<Vec<_>>());
    }
    call("exchange", object)
}

/// A piece of news; `None` where an address is not known, so that nobody could make use of it.
pub(crate) fn update(update: &Update<Nid>, find: impl Fn(&Nid) -> Option<NodeAddr>) -> Option<Value> {
    let mut object = Object::new();
    object.insert("peer", address(&find(&update.peer)?));
    state(&mut object, update.incarnation);
    object.insert("claim", claim_name(update.claim));
    object.insert("by", address(&find(&update.by)?));
    Some(Value::Object(object))
}

fn claim_name(claim: Claim) -> &'static str {
    match claim {
        Claim::Alive => "alive",
        Claim::Suspect => "suspect",
        Claim::Dead => "dead",
        Claim::Left => "left",
    }
}

/// As people and programs read it.
pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Alive => "alive",
        Status::Suspect => "suspect",
        Status::Failed => "failed",
        Status::Left => "left",
        Status::Expelled => "expelled",
    }
}

pub(crate) fn status_of_name(name: &str) -> Option<Status> {
    let all = [Status::Pending, Status::Alive, Status::Suspect, Status::Failed, Status::Left, Status::Expelled];
    all.into_iter().find(|status| status_name(*status) == name)
}

fn bad(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::BadArgument, why)
}

fn whole(value: Option<&Value>) -> Option<u64> {
    let number = value?.as_f64()?;
    ((0.0..=9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// What a node states of itself; `None` where it states nothing.
pub(crate) fn stated(value: &Value) -> Option<Incarnation> {
    let turn = u32::try_from(whole(value.get("turn"))?).ok()?;
    let incarnation = Incarnation { life: whole(value.get("life"))?, turn };
    (!incarnation.is_mute()).then_some(incarnation)
}

pub(crate) fn node(value: &Value, key: &str) -> Result<NodeAddr, CallError> {
    let node = value.get(key).ok_or_else(|| bad(format!("it has no {key}")))?;
    NodeAddr::from_value(node).map_err(|why| bad(format!("its {key}: {why}")))
}

/// Reads a piece of news, and where the two nodes are that it names.
pub(crate) fn read_update(value: &Value, addresses: &mut Addresses) -> Result<Update<Nid>, CallError> {
    let (peer, by) = (node(value, "peer")?, node(value, "by")?);
    let turn = whole(value.get("turn")).and_then(|turn| u32::try_from(turn).ok());
    let (Some(life), Some(turn)) = (whole(value.get("life")), turn) else {
        return Err(bad("it names no incarnation"));
    };
    let name = value.get("claim").and_then(Value::as_str).unwrap_or_default();
    let claims = [Claim::Alive, Claim::Suspect, Claim::Dead, Claim::Left];
    let claim = claims.into_iter().find(|claim| claim_name(*claim) == name);
    let claim = claim.ok_or_else(|| bad("it claims nothing that is known"))?;
    let (about, speaker) = (peer.key(), by.key());
    addresses.push((about, peer));
    if about != speaker {
        addresses.push((speaker, by));
    }
    Ok(Update { peer: about, incarnation: Incarnation { life, turn }, claim, by: speaker })
}

/// A piece of news: a node has come into a group.
pub(crate) fn addition(gid: &Gid, node: &NodeAddr) -> Value {
    Value::Object([("gid", Value::from(gid.as_str())), ("node", node.to_value())].into_iter().collect())
}

/// What a message of news says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct News {
    pub updates: Vec<Update<Nid>>,
    /// Where the nodes are that the updates name.
    pub addresses: Addresses,
    /// Who has come into which groups.
    pub additions: BTreeMap<Gid, Vec<NodeAddr>>,
}

pub(crate) fn read_news(value: &Value) -> Result<News, CallError> {
    let pieces = value.as_array().ok_or_else(|| bad("news are an array"))?;
    if pieces.iter().count() > MOST_NEWS {
        return Err(bad(format!("news are at most {MOST_NEWS} pieces, not {}", pieces.iter().count())));
    }
    let mut news = News::default();
    for piece in pieces.iter().flatten() {
        match piece.get("gid") {
            None => news.updates.push(read_update(piece, &mut news.addresses)?),
            Some(gid) => {
                let gid = Gid::new(gid.as_str().unwrap_or_default()).map_err(|why| bad(why.to_string()))?;
                news.additions.entry(gid).or_default().push(node(piece, "node")?);
            }
        }
    }
    Ok(news)
}

/// A peer's view.
pub(crate) fn read_view(value: &Value, addresses: &mut Addresses) -> Result<Vec<Update<Nid>>, CallError> {
    let view = value.get("view").and_then(Value::as_array).ok_or_else(|| bad("it has no view"))?;
    view.iter().flatten().map(|update| read_update(update, addresses)).collect()
}

/// A group as a seed hands it to a newcomer.
pub(crate) fn group(config: &GroupConfig, members: &Group) -> Value {
    Value::Object([("config", config.to_value()), ("nodes", members.to_value())].into_iter().collect())
}

pub(crate) fn read_groups(value: &Value) -> Result<Vec<(GroupConfig, Group)>, CallError> {
    let groups = value.get("groups").and_then(Value::as_array);
    let read = |group: &Value| {
        let part = |key| group.get(key).unwrap_or(&Value::Undefined);
        Ok((GroupConfig::from_value(part("config"))?, Group::from_peer(part("nodes"))?))
    };
    groups.into_iter().flat_map(|groups| groups.iter().flatten()).map(read).collect()
}

/// Whether a failed call was answered by the node it was made on.
pub(super) fn answered(error: &CallError) -> bool {
    !matches!(
        error.kind,
        ErrorKind::Unreachable
            | ErrorKind::Interrupted
            | ErrorKind::DeadlineExceeded
            | ErrorKind::BadAnswer
            // what has been closed leaves its door open; one that only panicked answers the next time
            | ErrorKind::Crashed
            // it answers for the last time
            | ErrorKind::Stopping
    )
}

/// What became of a ping. Any answer is a sign of life, an error too.
pub(crate) fn pinged(reply: &Reply) -> Outcome {
    match reply {
        Ok(Answer::Value(value)) => Outcome::Answered(stated(value)),
        Ok(Answer::Group { .. }) => Outcome::Answered(None),
        Err(error) if answered(error) => Outcome::Answered(None),
        Err(_) => Outcome::Lost,
    }
}

/// What became of a relay, and what the peer behind it stated.
pub(crate) fn relayed(reply: &Reply) -> (Outcome, Option<Incarnation>) {
    match reply {
        Ok(Answer::Value(value)) => match value.get("reached").and_then(Value::as_bool) {
            Some(true) => (Outcome::Answered(stated(value)), value.get("peer").and_then(stated)),
            Some(false) => (Outcome::Unreachable(stated(value)), None),
            None => (Outcome::Lost, None),
        },
        Ok(Answer::Group { .. }) => (Outcome::Lost, None),
        // it takes no part any more
        Err(error) if error.kind == ErrorKind::UnknownMethod => (Outcome::Unreachable(None), None),
        Err(_) => (Outcome::Lost, None),
    }
}

/// What became of a relay by a node that takes no part.
pub(crate) fn relayed_by_call(reply: &Reply) -> Outcome {
    match reply {
        Ok(_) => Outcome::Answered(None),
        Err(error) if answered(error) => Outcome::Unreachable(None),
        // whether it was the relay or the peer that was not reached, the error does not say
        Err(_) => Outcome::Lost,
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::wire;

    use super::*;

    fn at(port: u16) -> NodeAddr {
        NodeAddr::new("127.0.0.1", port)
    }

    #[test]
    fn news_arrive_as_they_left() {
        let incarnation = Incarnation { life: 1_763_841_270_123, turn: 7 };
        for claim in [Claim::Alive, Claim::Suspect, Claim::Dead, Claim::Left] {
            let sent = Update { peer: at(1).nid(), incarnation, claim, by: at(2).nid() };
            let find = |nid: &Nid| [at(1), at(2)].into_iter().find(|node| node.nid() == *nid);
            let value = update(&sent, find).unwrap();
            let limits = wire::Limits::default();
            let value = wire::decode(wire::encode(&value).as_bytes(), &limits).unwrap();
            let mut addresses = Addresses::new();
            assert_eq!(read_update(&value, &mut addresses), Ok(sent));
            assert_eq!(addresses, [(at(1).nid(), at(1)), (at(2).nid(), at(2))]);
            assert_eq!(update(&sent, |_| None), None);
        }
    }

    #[test]
    fn news_that_make_no_sense_are_refused() {
        let whole = update(
            &Update { peer: at(1).nid(), incarnation: Incarnation::of_life(1), claim: Claim::Dead, by: at(1).nid() },
            |_| Some(at(1)),
        );
        let whole = whole.unwrap().as_object().unwrap().clone();
        for (key, value) in [
            ("peer", Value::Null),
            ("by", Value::from("x")),
            ("life", Value::from(-1)),
            ("life", Value::from(0.5)),
            ("turn", Value::from(5e9)),
            ("claim", Value::from("undead")),
        ] {
            let mut object = whole.clone();
            object.insert(key, value);
            let error = read_update(&Value::Object(object), &mut Addresses::new()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument, "{key}");
        }
    }

    #[test]
    fn several_pieces_of_news_arrive_together_but_not_too_many() {
        let gid = Gid::new("town").unwrap();
        let said =
            Update { peer: at(1).nid(), incarnation: Incarnation::of_life(1), claim: Claim::Dead, by: at(2).nid() };
        let piece = update(&said, |nid| [at(1), at(2)].into_iter().find(|node| node.nid() == *nid)).unwrap();
        let value = Value::from(vec![addition(&gid, &at(3)), piece.clone(), addition(&gid, &at(4))]);
        let value = wire::decode(wire::encode(&value).as_bytes(), &wire::Limits::default()).unwrap();
        let news = read_news(&value).unwrap();
        assert_eq!((news.updates, &news.additions[&gid][..]), (vec![said], &[at(3), at(4)][..]));
        let bare = Value::Object([("gid", "town")].into_iter().collect());
        for refused in [piece.clone(), Value::from(vec![Value::Null]), Value::from(vec![bare])] {
            assert_eq!(read_news(&refused).unwrap_err().kind, ErrorKind::BadArgument);
        }
        assert!(read_news(&Value::from(vec![piece.clone(); MOST_NEWS])).is_ok());
        assert!(read_news(&Value::from(vec![piece; MOST_NEWS + 1])).is_err());
    }

    #[test]
    fn any_answer_is_a_sign_of_life() {
        let failed = |kind| Err(CallError::new(kind, "x"));
        let incarnation = Incarnation { life: 3, turn: 1 };
        let mut object = Object::new();
        state(&mut object, incarnation);
        assert_eq!(pinged(&Ok(Value::Object(object).into())), Outcome::Answered(Some(incarnation)));
        assert_eq!(pinged(&failed(ErrorKind::UnknownMethod)), Outcome::Answered(None));
        assert_eq!(pinged(&failed(ErrorKind::Other("Error".into()))), Outcome::Answered(None));
        assert_eq!(pinged(&failed(ErrorKind::Unreachable)), Outcome::Lost);
        assert_eq!(pinged(&failed(ErrorKind::DeadlineExceeded)), Outcome::Lost);
        assert_eq!(relayed_by_call(&failed(ErrorKind::Other("Error".into()))), Outcome::Unreachable(None));
    }
}
