//! Coming in: a newcomer and a seed.
//!
//! ```text
//! newcomer -- exchange(my view, joining, the groups I am meant for) --> seed
//!   seed: the newcomer is a member; it is added to those groups here, and by gossip wherever they are known
//!   seed: whoever else is there hears of it by gossip
//! newcomer <-- its view, and every group that lists the newcomer ------ seed
//! ```
//!
//! Seeds are tried in turn, and each address that a name stands for; one that does not answer is named in the log.
//! When none does, all are tried again, after a pause that doubles. A group that the seed does not know it begins, so
//! that the next newcomer finds the one before. A seed that takes no part (a node of the reference) is asked for `all`
//! and for the groups by the calls that it knows, and then one of its members is joined through that does take part.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use chinwag_protocol::{
    call::{Call, CallError, ErrorKind},
    group::{Group, GroupConfig},
    identity::{Gid, NodeAddr},
    value::Value,
};
use rand::RngExt as _;

use super::{Announce, Seed, Shared, answering::exchanged, send, wire};
use crate::{
    handle::Node,
    home::Home,
    local::{gossip::Enter, groups::Merge},
    service::lacks_method,
};

/// How long a seed is given to answer.
const SEED_TIME: Duration = Duration::from_secs(2);

/// The pause after no seed has answered; it doubles from there. A guess.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, so that nodes that were started before their seed find it soon after it is up.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How many of those are asked, at most, that a seed knows which takes no part itself. A guess.
const MAX_TRIED: usize = 8;

/// Most groups that a newcomer may ask for.
const MAX_GROUPS_ASKED: usize = 256;

