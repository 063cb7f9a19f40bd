//! The actor that starts and ends what a node runs: the services of groups, the services that users install, and the
//! node's own actors when the node ends.

use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc};

use actix::{Actor, Context, Handler, ResponseFuture};
use chinwag_protocol::{call::CallError, identity::Gid, value::EcoString};

use crate::{
    handle::NodeHandle,
    local::routes::Table,
    messages::{Close, Deleted, Install, Reconcile, Stop},
    service::{AnyService, Scope},
    state::NodeState,
    supervise::{Deliver, Supervised},
    supervisor::{Ready, Supervisor, add_route},
};

/// Starts and ends what the node runs.
pub(crate) struct Lifecycle {
    state: Rc<NodeState>,
    node: NodeHandle,
    table: Rc<RefCell<Table>>,
    /// The services of every group.
    services: Rc<[AnyService]>,
    running: Rc<RefCell<Running>>,
}

/// What runs. It is kept outside the actor, so that a panic loses none of it.
#[derive(Default)]
pub(crate) struct Running {
    groups: BTreeMap<Gid, Supervised<Supervisor>>,
    services: BTreeMap<String, Box<dyn Fn()>>,
    /// Called once, when the node is told to stop.
    on_stop: Option<Box<dyn FnOnce()>>,
    /// Each ends one of the node's own actors.
    closers: Vec<Box<dyn Fn()>>,
}

impl Running {
    /// Nothing runs yet. `on_stop` is called once, when the node is told to stop.
    pub(crate) fn new(on_stop: Box<dyn FnOnce()>) -> Running {
        Running { on_stop: Some(on_stop), ..Running::default() }
    }

    /// Adds closures that are called when the node is closed. Each ends one of the node's own actors.
    pub(crate) fn close_with(&mut self, closers: impl IntoIterator<Item = Box<dyn Fn()>>) {
        self.closers.extend(closers);
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lifecycle({})", self.state.me)
    }
}

impl Lifecycle {
    pub(crate) fn new(
        state: Rc<NodeState>,
        node: NodeHandle,
        table: Rc<RefCell<Table>>,
        services: Rc<[AnyService]>,
        running: Rc<RefCell<Running>>,
    ) -> Lifecycle {
        Lifecycle { state, node, table, services, running }
    }

    /// Returns the supervisor of a group, and starts it unless it runs.
    fn open(&self, gid: &Gid) -> Supervised<Supervisor> {
        if let Some(supervisor) = self.running.borrow().groups.get(gid) {
            return supervisor.clone();
        }
        self.table.borrow_mut().open_group(gid);
        let (table, services) = (self.table.clone(), self.services.clone());
        let scope = Scope::new(self.node.clone(), gid.clone());
        let supervisor = Supervised::new(gid.as_str());
        supervisor.start(move || Supervisor::new(table.clone(), services.clone(), scope.clone()), |_| {});
        self.running.borrow_mut().groups.insert(gid.clone(), supervisor.clone());
        supervisor
    }

    /// Runs a service of the node itself, in place of a service of the same name.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`](chinwag_protocol::call::ErrorKind::Reserved) if a built-in service has the name.
    pub(crate) fn install(&self, Install { name, methods, start }: Install) -> Result<(), CallError> {
        self.table.borrow().check_free(&name)?;
        let replaced = self.running.borrow_mut().services.remove(&name);
        if let Some(close) = replaced {
            close();
        }
        let scope = Scope::new(self.node.clone(), Gid::local());
        let methods = methods.into_iter().map(EcoString::from).collect();
        let close = start(add_route(&self.table, &scope, &name, methods, false));
        self.running.borrow_mut().services.insert(name, close);
        Ok(())
    }
}

impl Actor for Lifecycle {
    type Context = Context<Lifecycle>;
}

impl Handler<Reconcile> for Lifecycle {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Reconcile(gid): Reconcile, _: &mut Context<Lifecycle>) -> Self::Result {
        // the map decides as it is now, because messages can overtake each other
        let exists = self.state.groups.borrow().entry(&gid).is_ok();
        if exists {
            let ready = self.open(&gid).deliver(Ready);
            return Box::pin(async move {
                // an answer means that the services run; on an error, the supervisor panicked and is replaced
                let _ = ready.await;
            });
        }
        self.table.borrow_mut().remove_group(&gid);
        let supervisor = self.running.borrow_mut().groups.remove(&gid);
        if let Some(supervisor) = supervisor {
            supervisor.close();
        }
        let deleting = self.node.caller().doors().gossip.deliver(Deleted(gid));
        Box::pin(async move {
            // on an error, the replacement of the gossip actor finds out by itself
            let _ = deleting.await;
        })
    }
}

impl Handler<Install> for Lifecycle {
    type Result = Result<(), CallError>;

    fn handle(&mut self, install: Install, _: &mut Context<Lifecycle>) -> Self::Result {
        self.install(install)
    }
}

impl Handler<Stop> for Lifecycle {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Context<Lifecycle>) {
        // this happens before the answer, so that a node performs no call of a caller that has the answer
        self.node.refuse_calls();
        let on_stop = self.running.borrow_mut().on_stop.take();
        if let Some(on_stop) = on_stop {
            on_stop();
        }
    }
}

impl Handler<Close> for Lifecycle {
    type Result = ();

    fn handle(&mut self, _: Close, _: &mut Context<Lifecycle>) {
        self.table.borrow_mut().clear();
        self.state.scripts.close();
        let Running { groups, services, closers, .. } = std::mem::take(&mut *self.running.borrow_mut());
        groups.into_values().for_each(|supervisor| supervisor.close());
        services.into_values().chain(closers).for_each(|close| close());
    }
}
