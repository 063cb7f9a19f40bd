//! The actor that carries the gossip of all groups.

use std::{
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
    time::Duration,
};

use actix::{Actor, ActorFuture, AsyncContext, Context, Handler, ResponseFuture};
use chinwag_protocol::{
    call::{Call, CallError, ErrorKind, GroupReply, Reply},
    group::{Entry, Member},
    identity::{Gid, Nid, Sid},
    peer::{self, Method, Shared, Stated},
    rumor::{self, Input, Manner, Output},
};
use futures_util::Stream as _;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    options::Options,
    room::{Flight, Landed, NodeId, Room, Rooms, Waiting},
    width::ask_width,
    writer::{Writer, performance},
};
use crate::{
    caller::Caller,
    doors::Doors,
    local::membership::Signs,
    messages::{Broadcast, Deleted, Differs, Enter, Incoming, SetFanout},
    request::{FromPeer, Request, Response, ready, unknown_method},
    state::NodeState,
};

/// How long a message may take to be performed, and to find a place for it on a node that is busy.
const PERFORM_TIME: Duration = Duration::from_secs(60);

/// How long a busy node is left alone before it is asked again to perform a message.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// How often a node looks for groups in which it has not spoken yet, after it has found one. A guess: what a newcomer may
/// wait, at most, before it asks for what it missed. Each time that it finds none it waits twice as long the next time,
/// up to [`LONGEST_ROUND`]: a group that is put or joined later is entered by that, and the probes of membership tell of what
/// is said in a group.
const ROUND: Duration = Duration::from_secs(1);

/// How often it looks at rest.
const LONGEST_ROUND: Duration = Duration::from_secs(16);

/// Receives and passes on.
pub(crate) struct Gossip {
    state: Rc<NodeState>,
    caller: Caller,
    rooms: Rc<Rooms>,
    signs: Signs,
    /// Has this actor look at the requests under way, once there is one more.
    look: Option<task::Waker>,
    /// How long after the last look around the next one is.
    round: Duration,
}

impl Gossip {
    pub(crate) fn new(state: Rc<NodeState>, caller: Caller, rooms: Rc<Rooms>, signs: Signs) -> Gossip {
        Gossip { state, caller, rooms, signs, look: None, round: ROUND }
    }

    /// Has the group's machine do something, and does what it says.
    fn drive<T>(
        &mut self,
        gid: &Gid,
        context: &mut Context<Gossip>,
        act: impl FnOnce(&mut Room, &Entry, &NodeState, &mut Vec<Output<Nid, Shared>>) -> Result<T, CallError>,
    ) -> Result<(T, Vec<Performing>), CallError> {
        let entry = self.state.groups.borrow().entry(gid)?.clone();
        let mut outputs = Vec::new();
        let rooms = self.rooms.clone();
        let mut rooms = rooms.by_group.borrow_mut();
        if !rooms.contains_key(gid) {
            let mut room = self.rooms.open(gid, &self.state, Options::read(&entry.config)?);
            room.input(&entry, &self.state, Input::Start, &mut outputs);
            if !room.has_entered() {
                room.input(&entry, &self.state, Input::Enter { through: None }, &mut outputs);
            }
            rooms.insert(gid.clone(), room);
        }
        let Some(room) = rooms.get_mut(gid) else { return Err(gone()) };
        room.configure(&entry)?;
        if std::mem::take(&mut room.stopped) {
            room.input(&entry, &self.state, Input::Start, &mut outputs);
        }
        room.follow_life(&self.state);
        let done = act(room, &entry, &self.state, &mut outputs)?;
        if room.asks_width(entry.members.len()) {
            self.ask_width(gid);
        }
        room.follow_life(&self.state);
        let performing = self.carry_out(gid, room, &entry, outputs, context);
        Ok((done, performing))
    }

