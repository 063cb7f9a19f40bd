//! What gossip says on the wire: each request of the protocol as a call on `local.gossip`, and back.
//!
//! ```text
//! recv({message, remote, mid, gid, chinwag: {hop, age, from, life, turn[, quiet][, calm][, replay][, former]}})
//!                                         what the method answered; quiet: null at once
//!                                         error: AlreadyReceived, Busy, Stale, or the method's own
//! offer({gid, from, life, turn, ids})     null, error: Stale
//! pull({gid, from, life, turn, ids})      {rumors: [{message, remote, …}], more}
//! compare({gid, from, life, turn, hash[, after]})   true, or {after, held, next}
//! enter({gid, from, life, turn[, after]})           {entered, ids, more[, known]}
//! ```
//!
//! A node of the JavaScript reference takes `recv` alone and hands the object on with the keys it does not know. An id
//! is text: `NID/incarnation/sequence` (followed by `@GID` in a `mid`), or what such a node made up. `from` is the sender's address, `HOST:PORT`, so that it
//! can be asked although it is no member. `life` and `turn` are the sender's incarnation, a sign of life; a node that takes no part
//! in membership leaves them out.

use std::{sync::Arc, time::Duration};

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, Remote},
    identity::{AddrError, Gid, Nid, NodeAddr},
    rumor::{Answer, History, Id, MAX_OPAQUE_ID, Page, Request, Rumor, Stretch},
    swim::Statement,
    value::{Object, Value},
    wire,
};

use crate::{
    local::{comm, membership},
    service::lacks_method,
};

pub(crate) type NodeId = Id<Nid>;

/// What is performed: `remote` with these arguments.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    /// As it was sent; an array of arguments.
    pub arguments: Value,
    pub remote: Remote,
    /// The id under which the message came, if the text of its opaque id is not all of it.
    pub mid: Option<Value>,
}

/// Cheap to clone, as every request that carries it does.
pub(crate) type Shared = Arc<Message>;

impl Message {
    /// The call to perform on this node.
    pub(crate) fn call(&self) -> Result<Call, CallError> {
        let arguments = comm::elements("gossip.send", &self.arguments)?;
        Ok(Call::new(self.remote.gid.clone(), &*self.remote.service, &*self.remote.method, arguments))
    }

    /// Its size on the wire.
    pub(crate) fn bytes(&self) -> usize {
        wire::encode(&self.arguments).len() + self.mid.as_ref().map_or(0, |mid| wire::encode(mid).len())
    }
}

/// A request that arrived, and from where.
pub(crate) struct Arrived {
    pub gid: Gid,
    pub from: Option<NodeAddr>,
    /// What the sender states of itself.
    pub stated: Statement,
    /// The name of its cluster.
    pub name: String,
    /// It came from a node of the reference and has been through none of ours.
    pub direct: bool,
    /// The sender does not wait for what the method answers.
    pub quiet: bool,
    pub request: Request<Nid, Shared>,
}

/// Makes requests into calls. What goes to many peers is made once, and shared by all.
#[derive(Default)]
pub(crate) struct Writer {
    last: Option<(Request<Nid, Shared>, bool, Call)>,
}

impl Writer {
    /// The call that carries a request, with what the sender states of itself beside its address.
    pub(crate) fn call(
        &mut self,
        (gid, me): (&Gid, &NodeAddr),
        request: Request<Nid, Shared>,
        quiet: bool,
        stated: (&Statement, &str),
    ) -> Call {
        match &self.last {
            Some((last, hushed, call)) if *hushed == quiet && is_same(last, &request) => call.clone(),
            _ => {
                let call = stating(call(gid, me, &request, quiet), stated);
                self.last = Some((request, quiet, call.clone()));
                call
            }
        }
    }
}

