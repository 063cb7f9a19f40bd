//! Addresses of nodes, and the identifiers of nodes and groups.
//!
//! The address at which a node listens identifies it. Its **NID** is the SHA-256 of the address as JSON, and its
//! **SID** is the first five hexadecimal digits of the NID. A **GID** is the name that a person gave to a group. The
//! protocols use NIDs; people read SIDs, which are also the keys of a group's map. Five digits are 20 bits, so two of a
//! thousand nodes share a SID with probability 0.38. If that happens, the group lengthens the SID of the later node
//! (see [`Group::sid_for`](crate::group::Group::sid_for)).
//!
//! # One node, several spellings
//!
//! `localhost:8080` and `127.0.0.1:8080` are one node with two NIDs, because a NID is the hash of an address as
//! written. Addresses that are shown, sent and answered keep their spelling and their NID. Two addresses are one node
//! if they have the same [`key`](NodeAddr::key), which is the NID of the address in its canonical form (see [`host`]).
//! Groups hold a node once per key, and the protocols identify nodes by their keys. Nearly all addresses are written in
//! their canonical form; then the key is the NID.

use std::{borrow::Borrow, fmt, io::Write as _, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

use crate::{
    host, stringify,
    value::{EcoString, Object, Value},
};

/// The number of digits of a [`Sid`] that does not collide with another.
pub const SID_DIGITS: usize = 5;

/// The length of the longest name of a group, service or method in bytes. Names are part of paths and of every message.
pub const MAX_NAME_BYTES: usize = 256;

/// The address of a node, and further keys of its configuration.
///
/// ```
/// use chinwag_protocol::identity::NodeAddr;
/// let node = NodeAddr::new("127.0.0.1", 8080);
/// assert_eq!(node.sid().as_str(), "8bc87");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NodeAddr {
    ip: EcoString,
    port: u16,
    extra: Option<Object>,
}

impl NodeAddr {
    /// Creates the address of the node at `ip` (an IP address or a host name) and `port`.
    pub fn new(ip: impl Into<EcoString>, port: u16) -> NodeAddr {
        NodeAddr { ip: ip.into(), port, extra: None }
    }

    /// Returns the address with further keys beside `ip` and `port`, such as `onStart`.
    #[must_use]
    pub fn with_extra(mut self, mut extra: Object) -> NodeAddr {
        extra.remove("ip");
        extra.remove("port");
        self.extra = (!extra.is_empty()).then_some(extra);
        self
    }

    /// Returns the IP address or host name.
    pub fn ip(&self) -> &str {
        &self.ip
    }

    /// Returns the TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns a key of the configuration other than `ip` and `port`.
    pub fn extra(&self, key: &str) -> Option<&Value> {
        self.extra.as_ref()?.get(key)
    }

    /// Returns about how many bytes of memory the keys other than `ip` and `port` take.
    pub fn extra_bytes(&self) -> usize {
        self.extra.as_ref().map_or(0, Object::memory_bytes)
    }

    /// Returns the IP address, unless [`ip`](NodeAddr::ip) is a host name.
    pub fn address(&self) -> Option<IpAddr> {
        host::literal(&self.ip)
    }

