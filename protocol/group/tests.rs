//! Tests of sets of nodes, their SIDs, and the map of groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::call::{CallError, ErrorKind};
use crate::identity::{Gid, NodeAddr, SID_DIGITS, Sid};
use crate::value::{Object, Value};

fn node(port: u16) -> NodeAddr {
    NodeAddr::new("127.0.0.1", port)
}

fn gid(name: &str) -> Gid {
    Gid::new(name).unwrap()
}

#[test]
fn written_order_is_the_order_after_writing_and_reading() {
    let sids = ["b", "10", "a", "9", "01", "4294967295"].map(|sid| Sid::new(sid).unwrap());
    let mut group = Group::default();
    for (port, sid) in (1..).zip(sids) {
        group.hold(sid, node(port).key(), node(port));
    }
    let order = |group: &Group| group.iter().map(|(sid, _)| sid.to_string()).collect::<Vec<_>>();
    let read = Group::from_peer(&group.to_value()).unwrap();
    assert_ne!(order(&group), order(&read));
    assert_eq!(order(&group.in_written_order()), order(&read));
}

fn kind(result: Result<Arc<Group>, CallError>) -> ErrorKind {
    result.unwrap_err().kind
}

#[test]
fn a_restored_node_has_its_former_sid() {
    let mut groups = Groups::new(node(1));
    let named = Group::from_value(&Value::Object([("507aa", node(2).to_value())].into_iter().collect())).unwrap();
    groups.put(GroupConfig::new(gid("g")), named.clone()).unwrap();
    let left = groups.forget(&node(2).nid());
    assert_eq!(left.len(), 2);
    let restored = left.iter().filter(|(gid, sid)| groups.restore(gid, sid, &node(2))).count();
    assert_eq!(restored, 2);
    assert_eq!(*groups.get(&gid("g")).unwrap(), named);
    assert!(!groups.restore(&gid("gone"), &node(2).sid(), &node(2)));
}

#[test]
fn the_ring_of_members_does_not_depend_on_their_order() {
    let one: Group = (1..=9).map(node).collect();
    let localhost = NodeAddr::new("localhost", 5);
    assert_ne!(localhost.nid(), localhost.key());
    let other: Group = (1..=9).rev().map(|port| if port == 5 { localhost.clone() } else { node(port) }).collect();
    let first = node(1).nid();
    let (mut met, mut at) = (Vec::new(), first);
    for _ in 0..9 {
        let [before, after] = one.around(&at).unwrap();
        assert_eq!(other.around(&at), Some([before, after]));
        assert_eq!((one.around(&after).unwrap()[0], one.around(&before).unwrap()[1]), (at, at));
        met.push(at);
        at = after;
    }
    assert_eq!(at, first);
    met.sort_unstable();
    met.dedup();
    assert_eq!(met.len(), 9);

    let [before, after] = one.around(&node(10).nid()).unwrap();
    assert_eq!(one.around(&before).unwrap()[1], after, "a node that is no member stands between two");
    let pair: Group = [node(1), node(2)].into();
    assert_eq!(pair.around(&first), Some([node(2).nid(); 2]));
    let alone: Group = [node(1)].into();
    assert_eq!(alone.around(&first), None);
    assert_eq!(Group::default().around(&first), None);
}

#[test]
fn all_holds_this_node_and_every_node_it_met() {
    let mut groups = Groups::new(node(1));
    assert_eq!(groups.get(&Gid::all()).unwrap().len(), 1);
    groups.put(GroupConfig::new(gid("g")), [node(2), node(3)].into_iter().collect()).unwrap();
    groups.add(&gid("g"), node(4)).unwrap();
    assert_eq!(groups.get(&gid("g")).unwrap().len(), 3);
    assert_eq!(groups.get(&Gid::all()).unwrap().len(), 4);
    assert_eq!(groups.get(&Gid::local()).unwrap().len(), 1);
}