/// Whether both are one request to several, as can be seen without looking into it.
fn is_same(one: &Request<Nid, Shared>, other: &Request<Nid, Shared>) -> bool {
    match (one, other) {
        (Request::Offer(one), Request::Offer(other)) => Arc::ptr_eq(one, other),
        (Request::Push(one), Request::Push(other)) => {
            let key = |rumor: &Rumor<Nid, Shared>| (rumor.hop, rumor.age, rumor.calm);
            Arc::ptr_eq(&one.message, &other.message) && one.id == other.id && key(one) == key(other)
        }
        _ => false,
    }
}

/// The call that carries a request.
fn call(gid: &Gid, me: &NodeAddr, request: &Request<Nid, Shared>, quiet: bool) -> Call {
    let common = |extra: Vec<(&str, Value)>| {
        let mut object: Object = extra.into_iter().collect();
        object.insert("gid", gid.as_str());
        object.insert("from", me.authority());
        Value::Object(object)
    };
    let (method, argument) = match request {
        Request::Push(rumor) => ("recv", push(gid, me, rumor, quiet)),
        Request::Offer(ids) => ("offer", common(vec![("ids", ids_to_value(ids))])),
        Request::Pull(ids) => ("pull", common(vec![("ids", ids_to_value(ids))])),
        Request::Compare { hash, after } => {
            let mut extra = vec![("hash", Value::from(format!("{hash:x}")))];
            if let Some(after) = after {
                extra.push(("after", id_to_value(after)));
            }
            ("compare", common(extra))
        }
        Request::Enter { after } => ("enter", common(after.iter().map(|id| ("after", id_to_value(id))).collect())),
    };
    Call::new(Gid::local(), "gossip", method, vec![argument])
}

/// The same call, with what the sender states of itself beside its address.
fn stating(mut call: Call, (stated, name): (&Statement, &str)) -> Call {
    if let (false, Some(Value::Object(argument))) = (stated.is_mute(), call.arguments.first_mut()) {
        match argument.get_mut("chinwag") {
            Some(Value::Object(ours)) => membership::wire::state(ours, stated, name),
            _ => membership::wire::state(argument, stated, name),
        }
    }
    call
}

fn push(gid: &Gid, me: &NodeAddr, rumor: &Rumor<Nid, Shared>, quiet: bool) -> Value {
    let mut ours = Object::new();
    ours.insert("hop", rumor.hop);
    ours.insert("age", rumor.age.as_secs_f64() * 1_000.0);
    ours.insert("from", me.authority());
    if let Some((life, sequence)) = rumor.former {
        ours.insert("former", format!("{life}/{sequence}"));
    }
    for (key, is) in [("quiet", quiet), ("calm", rumor.calm), ("replay", rumor.replay)] {
        if is {
            ours.insert(key, true);
        }
    }
    if matches!(rumor.id, Id::Numbered { .. }) {
        ours.insert("numbered", true);
    }
    let mut object = Object::new();
    object.insert("message", rumor.message.arguments.clone());
    object.insert("remote", rumor.message.remote.to_value());
    object.insert("mid", mid(gid, rumor));
    object.insert("gid", gid.as_str());
    object.insert("chinwag", ours);
    Value::Object(object)
}

/// The id by which a reference node knows a message. It keeps one list of them for all groups, so the group is in it.
fn mid(gid: &Gid, rumor: &Rumor<Nid, Shared>) -> Value {
    match &rumor.id {
        id @ Id::Numbered { .. } => Value::from(format!("{id}@{gid}")),
        Id::Opaque(text) => rumor.message.mid.clone().unwrap_or_else(|| Value::from(&**text)),
    }
}

/// The text by which nodes of this project know a message of a node that numbers none, and its `mid` if it is not that text.
/// A `mid` can be of any type, and a text of any length.
fn opaque_id(message: &Value) -> Result<(NodeId, Option<Value>), CallError> {
    let mid = match message.get("mid") {
        None => Value::Undefined,
        Some(_) => message.extract(&["mid".into()])?,
    };
    let short = |text: &str| text.len() <= MAX_OPAQUE_ID;
    match &mid {
        Value::Undefined => Err(CallError::new(ErrorKind::BadArgument, "it has no mid")),
        Value::String(text) if short(text) => Ok((Id::Opaque(text.as_str().into()), None)),
        _ => {
            let text = wire::encode(&mid);
            // the NID of a text is its SHA-256
            let text = if short(&text) { text } else { Nid::of_json(&text).to_string() };
            Ok((Id::Opaque(text.into()), Some(mid)))
        }
    }
}

