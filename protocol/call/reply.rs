//! What comes back of a call: of one node, of a group by member, of a group in one.

use std::collections::BTreeMap;

use super::{CallError, ErrorKind};
use crate::{
    identity::Sid,
    value::{EcoString, Value},
};

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
#[must_use = "some members may have failed"]
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
#[must_use = "some members may have failed"]
pub struct Aggregate<T> {
    /// The members that failed, and how: they are not in the value.
    pub errors: BTreeMap<Sid, CallError>,
    /// The sum (or whatever the service folds into) over the others.
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