#[test]
fn a_shared_set_is_copied_when_a_node_changes_it() {
    let view: Arc<Group> = Arc::new((1..=3).map(node).collect());
    let config = Arc::new(GroupConfig::new(gid("g")));
    let (mut one, mut stranger) = (Groups::new(node(1)), Groups::new(node(9)));
    one.share(config.clone(), view.clone()).unwrap();
    stranger.share(config, view.clone()).unwrap();
    assert!(Arc::ptr_eq(&one.get(&gid("g")).unwrap(), &view));
    assert!(Arc::ptr_eq(&one.get(&Gid::all()).unwrap(), &view));
    assert_eq!(stranger.get(&Gid::all()).unwrap().len(), 4);
    one.rem(&gid("g"), node(2).sid().as_str()).unwrap();
    assert_eq!((one.get(&gid("g")).unwrap().len(), one.get(&Gid::all()).unwrap().len(), view.len()), (2, 3, 3));
}

#[test]
fn removing_a_node_from_a_group_keeps_it_in_others() {
    let mut groups = Groups::new(node(1));
    for name in ["a", "b"] {
        groups.put(GroupConfig::new(gid(name)), [node(2), node(3)].into_iter().collect()).unwrap();
    }
    assert_eq!(groups.rem(&gid("a"), node(2).sid().as_str()).unwrap().len(), 1);
    assert_eq!(groups.rem(&gid("a"), "nobody").unwrap().len(), 1);
    assert_eq!(groups.get(&gid("b")).unwrap().len(), 2);
    assert_eq!(groups.get(&Gid::all()).unwrap().len(), 3);
}

#[test]
fn built_in_groups_cannot_be_changed_or_emptied() {
    let mut groups = Groups::new(node(1));
    assert_eq!(kind(groups.del(&Gid::all())), ErrorKind::Reserved);
    assert_eq!(kind(groups.del(&Gid::local())), ErrorKind::Reserved);
    assert_eq!(kind(groups.add(&Gid::local(), node(2))), ErrorKind::Reserved);
    assert_eq!(kind(groups.put(GroupConfig::new(Gid::local()), Group::default())), ErrorKind::Reserved);
    for taken in ["node", "util"] {
        let config = GroupConfig::new(Gid::new(taken).unwrap());
        assert_eq!(kind(groups.put(config.clone(), Group::default())), ErrorKind::Reserved);
        assert_eq!(groups.share(config.into(), Group::default().into()).unwrap_err().kind, ErrorKind::Reserved);
    }
    assert_eq!(groups.rem(&Gid::all(), node(1).sid().as_str()).unwrap().len(), 1);
    assert_eq!(groups.put(GroupConfig::new(Gid::all()), Group::default()).unwrap().len(), 1);
}

#[test]
fn an_unknown_group_is_an_error_without_effect() {
    let mut groups = Groups::new(node(1));
    assert_eq!(kind(groups.get(&gid("g"))), ErrorKind::UnknownGroup);
    assert_eq!(kind(groups.add(&gid("g"), node(2))), ErrorKind::UnknownGroup);
    assert_eq!(kind(groups.rem(&gid("g"), "x")), ErrorKind::UnknownGroup);
    assert_eq!(kind(groups.del(&gid("g"))), ErrorKind::UnknownGroup);
    assert_eq!(groups.get(&Gid::all()).unwrap().len(), 1);
}

#[test]
fn chosen_keys_are_kept() {
    let set = serde_json::json!({"507aa": {"ip": "127.0.0.1", "port": 8080}, "b": {"ip": "127.0.0.1", "port": 8081}});
    let group = Group::from_value(&Value::from_json(set.clone())).unwrap();
    assert_eq!(group.to_value(), Value::from_json(set));
    assert_eq!(group.sid_of(&node(8080).nid()).unwrap().as_str(), "507aa");
}

#[test]
fn a_malformed_set_is_rejected() {
    for json in [
        serde_json::json!([1]),
        serde_json::json!({"a": 3}),
        serde_json::json!({"a": {"ip": "h", "port": 1}, "b": {"ip": "h", "port": 70000}}),
        serde_json::json!({"": {"ip": "h", "port": 1}}),
    ] {
        let error = Group::from_value(&Value::from_json(json)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadArgument);
    }
    assert!(Group::from_value(&Value::Undefined).unwrap().is_empty());
}

