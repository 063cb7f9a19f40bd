//! Joins a cluster through a seed.
//!
//! ```text
//! newcomer -- sync(hashes of its view, joining, the groups it was started in) --> seed
//! newcomer <-------------------------------------------------- ping ------------- seed   checks the newcomer's address
//!   seed: adds the newcomer as a member, and to those groups; gossip spreads the news of both
//! newcomer <-- a page of the seed's view ---------------------------------------- seed   and so on, until both views agree
//! newcomer -- listing --> seed, page by page: every group that lists the newcomer
//! ```
//!
//! Seeds are tried in turn, each at all addresses that its name resolves to. A seed that does not answer is logged. If none
//! answers, all are tried again after a pause, which doubles each time. A node that meanwhile becomes a member by other means
//! joins through any member, but continues to try its seeds, because the members that it knows may have joined through this
//! node itself. A group that the seed does not know is created there, so that the next newcomer finds the previous one. A
//! passive seed, such as a reference node, is asked for `all` and the groups by `groups.add`, and the node then joins
//! through an active member that the seed knows.
//!
//! A restarted node that knows no other is *welcomed* by the members that notice it. It joins through the first of them, and
//! asks the others for groups that list it and that it does not know yet.

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
    actor::{ActorHandle, Announce, Membership},
    comparing::{EndSync, MergeMode, SyncRequest, TakePage, compared},
    state::{SharedMembership, Task},
    wire,
};
use crate::{
    messages::{Enter, Merge},
    settings::Seed,
    state::NodeState,
};

/// How long a seed may take to answer.
const SEED_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause after the first round in which no seed answered. It doubles after each further round. A guess.
const MIN_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, so that a node that was started before its seed finds the seed soon after it starts.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// How many rounds a node waits for silent seeds before it accepts members of any cluster. A guess: about thirty
/// seconds. With 40% of all requests lost, one join in 1,500 fails that often.
const MAX_SEED_ROUNDS: u32 = 8;

/// How often a node that still tries its seeds asks the members that welcome it. A guess.
const WELCOMING_MEMBERS_INTERVAL: Duration = Duration::from_secs(1);

/// The most members that wait to be asked for groups. A guess; each page of a listing names many groups.
const MAX_WELCOMING_MEMBERS: usize = 64;

/// How often each of these members is asked at most.
const MAX_ATTEMPTS: u32 = 5;

/// The most members that are tried in place of a seed. A guess.
const MAX_CANDIDATES: usize = 8;

/// Joins the cluster, or retries until it has joined.
async fn join(state: Rc<NodeState>, handle: ActorHandle, membership: SharedMembership) {
    let settings = &state.settings.membership;
    for gid in &settings.groups {
        // The node is alone in the group until a seed names other members.
        if let Err(why) = handle.put_group(gid, &state.me).await {
            log::error!(target: "chinwag::membership", "this node cannot create the group {gid}: {why}");
        }
    }
    if settings.seeds.is_empty() {
        return;
    }
    let (mut backoff, mut rounds, mut is_member) = (Backoff::default(), 0, false);
    loop {
        let (mut own, mut silent) = (0, 0);
        // A node that has other members works without its seeds, so nobody has to act on their failure.
        let level = if is_member { log::Level::Debug } else { log::Level::Warn };
        for (number, seed) in settings.seeds.iter().enumerate() {
            match join_through_seed(&state, &handle, seed).await {
                Ok(members) => {
                    membership.borrow_mut().welcomed = true;
                    membership.borrow_mut().swim.expect_to_join(false);
                    log::info!(target: "chinwag::membership", "joined {members} other nodes through {seed}");
                    return ask_welcoming_members(&state, &handle, &membership).await;
                }
                Err(SeedError::IsSelf) => own += 1,
                Err(SeedError::Failed(why)) => {
                    silent += usize::from(!why.is_refusal());
                    let next = settings.seeds.get(number + 1);
                    let next = next.map_or_else(String::new, |next| format!("; trying {next}"));
                    log::log!(target: "chinwag::membership", level, "cannot join through {seed}: {why}{next}");
                }
            }
        }
        // A silent seed may answer the next attempt. If no process listens at the seeds' addresses, there is no cluster to
        // join, and the node accepts members of any cluster from now on.
        rounds += 1;
        let waits_for_seeds = silent > 0 && rounds < MAX_SEED_ROUNDS;
        if !waits_for_seeds {
            membership.borrow_mut().swim.expect_to_join(false);
        }
        if own == settings.seeds.len() {
            log::info!(target: "chinwag::membership", "every seed is this node itself: it waits for other nodes to join");
            return;
        }
        let wait = backoff.next(&state);
        let again = wait.as_millis();
        log::log!(target: "chinwag::membership", level, "no seed answered; all are tried again in {again} ms");
        wait_for_next_round(&state, &handle, &membership, wait).await;
        // A node that became a member by other means can learn from any member what a seed would tell it. It continues to try
        // its seeds, because all members that it knows may have joined through this node itself.
        if !is_member
            && !waits_for_seeds
            && let Some(member) = join_through_any_member(&state, &handle, ListingReason::Join).await
        {
            is_member = true;
            membership.borrow_mut().welcomed = true;
            log::info!(target: "chinwag::membership", "no seed answered; joined through the member {member}; the seeds are tried again");
        }
    }
}

