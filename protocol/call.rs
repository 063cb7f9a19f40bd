//! Calls and their answers: the one message that reaches every service, and the one that comes back.
//!
//! ```text
//! Call { gid, service, method, arguments, context }  ->  Reply = Result<Answer, CallError>
//!
//! a service of one node     ->  Answer::Value(value)                      on the wire  [null, value]
//! a service of a group      ->  Answer::Group { errors, value }           on the wire  [{SID: error}, value]
//! a call that failed        ->  CallError                                 on the wire  [error, null]
//! ```
//!
//! A group's `value` is a map from SID to value, or an aggregate of it (a sum). One member's failure stands in `errors`
//! and never fails the call.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    identity::{AddrError, Gid, NameError, NodeAddr, Sid, is_path_segment},
    value::{ConversionError, EcoString, ErrorValue, Object, Value},
};

/// How deep calls may be nested in calls, so that nothing calls itself forever.
pub const MAX_DEPTH: u16 = 16;

/// How long a call may take unless its caller says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// The longest a caller may ask a node to work for it.
pub const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// A call on a service of one node or of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `local`, or the group whose service is meant.
    pub gid: Gid,
    /// The service's name in the route table.
    pub service: EcoString,
    /// One of its methods.
    pub method: EcoString,
    /// The arguments, each a value of its own; the callback is not among them.
    pub arguments: Vec<Value>,
    /// What travels with the call.
    pub context: CallContext,
}

impl Call {
    /// A call with the default deadline, nested in no other.
    ///
    /// ```
    /// use chinwag_protocol::{call::Call, identity::Gid, value::Value};
    /// let call = Call::new(Gid::local(), "status", "get", vec![Value::from("nid")]);
    /// assert_eq!(call.to_string(), "local.status.get");
    /// ```
    pub fn new(gid: Gid, service: impl Into<EcoString>, method: impl Into<EcoString>, arguments: Vec<Value>) -> Call {
        Call { gid, service: service.into(), method: method.into(), arguments, context: CallContext::default() }
    }

    /// The same call in another context.
    #[must_use]
    pub fn within(mut self, context: CallContext) -> Call {
        self.context = context;
        self
    }

    /// Whether its names can stand in the path of a request.
    ///
    /// # Errors
    /// [`ErrorKind::BadCall`], naming what cannot.
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

/// What travels with a call from node to node.
#[derive(Clone, Debug, PartialEq)]
pub struct CallContext {
    /// How long the caller will still wait. A relay passes on what is left.
    pub time_left: Duration,
    /// How many calls this one is nested in; refused past [`MAX_DEPTH`].
    pub depth: u16,
    /// Follows the call across nodes, for people reading logs.
    pub request: Option<Arc<str>>,
}

impl Default for CallContext {
    fn default() -> CallContext {
        CallContext { time_left: DEFAULT_DEADLINE, depth: 0, request: None }
    }
}

impl CallContext {
    /// The context of a call that serves this one, with `time_left` to spend.
    ///
    /// # Errors
    /// [`ErrorKind::TooDeep`] where calls are nested past [`MAX_DEPTH`].
    pub fn nested(&self, time_left: Duration) -> Result<CallContext, CallError> {
        if self.depth >= MAX_DEPTH {
            let message = format!("calls are nested {MAX_DEPTH} deep; something calls itself");
            return Err(CallError::new(ErrorKind::TooDeep, message));
        }
        Ok(CallContext { time_left, depth: self.depth + 1, request: self.request.clone() })
    }
}

/// What comes back of a call.
pub type Reply = Result<Answer, CallError>;

/// What a call that did not fail answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of a service of one node.
    Value(Value),
    /// Of a group's service.
    Group {
        /// What failed, by member.
        errors: BTreeMap<Sid, CallError>,
        /// A map from SID to value, or an aggregate of it.
        value: Value,
    },
}

impl Answer {
    /// As the wire has it: the error's place and the value's.
    pub fn into_pair(self) -> (Value, Value) {
        match self {
            Answer::Value(value) => (Value::Null, value),
            Answer::Group { errors, value } => (errors_to_value(errors), value),
        }
    }

    /// The value alone.
    pub fn into_value(self) -> Value {
        match self {
            Answer::Value(value) | Answer::Group { value, .. } => value,
        }
    }
}

