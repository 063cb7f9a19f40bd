//! Replies to calls: of one node, of each member of a group, or aggregated over a group.

use std::collections::BTreeMap;

use super::{CallError, ErrorKind};
use crate::{
    identity::Sid,
    value::{EcoString, Value},
};

/// The outcome of a call.
pub type Reply = Result<Answer, CallError>;

/// The answer to a call that did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The answer of a service of one node.
    Value(Value),
    /// The answer of a service of a group.
    Group {
        /// The failures, by member.
        errors: BTreeMap<Sid, CallError>,
        /// A map from SID to value, or an aggregate over it.
        value: Value,
    },
}

impl Answer {
    /// Returns the error and the value of the answer on the wire.
    pub fn into_pair(self) -> (Value, Value) {
        match self {
            Answer::Value(value) => (Value::Null, value),
            Answer::Group { errors, value } => (errors_to_value(errors), value),
        }
    }

    /// Returns the value.
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

/// Returns the error and the value of a reply on the wire.
pub fn reply_to_pair(reply: Reply) -> (Value, Value) {
    match reply {
        Ok(answer) => answer.into_pair(),
        Err(error) => (Value::from(error), Value::Null),
    }
}

/// Reads a reply from the wire. An object in place of the error holds the errors of a group's members; anything else
/// there that is not null means that the call failed.
///
/// ```
/// use chinwag_protocol::call::{reply_from_pair, reply_to_pair};
/// use chinwag_protocol::value::Value;
///
/// let reply = reply_from_pair(Value::Null, Value::from(8080));
/// assert_eq!(reply_to_pair(reply), (Value::Null, Value::from(8080)));
/// let failed = reply_from_pair(Value::from("no such key"), Value::Null);
/// assert_eq!(failed.unwrap_err().message, "no such key");
/// ```
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

/// The answers and failures of a group's members.
///
/// ```
/// use chinwag_protocol::call::{Answer, CallError, GroupReply};
/// use chinwag_protocol::identity::Sid;
/// use chinwag_protocol::value::Value;
///
/// let mut reply = GroupReply::default();
/// for (sid, heap) in [("507aa", Some(5.0)), ("8bc87", None), ("d3272", Some(7.0))] {
///     let answer = heap.map(|heap| Answer::Value(Value::from(heap)));
///     reply.record(sid.parse()?, answer.ok_or_else(|| CallError::other("no answer")));
/// }
/// let total = reply.aggregate(|values| values.values().filter_map(Value::as_f64).sum::<f64>());
/// assert_eq!(total.value, 12.0);
/// assert_eq!(total.errors.keys().map(Sid::as_str).collect::<Vec<_>>(), ["8bc87"]);
/// # Ok::<(), chinwag_protocol::identity::NameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "some members may have failed"]
pub struct GroupReply {
    /// The failures, by member.
    pub errors: BTreeMap<Sid, CallError>,
    /// The answers of the other members.
    pub values: BTreeMap<Sid, Value>,
}

impl GroupReply {
    /// Records the reply of one member. If the member answered for a group of its own, its value counts, and its errors
    /// become one error of kind [`ErrorKind::Partial`].
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

    /// Folds the values into one, and keeps the errors.
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

/// The answers of a group's members, folded into one value.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "some members may have failed"]
pub struct Aggregate<T> {
    /// The failures, by member. These members are not part of the value.
    pub errors: BTreeMap<Sid, CallError>,
    /// The sum, or another aggregate, over the other members.
    pub value: T,
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
}
