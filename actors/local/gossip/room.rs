//! One group's gossip on this node: its machine, and who waits for what.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use actix::SpawnHandle;
use chinwag_protocol::{
    call::{CallError, ErrorKind, GroupReply},
    fanout::Fanout,
    group::{Entry, Group, GroupConfig},
    identity::{Gid, Nid, NodeAddr, Sid},
    peer::{self, Method, Shared},
    rumor::{self, Answer, BroadcastError, Context, Input, Manner, Output, Request, Timer, View},
    value::Value,
};
use futures_util::{future::LocalBoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};

use super::{
    memories::Memories,
    options::{Options, Width},
    outcomes::Outcomes,
};
use crate::{load::Fill, messages::Incoming, state::NodeState};

pub(crate) type NodeId = rumor::Id<Nid>;

/// One node's gossip. Outlives the actor that drives it.
pub(crate) struct Rooms {
    pub by_group: RefCell<BTreeMap<Gid, Box<Room>>>,
    /// The requests under way.
    pub flights: RefCell<FuturesUnordered<Flight>>,
    /// The requests of peers that wait.
    pub incoming: RefCell<mpsc::Receiver<Box<Incoming>>>,
    /// What is remembered of groups that have been deleted.
    pub memories: RefCell<Memories>,
    /// What came of messages whose senders have yet to ask.
    pub outcomes: RefCell<Outcomes>,
    /// The number of the last machine that was made.
    pub last_number: Cell<u64>,
}

/// Most requests that go on when their group is deleted. What is on its way is delivered, as it may be the very message
/// that deletes the group; but a group's requests can last for ten minutes, and groups can be put and deleted
/// all the time. A guess: sixteen groups' worth.
const MAX_ORPHANS: usize = 4_096;

impl Rooms {
    /// A node's gossip that has yet to begin. The requests of peers arrive through the receiver.
    pub(crate) fn new(incoming: mpsc::Receiver<Box<Incoming>>) -> Rooms {
        Rooms {
            by_group: RefCell::default(),
            flights: RefCell::default(),
            incoming: RefCell::new(incoming),
            memories: RefCell::default(),
            outcomes: RefCell::default(),
            last_number: Cell::default(),
        }
    }

    /// The machine of a group that this node gossips in for the first time, or again.
    pub(crate) fn open(&self, gid: &Gid, state: &NodeState, options: Options) -> Box<Room> {
        self.last_number.set(self.last_number.get() + 1);
        let make = if state.founded.borrow().contains(gid) { rumor::Gossip::new } else { rumor::Gossip::newcomer };
        let machine = make(state.nid, state.life.get(), options.config.clone());
        let machine = self.memories.borrow_mut().recall(gid, machine);
        Box::new(Room::new(self.last_number.get(), machine, options))
    }

    /// A hash of what this node holds of a group's gossip: equal on nodes that have nothing to tell each other. 0 if it
    /// holds nothing.
    pub(crate) fn hash(&self, gid: &Gid, now: Duration) -> u64 {
        self.by_group.borrow_mut().get_mut(gid).map_or(0, |room| room.machine.hash(now))
    }

    /// A peer holds the same of a group's gossip, as it has said by the way.
    pub(crate) fn same(&self, gid: &Gid) {
        if let Some(room) = self.by_group.borrow_mut().get_mut(gid) {
            room.machine.same();
        }
    }

    /// Drops what a deleted group held. Returns its timers, which have to be stopped. Senders that wait hear what was
    /// said so far, or that the group is gone.
    pub(crate) fn close(&self, gid: &Gid, now: Duration) -> Vec<SpawnHandle> {
        let Some(room) = self.by_group.borrow_mut().remove(gid) else { return Vec::new() };
        let Room { machine, number, timers, .. } = *room;
        self.memories.borrow_mut().keep(gid.clone(), machine, now);
        self.outcomes.borrow_mut().forget_group(gid);
        let mut flights = self.flights.borrow_mut();
        if flights.len() > MAX_ORPHANS {
            let rooms = self.by_group.borrow();
            let living: BTreeSet<u64> = rooms.values().map(|room| room.number).collect();
            if flights.iter().filter(|flight| !living.contains(&flight.room)).count() > MAX_ORPHANS {
                let kept = |flight: &Flight| flight.room == number || living.contains(&flight.room);
                *flights = std::mem::take(&mut *flights).into_iter().filter(kept).collect();
            }
        }
        timers.into_iter().flatten().collect()
    }
}

