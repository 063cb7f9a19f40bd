//! Starts the actors of one node.
//!
//! ```text
//! start(environment)                  starts the services that every node needs; the others start with the first call on them
//! the first call on a known group     -> Reconcile: starts the group's supervisor, so that a group that is never called costs nothing
//! groups.put, groups.del              -> Reconcile: starts the group's supervisor, or ends it
//! NodeHandle::install                 -> Install: starts an actor that holds the service's state
//! status.stop, NodeHandle::begin_stop -> Stop: calls Environment::on_stop; the caller of start closes the node once calls are answered
//! ```

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::{Arc, atomic::AtomicBool},
};

use actix::{Actor, Addr, Context, Handler};
use chinwag_protocol::{
    group::{Group, GroupConfig, Groups, Sharing},
    identity::{Gid, NodeAddr},
    value::EcoString,
};
use tokio::sync::mpsc;

use crate::{
    caller::Caller,
    doors::{Doors, MembershipDoor, RoutesDoor},
    environment::Environment,
    group,
    handle::NodeHandle,
    lifecycle::{Lifecycle, Running},
    local::{
        comm::{self, Comm},
        gossip::{self, Gossip, GossipState},
        groups,
        load_sources::LoadSources,
        membership::{self, LivenessObserver, Membership},
        routes::{self, Routes, ScriptHost, Table},
        status::{self, Status},
    },
    messages::{MAX_INCOMING, StartService},
    request::Request,
    service::{AnyService, Scope},
    state::{Given, NodeState},
    supervise::{StartOnDemand, Supervised},
};

