//! Tests of the forms of all messages against recorded vectors, and with malformed messages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::*;
use crate::{
    call::{self, CallError, ErrorKind, Remote},
    group::{Group, GroupConfig, Member},
    identity::{Gid, Nid, NodeAddr},
    rumor::{self, History, Id, Page, Rumor, Stretch, Urgency},
    swim::{Claim, ClusterId, Incarnation, MAX_ENTRIES, MAX_PARTS, MOST_NEWS, Statement, Update},
    value::{Object, Reference, Value},
    wire::{self, Limits},
};

fn at(port: u16) -> NodeAddr {
    NodeAddr::new("127.0.0.1", port)
}

fn gid(name: &str) -> Gid {
    Gid::new(name).unwrap()
}

fn golden(name: &str) -> String {
    // as text, because the order of keys matters
    let vectors: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(include_str!("../tests/vectors/peer.json")).unwrap();
    vectors[name].get().to_owned()
}

fn value(json: serde_json::Value) -> Value {
    Value::from_json(json)
}

/// A statement with all fields.
fn full() -> Stated {
    let id = |number| ClusterId::new(number);
    let statement = Statement {
        incarnation: Incarnation { life: 1_763_841_270_123, turn: 1 },
        cluster: id(1 << 63),
        formerly: [id(5), id(u64::MAX), None, None],
        view: u64::MAX - 1,
    };
    Stated { statement, name: "west".into() }
}

/// A statement with as few fields as possible.
fn bare() -> Stated {
    Stated { statement: Statement::of(Incarnation::of_life(7)), name: "".into() }
}

fn entry(claim: Claim) -> Entry {
    let update = Update { peer: at(1).nid(), incarnation: Incarnation { life: 9, turn: 2 }, claim, by: at(3).nid() };
    let groups = (claim == Claim::Alive).then(|| vec![gid("town"), gid("village")]);
    Entry { update, node: at(1), groups }
}

/// Checks the form of a request, and that reading it gives the same request.
fn written_and_read(name: &str, stated: &Stated, body: Body) {
    let request = Request { from: Some(Member::from(at(2))), stated: stated.clone(), body };
    let call = Outgoing::from(request.clone()).call();
    assert!(call.is_protocol() && call.is_repeatable());
    let text = wire::encode(&call.arguments[0]);
    assert_eq!(text, golden(name), "{name}");
    let argument = wire::decode(text.as_bytes(), &Limits::default()).unwrap();
    let method = Method::of_name(&call.method).unwrap();
    assert_eq!(Request::read(method, &[argument]), Ok(request), "{name}");
}

