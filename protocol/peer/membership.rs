//! What membership says: requests, answers, and the entries that both carry.
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
//! A node is named by its address, from which its NID follows: a SID may differ between two nodes' views. The speaker
//! of an entry, `by`, is a NID, as nobody needs to reach it. `groups` are those that the peer was started in. Hashes
//! and the ids of clusters are hexadecimal text. News are at most [`MOST_NEWS`] entries.

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

/// Most groups that an entry may say its peer was started in.
pub const MAX_GROUPS: usize = 256;

/// What is said of a member, and what is known of it beside that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "EntryForm", into = "EntryForm")]
pub struct Entry {
    /// What is said.
    pub update: Update<Nid>,
    /// Where the member is: the address alone.
    pub node: NodeAddr,
    /// The groups that it was started in; `None` where that is not said.
    pub groups: Option<Vec<Gid>>,
}

/// An entry as the wire has it.
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
    /// As the wire has it.
    pub fn to_value(&self) -> Value {
        written(self)
    }
}

/// Reads the entries of a message of news.
///
/// # Errors
/// Where it is no array of at most [`MOST_NEWS`] entries.
pub fn read_news(value: Value) -> Result<Vec<Entry>, ConversionError> {
    #[derive(Deserialize)]
    struct News(#[serde(deserialize_with = "fields::bounded::<_, _, MOST_NEWS>")] Vec<Entry>);

    Ok(value.deserialize::<News>()?.0)
}

/// Asks whether a node is there. Answered [`Pong`], or with anything else by a node that takes no part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ping {
    /// News for the receiver alone, most often what the sender holds against it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub about: Option<Box<Entry>>,
    /// The sender asks what is known of this node.
    #[serde(skip_serializing_if = "Option::is_none", with = "fields::some_address")]
    pub inquire: Option<NodeAddr>,
    /// The hashes of what the sender has heard by gossip, by group; at most [`MAX_HEARD`](super::MAX_HEARD).
    #[serde(skip_serializing_if = "Vec::is_empty", with = "fields::heard")]
    pub heard: Vec<(Gid, u64)>,
    /// The receiver was restarted: it is a member, and these groups list it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "fields::some_bounded::<_, _, MAX_GROUPS>")]
    pub welcome: Option<Vec<Gid>>,
    /// The sender keeps the connection open.
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
    /// What the node states that answers.
    #[serde(skip)]
    pub stated: Stated,
    /// What it holds against the sender, or knows of the node in question.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub about: Option<Box<Entry>>,
}

/// Asks for a ping of another node. Answered [`Relayed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relay {
    /// The node to ping.
    #[serde(with = "fields::address")]
    pub to: NodeAddr,
    /// How long it may take.
    #[serde(default, with = "fields::milliseconds")]
    pub budget: Duration,
}

/// The answer to a [`Relay`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relayed {
    /// What the relay states.
    #[serde(skip)]
    pub stated: Stated,
    /// Whether the other node has answered.
    pub reached: bool,
    /// What that node states, unless it is passive.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub peer: Option<Stated>,
}

/// A comparison of views: see [`swim::Sync`](crate::swim::Sync). Answered [`Compared`].
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
    /// The sender joins: it is to be dialled back and made a member.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "fields::flag")]
    pub joining: bool,
    /// The groups that the sender was started in, if it joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "fields::some_bounded::<_, _, MAX_GROUPS>")]
    pub groups: Option<Vec<Gid>>,
}

/// The answer to a [`Sync`]: see [`swim::Page`](crate::swim::Page).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// What the node states that answers.
    #[serde(skip)]
    pub stated: Stated,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::some_address")]
    pub from: Option<NodeAddr>,
    /// The number of parts that it would have divided its view into.
    #[serde(deserialize_with = "fields::part")]
    pub parts: usize,
    /// The parts that differ, among those up to `next`.
    #[serde(deserialize_with = "fields::parts")]
    pub differing: Vec<usize>,
    /// What it knows in those parts, and where the request was wrong.
    #[serde(deserialize_with = "fields::bounded::<_, _, MAX_ENTRIES>")]
    pub entries: Vec<Entry>,
    /// Where to go on, or `None` after the last part.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "fields::next_part")]
    pub next: Option<usize>,
}

/// Asks for the groups that list the sender, page by page. Answered [`Listed`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Where the page begins, or `None` at the beginning.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    pub after: Option<Place>,
}

/// Where a listing of groups goes on: at the member in this place of this group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The group.
    pub gid: Gid,
    /// Which of its members, from 0.
    pub place: usize,
}

/// Part of a group, for a node that joins.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The group's configuration.
    pub config: GroupConfig,
    /// Members.
    pub members: Group,
    /// Nodes that a verdict took out of the group, and that come back into it when they return.
    pub gone: Group,
}

/// The answer to a [`Listing`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Parts of groups.
    pub groups: Vec<Part>,
    /// Where the next page begins, or `None` after the last one.
    pub next: Option<Place>,
}

impl Listed {
    /// As the wire has it. Configurations are values, so they do not pass through serde, which would write them as
    /// text.
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