#[test]
fn a_node_under_a_chosen_key_is_added_under_its_sid_too() {
    let (first, second) = (node(1), node(2));
    let set = Value::Object([("507aa", second.to_value())].into_iter().collect());
    let mut groups = Groups::new(first);
    groups.put(GroupConfig::new(gid("g")), Group::from_value(&set).unwrap()).unwrap();
    // news of the node does not add a key, but an operator does
    assert_eq!(groups.enroll(&gid("g"), second.clone()).unwrap().len(), 1);
    for _ in 0..2 {
        let after = groups.add(&gid("g"), second.clone()).unwrap();
        assert_eq!(
            after.iter().map(|(sid, _)| sid.clone()).collect::<Vec<_>>(),
            [Sid::new("507aa").unwrap(), second.sid()]
        );
        assert_eq!(after.sid_of(&second.nid()), Some(&second.sid()));
        assert_eq!(Group::from_value(&after.to_value()).unwrap(), *after);
    }
    assert_eq!(groups.get(&Gid::all()).unwrap().len(), 2);
    // it stays under the other key until that is removed, too
    let after = groups.rem(&gid("g"), second.sid().as_str()).unwrap();
    assert_eq!(after.sid_of(&second.nid()).map(Sid::as_str), Some("507aa"));
    groups.add(&gid("g"), second.clone()).unwrap();
    assert_eq!(groups.forget(&second.nid()).len(), 2);
    assert!(groups.get(&gid("g")).unwrap().is_empty());
}

