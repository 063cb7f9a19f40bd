use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::swim::{Incarnation, SwimConfig};

/// A node with the members of its group `x` in `all`, too, and a machine that has heard from them.
struct Town {
    list: MemberList,
    groups: Groups,
    swim: Swim<Nid>,
    chance: ChaCha8Rng,
}

fn node(port: u16) -> NodeAddr {
    NodeAddr::new("127.0.0.1", port)
}

fn gid(name: &str) -> Gid {
    Gid::new(name).unwrap()
}

fn verdict() -> Removal {
    Removal::Verdict { told: false }
}

impl Town {
    fn of(ports: &[u16]) -> Town {
        let me = node(1);
        let mut groups = Groups::new(me.clone());
        let members: Group = ports.iter().map(|port| node(*port)).collect();
        groups.put(GroupConfig::new(gid("x")), members).unwrap();
        let mut swim = Swim::new(me.key(), 1, SwimConfig::default()).unwrap();
        let mut peers: Vec<Nid> = ports.iter().map(|port| node(*port).key()).filter(|nid| *nid != me.key()).collect();
        peers.sort_unstable();
        swim.acquaint(peers.into_iter(), Incarnation::of_life(1));
        let mut list = MemberList::default();
        list.begin_with(groups.get(&Gid::all()).unwrap());
        Town { list, groups, swim, chance: ChaCha8Rng::seed_from_u64(1) }
    }

    fn feed(&mut self, inputs: Vec<Input<Nid>>) {
        for input in inputs {
            let _ = self.swim.handle(std::time::Duration::from_secs(1), input, &mut self.chance);
        }
    }

    fn remove(&mut self, port: u16, removal: Removal) -> Vec<(Gid, Sid)> {
        self.list.remove(&node(port).key(), &mut self.groups, &self.swim, removal)
    }

    fn admit(&mut self, port: u16) -> Arrival {
        self.list.admit(&node(port).key(), &mut self.groups)
    }

    fn has(&self, group: &str, port: u16) -> bool {
        self.groups.get(&gid(group)).is_ok_and(|members| members.contains(&node(port).key()))
    }

    /// What the machine would hear of `all`.
    fn differences(&mut self) -> Vec<Input<Nid>> {
        let all = self.groups.get(&Gid::all()).unwrap();
        self.list.differences(&node(1).key(), &all)
    }
}

#[test]
fn a_peer_that_a_verdict_removed_returns_to_its_groups_under_its_former_sid() {
    let mut town = Town::of(&[1, 2, 3]);
    let sid = town.groups.get(&gid("x")).unwrap().sid_of(&node(2).key()).unwrap().clone();
    let mut left = town.remove(2, verdict());
    left.sort();
    assert_eq!(left.iter().map(|(gid, _)| gid.as_str()).collect::<Vec<_>>(), ["all", "x"]);
    assert!(!town.has("x", 2) && !town.has("all", 2));
    let arrival = town.admit(2);
    assert_eq!(arrival.returned.unwrap().node, node(2));
    assert!(town.has("x", 2) && town.has("all", 2));
    assert_eq!(town.groups.get(&gid("x")).unwrap().sid_of(&node(2).key()), Some(&sid));
    // neither is an operator's doing
    assert!(town.differences().is_empty());
}

#[test]
fn a_peer_that_left_does_not_return_to_its_groups() {
    let mut town = Town::of(&[1, 2, 3]);
    town.remove(2, Removal::Left);
    let arrival = town.admit(2);
    assert!(arrival.returned.is_none());
    assert_eq!(arrival.changed, [Gid::all()]);
    assert!(town.has("all", 2) && !town.has("x", 2));
}

#[test]
fn what_an_operator_does_while_a_peer_is_gone_is_final() {
    // removed from the group
    let mut town = Town::of(&[1, 2, 3]);
    let sid = town.groups.get(&gid("x")).unwrap().sid_of(&node(2).key()).unwrap().clone();
    town.remove(2, verdict());
    assert!(town.list.operator_removed(&gid("x"), sid.as_str()).is_empty());
    town.admit(2);
    assert!(town.has("all", 2) && !town.has("x", 2));

    // the group was put with another set, which is another group
    let mut town = Town::of(&[1, 2, 3]);
    town.remove(2, verdict());
    let others: Group = [node(1), node(3)].into();
    town.groups.put(GroupConfig::new(gid("x")), others.clone()).unwrap();
    town.list.operator_put(&gid("x"), Some(&others));
    town.admit(2);
    assert!(town.has("all", 2) && !town.has("x", 2));

    // the group was deleted
    let mut town = Town::of(&[1, 2, 3]);
    town.remove(2, verdict());
    town.groups.del(&gid("x")).unwrap();
    town.list.operator_put(&gid("x"), None);
    town.admit(2);
    assert!(town.groups.get(&gid("x")).is_err());

    // removed from `all`: the machine is to forget it
    let mut town = Town::of(&[1, 2, 3]);
    let sid = town.groups.get(&Gid::all()).unwrap().sid_of(&node(2).key()).unwrap().clone();
    town.remove(2, verdict());
    assert_eq!(town.list.operator_removed(&Gid::all(), sid.as_str()), [Input::Remove(node(2).key())]);
}