fn errors_to_value(errors: BTreeMap<Sid, CallError>) -> Value {
    let errors = errors.into_iter().map(|(sid, error)| (sid.to_string(), Value::from(error)));
    Value::Object(errors.collect())
}

impl From<Value> for Answer {
    fn from(value: Value) -> Answer {
        Answer::Value(value)
    }
}

impl From<GroupReply> for Answer {
    fn from(reply: GroupReply) -> Answer {
        let values = reply.values.into_iter().map(|(sid, value)| (sid.to_string(), value));
        Answer::Group { errors: reply.errors, value: Value::Object(values.collect()) }
    }
}

impl<T: Into<Value>> From<Aggregate<T>> for Answer {
    fn from(aggregate: Aggregate<T>) -> Answer {
        Answer::Group { errors: aggregate.errors, value: aggregate.value.into() }
    }
}

/// A reply as the wire has it: the error's place and the value's.
pub fn reply_to_pair(reply: Reply) -> (Value, Value) {
    match reply {
        Ok(answer) => answer.into_pair(),
        Err(error) => (Value::from(error), Value::Null),
    }
}

/// Reads a reply off the wire. An object of errors in the error's place is what a group's service answers; anything
/// else that is not null there failed the call.
pub fn reply_from_pair(error: Value, value: Value) -> Reply {
    match error {
        Value::Null | Value::Undefined => Ok(Answer::Value(value)),
        Value::Object(errors) => {
            let named =
                |(key, value): (EcoString, Value)| Some((Sid::new(key.as_str()).ok()?, CallError::from_value(value)));
            Ok(Answer::Group { errors: errors.into_iter().filter_map(named).collect(), value })
        }
        other => Err(CallError::from_value(other)),
    }
}

/// What a group's members answered, each for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupReply {
    /// The members that failed, and how.
    pub errors: BTreeMap<Sid, CallError>,
    /// What the others answered.
    pub values: BTreeMap<Sid, Value>,
}

impl GroupReply {
    /// Puts down what one member answered. Where a member answered for a group of its own, its value counts, and its
    /// errors, if it had any, stand as one.
    pub fn record(&mut self, sid: Sid, reply: Reply) {
        match reply {
            Ok(Answer::Value(value)) => {
                self.values.insert(sid, value);
            }
            Ok(Answer::Group { errors, value }) => {
                if !errors.is_empty() {
                    let message = format!("{} members of the group it asked failed", errors.len());
                    let error = CallError::new(ErrorKind::Partial, message).caused_by(errors_to_value(errors));
                    self.errors.insert(sid.clone(), error);
                }
                self.values.insert(sid, value);
            }
            Err(error) => {
                self.errors.insert(sid, error);
            }
        }
    }

    /// Folds the values into one, the errors kept.
    pub fn aggregate<T>(self, fold: impl FnOnce(BTreeMap<Sid, Value>) -> T) -> Aggregate<T> {
        Aggregate { errors: self.errors, value: fold(self.values) }
    }
}

impl TryFrom<Answer> for GroupReply {
    type Error = CallError;

    fn try_from(answer: Answer) -> Result<GroupReply, CallError> {
        match answer {
            Answer::Group { errors, value: Value::Object(values) } => {
                let named = |(key, value): (EcoString, Value)| Some((Sid::new(key.as_str()).ok()?, value));
                Ok(GroupReply { errors, values: values.into_iter().filter_map(named).collect() })
            }
            Answer::Group { value, .. } | Answer::Value(value) => {
                let message = format!("expected an answer by member, got {}", value.type_name());
                Err(CallError::new(ErrorKind::BadAnswer, message))
            }
        }
    }
}

/// What a group's members answered, folded into one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregate<T> {
    /// The members that failed, and how: they are not in the value.
    pub errors: BTreeMap<Sid, CallError>,
    /// The sum (or whatever the service folds into) over the others.
    pub value: T,
}

/// Why a call failed, whose fault it was, and what it is about.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What happened.
    pub kind: ErrorKind,
    /// For people; quotes what was refused.
    pub message: String,
    /// Whatever else belongs to it, `undefined` as a rule.
    pub cause: Value,
}

