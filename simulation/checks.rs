//! What must hold once a network has healed.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
};

use chinwag_actors::load::Load;
use chinwag_protocol::{identity::Nid, swim::Status};
use serde::Serialize;

use super::{
    Net,
    scenario::{Demand, Scenario},
    story::{Put, Story},
};

/// What makes a message as long as it is to be. No name in a call has it.
pub(super) const PADDING: char = '~';

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// Which check.
    pub check: &'static str,
    /// What was found.
    pub what: String,
}

type Found<'a> = Pin<Box<dyn Future<Output = Option<String>> + 'a>>;

/// Something that must hold.
#[non_exhaustive]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is to hold in such a scenario.
    pub applies: fn(&Scenario) -> bool,
    /// Once broken, broken for good: waiting does not help.
    pub for_good: bool,
    find: for<'a> fn(&'a Net, &'a Story) -> Found<'a>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// What must hold once a network has healed.
pub const CHECKS: [Check; 10] = [
    Check { name: "nobody hears a message twice in one life", applies: |_| true, for_good: true, find: heard_twice },
    Check { name: "nothing is held beyond its bound", applies: |_| true, for_good: true, find: overfull },
    Check { name: "whoever starts a message hears it", applies: |_| true, for_good: false, find: unsaid },
    Check {
        name: "whoever is connected has heard the same",
        applies: |scenario| scenario.retained.is_none(),
        for_good: false,
        find: unheard,
    },
    Check {
        name: "each view is whom one knew, but for the dead",
        applies: |scenario| scenario.watch.is_some(),
        for_good: false,
        find: views,
    },
    Check {
        name: "each group put by hand is whom it was put with, but for the dead",
        applies: |scenario| scenario.has_puts(),
        for_good: false,
        find: puts,
    },
    Check {
        name: "whoever has joined knows everyone and is known to them",
        applies: |scenario| scenario.has_joins(),
        for_good: false,
        find: joins,
    },
    Check {
        name: "clusters that nobody merged stay apart",
        applies: |scenario| !scenario.beside.is_empty(),
        for_good: false,
        find: apart,
    },
    Check { name: "what was under way has come to an end", applies: |_| true, for_good: false, find: unfinished },
    Check {
        name: "nobody has anything to send any more",
        // what others have forgotten is offered to them for as long as one holds it
        applies: |scenario| scenario.retained.is_none(),
        for_good: false,
        find: unsent,
    },
];

fn heard_twice<'a>(net: &'a Net, _: &'a Story) -> Found<'a> {
    Box::pin(async move {
        (0..net.len()).find_map(|node| {
            let mut seen = BTreeSet::new();
            let twice = net.heard(node).into_iter().find(|heard| !seen.insert((heard.life, heard.message.clone())))?;
            Some(format!(
                "node {node} heard {:?} again in its life {} at {:?}",
                shown(&twice.message),
                twice.life,
                twice.at
            ))
        })
    })
}

/// A node that is up, in the same life as when it was to start a message, has started it and performed it as everyone does.
fn unsaid<'a>(net: &'a Net, story: &'a Story) -> Found<'a> {
    Box::pin(async move {
        story.told.iter().filter(|told| net.is_up(told.node) && net.life(told.node) == told.life).find_map(|told| {
            let heard = net.heard(told.node);
            let has = heard.iter().any(|heard| heard.life == told.life && *heard.message == *told.message);
            (!has).then(|| format!("node {} was to start {:?} and has not heard it", told.node, shown(&told.message)))
        })
    })
}

/// A message without what makes it long.
fn shown(message: &str) -> &str {
    message.trim_end_matches(PADDING)
}