/// A request under way.
pub(crate) struct Flight {
    pub gid: Gid,
    /// Which of the group's machines sent it: an answer must not reach a later one, which uses the same tokens.
    pub room: u64,
    pub token: rumor::Token,
    pub to: Nid,
    pub asked: Method,
    /// Who waits for what is said, if it is the push of an own rumor.
    pub own: Option<Own>,
    pub reply: LocalBoxFuture<'static, peer::Reply>,
}

/// The sender of an own rumor, and the peer that its push went to.
#[derive(Clone)]
pub(crate) struct Own {
    sender: Rc<Sender>,
    sid: Option<Sid>,
}

impl Own {
    /// Puts down what the peer said. That it had the rumor already is as good as any other answer.
    pub(crate) fn said(self, reply: &peer::Reply) {
        let Some(sid) = self.sid else { return };
        let reply = match reply {
            Ok(peer::Answer::Performed(performed)) => Ok(performed.clone().into_value()),
            Ok(_) => Ok(Value::Null),
            Err(error) => match peer::answer_of_failure(Method::Recv, error) {
                Some(Answer::Had) => Ok(Value::Null),
                // it is sent again, under another id, and what is said to that counts
                Some(Answer::Stale { .. }) => return,
                _ => Err(error.clone()),
            },
        };
        self.sender.replies.borrow_mut().record(sid, reply.map(Into::into));
    }
}

/// A request that was answered, or was not.
pub(crate) struct Landed {
    pub gid: Gid,
    pub room: u64,
    pub token: rumor::Token,
    pub to: Nid,
    pub asked: Method,
    pub own: Option<Own>,
    pub reply: peer::Reply,
}

impl Future for Flight {
    type Output = Landed;

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Landed> {
        self.reply.as_mut().poll(task).map(|reply| Landed {
            gid: self.gid.clone(),
            room: self.room,
            token: self.token,
            to: self.to,
            asked: self.asked,
            own: self.own.take(),
            reply,
        })
    }
}

/// Most senders outside the group whose addresses are remembered.
const MAX_STRANGERS: usize = 64;

/// Most peers that are remembered as taking only whole messages. Beyond it the first ones are asked again.
const MAX_LEGACY: usize = 65_536;

/// A group's machine and its surroundings.
pub(crate) struct Room {
    machine: rumor::Gossip<Nid, Shared>,
    options: Options,
    /// What `options` was read from.
    config: Arc<GroupConfig>,
    /// What the group's own function last said, and of how many members.
    computed: Option<(usize, usize)>,
    /// Of how many members the function was asked last.
    asked: Option<usize>,
    /// Peers that do not know offers.
    legacy: BTreeSet<Nid>,
    /// Senders that are no members.
    strangers: BTreeMap<Nid, NodeAddr>,
    /// Own rumors whose senders wait, by life and sequence.
    waiting: BTreeMap<(u64, u64), Rc<Sender>>,
    /// Those who wait until this node has entered the group.
    entering: Vec<oneshot::Sender<()>>,
    /// Tells this machine from the others that the node has made.
    pub number: u64,
    /// The timers that run, by the actor's present context: see [`Room::timer`].
    timers: [Option<SpawnHandle>; 3],
    /// The timer was not started again, as the group was gone.
    pub stopped: bool,
    /// Somebody takes this node for a member, whatever its own view says.
    pub addressed: bool,
}

