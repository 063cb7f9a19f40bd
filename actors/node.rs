//! One node: starts its actors, starts and ends those of its groups, and ends.
//!
//! ```text
//! start(environment)                 -> the node's own services: who is needed by all at once, the others with their first call
//! the first call on a known group    -> Reconcile(gid), as put: `all` and what the node started with cost nothing idle
//! groups.put / groups.del            -> Reconcile(gid): a supervisor runs for the group, or none does
//! Node::install                      -> Install(service): an actor that holds the service's state
//! status.stop, Ctrl-C, Node::stop    -> Stop: the outside world is told, and closes the door when it has answered
//! ```

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    rc::{Rc, Weak},
    sync::atomic::AtomicBool,
};

use actix::{Actor, Addr, Context, Handler, Message, Recipient, ResponseFuture};
use chinwag_protocol::{call::CallError, identity::Gid, value::EcoString};

use crate::{
    group::supervisor::{Ready, Supervisor},
    handle::{Inner, Node},
    home::{Environment, Home},
    load::Gauges,
    local::{comm, gossip, groups, membership, routes, status},
    request::Request,
    seat::{LateSeat, Seat, supervise},
    service::{AnyService, Scope},
};

/// Starts a node's actors on the present thread, which must run a local task set (any actix runtime does). They end
/// with the thread's runtime, or when the node is closed.
pub fn start(environment: Environment) -> Node {
    let (home, services, on_stop) = Home::new(environment);
    let home = Rc::new(home);
    let table = Rc::new(RefCell::new(routes::Table::new(home.scripts.directory().clone())));
    table.borrow_mut().open_group(&Gid::local());

    let (h, t) = (home.clone(), table.clone());
    let routes = supervise(
        "routes",
        move || routes::Routes::new(h.clone(), t.clone()),
        seated(&table, "routes", named(&routes::METHODS)),
    );
    let (roster, rooms) = (membership::roster(&home), Rc::new(gossip::Rooms::default()));
    let late = Late { home: Rc::downgrade(&home), table: Rc::downgrade(&table) };
    let groups = late.seat("groups", &groups::METHODS, |home, _| groups::Groups::new(home));
    let comm = late.seat("comm", &comm::METHODS, |home, _| comm::Comm::new(home));
    let (r, o) = (rooms.clone(), roster.clone());
    let status = late.seat("status", &status::METHODS, move |home, table| {
        status::Status::new(home, Gauges { table, rooms: r.clone(), roster: o.clone() })
    });
    // a node that takes no part has none of the others, and so says
    let mut gossip_methods = gossip::METHODS.to_vec();
    gossip_methods.extend(roster.iter().flat_map(|_| membership::wire::METHODS));
    let (h, signs) = (home.clone(), membership::Signs::new(roster.clone()));
    let r = rooms.clone();
    let gossip = supervise(
        "gossip",
        move || gossip::Gossip::new(h.clone(), r.clone(), signs.clone()),
        seated(&table, "gossip", named(&gossip_methods)),
    );
    let members = roster.clone().map(|roster| {
        let h = home.clone();
        let make = move || membership::Membership::new(h.clone(), roster.clone(), rooms.clone());
        supervise("membership", make, seated(&table, "membership", named(&membership::METHODS)))
    });

    let state = Rc::new(RefCell::new(State {
        groups: BTreeMap::new(),
        services: BTreeMap::new(),
        on_stop: Some(on_stop),
        closers: Vec::new(),
    }));
    let (h, t, s) = (home.clone(), table.clone(), state.clone());
    let make = move || Lifecycle { home: h.clone(), table: t.clone(), state: s.clone() };
    let lifecycle = supervise("node", make, |_| {});

    let node = Node::new(Inner {
        me: home.me.clone(),
        nid: home.me.nid(),
        clock: home.clock,
        routes: routes.clone(),
        groups: groups.clone(),
        comm: comm.clone(),
        gossip: gossip.clone(),
        lifecycle: lifecycle.clone(),
        membership: members.clone(),
        unheard: home.unheard.clone(),
        stopping: AtomicBool::new(false),
    });
    home.complete(node.clone());
    home.scripts.attach(Rc::new(routes::Outside { node: node.clone(), table: table.clone() }));
    state.borrow_mut().closers = vec![
        Box::new(move || routes.close()),
        Box::new(move || groups.close()),
        Box::new(move || comm.close()),
        Box::new(move || status.close()),
        Box::new(move || gossip.close()),
        Box::new(move || lifecycle.close()),
        Box::new(move || {
            if let Some(roster) = &roster {
                roster.borrow_mut().end();
            }
            if let Some(members) = &members {
                members.close();
            }
        }),
    ];
    let lifecycle = Lifecycle { home, table, state };
    for service in services {
        // the names were checked when the node was configured
        let _ = lifecycle.install(&service);
    }
    node
}