/// A message that a node in its present life has heard must come to everyone connected with it through nodes that are
/// up, and who was in the group when it was told. One that was lost with its only bearer is nobody's.
fn unheard<'a>(net: &'a Net, story: &'a Story) -> Found<'a> {
    Box::pin(async move {
        let has = |node: usize| -> BTreeSet<_> {
            let life = net.life(node);
            net.heard(node).into_iter().filter(|heard| heard.life == life).map(|heard| heard.message).collect()
        };
        let has: Vec<BTreeSet<_>> = (0..net.len()).map(has).collect();
        let mut done = BTreeSet::new();
        // what a newcomer hears of the time before it came is left open
        let counts = |node: usize| net.is_up(node) && story.joined(net, node).is_none();
        for start in 0..net.len() {
            if !counts(start) || done.contains(&start) {
                continue;
            }
            let together = net.neighbours().reachable(start as u32, |node| counts(node as usize));
            let together: Vec<usize> = together.into_iter().map(|node| node as usize).collect();
            done.extend(together.iter().copied());
            for told in &story.told {
                let (with, mut without): (Vec<usize>, Vec<usize>) =
                    together.iter().copied().partition(|&node| has[node].contains(told.message.as_str()));
                without.retain(|&node| {
                    net.entered_at(node).is_some_and(|entered| entered < told.at || net.life(node) == 0)
                });
                if let (Some(with), Some(without)) = (with.first(), without.first()) {
                    return Some(format!(
                        "node {with} has heard {:?} and node {without} has not",
                        shown(&told.message)
                    ));
                }
            }
        }
        None
    })
}

/// How each node regards the others, of the nodes that are up.
struct Standings(BTreeMap<usize, BTreeMap<Nid, Status>>);

impl Standings {
    async fn ask(net: &Net) -> Result<Standings, String> {
        let mut all = BTreeMap::new();
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let Ok(standings) = net.node(node).membership().list().await else {
                return Err(format!("node {node} takes no part in membership any more"));
            };
            let standings = standings.into_values().map(|standing| (standing.node.nid(), standing.status));
            all.insert(node, standings.collect());
        }
        Ok(Standings(all))
    }

    /// Whether a node may go on listing a dead one: it never heard from it, so that it may never have been there. Where
    /// liveness is news, nobody in its cluster has.
    fn excuses(&self, net: &Net, story: &Story, node: usize, dead: &Nid) -> bool {
        let pending = |standings: &BTreeMap<Nid, Status>| {
            matches!(standings.get(dead), Some(Status::Pending | Status::Unreachable))
        };
        if !self.0.get(&node).is_some_and(pending) {
            return false;
        }
        let knows = |(other, standings): (&usize, &BTreeMap<Nid, Status>)| {
            story.together(net, *other, node) && standings.contains_key(dead) && !pending(standings)
        };
        !story.demands.contains(&Demand::Liveness) || !self.0.iter().any(knows)
    }
}

fn everyone(net: &Net) -> Vec<(usize, Nid)> {
    (0..net.len()).map(|node| (node, net.addr(node).nid())).collect()
}

/// A dead peer that a node never heard from stays where it was put: it may never have been there.
fn views<'a>(net: &'a Net, story: &'a Story) -> Found<'a> {
    Box::pin(async move {
        if story.is_blurred(net) {
            return None;
        }
        let everyone = everyone(net);
        let standings = match Standings::ask(net).await {
            Ok(standings) => standings,
            Err(why) => return Some(why),
        };
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            // one that joined begins with nothing, and what it is told is seen elsewhere
            let joined = |node: usize| story.joined(net, node).is_some();
            let begun = !joined(node);
            let together = |other: usize| begun && !joined(other) && story.together(net, other, node);
            let known: BTreeSet<usize> =
                net.neighbours().of(node as u32).map(|other| other as usize).filter(|other| together(*other)).collect();
            for gid in std::iter::once("all").chain(story.grouped(net, node).then(|| net.group())) {
                let Ok(view) = net.node(node).group(gid).members().await else {
                    return Some(format!("node {node} does not know its group {gid} any more"));
                };
                for (other, nid) in &everyone {
                    let (held, up) = (view.contains(nid), net.is_up(*other));
                    let missed = up && !held && (known.contains(other) || *other == node);
                    if missed || (held && !up && !standings.excuses(net, story, node, nid)) {
                        let (has, is) = if up { ("misses", "alive") } else { ("holds", "dead") };
                        return Some(format!("in {gid}, node {node} {has} node {other}, which is {is}"));
                    }
                }
            }
        }
        None
    })
}

