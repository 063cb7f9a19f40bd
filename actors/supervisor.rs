//! The supervisor of one group: starts the group's services, bound to the group, and ends them.
//!
//! Which services a group has is the same for all groups of a node; the group only adds the scope that they run in. A
//! service that panics is replaced by its own [`supervise`](crate::supervise) task. If the supervisor itself panics, its
//! replacement starts the services anew.

use std::{cell::RefCell, rc::Rc};

use actix::{Actor, Context, Handler, Message};
use chinwag_protocol::value::EcoString;

use crate::{
    local::routes::Table,
    messages::OnStart,
    service::{AnyService, Scope},
};

/// Runs one group's services for as long as it lives.
pub(crate) struct Supervisor {
    table: Rc<RefCell<Table>>,
    services: Rc<[AnyService]>,
    scope: Scope,
    running: Vec<Box<dyn Fn()>>,
}

impl Supervisor {
    pub(crate) fn new(table: Rc<RefCell<Table>>, services: Rc<[AnyService]>, scope: Scope) -> Supervisor {
        Supervisor { table, services, scope, running: Vec::new() }
    }
}

impl Actor for Supervisor {
    type Context = Context<Supervisor>;

    fn started(&mut self, _: &mut Context<Supervisor>) {
        for service in &*self.services {
            let methods = service.methods().into_iter().map(EcoString::from).collect();
            let route = add_route(&self.table, &self.scope, service.name(), methods, true);
            self.running.push(service.start(self.scope.clone(), route));
        }
        log::debug!(target: "chinwag::groups", "{} runs {} services", self.scope.gid(), self.running.len());
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for close in &self.running {
            close();
        }
    }
}

/// Keeps the address of a service's current instance in the route table.
pub(crate) fn add_route(
    table: &Rc<RefCell<Table>>,
    scope: &Scope,
    name: &str,
    methods: Rc<[EcoString]>,
    builtin: bool,
) -> OnStart {
    let (table, gid, name) = (table.clone(), scope.gid().clone(), name.to_owned());
    Box::new(move |recipient| table.borrow_mut().set_actor(&gid, &name, recipient, &methods, builtin))
}

/// Answered once the group's services run.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Ready;

impl Handler<Ready> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Ready, _: &mut Context<Supervisor>) {}
}
