//! The requests and answers of membership, and the entries that both carry.
//!
//! ```text
//! ping({STATED[, about, inquire, heard: {gid: hash, ...},      {STATED[, about]}
//!       welcome, kept, merge]})
//! relay({STATED, to, budget})                                  {STATED, reached[, peer: STATED]}
//! sync({STATED, parts, first, news[, merge, joining, groups]}) {STATED, parts, differing, entries[, next]}
//! listing({STATED[, after: {gid, place}]})                     {groups: [{config, nodes[, gone]}][, next: {gid, place}]}
//! news([entry, ...])                                           null; spread by gossip in the group `all`
//!
//! STATED: from: {ip, port}, life, turn[, name, cluster, formerly, view]
//! entry:  {peer: {ip, port}, life, turn, claim: alive | suspect | dead | left, by[, groups]}
//! ```
//!
//! Messages identify a node by its address, from which its NID follows, because SIDs can differ between the views of
//! two nodes. The source of an entry, `by`, is a NID, because no node connects to it. `groups` are the groups that
//! the peer was started in. Hashes and the ids of clusters are hexadecimal text. A message of news has at most
//! [`MOST_NEWS`] entries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::{self, Whole, is_false};
use super::parts::written;
use super::stated::Stated;
use crate::{
    call::CallError,
    group::{Group, GroupConfig},
    identity::{Gid, Nid, NodeAddr},
    swim::{Claim, Incarnation, MAX_ENTRIES, MOST_NEWS, Update},
    value::{ConversionError, Object, Value},
};

/// The most groups in which an entry can say that its peer was started.
pub const MAX_GROUPS: usize = 256;

/// News of a member, with its address and groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "EntryForm", into = "EntryForm")]
pub struct Entry {
    /// The news.
    pub update: Update<Nid>,
    /// The address of the member, without further keys.
    pub node: NodeAddr,
    /// The groups that the member was started in, or `None` if the entry does not say.
    pub groups: Option<Vec<Gid>>,
}

/// The form of an entry on the wire.
#[derive(Serialize, Deserialize)]
struct EntryForm {
    #[serde(with = "fields::address")]
    peer: NodeAddr,
    life: Whole,
    turn: u32,
    claim: Claim,
    by: Nid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "fields::some_bounded::<_, _, MAX_GROUPS>")]
    groups: Option<Vec<Gid>>,
}

impl From<Entry> for EntryForm {
    fn from(Entry { update, node, groups }: Entry) -> EntryForm {
        let Update { incarnation, claim, by, .. } = update;
        EntryForm { peer: node, life: Whole(incarnation.life), turn: incarnation.turn, claim, by, groups }
    }
}

impl From<EntryForm> for Entry {
    fn from(EntryForm { peer: node, life, turn, claim, by, groups }: EntryForm) -> Entry {
        let incarnation = Incarnation { life: life.0, turn };
        Entry { update: Update { peer: node.key(), incarnation, claim, by }, node, groups }
    }
}

impl Entry {
    /// Returns the form on the wire.
    pub fn to_value(&self) -> Value {
        written(self)
    }
}

/// Reads the entries of a message of news.
///
/// # Errors
/// If it is not an array of at most [`MOST_NEWS`] entries.
pub fn read_news(value: Value) -> Result<Vec<Entry>, ConversionError> {
    #[derive(Deserialize)]
    struct News(#[serde(deserialize_with = "fields::bounded::<_, _, MOST_NEWS>")] Vec<Entry>);

    Ok(value.deserialize::<News>()?.0)
}

/// Asks whether a node is alive. The answer is a [`Pong`], or anything else from a passive node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ping {
    /// News for the receiver alone, most often that the sender suspects it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub about: Option<Box<Entry>>,
    /// The node that the sender asks about.
    #[serde(skip_serializing_if = "Option::is_none", with = "fields::some_address")]
    pub inquire: Option<NodeAddr>,
    /// The hashes of the rumors that the sender holds, for at most [`MAX_HEARD`](super::MAX_HEARD) groups.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "fields::heard")]
    pub heard: Vec<(Gid, u64)>,
    /// The groups that contain the receiver, if it was restarted and may not know that it is a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "fields::some_bounded::<_, _, MAX_GROUPS>")]
    pub welcome: Option<Vec<Gid>>,
    /// Whether the sender keeps the connection open.
    #[serde(skip_serializing_if = "is_false", deserialize_with = "fields::flag")]
    pub kept: bool,
    /// The life of the receiver for which the sender asks for a merge of the clusters, or 0 for any.
    #[serde(skip_serializing_if = "Option::is_none", with = "fields::some_life")]
    pub merge: Option<u64>,
}

