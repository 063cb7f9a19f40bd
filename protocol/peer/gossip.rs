//! The requests and answers of gossip: those of [`rumor`](crate::rumor) as objects.
//!
//! ```text
//! recv({message, remote, mid, gid, chinwag: {hop, age, from, life, turn[, quiet][, calm][, replay][, former]}})
//!                                         what the method answered; quiet: null at once
//!                                         error: AlreadyReceived, Busy, Stale, or the method's own
//! offer({ids, gid, from, life, turn})     null, error: Stale
//! pull({ids, gid, from, life, turn})      {rumors: [{message, remote, …}], more}
//! compare({hash[, after], gid, from, life, turn})   true, or {after, held, next}
//! enter({[after, ]gid, from, life, turn})           {entered, ids, more[, known]}
//! ```
//!
//! A reference node accepts `recv` alone, and passes the object on with the keys that it does not know. An id is text:
//! `NID/incarnation/sequence` (followed by `@GID` in a `mid`), or the text that a reference node chose. `from` is the
//! sender's address, `HOST:PORT`, so that a sender that is not a member can be asked for more. `life` and `turn` are
//! the sender's incarnation, which is a sign of life; a passive node omits them.
//!
//! A message and its `mid` are values of any kind. They bypass serde, which would write them as text.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};

use super::fields::{self, Hex, is_false};
use super::method::Method;
use super::parts::{object, part, part_of_object, written};
use super::stated::{self, Stated};
use crate::{
    call::{CallError, ErrorKind, Remote},
    identity::{Gid, Nid, NodeAddr},
    rumor::{Answer, GossipConfig, History, Id, MAX_OPAQUE_ID, Request, Rumor, Size, Urgency},
    value::{ConversionError, Object, Value},
    wire::{self, Limits},
};

/// The content of a rumor: a call of `remote` with these arguments.
#[derive(Debug, PartialEq)]
pub struct Message {
    /// The array of arguments, as it was sent.
    pub arguments: Value,
    /// The method that is called.
    pub remote: Remote,
    /// The id with which the message came, if it is more than the text of the opaque id.
    pub mid: Option<Value>,
}

/// A message that is cheap to clone, because every request that carries it clones it.
pub type Shared = Arc<Message>;

impl Message {
    /// The size of the longest message, in bytes on the wire. A request and an answer that carry one message are no longer
    /// than what nodes write and read by default.
    pub fn most_bytes() -> usize {
        Limits::default().written - ENVELOPE
    }

    /// Returns the size on the wire and in memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadArgument`] if it is larger than [`most_bytes`](Message::most_bytes), also where an answer carries
    /// it, because references are absolute on the wire and longer there; or if it takes more memory than a node holds of
    /// messages by default ([`GossipConfig::queue_bytes`]).
    pub fn size(&self) -> Result<Size, CallError> {
        let most = Message::most_bytes();
        let too_large = |_| bad(format!("a message of gossip has at most {most} bytes on the wire, and this one more"));
        let mut wire = wire::encoded_len_within(&self.arguments, most).map_err(too_large)?;
        if let Some(mid) = &self.mid {
            wire += wire::encoded_len_within(mid, most - wire).map_err(too_large)?;
        }
        // no reference becomes twice as long
        if wire > most / 2 {
            let mid = self.mid.clone().unwrap_or_default();
            let message = Object::from_iter([("message", self.arguments.clone()), ("mid", mid)]);
            let answer = Object::from_iter([("rumors", vec![Value::Object(message)])]);
            wire::encoded_len_within(&Value::from(vec![Value::Null, answer.into()]), most + ENVELOPE / 2)
                .map_err(too_large)?;
        }
        let memory =
            size_of::<Message>() + self.arguments.memory_bytes() + self.mid.as_ref().map_or(0, Value::memory_bytes);
        let most = GossipConfig::default().queue_bytes;
        if memory > most {
            return Err(bad(format!(
                "a message of gossip takes at most {most} bytes of memory, and this one {memory}"
            )));
        }
        Ok(Size { wire, memory })
    }
}

/// The room for what a request carries beside a message: three names, a list of ids and the sender's statement.
const ENVELOPE: usize = 64 << 10;

/// A request of gossip in a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Gossip {
    /// The group.
    pub gid: Gid,
    /// Whether the sender does not wait for the answer of the call that the message makes.
    pub quiet: bool,
    /// Whether it came from a reference node, without passing a node of this project.
    pub direct: bool,
    /// The request.
    pub request: Request<Nid, Shared>,
}

