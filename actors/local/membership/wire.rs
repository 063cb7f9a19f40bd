//! What membership says on the wire: methods of `local.gossip`, as a node of the JavaScript reference ends its process
//! on a service that it does not have, and says "Method … not found" of a method.
//!
//! ```text
//! ping({STATED[, about, kept, merge, welcome, inquire,  {STATED[, about]}
//!       heard: {gid: hash, ...}]})
//! relay({STATED, to, budget})                          {STATED, reached[, peer: STATED]}
//! sync({STATED, parts, first, news                     {STATED, parts, differing, entries[, next]}
//!       [, merge, joining, groups]})
//! listing({STATED[, after: {gid, place}]})             {groups: [{config, nodes[, gone]}][, next: {gid, place}]}
//! news([entry, ...])                                   null; spread by gossip in the group `all`
//!
//! STATED: from: {ip, port}, life, turn[, name, cluster, formerly, view]
//! entry:  {peer: {ip, port}, life, turn, claim: alive | suspect | dead | left, by[, groups]}
//! ```
//!
//! A node is named by its address, from which its NID follows: a SID may differ between two nodes' views. The speaker of
//! an entry, `by`, is a NID, as nobody needs to reach it. `groups` are those that the peer was started in. Hashes and
//! the ids of clusters are hexadecimal text. News are at most [`MOST_NEWS`] entries.

use std::fmt;

use chinwag_protocol::{
    call::{Answer, Call, CallError, ErrorKind, Reply},
    group::{Group, GroupConfig},
    identity::{Gid, Nid, NodeAddr},
    swim::{
        self, Claim, ClusterId, Incarnation, MAX_ENTRIES, MAX_PARTS, MOST_NEWS, Outcome, Page, Statement, Status,
        Update,
    },
    value::{Object, Value},
};

use super::heard::{Heard, MAX_HEARD};

/// The methods that `local.gossip` has beside its own.
pub(crate) const METHODS: [&str; 5] = ["listing", "news", "ping", "relay", "sync"];

/// Most groups that an entry may say its peer was started in.
pub(crate) const MAX_GROUPS: usize = 256;

/// Whether a call is membership's own traffic, which is let in however busy the node is: a node that is slow to answer
/// calls is not dead.
pub(crate) fn is_ours(call: &Call) -> bool {
    call.service == "gossip" && call.gid.is_local() && METHODS.contains(&call.method.as_str())
}

/// What is known of a member beside its standing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub nid: Nid,
    pub node: NodeAddr,
    /// The life that the groups belong to.
    pub life: u64,
    /// The groups that it was started in; `None` where that was not said.
    pub groups: Option<Vec<Gid>>,
}

impl Known {
    /// Where a member is, and nothing else.
    pub(crate) fn at(node: NodeAddr) -> Known {
        Known { nid: node.key(), node, life: 0, groups: None }
    }
}

/// What came with a message.
pub(crate) type Addresses = Vec<Known>;

/// What a node states of itself, with its address and the name of its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Stating<'a> {
    pub me: &'a NodeAddr,
    pub name: &'a str,
    pub stated: Statement,
}

impl Stating<'_> {
    fn object(&self) -> Object {
        let mut object = Object::new();
        object.insert("from", address(self.me));
        state(&mut object, &self.stated, self.name);
        object
    }
}

fn call(method: &str, argument: Object) -> Call {
    Call::new(Gid::local(), "gossip", method, vec![Value::Object(argument)])
}

/// An address without what else a node says of itself.
fn address(node: &NodeAddr) -> Value {
    NodeAddr::new(node.ip(), node.port()).to_value()
}

fn hexadecimal(number: u64) -> Value {
    Value::from(format!("{number:x}"))
}

fn from_hexadecimal(value: &Value) -> Option<u64> {
    let text = value.as_str().filter(|text| text.len() <= 16)?;
    u64::from_str_radix(text, 16).ok()
}

pub(crate) fn put_incarnation(object: &mut Object, incarnation: Incarnation) {
    // whole numbers up to 2^53 stay what they are; milliseconds since 1970 take 41 bits
    object.insert("life", incarnation.life as f64);
    object.insert("turn", incarnation.turn);
}

