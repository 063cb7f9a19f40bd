//! Coming in: a newcomer and a seed.
//!
//! ```text
//! newcomer -- sync(hashes of my view, joining, the groups I was started in) --> seed
//! newcomer <----------------------------------------------- ping ------------- seed    it must answer where it says it is
//!   seed: the newcomer is a member, and is added to those groups here; the others hear of both by gossip
//! newcomer <-- a page of its view --------------------------------------------- seed    and so on, until both agree
//! newcomer -- listing ---> seed, page by page: every group that lists the newcomer
//! ```
//!
//! Seeds are tried in turn, and each address that a name stands for; a seed that does not answer is named in the log.
//! When none answers, all are tried again, after a pause that doubles, until one does. A node that has become a member
//! by other means meanwhile joins through any member, and goes on trying its seeds: the members that it knows may have
//! joined through it. A group that the seed does not know is begun, so that the next newcomer finds the one before. A
//! mute seed (a node of the reference) is asked for `all` and for the groups by the calls that it knows, and then the
//! node joins through one of its members that does take part.
//!
//! A node that was restarted and knows nobody is *welcomed* by the members that notice it. It joins through the first of them,
//! and asks the others for the groups that list it and that it does not know yet.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::{Context, Handler, Message, MessageResult};
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind},
    group::{Group, GroupConfig},
    identity::{Gid, Nid, NodeAddr},
    peer::{Answer, Body, Listed, Listing, Outgoing, Part, Place, Reply},
    swim::Outcome,
    value::Value,
};
use rand::RngExt as _;

use super::{
    actor::{Announce, Link, Membership},
    comparing::{EndSync, Merging, Syncing, TakePage, compared},
    roster::{Shared, Task},
    wire,
};
use crate::{
    messages::{Enter, Merge},
    settings::Seed,
    state::NodeState,
};

/// How long a seed is given to answer.
const SEED_TIME: Duration = Duration::from_secs(2);

/// The pause after no seed has answered; it doubles from there. A guess.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, so that nodes that were started before their seed find it soon after it is up.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How often a node tries seeds that do not answer before it may become a member of a cluster that they do not belong to. A
/// guess: some thirty seconds, and with 40% of all requests lost, one in 1,500 tries fails so often.
const FAITHFUL_ROUNDS: u32 = 8;

/// How often a node that still looks for its seeds asks members that welcome it. A guess.
const HOSTS_PAUSE: Duration = Duration::from_secs(1);

/// How many members that know groups which list this node wait to be asked, at most. A guess; each page names many.
const MAX_HOSTS: usize = 64;

/// How often each is asked, at most.
const TRIES: u32 = 5;

/// How many of those are asked, at most, that a seed knows which takes no part itself. A guess.
const MAX_TRIED: usize = 8;