/// Starts a node's actors on the current thread, which must run a local task set, as every actix runtime does. The actors end
/// with the thread's runtime, or when the node is closed.
///
/// ```
/// use chinwag_actors::{environment::Environment, node};
/// # actix::System::new().block_on(async {
/// let node = node::start(Environment::isolated("127.0.0.1:8080".parse()?));
/// assert_eq!(node.group("all").members().await?.len(), 1);
/// node.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub fn start(environment: Environment) -> NodeHandle {
    let Environment { me, seed, clock, settings, services, mut distributed, on_stop, .. } = environment;
    let (known, founded) = known_groups(&me, environment.groups, environment.sharing, environment.founding);
    let mut group_services = group::services().to_vec();
    group_services.append(&mut distributed);
    let given = Given {
        transport: environment.transport,
        launcher: environment.launcher,
        engines: environment.engines,
        heap: environment.heap,
        incarnation: environment.incarnation,
        acquainted: environment.acquainted,
        groups: known,
        founded,
        group_services: group_services.iter().map(|service| (service.name().to_owned(), service.methods())).collect(),
    };
    let state = Rc::new(NodeState::new(me, settings, seed, clock, given));
    let table = Rc::new(RefCell::new(Table::new(state.scripts.directory().clone(), (&state.settings).into())));
    table.borrow_mut().open_group(&Gid::local());
    let (send, incoming) = mpsc::channel(MAX_INCOMING);
    let (membership_state, gossip_state) = (membership::create_state(&state), Rc::new(GossipState::new(incoming)));

    // the addresses exist before the actors, because the actors have each other's addresses
    let routes = Supervised::new("routes");
    let routes_door: Arc<dyn RoutesDoor> = Arc::new(routes.clone());
    let (groups, comm, status) = (
        Supervised::on_demand("groups", ask_routes_to_start(&routes_door, "groups")),
        Supervised::on_demand("comm", ask_routes_to_start(&routes_door, "comm")),
        // only the route table sends it messages
        Supervised::<Status>::new("status"),
    );
    let (gossip, lifecycle) = (Supervised::new("gossip"), Supervised::new("node"));
    let members = membership_state.as_ref().map(|_| Supervised::<Membership>::new("membership"));
    let doors = Arc::new(Doors {
        me: state.me.clone(),
        nid: state.me.nid(),
        clock,
        routes: routes_door,
        comm: Arc::new(comm.clone()),
        groups: Arc::new(groups.clone()),
        gossip: Arc::new(gossip.clone()),
        incoming: send,
        membership: members.clone().map(|members| Arc::new(members) as Arc<dyn MembershipDoor>),
        lifecycle: Arc::new(lifecycle.clone()),
        unheard: state.unheard.clone(),
        stopping: AtomicBool::new(false),
    });
    let (caller, node) = (Caller::new(doors.clone()), NodeHandle::new(doors.clone()));

    let (s, c, t) = (state.clone(), caller.clone(), table.clone());
    routes.start(
        move || Routes::new(s.clone(), c.clone(), t.clone()),
        add_local_route(&table, "routes", named(&routes::METHODS)),
    );
    let lazy = Lazy { state: Rc::downgrade(&state), table: Rc::downgrade(&table), caller: caller.clone() };
    lazy.reserve(&groups, "groups", &groups::METHODS, |state, caller, _| groups::Groups::new(state, caller));
    lazy.reserve(&comm, "comm", &comm::METHODS, |state, caller, _| Comm::new(state, caller));
    let (r, o) = (gossip_state.clone(), membership_state.clone());
    lazy.reserve(&status, "status", &status::METHODS, move |state, caller, table| {
        Status::new(state, caller, LoadSources { table, gossip: r.clone(), membership: o.clone() })
    });
    // a node that does not take part in membership answers that its methods do not exist
    let mut gossip_methods = gossip::METHODS.to_vec();
    gossip_methods.extend(membership_state.iter().flat_map(|_| membership::wire::METHODS));
    let (s, c, r, liveness) =
        (state.clone(), caller.clone(), gossip_state.clone(), LivenessObserver::new(membership_state.clone(), doors));
    gossip.start(
        move || Gossip::new(s.clone(), c.clone(), r.clone(), liveness.clone()),
        add_local_route(&table, "gossip", named(&gossip_methods)),
    );
    if let (Some(membership_state), Some(members)) = (membership_state.clone(), &members) {
        let (s, c, own) = (state.clone(), caller.clone(), members.clone());
        members.start(
            move || Membership::new(s.clone(), c.clone(), own.clone(), membership_state.clone(), gossip_state.clone()),
            add_local_route(&table, "membership", named(&membership::METHODS)),
        );
    }
    let running = Rc::new(RefCell::new(Running::new(on_stop)));
    let (s, n, t, r) = (state.clone(), node.clone(), table.clone(), running.clone());
    let group_services: Rc<[AnyService]> = group_services.into();
    let make = move || Lifecycle::new(s.clone(), n.clone(), t.clone(), group_services.clone(), r.clone());
    let installer = make();
    let closers: [Box<dyn Fn()>; 7] = [
        Box::new(move || routes.close()),
        Box::new(move || groups.close()),
        Box::new(move || comm.close()),
        Box::new(move || status.close()),
        Box::new(move || gossip.close()),
        Box::new({
            let lifecycle = lifecycle.clone();
            move || lifecycle.close()
        }),
        Box::new(move || {
            if let Some(membership_state) = &membership_state {
                membership_state.borrow_mut().end();
            }
            if let Some(members) = &members {
                members.close();
            }
        }),
    ];
    running.borrow_mut().close_with(closers);
    lifecycle.start(make, |_| {});
    state.scripts.attach(Rc::new(ScriptHost { caller, table }));

    for service in services {
        // a service with the name of a built-in one is not installed
        let _ = installer.install(service.prepare(Scope::new(node.clone(), Gid::local())));
    }
    node
}

/// The groups that a node knows when it starts, and those of them that it has been in since their beginning.
fn known_groups(
    me: &NodeAddr,
    groups: Vec<(Arc<GroupConfig>, Arc<Group>)>,
    sharing: Option<Sharing>,
    founding: bool,
) -> (Groups, Vec<Gid>) {
    let (mut known, mut founded) = (Groups::new(me.clone()), Vec::new());
    if let Some(sharing) = sharing {
        known = known.sharing(sharing);
    }
    for (config, members) in groups {
        let gid = config.gid.clone();
        match known.share(config, members) {
            Ok(()) if founding => founded.extend([gid, Gid::all()]),
            Ok(()) => {}
            Err(why) => log::warn!(target: "chinwag::groups", "{me} does not start with a group: {why}"),
        }
    }
    founded.sort_unstable();
    founded.dedup();
    (known, founded)
}