/// Reads what a call on `local.gossip` asks.
pub(crate) fn arrived(method: &str, arguments: &[Value]) -> Result<Arrived, CallError> {
    let argument = arguments.first().unwrap_or(&Value::Undefined);
    let refused = |why: &dyn std::fmt::Display| CallError::argument(&format!("gossip.{method}"), 1, "message", why);
    let object =
        argument.as_object().ok_or_else(|| refused(&format!("expected an object, got {}", argument.type_name())))?;
    let gid = object.get("gid").and_then(Value::as_str).ok_or_else(|| refused(&"it has no gid"))?;
    let gid = Gid::new(gid).map_err(|why| refused(&why))?;
    if method == "recv" {
        let ours = object.get("chinwag");
        let from = ours.and_then(|ours| ours.get("from")).and_then(Value::as_str);
        let from = from.and_then(|from| from.parse().ok());
        let quiet = ours.and_then(|ours| ours.get("quiet")).and_then(Value::as_bool).unwrap_or(false);
        let rumor = rumor(argument).map_err(|why| refused(&why))?;
        let stated = ours.map(membership::wire::stated).unwrap_or_default();
        let name = ours.map(membership::wire::name).unwrap_or_default().to_owned();
        let direct = ours.is_none();
        return Ok(Arrived { gid, from, stated, name, direct, quiet, request: Request::Push(rumor) });
    }
    let from = object.get("from").and_then(Value::as_str).ok_or_else(|| refused(&"it does not say from whom"))?;
    let from = Some(from.parse().map_err(|why: AddrError| refused(&why))?);
    let ids = || ids_from_value(object.get("ids").unwrap_or(&Value::Undefined)).map_err(|why| refused(&why));
    let request = match method {
        "offer" => Request::Offer(ids()?),
        "pull" => Request::Pull(ids()?),
        "enter" => {
            let after = object.get("after").map(id_from_value).transpose().map_err(|why| refused(&why))?;
            Request::Enter { after }
        }
        _ => {
            let hash = object.get("hash").and_then(Value::as_str).and_then(|hash| u64::from_str_radix(hash, 16).ok());
            let after = object.get("after").map(id_from_value).transpose().map_err(|why| refused(&why))?;
            Request::Compare { hash: hash.ok_or_else(|| refused(&"it has no hash"))?, after }
        }
    };
    let (stated, name) = (membership::wire::stated(argument), membership::wire::name(argument).to_owned());
    Ok(Arrived { gid, from, stated, name, direct: false, quiet: false, request })
}

/// Reads a whole message, from one of ours or from a reference node.
fn rumor(value: &Value) -> Result<Rumor<Nid, Shared>, CallError> {
    let bad = |why: &str| CallError::new(ErrorKind::BadArgument, why);
    let remote = Remote::from_value(value.get("remote").unwrap_or(&Value::Undefined))?;
    let ours = value.get("chinwag");
    let number = |key: &str| ours.and_then(|ours| ours.get(key)).and_then(Value::as_f64);
    let flag = |key: &str| ours.and_then(|ours| ours.get(key)).and_then(Value::as_bool).unwrap_or(false);
    let numbered = flag("numbered");
    let (id, mid) = if numbered {
        let text = value.get("mid").and_then(Value::as_str).unwrap_or_default();
        (id_from_value(&Value::from(text.split_once('@').map_or(text, |(id, _)| id)))?, None)
    } else {
        opaque_id(value)?
    };
    let age = Duration::try_from_secs_f64(number("age").unwrap_or(0.0) / 1_000.0);
    let arguments = value.extract(&["message".into()])?;
    if arguments.as_array().is_none() {
        return Err(bad("its message is not an array of arguments"));
    }
    let message = Message { arguments, remote, mid };
    let bytes = message.bytes();
    Ok(Rumor {
        id,
        hop: number("hop").unwrap_or(1.0).clamp(1.0, f64::from(u32::MAX)) as u32,
        age: age.map_err(|_| bad("its age is none"))?,
        calm: flag("calm"),
        replay: flag("replay"),
        former: ours.and_then(|ours| ours.get("former")).map(former).transpose()?,
        bytes,
        message: Arc::new(message),
    })
}