/// Keeps names for built-in actors that start when they are first needed: of many nodes in one process most have no use
/// for most of them. The route table has what starts them, and so nothing in there may keep the table or the home.
struct Late {
    home: Weak<Home>,
    table: Weak<RefCell<routes::Table>>,
}

impl Late {
    fn seat<A>(
        &self,
        name: &'static str,
        methods: &[&str],
        make: impl Fn(Rc<Home>, Rc<RefCell<routes::Table>>) -> A + 'static,
    ) -> LateSeat<A>
    where
        A: Actor<Context = Context<A>> + Handler<Request>,
    {
        let (seat, methods, make) = (LateSeat::new(name), named(methods), Rc::new(make));
        let (s, m, home, table) = (seat.clone(), methods.clone(), self.home.clone(), self.table.clone());
        let begin = move || {
            // a node whose end has begun starts nothing
            let (Some(home), Some(table)) = (home.upgrade(), table.upgrade()) else { return };
            let (seated, make) = (seated(&table, name, m.clone()), make.clone());
            s.fill(supervise(name, move || make(home.clone(), table.clone()), seated));
        };
        if let Some(table) = self.table.upgrade() {
            table.borrow_mut().reserve(name, &methods, Rc::new(begin));
        }
        seat
    }
}

fn named(methods: &[&str]) -> Rc<[EcoString]> {
    methods.iter().map(|&method| method.into()).collect()
}

/// Puts each actor that comes to sit in a built-in service's seat into the route table.
fn seated<A>(
    table: &Rc<RefCell<routes::Table>>,
    name: &'static str,
    methods: Rc<[EcoString]>,
) -> impl Fn(&Addr<A>) + 'static
where
    A: Actor<Context = Context<A>> + Handler<Request>,
{
    let table = table.clone();
    move |addr| table.borrow_mut().seat(&Gid::local(), name, addr.clone().recipient(), &methods, true)
}

/// Keeps a definition's actors in the route table under a group's name. Answers what ends the instance.
pub(crate) fn run_service(
    table: &Rc<RefCell<routes::Table>>,
    scope: Scope,
    service: &AnyService,
    builtin: bool,
) -> Box<dyn Fn()> {
    let methods: Rc<[EcoString]> = service.methods().into_iter().map(EcoString::from).collect();
    let (table, gid, name) = (table.clone(), scope.gid().clone(), service.name().to_owned());
    service.start(scope, move |recipient: Recipient<Request>| {
        table.borrow_mut().seat(&gid, &name, recipient, &methods, builtin);
    })
}

/// Starts and ends what the node runs.
pub struct Lifecycle {
    home: Rc<Home>,
    table: Rc<RefCell<routes::Table>>,
    state: Rc<RefCell<State>>,
}

/// Kept outside the actor, so that a panic orphans nothing.
struct State {
    groups: BTreeMap<Gid, Seat<Supervisor>>,
    services: BTreeMap<String, Box<dyn Fn()>>,
    on_stop: Option<Box<dyn FnOnce()>>,
    closers: Vec<Box<dyn Fn()>>,
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lifecycle({})", self.home.me)
    }
}