/// Adds what a node states of itself to a message.
pub(crate) fn state(object: &mut Object, stated: &Statement, name: &str) {
    put_incarnation(object, stated.incarnation);
    if !name.is_empty() {
        object.insert("name", name);
    }
    if let Some(cluster) = stated.cluster {
        object.insert("cluster", hexadecimal(cluster.number()));
    }
    let formerly: Vec<Value> = stated.formerly.iter().flatten().map(|id| hexadecimal(id.number())).collect();
    if !formerly.is_empty() {
        object.insert("formerly", formerly);
    }
    if stated.view != 0 {
        object.insert("view", hexadecimal(stated.view));
    }
}

/// What a request says beside the statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pinging {
    pub about: Option<Value>,
    pub kept: bool,
    /// The life of the receiver for which the sender asks for a merge of the clusters, or 0 for any.
    pub merge: Option<u64>,
    /// The receiver was restarted: it is a member, and these groups list it.
    pub welcome: Option<Vec<Gid>>,
    /// The sender asks what is known of this node.
    pub inquire: Option<NodeAddr>,
    /// The hashes of what the sender has heard by gossip, by group.
    pub heard: Vec<Heard>,
}

pub(crate) fn ping(stating: &Stating<'_>, pinging: Pinging) -> Call {
    let mut object = stating.object();
    if let Some(about) = pinging.about {
        object.insert("about", about);
    }
    if let Some(node) = &pinging.inquire {
        object.insert("inquire", address(node));
    }
    if !pinging.heard.is_empty() {
        let heard: Object = pinging.heard.iter().map(|(gid, hash)| (gid.as_str(), hexadecimal(*hash))).collect();
        object.insert("heard", Value::Object(heard));
    }
    if let Some(groups) = &pinging.welcome {
        object.insert("welcome", gids(groups));
    }
    if pinging.kept {
        object.insert("kept", true);
    }
    put_merge(&mut object, pinging.merge);
    call("ping", object)
}

pub(crate) fn relay(stating: &Stating<'_>, to: &NodeAddr, budget: std::time::Duration) -> Call {
    let mut object = stating.object();
    object.insert("to", address(to));
    object.insert("budget", budget.as_secs_f64() * 1_000.0);
    call("relay", object)
}

/// The same asked of a mute node.
pub(crate) fn relay_by_call(to: &NodeAddr) -> Call {
    let mut remote = Object::new();
    remote.insert("node", address(to));
    remote.insert("service", "status");
    remote.insert("method", "get");
    let arguments = vec![Value::from(vec![Value::from("sid")]), Value::Object(remote)];
    Call::new(Gid::local(), "comm", "send", arguments)
}

/// A comparison whose entries are written already.
pub(crate) fn sync(
    stating: &Stating<'_>,
    sync: &swim::Sync<Nid>,
    news: Vec<Value>,
    merge: Option<u64>,
    joining: Option<&[Gid]>,
) -> Call {
    let mut object = stating.object();
    object.insert("parts", sync.parts.iter().map(|part| hexadecimal(*part)).collect::<Vec<_>>());
    object.insert("first", sync.first.min(MAX_PARTS) as f64);
    object.insert("news", news);
    put_merge(&mut object, merge);
    if let Some(groups) = joining {
        object.insert("joining", true);
        object.insert("groups", gids(groups));
    }
    call("sync", object)
}

/// Reads a comparison.
pub(crate) fn read_sync(value: &Value, addresses: &mut Addresses) -> Result<swim::Sync<Nid>, CallError> {
    let parts = value.get("parts").and_then(Value::as_array).ok_or_else(|| bad("it has no parts"))?;
    if parts.len() > MAX_PARTS {
        return Err(bad(format!("a view has at most {MAX_PARTS} parts, not {}", parts.len())));
    }
    let hash = |part: Option<&Value>| part.and_then(from_hexadecimal).ok_or_else(|| bad("a part is no hash"));
    let parts = parts.iter().map(hash).collect::<Result<_, _>>()?;
    let first = whole(value.get("first")).and_then(|first| usize::try_from(first).ok());
    let first = first.ok_or_else(|| bad("it does not say which part comes first"))?;
    Ok(swim::Sync { parts, first, news: read_entries(value, "news", addresses)? })
}