/// Checks the form of an answer, and that reading it gives the same answer.
fn answered_and_read(name: &str, method: Method, answer: Answer) {
    let call::Answer::Value(value) = answer.clone().to_call_answer(&gid("town"), &at(2)) else { panic!("{name}") };
    let text = wire::encode(&value);
    assert_eq!(text, golden(name), "{name}");
    let value = wire::decode(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(method.read_reply(Ok(call::Answer::Value(value))), Ok(answer), "{name}");
}

#[test]
fn requests_of_membership_match_the_vectors() {
    let welcome = Some(vec![gid("town"), gid("village")]);
    let ping = Ping {
        about: Some(Box::new(entry(Claim::Dead))),
        inquire: Some(at(4)),
        heard: vec![(Gid::all(), 255), (gid("town"), u64::MAX)],
        welcome,
        kept: true,
        merge: Some(7),
    };
    written_and_read("ping full", &full(), Body::Ping(ping));
    written_and_read("ping bare", &bare(), Body::Ping(Ping::default()));
    written_and_read("relay", &full(), Body::Relay(Relay { to: at(5), budget: Duration::from_micros(250_500) }));
    let sync = Sync { parts: vec![0, u64::MAX], first: 1, news: Vec::new(), merge: None, joining: false, groups: None };
    let (news, groups) = (vec![entry(Claim::Alive)], Some(vec![gid("town")]));
    let joining = Sync { news, merge: Some(0), joining: true, groups, ..sync.clone() };
    written_and_read("sync full", &full(), Body::Sync(joining));
    written_and_read("sync bare", &bare(), Body::Sync(sync));
    let after = Some(Place { gid: gid("town"), place: 512 });
    written_and_read("listing full", &full(), Body::Listing(Listing { after }));
    written_and_read("listing bare", &bare(), Body::Listing(Listing::default()));
}

#[test]
fn answers_of_membership_match_the_vectors() {
    let about = Some(Box::new(entry(Claim::Alive)));
    answered_and_read("pong full", Method::Ping, Answer::Pong(Pong { stated: full(), about }));
    answered_and_read("pong bare", Method::Ping, Answer::Pong(Pong { stated: bare(), about: None }));
    let peer = Some(Stated { name: "west".into(), ..bare() });
    answered_and_read("relayed full", Method::Relay, Answer::Relayed(Relayed { stated: full(), reached: true, peer }));
    let relayed = Relayed { stated: bare(), reached: false, peer: None };
    answered_and_read("relayed bare", Method::Relay, Answer::Relayed(relayed));
    let page = Compared {
        stated: full(),
        from: Some(at(2)),
        parts: 4,
        differing: vec![0, 2],
        entries: vec![entry(Claim::Suspect)],
        next: Some(3),
    };
    let last =
        Compared { stated: bare(), parts: 1, differing: Vec::new(), entries: Vec::new(), next: None, ..page.clone() };
    answered_and_read("page full", Method::Sync, Answer::Compared(page));
    answered_and_read("page bare", Method::Sync, Answer::Compared(last));
    let config = GroupConfig::new(gid("town")).with("subset", 3);
    let members: Group = [at(1), at(2)].into();
    let next = Some(Place { gid: gid("town"), place: 512 });
    let part = Part { config, members, gone: Group::default() };
    let whole = Listed { groups: vec![part.clone()], next };
    answered_and_read("listed full", Method::Listing, Answer::Listed(whole));
    let gone: Group = [NodeAddr::new("10.0.0.3", 3)].into_iter().collect();
    let listed = Listed { groups: vec![Part { gone, ..part }], next: None };
    answered_and_read("listed gone", Method::Listing, Answer::Listed(listed));
    answered_and_read("listed bare", Method::Listing, Answer::Listed(Listed::default()));
}

#[test]
fn news_match_the_vectors_and_are_bounded() {
    let news = [Claim::Alive, Claim::Suspect, Claim::Dead, Claim::Left].map(entry);
    let array = |entries: &[Entry]| Value::from(entries.iter().map(Entry::to_value).collect::<Vec<_>>());
    assert_eq!(wire::encode(&array(&news)), golden("news"));
    assert_eq!(read_news(array(&news)), Ok(news.to_vec()));
    assert!(read_news(array(&vec![entry(Claim::Left); MOST_NEWS])).is_ok());
    assert!(read_news(array(&vec![entry(Claim::Left); MOST_NEWS + 1])).is_err());
    for nonsense in [entry(Claim::Left).to_value(), Value::from(vec![Value::Null]), Value::Undefined] {
        assert!(read_news(nonsense).is_err());
    }
}

fn ids() -> [Id<Nid>; 2] {
    let numbered = Id::Numbered { origin: at(1).nid(), incarnation: 1_700_000_000_000, sequence: 3 };
    [numbered, Id::Opaque("m1".into())]
}

fn some_rumor(id: Id<Nid>, full: bool, mid: Option<Value>) -> Rumor<Nid, Shared> {
    let arguments = Value::from(vec![Value::from("x"), Value::Undefined]);
    let message = Message { arguments, remote: Remote::new("s", "m").of(Gid::all()), mid };
    Rumor {
        id,
        hop: 2,
        age: Duration::from_micros(1_500_250),
        urgency: if full { Urgency::Calm } else { Urgency::Normal },
        replay: full,
        former: full.then_some((7, 3)),
        size: message.size().unwrap(),
        message: Arc::new(message),
    }
}

#[test]
fn requests_of_gossip_match_the_vectors() {
    let incarnation = Incarnation { life: 1_763_841_270_123, turn: 2 };
    let statement = Statement { cluster: ClusterId::new(255), ..Statement::of(incarnation) };
    let (stated, passive) = (Stated { statement, name: "west".into() }, Stated::default());
    let [numbered, opaque] = ids();
    let send = |name: &str, stated: &Stated, request, quiet| {
        written_and_read(name, stated, Body::Gossip(Gossip { gid: gid("town"), quiet, direct: false, request }));
    };
    use rumor::Request;
    send("recv full", &stated, Request::Push(some_rumor(numbered.clone(), true, None)), true);
    send("recv opaque", &stated, Request::Push(some_rumor(opaque.clone(), false, None)), false);
    let (text, mid) = (wire::encode(&Value::from(7)), Some(Value::from(7)));
    send("recv other mid", &stated, Request::Push(some_rumor(Id::Opaque(text.into()), false, mid)), false);
    send("recv mute", &passive, Request::Push(some_rumor(numbered.clone(), false, None)), false);
    send("offer both", &stated, Request::Offer(ids().into()), false);
    send("pull both", &stated, Request::Pull(ids().into()), false);
    send("compare first", &stated, Request::Compare { hash: u64::MAX - 1, after: None }, false);
    send("compare next", &stated, Request::Compare { hash: 0, after: Some(numbered) }, false);
    send("enter first", &stated, Request::Enter { after: None }, false);
    send("enter next", &stated, Request::Enter { after: Some(opaque) }, false);
    send("enter mute", &passive, Request::Enter { after: None }, false);
}

#[test]
fn a_message_that_no_answer_could_carry_is_refused() {
    let message = |argument: Value, mid: Option<Value>| Message {
        arguments: vec![argument].into(),
        remote: Remote::new("s", "m"),
        mid,
    };
    let text = |bytes: usize| Value::from("x".repeat(bytes));
    // the largest message, and one that is a byte longer, also by its mid
    let (empty, most) = (message(text(0), None).size().unwrap().wire, Message::most_bytes());
    assert_eq!(message(text(most - empty), None).size().unwrap().wire, most);
    let mid = wire::encoded_len(&text(0));
    assert_eq!(message(text(most / 2), Some(text(most - most / 2 - empty - mid))).size().unwrap().wire, most);
    for (argument, mid) in [
        (text(most - empty + 1), None),
        (text(most / 2), Some(text(most - most / 2 - empty - mid + 1))),
        (text(0), Some(text(2 * most))),
    ] {
        let refused = message(argument, mid).size().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::BadArgument);
        assert!(refused.message.contains(&most.to_string()), "{refused}");
    }
    // a short text can take much memory
    let sparse = |elements: u32| {
        let text = format!(r#"{{"type":"array","value":{{"{}":{{"type":"null","value":""}}}}}}"#, elements - 1);
        message(wire::decode(text.as_bytes(), &Limits::default()).unwrap(), None)
    };
    let size = sparse(500_000).size().unwrap();
    assert!(size.wire < 200 && size.memory > 16_000_000, "{size:?}");
    let many = message(vec![sparse(300_000).arguments; 4].into(), None).size().unwrap_err();
    assert_eq!(many.kind, ErrorKind::BadArgument);
    assert!(many.message.contains("bytes of memory"), "{many}");
    // alone it fits, but in an answer each of its references is longer
    let mut references = vec![Value::from(Object::new())];
    references.extend((0..150_000).map(|_| Value::from(Reference::new(1, [0]))));
    let shared = message(references.into(), None);
    let alone = wire::encoded_len(&shared.arguments);
    assert!(alone < Message::most_bytes() && alone > Message::most_bytes() / 2, "{alone}");
    assert_eq!(shared.size().unwrap_err().kind, ErrorKind::BadArgument);
}

#[test]
fn answers_of_gossip_match_the_vectors() {
    use rumor::Answer;
    let answer = |name: &str, method, answer| answered_and_read(name, method, super::Answer::Gossip(answer));
    answer("noted", Method::Offer, Answer::Noted);
    answer("same", Method::Compare, Answer::Same);
    let [numbered, opaque] = ids();
    let seen = History { entered: true, incarnation: Some(9), ids: ids().to_vec(), more: true };
    answer("seen full", Method::Enter, Answer::Seen(seen));
    answer("seen bare", Method::Enter, Answer::Seen(History::default()));
    let rumors = vec![some_rumor(numbered.clone(), true, None)];
    answer("rumors", Method::Pull, Answer::Rumors { rumors, more: true });
    let stretch = Stretch::Numbered { origin: at(1).nid(), incarnation: 7, first: 3, last: 9 };
    let held = vec![stretch, Stretch::Opaque("m1".into())];
    answer("differs full", Method::Compare, Answer::Differs(Page { after: Some(numbered), held, next: Some(opaque) }));
    answer("differs bare", Method::Compare, Answer::Differs(Page { after: None, held: Vec::new(), next: None }));

    let fresh = super::Answer::Gossip(Answer::Fresh).to_call_answer(&Gid::all(), &at(2));
    assert_eq!(wire::encode(&fresh.clone().into_value()), golden("fresh"));
    assert_eq!(Method::Recv.read_reply(Ok(fresh.clone())), Ok(super::Answer::Performed(fresh)));
    for (name, method, answer) in [
        ("had", Method::Recv, Answer::Had),
        ("busy", Method::Pull, Answer::Busy),
        ("stale", Method::Offer, Answer::Stale { incarnation: 9 }),
    ] {
        let error = failed(answer.clone()).unwrap_err();
        assert_eq!(wire::encode(&Value::from(error.clone())), golden(name));
        assert_eq!(answer_of_failure(method, &error), Some(answer), "{name}");
    }
}

#[test]
fn a_peer_that_is_gone_or_does_not_know_the_group_has_no_history() {
    for kind in [ErrorKind::Unreachable, ErrorKind::UnknownGroup, ErrorKind::UnknownMethod] {
        let answer = answer_of_failure(Method::Enter, &CallError::new(kind, "no"));
        assert_eq!(answer, Some(rumor::Answer::Seen(History::default())));
    }
    for kind in [ErrorKind::DeadlineExceeded, ErrorKind::Interrupted] {
        assert_eq!(answer_of_failure(Method::Enter, &CallError::new(kind, "no")), None);
    }
    let beyond = value(serde_json::json!({"entered": true, "ids": [], "more": false, "known": 1e300}));
    assert!(Method::Enter.read_reply(Ok(beyond.into())).is_err());
}

#[test]
fn a_reference_nodes_message_has_an_opaque_id() {
    let object =
        value(serde_json::json!({"message": [1], "remote": {"service": "s", "method": "m"}, "mid": "abc", "gid": "g"}));
    let Request { from, stated, body } = Request::read(Method::Recv, &[object]).unwrap();
    let Body::Gossip(Gossip { direct: true, quiet: false, request: rumor::Request::Push(rumor), .. }) = body else {
        panic!("not a push: {body:?}")
    };
    assert_eq!((rumor.id, rumor.hop, rumor.age), (Id::Opaque("abc".into()), 1, Duration::ZERO));
    assert!(from.is_none() && stated == Stated::default());
    let had = CallError::other("Message already received");
    assert_eq!(answer_of_failure(Method::Recv, &had), Some(rumor::Answer::Had));
}

#[test]
fn malformed_requests_are_rejected_naming_the_method() {
    use serde_json::json;
    let message = json!({"message": [1], "remote": {"service": "s", "method": "m"}, "mid": "abc", "gid": "g"});
    let with = |key: &str, what: serde_json::Value| {
        let mut message = message.clone();
        message[key] = what;
        message
    };
    let sync = |parts: serde_json::Value, first: serde_json::Value, news: serde_json::Value| json!({"parts": parts, "first": first, "news": news});
    let node = json!({"ip": "h", "port": 1});
    let many = |count| json!(vec!["1"; count]);
    for (method, argument, says) in [
        ("recv", json!(null), "expected an object, got null"),
        ("recv", with("gid", json!(3)), "it has no gid"),
        ("recv", with("message", json!(1)), "not an array of arguments"),
        ("recv", with("remote", json!({})), "the remote has no service"),
        ("recv", with("mid", json!(null)), ""),
        ("recv", with("chinwag", json!({"numbered": true})), "its mid is not the id of a rumor"),
        ("recv", with("chinwag", json!({"age": -1})), "its age is none"),
        ("recv", with("chinwag", json!({"former": "7"})), "LIFE/SEQUENCE"),
        ("offer", json!({"gid": "g", "ids": []}), "no sender"),
        ("offer", json!({"gid": "g", "from": "h:1"}), "it has no ids"),
        ("offer", json!({"gid": "g", "from": "h:1", "ids": ["x"]}), "not the id of a rumor: \"x\""),
        ("pull", json!({"gid": "g", "from": "h:1", "ids": [1]}), "the id of a rumor"),
        ("pull", json!({"gid": "g", "from": "h", "ids": []}), "no port"),
        ("compare", json!({"gid": "g", "from": "h:1", "hash": "z"}), "hexadecimal"),
        ("compare", json!({"gid": "g", "from": "h:1"}), "it has no hash"),
        ("compare", json!({"gid": "", "from": "h:1", "hash": "0"}), "group name"),
        ("relay", json!({}), "to"),
        ("relay", json!({"to": {"ip": "h", "port": 0}}), "port 0"),
        ("sync", json!([null]), ""),
        ("sync", sync(many(MAX_PARTS + 1), json!(0), json!([])), "at most 256 elements are accepted, not 257"),
        ("sync", sync(json!(["g"]), json!(0), json!([])), "hexadecimal"),
        ("sync", sync(json!(["11112222333344445"]), json!(0), json!([])), "hexadecimal"),
        ("sync", sync(many(1), json!(-1), json!([])), "usize"),
        ("sync", sync(many(1), json!(0), many(MAX_ENTRIES + 1)), "at most 2048 elements are accepted, not 2049"),
        ("sync", sync(many(1), json!(0), json!(null)), "news"),
        ("ping", json!({"from": node, "welcome": vec!["x"; MAX_GROUPS + 1]}), "at most 256"),
        ("ping", json!({"from": node, "welcome": [""]}), "group name"),
    ] {
        let named = Method::of_name(method).unwrap();
        match Request::read(named, &[value(argument.clone())]) {
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::BadArgument);
                let place = format!("gossip.{method}: argument 1 (message): ");
                assert!(error.message.starts_with(&place) && error.message.contains(says), "{error}");
            }
            Ok(_) => assert_eq!(argument["mid"], json!(null), "{method} {argument}"),
        }
    }
    let sync = sync(many(MAX_PARTS), json!(0), json!([]));
    assert!(Request::read(Method::Sync, &[value(sync)]).is_ok());
}