/// Brings this node in.
async fn run(state: Rc<NodeState>, link: Link, roster: Shared) {
    let settings = &state.settings.membership;
    for gid in &settings.groups {
        // alone in it, until a seed says who else is
        if let Err(why) = link.put_group(gid, &state.me).await {
            log::error!(target: "chinwag::membership", "this node cannot be in group {gid}: {why}");
        }
    }
    if settings.seeds.is_empty() {
        return;
    }
    let (mut pause, mut rounds, mut met) = (Pause::default(), 0, false);
    loop {
        let (mut themselves, mut silent) = (0, 0);
        // a node that has members does without its seeds, and nobody has to do anything about them
        let level = if met { log::Level::Debug } else { log::Level::Warn };
        for (number, seed) in settings.seeds.iter().enumerate() {
            match through(&state, &link, seed).await {
                Ok(members) => {
                    roster.borrow_mut().welcomed = true;
                    roster.borrow_mut().swim.expect_to_join(false);
                    log::info!(target: "chinwag::membership", "joined {members} others through {seed}");
                    return ask_hosts(&state, &link, &roster).await;
                }
                Err(Failure::Itself) => themselves += 1,
                Err(Failure::Other(why)) => {
                    silent += usize::from(!why.is_refusal());
                    let next = settings.seeds.get(number + 1);
                    let next = next.map_or_else(String::new, |next| format!("; trying {next}"));
                    log::log!(target: "chinwag::membership", level, "cannot join through {seed}: {why}{next}");
                }
            }
        }
        // From then on the node accepts any cluster. Where nobody listens at the seeds' addresses there is no cluster to
        // join, but a seed that is silent may answer the next attempt.
        rounds += 1;
        let faithful = silent > 0 && rounds < FAITHFUL_ROUNDS;
        if !faithful {
            roster.borrow_mut().swim.expect_to_join(false);
        }
        if themselves == settings.seeds.len() {
            log::info!(target: "chinwag::membership", "every seed is this node itself: it waits for others to join");
            return;
        }
        let wait = pause.next(&state);
        let again = wait.as_millis();
        log::log!(target: "chinwag::membership", level, "no seed answered; all are tried again in {again} ms");
        rest(&state, &link, &roster, wait).await;
        // It may have become a member by other means: then any member can tell it what a seed would. But all that it knows may
        // have joined through this node itself, so the seeds are tried on.
        if !met
            && !faithful
            && let Some(member) = through_any(&state, &link, Asked::Joins).await
        {
            met = true;
            roster.borrow_mut().welcomed = true;
            log::info!(target: "chinwag::membership", "no seed answered; joined through {member}, which was met meanwhile; the seeds are tried on");
        }
    }
}

/// Waits, and meanwhile asks members that welcome this node for its groups, if it has joined through another already.
async fn rest(state: &NodeState, link: &Link, roster: &Shared, wait: Duration) {
    let end = state.now() + wait;
    while state.now() < end {
        if roster.borrow().welcomed {
            ask_hosts(state, link, roster).await;
        }
        state.clock.sleep(end.saturating_sub(state.now()).min(HOSTS_PAUSE)).await;
    }
}

/// How long a node waits before it tries again.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Pause {
        Pause(FIRST_PAUSE)
    }
}

impl Pause {
    /// The next pause: twice as long as the last one, and a little more or less, so that nodes do not fall into step.
    fn next(&mut self, state: &NodeState) -> Duration {
        let pause = self.0.mul_f64(state.chance(|chance| chance.random_range(0.75..1.25)));
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// Joins through one of the members that this node has met. Answers which.
async fn through_any(state: &NodeState, link: &Link, asked: Asked) -> Option<NodeAddr> {
    let members = state.groups.borrow().get(&Gid::all()).unwrap_or_default();
    let members = members.iter().map(|(_, member)| &member.node).filter(|member| !member.is_same_node(&state.me));
    for member in members.take(MAX_TRIED) {
        if with(state, link, member, asked).await.is_ok() {
            return Some(member.clone());
        }
    }
    None
}

/// Asks for the groups that list this node those members that know some which it does not know.
async fn ask_hosts(state: &NodeState, link: &Link, roster: &Shared) {
    loop {
        let next = roster.borrow_mut().hosts.pop();
        let Some(host) = next else { return };
        for _ in 0..TRIES {
            match listing(state, link, &host, Asked::Welcomed).await {
                Ok(()) => break,
                Err(why) => log::debug!(target: "chinwag::membership", "{host} welcomed this node, but: {why}"),
            }
            state.clock.sleep(FIRST_PAUSE).await;
        }
    }
}

/// Joins through the member that has welcomed this node, or through another that it has met meanwhile. Answers whether the
/// first has still to be asked for the groups that it knows.
async fn through_host(state: &NodeState, link: &Link, host: &NodeAddr) -> bool {
    let mut pause = Pause::default();
    loop {
        match with(state, link, host, Asked::Welcomed).await {
            Ok(others) => {
                log::info!(target: "chinwag::membership", "welcomed by {host}, with {others} others");
                return false;
            }
            Err(why) => log::debug!(target: "chinwag::membership", "{host} welcomed this node, but: {why}"),
        }
        state.clock.sleep(pause.next(state)).await;
        if let Some(member) = through_any(state, link, Asked::Welcomed).await {
            log::info!(target: "chinwag::membership", "welcomed by {host}, joined through {member}");
            return !member.is_same_node(host);
        }
    }
}

/// Why a member is asked which groups list this node.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// This node joins: what both know of a group is brought together.
    Joins,
    /// This node was restarted, and a member has noticed.
    Welcomed,
}

/// Why joining through a seed failed.
enum Failure {
    /// The seed is this node.
    Itself,
    Other(CallError),
}

impl Membership {
    /// Brings this node in, in a task of its own.
    pub(super) fn begin_joining(&self) {
        let task = actix::spawn(run(self.state.clone(), self.link.clone(), self.roster.clone()));
        self.roster.borrow_mut().joining = Some(Task(task.abort_handle()));
    }