/// What happened to a call that failed. On the wire it is the error's `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is malformed: a body, a name, a path.
    BadCall,
    /// An argument is missing or of the wrong type.
    BadArgument,
    /// The node knows no such group.
    UnknownGroup,
    /// The node knows no such service.
    UnknownService,
    /// The service has no such method.
    UnknownMethod,
    /// What is named exists but may not be changed.
    Reserved,
    /// What was asked about is not there.
    NotFound,
    /// The message has been received before.
    AlreadyReceived,
    /// The node, or the way to it, has as many calls under way as it takes. Nothing has been done.
    Busy,
    /// No answer within the deadline. It may still have been performed.
    DeadlineExceeded,
    /// No connection to the node. Nothing has been done.
    Unreachable,
    /// The connection broke, so it is unknown whether the call was performed.
    Interrupted,
    /// What came back is not an answer.
    BadAnswer,
    /// The service failed while it answered, and has been replaced.
    Crashed,
    /// The node is stopping.
    Stopping,
    /// Calls are nested too deep.
    TooDeep,
    /// The node is not set up to do this.
    Unsupported,
    /// A new node did not come up.
    SpawnFailed,
    /// Some members of a group failed.
    Partial,
    /// The service's own error, under the name it gave it.
    Other(String),
}

/// Whose fault a failed call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller's: the same call will fail again.
    Caller,
    /// The node's that was called.
    Callee,
    /// Neither's: the same call may succeed later.
    Circumstance,
}

/// Each kind that has a name of its own, and that name.
const KIND_NAMES: [(ErrorKind, &str); 19] = [
    (ErrorKind::BadCall, "BadCall"),
    (ErrorKind::BadArgument, "BadArgument"),
    (ErrorKind::UnknownGroup, "UnknownGroup"),
    (ErrorKind::UnknownService, "UnknownService"),
    (ErrorKind::UnknownMethod, "UnknownMethod"),
    (ErrorKind::Reserved, "Reserved"),
    (ErrorKind::NotFound, "NotFound"),
    (ErrorKind::AlreadyReceived, "AlreadyReceived"),
    (ErrorKind::Busy, "Busy"),
    (ErrorKind::DeadlineExceeded, "DeadlineExceeded"),
    (ErrorKind::Unreachable, "Unreachable"),
    (ErrorKind::Interrupted, "Interrupted"),
    (ErrorKind::BadAnswer, "BadAnswer"),
    (ErrorKind::Crashed, "Crashed"),
    (ErrorKind::Stopping, "Stopping"),
    (ErrorKind::TooDeep, "TooDeep"),
    (ErrorKind::Unsupported, "Unsupported"),
    (ErrorKind::SpawnFailed, "SpawnFailed"),
    (ErrorKind::Partial, "Partial"),
];

impl ErrorKind {
    /// The error's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            ErrorKind::Other(name) => name,
            kind => KIND_NAMES.iter().find(|(named, _)| named == kind).map_or("Error", |(_, name)| name),
        }
    }

    /// The kind an error of this name is of.
    pub fn of_name(name: &str) -> ErrorKind {
        let known = KIND_NAMES.iter().find(|(_, known)| *known == name);
        known.map_or_else(|| ErrorKind::Other(name.to_owned()), |(kind, _)| kind.clone())
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            ErrorKind::BadCall
            | ErrorKind::BadArgument
            | ErrorKind::UnknownGroup
            | ErrorKind::UnknownService
            | ErrorKind::UnknownMethod
            | ErrorKind::Reserved
            | ErrorKind::NotFound
            | ErrorKind::AlreadyReceived
            | ErrorKind::TooDeep => Blame::Caller,
            ErrorKind::BadAnswer
            | ErrorKind::Crashed
            | ErrorKind::Unsupported
            | ErrorKind::SpawnFailed
            | ErrorKind::Partial
            | ErrorKind::Other(_) => Blame::Callee,
            ErrorKind::Busy
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Unreachable
            | ErrorKind::Interrupted
            | ErrorKind::Stopping => Blame::Circumstance,
        }
    }
}

impl CallError {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> CallError {
        CallError { kind, message: message.into(), cause: Value::Undefined }
    }

    /// An error of a service's own, as JavaScript's `new Error(message)`.
    pub fn other(message: impl Into<String>) -> CallError {
        CallError::new(ErrorKind::Other("Error".to_owned()), message)
    }

    /// The same error with what else belongs to it.
    #[must_use]
    pub fn caused_by(mut self, cause: Value) -> CallError {
        self.cause = cause;
        self
    }

