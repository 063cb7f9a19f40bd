//! The messages that a node's actors send each other, with their results.
//!
//! They are plain structs, so that a sender depends on a message and not on the actor that handles it: [`crate::doors`]
//! says who handles which. Messages that only one actor and its own tasks use stand beside that actor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
};

use actix::{Message, Recipient};
use chinwag_protocol::{
    call::{Call, CallError, Remote, Reply},
    group::{Entry, Group, GroupConfig},
    identity::{Gid, Nid, NodeAddr},
    peer,
    rumor::Urgency,
    swim::Input,
    value::{Function, Value},
};
use rand_chacha::ChaCha8Rng;
use send_wrapper::SendWrapper;

use crate::{
    events::Events,
    request::{FromPeer, Origin, Request, Response},
    script::Script,
};

// For the route table.

/// Starts the built-in actor of this name, unless it runs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct StartService(pub &'static str);

/// Performs a call that was admitted before, on a group whose services have been started since.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(crate) struct Admitted(pub Request);

/// Calls a function that arrived as text: a stub of this project is called directly, any other function by the script engine.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(crate) struct Apply {
    pub function: Function,
    pub arguments: Vec<Value>,
    pub origin: Origin,
}

/// Draws a unique name and seeds a generator.
#[derive(Debug, Message)]
#[rtype(result = "(String, ChaCha8Rng)")]
pub(crate) struct NameAndChance;

/// Registers a closure as a callback. The result is the name that it was given.
#[derive(Message)]
#[rtype(result = "Result<String, CallError>")]
pub(crate) struct AddCallback {
    pub lasting: Lasting,
    pub callback: Box<dyn Fn(Vec<Value>) -> CallbackFuture + Send>,
}

/// The result of a callback.
///
/// ```
/// use chinwag_actors::handle::CallbackFuture;
/// let answer: CallbackFuture = Box::pin(async { Ok("hello".into()) });
/// # drop(answer);
/// ```
pub type CallbackFuture = Pin<Box<dyn Future<Output = Result<Value, CallError>> + Send>>;

/// How often a callback may be called.
///
/// ```
/// use chinwag_actors::handle::Lasting;
/// # use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// # let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// let once = node.create_rpc(Lasting::Once, async |_| Ok(1.into())).await?;
/// assert!(node.apply(once.clone(), Vec::new()).await.is_ok());
/// assert!(node.apply(once, Vec::new()).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Once. Its name is then free.
    Once,
    /// Any number of times, for as long as the node runs.
    Always,
}

/// Runs JavaScript source at top level.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(crate) struct Evaluate {
    pub script: Script,
    pub origin: Origin,
}

/// Ends the scripts whose results are awaited, and the code that runs now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct InterruptScripts;

/// Waits until shipped code has nothing under way. The result is an error that nobody caught, if there was one.
#[derive(Debug, Message)]
#[rtype(result = "Option<CallError>")]
pub(crate) struct ScriptsIdle;

// For the actor of `comm`.

/// Makes a call on a node, with the context that the call has.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(crate) struct SendCall {
    pub to: NodeAddr,
    pub call: Call,
}

// For the actor of `groups`.

/// Asks for a group's members.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arc<Group>, CallError>")]
pub(crate) struct Members(pub Gid);

/// Asks for a group's members and configuration.
#[derive(Debug, Message)]
#[rtype(result = "Result<Entry, CallError>")]
pub(crate) struct Configuration(pub Gid);

/// Puts a group, together with the members that it already has here. The result is all of its members and the configuration
/// that the group now has, which changes if an operator puts the group later.
#[derive(Debug, Message)]
#[rtype(result = "Result<(Arc<Group>, Arc<GroupConfig>), CallError>")]
pub(crate) struct Merge {
    pub config: GroupConfig,
    pub members: Group,
    /// The member that told this node of the group: it is alive, and is in the group or at least knows it.
    pub through: Option<NodeAddr>,
}

/// Adds nodes to groups, where this node knows the groups.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Enroll(pub BTreeMap<Gid, Vec<NodeAddr>>);

/// Adds a node to `all` that has called this node or answered it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Meet(pub NodeAddr);

// For the actor of `gossip`.