/// A group that an operator put on a node has its members for as long as the node lives, but for the dead.
fn puts<'a>(net: &'a Net, story: &'a Story) -> Found<'a> {
    Box::pin(async move {
        let everyone = everyone(net);
        let standings = match Standings::ask(net).await {
            Ok(standings) => Some(standings),
            Err(why) if story.watched => return Some(why),
            // nobody is taken out of any group
            Err(_) => None,
        };
        for put in story.puts().filter(|put| net.is_up(put.on) && net.life(put.on) == put.life) {
            let (gid, on) = (&put.group, put.on);
            let Ok(view) = net.node(on).group(gid).members().await else {
                return Some(format!("node {on} does not know the group {gid}, which was put there"));
            };
            for (other, nid) in &everyone {
                let (held, named) = (view.contains(nid), put.members.contains(other));
                let stays = net.is_up(*other) && story.together(net, *other, on);
                if held && !named {
                    return Some(format!("in {gid}, node {on} holds node {other}, which was not put there"));
                }
                let unwatched = standings.is_none();
                if named && !held && (stays || unwatched) {
                    return Some(format!("in {gid}, node {on} misses node {other}, which is alive"));
                }
                let excused = standings.as_ref().is_none_or(|all| all.excuses(net, story, on, nid));
                if held && !net.is_up(*other) && !excused {
                    return Some(format!("in {gid}, node {on} holds node {other}, which is dead"));
                }
            }
        }
        // where nodes do not watch each other, nobody notices that one was restarted
        if !story.demands.contains(&Demand::Groups) || !story.watched { None } else { forgotten(net, story).await }
    })
}

/// A node that was restarted knows each group that was put with it before, as one of the nodes does that list it. Groups put
/// by hand may differ between these: it keeps what it is sent first, or what an operator has put on it since. A node that had
/// not heard of it before does not know that it was restarted.
async fn forgotten(net: &Net, story: &Story) -> Option<String> {
    let puts: Vec<&Put> = story.puts().filter(|put| net.is_up(put.on) && net.life(put.on) == put.life).collect();
    for member in (0..net.len()).filter(|&node| net.is_up(node)) {
        let together = |other: usize| story.together(net, other, member);
        let listing: Vec<&Put> =
            puts.iter().copied().filter(|put| put.members.contains(&member) && together(put.on)).collect();
        let missed = |put: &&&Put| put.missed.contains(&member) && put.life_of(member) != Some(net.life(member));
        for put in listing.iter().filter(missed) {
            let same: Vec<&&Put> = listing.iter().filter(|other| other.group == put.group).collect();
            if puts.iter().any(|own| own.on == member && own.group == put.group) {
                continue;
            }
            let view = net.node(member).group(put.group.as_str()).members().await.ok();
            let knows = |other: usize| {
                let nid = net.addr(other).nid();
                !net.is_up(other) || !together(other) || view.as_ref().is_some_and(|view| view.contains(&nid))
            };
            if !same.iter().any(|put| put.members.iter().all(|other| knows(*other))) {
                return Some(format!(
                    "node {member} was restarted and does not know {} as node {} does",
                    put.group, put.on
                ));
            }
        }
    }
    None
}