#[test]
fn malformed_entries_are_rejected() {
    let whole = entry(Claim::Dead).to_value();
    for (key, nonsense) in [
        ("peer", Value::Null),
        ("by", Value::from("x")),
        ("life", Value::from(-1)),
        ("life", Value::from(0.5)),
        ("turn", Value::from(5e9)),
        ("claim", Value::from("undead")),
        ("groups", Value::from(vec![Value::from("x"); MAX_GROUPS + 1])),
    ] {
        let Value::Object(mut object) = whole.clone() else { panic!("an object") };
        object.insert(key, nonsense);
        assert!(read_news(Value::from(vec![Value::Object(object)])).is_err(), "{key}");
    }
}

#[test]
fn a_malformed_ping_is_still_a_ping() {
    use serde_json::json;
    let read = |argument| Request::read(Method::Ping, &[argument]).unwrap();
    let nothing = Request { from: None, stated: Stated::default(), body: Body::Ping(Ping::default()) };
    for argument in [Value::Undefined, Value::from(3), Value::from(vec![Value::Null])] {
        assert_eq!(read(argument), nothing);
    }
    assert_eq!(Request::read(Method::Ping, &[]), Ok(nothing.clone()));
    let nonsense = json!({
        "from": "h:1", "life": 3, "turn": -1, "cluster": "1", "about": {"peer": 3}, "inquire": {"ip": "h"},
        "heard": {"g": 1, "h": "x", "": "1"}, "kept": "yes", "merge": 0.5
    });
    assert_eq!(read(value(nonsense)), nothing, "a statement without an incarnation is a passive node's");
    let more = json!({"life": 3, "turn": 0, "cluster": "x", "formerly": ["5", 7, "6"], "name": 7, "view": 9});
    let Statement { cluster, formerly, view, .. } = read(value(more)).stated.statement;
    let id = |number| ClusterId::new(number);
    assert_eq!((cluster, formerly, view), (None, [id(5), id(6), None, None], 0));
}