    /// An argument that does not fit: which method, which position (counted from 1), and why.
    pub fn argument(method: &str, position: usize, name: &str, why: impl std::fmt::Display) -> CallError {
        CallError::new(ErrorKind::BadArgument, format!("{method}: argument {position} ({name}): {why}"))
    }

    /// Reads an error off the wire. What is not an error there (JavaScript can throw anything) becomes the cause of one.
    pub fn from_value(value: Value) -> CallError {
        match value {
            Value::Error(error) => {
                let ErrorValue { name, message, cause } = *error;
                CallError { kind: ErrorKind::of_name(&name), message, cause }
            }
            Value::String(text) => CallError::other(text),
            // an error that came as plain JSON
            Value::Object(object) if object.get("message").and_then(Value::as_str).is_some() => {
                let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("Error").to_owned();
                let cause = object.get("cause").filter(|cause| !cause.is_nullish()).cloned().unwrap_or_default();
                CallError { kind: ErrorKind::of_name(&text("name")), message: text("message"), cause }
            }
            other => {
                let message = format!("failed with {}", other.type_name());
                CallError::other(message).caused_by(other)
            }
        }
    }
}

impl From<CallError> for Value {
    fn from(error: CallError) -> Value {
        let name = error.kind.name().to_owned();
        Value::Error(Box::new(ErrorValue { name, message: error.message, cause: error.cause }))
    }
}

/// What a service answered does not convert: the service's own fault.
impl From<ConversionError> for CallError {
    fn from(error: ConversionError) -> CallError {
        CallError::new(ErrorKind::BadAnswer, error.to_string())
    }
}

impl From<NameError> for CallError {
    fn from(error: NameError) -> CallError {
        CallError::new(ErrorKind::BadArgument, error.to_string())
    }
}

impl From<AddrError> for CallError {
    fn from(error: AddrError) -> CallError {
        CallError::new(ErrorKind::BadArgument, error.to_string())
    }
}

impl From<&str> for CallError {
    fn from(message: &str) -> CallError {
        CallError::other(message)
    }
}

impl From<String> for CallError {
    fn from(message: String) -> CallError {
        CallError::other(message)
    }
}

impl From<std::convert::Infallible> for CallError {
    fn from(never: std::convert::Infallible) -> CallError {
        match never {}
    }
}

/// Arguments for a call, from ordinary types: a tuple, or values as they are.
///
/// ```
/// use chinwag_protocol::{call::IntoArguments, value::Value};
/// assert_eq!(("nid", 3).into_arguments().unwrap(), [Value::from("nid"), Value::from(3)]);
/// ```
pub trait IntoArguments {
    /// The values.
    ///
    /// # Errors
    /// When an argument has no form on the wire.
    fn into_arguments(self) -> Result<Vec<Value>, CallError>;
}

impl IntoArguments for Vec<Value> {
    fn into_arguments(self) -> Result<Vec<Value>, CallError> {
        Ok(self)
    }
}

impl IntoArguments for () {
    fn into_arguments(self) -> Result<Vec<Value>, CallError> {
        Ok(Vec::new())
    }
}

/// The arguments of a call, read into ordinary types one by one.
///
/// ```
/// use chinwag_protocol::{call::FromArguments, value::Value};
/// let (name, times) = <(String, u32)>::from_arguments("say", vec![Value::from("hi"), Value::from(2)]).unwrap();
/// assert_eq!((name.as_str(), times), ("hi", 2));
/// let error = <(String, u32)>::from_arguments("say", vec![Value::from("hi")]).unwrap_err();
/// assert!(error.to_string().contains("say: argument 2"), "{error}");
/// ```
pub trait FromArguments: Sized {
    /// Reads them.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`], naming the method, the position and what was expected there.
    fn from_arguments(method: &str, arguments: Vec<Value>) -> Result<Self, CallError>;
}

impl FromArguments for Vec<Value> {
    fn from_arguments(_: &str, arguments: Vec<Value>) -> Result<Vec<Value>, CallError> {
        Ok(arguments)
    }
}