/// Brings this node in.
pub(super) async fn run(home: Rc<Home>, roster: Shared) {
    let Ok(node) = home.node().map(Node::on_its_own) else { return };
    let settings = &home.settings.membership;
    for gid in &settings.groups {
        // alone in it, until a seed says who else is
        if let Err(why) = node.groups().put(gid.clone(), [home.me.clone()]).await {
            log::error!(target: "chinwag::membership", "this node cannot be in group {gid}: {why}");
        }
    }
    if settings.seeds.is_empty() {
        return;
    }
    let mut pause = FIRST_PAUSE;
    loop {
        for (number, seed) in settings.seeds.iter().enumerate() {
            match through(&home, &roster, &node, seed).await {
                Ok(members) => {
                    log::info!(target: "chinwag::membership", "joined {members} others through {seed}");
                    return;
                }
                Err(why) => {
                    let next = settings.seeds.get(number + 1);
                    let next = next.map_or_else(String::new, |next| format!("; trying {next}"));
                    log::warn!(target: "chinwag::membership", "cannot join through {seed}: {why}{next}");
                }
            }
        }
        let factor = home.chance(|chance| chance.random_range(0.75..1.25));
        let wait = pause.mul_f64(factor);
        log::warn!(target: "chinwag::membership", "no seed answered; all are tried again in {} ms", wait.as_millis());
        home.clock.sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Joins through one seed, at the first of its addresses that answers. Answers how many others it knows.
async fn through(home: &Home, roster: &Shared, node: &Node, seed: &Seed) -> Result<usize, CallError> {
    let addresses = home.transport.resolve(seed.host(), seed.port()).await?;
    let mut outcome = Err(CallError::new(ErrorKind::Unreachable, "it has no address but this node's own"));
    for address in addresses.iter().filter(|address| address.nid() != home.nid) {
        outcome = at(home, roster, node, address).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn at(home: &Home, roster: &Shared, node: &Node, seed: &NodeAddr) -> Result<usize, CallError> {
    match with(home, roster, node, seed).await {
        Err(why) if lacks_method(&why) => through_mute(home, roster, node, seed).await,
        joined => joined,
    }
}

/// Joins through a node that takes part.
async fn with(home: &Home, roster: &Shared, node: &Node, seed: &NodeAddr) -> Result<usize, CallError> {
    let asked = &home.settings.membership.groups;
    let known = |roster: &Shared| roster.borrow().swim.peers().map(|(nid, _, _)| nid).collect::<BTreeSet<_>>();
    let said = known(roster);
    let call = {
        let roster = roster.borrow();
        let incarnation = roster.swim.incarnation();
        let view = roster.swim.view(&seed.nid());
        let find = |nid: &_| if *nid == home.nid { Some(home.me.clone()) } else { roster.address(nid).cloned() };
        let view = view.iter().filter_map(|update| wire::update(update, find)).collect();
        wire::exchange(&home.me, incarnation, view, Some(asked))
    };
    let answer = home.ask(seed, call, SEED_TIME).await?.into_value();
    let (from, take) = exchanged(&answer)?;
    if from.nid() == home.nid {
        return Err(CallError::new(ErrorKind::Unreachable, format!("{seed} is this node itself")));
    }
    let groups = wire::read_groups(&answer)?;
    let named: BTreeSet<_> = take.addresses.iter().map(|(nid, _)| *nid).collect();
    // those who came in through this node meanwhile: the seed has not heard of them
    let unsaid = known(roster).iter().any(|nid| !said.contains(nid) && !named.contains(nid));
    send(node, take).await?;
    for (config, members) in groups {
        put(home, node, config, members, seed).await?;
    }
    // by then the view has been taken in
    let enter = Enter { gid: Gid::all(), through: Some(seed.clone()) };
    node.inner().gossip.ask(enter).await?;
    if unsaid {
        return Box::pin(with(home, roster, node, seed)).await;
    }
    Ok(others(home))
}

fn others(home: &Home) -> usize {
    home.groups.borrow().get(&Gid::all()).map_or(0, |all| all.len() - 1)
}

/// Puts a group that a seed knows, with those that are in it here already. Where both know members that the other did
/// not, as others came in through this node before it had come in itself, each side is told of the other's.
async fn put(home: &Home, node: &Node, config: GroupConfig, theirs: Group, seed: &NodeAddr) -> Result<(), CallError> {
    let gid = config.gid.clone();
    let message = Merge { config, members: theirs.clone(), through: Some(seed.clone()) };
    let mine = node.tell(&node.inner().groups, message).await??;
    let of_one = |one: &Group, other: &Group| -> Vec<NodeAddr> {
        let alone = one.iter().filter(|(_, member)| member.nid != home.nid && !other.contains(&member.nid));
        alone.map(|(_, member)| member.node.clone()).collect()
    };
    let only_here = of_one(&mine, &theirs);
    if !gid.is_all() && !only_here.is_empty() {
        let nodes = only_here.into_iter().chain(of_one(&theirs, &mine)).collect();
        send(node, Announce { gid, nodes }).await?;
    }
    Ok(())
}

/// Joins through a node that takes no part. It tells nobody of the newcomer, so one of those that it knows is asked to.
async fn through_mute(home: &Home, roster: &Shared, node: &Node, seed: &NodeAddr) -> Result<usize, CallError> {
    let asked = &home.settings.membership.groups;
    let mut known = Group::default();
    for gid in std::iter::once(&Gid::all()).chain(asked) {
        let add = vec![Value::from(gid.as_str()), NodeAddr::new(home.me.ip(), home.me.port()).to_value()];
        let added = home.ask(seed, Call::new(Gid::local(), "groups", "add", add), SEED_TIME).await;
        let members = match added {
            Ok(members) => Group::from_value(&members.into_value())?,
            Err(why) if gid.is_all() => return Err(why),
            Err(why) => {
                log::warn!(target: "chinwag::membership", "{seed} does not add this node to {gid}: {why}");
                continue;
            }
        };
        for (_, member) in members.iter() {
            known.add(member.node.clone());
        }
        put(home, node, GroupConfig::new(gid.clone()), members, seed).await?;
    }
    node.groups().add("all", seed.clone()).await?;
    let candidates = known
        .iter()
        .map(|(_, member)| &member.node)
        .filter(|other| other.nid() != home.nid && other.nid() != seed.nid());
    for other in candidates.take(MAX_TRIED) {
        match with(home, roster, node, other).await {
            Ok(_) => break,
            Err(why) => {
                log::debug!(target: "chinwag::membership", "{other}, known by {seed}, does not take it in: {why}")
            }
        }
    }
    Ok(others(home))
}

/// The groups that a newcomer is meant for.
pub(super) fn asked(argument: &Value) -> Result<Vec<Gid>, CallError> {
    let Some(groups) = argument.get("groups").and_then(Value::as_array) else { return Ok(Vec::new()) };
    let bad = |why: String| CallError::new(ErrorKind::BadArgument, why);
    if groups.len() > MAX_GROUPS_ASKED {
        return Err(bad(format!("a newcomer asks for at most {MAX_GROUPS_ASKED} groups, not {}", groups.len())));
    }
    let read = |gid: &Value| Gid::new(gid.as_str().unwrap_or_default()).map_err(|why| bad(why.to_string()));
    groups.iter().flatten().map(read).collect()
}

/// Adds a newcomer to the groups that it asks for, here and by gossip on their members. Answers every group that lists
/// it.
pub(super) async fn admitted(
    home: &Home,
    node: &Node,
    newcomer: NodeAddr,
    asked: Vec<Gid>,
) -> Result<Vec<Value>, CallError> {
    let nid = newcomer.nid();
    for gid in asked.into_iter().filter(|gid| !gid.is_local() && !gid.is_all()) {
        let known = home.groups.borrow().get(&gid).map(|members| members.contains(&nid));
        match known {
            Ok(true) => {}
            Ok(false) => drop(node.groups().add(gid.as_str(), newcomer.clone()).await?),
            Err(_) => drop(node.groups().put(gid.clone(), [newcomer.clone()]).await?),
        }
        send(node, Announce { gid, nodes: vec![newcomer.clone()] }).await?;
    }
    let groups = home.groups.borrow();
    let listing = groups.names().filter(|gid| !gid.is_all()).filter_map(|gid| groups.entry(gid).ok());
    let listing = listing.filter(|entry| entry.members.contains(&nid));
    Ok(listing.map(|entry| wire::group(&entry.config, &entry.members)).collect())
}