#[test]
fn hashes_past_the_limit_are_ignored() {
    let heard = (0..2 * MAX_HEARD).map(|number| (format!("g{number}"), Value::from("1")));
    let heard = Value::Object([("heard", Value::Object(heard.collect()))].into_iter().collect());
    let Body::Ping(ping) = Request::read(Method::Ping, &[heard]).unwrap().body else { panic!("a ping") };
    assert_eq!(ping.heard.len(), MAX_HEARD);
}

#[test]
fn any_answer_to_a_ping_is_a_sign_of_life() {
    for answer in [Value::Null, Value::from("pong"), value(serde_json::json!({"life": -1, "about": 3}))] {
        assert_eq!(Method::Ping.read_reply(Ok(answer.into())), Ok(Answer::Pong(Pong::default())));
    }
    let group = call::Answer::Group { errors: Default::default(), value: Value::Null };
    assert_eq!(Method::Ping.read_reply(Ok(group)), Ok(Answer::Pong(Pong::default())));
    for method in [Method::Relay, Method::Sync, Method::Pull, Method::Compare, Method::Enter] {
        let error = method.read_reply(Ok(Value::from("pong").into())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Other("Error".to_owned()), "{error}");
    }
}

#[test]
fn a_request_to_several_peers_is_converted_once() {
    let ping = Request { from: None, stated: bare(), body: Body::Ping(Ping { kept: true, ..Ping::default() }) };
    let outgoing = Outgoing::from(ping.clone());
    let other = outgoing.clone();
    assert_eq!(outgoing.call(), other.call());
    assert!(other.request().keeps_connection());
    assert_eq!((outgoing.into_request(), other.into_request()), (ping.clone(), ping));
}