    /// A member has noticed that this node was restarted. It knows groups which list this node, those named among them:
    /// with others that welcome it, it may have none in common.
    pub(super) fn welcomed(&self, by: NodeAddr, groups: &[Gid]) {
        let mut roster = self.roster.borrow_mut();
        let lacks = groups.iter().any(|gid| self.state.groups.borrow().entry(gid).is_err());
        let joins = roster.joining.as_ref().is_some_and(|task| !task.0.is_finished());
        // one that joins through a seed is told as much
        let first = !std::mem::replace(&mut roster.welcomed, true) && !joins;
        if lacks && !first && roster.hosts.len() < MAX_HOSTS && !roster.hosts.contains(&by) {
            roster.hosts.push(by.clone());
        }
        if joins || !(first || lacks) {
            return;
        }
        let (state, link, shared) = (self.state.clone(), self.link.clone(), Rc::downgrade(&self.roster));
        let task = actix::spawn(async move {
            let asks = first && through_host(&state, &link, &by).await;
            if let Some(roster) = shared.upgrade() {
                if asks {
                    roster.borrow_mut().hosts.push(by);
                }
                ask_hosts(&state, &link, &roster).await;
            }
        });
        roster.joining = Some(Task(task.abort_handle()));
    }
}

/// Whether a newcomer has answered at the address that it states, in the life that it states.
///
/// # Errors
/// Why it may not join.
pub(super) fn answers_there(newcomer: &NodeAddr, life: u64, reply: &Reply) -> Result<(), CallError> {
    let unreachable = |why: String| CallError::new(ErrorKind::Unreachable, why);
    match (wire::pinged(reply), reply) {
        (Outcome::Answered(stated), _) if stated.incarnation.life == life => Ok(()),
        (Outcome::Answered(_), Ok(_)) => Err(wire::address_taken(format!(
            "another node answers at {newcomer}; --advertise must name this node's own address"
        ))),
        (_, Err(why)) => Err(unreachable(format!(
            "nobody answers at {newcomer}, the address that this node states ({why}); --advertise must name one that others reach"
        ))),
        (_, Ok(_)) => Err(unreachable(format!("what answers at {newcomer} is no node of this kind"))),
    }
}

/// Joins through one seed, at the first of its addresses that answers. Answers how many others it knows.
async fn through(state: &NodeState, link: &Link, seed: &Seed) -> Result<usize, Failure> {
    let addresses = state.transport.resolve(seed.host(), seed.port()).await.map_err(Failure::Other)?;
    let mut outcome = Err(Failure::Itself);
    for address in addresses.iter().filter(|address| !address.is_same_node(&state.me)) {
        outcome = at(state, link, address).await.map_err(Failure::Other);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn at(state: &NodeState, link: &Link, seed: &NodeAddr) -> Result<usize, CallError> {
    match with(state, link, seed, Asked::Joins).await {
        Err(why) if why.lacks_method() => through_mute(state, link, seed).await,
        joined => joined,
    }
}

/// Joins through a node that takes part.
async fn with(state: &NodeState, link: &Link, seed: &NodeAddr, asked: Asked) -> Result<usize, CallError> {
    let Syncing { mut sync, mut request } = link.ask(BeginJoining(seed.key())).await?;
    loop {
        let answer = compared(state.ask(seed, request, SEED_TIME).await)?;
        let from = answer.from.as_ref().ok_or_else(|| CallError::other("the answer has no from"))?;
        if from.is_same_node(&state.me) {
            return Err(CallError::new(ErrorKind::Unreachable, format!("{seed} is this node itself")));
        }
        match link.ask(TakePage { from: from.key(), sync, answer, merge: Merging::Joins }).await?? {
            Some(next) => Syncing { sync, request } = next,
            None => break,
        }
    }
    link.ask(EndSync(seed.key())).await?;
    listing(state, link, seed, asked).await?;
    // by then the view has been taken in
    let enter = Enter { gid: Gid::all(), through: Some(seed.clone()) };
    link.caller.doors().gossip.deliver(enter).await?;
    Ok(others(state))
}

/// Puts the groups that list this node, as a member knows them.
async fn listing(state: &NodeState, link: &Link, seed: &NodeAddr, asked: Asked) -> Result<(), CallError> {
    let started_in = &state.settings.membership.groups;
    let wants = |gid: &Gid| match asked {
        Asked::Joins => true,
        // what it has been told of a group since its restart, by an operator most likely, stands
        Asked::Welcomed => started_in.contains(gid) || state.groups.borrow().entry(gid).is_err(),
    };
    let mut after: Option<Place> = None;
    let mut gathered: Option<Part> = None;
    loop {
        let request = link.ask(BeginListing { after: after.clone() }).await?;
        let Answer::Listed(Listed { groups, next }) = state.ask(seed, request, SEED_TIME).await? else {
            return Err(CallError::new(ErrorKind::BadAnswer, format!("{seed} answered something else")));
        };
        for part in groups {
            let goes_on = gathered.as_ref().is_some_and(|whole| whole.config.gid == part.config.gid);
            if !goes_on && !wants(&part.config.gid) {
                continue;
            }
            match &mut gathered {
                Some(whole) if goes_on => {
                    for (_, member) in part.members.iter() {
                        whole.members.add(member.node.clone());
                    }
                }
                _ => {
                    if let Some(whole) = gathered.replace(part) {
                        put(state, link, whole, seed).await?;
                    }
                }
            }
        }
        // a place that does not lead on would go round in a circle
        if next.is_none() || next == after {
            break;
        }
        after = next;
    }
    if let Some(whole) = gathered {
        put(state, link, whole, seed).await?;
    }
    Ok(())
}

fn others(state: &NodeState) -> usize {
    state.groups.borrow().get(&Gid::all()).map_or(0, |all| all.len() - 1)
}

/// Puts a group that a seed knows, with those that are in it here already. Where both know members that the other did
/// not, as others came in through this node before it had come in itself, each side is told of the other's. Members that are
/// gone at the moment come back into it here as they do at the seed.
async fn put(state: &NodeState, link: &Link, part: Part, seed: &NodeAddr) -> Result<(), CallError> {
    let Part { config, members: theirs, gone } = part;
    let gid = config.gid.clone();
    let message = Merge { config, members: theirs.clone(), through: Some(seed.clone()) };
    let (mine, config) = link.caller.doors().groups.deliver(message).await??;
    if !gone.is_empty() {
        link.ask(Expect { config, gone }).await?;
    }
    let of_one = |one: &Group, other: &Group| -> Vec<NodeAddr> {
        let alone = one.iter().filter(|(_, member)| member.nid != state.nid && !other.contains(&member.nid));
        alone.map(|(_, member)| member.node.clone()).collect()
    };
    let only_here = of_one(&mine, &theirs);
    if !gid.is_all() && !only_here.is_empty() {
        let nodes = only_here.into_iter().chain(of_one(&theirs, &mine)).collect();
        link.ask(Announce { gid, nodes }).await?;
    }
    Ok(())
}

/// Joins through a node that takes no part. It tells nobody of the newcomer, so one of those that it knows is asked to.
async fn through_mute(state: &NodeState, link: &Link, seed: &NodeAddr) -> Result<usize, CallError> {
    let asked = &state.settings.membership.groups;
    let mut known = Group::default();
    for gid in std::iter::once(&Gid::all()).chain(asked) {
        let add = vec![Value::from(gid.as_str()), NodeAddr::new(state.me.ip(), state.me.port()).to_value()];
        let added = state.call(seed, Call::new(Gid::local(), "groups", "add", add), SEED_TIME).await;
        let members = match added {
            Ok(members) => Group::from_peer(&members.into_value())?,
            Err(why) if gid.is_all() => return Err(why),
            Err(why) => {
                log::warn!(target: "chinwag::membership", "{seed} does not add this node to {gid}: {why}");
                continue;
            }
        };
        for (_, member) in members.iter() {
            known.add(member.node.clone());
        }
        let part = Part { config: GroupConfig::new(gid.clone()), members, gone: Group::default() };
        put(state, link, part, seed).await?;
    }
    link.add_to_group(&Gid::all(), seed).await?;
    let candidates = known
        .iter()
        .map(|(_, member)| &member.node)
        .filter(|other| !other.is_same_node(&state.me) && !other.is_same_node(seed));
    for other in candidates.take(MAX_TRIED) {
        match with(state, link, other, Asked::Joins).await {
            Ok(_) => break,
            Err(why) => {
                log::debug!(target: "chinwag::membership", "{other}, known by {seed}, does not take it in: {why}")
            }
        }
    }
    Ok(others(state))
}

/// Asks for the first request of a comparison with a seed.
#[derive(Debug, Message)]
#[rtype(result = "Syncing")]
struct BeginJoining(Nid);

impl Handler<BeginJoining> for Membership {
    type Result = MessageResult<BeginJoining>;

    fn handle(&mut self, BeginJoining(seed): BeginJoining, _: &mut Context<Membership>) -> Self::Result {
        let mut roster = self.roster.borrow_mut();
        roster.seed = Some(seed);
        let sync = roster.swim.begin_joining(&seed);
        let groups = self.state.settings.membership.groups.clone();
        MessageResult(self.syncing(&roster, sync, Some(0), Some(groups)))
    }
}

/// Asks for the request of a page of a listing.
#[derive(Debug, Message)]
#[rtype(result = "Outgoing")]
struct BeginListing {
    after: Option<Place>,
}

impl Handler<BeginListing> for Membership {
    type Result = MessageResult<BeginListing>;

    fn handle(&mut self, BeginListing { after }: BeginListing, _: &mut Context<Membership>) -> Self::Result {
        MessageResult(self.request(&self.roster.borrow(), Body::Listing(Listing { after })))
    }
}

/// Members of a group are gone, says a member that has told this node of the group.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Expect {
    /// The group as it was put for this.
    config: Arc<GroupConfig>,
    gone: Group,
}

impl Handler<Expect> for Membership {
    type Result = ();

    fn handle(&mut self, Expect { config, gone }: Expect, context: &mut Context<Membership>) {
        let mut groups = self.state.groups.borrow_mut();
        self.roster.borrow_mut().expect(&config, &gone, &self.state.nid, &mut groups);
        drop(groups);
        self.drive([], context);
    }
}

/// Adds a newcomer to the groups that it was started in. The others hear of them with the news of the newcomer.
pub(super) async fn admitted(
    state: &NodeState,
    link: &Link,
    newcomer: NodeAddr,
    asked: Vec<Gid>,
) -> Result<(), CallError> {
    let nid = newcomer.key();
    for gid in asked.into_iter().filter(|gid| !gid.is_local() && !gid.is_all()) {
        let known = state.groups.borrow().get(&gid).map(|members| members.contains(&nid));
        match known {
            Ok(true) => {}
            Ok(false) => link.add_to_group(&gid, &newcomer).await?,
            Err(_) => link.put_group(&gid, &newcomer).await?,
        }
        link.ask(Announce { gid, nodes: vec![newcomer.clone()] }).await?;
    }
    Ok(())
}
