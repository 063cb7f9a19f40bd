//! Calls and replies: the message that every service takes, and the message that comes back.
//!
//! ```text
//! Call { gid, service, method, arguments, context }  ->  Reply = Result<Answer, CallError>
//!
//! a service of one node     ->  Answer::Value(value)                      on the wire  [null, value]
//! a service of a group      ->  Answer::Group { errors, value }           on the wire  [{SID: error}, value]
//! a call that failed        ->  CallError                                 on the wire  [error, null]
//! ```
//!
//! The `value` of a group is a map from SID to value, or an aggregate over it, such as a sum. The failure of a member
//! is in `errors`, and never makes the call fail.

mod arguments;
mod error;
mod methods;
mod reply;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub use self::{
    arguments::{FromArguments, IntoArguments},
    error::{CallError, ErrorKind, Performed},
    methods::PROTOCOL_METHODS,
    reply::{Aggregate, Answer, GroupReply, Reply, reply_from_pair, reply_to_pair},
};
use crate::{
    identity::{Gid, NodeAddr, is_path_segment},
    value::{EcoString, Object, Value},
};

/// The depth to which calls may be nested in calls, so that no service calls itself forever.
pub const MAX_DEPTH: u16 = 16;

/// The time that a call may take unless its caller sets another.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// The longest time that a caller can set for a call.
pub const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// A call on a service of one node or of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The group whose service is called, or `local` for a service of the node itself.
    pub gid: Gid,
    /// The name of the service in the route table.
    pub service: EcoString,
    /// The method of the service.
    pub method: EcoString,
    /// The arguments, each a self-contained value, without the callback.
    pub arguments: Vec<Value>,
    /// The context that travels with the call.
    pub context: CallContext,
}

impl Call {
    /// Creates a call with the default deadline that is not nested in another.
    ///
    /// ```
    /// use chinwag_protocol::{call::Call, identity::Gid, value::Value};
    /// let call = Call::new(Gid::local(), "status", "get", vec![Value::from("nid")]);
    /// assert_eq!(call.to_string(), "local.status.get");
    /// ```
    pub fn new(gid: Gid, service: impl Into<EcoString>, method: impl Into<EcoString>, arguments: Vec<Value>) -> Call {
        Call { gid, service: service.into(), method: method.into(), arguments, context: CallContext::default() }
    }

    /// Returns the call in another context.
    #[must_use]
    pub fn within(mut self, context: CallContext) -> Call {
        self.context = context;
        self
    }

    /// Checks that the names can be part of the path of a request.
    ///
    /// # Errors
    /// [`ErrorKind::BadCall`], naming the one that cannot.
    pub fn check_names(&self) -> Result<(), CallError> {
        for (what, name) in [("service", &self.service), ("method", &self.method)] {
            if !is_path_segment(name) {
                let shown: String = name.chars().take(64).collect();
                return Err(CallError::new(ErrorKind::BadCall, format!("not the name of a {what}: {shown:?}")));
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.gid, self.service, self.method)
    }
}

/// The context of a call, which travels with it from node to node.
///
/// ```
/// use chinwag_protocol::call::CallContext;
/// use std::time::Duration;
///
/// let context = CallContext::new(Duration::from_secs(3));
/// let nested = context.nested(Duration::from_secs(2)).unwrap();
/// assert_eq!((nested.depth, nested.time_left), (1, Duration::from_secs(2)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallContext {
    /// How much longer the caller waits. A relay passes on the time that is left.
    pub time_left: Duration,
    /// The number of calls that this one is nested in, at most [`MAX_DEPTH`].
    pub depth: u16,
    /// An id that follows the call across nodes and appears in their logs.
    pub request: Option<Arc<str>>,
    /// Whether the call came from another node or program, or serves a call that did. It is not sent; the entry point
    /// of outside calls sets it.
    pub outside: bool,
    /// The address that this call, or the one that it serves, came from, if it came over the network. It is not sent.
    pub peer: Option<SocketAddr>,
}

impl Default for CallContext {
    fn default() -> CallContext {
        CallContext::new(DEFAULT_DEADLINE)
    }
}

impl CallContext {
    /// Creates the context of a call of this program, which serves no other call and has no request id.
    pub fn new(time_left: Duration) -> CallContext {
        CallContext { time_left, depth: 0, request: None, outside: false, peer: None }
    }