/// The answer to a comparison, whose entries are written already.
pub(crate) fn page(answer: &mut Object, page: &Page<Nid>, entries: Vec<Value>) {
    answer.insert("parts", page.parts as f64);
    answer.insert("differing", page.differing.iter().map(|part| Value::from(*part as f64)).collect::<Vec<_>>());
    answer.insert("entries", entries);
    if let Some(next) = page.next {
        answer.insert("next", next as f64);
    }
}

/// Reads the answer to a comparison.
pub(crate) fn read_page(value: &Value, addresses: &mut Addresses) -> Result<Page<Nid>, CallError> {
    let place = |value: Option<&Value>| {
        whole(value).and_then(|place| usize::try_from(place).ok()).filter(|place| *place <= MAX_PARTS)
    };
    let differing = value.get("differing").and_then(Value::as_array).ok_or_else(|| bad("it names no parts"))?;
    if differing.len() > MAX_PARTS {
        return Err(bad(format!("a view has at most {MAX_PARTS} parts, not {}", differing.len())));
    }
    let differing = differing.iter().map(|part| place(part).ok_or_else(|| bad("it names a part that is none")));
    Ok(Page {
        differing: differing.collect::<Result<_, _>>()?,
        entries: read_entries(value, "entries", addresses)?,
        next: place(value.get("next")),
        parts: place(value.get("parts")).ok_or_else(|| bad("it does not say how many parts there are"))?,
    })
}

fn read_entries(value: &Value, key: &str, addresses: &mut Addresses) -> Result<Vec<Update<Nid>>, CallError> {
    let entries = value.get(key).and_then(Value::as_array).ok_or_else(|| bad(format!("it has no {key}")))?;
    if entries.len() > MAX_ENTRIES {
        return Err(bad(format!("a message has at most {MAX_ENTRIES} entries, not {}", entries.len())));
    }
    entries.iter().flatten().map(|entry| read_entry(entry, addresses)).collect()
}

/// An entry; `None` where the peer's address is not known, so that nobody could make use of it.
pub(crate) fn entry(update: &Update<Nid>, find: impl FnOnce(&Nid) -> Option<Known>) -> Option<Value> {
    let known = find(&update.peer)?;
    let mut object = Object::new();
    object.insert("peer", address(&known.node));
    put_incarnation(&mut object, update.incarnation);
    object.insert("claim", claim_name(update.claim));
    object.insert("by", update.by.to_string());
    if let Some(groups) = known.groups.filter(|_| update.claim == Claim::Alive && known.life == update.incarnation.life)
    {
        object.insert("groups", gids(&groups));
    }
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

fn bad(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::BadArgument, why)
}