struct Sender {
    replies: Rc<RefCell<GroupReply>>,
    settled: Cell<Option<oneshot::Sender<()>>>,
}

/// What the sender of a rumor waits for.
pub(crate) struct Waiting {
    pub replies: Rc<RefCell<GroupReply>>,
    /// Fails if the group was deleted before all first peers were asked and have answered.
    pub settled: oneshot::Receiver<()>,
}

/// A group, as the machine asks of it.
struct Members<'a> {
    group: &'a Group,
    legacy: &'a BTreeSet<Nid>,
    me: Nid,
}

impl View<Nid> for Members<'_> {
    fn len(&self) -> usize {
        self.group.len()
    }

    fn peer(&self, place: usize) -> Nid {
        // a place is always less than the length; this node is never drawn
        self.group.member(place).map_or(self.me, |(_, member)| member.nid)
    }

    fn around(&self, peer: Nid) -> Option<[Nid; 2]> {
        self.group.around(&peer)
    }

    fn is_reference(&self, peer: Nid) -> bool {
        self.legacy.contains(&peer)
    }
}

impl Room {
    fn new(number: u64, machine: rumor::Gossip<Nid, Shared>, options: Options) -> Room {
        Room {
            machine,
            options,
            config: Arc::new(GroupConfig::new(Gid::local())),
            computed: None,
            asked: None,
            legacy: BTreeSet::new(),
            strangers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            entering: Vec::new(),
            number,
            timers: [None, None, None],
            stopped: false,
            addressed: false,
        }
    }

    /// How long a peer may take to answer. What a newcomer asks is of use only while it enters, and it asks again itself.
    pub(crate) fn request_timeout(&self, asked: Method) -> Duration {
        match asked {
            Method::Enter => self.options.config.entry_time,
            _ => self.options.request_timeout,
        }
    }

    /// The place of a timer that runs.
    pub(crate) fn timer(&mut self, timer: Timer) -> &mut Option<SpawnHandle> {
        match timer {
            Timer::Tick => &mut self.timers[0],
            Timer::Entry => &mut self.timers[1],
            Timer::Calm => &mut self.timers[2],
        }
    }

    /// Has the machine and the node go on in the later of their lives.
    pub(crate) fn follow_life(&mut self, state: &NodeState) {
        self.machine.raise(state.now(), state.life.get());
        let life = self.machine.incarnation();
        if life > state.life.get() {
            log::warn!(
                target: "chinwag::gossip",
                "peers know life {} of this node already, perhaps as its clock was put back: it goes on as life {life}",
                life - 1
            );
            state.life.set(life);
        }
    }

    /// Whether this node has entered the group.
    pub(crate) fn has_entered(&self) -> bool {
        self.machine.has_entered()
    }

    /// Who waits until this node has entered the group is told by the receiver, or by its end.
    pub(crate) fn await_entry(&mut self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        // those who have lost patience make room
        self.entering.retain(|waiting| !waiting.is_closed());
        self.entering.push(tell);
        told
    }

    /// This node has entered the group.
    pub(crate) fn entered(&mut self) {
        for waiting in self.entering.drain(..) {
            // it may have lost patience
            let _ = waiting.send(());
        }
    }

    /// Follows the group's configuration.
    pub(crate) fn configure(&mut self, entry: &Entry) -> Result<(), CallError> {
        if !Arc::ptr_eq(&self.config, &entry.config) {
            self.options = Options::read(&entry.config)?;
            self.machine.configure(self.options.config.clone());
            self.config = entry.config.clone();
            self.computed = None;
            self.asked = None;
        }
        Ok(())
    }

    /// Whether the group's own function has yet to be asked how many peers a node contacts among so many members. A
    /// node that only relays has to ask too.
    pub(crate) fn asks_width(&mut self, members: usize) -> bool {
        let asks = matches!(self.options.fanout, Width::Computed(_)) && self.asked != Some(members);
        if asks {
            self.asked = Some(members);
        }
        asks
    }