/// Waits. Meanwhile asks the members that welcome this node for groups, if it has already joined through another member.
async fn wait_for_next_round(state: &NodeState, handle: &ActorHandle, membership: &SharedMembership, wait: Duration) {
    let end = state.now() + wait;
    while state.now() < end {
        if membership.borrow().welcomed {
            ask_welcoming_members(state, handle, membership).await;
        }
        state.clock.sleep(end.saturating_sub(state.now()).min(WELCOMING_MEMBERS_INTERVAL)).await;
    }
}

/// The pauses between attempts.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(MIN_PAUSE)
    }
}

impl Backoff {
    /// Returns the next pause. The pauses double, and are randomized so that nodes do not retry in step.
    fn next(&mut self, state: &NodeState) -> Duration {
        let pause = self.0.mul_f64(state.chance(|chance| chance.random_range(0.75..1.25)));
        self.0 = (self.0 * 2).min(MAX_PAUSE);
        pause
    }
}

/// Joins through one of the members that this node knows. Returns that member.
async fn join_through_any_member(state: &NodeState, handle: &ActorHandle, reason: ListingReason) -> Option<NodeAddr> {
    let members = state.groups.borrow().get(&Gid::all()).unwrap_or_default();
    let members = members.iter().map(|(_, member)| &member.node).filter(|member| !member.is_same_node(&state.me));
    for member in members.take(MAX_CANDIDATES) {
        if join_through_member(state, handle, member, Through::Member(reason)).await.is_ok() {
            return Some(member.clone());
        }
    }
    None
}

/// Asks the welcoming members for the groups that list this node and that it does not know.
async fn ask_welcoming_members(state: &NodeState, handle: &ActorHandle, membership: &SharedMembership) {
    loop {
        let next = membership.borrow_mut().welcoming_members.pop();
        let Some(member) = next else { return };
        for _ in 0..MAX_ATTEMPTS {
            match fetch_groups(state, handle, &member, ListingReason::Welcome).await {
                Ok(()) => break,
                Err(why) => {
                    log::debug!(target: "chinwag::membership", "{member} welcomed this node, but listed no groups: {why}")
                }
            }
            state.clock.sleep(MIN_PAUSE).await;
        }
    }
}

/// Joins through the member that welcomed this node, or through another known member. Returns whether the first member still
/// has to be asked for the groups that it knows.
async fn join_through_welcoming_member(state: &NodeState, handle: &ActorHandle, member: &NodeAddr) -> bool {
    let mut backoff = Backoff::default();
    loop {
        match join_through_member(state, handle, member, Through::Member(ListingReason::Welcome)).await {
            Ok(others) => {
                log::info!(target: "chinwag::membership", "joined {others} other nodes through {member}, which welcomed this node");
                return false;
            }
            Err(why) => {
                log::debug!(target: "chinwag::membership", "{member} welcomed this node, but joining failed: {why}")
            }
        }
        state.clock.sleep(backoff.next(state)).await;
        if let Some(other) = join_through_any_member(state, handle, ListingReason::Welcome).await {
            log::info!(target: "chinwag::membership", "{member} welcomed this node, which joined through {other}");
            return !other.is_same_node(member);
        }
    }
}

/// Why a member is asked for the groups that list this node.
#[derive(Clone, Copy, Debug)]
enum ListingReason {
    /// This node joins. The member's groups are merged with those of this node.
    Join,
    /// This node was restarted, and a member has noticed it. Groups that this node has been given since then stay as they are.
    Welcome,
}