    /// Returns `HOST:PORT` as in a URL, with an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        if self.ip.contains(':') && !self.ip.starts_with('[') {
            format!("[{}]:{}", self.ip, self.port)
        } else {
            format!("{}:{}", self.ip, self.port)
        }
    }

    /// Returns the node's identifier, which depends on nothing but `ip` and `port` as they are written.
    pub fn nid(&self) -> Nid {
        Nid::of_address(&self.ip, self.port)
    }

    /// Returns the [`nid`](NodeAddr::nid) of the address in its canonical form, which is the same for all spellings of
    /// an address. Groups and protocols identify nodes by it; people see the `nid`.
    ///
    /// ```
    /// use chinwag_protocol::identity::NodeAddr;
    /// let (one, other) = (NodeAddr::new("127.0.0.1", 8080), NodeAddr::new("localhost", 8080));
    /// assert_ne!(one.nid(), other.nid());
    /// assert_eq!(one.key(), other.key());
    /// ```
    pub fn key(&self) -> Nid {
        Nid::of_address(&host::canonical(&self.ip), self.port)
    }

    /// Returns whether both are one node, however its address is written and whatever further keys there are.
    pub fn is_same_node(&self, other: &NodeAddr) -> bool {
        self.port == other.port && (self.ip == other.ip || host::canonical(&self.ip) == host::canonical(&other.ip))
    }

    /// Returns whether the address is written in its canonical form, so that its [`key`](NodeAddr::key) is its NID.
    pub fn is_canonical(&self) -> bool {
        host::canonical(&self.ip) == self.ip.as_str()
    }

    /// Returns the node with its address spelled as in `other`.
    #[must_use]
    pub fn spelled_like(&self, other: &NodeAddr) -> NodeAddr {
        NodeAddr { ip: other.ip.clone(), ..self.clone() }
    }

    /// Returns whether both are one node under the same spelling, so that they have the same NID.
    pub fn is_spelled_like(&self, other: &NodeAddr) -> bool {
        self.port == other.port && self.ip == other.ip
    }

    /// Checks that it is possible to connect to the address, whether or not a node listens there.
    ///
    /// # Errors
    /// [`AddrError::Ip`] for a host that cannot be part of a URL, and [`AddrError::Undialable`] for port 0 and for
    /// addresses that are not those of a node (`0.0.0.0`, `::`, multicast, broadcast).
    pub fn check(&self) -> Result<(), AddrError> {
        check_host(&self.ip)?;
        let zero = (self.port == 0).then_some("port 0 stands for any free port");
        match host::undialable(&self.ip).or(zero) {
            None => Ok(()),
            Some(why) => Err(AddrError::Undialable { address: self.authority(), why }),
        }
    }

    /// Returns the first digits of the [`nid`](NodeAddr::nid).
    pub fn sid(&self) -> Sid {
        self.nid().sid()
    }

    /// Returns the form on the wire, `{ip, port, …}`.
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        object.insert("ip", Value::from(self.ip.as_str()));
        object.insert("port", Value::from(self.port));
        for (key, value) in self.extra.iter().flat_map(|extra| extra.iter()) {
            object.insert(key, value.clone());
        }
        Value::Object(object)
    }

    /// Reads a node object.
    ///
    /// # Errors
    /// If it is not an object, its `ip` is not the text of a host, its `port` is not a whole number from 1 to 65535, or
    /// [it is impossible to connect to it](NodeAddr::check).
    pub fn from_value(value: &Value) -> Result<NodeAddr, AddrError> {
        let node = NodeAddr::from_config(value)?;
        node.check()?;
        Ok(node)
    }

    /// Reads the configuration of a node that will be started. It can name what is of use to the node itself alone:
    /// port 0, or every address of its machine.
    ///
    /// # Errors
    /// If it is not an object, its `ip` is not the text of a host, or its `port` is not a whole number from 0 to 65535.
    pub fn from_config(value: &Value) -> Result<NodeAddr, AddrError> {
        let object = value.as_object().ok_or_else(|| AddrError::NotAnObject(value.type_name()))?;
        let ip = match object.get("ip") {
            None => return Err(AddrError::Missing("ip")),
            Some(value) => value.as_str().ok_or_else(|| AddrError::Ip(value.type_name().to_owned()))?,
        };
        let port = match object.get("port") {
            None => return Err(AddrError::Missing("port")),
            Some(Value::Number(port)) if port.fract() == 0.0 && (0.0..=65535.0).contains(port) => *port as u16,
            Some(Value::Number(port)) => return Err(AddrError::Port(port.to_string())),
            Some(other) => return Err(AddrError::Port(other.type_name().to_owned())),
        };
        check_host(ip)?;
        let extra = object.iter().filter(|(key, _)| *key != "ip" && *key != "port");
        let extra: Object = extra.map(|(key, value)| (key, value.clone())).collect();
        Ok(NodeAddr::new(ip, port).with_extra(extra))
    }
}

fn check_host(host: &str) -> Result<(), AddrError> {
    if host::is_host(host) { Ok(()) } else { Err(AddrError::Ip(host.chars().take(64).collect())) }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}

/// Parses `HOST:PORT`, with an IPv6 address in brackets.
impl FromStr for NodeAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<NodeAddr, AddrError> {
        let shown = |text: &str| text.chars().take(64).collect();
        let (host, port) = text.rsplit_once(':').ok_or(AddrError::Missing("port"))?;
        let number = port.parse().ok().filter(|_| host::is_port(port)).ok_or_else(|| AddrError::Port(shown(port)))?;
        let bare = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').filter(|inner| inner.contains(':')),
            // it is unclear where the address ends
            None if host.contains(':') => return Err(AddrError::Unbracketed(shown(text))),
            None => Some(host),
        };
        let node = NodeAddr::new(bare.ok_or_else(|| AddrError::Ip(shown(host)))?, number);
        node.check()?;
        Ok(node)
    }
}