fn whole(value: Option<&Value>) -> Option<u64> {
    let number = value?.as_f64()?;
    ((0.0..=9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

fn incarnation(value: &Value) -> Option<Incarnation> {
    let turn = u32::try_from(whole(value.get("turn"))?).ok()?;
    Some(Incarnation { life: whole(value.get("life"))?, turn })
}

/// What a node states of itself. One that states nothing is mute.
pub(crate) fn stated(value: &Value) -> Statement {
    let Some(incarnation) = incarnation(value) else { return Statement::default() };
    let id = |value: &Value| from_hexadecimal(value).and_then(ClusterId::new);
    let mut stated = Statement {
        cluster: value.get("cluster").and_then(id),
        view: value.get("view").and_then(from_hexadecimal).unwrap_or_default(),
        ..Statement::of(incarnation)
    };
    let formerly = value.get("formerly").and_then(Value::as_array);
    for (place, former) in stated.formerly.iter_mut().zip(formerly.into_iter().flat_map(|ids| ids.iter().flatten())) {
        *place = id(former);
    }
    stated
}

/// The hashes of what a node has heard by gossip. What makes no sense says nothing.
pub(crate) fn read_heard(value: &Value) -> Vec<Heard> {
    let heard = value.get("heard").and_then(Value::as_object).into_iter().flat_map(Object::iter).take(MAX_HEARD);
    heard.filter_map(|(gid, hash)| Some((Gid::new(gid).ok()?, from_hexadecimal(hash)?))).collect()
}

/// The name of the cluster that a node states to be in.
pub(crate) fn name(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The error for a node of another cluster.
pub(crate) const STRANGER: &str = "Stranger";

/// The error for a node that states an address which is this node's, or which another node answers at.
pub(crate) const ADDRESS_TAKEN: &str = "AddressTaken";

pub(crate) fn stranger(why: impl fmt::Display) -> CallError {
    CallError::new(ErrorKind::Other(STRANGER.to_owned()), why.to_string())
}

pub(crate) fn address_taken(why: impl fmt::Display) -> CallError {
    CallError::new(ErrorKind::Other(ADDRESS_TAKEN.to_owned()), why.to_string())
}

/// Whether an error is of a kind that only membership has.
pub(crate) fn is_named(error: &CallError, name: &str) -> bool {
    matches!(&error.kind, ErrorKind::Other(kind) if kind == name)
}

pub(crate) fn node(value: &Value, key: &str) -> Result<NodeAddr, CallError> {
    let node = value.get(key).ok_or_else(|| bad(format!("it has no {key}")))?;
    NodeAddr::from_value(node).map_err(|why| bad(format!("its {key}: {why}")))
}

fn put_merge(object: &mut Object, merge: Option<u64>) {
    if let Some(life) = merge {
        object.insert("merge", life as f64);
    }
}

/// Whether a request asks a node in this life for a merge of the clusters.
pub(crate) fn asks_to_merge(value: &Value, life: u64) -> bool {
    whole(value.get("merge")).is_some_and(|of| of == 0 || of == life)
}

fn gids(groups: &[Gid]) -> Value {
    Value::from(groups.iter().map(|gid| Value::from(gid.as_str())).collect::<Vec<_>>())
}

/// Reads names of groups.
pub(crate) fn read_gids(value: &Value) -> Result<Vec<Gid>, CallError> {
    let Some(groups) = value.as_array() else { return Ok(Vec::new()) };
    if groups.len() > MAX_GROUPS {
        return Err(bad(format!("a node is started in at most {MAX_GROUPS} groups, not {}", groups.len())));
    }
    let read = |gid: &Value| Gid::new(gid.as_str().unwrap_or_default()).map_err(|why| bad(why.to_string()));
    groups.iter().flatten().map(read).collect()
}

/// Reads an entry, and where the peer is.
pub(crate) fn read_entry(value: &Value, addresses: &mut Addresses) -> Result<Update<Nid>, CallError> {
    let peer = node(value, "peer")?;
    let by = value.get("by").and_then(Value::as_str).and_then(|by| by.parse().ok());
    let by = by.ok_or_else(|| bad("it does not say who says so"))?;
    let incarnation = incarnation(value).ok_or_else(|| bad("it names no incarnation"))?;
    let name = value.get("claim").and_then(Value::as_str).unwrap_or_default();
    let claims = [Claim::Alive, Claim::Suspect, Claim::Dead, Claim::Left];
    let claim = claims.into_iter().find(|claim| claim_name(*claim) == name);
    let claim = claim.ok_or_else(|| bad("it claims nothing that is known"))?;
    let groups = value.get("groups").map(read_gids).transpose()?;
    let nid = peer.key();
    addresses.push(Known { nid, node: peer, life: incarnation.life, groups });
    Ok(Update { peer: nid, incarnation, claim, by })
}

pub(crate) fn read_news(value: &Value) -> Result<(Vec<Update<Nid>>, Addresses), CallError> {
    let entries = value.as_array().ok_or_else(|| bad("news are an array"))?;
    if entries.iter().count() > MOST_NEWS {
        return Err(bad(format!("news are at most {MOST_NEWS} entries, not {}", entries.iter().count())));
    }
    let mut addresses = Addresses::new();
    let updates = entries.iter().flatten().map(|entry| read_entry(entry, &mut addresses)).collect::<Result<_, _>>()?;
    Ok((updates, addresses))
}

/// Where a listing of groups goes on: at the member in this place of this group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub gid: Gid,
    pub place: usize,
}

impl Place {
    fn to_value(&self) -> Value {
        let place = Value::from(self.place as f64);
        Value::Object([("gid", Value::from(self.gid.as_str())), ("place", place)].into_iter().collect())
    }

    fn from_value(value: &Value) -> Option<Place> {
        let gid = Gid::new(value.get("gid")?.as_str()?).ok()?;
        Some(Place { gid, place: usize::try_from(whole(value.get("place"))?).ok()? })
    }
}

/// Asks for the groups that list this node, page by page.
pub(crate) fn listing(stating: &Stating<'_>, after: Option<&Place>) -> Call {
    let mut object = stating.object();
    if let Some(after) = after {
        object.insert("after", after.to_value());
    }
    call("listing", object)
}

/// Where a requested listing begins.
pub(crate) fn read_after(value: &Value) -> Option<Place> {
    value.get("after").and_then(Place::from_value)
}

/// Part of a group, for a node that joins.
///
/// `gone` are nodes that a verdict took out of the group and that come back into it when they return.
pub(crate) fn group(config: &GroupConfig, members: &Group, gone: &Group) -> Value {
    let mut object: Object = [("config", config.to_value()), ("nodes", members.to_value())].into_iter().collect();
    if !gone.is_empty() {
        object.insert("gone", gone.to_value());
    }
    Value::Object(object)
}

/// A page of a listing.
pub(crate) fn groups(parts: Vec<Value>, next: Option<&Place>) -> Value {
    let mut object = Object::new();
    object.insert("groups", parts);
    if let Some(next) = next {
        object.insert("next", next.to_value());
    }
    Value::Object(object)
}

/// Part of a group, read: what it is, who is in it, and who is gone from it.
pub(crate) type Part = (GroupConfig, Group, Group);

/// A page of a listing, read: parts of groups, and where it goes on.
pub(crate) type Listed = (Vec<Part>, Option<Place>);

pub(crate) fn read_groups(value: &Value) -> Result<Listed, CallError> {
    let groups = value.get("groups").and_then(Value::as_array);
    let read = |group: &Value| {
        let part = |key| group.get(key).unwrap_or(&Value::Undefined);
        let gone = group.get("gone").map(Group::from_peer).transpose()?.unwrap_or_default();
        Ok((GroupConfig::from_value(part("config"))?, Group::from_peer(part("nodes"))?, gone))
    };
    let parts = groups.into_iter().flat_map(|groups| groups.iter().flatten()).map(read);
    let parts = parts.collect::<Result<Vec<_>, CallError>>()?;
    Ok((parts, value.get("next").and_then(Place::from_value)))
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

/// What became of a ping. Any answer is a sign of life, an error too, unless a node of another cluster gives it.
pub(crate) fn pinged(reply: &Reply) -> Outcome {
    match reply {
        Ok(Answer::Value(value)) => Outcome::Answered(stated(value)),
        Ok(Answer::Group { .. }) => Outcome::Answered(Statement::default()),
        Err(error) if error.is_refusal() || is_named(error, STRANGER) => Outcome::Refused,
        Err(error) if answered(error) => Outcome::Answered(Statement::default()),
        Err(_) => Outcome::Lost,
    }
}

/// What became of a relay, and what the peer behind it stated.
pub(crate) fn relayed(reply: &Reply) -> (Outcome, Option<Statement>) {
    match reply {
        Ok(Answer::Value(value)) => match value.get("reached").and_then(Value::as_bool) {
            Some(true) => (Outcome::Answered(stated(value)), value.get("peer").map(stated)),
            Some(false) => (Outcome::Unreachable(stated(value)), None),
            None => (Outcome::Lost, None),
        },
        Ok(Answer::Group { .. }) => (Outcome::Lost, None),
        // it takes no part any more
        Err(error) if error.kind == ErrorKind::UnknownMethod => (Outcome::Unreachable(Statement::default()), None),
        Err(error) if error.is_refusal() => (Outcome::Refused, None),
        Err(_) => (Outcome::Lost, None),
    }
}

/// What became of a relay by a mute node.
pub(crate) fn relayed_by_call(reply: &Reply) -> Outcome {
    match reply {
        Ok(_) => Outcome::Answered(Statement::default()),
        Err(error) if answered(error) => Outcome::Unreachable(Statement::default()),
        // the error does not say whether it was the relay or the peer that was not reached
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

    fn find(nid: &Nid) -> Option<Known> {
        [at(1), at(2)].into_iter().find(|node| node.nid() == *nid).map(Known::at)
    }

    fn written(value: &Value) -> Value {
        wire::decode(wire::encode(value).as_bytes(), &wire::Limits::default()).unwrap()
    }

    #[test]
    fn entries_arrive_as_they_left() {
        let incarnation = Incarnation { life: 1_763_841_270_123, turn: 7 };
        for claim in [Claim::Alive, Claim::Suspect, Claim::Dead, Claim::Left] {
            let sent = Update { peer: at(1).nid(), incarnation, claim, by: at(3).nid() };
            let groups = Some(vec![Gid::new("town").unwrap()]);
            let known = Known { life: incarnation.life, groups: groups.clone(), ..Known::at(at(1)) };
            let value = written(&entry(&sent, |_| Some(known.clone())).unwrap());
            let mut addresses = Addresses::new();
            assert_eq!(read_entry(&value, &mut addresses), Ok(sent));
            let groups = groups.filter(|_| claim == Claim::Alive);
            assert_eq!(addresses, [Known { groups, ..known }]);
            assert_eq!(entry(&sent, |_| None), None);
        }
    }

    #[test]
    fn entries_that_make_no_sense_are_refused() {
        let whole = entry(
            &Update { peer: at(1).nid(), incarnation: Incarnation::of_life(1), claim: Claim::Dead, by: at(1).nid() },
            find,
        );
        let whole = whole.unwrap().as_object().unwrap().clone();
        for (key, value) in [
            ("peer", Value::Null),
            ("by", Value::from("x")),
            ("life", Value::from(-1)),
            ("life", Value::from(0.5)),
            ("turn", Value::from(5e9)),
            ("claim", Value::from("undead")),
            ("groups", Value::from(vec![Value::from("x"); MAX_GROUPS + 1])),
        ] {
            let mut object = whole.clone();
            object.insert(key, value);
            let error = read_entry(&Value::Object(object), &mut Addresses::new()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument, "{key}");
        }
    }

    #[test]
    fn several_entries_arrive_together_but_not_too_many() {
        let said =
            Update { peer: at(1).nid(), incarnation: Incarnation::of_life(1), claim: Claim::Dead, by: at(2).nid() };
        let piece = entry(&said, find).unwrap();
        let (updates, _) = read_news(&written(&Value::from(vec![piece.clone(), piece.clone()]))).unwrap();
        assert_eq!(updates, [said, said]);
        for refused in [piece.clone(), Value::from(vec![Value::Null])] {
            assert_eq!(read_news(&refused).unwrap_err().kind, ErrorKind::BadArgument);
        }
        assert!(read_news(&Value::from(vec![piece.clone(); MOST_NEWS])).is_ok());
        assert!(read_news(&Value::from(vec![piece; MOST_NEWS + 1])).is_err());
    }

    fn statement() -> Statement {
        let id = |number| ClusterId::new(number);
        let formerly = [id(5), id(u64::MAX), None, None];
        let incarnation = Incarnation { life: 3, turn: 1 };
        Statement { incarnation, cluster: id(1 << 63), formerly, view: u64::MAX - 1 }
    }

    #[test]
    fn comparisons_arrive_as_they_left() {
        let stating = Stating { me: &at(2), name: "west", stated: statement() };
        let entries: Vec<_> = [1, 2]
            .map(|port| Update {
                peer: at(port).nid(),
                incarnation: Incarnation { life: 9, turn: 2 },
                claim: Claim::Alive,
                by: at(2).nid(),
            })
            .into();
        let values: Vec<_> = entries.iter().map(|update| entry(update, find).unwrap()).collect();
        let sent = swim::Sync { parts: vec![0, u64::MAX, 7, 1 << 60], first: 2, news: entries.clone() };
        let call = sync(&stating, &sent, values.clone(), Some(7), Some(&[Gid::new("town").unwrap()]));
        let argument = written(&call.arguments[0]);
        assert_eq!(read_sync(&argument, &mut Addresses::new()), Ok(sent));
        assert!(asks_to_merge(&argument, 7) && !asks_to_merge(&argument, 8));
        assert_eq!((stated(&argument), name(&argument)), (statement(), "west"));
        assert_eq!(read_gids(argument.get("groups").unwrap()).unwrap().len(), 1);

        for next in [None, Some(3)] {
            let sent = Page { differing: vec![0, 2], entries: entries.clone(), next, parts: 4 };
            let mut answer = Object::new();
            page(&mut answer, &sent, values.clone());
            assert_eq!(read_page(&written(&Value::Object(answer)), &mut Addresses::new()), Ok(sent));
        }
    }

    #[test]
    fn comparisons_out_of_bounds_are_refused() {
        let many = |count| Value::from(vec![Value::from("1"); count]);
        let sync = |parts, first, news| {
            Value::Object([("parts", parts), ("first", first), ("news", news)].into_iter().collect())
        };
        let none = || Value::from(Vec::<Value>::new());
        assert!(read_sync(&sync(many(256), Value::from(0), none()), &mut Addresses::new()).is_ok());
        for refused in [
            sync(many(257), Value::from(0), none()),
            sync(Value::from(vec![Value::from("g")]), Value::from(0), none()),
            sync(Value::from(vec![Value::from("11112222333344445")]), Value::from(0), none()),
            sync(many(1), Value::from(-1), none()),
            sync(many(1), Value::from(0), many(MAX_ENTRIES + 1)),
            sync(many(1), Value::from(0), Value::Null),
        ] {
            let error = read_sync(&refused, &mut Addresses::new()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument);
        }
    }

    #[test]
    fn hashes_of_what_was_heard_arrive_up_to_their_number() {
        let stating = Stating { me: &at(2), name: "", stated: statement() };
        let gid = |number: usize| Gid::new(format!("g{number}")).unwrap();
        let heard: Vec<Heard> = (0..MAX_HEARD).map(|number| (gid(number), u64::MAX - number as u64)).collect();
        let call = ping(&stating, Pinging { heard: heard.clone(), ..Pinging::default() });
        assert_eq!(read_heard(&written(&call.arguments[0])), heard);

        let object = |entries: Vec<(String, Value)>| {
            let heard: Object = entries.into_iter().collect();
            Value::Object([("heard", Value::Object(heard))].into_iter().collect())
        };
        let many = (0..2 * MAX_HEARD).map(|number| (gid(number).as_str().to_owned(), Value::from("1"))).collect();
        assert_eq!(read_heard(&object(many)).len(), MAX_HEARD);
        let nonsense = [("g", Value::from(1)), ("h", Value::from("x")), ("", Value::from("1"))];
        let nonsense = nonsense.map(|(gid, hash)| (gid.to_owned(), hash));
        assert_eq!(read_heard(&object(nonsense.into())), []);
        assert_eq!(read_heard(&Value::Null), []);
    }

    #[test]
    fn a_page_of_groups_arrives_as_it_left() {
        let config = GroupConfig::new(Gid::new("town").unwrap()).with("subset", 3);
        let members: Group = [at(1), at(2)].into();
        let next = Place { gid: Gid::new("village").unwrap(), place: 512 };
        let gone: Group = [NodeAddr::new("10.0.0.3", 3)].into_iter().collect();
        let parts = vec![group(&config, &members, &gone), group(&config, &members, &Group::default())];
        let value = written(&groups(parts, Some(&next)));
        let parts = vec![(config.clone(), members.clone(), gone), (config, members, Group::default())];
        assert_eq!(read_groups(&value).unwrap(), (parts, Some(next.clone())));
        let stating = Stating { me: &at(2), name: "", stated: statement() };
        assert_eq!(read_after(&written(&listing(&stating, Some(&next)).arguments[0])), Some(next));
        assert_eq!(read_after(&written(&listing(&stating, None).arguments[0])), None);
    }

    #[test]
    fn any_answer_is_a_sign_of_life() {
        let failed = |kind| Err(CallError::new(kind, "x"));
        let incarnation = Incarnation { life: 3, turn: 1 };
        let mut object = Object::new();
        state(&mut object, &Statement::of(incarnation), "");
        assert_eq!(pinged(&Ok(Value::Object(object).into())), Outcome::Answered(Statement::of(incarnation)));
        assert_eq!(pinged(&failed(ErrorKind::UnknownMethod)), Outcome::Answered(Statement::default()));
        assert_eq!(pinged(&failed(ErrorKind::Other("Error".into()))), Outcome::Answered(Statement::default()));
        assert_eq!(pinged(&failed(ErrorKind::Unreachable)), Outcome::Lost);
        assert_eq!(pinged(&failed(ErrorKind::DeadlineExceeded)), Outcome::Lost);
        assert_eq!(
            relayed_by_call(&failed(ErrorKind::Other("Error".into()))),
            Outcome::Unreachable(Statement::default())
        );
    }
}