    /// Creates the context of a call that serves this one and may take `time_left`.
    ///
    /// # Errors
    /// [`ErrorKind::TooDeep`] if the call would be nested deeper than [`MAX_DEPTH`].
    pub fn nested(&self, time_left: Duration) -> Result<CallContext, CallError> {
        if self.depth >= MAX_DEPTH {
            let message = format!("calls are nested {MAX_DEPTH} deep; something calls itself");
            return Err(CallError::new(ErrorKind::TooDeep, message));
        }
        Ok(CallContext { time_left, depth: self.depth + 1, ..self.clone() })
    }
}

/// A method of a service, possibly on a certain node: the second argument of `comm.send`.
///
/// ```
/// use chinwag_protocol::{call::Remote, identity::NodeAddr, value::Value};
///
/// let remote = Remote::new("status", "get").on(NodeAddr::new("127.0.0.1", 8081));
/// assert_eq!(remote.to_value().get("method"), Some(&Value::from("get")));
/// assert_eq!(Remote::from_value(&remote.to_value()).unwrap(), remote);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// The node, unless the group decides which nodes are called.
    pub node: Option<NodeAddr>,
    /// The group whose service is called. Default `local`.
    pub gid: Gid,
    /// The service.
    pub service: EcoString,
    /// The method.
    pub method: EcoString,
}

impl Remote {
    /// Creates a method of a local service, on no particular node.
    pub fn new(service: impl Into<EcoString>, method: impl Into<EcoString>) -> Remote {
        Remote { node: None, gid: Gid::local(), service: service.into(), method: method.into() }
    }

    /// Returns the method on `node`.
    #[must_use]
    pub fn on(mut self, node: NodeAddr) -> Remote {
        self.node = Some(node);
        self
    }

    /// Returns the method of the service of the group `gid`.
    #[must_use]
    pub fn of(mut self, gid: Gid) -> Remote {
        self.gid = gid;
        self
    }

    /// Returns the form on the wire.
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        if let Some(node) = &self.node {
            object.insert("node", node.to_value());
        }
        object.insert("service", Value::from(self.service.as_str()));
        object.insert("method", Value::from(self.method.as_str()));
        if !self.gid.is_local() {
            object.insert("gid", Value::from(self.gid.as_str()));
        }
        Value::Object(object)
    }

    /// Reads `{service, method[, gid][, node]}`.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`], saying what is missing or wrong.
    pub fn from_value(value: &Value) -> Result<Remote, CallError> {
        let bad = |why: String| CallError::new(ErrorKind::BadArgument, why);
        let object = value.as_object();
        let object = object.ok_or_else(|| bad(format!("a remote is an object, not {}", value.type_name())))?;
        let text = |key: &str| match object.get(key) {
            None | Some(Value::Undefined | Value::Null) => Err(bad(format!("the remote has no {key}"))),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(bad(format!("the remote's {key} is {}, not a string", other.type_name()))),
        };
        let gid = match object.get("gid") {
            None | Some(Value::Undefined | Value::Null) => Gid::local(),
            Some(_) => Gid::new(text("gid")?.as_str()).map_err(|why| bad(why.to_string()))?,
        };
        let node = match object.get("node") {
            None | Some(Value::Undefined | Value::Null) => None,
            Some(node) => Some(NodeAddr::from_value(node).map_err(|why| bad(why.to_string()))?),
        };
        Ok(Remote { node, gid, service: text("service")?, method: text("method")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_calls_itself_forever() {
        let mut context = CallContext::default();
        for _ in 0..MAX_DEPTH {
            context = context.nested(DEFAULT_DEADLINE).unwrap();
        }
        assert_eq!(context.nested(DEFAULT_DEADLINE).unwrap_err().kind, ErrorKind::TooDeep);
    }

    #[test]
    fn a_remote_says_what_it_lacks() {
        for (json, says) in [
            (serde_json::json!("x"), "not string"),
            (serde_json::json!({"method": "get"}), "no service"),
            (serde_json::json!({"service": "status"}), "no method"),
            (serde_json::json!({"service": 3, "method": "get"}), "service is number"),
            (serde_json::json!({"service": "s", "method": "m", "gid": "a/b"}), "a/b"),
            (serde_json::json!({"service": "s", "method": "m", "node": {"ip": "h"}}), "no port"),
        ] {
            let error = Remote::from_value(&Value::from_json(json)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument);
            assert!(error.message.contains(says), "{error}");
        }
        let whole = Remote::new("s", "m").of(Gid::all()).on(NodeAddr::new("h", 1));
        assert_eq!(Remote::from_value(&whole.to_value()).unwrap(), whole);
    }
}