    /// Does what the machine says. Answers where the outcomes of what is performed will be heard.
    fn carry_out(
        &self,
        gid: &Gid,
        room: &mut Room,
        entry: &Entry,
        outputs: Vec<Output<Nid, Shared>>,
        context: &mut Context<Gossip>,
    ) -> Vec<Performing> {
        let mut performing = Vec::new();
        let name = self.state.settings.membership.cluster.as_str().into();
        let mut writer = Writer::new(self.state.sender(), Stated { statement: self.signs.stated(), name });
        for output in outputs {
            match output {
                // a node that only sends to a group meets what others said in it, and it is none of its business
                Output::Perform { .. } if !room.addressed && !entry.members.contains(&self.state.nid) => {}
                Output::Perform { id, message } => {
                    performing.push(Performing { id, outcome: self.perform(&message) });
                }
                Output::Send { token, to, request } => {
                    let own = room.own_push(self.state.nid, &to, &request, &entry.members);
                    let address = entry.members.by_nid(&to).map(|member| member.node.clone());
                    let address = address.or_else(|| room.stranger(&to));
                    let message = writer.message(gid, request, own.is_none());
                    let asked = message.request().method();
                    let reply = match address {
                        Some(to) => self.state.ask(&to, message, room.request_timeout(asked)),
                        None => Box::pin(std::future::ready(Err(gone()))),
                    };
                    let (gid, number) = (gid.clone(), room.number);
                    self.rooms.flights.borrow_mut().push(Flight { gid, room: number, token, to, asked, own, reply });
                    self.look_at_flights();
                }
                // an answer that is not needed is not listened to
                Output::Cancel { .. } => {}
                Output::Timer { after, timer } => {
                    let (gid, number) = (gid.clone(), room.number);
                    let runs = context.run_later(self.state.clock.to_real(after), move |gossip, context| {
                        gossip.timer(&gid, number, timer, context)
                    });
                    if let Some(replaced) = room.timer(timer).replace(runs) {
                        context.cancel_future(replaced);
                    }
                }
                Output::Settled { id } => room.settle(&id),
                Output::Reissued { from, to } => room.reissued(&from, &to),
                Output::Entered => room.entered(),
            }
        }
        performing
    }

    fn look_at_flights(&self) {
        if let Some(look) = &self.look {
            look.wake_by_ref();
        }
    }

    /// Drops what deleted groups held.
    fn close(&self, gids: &[Gid], context: &mut Context<Gossip>) {
        if gids.is_empty() {
            return;
        }
        for gid in gids {
            // should it be put again, it is another group
            self.state.founded.borrow_mut().retain(|founded| founded != gid);
            for timer in self.rooms.close(gid, self.state.now()) {
                context.cancel_future(timer);
            }
        }
        self.look_at_flights();
    }

    /// Has a group's own function say how many peers a send contacts, in a task of its own.
    fn ask_width(&self, gid: &Gid) {
        let (caller, gid) = (self.caller.clone(), gid.clone());
        actix::spawn(async move {
            if let Err(why) = ask_width(&caller, &gid).await {
                log::warn!(target: "chinwag::gossip", "{gid} gossips with its last or the default fan-out: {why}");
            }
        });
    }

    /// Performs a message on this node, in a task of its own.
    fn perform(&self, message: &Shared) -> oneshot::Receiver<Reply> {
        let doors = self.caller.doors().clone();
        // decided now: a message that arrived before the node was told to stop is under way
        let call = performance(message).and_then(|call| doors.check_admits(&call).map(|()| call));
        let (tell, told) = oneshot::channel();
        actix::spawn(async move {
            let outcome = match call {
                Ok(call) => perform(&doors, call).await,
                Err(error) => Err(error),
            };
            if let Err(why) = &outcome {
                log::debug!(target: "chinwag::gossip", "a message was performed and failed: {why}");
            }
            // the one who sent it may not care
            let _ = tell.send(outcome);
        });
        told
    }

    /// Begins to compare notes in the groups where this node has company, now and then. In `all` only where membership
    /// speaks there.
    fn look_around(&mut self, context: &mut Context<Gossip>) {
        let fresh: Vec<Gid> = {
            let (groups, rooms) = (self.state.groups.borrow(), self.rooms.by_group.borrow());
            let company = |gid: &&Gid| {
                let members = groups.get(gid);
                let company = members.is_ok_and(|members| members.len() > 1 && members.contains(&self.state.nid));
                company && (!gid.is_all() || self.state.settings.membership.on)
            };
            groups.names().filter(|gid| !rooms.contains_key(*gid)).filter(company).cloned().collect()
        };
        let gone: Vec<Gid> = {
            let (groups, rooms) = (self.state.groups.borrow(), self.rooms.by_group.borrow());
            rooms.keys().filter(|gid| groups.entry(gid).is_err()).cloned().collect()
        };
        // most went when they were deleted; this actor may have been about to be replaced
        self.close(&gone, context);
        self.rooms.memories.borrow_mut().expire(self.state.now());
        self.rooms.outcomes.borrow_mut().expire(self.state.now());
        self.round = if fresh.is_empty() { (2 * self.round).min(LONGEST_ROUND) } else { ROUND };
        for gid in fresh {
            if let Err(why) = self.drive(&gid, context, |_, _, _, _| Ok(())) {
                log::debug!(target: "chinwag::gossip", "nobody compares notes in {gid}: {why}");
            }
        }
        context.run_later(self.state.clock.to_real(self.round), Gossip::look_around);
    }

