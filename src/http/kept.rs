//! Connections that a peer keeps open to this node, and the report of their end.
//!
//! ```text
//! a peer opens a connection           -> Connection, in the connection's own data
//! ping({from, …, kept: true}) over it -> the connection is the peer's
//! the connection ends                 -> report(node, peer), once
//! ```
//!
//! A process that ends closes all of its sockets, so the end of such a connection is the first sign of it. It is no proof: the
//! peer may have closed a connection that it no longer used. A node that is stopping closes its connections itself, and
//! therefore reports none.

use std::{any::Any, cell::RefCell, fmt, sync::Arc};

use actix_web::{HttpRequest, dev::Extensions};
use chinwag_actors::handle::NodeHandle;
use chinwag_protocol::{call::Call, identity::NodeAddr, value::Value};

/// A closure that is called, on the node's own thread, when a connection that a peer kept open has ended.
pub(crate) struct Report(Box<Reporter>);

type Reporter = dyn Fn(&NodeHandle, NodeAddr) + Send + Sync;

impl Report {
    pub(crate) fn new(report: impl Fn(&NodeHandle, NodeAddr) + Send + Sync + 'static) -> Report {
        Report(Box::new(report))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

/// A connection to this node. It is dropped when the connection has ended.
struct Connection {
    report: Arc<Report>,
    keeper: RefCell<Option<(NodeHandle, NodeAddr)>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((node, peer)) = self.keeper.take()
            && !node.is_stopping()
        {
            (self.report.0)(&node, peer);
        }
    }
}

/// Returns the closure that an [`HttpServer`](actix_web::HttpServer) calls with each new connection.
pub(crate) fn watch(report: Arc<Report>) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    move |_, data| {
        data.insert(Connection { report: report.clone(), keeper: RefCell::default() });
    }
}

/// Returns the peer that keeps the connection of a call open: the sender of a `ping` that says so.
pub(crate) fn keeper(call: &Call) -> Option<NodeAddr> {
    if !call.is_protocol() || call.method != "ping" {
        return None;
    }
    let stated = call.arguments.first()?.as_object()?;
    if stated.get("kept") != Some(&Value::Boolean(true)) {
        return None;
    }
    NodeAddr::from_value(stated.get("from")?).ok()
}

/// Records that a peer keeps the connection of a request open. A connection has one keeper, the last peer that said so.
pub(crate) fn note(request: &HttpRequest, node: &NodeHandle, peer: NodeAddr) {
    if let Some(connection) = request.conn_data::<Connection>() {
        *connection.keeper.borrow_mut() = Some((node.clone(), peer));
    }
}