/// A request of a peer, from the node's own thread, and the closure that takes the response. It waits in a bounded queue of
/// its own instead of the mailbox, so that it needs no task to wait for the response.
pub(crate) struct Incoming {
    pub request: FromPeer,
    /// Doors can cross threads, which the closure cannot.
    pub take: SendWrapper<TakeResponse>,
}

/// Takes the response to a request.
pub(crate) type TakeResponse = Box<dyn FnOnce(Response<peer::Answer>)>;

/// How many requests of peers can wait for the actor of gossip. This is a guess: four rounds of a thousand peers. The sender
/// of a refused request sends it again, or the next comparison makes up for it.
pub(crate) const MAX_INCOMING: usize = 4_096;

/// Starts a rumor of this node's own. The result has the replies of the peers that it was sent to first.
#[derive(Debug, Message)]
#[rtype(result = "Reply")]
pub(crate) struct Broadcast {
    pub gid: Gid,
    pub arguments: Value,
    pub remote: Remote,
    pub origin: Origin,
    pub urgency: Urgency,
    /// Whether nodes that enter the group later perform it too.
    pub replay: bool,
}

/// Makes this node enter a group, unless it has. Answered once it has entered, within
/// [`rumor::GossipConfig::entry_time`](chinwag_protocol::rumor::GossipConfig::entry_time).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Enter {
    pub gid: Gid,
    /// A live peer that knows the group, if one is known: the node through which this node joined.
    pub through: Option<NodeAddr>,
}

/// A peer and this node hold different rumors of a group, as the hash that the peer stated shows.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Differs {
    pub gid: Gid,
    pub peer: Nid,
}

/// A group has been deleted.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Deleted(pub Gid);

/// Sets the fan-out of a group that computes it by a function.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SetFanout {
    pub gid: Gid,
    /// The number of members that the function was called with.
    pub members: usize,
    pub peers: usize,
}

// For the actor of `membership`.

/// Inputs of the state machine, and an entry that came with them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Inputs {
    pub inputs: Vec<Input<Nid>>,
    pub about: Option<Box<peer::Entry>>,
}

impl Inputs {
    pub(crate) fn of(inputs: impl IntoIterator<Item = Input<Nid>>) -> Inputs {
        Inputs { inputs: inputs.into_iter().collect(), about: None }
    }

    pub(crate) fn with_entry(inputs: impl IntoIterator<Item = Input<Nid>>, about: Option<Box<peer::Entry>>) -> Inputs {
        Inputs { about, ..Inputs::of(inputs) }
    }
}

/// Asks which members have never answered anybody, although they were asked.
#[derive(Debug, Message)]
#[rtype(result = "BTreeSet<Nid>")]
pub(crate) struct Unreachable;

/// An operator has changed a group.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct GroupChanged {
    pub gid: Gid,
    pub change: Change,
}

/// How an operator has changed a group.
#[derive(Debug)]
pub(crate) enum Change {
    /// The group was put, with these members.
    Put(Arc<Group>),
    /// A node was added, or met. Holds whether the node was new in the group.
    Added(bool),
    /// The node under this key was removed. Holds whether there was one.
    Removed(String, bool),
    /// The group was deleted.
    Deleted,
}

/// Subscribes to the events of the membership.
#[derive(Debug, Message)]
#[rtype(result = "Result<Events, CallError>")]
pub(crate) struct Subscribe;

/// Makes the node leave, because it stops, and ends its subscriptions.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Farewell;

// For the actor that starts and ends what the node runs.

/// Starts or ends a group's services, as the map of groups says.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Reconcile(pub Gid);

/// Runs a service of the node itself, in place of a service of the same name.
#[derive(Message)]
#[rtype(result = "Result<(), CallError>")]
pub(crate) struct Install {
    pub name: String,
    pub methods: Vec<String>,
    pub start: StartInstance,
}

/// Starts an instance of a service. The instance calls the closure with its address, and with that of each
/// replacement. The result ends the instance.
pub(crate) type StartInstance = Box<dyn FnOnce(OnStart) -> Box<dyn Fn()> + Send>;

/// Takes the address of an instance.
pub(crate) type OnStart = Box<dyn Fn(Recipient<Request>)>;

/// Ends the node, once the calls under way are answered. From now on it performs no further call. Sending it again has no
/// effect.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

/// Ends all of the node's actors at once and tells nobody, as a crash would.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Close;

impl fmt::Debug for AddCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddCallback").field("lasting", &self.lasting).finish_non_exhaustive()
    }
}