/// What a request is answered with. A push has an answer of its own, what was performed.
pub(crate) fn answer_to_value(gid: &Gid, me: &NodeAddr, answer: Answer<Nid, Shared>) -> Result<Value, CallError> {
    match answer {
        Answer::Noted | Answer::Fresh => Ok(Value::Null),
        // in the reference's words, which its nodes and ours look for
        Answer::Had => Err(CallError::new(ErrorKind::AlreadyReceived, REFERENCE_HAD)),
        Answer::Stale { incarnation } => {
            let why = format!("this node knows life {incarnation} of the message's origin, which is later");
            let cause = Value::Object([("life", incarnation as f64)].into_iter().collect());
            Err(CallError::new(ErrorKind::Stale, why).caused_by(cause))
        }
        Answer::Seen(History { entered, incarnation, ids, more }) => {
            let mut object = Object::new();
            object.insert("entered", entered);
            object.insert("ids", ids_to_value(&ids));
            object.insert("more", more);
            if let Some(life) = incarnation {
                object.insert("known", life as f64);
            }
            Ok(Value::Object(object))
        }
        Answer::Busy => Err(CallError::new(ErrorKind::Busy, "this node has as much gossip under way as it takes")),
        Answer::Same => Ok(Value::from(true)),
        Answer::Rumors { rumors, more } => {
            let rumors: Vec<Value> = rumors.iter().map(|rumor| push(gid, me, rumor, true)).collect();
            Ok(Value::Object([("rumors", Value::from(rumors)), ("more", Value::from(more))].into_iter().collect()))
        }
        Answer::Differs(page) => {
            let held: Vec<Value> = page.held.iter().map(stretch_to_value).collect();
            let mut object = Object::new();
            if let Some(after) = &page.after {
                object.insert("after", id_to_value(after));
            }
            object.insert("held", held);
            if let Some(next) = &page.next {
                object.insert("next", id_to_value(next));
            }
            Ok(Value::Object(object))
        }
    }
}

/// What a node of the reference says of a message that it remembers.
const REFERENCE_HAD: &str = "Message already received";

