//! The supervisor of one group: instantiates the group's services, bound to it, and takes them down.
//!
//! Which services there are is written in `group::services` and in what the node was started with; what a
//! GID adds is the scope they run in. A service that panics is replaced by its [`seat`](crate::seat)'s watcher; if the
//! supervisor itself panics, its successor starts the services anew.

use std::{cell::RefCell, rc::Rc};

use actix::{Actor, Context, Handler, Message};

use crate::{home::Home, local::routes::Table, node::run_service, service::Scope};

/// Runs one group's services for as long as it lives.
pub struct Supervisor {
    home: Rc<Home>,
    table: Rc<RefCell<Table>>,
    scope: Scope,
    running: Vec<Box<dyn Fn()>>,
}

impl Supervisor {
    pub(crate) fn new(home: Rc<Home>, table: Rc<RefCell<Table>>, scope: Scope) -> Supervisor {
        Supervisor { home, table, scope, running: Vec::new() }
    }
}

impl Actor for Supervisor {
    type Context = Context<Supervisor>;

    fn started(&mut self, _: &mut Context<Supervisor>) {
        for service in super::services().iter().chain(&self.home.distributed) {
            self.running.push(run_service(&self.table, self.scope.clone(), service, true));
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

/// Answered once the group's services run.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Ready;

impl Handler<Ready> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Ready, _: &mut Context<Supervisor>) {}
}