    /// How many peers a send contacts.
    fn fanout(&self, members: usize) -> usize {
        // the node itself is never among the peers, but it need not be a member
        let most = members.max(1);
        match &self.options.fanout {
            Width::Fixed(Fanout::Fixed(peers)) => (peers.get() as usize).min(most),
            Width::Fixed(Fanout::All) => most,
            Width::Fixed(fanout) => fanout.count(members),
            // what it said last, even if the group has changed since
            Width::Computed(_) => match self.computed {
                Some((_, peers)) => peers.clamp(1, most),
                None => Fanout::Log.count(members),
            },
        }
    }

    fn with<T>(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        act: impl FnOnce(&mut rumor::Gossip<Nid, Shared>, &mut Context<'_, Members<'_>, rand_chacha::ChaCha8Rng>) -> T,
    ) -> T {
        let members = entry.members.len();
        let fanout = self.fanout(members);
        let view = Members { group: &entry.members, legacy: &self.legacy, me: state.nid };
        state.chance(|chance| {
            let mut context = Context { now: state.now(), view: &view, fanout, chance };
            act(&mut self.machine, &mut context)
        })
    }

    /// Takes in what happened.
    pub(crate) fn input(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        input: Input<Nid, Shared>,
        out: &mut Vec<Output<Nid, Shared>>,
    ) {
        self.with(entry, state, |machine, context| machine.handle(context, input, out));
    }

    /// Answers a request.
    pub(crate) fn respond(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        from: Option<Nid>,
        request: Request<Nid, Shared>,
        out: &mut Vec<Output<Nid, Shared>>,
    ) -> Answer<Nid, Shared> {
        // a pull only answers an offer of this node's own
        self.addressed |= !matches!(request, Request::Pull(_));
        self.with(entry, state, |machine, context| machine.respond(context, from, request, out))
    }

    /// Starts a rumor.
    pub(crate) fn broadcast(
        &mut self,
        entry: &Entry,
        state: &NodeState,
        message: Shared,
        manner: Manner,
        out: &mut Vec<Output<Nid, Shared>>,
    ) -> Result<Waiting, CallError> {
        let bytes = message.bytes();
        let started =
            self.with(entry, state, |machine, context| machine.broadcast_as(manner, context, message, bytes, out));
        let busy = |why: BroadcastError| CallError::new(ErrorKind::Busy, why.to_string());
        let replies = Rc::new(RefCell::new(GroupReply::default()));
        let (settle, settled) = oneshot::channel();
        if let NodeId::Numbered { incarnation, sequence, .. } = started.map_err(busy)? {
            let settled = Cell::new(Some(settle));
            self.waiting.insert((incarnation, sequence), Rc::new(Sender { replies: replies.clone(), settled }));
        }
        Ok(Waiting { replies, settled })
    }

    /// Who waits for what is said to this request, if it pushes an own rumor for the first time.
    pub(crate) fn own_push(&self, me: Nid, to: &Nid, request: &Request<Nid, Shared>, members: &Group) -> Option<Own> {
        let Request::Push(rumor) = request else { return None };
        match &rumor.id {
            NodeId::Numbered { origin, incarnation, sequence } if *origin == me => {
                let sender = self.waiting.get(&(*incarnation, *sequence))?.clone();
                Some(Own { sender, sid: members.sid_of(to).cloned() })
            }
            _ => None,
        }
    }

    /// Tells the sender of an own rumor that its first peers have answered or failed.
    pub(crate) fn settle(&mut self, id: &NodeId) {
        if let NodeId::Numbered { incarnation, sequence, .. } = id
            && let Some(sender) = self.waiting.remove(&(*incarnation, *sequence))
            && let Some(settled) = sender.settled.take()
        {
            // it may have stopped waiting
            let _ = settled.send(());
        }
    }