/// The kind of node that this node joins through.
#[derive(Clone, Copy, Debug)]
enum Through {
    /// An operator named it, which is a request to merge the clusters.
    Seed,
    /// This node knows it as a member.
    Member(ListingReason),
}

impl Through {
    fn reason(self) -> ListingReason {
        match self {
            Through::Seed => ListingReason::Join,
            Through::Member(reason) => reason,
        }
    }

    fn merge_mode(self) -> MergeMode {
        match self {
            Through::Seed => MergeMode::Join,
            // The member may have been restarted and may have joined another cluster since, which is no reason to merge.
            Through::Member(_) => MergeMode::IfPut,
        }
    }
}

/// Why joining through a seed failed.
enum SeedError {
    /// The seed is this node.
    IsSelf,
    Failed(CallError),
}

impl Membership {
    /// Joins the cluster, in a task of its own.
    pub(super) fn begin_joining(&self) {
        let task = actix::spawn(join(self.state.clone(), self.handle.clone(), self.membership.clone()));
        self.membership.borrow_mut().joining = Some(Task(task.abort_handle()));
    }

    /// Handles a welcome: the member `by` has noticed that this node was restarted, and knows groups that list it. `groups`
    /// names some of them. Other members that welcome this node may know other groups.
    pub(super) fn welcomed(&self, by: NodeAddr, groups: &[Gid]) {
        let mut membership = self.membership.borrow_mut();
        let lacks_groups = groups.iter().any(|gid| self.state.groups.borrow().entry(gid).is_err());
        let is_joining = membership.joining.as_ref().is_some_and(|task| !task.0.is_finished());
        // A node that joins through a seed gets the groups from the seed.
        let first = !std::mem::replace(&mut membership.welcomed, true) && !is_joining;
        if lacks_groups
            && !first
            && membership.welcoming_members.len() < MAX_WELCOMING_MEMBERS
            && !membership.welcoming_members.contains(&by)
        {
            membership.welcoming_members.push(by.clone());
        }
        if is_joining || !(first || lacks_groups) {
            return;
        }
        let (state, handle, shared) = (self.state.clone(), self.handle.clone(), Rc::downgrade(&self.membership));
        let task = actix::spawn(async move {
            let ask_again = first && join_through_welcoming_member(&state, &handle, &by).await;
            if let Some(membership) = shared.upgrade() {
                if ask_again {
                    membership.borrow_mut().welcoming_members.push(by);
                }
                ask_welcoming_members(&state, &handle, &membership).await;
            }
        });
        membership.joining = Some(Task(task.abort_handle()));
    }
}

/// Checks that a newcomer has answered at the address and in the life that it states.
///
/// # Errors
/// Why the newcomer may not join.
pub(super) fn check_dial_back(newcomer: &NodeAddr, life: u64, reply: &Reply) -> Result<(), CallError> {
    let unreachable = |why: String| CallError::new(ErrorKind::Unreachable, why);
    match (wire::ping_outcome(reply), reply) {
        (Outcome::Answered(stated), _) if stated.incarnation.life == life => Ok(()),
        (Outcome::Answered(_), Ok(_)) => Err(wire::address_taken(format!(
            "another node answers at {newcomer}; --advertise must name this node's own address"
        ))),
        (_, Err(why)) => Err(unreachable(format!(
            "no node answers at {newcomer}, the address that this node states ({why}); --advertise must name an address that other nodes reach"
        ))),
        (_, Ok(_)) => Err(unreachable(format!("the program that answers at {newcomer} is not a node that can join"))),
    }
}