/// What the reply to a request means: an answer, or that there is none.
pub(crate) fn answer(request: Asked, reply: &Result<Value, CallError>) -> Option<Answer<Nid, Shared>> {
    match (request, reply) {
        (_, Err(error)) if error.kind == ErrorKind::Busy => Some(Answer::Busy),
        (Asked::Push | Asked::Offer, Err(error)) if error.kind == ErrorKind::Stale => {
            Some(Answer::Stale { incarnation: life(error.cause.get("life")?)? })
        }
        // nobody is there, or nobody who knows the group: it has nothing to tell, now or later
        (Asked::Enter, Err(error))
            if lacks_method(error) || matches!(error.kind, ErrorKind::Unreachable | ErrorKind::UnknownGroup) =>
        {
            Some(Answer::Seen(History { entered: false, incarnation: None, ids: Vec::new(), more: false }))
        }
        (Asked::Push, Err(error)) => match error.kind {
            ErrorKind::AlreadyReceived => Some(Answer::Had),
            // a reference node has no other way to say so
            ErrorKind::Other(_) if error.message == REFERENCE_HAD => Some(Answer::Had),
            ErrorKind::Unreachable
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Interrupted
            | ErrorKind::BadAnswer
            | ErrorKind::Stopping
            | ErrorKind::UnknownGroup
            | ErrorKind::BadArgument
            | ErrorKind::BadCall
            | ErrorKind::TooDeep => None,
            // it was performed, and failed there
            _ => Some(Answer::Fresh),
        },
        (_, Err(_)) => None,
        (Asked::Push, Ok(_)) => Some(Answer::Fresh),
        (Asked::Offer, Ok(_)) => Some(Answer::Noted),
        (Asked::Enter, Ok(value)) => {
            let flag = |key: &str| value.get(key).and_then(Value::as_bool);
            Some(Answer::Seen(History {
                entered: flag("entered")?,
                incarnation: value.get("known").map(|known| life(known).ok_or(())).transpose().ok()?,
                ids: ids_from_value(value.get("ids")?).ok()?.to_vec(),
                more: flag("more").unwrap_or(false),
            }))
        }
        (Asked::Pull, Ok(value)) => {
            let rumors = value.get("rumors")?.as_array()?.iter().flatten().map(rumor).collect::<Result<_, _>>().ok()?;
            Some(Answer::Rumors { rumors, more: value.get("more").and_then(Value::as_bool).unwrap_or(false) })
        }
        (Asked::Compare, Ok(Value::Boolean(true))) => Some(Answer::Same),
        (Asked::Compare, Ok(value)) => {
            let id = |key: &str| value.get(key).filter(|id| !id.is_nullish()).map(id_from_value).transpose().ok();
            let held = value.get("held")?.as_array()?.iter().flatten().map(stretch_from_value);
            let held = held.collect::<Result<_, _>>().ok()?;
            Some(Answer::Differs(Page { after: id("after")?, held, next: id("next")? }))
        }
    }
}

/// Which request an answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Push,
    Offer,
    Pull,
    Compare,
    Enter,
}

impl Asked {
    pub(crate) fn of<P, M>(request: &Request<P, M>) -> Asked {
        match request {
            Request::Push(_) => Asked::Push,
            Request::Offer(_) => Asked::Offer,
            Request::Pull(_) => Asked::Pull,
            Request::Compare { .. } => Asked::Compare,
            Request::Enter { .. } => Asked::Enter,
        }
    }
}

/// A life as a number: whole, and no larger than what a number tells apart.
fn life(value: &Value) -> Option<u64> {
    let life = value.as_f64()?;
    let whole = (0.0..9_007_199_254_740_992.0).contains(&life) && life.fract() == 0.0;
    whole.then_some(life as u64)
}

/// The life and sequence that a rumor had first.
fn former(value: &Value) -> Result<(u64, u64), CallError> {
    let text = value.as_str().unwrap_or_default();
    let parts = text.split_once('/').and_then(|(life, sequence)| Some((life.parse().ok()?, sequence.parse().ok()?)));
    parts.ok_or_else(|| CallError::new(ErrorKind::BadArgument, "its former id is not LIFE/SEQUENCE"))
}

/// An opaque id could look like one of ours, so which it is goes with it.
fn id_to_value(id: &NodeId) -> Value {
    match id {
        Id::Numbered { .. } => Value::from(id.to_string()),
        Id::Opaque(text) => opaque(text),
    }
}

fn opaque(text: &str) -> Value {
    Value::Object([("opaque", text)].into_iter().collect())
}

fn ids_to_value(ids: &[NodeId]) -> Value {
    Value::from(ids.iter().map(id_to_value).collect::<Vec<_>>())
}

fn ids_from_value(value: &Value) -> Result<Arc<[NodeId]>, CallError> {
    let bad = || CallError::new(ErrorKind::BadArgument, "its ids are not an array");
    value.as_array().ok_or_else(bad)?.iter().map(|id| id_from_value(id.unwrap_or(&Value::Undefined))).collect()
}