#[test]
fn operators_changes_of_all_are_inputs_in_the_order_of_nids() {
    let mut town = Town::of(&[1, 2, 3]);
    assert!(town.differences().is_empty());
    town.groups.add(&Gid::all(), node(7)).unwrap();
    town.groups.add(&Gid::all(), node(8)).unwrap();
    let sid = town.groups.get(&Gid::all()).unwrap().sid_of(&node(3).key()).unwrap().clone();
    town.groups.rem(&Gid::all(), sid.as_str()).unwrap();
    let (new, gone) = ([node(7).key(), node(8).key()], node(3).key());
    let mut expected = vec![(new[0], Input::Add(new[0])), (new[1], Input::Add(new[1])), (gone, Input::Remove(gone))];
    expected.sort_by_key(|(nid, _)| *nid);
    let expected: Vec<Input<Nid>> = expected.into_iter().map(|(_, input)| input).collect();
    assert_eq!(town.differences(), expected);
    assert!(town.differences().is_empty());
    // it can still be told that it was removed
    assert_eq!(town.list.address(&gone), Some(&node(3)));
}

#[test]
fn only_members_of_the_machine_keep_an_address() {
    let mut town = Town::of(&[1, 2]);
    let stranger = Known { life: 4, groups: Some(vec![gid("x")]), ..Known::at(node(9)) };
    assert_eq!(town.list.note(vec![stranger.clone()]), [(gid("x"), node(9))]);
    assert_eq!(town.list.known(&node(9).key()), Some(stranger.clone()));
    town.list.settle(&town.swim);
    assert_eq!(town.list.address(&node(9).key()), None, "the machine has not taken it in");

    town.list.note(vec![stranger.clone()]);
    town.feed(vec![Input::Add(node(9).key())]);
    town.list.settle(&town.swim);
    assert_eq!(town.list.address(&node(9).key()), Some(&node(9)));
    // what is said again is no news, and an earlier life says nothing
    assert!(town.list.note(vec![stranger.clone()]).is_empty());
    let earlier = Known { life: 3, groups: Some(vec![gid("y")]), ..stranger };
    assert!(town.list.note(vec![earlier]).is_empty());
}

#[test]
fn a_newcomer_expects_the_peers_that_were_removed_before_it_came() {
    let mut town = Town::of(&[1, 2]);
    let config = town.groups.entry(&gid("x")).unwrap().config.clone();
    let gone: Group = [node(5)].into();
    let me = node(1).key();
    assert!(!town.list.expect(&config, &gone, &me, &mut town.groups, &town.swim));
    assert!(town.list.removed_from(&gid("x"), &config).contains(&node(5).key()));
    let arrival = town.admit(5);
    assert_eq!(arrival.changed, [gid("x"), Gid::all()]);
    assert!(town.has("x", 5));

    // one that is back already is put into the group at once
    let mut town = Town::of(&[1, 2]);
    town.groups.put(GroupConfig::new(gid("y")), [node(1)].into()).unwrap();
    let config = town.groups.entry(&gid("y")).unwrap().config.clone();
    assert!(town.list.expect(&config, &[node(2)].into(), &me, &mut town.groups, &town.swim));
    assert!(town.has("y", 2));

    // unless an operator has put the group since
    let mut town = Town::of(&[1, 2]);
    let stale = Arc::new(GroupConfig::new(gid("x")));
    assert!(!town.list.expect(&stale, &[node(5)].into(), &me, &mut town.groups, &town.swim));
    assert!(!town.admit(5).changed.contains(&gid("x")));
}

#[test]
fn peers_that_are_expected_are_bounded() {
    let mut town = Town::of(&[1]);
    let config = town.groups.entry(&gid("x")).unwrap().config.clone();
    let me = node(1).key();
    let gone: Group = (2..2_000).map(node).collect();
    town.list.expect(&config, &gone, &me, &mut town.groups, &town.swim);
    assert_eq!(town.list.removed.len(), MAX_REMOVED);
    assert_eq!(town.list.removed_from(&gid("x"), &config).len(), PAGE);
}