/// The answer to a [`Ping`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pong {
    /// The statement of the node that answers.
    #[serde(skip)]
    pub stated: Stated,
    /// News about the sender, or about the node that the ping asked about.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub about: Option<Box<Entry>>,
}

/// Asks a node to ping another. The answer is [`Relayed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relay {
    /// The node to ping.
    #[serde(with = "fields::address")]
    pub to: NodeAddr,
    /// The time that the ping may take.
    #[serde(default, with = "fields::milliseconds")]
    pub budget: Duration,
}

/// The answer to a [`Relay`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relayed {
    /// The statement of the relay.
    #[serde(skip)]
    pub stated: Stated,
    /// Whether the other node answered.
    pub reached: bool,
    /// The statement of that node, unless it is passive.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub peer: Option<Stated>,
}

/// Compares views: see [`swim::Sync`](crate::swim::Sync). The answer is [`Compared`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sync {
    /// The hash of each part of the sender's view.
    #[serde(with = "fields::hashes")]
    pub parts: Vec<u64>,
    /// The first part that is to be compared.
    pub first: usize,
    /// What the receiver lacks or has older, as far as the sender knows.
    #[serde(deserialize_with = "fields::bounded::<_, _, MAX_ENTRIES>")]
    pub news: Vec<Entry>,
    /// The life of the receiver for which the sender asks for a merge of the clusters, or 0 for any.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::some_life")]
    pub merge: Option<u64>,
    /// Whether the sender joins, so that the receiver should connect to it and make it a member.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "fields::flag")]
    pub joining: bool,
    /// The groups that a joining sender was started in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "fields::some_bounded::<_, _, MAX_GROUPS>")]
    pub groups: Option<Vec<Gid>>,
}

/// The answer to a [`Sync`]: see [`swim::Page`](crate::swim::Page).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The statement of the node that answers.
    #[serde(skip)]
    pub stated: Stated,
    /// The address of that node.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::some_address")]
    pub from: Option<NodeAddr>,
    /// The number of parts into which that node would have divided its view.
    #[serde(deserialize_with = "fields::part")]
    pub parts: usize,
    /// The parts before `next` that differ.
    #[serde(deserialize_with = "fields::parts")]
    pub differing: Vec<usize>,
    /// The entries of those parts, and corrections of the request's news.
    #[serde(deserialize_with = "fields::bounded::<_, _, MAX_ENTRIES>")]
    pub entries: Vec<Entry>,
    /// The part with which to continue, or `None` after the last part.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "fields::next_part")]
    pub next: Option<usize>,
}

/// Asks for a page of the groups that contain the sender. The answer is [`Listed`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// The position at which the page begins, or `None` for the first page.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub after: Option<Place>,
}

/// A position in a listing of groups: a member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The group.
    pub gid: Gid,
    /// The index of the member, from 0.
    pub place: usize,
}

/// Part of a group, for a node that joins.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The group's configuration.
    pub config: GroupConfig,
    /// Members of the group.
    pub members: Group,
    /// Nodes that a verdict removed from the group, and that rejoin it when they return.
    pub gone: Group,
}

/// The answer to a [`Listing`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Parts of groups.
    pub groups: Vec<Part>,
    /// The position at which the next page begins, or `None` after the last page.
    pub next: Option<Place>,
}

impl Listed {
    /// Returns the form on the wire. It is built without serde, because serde would write configurations as text.
    pub(super) fn to_value(&self) -> Value {
        let group = |Part { config, members, gone }: &Part| -> Value {
            let mut object: Object =
                [("config", config.to_value()), ("nodes", members.to_value())].into_iter().collect();
            if !gone.is_empty() {
                object.insert("gone", gone.to_value());
            }
            Value::Object(object)
        };
        let mut object = Object::new();
        object.insert("groups", self.groups.iter().map(group).collect::<Vec<_>>());
        if let Some(next) = &self.next {
            object.insert("next", written(next));
        }
        Value::Object(object)
    }

    /// Reads a page.
    pub(super) fn from_value(value: &Value) -> Result<Listed, CallError> {
        let read = |group: &Value| {
            let part = |key| group.get(key).unwrap_or(&Value::Undefined);
            let gone = group.get("gone").map(Group::from_peer).transpose()?.unwrap_or_default();
            Ok(Part {
                config: GroupConfig::from_value(part("config"))?,
                members: Group::from_peer(part("nodes"))?,
                gone,
            })
        };
        let groups = value.get("groups").and_then(Value::as_array);
        let groups = groups.into_iter().flat_map(|groups| groups.iter().flatten()).map(read);
        let groups = groups.collect::<Result<Vec<_>, CallError>>()?;
        Ok(Listed { groups, next: value.get("next").and_then(|next| next.clone().deserialize().ok()) })
    }
}