impl Lifecycle {
    /// Runs a supervisor for a group, unless one runs. Answers its seat.
    fn open(&self, gid: &Gid) -> Option<Seat<Supervisor>> {
        if let Some(seat) = self.state.borrow().groups.get(gid) {
            return Some(seat.clone());
        }
        let scope = Scope::new(self.home.node().ok()?.clone(), gid.clone());
        self.table.borrow_mut().open_group(gid);
        let (home, table) = (self.home.clone(), self.table.clone());
        let make = move || Supervisor::new(home.clone(), table.clone(), scope.clone());
        let seat = supervise(format!("{gid}"), make, |_| {});
        self.state.borrow_mut().groups.insert(gid.clone(), seat.clone());
        Some(seat)
    }

    fn install(&self, service: &AnyService) -> Result<(), CallError> {
        let name = service.name();
        self.table.borrow().check_free(name)?;
        let scope = Scope::new(self.home.node()?.clone(), Gid::local());
        if let Some(close) = self.state.borrow_mut().services.remove(name) {
            close();
        }
        let close = run_service(&self.table, scope, service, false);
        self.state.borrow_mut().services.insert(name.to_owned(), close);
        Ok(())
    }
}

impl Actor for Lifecycle {
    type Context = Context<Lifecycle>;
}

/// Makes the running services of a group agree with the map of groups.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Reconcile(pub Gid);

impl Handler<Reconcile> for Lifecycle {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Reconcile(gid): Reconcile, _: &mut Context<Lifecycle>) -> Self::Result {
        // what the map says now, not when the message was sent: messages may overtake each other
        let exists = self.home.groups.borrow().entry(&gid).is_ok();
        if exists {
            let seat = self.open(&gid);
            return Box::pin(async move {
                if let Some(seat) = seat {
                    // an answer means that the services run; a supervisor that dies meanwhile is replaced
                    let _ = seat.send(Ready).await;
                }
            });
        }
        self.table.borrow_mut().remove_group(&gid);
        if let Some(seat) = self.state.borrow_mut().groups.remove(&gid) {
            seat.close();
        }
        let node = self.home.node().ok().cloned();
        Box::pin(async move {
            if let Some(node) = node {
                // one that is being replaced looks for itself
                let _ = node.inner().gossip.ask(gossip::Left(gid)).await;
            }
        })
    }
}

/// Runs a service of the node's own, in place of one of the same name.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), CallError>")]
pub(crate) struct Install(pub AnyService);

impl Handler<Install> for Lifecycle {
    type Result = Result<(), CallError>;

    fn handle(&mut self, Install(service): Install, _: &mut Context<Lifecycle>) -> Self::Result {
        self.install(&service)
    }
}

/// Ends the node, once what was asked is answered; from now on it performs no further call. Asking again changes nothing.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

impl Handler<Stop> for Lifecycle {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Context<Lifecycle>) {
        // before this is answered, so that no caller that has the answer finds the node at work
        if let Ok(node) = self.home.node() {
            node.refuse_calls();
        }
        if let Some(on_stop) = self.state.borrow_mut().on_stop.take() {
            on_stop();
        }
    }
}

/// Ends all of the node's actors at once, with nobody told: what a crash would do.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Close;

impl Handler<Close> for Lifecycle {
    type Result = ();

    fn handle(&mut self, _: Close, _: &mut Context<Lifecycle>) {
        self.table.borrow_mut().clear();
        self.home.scripts.close();
        let mut state = self.state.borrow_mut();
        for seat in std::mem::take(&mut state.groups).into_values() {
            seat.close();
        }
        for close in std::mem::take(&mut state.services).into_values() {
            close();
        }
        for close in std::mem::take(&mut state.closers) {
            close();
        }
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::call::{Call, PROTOCOL_METHODS};

    use super::*;

    /// What can be repeated, and what belongs to the protocols, of all that the built-in services have.
    #[test]
    fn each_built_in_method_is_declared_protocol_and_repeatable_or_not() {
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