/// Whoever has joined through a node that is up has the whole cluster of that node in `all`, and is in everyone's; and it
/// has that node in the group, and is in that node's. Where groups are restored, that holds of every node's. Where two
/// clusters were merged, each keeps the group that its nodes were given, and nodes of the other are in it if they joined: only
/// those say that they are in it.
fn joins<'a>(net: &'a Net, story: &'a Story) -> Found<'a> {
    Box::pin(async move {
        if story.is_blurred(net) {
            return None;
        }
        let lists = async |node: usize, gid: &str, other: usize| -> bool {
            let view = net.node(node).group(gid).members().await;
            view.is_ok_and(|view| view.contains(&net.addr(other).nid()))
        };
        // a node whose seed is dead goes on trying, and is known to nobody
        let seed = |node: usize| {
            let (seed, life) = *story.joined(net, node)?.through.first()?;
            (net.is_up(seed) && net.life(seed) == life).then_some(seed)
        };
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let Some(through) = seed(node) else { continue };
            let company = (0..net.len()).filter(|&other| {
                let there = story.joined(net, other).is_none() || seed(other).is_some();
                let together = story.together(net, other, node);
                other != node && net.is_up(other) && there && together
            });
            for other in company {
                let all_groups = other == through || story.demands.contains(&Demand::Groups);
                let grouped = story.grouped(net, node) && story.grouped(net, other);
                let group = (all_groups && grouped).then(|| net.group());
                let given = |listed: usize| {
                    story.joined(net, listed).is_none() && story.begun(net, node) != story.begun(net, other)
                };
                for gid in ["all"].into_iter().chain(group) {
                    for (one, two) in [(node, other), (other, node)] {
                        let left_open = gid != "all" && given(two);
                        if !left_open && !lists(one, gid, two).await {
                            return Some(format!(
                                "in {gid}, node {one} misses node {two}; node {node} joined through node {through}"
                            ));
                        }
                    }
                }
            }
        }
        None
    })
}

/// No node has one of another cluster in any group.
fn apart<'a>(net: &'a Net, story: &'a Story) -> Found<'a> {
    Box::pin(async move {
        if story.is_blurred(net) {
            return None;
        }
        let everyone = everyone(net);
        let astray = |node: &usize| story.is_astray(net, *node);
        for node in (0..net.len()).filter(|node| net.is_up(*node) && !astray(node)) {
            let cluster = story.cluster(net, node);
            for gid in [net.group(), "all"] {
                let Ok(view) = net.node(node).group(gid).members().await else { continue };
                let strange = |other: &usize| story.cluster(net, *other) != cluster && !astray(other);
                let strangers = everyone.iter().filter(|(other, _)| strange(other));
                for (other, nid) in strangers {
                    if view.contains(nid) {
                        return Some(format!("in {gid}, node {node} holds node {other}, which is of another cluster"));
                    }
                }
            }
        }
        None
    })
}

/// Each node's load, of those that are up.
async fn load_of(net: &Net, node: usize) -> Result<Load, String> {
    net.node(node).status().load().await.map_err(|why| format!("node {node} does not say how full it is: {why}"))
}

fn overfull<'a>(net: &'a Net, _: &'a Story) -> Found<'a> {
    Box::pin(async move {
        for node in (0..net.len()).filter(|&node| net.is_up(node)) {
            let load = match load_of(net, node).await {
                Ok(load) => load,
                Err(why) => return Some(why),
            };
            if let Some((name, fill)) = load.iter().find(|(_, fill)| fill.held > fill.most) {
                return Some(format!("node {node} has {} {name}, of at most {}", fill.held, fill.most));
            }
        }
        None
    })
}

/// What empties once nothing happens any more.
const EMPTIES: [&str; 7] = [
    "calls",
    "relayedCalls",
    "gossip.ownInFlight",
    "gossip.queued",
    "gossip.waiting",
    "gossip.wanted",
    "membership.relays",
];

fn unfinished<'a>(net: &'a Net, _: &'a Story) -> Found<'a> {
    Box::pin(remaining(net, &EMPTIES))
}

fn unsent<'a>(net: &'a Net, _: &'a Story) -> Found<'a> {
    Box::pin(remaining(net, &["gossip.requests"]))
}