#[test]
fn indices_are_the_keys_of_a_set_that_is_an_array() {
    let array = Value::from(vec![node(1).to_value(), node(2).to_value()]);
    let group = Group::from_value(&array).unwrap();
    assert_eq!(group.iter().map(|(sid, _)| sid.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    // one object under two keys is a reference on the wire
    let shared: Object = [("a", node(1).to_value()), ("b", Value::Reference(crate::value::Reference::new(1, ["a"])))]
        .into_iter()
        .collect();
    let group = Group::from_value(&Value::Object(shared)).unwrap();
    assert_eq!(group.get("a"), group.get("b"));
}

#[test]
fn colliding_sids_are_lengthened() {
    // the first pair of ports of 127.0.0.1 whose NIDs share five digits
    let mut seen = BTreeMap::new();
    let pair = (1..=u16::MAX).find_map(|port| Some((seen.insert(node(port).sid(), port)?, port)));
    let (first, second) = pair.unwrap();
    let group: Group = [node(first), node(second)].into_iter().collect();
    assert_eq!(group.len(), 2);
    let sid = group.sid_of(&node(second).nid()).unwrap();
    assert!(sid.as_str().len() > SID_DIGITS);
    assert!(node(second).nid().to_string().starts_with(sid.as_str()));
    // the same node again is the same member
    let mut again = group.clone();
    assert_eq!(again.add(node(second)), *sid);
    assert_eq!(again.len(), 2);
}

#[test]
fn forgetting_removes_a_node_from_every_group_but_never_this_node() {
    let mut groups = Groups::new(node(1));
    groups.put(GroupConfig::new(gid("g")), [node(1), node(2)].into_iter().collect()).unwrap();
    let left = groups.forget(&node(2).nid());
    assert_eq!(left.iter().map(|(gid, _)| gid.as_str()).collect::<Vec<_>>(), ["all", "g"]);
    assert!(groups.forget(&node(1).nid()).is_empty());
}

#[test]
fn a_configuration_is_a_name_or_an_object() {
    let plain = GroupConfig::from_value(&Value::from("g")).unwrap();
    assert_eq!(plain.to_value(), Value::from("g"));
    let config = Value::from_json(serde_json::json!({"gid": "g", "subset": "log"}));
    assert_eq!(GroupConfig::from_value(&config).unwrap().options.get("subset"), Some(&Value::from("log")));
    for json in [serde_json::json!(null), serde_json::json!({}), serde_json::json!(""), serde_json::json!("a/b")] {
        assert!(GroupConfig::from_value(&Value::from_json(json)).is_err());
    }
}

/// A node with a further key of this many bytes.
fn with_key(port: u16, bytes: usize) -> NodeAddr {
    node(port).with_extra([("zone", "x".repeat(bytes))].into_iter().collect())
}

#[test]
fn the_memory_of_further_keys_is_counted_through_every_change_of_a_set() {
    let recount = |group: &Group| group.iter().map(|(_, member)| member.node.extra_bytes()).sum::<usize>();
    let mut group: Group = [with_key(1, 100), node(2), with_key(3, 1_000)].into_iter().collect();
    assert!(group.extra_bytes() > 1_100 && group.extra_bytes() == recount(&group));
    for change in [
        |group: &mut Group| drop(group.add(with_key(2, 5_000))),
        |group: &mut Group| drop(group.add(node(1))),
        |group: &mut Group| drop(group.add_under_sid(with_key(4, 50))),
        |group: &mut Group| drop(group.remove(node(3).sid().as_str())),
        |group: &mut Group| *group = Group::from_value(&group.to_value()).unwrap().in_written_order(),
        |group: &mut Group| {
            let twice = [("a", with_key(7, 70).to_value()), ("b", with_key(7, 90).to_value())];
            *group = Group::from_value(&Value::Object(twice.into_iter().collect())).unwrap();
        },
        |group: &mut Group| drop(group.remove("a")),
        |group: &mut Group| drop(group.remove("b")),
    ] {
        change(&mut group);
        assert_eq!(group.extra_bytes(), recount(&group));
    }
    assert_eq!(group.extra_bytes(), 0);
}

#[test]
fn options_and_further_keys_take_a_bounded_amount_of_memory() {
    let mut groups = Groups::new(node(1));
    let config = |name: &str, bytes: usize| GroupConfig::new(gid(name)).with("note", "x".repeat(bytes));
    let refused = groups.put(config("large", MAX_OPTION_BYTES), Group::default()).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadArgument);
    assert!(refused.message.contains(&MAX_OPTION_BYTES.to_string()), "{refused}");
    let refused = groups.put(config("large", 0), [with_key(2, MAX_OPTION_BYTES)].into()).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadArgument);
    assert_eq!((groups.names().count(), groups.option_bytes()), (1, 0));

    // as many as fit together, and no more
    let most = MAX_OPTION_BYTES - 1_000;
    let fit = MAX_TOTAL_OPTION_BYTES / MAX_OPTION_BYTES;
    for number in 0..fit {
        groups.put(config(&number.to_string(), most), Group::default()).unwrap();
    }
    let refused = groups.put(config("another", most), Group::default()).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Busy);
    assert!(refused.message.contains(&groups.option_bytes().to_string()), "{refused}");
    assert_eq!(groups.add(&Gid::all(), with_key(2, most)).unwrap_err().kind, ErrorKind::Busy);
    groups.put(GroupConfig::new(gid("plain")), [node(1), node(2)].into()).unwrap();
    groups.add(&gid("plain"), node(3)).unwrap();

    // a node that is only met is added with its address
    groups.meet([with_key(4, most)]);
    assert_eq!(groups.get(&Gid::all()).unwrap().by_nid(&node(4).key()).unwrap().node, node(4));

    // what a replaced or deleted group took is free
    groups.put(config("0", most), Group::default()).unwrap();
    groups.del(&gid("0")).unwrap();
    groups.put(config("another", most), Group::default()).unwrap();
    assert!(groups.option_bytes() <= MAX_TOTAL_OPTION_BYTES);

    // the keys of a group's nodes are also in `all`
    let mut groups = Groups::new(node(1));
    groups.put(config("g", 0), [with_key(2, 1_000)].into()).unwrap();
    let keys = with_key(2, 1_000).extra_bytes();
    assert!(groups.option_bytes() >= 2 * keys);
    groups.del(&gid("g")).unwrap();
    assert_eq!(groups.option_bytes(), keys);
}
