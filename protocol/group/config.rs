//! [`GroupConfig`]: the name of a group and its options.

use crate::call::{CallError, ErrorKind};
use crate::identity::{Gid, NameError};
use crate::value::{Object, Value};

/// The name of a group, and options for its services, such as the fan-out.
///
/// ```
/// use chinwag_protocol::{group::GroupConfig, identity::Gid, value::Value};
///
/// let config = GroupConfig::new(Gid::new("browncs")?).with("subset", "log");
/// assert_eq!(config.options.get("subset"), Some(&Value::from("log")));
/// assert_eq!(GroupConfig::from_value(&config.to_value()).unwrap(), config);
/// # Ok::<(), chinwag_protocol::identity::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GroupConfig {
    /// The name of the group.
    pub gid: Gid,
    /// All other keys of the configuration.
    pub options: Object,
}

impl GroupConfig {
    /// Creates a configuration without options.
    pub fn new(gid: Gid) -> GroupConfig {
        GroupConfig { gid, options: Object::new() }
    }

    /// Returns the configuration with an option, such as `subset`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> GroupConfig {
        self.options.insert(key, value.into());
        self
    }

    /// Returns the form on the wire: the name alone, or an object if there are options.
    pub fn to_value(&self) -> Value {
        if self.options.is_empty() {
            return Value::from(self.gid.as_str());
        }
        let mut object = self.options.clone();
        object.insert("gid", Value::from(self.gid.as_str()));
        Value::Object(object)
    }

    /// Reads a name, or `{gid, …}`.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`] if the name is missing or invalid.
    pub fn from_value(value: &Value) -> Result<GroupConfig, CallError> {
        let bad = |why: String| CallError::new(ErrorKind::BadArgument, why);
        let (name, options) = match value {
            Value::String(name) => (name.as_str(), Object::new()),
            Value::Object(object) => {
                let name = object.get("gid").and_then(Value::as_str);
                let mut options = object.clone();
                options.remove("gid");
                (name.ok_or_else(|| bad("the group's configuration has no gid".to_owned()))?, options)
            }
            other => return Err(bad(format!("a group is named by a string or {{gid, …}}, not {}", other.type_name()))),
        };
        Ok(GroupConfig { gid: Gid::new(name).map_err(|why| bad(why.to_string()))?, options })
    }
}

impl TryFrom<&str> for GroupConfig {
    type Error = NameError;

    fn try_from(name: &str) -> Result<GroupConfig, NameError> {
        Ok(GroupConfig::new(Gid::new(name)?))
    }
}

impl From<Gid> for GroupConfig {
    fn from(gid: Gid) -> GroupConfig {
        GroupConfig::new(gid)
    }
}