    fn timer(&mut self, gid: &Gid, number: u64, timer: rumor::Timer, context: &mut Context<Gossip>) {
        if !self.runs(gid, number) {
            return;
        }
        let ticked = self.drive(gid, context, |room, entry, state, out| {
            *room.timer(timer) = None;
            room.input(entry, state, Input::Timer(timer), out);
            Ok(())
        });
        if ticked.is_err() {
            // the group is gone; should it be put again before its machine is dropped, the machine goes on
            if let Some(room) = self.rooms.by_group.borrow_mut().get_mut(gid) {
                room.stopped = true;
            }
        }
    }

    /// Whether a group's machine is the one of this number.
    fn runs(&self, gid: &Gid, number: u64) -> bool {
        self.rooms.by_group.borrow().get(gid).is_some_and(|room| room.number == number)
    }

    /// Keeps what is to come of messages that a relay brought, for nodes that number nothing and wait for an answer.
    fn keep(&self, gid: &Gid, performing: Vec<Performing>) {
        for Performing { id, outcome } in performing {
            if let rumor::Id::Opaque(text) = &id {
                self.rooms.outcomes.borrow_mut().keep(gid, text, outcome, self.state.now());
            }
        }
    }

    fn receive(
        &mut self,
        FromPeer { request, origin }: FromPeer,
        context: &mut Context<Gossip>,
    ) -> Result<Response<peer::Answer>, CallError> {
        let (method, deadline) = (request.method(), origin.deadline());
        let peer::Request { from, stated: Stated { statement, name }, body } = request;
        let peer::Body::Gossip(peer::Gossip { gid, quiet, direct, request }) = body else {
            return Err(unknown_method("gossip", method.name()));
        };
        self.signs.admit(&self.state, &statement, &name)?;
        let nid = from.as_ref().map(|from| from.nid);
        if let Some(nid) = nid {
            self.signs.asked(nid, statement);
        }
        let opaque = match &request {
            rumor::Request::Push(rumor::Rumor { id: rumor::Id::Opaque(text), .. }) if direct => Some(text.clone()),
            _ => None,
        };
        let (answer, mut performing) = self.drive(&gid, context, |room, entry, state, out| {
            if let Some(Member { nid, node }) = from {
                room.heard(nid, node, method, &entry.members);
            }
            Ok(room.respond(entry, state, nid, request, out))
        })?;
        let now = self.state.now();
        let (performed, overtaken) = match (&answer, opaque) {
            (rumor::Answer::Fresh, _) if !quiet => (performing.pop(), None),
            (rumor::Answer::Had, Some(id)) => (None, self.rooms.outcomes.borrow_mut().take(&gid, &id, now)),
            _ => (None, None),
        };
        self.keep(&gid, performing);
        let answer = peer::failed(answer).map(peer::Answer::Gossip);
        let late = || Err(CallError::new(ErrorKind::DeadlineExceeded, "it is still being performed"));
        let said = |outcome: Reply| outcome.map(peer::Answer::Performed);
        Ok(match (performed, overtaken) {
            (Some(Performing { outcome, .. }), _) => Response::Later(Box::pin(async move {
                let told = timeout_at(deadline, outcome).await;
                told.map_or_else(|_| late(), |outcome| outcome.map_or(answer, said))
            })),
            (None, Some(outcome)) => Response::Later(Box::pin(async move {
                let told = timeout_at(deadline, outcome).await;
                told.map_or_else(|_| late(), |outcome| outcome.map_or(answer, |outcome| said(outcome.reply())))
            })),
            (None, None) => Response::Now(answer),
        })
    }
}

/// A message that is being performed.
struct Performing {
    id: NodeId,
    outcome: oneshot::Receiver<Reply>,
}

fn gone() -> CallError {
    CallError::new(ErrorKind::Unreachable, "the peer has left the group")
}