impl FromArguments for () {
    fn from_arguments(_: &str, _: Vec<Value>) -> Result<(), CallError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($T:ident $v:ident $position:literal),+) => {
        impl<$($T: serde::Serialize),+> IntoArguments for ($($T,)+) {
            fn into_arguments(self) -> Result<Vec<Value>, CallError> {
                let ($($v,)+) = self;
                Ok(vec![$(Value::from_serialize(&$v).map_err(|why| {
                    CallError::new(ErrorKind::BadArgument, format!("argument {}: {why}", $position))
                })?),+])
            }
        }

        impl<$($T: serde::de::DeserializeOwned),+> FromArguments for ($($T,)+) {
            fn from_arguments(method: &str, arguments: Vec<Value>) -> Result<Self, CallError> {
                let mut arguments = arguments.into_iter();
                Ok(($({
                    let given = arguments.next();
                    let missing = given.is_none();
                    given.unwrap_or_default().deserialize::<$T>().map_err(|why| {
                        let why = if missing { format!("missing ({why})") } else { why.to_string() };
                        CallError::new(ErrorKind::BadArgument, format!("{method}: argument {}: {why}", $position))
                    })?
                },)+))
            }
        }
    };
}

tuples!(A a 1);
tuples!(A a 1, B b 2);
tuples!(A a 1, B b 2, C c 3);
tuples!(A a 1, B b 2, C c 3, D d 4);
tuples!(A a 1, B b 2, C c 3, D d 4, E e 5);
tuples!(A a 1, B b 2, C c 3, D d 4, E e 5, F f 6);

/// Which service's method on which node: the second argument of `comm.send`.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// The node, where it is not the group that decides.
    pub node: Option<NodeAddr>,
    /// `local` unless said otherwise.
    pub gid: Gid,
    /// The service.
    pub service: EcoString,
    /// The method.
    pub method: EcoString,
}

impl Remote {
    /// A local service's method, on no node in particular.
    pub fn new(service: impl Into<EcoString>, method: impl Into<EcoString>) -> Remote {
        Remote { node: None, gid: Gid::local(), service: service.into(), method: method.into() }
    }

    /// The same on this node.
    #[must_use]
    pub fn on(mut self, node: NodeAddr) -> Remote {
        self.node = Some(node);
        self
    }

    /// The same service as a group's.
    #[must_use]
    pub fn of(mut self, gid: Gid) -> Remote {
        self.gid = gid;
        self
    }

    /// As the wire has it.
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

    fn sid(text: &str) -> Sid {
        Sid::new(text).unwrap()
    }

    #[test]
    fn replies_cross_the_wire_and_come_back() {
        let failed = CallError::new(ErrorKind::Unreachable, "no connection").caused_by(Value::from("refused"));
        let group = GroupReply {
            errors: BTreeMap::from([(sid("aaaaa"), failed.clone())]),
            values: BTreeMap::from([(sid("bbbbb"), Value::from(3))]),
        };
        for reply in [
            Ok(Answer::Value(Value::from("x"))),
            Ok(Answer::Value(Value::Undefined)),
            Ok(Answer::from(group)),
            Ok(Answer::from(GroupReply::default())),
            Ok(Answer::from(Aggregate { errors: BTreeMap::new(), value: 7.0 })),
            Err(failed),
            Err(CallError::other("boom")),
        ] {
            let (error, value) = reply_to_pair(reply.clone());
            assert_eq!(reply_from_pair(error, value), reply);
        }
    }

    #[test]
    fn a_member_that_answers_for_a_group_keeps_its_value_and_its_errors() {
        let mut reply = GroupReply::default();
        let inner = GroupReply {
            errors: BTreeMap::from([(sid("x"), CallError::other("dead"))]),
            values: BTreeMap::from([(sid("y"), Value::from(1))]),
        };
        reply.record(sid("a"), Ok(Answer::from(inner)));
        reply.record(sid("b"), Ok(Answer::from(GroupReply::default())));
        assert_eq!(reply.values.len(), 2);
        assert_eq!(reply.errors.keys().collect::<Vec<_>>(), [&sid("a")]);
        assert_eq!(reply.errors[&sid("a")].kind, ErrorKind::Partial);
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for (kind, name) in KIND_NAMES {
            assert_eq!(kind.name(), name);
            assert_eq!(ErrorKind::of_name(name), kind);
        }
        assert_eq!(ErrorKind::of_name("TypeError"), ErrorKind::Other("TypeError".to_owned()));
    }

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