/// What of these there is at a node, of the nodes that are up.
async fn remaining(net: &Net, names: &[&str]) -> Option<String> {
    for node in (0..net.len()).filter(|&node| net.is_up(node)) {
        let load = match load_of(net, node).await {
            Ok(load) => load,
            Err(why) => return Some(why),
        };
        for name in names {
            match load.get(*name) {
                Some(fill) if fill.held > 0 => {
                    return Some(format!("node {node} has {} {name}, where none would be left", fill.held));
                }
                // a node without company has no gossip, one that takes no part no membership
                Some(_) => {}
                None if name.contains('.') => {}
                None => return Some(format!("node {node} does not say how many {name} it has")),
            }
        }
    }
    None
}

/// What came of checks.
#[derive(Default)]
pub(super) struct Tried {
    pub checked: u64,
    pub violations: Vec<Violation>,
    /// One is broken for good.
    pub hopeless: bool,
}

impl Tried {
    async fn one(&mut self, check: &Check, net: &Net, story: &Story) -> Option<Violation> {
        self.checked += 1;
        let what = (check.find)(net, story).await?;
        self.hopeless |= check.for_good;
        Some(Violation { check: check.name, what })
    }

    /// Whether all hold; those after one that does not are not made.
    pub(crate) async fn holds(&mut self, checks: &[&Check], net: &Net, story: &Story) -> bool {
        for check in checks {
            if self.one(check, net, story).await.is_some() {
                return false;
            }
        }
        true
    }

    /// Keeps what does not hold.
    pub(crate) async fn all<'a>(&mut self, checks: impl Iterator<Item = &'a &'a Check>, net: &Net, story: &Story) {
        for check in checks {
            let violation = self.one(check, net, story).await;
            self.violations.extend(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Simulation, story::Told};

    #[test]
    fn what_is_to_come_to_an_end_is_something_that_nodes_tell() {
        let settings = chinwag_actors::settings::Settings::default();
        let loads = Simulation::new(1).settings(settings).run(|net| async move {
            net.tell(0, "news");
            net.advance(Duration::from_millis(2_000)).await;
            load_of(&net, 0).await.unwrap()
        });
        let load = loads.unwrap();
        for name in EMPTIES.iter().chain(&["gossip.requests"]) {
            assert!(load.contains_key(*name), "{name}: {:?}", load.keys());
        }
    }

    #[test]
    fn a_message_that_never_left_is_found() {
        let found = Simulation::new(1).run(|net| async move {
            let told = |message: &str, node, life| {
                let mut story = Story::new(2, &[], false, BTreeSet::new());
                story.told.push(Told { message: message.to_owned(), node, life, at: Duration::ZERO });
                story
            };
            net.tell(0, "news");
            net.advance(Duration::from_millis(100)).await;
            let said = unsaid(&net, &told("news", 0, 0)).await;
            let unsaid = async |what| unsaid(&net, &what).await;
            // another's, and a later life's, are not its own
            (said, unsaid(told("nothing~~~", 0, 0)).await, unsaid(told("nothing", 1, 3)).await)
        });
        let never = "node 0 was to start \"nothing\" and has not heard it".to_owned();
        assert_eq!(found.unwrap(), (None, Some(never), None));
    }

    #[test]
    fn what_joins_and_puts_were_to_bring_about_is_found_missing() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(3).beside([1]).settings(watched).run(|net| async move {
            net.advance(Duration::from_millis(3_000)).await;
            let mut story = Story::new(3, &[1], true, BTreeSet::new());
            let before = (puts(&net, &story).await, joins(&net, &story).await, apart(&net, &story).await);
            // none of it was done
            story.put(&net, "g", 1, &[1, 2]);
            story.join(&net, 3, &[2], false);
            let missing = (puts(&net, &story).await, joins(&net, &story).await);
            net.node(1).groups().put("g", [net.addr(1), net.addr(3)]).await.unwrap();
            let other = puts(&net, &story).await;
            let story = Story::new(3, &[1], true, BTreeSet::new());
            (before, missing, other, apart(&net, &story).await)
        });
        let (before, missing, other, apart) = found.unwrap();
        assert_eq!(before, (None, None, None));
        assert_eq!(missing.0.unwrap(), "node 1 does not know the group g, which was put there");
        assert_eq!(missing.1.unwrap(), "in all, node 3 misses node 0; node 3 joined through node 2");
        assert_eq!(other.unwrap(), "in g, node 1 misses node 2, which is alive");
        assert_eq!(apart.unwrap(), "in all, node 1 holds node 3, which is of another cluster");
    }