/// Joins through a seed, at the first of its addresses that answers. Returns the number of other known nodes.
async fn join_through_seed(state: &NodeState, handle: &ActorHandle, seed: &Seed) -> Result<usize, SeedError> {
    let addresses = state.transport.resolve(seed.host(), seed.port()).await.map_err(SeedError::Failed)?;
    let mut outcome = Err(SeedError::IsSelf);
    for address in addresses.iter().filter(|address| !address.is_same_node(&state.me)) {
        outcome = join_through_address(state, handle, address).await.map_err(SeedError::Failed);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn join_through_address(state: &NodeState, handle: &ActorHandle, seed: &NodeAddr) -> Result<usize, CallError> {
    match join_through_member(state, handle, seed, Through::Seed).await {
        Err(why) if why.lacks_method() => join_through_passive(state, handle, seed).await,
        joined => joined,
    }
}

/// Joins through an active member.
async fn join_through_member(
    state: &NodeState,
    handle: &ActorHandle,
    seed: &NodeAddr,
    through: Through,
) -> Result<usize, CallError> {
    let merge = through.merge_mode();
    let SyncRequest { mut sync, mut request } = handle.ask(BeginJoining { seed: seed.key(), merge }).await?;
    loop {
        let answer = compared(state.ask(seed, request, SEED_TIMEOUT).await)?;
        let from = answer.from.as_ref().ok_or_else(|| CallError::other("the answer has no `from`"))?;
        if from.is_same_node(&state.me) {
            return Err(CallError::new(ErrorKind::Unreachable, format!("{seed} is this node itself")));
        }
        match handle.ask(TakePage { from: from.key(), sync, answer, merge }).await?? {
            Some(next) => SyncRequest { sync, request } = next,
            None => break,
        }
    }
    handle.ask(EndSync(seed.key())).await?;
    fetch_groups(state, handle, seed, through.reason()).await?;
    // The pages of the view have been applied by now, so gossip knows the members of `all`.
    let enter = Enter { gid: Gid::all(), through: Some(seed.clone()) };
    handle.caller.doors().gossip.deliver(enter).await?;
    Ok(other_node_count(state))
}

/// Fetches the groups that list this node from a member, and puts them on this node.
async fn fetch_groups(
    state: &NodeState,
    handle: &ActorHandle,
    seed: &NodeAddr,
    reason: ListingReason,
) -> Result<(), CallError> {
    let started_in = &state.settings.membership.groups;
    let wants = |gid: &Gid| match reason {
        ListingReason::Join => true,
        // A group that this node has been given since its restart, probably by an operator, stays as it is.
        ListingReason::Welcome => started_in.contains(gid) || state.groups.borrow().entry(gid).is_err(),
    };
    let mut after: Option<Place> = None;
    let mut gathered: Option<Part> = None;
    loop {
        let request = handle.ask(BeginListing { after: after.clone() }).await?;
        let Answer::Listed(Listed { groups, next }) = state.ask(seed, request, SEED_TIMEOUT).await? else {
            return Err(CallError::new(
                ErrorKind::BadAnswer,
                format!("{seed} did not answer with a listing of groups"),
            ));
        };
        for part in groups {
            let continues = gathered.as_ref().is_some_and(|whole| whole.config.gid == part.config.gid);
            if !continues && !wants(&part.config.gid) {
                continue;
            }
            match &mut gathered {
                Some(whole) if continues => {
                    for (_, member) in part.members.iter() {
                        whole.members.add(member.node.clone());
                    }
                }
                _ => {
                    if let Some(whole) = gathered.replace(part) {
                        merge_group(state, handle, whole, seed).await?;
                    }
                }
            }
        }
        // A place that does not advance would cause an endless loop.
        if next.is_none() || next == after {
            break;
        }
        after = next;
    }
    if let Some(whole) = gathered {
        merge_group(state, handle, whole, seed).await?;
    }
    Ok(())
}

fn other_node_count(state: &NodeState) -> usize {
    state.groups.borrow().get(&Gid::all()).map_or(0, |all| all.len() - 1)
}

/// Puts a group that a seed knows, merged with its members on this node. If each side knows members that the other lacks,
/// because nodes joined through this node before it joined itself, each side learns of the other's. Removed members that the
/// seed expects back return to the group on this node too.
async fn merge_group(state: &NodeState, handle: &ActorHandle, part: Part, seed: &NodeAddr) -> Result<(), CallError> {
    let Part { config, members: seed_members, gone } = part;
    let gid = config.gid.clone();
    let message = Merge { config, members: seed_members.clone(), through: Some(seed.clone()) };
    let (own_members, config) = handle.caller.doors().groups.deliver(message).await??;
    if !gone.is_empty() {
        handle.ask(NoteRemoved { config, gone }).await?;
    }
    let missing_from = |other: &Group, group: &Group| -> Vec<NodeAddr> {
        let missing = group.iter().filter(|(_, member)| member.nid != state.nid && !other.contains(&member.nid));
        missing.map(|(_, member)| member.node.clone()).collect()
    };
    let only_here = missing_from(&seed_members, &own_members);
    if !gid.is_all() && !only_here.is_empty() {
        let nodes = only_here.into_iter().chain(missing_from(&own_members, &seed_members)).collect();
        handle.ask(Announce { gid, nodes }).await?;
    }
    Ok(())
}

/// Joins through a passive node. It does not report the newcomer to other nodes, so the newcomer then joins through an
/// active member that the passive node knows.
async fn join_through_passive(state: &NodeState, handle: &ActorHandle, seed: &NodeAddr) -> Result<usize, CallError> {
    let started_in = &state.settings.membership.groups;
    let mut known = Group::default();
    for gid in std::iter::once(&Gid::all()).chain(started_in) {
        let add = vec![Value::from(gid.as_str()), NodeAddr::new(state.me.ip(), state.me.port()).to_value()];
        let added = state.call(seed, Call::new(Gid::local(), "groups", "add", add), SEED_TIMEOUT).await;
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
        merge_group(state, handle, part, seed).await?;
    }
    handle.add_to_group(&Gid::all(), seed).await?;
    let candidates = known
        .iter()
        .map(|(_, member)| &member.node)
        .filter(|other| !other.is_same_node(&state.me) && !other.is_same_node(seed));
    for other in candidates.take(MAX_CANDIDATES) {
        match join_through_member(state, handle, other, Through::Seed).await {
            Ok(_) => break,
            Err(why) => {
                log::debug!(target: "chinwag::membership", "cannot join through {other}, which {seed} knows: {why}")
            }
        }
    }
    Ok(other_node_count(state))
}

/// Creates the first request of a comparison with a seed.
#[derive(Debug, Message)]
#[rtype(result = "SyncRequest")]
struct BeginJoining {
    seed: Nid,
    merge: MergeMode,
}

impl Handler<BeginJoining> for Membership {
    type Result = MessageResult<BeginJoining>;

    fn handle(&mut self, BeginJoining { seed, merge }: BeginJoining, _: &mut Context<Membership>) -> Self::Result {
        let mut membership = self.membership.borrow_mut();
        membership.seed = Some(seed);
        let sync = membership.swim.begin_joining(&seed);
        let groups = self.state.settings.membership.groups.clone();
        MessageResult(self.sync_request(&membership, sync, merge.of(&membership, &seed), Some(groups)))
    }
}

/// Creates a request for a page of a listing.
#[derive(Debug, Message)]
#[rtype(result = "Outgoing")]
struct BeginListing {
    after: Option<Place>,
}

impl Handler<BeginListing> for Membership {
    type Result = MessageResult<BeginListing>;

    fn handle(&mut self, BeginListing { after }: BeginListing, _: &mut Context<Membership>) -> Self::Result {
        MessageResult(self.request(&self.membership.borrow(), Body::Listing(Listing { after })))
    }
}

/// Notes members that were removed from a group, as the member that named the group reports.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct NoteRemoved {
    /// The configuration under which the group was put on this node.
    config: Arc<GroupConfig>,
    gone: Group,
}

impl Handler<NoteRemoved> for Membership {
    type Result = ();

    fn handle(&mut self, NoteRemoved { config, gone }: NoteRemoved, context: &mut Context<Membership>) {
        let mut groups = self.state.groups.borrow_mut();
        self.membership.borrow_mut().expect(&config, &gone, &self.state.nid, &mut groups);
        drop(groups);
        self.drive([], context);
    }
}

/// Adds a newcomer to the groups that it was started in. Other nodes learn of these groups from the news about the
/// newcomer.
pub(super) async fn add_to_groups(
    state: &NodeState,
    handle: &ActorHandle,
    newcomer: NodeAddr,
    groups: Vec<Gid>,
) -> Result<(), CallError> {
    let nid = newcomer.key();
    for gid in groups.into_iter().filter(|gid| !gid.is_local() && !gid.is_all()) {
        let known = state.groups.borrow().get(&gid).map(|members| members.contains(&nid));
        match known {
            Ok(true) => {}
            Ok(false) => handle.add_to_group(&gid, &newcomer).await?,
            Err(_) => handle.put_group(&gid, &newcomer).await?,
        }
        handle.ask(Announce { gid, nodes: vec![newcomer.clone()] }).await?;
    }
    Ok(())
}