fn id_from_value(value: &Value) -> Result<NodeId, CallError> {
    if let Some(opaque) = value.get("opaque").and_then(Value::as_str) {
        return Ok(Id::Opaque(opaque.into()));
    }
    let text = value.as_str().unwrap_or_default();
    let numbered = || {
        let mut parts = text.split('/');
        let (origin, incarnation, sequence) = (parts.next()?, parts.next()?, parts.next()?);
        let (incarnation, sequence) = (incarnation.parse().ok()?, sequence.parse().ok()?);
        Some(Id::Numbered { origin: origin.parse().ok()?, incarnation, sequence }).filter(|_| parts.next().is_none())
    };
    numbered().ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        CallError::new(ErrorKind::BadArgument, format!("not the id of a rumor: {shown:?}"))
    })
}

fn stretch_to_value(stretch: &Stretch<Nid>) -> Value {
    match stretch {
        Stretch::Opaque(text) => opaque(text),
        Stretch::Numbered { origin, incarnation, first, last } => {
            Value::from(format!("{origin}/{incarnation}/{first}-{last}"))
        }
    }
}

fn stretch_from_value(value: &Value) -> Result<Stretch<Nid>, CallError> {
    if let Some(opaque) = value.get("opaque").and_then(Value::as_str) {
        return Ok(Stretch::Opaque(opaque.into()));
    }
    let text = value.as_str().unwrap_or_default();
    let numbered = || {
        let (first, last) = text.rsplit_once('-')?;
        match id_from_value(&Value::from(first)).ok()? {
            Id::Numbered { origin, incarnation, sequence } => {
                let last = last.parse().ok().filter(|last| *last >= sequence)?;
                Some(Stretch::Numbered { origin, incarnation, first: sequence, last })
            }
            Id::Opaque(_) => None,
        }
    };
    numbered().ok_or_else(|| CallError::new(ErrorKind::BadArgument, "not a stretch of rumors"))
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::swim::Incarnation;

    use super::*;

    fn ids() -> Arc<[NodeId]> {
        let origin = NodeAddr::new("127.0.0.1", 1).nid();
        let numbered = Id::Numbered { origin, incarnation: 1_700_000_000_000, sequence: 3 };
        [numbered.clone(), Id::Opaque("m1".into()), Id::Opaque(numbered.to_string().into())].into()
    }

    fn there_and_back(request: Request<Nid, Shared>) {
        let me = NodeAddr::new("127.0.0.1", 2);
        let gid = Gid::all();
        let stated = Statement::of(Incarnation { life: 1_763_841_270_123, turn: 2 });
        let call = stating(call(&gid, &me, &request, true), (&stated, "west"));
        let sent = wire::encode_arguments(&call.arguments);
        let read = wire::decode_arguments(&sent, &wire::Limits::default()).unwrap();
        let arrived = arrived(&call.method, &read.values).unwrap();
        assert_eq!(arrived.request, request);
        assert_eq!((arrived.gid, arrived.from, arrived.stated), (gid, Some(me), stated));
        assert_eq!(arrived.name, "west");
    }

    fn some_rumor(id: NodeId) -> Rumor<Nid, Shared> {
        let (arguments, remote) = (Value::from(vec![Value::from("x")]), Remote::new("s", "m"));
        let message = Message { arguments, remote, mid: None };
        Rumor {
            id,
            hop: 2,
            age: Duration::from_millis(1_500),
            calm: true,
            replay: true,
            former: Some((7, 3)),
            bytes: message.bytes(),
            message: Arc::new(message),
        }
    }

    fn history(entered: bool, incarnation: Option<u64>, ids: Vec<NodeId>) -> History<Nid> {
        History { entered, incarnation, ids, more: entered }
    }

    #[test]
    fn a_peer_that_is_gone_or_does_not_know_the_group_has_no_history() {
        let nothing = Some(Answer::Seen(History { entered: false, incarnation: None, ids: Vec::new(), more: false }));
        for kind in [ErrorKind::Unreachable, ErrorKind::UnknownGroup, ErrorKind::UnknownMethod] {
            assert_eq!(answer(Asked::Enter, &Err(CallError::new(kind, "no"))), nothing);
        }
        for kind in [ErrorKind::DeadlineExceeded, ErrorKind::Interrupted] {
            assert_eq!(answer(Asked::Enter, &Err(CallError::new(kind, "no"))), None);
        }
        let beyond = Value::from_json(serde_json::json!({"entered": true, "ids": [], "more": false, "known": 1e300}));
        assert_eq!(answer(Asked::Enter, &Ok(beyond)), None);
    }

    #[test]
    fn requests_arrive_as_they_left() {
        for id in ids().iter() {
            there_and_back(Request::Push(some_rumor(id.clone())));
        }
        there_and_back(Request::Offer(ids()));
        there_and_back(Request::Pull(ids()));
        there_and_back(Request::Compare { hash: u64::MAX - 1, after: None });
        there_and_back(Request::Compare { hash: 0, after: Some(ids()[0].clone()) });
        there_and_back(Request::Enter { after: None });
        there_and_back(Request::Enter { after: Some(ids()[1].clone()) });
    }

    #[test]
    fn answers_arrive_as_they_left() {
        let me = NodeAddr::new("127.0.0.1", 2);
        let Id::Numbered { origin, incarnation, .. } = ids()[0] else { panic!("numbered") };
        let stretch = Stretch::Numbered { origin, incarnation, first: 3, last: 9 };
        let held = vec![stretch, Stretch::Opaque("m1".into())];
        let page = Page { after: Some(ids()[0].clone()), held, next: None };
        for (asked, sent) in [
            (Asked::Push, Answer::Fresh),
            (Asked::Push, Answer::Had),
            (Asked::Push, Answer::Busy),
            (Asked::Push, Answer::Stale { incarnation: 1_763_841_270_123 }),
            (Asked::Offer, Answer::Stale { incarnation: 0 }),
            (Asked::Enter, Answer::Seen(history(true, Some(1_763_841_270_123), ids().to_vec()))),
            (Asked::Enter, Answer::Seen(history(false, None, Vec::new()))),
            (Asked::Offer, Answer::Noted),
            (Asked::Pull, Answer::Rumors { rumors: ids().iter().cloned().map(some_rumor).collect(), more: true }),
            (Asked::Compare, Answer::Same),
            (Asked::Compare, Answer::Differs(page)),
        ] {
            let reply = answer_to_value(&Gid::all(), &me, sent.clone());
            assert_eq!(answer(asked, &reply), Some(sent));
        }
    }

    #[test]
    fn a_reference_nodes_message_has_an_opaque_id() {
        let object =
            serde_json::json!({"message": [1], "remote": {"service": "s", "method": "m"}, "mid": "abc", "gid": "g"});
        let arrived = arrived("recv", &[Value::from_json(object)]).unwrap();
        let Request::Push(rumor) = arrived.request else { panic!("not a push") };
        assert_eq!(rumor.id, Id::Opaque("abc".into()));
        assert!(arrived.from.is_none() && !arrived.quiet);
        let had = Err(CallError::other(REFERENCE_HAD));
        assert_eq!(answer(Asked::Push, &had), Some(Answer::Had));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let json = |json| vec![Value::from_json(json)];
        for (method, arguments) in [
            ("recv", vec![]),
            ("offer", json(serde_json::json!({"gid": "g"}))),
            ("offer", json(serde_json::json!({"gid": "g", "from": "h:1", "ids": ["x"]}))),
            ("pull", json(serde_json::json!({"gid": "g", "from": "h:1", "ids": [1]}))),
            ("compare", json(serde_json::json!({"gid": "g", "from": "h:1", "hash": "z"}))),
            ("compare", json(serde_json::json!({"gid": "", "from": "h:1", "hash": "0"}))),
        ] {
            assert!(arrived(method, &arguments).is_err(), "{method}");
        }
    }
}