    #[test]
    fn a_group_that_a_restarted_node_does_not_know_is_found_if_a_member_could_notice() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(3).settings(watched).run(|net| async move {
            net.advance(Duration::from_millis(3_000)).await;
            let story = || {
                let mut story = Story::new(3, &[], true, BTreeSet::new());
                // it was not done
                story.put(&net, "g", 1, &[1, 2]);
                story
            };
            let (unnoticed, mut noticed) = (story(), story());
            noticed.starts_anew(&net, 2).await;
            let before = forgotten(&net, &noticed).await;
            net.restart(2);
            (before, forgotten(&net, &unnoticed).await, forgotten(&net, &noticed).await)
        });
        let (before, unnoticed, noticed) = found.unwrap();
        assert_eq!((before, unnoticed), (None, None));
        assert_eq!(noticed.unwrap(), "node 2 was restarted and does not know g as node 1 does");
    }

    #[test]
    fn a_node_whose_seed_is_dead_may_be_in_either_cluster() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(3).beside([2]).settings(watched).run(|net| async move {
            let mut story = Story::new(3, &[2], true, BTreeSet::new());
            net.join(2, &[3], &[]);
            story.join(&net, 2, &[3], false);
            let before = (story.is_astray(&net, 2), story.together(&net, 2, 4), story.together(&net, 2, 0));
            net.crash(3);
            let after = (story.is_astray(&net, 2), story.together(&net, 2, 4), story.together(&net, 2, 0));
            (before, after)
        });
        assert_eq!(found.unwrap(), ((false, true, false), (true, false, false)));
    }

    #[test]
    fn clusters_are_sure_to_be_one_if_whoever_merged_them_lived_to_tell() {
        let watched = chinwag_actors::settings::Settings::default();
        let found = Simulation::new(1).nodes(2).beside([1, 1]).settings(watched).run(|net| async move {
            let mut story = Story::new(2, &[1, 1], true, BTreeSet::new());
            story.put(&net, "g", 0, &[0, 2]);
            story.put(&net, "g", 1, &[1, 3]);
            let together = |story: &Story| [story.together(&net, 1, 2), story.together(&net, 0, 3)];
            let mut later = story.clone();
            let before = together(&story);
            story.end(&net, 0);
            net.advance(Duration::from_secs(10)).await;
            later.end(&net, 0);
            (before, together(&story), together(&later))
        });
        assert_eq!(found.unwrap(), ([true, true], [false, true], [true, true]));
    }

    #[test]
    fn a_dead_member_that_another_has_removed_is_excused_only_where_liveness_is_no_news() {
        let dead = Simulation::new(1).run(|net| async move { net.addr(1).nid() }).unwrap();
        let of = |status| BTreeMap::from([(dead, status)]);
        let excused = Simulation::new(1).nodes(3).beside([1]).run(|net| async move {
            use Status::{Alive, Failed, Pending, Unreachable};
            let excuses = |one: Status, two: Status, demands: &[Demand]| {
                let story = Story::new(3, &[1], true, demands.iter().copied().collect());
                // what a node of another cluster knows does not matter
                let standings = Standings([(0, of(one)), (2, of(two)), (3, of(Failed))].into());
                standings.excuses(&net, &story, 0, &dead)
            };
            [
                excuses(Alive, Failed, &[]),
                excuses(Pending, Failed, &[]),
                excuses(Pending, Failed, &[Demand::Liveness]),
                excuses(Pending, Pending, &[Demand::Liveness]),
                excuses(Unreachable, Failed, &[]),
                excuses(Unreachable, Pending, &[Demand::Liveness]),
            ]
        });
        assert_eq!(excused.unwrap(), [false, true, false, true, true, true]);
    }
}