    /// An own rumor goes on under another id, so its sender waits for what is said to that.
    pub(crate) fn reissued(&mut self, from: &NodeId, to: &NodeId) {
        if let NodeId::Numbered { incarnation, sequence, .. } = from
            && let NodeId::Numbered { incarnation: life, sequence: number, .. } = to
            && let Some(sender) = self.waiting.get(&(*incarnation, *sequence))
        {
            // the answers that are still to come to the former pushes count too, but the rumor is settled under its new id
            let (replies, settled) = (sender.replies.clone(), Cell::new(sender.settled.take()));
            self.waiting.insert((*life, *number), Rc::new(Sender { replies, settled }));
        }
    }

    /// A node has spoken: where it is, if it is no member, and that it knows the protocol, if it used it.
    pub(crate) fn heard(&mut self, nid: Nid, from: NodeAddr, asked: Method, group: &Group) {
        if asked != Method::Recv {
            self.legacy.remove(&nid);
        }
        self.note_stranger(nid, from, group);
    }

    /// Remembers where a node is, if it is no member.
    pub(crate) fn note_stranger(&mut self, nid: Nid, from: NodeAddr, group: &Group) {
        if !group.contains(&nid) {
            if self.strangers.len() >= MAX_STRANGERS && !self.strangers.contains_key(&nid) {
                self.strangers.pop_first();
            }
            self.strangers.insert(nid, from);
        }
    }

    /// Where a node is that is no member.
    pub(crate) fn stranger(&self, nid: &Nid) -> Option<NodeAddr> {
        self.strangers.get(nid).cloned()
    }

    /// A peer does not know offers. Those that have left the group are forgotten.
    pub(crate) fn note_reference(&mut self, peer: Nid, members: &Group) {
        if self.legacy.len() >= members.len() {
            self.legacy.retain(|nid| members.contains(nid));
        }
        if self.legacy.len() >= MAX_LEGACY {
            self.legacy.pop_first();
        }
        self.legacy.insert(peer);
    }

    /// What the group's own function said.
    pub(crate) fn widen(&mut self, members: usize, peers: usize) {
        (self.computed, self.asked) = (Some((members, peers)), Some(members));
    }

    /// How much is held of what is bounded.
    pub(crate) fn load(&self, members: usize) -> [(&'static str, Fill); 13] {
        let (load, config) = (self.machine.load(), &*self.options.config);
        // a rumor's turn, once it has come, goes to all its peers
        let peers = self.fanout(members).max(config.offers.max(config.pushes).saturating_add(2));
        let requests = config.requests.max(1).saturating_add(peers).saturating_sub(1);
        [
            // what is still to be spread is not dropped, and one rumor is held whatever its size
            ("gossip.retained", Fill::new(load.retained, config.retained_count.max(load.queued).max(1))),
            ("gossip.lives", Fill::new(load.lives, config.origins.max(1))),
            ("gossip.stretches", Fill::new(load.stretches, load.lives.max(1).saturating_mul(config.gaps.max(1)))),
            ("gossip.opaqueIds", Fill::new(load.opaque_ids, config.opaque_ids.max(1))),
            ("gossip.earlierLives", Fill::new(load.earlier_lives, config.origins.max(1))),
            ("gossip.earlierOpaqueIds", Fill::new(load.earlier_opaque, config.opaque_ids.max(1))),
            ("gossip.wanted", Fill::new(load.wanted, config.wanted.max(1))),
            ("gossip.queued", Fill::new(load.queued, config.queue_count.max(1))),
            ("gossip.requests", Fill::new(load.requests, requests)),
            ("gossip.ownInFlight", Fill::new(load.own_in_flight, config.own_in_flight.max(1))),
            // a rumor that was reissued is in here twice until its former pushes are answered
            ("gossip.waiting", Fill::new(self.waiting.len(), 2 * config.own_in_flight.max(1))),
            ("gossip.strangers", Fill::new(self.strangers.len(), MAX_STRANGERS)),
            ("gossip.legacy", Fill::new(self.legacy.len(), MAX_LEGACY)),
        ]
    }
}