/// The keys that nodes of this project add to a message.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Ours {
    #[serde(deserialize_with = "fields::lenient")]
    hop: Option<f64>,
    #[serde(deserialize_with = "fields::lenient")]
    age: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::lenient")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "former")]
    former: Option<Former>,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "fields::flag")]
    quiet: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "fields::flag")]
    calm: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "fields::flag")]
    replay: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "fields::flag")]
    numbered: bool,
}

/// The life and sequence under which a rumor was first started.
struct Former(u64, u64);

impl Serialize for Former {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.0, self.1))
    }
}

fn former<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Former>, D::Error> {
    fields::parsed(deserializer, "a former id, LIFE/SEQUENCE", |text| {
        let (life, sequence) = text.split_once('/')?;
        Some(Some(Former(life.parse().ok()?, sequence.parse().ok()?)))
    })
}

/// The form of every request except `recv`. Each request has some of the first three fields.
#[derive(Serialize, Deserialize)]
struct Asking<I> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ids: Option<I>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<Hex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Id<Nid>>,
    gid: Gid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

impl Gossip {
    /// Returns the method that carries the request.
    pub fn method(&self) -> Method {
        match &self.request {
            Request::Push(_) => Method::Recv,
            Request::Offer(_) => Method::Offer,
            Request::Pull(_) => Method::Pull,
            Request::Compare { .. } => Method::Compare,
            Request::Enter { .. } => Method::Enter,
        }
    }

    /// Returns the form on the wire. A passive node states nothing.
    pub(super) fn to_object(&self, from: Option<&NodeAddr>, stated: &Stated) -> Object {
        let stated = if stated.statement.is_passive() { Object::new() } else { object(stated) };
        let mut form =
            Asking { ids: None, hash: None, after: None, gid: self.gid.clone(), from: from.map(NodeAddr::authority) };
        match &self.request {
            Request::Push(rumor) => return push(&self.gid, from, rumor, self.quiet, stated),
            Request::Offer(ids) | Request::Pull(ids) => form.ids = Some(&**ids),
            Request::Compare { hash, after } => (form.hash, form.after) = (Some(Hex(*hash)), after.clone()),
            Request::Enter { after } => form.after = after.clone(),
        }
        let mut object = object(&form);
        object.extend(stated);
        object
    }

    /// Reads the argument of a call on `method`: the request, the sender, and the sender's statement.
    pub(super) fn read(method: Method, argument: &Value) -> Result<(Gossip, Option<NodeAddr>, Stated), CallError> {
        let expected = || bad(format!("expected an object, got {}", argument.type_name()));
        let what = argument.as_object().ok_or_else(expected)?;
        let read = |why: ConversionError| bad(why.to_string());
        if method == Method::Recv {
            let gid = what.get("gid").and_then(Value::as_str).ok_or_else(|| bad("it has no gid"))?;
            let gid = Gid::new(gid)?;
            let ours = what.get("chinwag");
            let stated = ours.map(stated::stated).unwrap_or_default();
            let ours = ours.map(part_of_object::<Ours>).transpose().map_err(read)?;
            let (direct, ours) = (ours.is_none(), ours.unwrap_or_default());
            let from = ours.from.as_ref().and_then(|from| from.parse().ok());
            let quiet = ours.quiet;
            let request = Request::Push(rumor(argument, ours)?);
            return Ok((Gossip { gid, quiet, direct, request }, from, stated));
        }
        let Asking::<Vec<Id<Nid>>> { ids, hash, after, gid, from } = part(argument).map_err(read)?;
        let from = from.ok_or_else(|| bad("it has no sender"))?.parse::<NodeAddr>()?;
        let ids = || ids.map(Arc::from).ok_or_else(|| bad("it has no ids"));
        let request = match method {
            Method::Offer => Request::Offer(ids()?),
            Method::Pull => Request::Pull(ids()?),
            Method::Enter => Request::Enter { after },
            _ => Request::Compare { hash: hash.ok_or_else(|| bad("it has no hash"))?.0, after },
        };
        Ok((Gossip { gid, quiet: false, direct: false, request }, Some(from), stated::stated(argument)))
    }
}

fn bad(why: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::BadArgument, why)
}