/// Performs a message, again while the node is too busy, which promises that nothing was done.
async fn perform(doors: &Doors, call: Call) -> Reply {
    let (begun, clock) = (Instant::now(), doors.clock);
    loop {
        let outcome = doors.perform(call.clone()).await;
        match outcome {
            Err(busy) if busy.kind == ErrorKind::Busy && clock.since(begun) < PERFORM_TIME => {
                clock.sleep(BUSY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

impl Actor for Gossip {
    type Context = Context<Gossip>;

    /// After a panic: the timers went with the actor, the machines and the requests under way did not.
    fn started(&mut self, context: &mut Context<Gossip>) {
        let mut rooms: Vec<(Gid, u64)> = Vec::new();
        for (gid, room) in &mut *self.rooms.by_group.borrow_mut() {
            // they belonged to the context of the actor before
            for timer in [rumor::Timer::Tick, rumor::Timer::Entry, rumor::Timer::Calm] {
                *room.timer(timer) = None;
            }
            rooms.push((gid.clone(), room.number));
        }
        for (gid, number) in rooms {
            self.timer(&gid, number, rumor::Timer::Tick, context);
            self.timer(&gid, number, rumor::Timer::Entry, context);
            self.timer(&gid, number, rumor::Timer::Calm, context);
        }
        self.look_around(context);
        context.spawn(Landing);
    }
}

/// Takes in the answers to the requests under way, and the requests of peers, for as long as the actor lives.
struct Landing;

impl ActorFuture<Gossip> for Landing {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        gossip: &mut Gossip,
        context: &mut Context<Gossip>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        if !gossip.look.as_ref().is_some_and(|look| look.will_wake(task.waker())) {
            gossip.look = Some(task.waker().clone());
        }
        loop {
            let landed = Pin::new(&mut *gossip.rooms.flights.borrow_mut()).poll_next(task);
            match landed {
                Poll::Ready(Some(landed)) => gossip.land(landed, context),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        loop {
            let incoming = gossip.rooms.incoming.borrow_mut().poll_recv(task);
            let Poll::Ready(Some(incoming)) = incoming else { break };
            let Incoming { request, take } = *incoming;
            take.take()(Handler::<FromPeer>::handle(gossip, request, context));
        }
        Poll::Pending
    }
}

/// The wire's methods.
pub(crate) const METHODS: [&str; 5] = ["compare", "enter", "offer", "pull", "recv"];

impl Handler<FromPeer> for Gossip {
    type Result = Response<peer::Answer>;

    fn handle(&mut self, request: FromPeer, context: &mut Context<Gossip>) -> Response<peer::Answer> {
        self.state.counts.set(self.state.counts.get() + 1);
        self.receive(request, context).unwrap_or_else(|error| Response::Now(Err(error)))
    }
}

/// The same as calls.
impl Handler<Request> for Gossip {
    type Result = Response;

    fn handle(&mut self, request: Request, context: &mut Context<Gossip>) -> Response {
        let Some(method) = Method::of_name(&request.call.method).filter(|method| method.is_gossip()) else {
            return Response::Now(Err(unknown_method("gossip", &request.call.method)));
        };
        self.state.counts.set(self.state.counts.get() + 1);
        let received = FromPeer::read(method, &request).and_then(|request| {
            let (gid, me) = (request.request.gid(), self.state.me.clone());
            let response = self.receive(request, context)?;
            Ok(response.map(move |answer| answer.to_call_answer(&gid, &me)))
        });
        received.unwrap_or_else(|error| Response::Now(Err(error)))
    }
}

impl Gossip {
    /// A request was answered, or was not.
    fn land(&mut self, landed: Landed, context: &mut Context<Gossip>) {
        let Landed { gid, room: number, token, to, asked, own, reply } = landed;
        self.signs.answered(to, &reply);
        if let Err(why) = &reply {
            log::debug!(target: "chinwag::gossip", "{} to {}: {why}", asked.name(), to.sid());
        }
        if let Some(own) = own {
            own.said(&reply);
        }
        if !self.runs(&gid, number) {
            return;
        }
        let handled = self.drive(&gid, context, |room, entry, state, out| {
            // a node of the previous version does not know `enter`, and knows the others
            let tells = !matches!(asked, Method::Recv | Method::Enter);
            if tells && matches!(&reply, Err(error) if error.lacks_method()) {
                room.note_reference(to, &entry.members);
            }
            let answer = match reply {
                Ok(peer::Answer::Gossip(answer)) => Some(answer),
                Ok(peer::Answer::Performed(_)) => Some(rumor::Answer::Fresh),
                Ok(_) => None,
                Err(error) => peer::answer_of_failure(asked, &error),
            };
            let input = match answer {
                Some(answer) => Input::Answer { token, from: to, answer },
                None => Input::Failure { token },
            };
            room.input(entry, state, input, out);
            Ok(())
        });
        match handled {
            Ok(((), performing)) => self.keep(&gid, performing),
            Err(why) => log::debug!(target: "chinwag::gossip", "an answer came too late: {why}"),
        }
    }
}

impl Handler<Broadcast> for Gossip {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, message: Broadcast, context: &mut Context<Gossip>) -> ResponseFuture<Reply> {
        match self.broadcast(message, context) {
            Ok(settling) => Box::pin(async move { Ok(settling.await?.into()) }),
            Err(error) => ready(Err(error)),
        }
    }
}

impl Gossip {
    fn broadcast(
        &mut self,
        message: Broadcast,
        context: &mut Context<Gossip>,
    ) -> Result<impl Future<Output = Result<GroupReply, CallError>> + use<>, CallError> {
        let Broadcast { gid, arguments, remote, origin, urgency, replay } = message;
        let message = Shared::new(peer::Message { arguments, remote, mid: None });
        // refused here rather than by every member
        performance(&message)?.check_names()?;
        let own = self.state.groups.borrow().get(&gid)?.sid_of(&self.state.nid).cloned();
        let (sent, manner) = (message.clone(), Manner { urgency, replay });
        let (waiting, _) =
            self.drive(&gid, context, |room, entry, state, out| room.broadcast(entry, state, sent, manner, out))?;
        let performed = own.map(|sid| (sid, self.perform(&message)));
        // a little less than the caller waits, so that it hears of those who did answer
        let left = origin.time_left();
        Ok(settled(gid, waiting, performed, self.state.clock.after(left - left / 8)))
    }
}

/// Waits, for long enough, for what the first peers and this node itself have to say.
///
/// # Errors
/// [`ErrorKind::UnknownGroup`] if the group was deleted before any peer answered.
async fn settled(
    gid: Gid,
    waiting: Waiting,
    performed: Option<(Sid, oneshot::Receiver<Reply>)>,
    enough: Instant,
) -> Result<GroupReply, CallError> {
    let own = async {
        let (sid, outcome) = performed?;
        let late = || CallError::new(ErrorKind::DeadlineExceeded, "it is still being performed");
        let outcome = timeout_at(enough, outcome).await.ok().and_then(Result::ok);
        Some((sid, outcome.unwrap_or_else(|| Err(late()))))
    };
    // whoever has not answered by then is not in the reply
    let (own, settled) = futures_util::join!(own, timeout_at(enough, waiting.settled));
    let mut replies = waiting.replies.take();
    if matches!(settled, Ok(Err(_))) && replies == GroupReply::default() {
        let message = format!("the group {gid} was deleted before any of its members answered");
        return Err(CallError::new(ErrorKind::UnknownGroup, message));
    }
    if let Some((sid, reply)) = own {
        replies.record(sid, reply);
    }
    Ok(replies)
}

impl Handler<Enter> for Gossip {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Enter { gid, through }: Enter, context: &mut Context<Gossip>) -> ResponseFuture<()> {
        let made = self.rooms.by_group.borrow().contains_key(&gid);
        if gid.is_all() && !made && !self.state.settings.membership.on {
            // nobody speaks in it, unless somebody gossips in it, and then it is entered
            return Box::pin(async {});
        }
        let entering = self.drive(&gid, context, |room, entry, state, out| {
            let through = through.filter(|through| through.nid() != state.nid).map(|through| {
                let nid = through.nid();
                room.note_stranger(nid, through, &entry.members);
                nid
            });
            let entered = room.await_entry();
            room.input(entry, state, Input::Enter { through }, out);
            Ok(entered)
        });
        Box::pin(async move {
            match entering {
                // it ends early if the group is deleted meanwhile
                Ok((entered, _)) => drop(entered.await),
                Err(why) => log::debug!(target: "chinwag::gossip", "{gid} is not entered: {why}"),
            }
        })
    }
}

impl Handler<Differs> for Gossip {
    type Result = ();

    fn handle(&mut self, Differs { gid, peer }: Differs, context: &mut Context<Gossip>) {
        // a group that is gone has nothing to compare
        let _ = self.drive(&gid, context, |room, entry, state, out| {
            room.input(entry, state, Input::Differs { peer }, out);
            Ok(())
        });
    }
}

impl Handler<Deleted> for Gossip {
    type Result = ();

    fn handle(&mut self, Deleted(gid): Deleted, context: &mut Context<Gossip>) {
        // it may have been put again
        if self.state.groups.borrow().entry(&gid).is_err() {
            self.close(&[gid], context);
        }
    }
}

impl Handler<SetFanout> for Gossip {
    type Result = ();

    fn handle(&mut self, SetFanout { gid, members, peers }: SetFanout, context: &mut Context<Gossip>) {
        // a group that is gone needs none
        let _ = self.drive(&gid, context, |room, _, _, _| {
            room.widen(members, peers);
            Ok(())
        });
    }
}