impl Serialize for NodeAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NodeAddr, D::Error> {
        NodeAddr::from_value(&<Value as Deserialize>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Why something is not the address of a node. The value itself has to be corrected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// It is not an object.
    #[error("a node is an object with an ip and a port, not {0}")]
    NotAnObject(&'static str),
    /// A key is missing.
    #[error("the node has no {0}")]
    Missing(&'static str),
    /// The host is malformed.
    #[error("not an IP address or host name: {0:?}")]
    Ip(String),
    /// The port is malformed or out of range.
    #[error("not a port (0 to 65535): {0}")]
    Port(String),
    /// An IPv6 address with a port is not in brackets.
    #[error("an IPv6 address with a port is written [ADDRESS]:PORT, not {0}")]
    Unbracketed(String),
    /// It is impossible to connect to the address.
    #[error("{address} cannot be the address of a node: {why}")]
    Undialable {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The reason.
        why: &'static str,
    },
}

/// A node's identifier: the 32 bytes of a SHA-256, shown as 64 hexadecimal digits.
///
/// ```
/// use chinwag_protocol::identity::{Nid, NodeAddr};
///
/// let nid = NodeAddr::new("127.0.0.1", 8080).nid();
/// assert_eq!(nid.to_string().parse::<Nid>()?, nid);
/// assert_eq!(nid.sid().as_str(), &nid.to_string()[..5]);
/// # Ok::<(), chinwag_protocol::identity::NameError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nid([u8; 32]);

impl Nid {
    /// Returns the identifier of the value whose `JSON.stringify` text this is.
    pub fn of_json(json: &str) -> Nid {
        Nid::of(json.as_bytes())
    }

    fn of(json: &[u8]) -> Nid {
        Nid(Sha256::digest(json).into())
    }

    fn of_address(ip: &str, port: u16) -> Nid {
        let mut json = Vec::with_capacity(ip.len() + 24);
        json.extend_from_slice(b"{\"ip\":");
        let Ok(()) = stringify::string(ip, &mut json);
        // writing to a vector cannot fail
        let _ = write!(json, ",\"port\":{port}}}");
        Nid::of(&json)
    }

    /// Returns the first [`SID_DIGITS`] digits.
    pub fn sid(&self) -> Sid {
        self.sid_of(SID_DIGITS)
    }

    /// Returns the first `digits` digits, or all 64 if that is more.
    pub fn sid_of(&self, digits: usize) -> Sid {
        let mut text = self.to_string();
        text.truncate(digits);
        Sid(text.into())
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Nid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        // 32 bytes are 64 digits, and digits are ASCII
        let _ = hex::encode_to_slice(self.0, &mut digits);
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for Nid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nid({})", self.sid())
    }
}

impl FromStr for Nid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Nid, NameError> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Nid(bytes)),
            Err(_) => Err(NameError::new("NID (64 hexadecimal digits)", text)),
        }
    }
}

impl Serialize for Nid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nid, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Returns the identifier of a value: the SHA-256 of its `JSON.stringify` text in lower-case hexadecimal.
///
/// ```
/// use chinwag_protocol::{identity, value::Value};
/// assert!(identity::id(&Value::from("hello")).starts_with("5aa762ae"));
/// ```
pub fn id(value: &Value) -> String {
    let mut json = Vec::new();
    stringify::value(value, &mut json);
    Nid::of(&json).to_string()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(EcoString);

        impl $name {
            /// Creates the name.
            ///
            /// # Errors
            /// If the text is empty, too long, or has characters that cannot be part of a path.
            pub fn new(text: impl Into<EcoString>) -> Result<$name, NameError> {
                let text = text.into();
                let fits: fn(&str) -> bool = $fits;
                if fits(&text) { Ok($name(text)) } else { Err(NameError::new($kind, &text)) }
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$name, NameError> {
                $name::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                $name::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

name! {
    /// The key of a node in a group's map. As a rule it is the first five digits of the NID, or more digits if those
    /// are taken. The creator of a group can also choose keys.
    Sid, "SID (1 to 256 bytes)", |text| !text.is_empty() && text.len() <= MAX_NAME_BYTES
}

name! {
    /// The name of a group. `local` is the node itself, and `all` is every node that it knows.
    ///
    /// ```
    /// use chinwag_protocol::identity::Gid;
    ///
    /// assert!(Gid::new("all")?.is_all());
    /// assert!(Gid::new("a/b").is_err());
    /// # Ok::<(), chinwag_protocol::identity::NameError>(())
    /// ```
    Gid, "group name (1 to 256 bytes, no slash, question mark, hash or control character)", is_path_segment
}

/// Returns whether `text` can name a group, service or method. These names are part of the path of a request.
pub fn is_path_segment(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text != "."
        && text != ".."
        && !text.chars().any(|c| matches!(c, '/' | '?' | '#' | '\\') || c.is_control())
}

impl Gid {
    /// Returns the group that is the node itself.
    pub fn local() -> Gid {
        Gid("local".into())
    }

    /// Returns the group of every node that is known.
    pub fn all() -> Gid {
        Gid("all".into())
    }

    /// Returns whether this is `local`.
    pub fn is_local(&self) -> bool {
        &*self.0 == "local"
    }

    /// Returns whether this is `all`.
    pub fn is_all(&self) -> bool {
        &*self.0 == "all"
    }

    /// Returns whether JavaScript cannot name a group like this, because `distribution.node` and `distribution.util` are no
    /// groups. On the JavaScript reference, such a group replaces the entry, which breaks the node.
    pub fn is_entry_of_distribution(&self) -> bool {
        matches!(&*self.0, "node" | "util")
    }
}

/// A text that is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {text:?}")]
pub struct NameError {
    kind: &'static str,
    text: String,
}

impl NameError {
    fn new(kind: &'static str, text: &str) -> NameError {
        NameError { kind, text: text.chars().take(64).collect() }
    }
}

#[cfg(test)]
mod tests;