/// Returns the form of a whole message on the wire.
fn push(gid: &Gid, from: Option<&NodeAddr>, rumor: &Rumor<Nid, Shared>, quiet: bool, stated: Object) -> Object {
    let ours = Ours {
        hop: Some(rumor.hop.into()),
        age: Some(rumor.age.as_secs_f64() * 1_000.0),
        from: from.map(NodeAddr::authority),
        former: rumor.former.map(|(life, sequence)| Former(life, sequence)),
        quiet,
        calm: rumor.urgency.is_calm(),
        replay: rumor.replay,
        numbered: matches!(rumor.id, Id::Numbered { .. }),
    };
    let mut ours = object(&ours);
    ours.extend(stated);
    let mut object = Object::new();
    object.insert("message", rumor.message.arguments.clone());
    object.insert("remote", rumor.message.remote.to_value());
    object.insert("mid", mid(gid, rumor));
    object.insert("gid", gid.as_str());
    object.insert("chinwag", ours);
    object
}

/// Returns the id by which a reference node knows a message. It contains the group, because a reference node keeps one
/// list of ids for all groups.
fn mid(gid: &Gid, rumor: &Rumor<Nid, Shared>) -> Value {
    match &rumor.id {
        id @ Id::Numbered { .. } => Value::from(format!("{id}@{gid}")),
        Id::Opaque(text) => rumor.message.mid.clone().unwrap_or_else(|| Value::from(&**text)),
    }
}

/// Returns the opaque id of a message from a node that does not number its messages, and its `mid` if that differs from
/// the text of the id. A `mid` can be of any type, and a text of any length.
fn opaque_id(message: &Value) -> Result<(Id<Nid>, Option<Value>), CallError> {
    let mid = match message.get("mid") {
        None => Value::Undefined,
        Some(_) => message.extract(&["mid".into()])?,
    };
    let short = |text: &str| text.len() <= MAX_OPAQUE_ID;
    match &mid {
        Value::Undefined => Err(bad("it has no mid")),
        Value::String(text) if short(text) => Ok((Id::Opaque(text.as_str().into()), None)),
        _ => {
            let text =
                wire::encode_within(&mid, Message::most_bytes()).map_err(|why| bad(format!("its mid: {why}")))?;
            // the NID of JSON text is its SHA-256
            let text = if short(&text) { text } else { Nid::of_json(&text).to_string() };
            Ok((Id::Opaque(text.into()), Some(mid)))
        }
    }
}

/// Reads a whole message from a node of this project or a reference node.
fn rumor(value: &Value, ours: Ours) -> Result<Rumor<Nid, Shared>, CallError> {
    let remote = Remote::from_value(value.get("remote").unwrap_or(&Value::Undefined))?;
    let (id, mid) = if ours.numbered {
        let text = value.get("mid").and_then(Value::as_str).unwrap_or_default();
        let id = Id::numbered(text.split_once('@').map_or(text, |(id, _)| id));
        (id.ok_or_else(|| bad("its mid is not the id of a rumor"))?, None)
    } else {
        opaque_id(value)?
    };
    let age = Duration::try_from_secs_f64(ours.age.unwrap_or(0.0) / 1_000.0).map_err(|_| bad("its age is none"))?;
    let arguments = value.extract(&["message".into()])?;
    if arguments.as_array().is_none() {
        return Err(bad("its message is not an array of arguments"));
    }
    let message = Message { arguments, remote, mid };
    let size = message.size()?;
    Ok(Rumor {
        id,
        hop: ours.hop.unwrap_or(1.0).clamp(1.0, f64::from(u32::MAX)) as u32,
        age,
        urgency: if ours.calm { Urgency::Calm } else { Urgency::Normal },
        replay: ours.replay,
        former: ours.former.map(|Former(life, sequence)| (life, sequence)),
        size,
        message: Arc::new(message),
    })
}

/// The error message of a reference node for a message that it has received before.
const REFERENCE_HAD: &str = "Message already received";

/// Turns the answers that are errors on the wire into errors.
///
/// # Errors
/// For [`Answer::Had`], [`Answer::Stale`] and [`Answer::Busy`].
pub fn failed(answer: Answer<Nid, Shared>) -> Result<Answer<Nid, Shared>, CallError> {
    match answer {
        // reference nodes and nodes of this project both look for these words
        Answer::Had => Err(CallError::new(ErrorKind::AlreadyReceived, REFERENCE_HAD)),
        Answer::Stale { incarnation } => {
            let why = format!("this node knows life {incarnation} of the message's origin, which is later");
            let cause = Value::Object([("life", incarnation as f64)].into_iter().collect());
            Err(CallError::new(ErrorKind::Stale, why).caused_by(cause))
        }
        Answer::Busy => Err(CallError::new(ErrorKind::Busy, "this node has as much gossip under way as it takes")),
        answer => Ok(answer),
    }
}

