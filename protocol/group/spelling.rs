//! Tests with several spellings of the address of a node.

use super::*;
use crate::call::ErrorKind;
use crate::identity::{Gid, NodeAddr};
use crate::value::Value;

fn node(port: u16) -> NodeAddr {
    NodeAddr::new("127.0.0.1", port)
}

fn gid(name: &str) -> Gid {
    Gid::new(name).unwrap()
}

/// Other spellings of `node(port)`.
fn spellings(port: u16) -> [NodeAddr; 3] {
    ["localhost", "LOCALHOST", "::ffff:127.0.0.1"].map(|ip| NodeAddr::new(ip, port))
}

#[test]
fn a_node_is_held_once_however_its_address_is_spelled() {
    for first in std::iter::once(node(2)).chain(spellings(2)) {
        let mut groups = Groups::new(node(1));
        groups.put(GroupConfig::new(gid("g")), [first.clone()].into_iter().collect()).unwrap();
        let before = groups.get(&gid("g")).unwrap();
        for other in std::iter::once(node(2)).chain(spellings(2)) {
            let after = groups.add(&gid("g"), other.clone()).unwrap();
            assert_eq!(after, before, "{other} beside {first}");
            assert!(after.contains(&other.key()) && after.contains(&first.nid()));
            assert_eq!(after.sid_of(&other.key()), Some(&first.sid()), "{other} beside {first}");
        }
        assert_eq!(groups.get(&Gid::all()).unwrap().len(), 2);
        let left = groups.forget(&spellings(2)[0].key());
        assert_eq!(left, [(Gid::all(), first.sid()), (gid("g"), first.sid())]);
        for other in spellings(2) {
            assert_eq!(groups.restore(&gid("g"), &first.sid(), &other), other == spellings(2)[0], "{other}");
        }
        assert_eq!(groups.get(&gid("g")).unwrap().len(), 1);
    }
}

#[test]
fn a_removed_member_leaves_no_trace_under_either_of_its_nids() {
    for spelling in spellings(2) {
        let mut group: Group = [spelling.clone()].into_iter().collect();
        group.remove(spelling.sid().as_str()).unwrap();
        assert!(!group.contains(&spelling.nid()) && !group.contains(&spelling.key()));
        assert_eq!(group.add(node(2)), node(2).sid());
    }
}

#[test]
fn a_set_with_two_spellings_of_a_node_is_rejected_naming_both() {
    let set = serde_json::json!({"a": {"ip": "localhost", "port": 1}, "b": {"ip": "127.0.0.1", "port": 1}});
    let error = Group::from_value(&Value::from_json(set)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadArgument);
    for part in ["a (localhost:1)", "b (127.0.0.1:1)"] {
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn invalid_entries_of_a_peers_set_are_skipped() {
    let set = serde_json::json!({
        "a": {"ip": "localhost", "port": 1}, "b": {"ip": "127.0.0.1", "port": 1}, "c": {"ip": "0.0.0.0", "port": 1},
        "d": 3, "e": {"ip": "127.0.0.1", "port": 2},
    });
    let group = Group::from_peer(&Value::from_json(set)).unwrap();
    let held: Vec<_> = group.iter().map(|(sid, member)| (sid.as_str(), member.node.to_string())).collect();
    assert_eq!(held, [("a", "localhost:1".to_owned()), ("e", "127.0.0.1:2".to_owned())]);
    assert!(Group::from_peer(&Value::from(3)).is_err());
}

#[test]
fn this_node_is_recognized_by_every_spelling_of_its_address() {
    for me in spellings(1) {
        let mut groups = Groups::new(me.clone());
        groups.put(GroupConfig::new(gid("g")), [node(1), node(2)].into_iter().collect()).unwrap();
        assert_eq!(groups.get(&Gid::all()).unwrap().len(), 2, "{me} is not met");
        assert!(groups.forget(&node(1).key()).is_empty(), "{me} stays in its groups");
        groups.put(GroupConfig::new(Gid::all()), [node(1)].into_iter().collect()).unwrap();
        assert_eq!(groups.rem(&Gid::all(), node(1).sid().as_str()).unwrap().len(), 1, "{me} stays in all");
    }
}

#[test]
fn all_adopts_the_spelling_that_a_node_states_of_itself() {
    let mut groups = Groups::new(node(1));
    let [localhost, ..] = spellings(2);
    let localhost = localhost.with_extra([("zone", "a")].into_iter().collect());
    groups.put(GroupConfig::new(gid("g")), [localhost.clone()].into_iter().collect()).unwrap();
    assert!(groups.stated(&node(2)) && !groups.stated(&node(2)));
    let all = groups.get(&Gid::all()).unwrap();
    assert_eq!(all.by_nid(&node(2).key()).unwrap().node.extra("zone"), Some(&Value::from("a")));
    assert_eq!((all.len(), all.sid_of(&node(2).nid())), (2, Some(&node(2).sid())));
    // other groups stay as they were put
    assert_eq!(groups.get(&gid("g")).unwrap().sid_of(&node(2).key()), Some(&localhost.sid()));
    // chosen SIDs stay, and others cannot change the spelling of this node's own address
    let chosen = Value::Object([("507aa", localhost.to_value())].into_iter().collect());
    groups.put(GroupConfig::new(Gid::all()), Group::from_value(&chosen).unwrap()).unwrap();
    assert!(!groups.stated(&node(2)) && !groups.stated(&spellings(1)[0]) && !groups.stated(&node(3)));
}