/// Starts the built-in actor of this name by a message to the route table, which runs on the node's own thread.
fn ask_routes_to_start(routes: &Arc<dyn RoutesDoor>, name: &'static str) -> StartOnDemand {
    let routes = routes.clone();
    Arc::new(move || {
        let starting = routes.deliver(StartService(name));
        Box::pin(async move {
            // on an error the actor never starts, and the message that needs it fails
            let _ = starting.await;
        })
    })
}

/// Reserves names for built-in actors that start when they are first needed, because most of many nodes in one process never
/// need most of them. The route table holds the closures that start them, so these must not keep the table or the state alive.
struct Lazy {
    state: Weak<NodeState>,
    table: Weak<RefCell<Table>>,
    caller: Caller,
}

impl Lazy {
    fn reserve<A>(
        &self,
        address: &Supervised<A>,
        name: &'static str,
        methods: &[&str],
        make: impl Fn(Rc<NodeState>, Caller, Rc<RefCell<Table>>) -> A + 'static,
    ) where
        A: Actor<Context = Context<A>> + Handler<Request>,
    {
        let (methods, make, caller, address) = (named(methods), Rc::new(make), self.caller.clone(), address.clone());
        let (m, state, table) = (methods.clone(), self.state.clone(), self.table.clone());
        let begin = move || {
            // a node that ends starts no actor
            let (Some(state), Some(table)) = (state.upgrade(), table.upgrade()) else { return };
            let (on_start, make, caller) = (add_local_route(&table, name, m.clone()), make.clone(), caller.clone());
            address.start(move || make(state.clone(), caller.clone(), table.clone()), on_start);
        };
        if let Some(table) = self.table.upgrade() {
            table.borrow_mut().reserve(name, &methods, Rc::new(begin));
        }
    }
}

fn named(methods: &[&str]) -> Rc<[EcoString]> {
    methods.iter().map(|&method| method.into()).collect()
}

/// Keeps the address of a built-in service's current instance in the route table.
fn add_local_route<A>(
    table: &Rc<RefCell<Table>>,
    name: &'static str,
    methods: Rc<[EcoString]>,
) -> impl Fn(&Addr<A>) + 'static
where
    A: Actor<Context = Context<A>> + Handler<Request>,
{
    let table = table.clone();
    move |addr| table.borrow_mut().set_actor(&Gid::local(), name, addr.clone().recipient(), &methods, true)
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::call::{Call, PROTOCOL_METHODS};

    use super::*;

    #[test]
    fn calls_of_built_in_methods_are_protocol_or_repeatable_as_declared() {
        let protocol: Vec<&str> = [&gossip::METHODS[..], &membership::wire::METHODS].concat();
        let services: [(&str, &[&str]); 6] = [
            ("comm", &comm::METHODS),
            ("gossip", &protocol),
            ("groups", &groups::METHODS),
            ("membership", &membership::METHODS),
            ("routes", &routes::METHODS),
            ("status", &status::METHODS),
        ];
        for (service, methods) in services {
            for method in methods {
                let call = Call::new(Gid::local(), service, *method, Vec::new());
                let read =
                    matches!((service, *method), ("groups" | "routes" | "status", "get") | ("membership", "list"));
                assert_eq!(call.is_protocol(), service == "gossip", "{call}");
                assert_eq!(call.is_repeatable(), service == "gossip" || read, "{call}");
                let call = Call::new(Gid::all(), service, *method, Vec::new());
                assert_eq!(
                    (call.is_protocol(), call.is_repeatable()),
                    (false, read && service != "membership"),
                    "{call}"
                );
            }
        }
        let mut sorted = protocol;
        sorted.sort_unstable();
        assert_eq!(sorted, PROTOCOL_METHODS);
        for call in
            [Call::new(Gid::local(), "counter", "get", Vec::new()), Call::new(Gid::local(), "x", "ping", Vec::new())]
        {
            assert!(!call.is_repeatable() && !call.is_protocol(), "{call}");
        }
    }
}