/// Returns the answer that a failed request stands for, or `None` if there is none.
pub fn answer_of_failure(method: Method, error: &CallError) -> Option<Answer<Nid, Shared>> {
    match (method, &error.kind) {
        (_, ErrorKind::Busy) => Some(Answer::Busy),
        (Method::Recv | Method::Offer, ErrorKind::Stale) => {
            let life: fields::Whole = error.cause.get("life")?.clone().deserialize().ok()?;
            Some(Answer::Stale { incarnation: life.0 })
        }
        // a peer that does not exist or does not know the group has no history
        (Method::Enter, ErrorKind::Unreachable | ErrorKind::UnknownGroup) => Some(Answer::Seen(History::default())),
        (Method::Enter, _) if error.lacks_method() => Some(Answer::Seen(History::default())),
        (Method::Recv, kind) => answer_of_failed_push(kind, &error.message),
        _ => None,
    }
}

/// The same for a push. Its answer is what the message's own call answered there. Most errors are therefore errors of
/// that call, which mean that the message arrived, whatever [`ErrorKind::performed`] says of the call itself.
fn answer_of_failed_push(kind: &ErrorKind, message: &str) -> Option<Answer<Nid, Shared>> {
    match kind {
        ErrorKind::AlreadyReceived => Some(Answer::Had),
        // the words of the reference
        ErrorKind::Other(_) if message == REFERENCE_HAD => Some(Answer::Had),
        ErrorKind::UnknownService
        | ErrorKind::UnknownMethod
        | ErrorKind::Reserved
        | ErrorKind::NotFound
        | ErrorKind::Crashed
        | ErrorKind::Unsupported
        | ErrorKind::SpawnFailed
        | ErrorKind::Partial
        | ErrorKind::Other(_) => Some(Answer::Fresh),
        // errors of the push itself: it did not arrive, was not accepted, or nobody knows
        ErrorKind::BadCall
        | ErrorKind::BadArgument
        | ErrorKind::UnknownGroup
        | ErrorKind::Stale
        | ErrorKind::Busy
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Unreachable
        | ErrorKind::Interrupted
        | ErrorKind::BadAnswer
        | ErrorKind::Stopping
        | ErrorKind::TooDeep => None,
    }
}

/// Returns the form of an answer on the wire. The answer to a push is that of the call that its message made.
pub(super) fn answer_to_value(gid: &Gid, me: &NodeAddr, answer: &Answer<Nid, Shared>) -> Value {
    match answer {
        Answer::Noted | Answer::Fresh | Answer::Had | Answer::Busy | Answer::Stale { .. } => Value::Null,
        Answer::Seen(history) => written(history),
        Answer::Same => Value::from(true),
        Answer::Rumors { rumors, more } => {
            let push = |rumor| Value::Object(push(gid, Some(me), rumor, true, Object::new()));
            let rumors: Vec<Value> = rumors.iter().map(push).collect();
            Value::Object([("rumors", Value::from(rumors)), ("more", Value::from(*more))].into_iter().collect())
        }
        Answer::Differs(page) => written(page),
    }
}

/// Reads the answer to a request other than a push.
pub(super) fn read_answer(method: Method, value: Value) -> Result<Answer<Nid, Shared>, CallError> {
    Ok(match method {
        Method::Enter => Answer::Seen(value.deserialize()?),
        Method::Pull => {
            let rumors = value.get("rumors").and_then(Value::as_array).ok_or_else(|| bad("it has no rumors"))?;
            let read = |message: &Value| {
                let ours = message.get("chinwag").map(part_of_object::<Ours>).transpose()?;
                rumor(message, ours.unwrap_or_default())
            };
            let rumors = rumors.iter().flatten().map(read).collect::<Result<_, CallError>>()?;
            Answer::Rumors { rumors, more: value.get("more").and_then(Value::as_bool).unwrap_or(false) }
        }
        Method::Compare if value == Value::Boolean(true) => Answer::Same,
        Method::Compare => Answer::Differs(value.deserialize()?),
        _ => Answer::Noted,
    })
}
