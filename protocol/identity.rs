//! Who is who: addresses of nodes, and the names derived from them.
//!
//! A node is known by where it listens. Its **NID** is the SHA-256 of that address as JSON, its **SID** the NID's
//! first five hexadecimal digits, and a **GID** is whatever a person called a group. The NID is what the protocols
//! use; the SID is what people read and what keys a group's map. Five digits are 20 bits, so two of a thousand nodes
//! share one with probability 0.38: where that happens a group lengthens the later one's SID
//! (see [`Group::sid_for`](crate::group::Group::sid_for)), so nobody is lost.
//!
//! # One node, several spellings
//!
//! `localhost:8080` and `127.0.0.1:8080` are one node with two NIDs, as a NID is the hash of an address as written.
//! What is shown, sent and answered keeps the spelling and the NID that it came with. Whether two addresses are one
//! node is decided by their [`key`](NodeAddr::key), the NID of the address in its canonical form (see [`host`]): groups
//! hold a node once by it, and the protocols know nodes by it. For an address that is written in its canonical form, as
//! nearly all are, the key is the NID.

use std::{borrow::Borrow, fmt, io::Write as _, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

use crate::{
    host, stringify,
    value::{EcoString, Object, Value},
};

/// Digits of a [`Sid`] where nothing collides.
pub const SID_DIGITS: usize = 5;

/// Longest name of a group, service or method, in bytes: they stand in paths and in every message.
pub const MAX_NAME_BYTES: usize = 256;

/// The address of a node, as the wire carries it: where it is reached, and whatever else its configuration said.
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
    /// The node reached at `ip` (an IP address or a host name) and `port`.
    pub fn new(ip: impl Into<EcoString>, port: u16) -> NodeAddr {
        NodeAddr { ip: ip.into(), port, extra: None }
    }

    /// The same node with further keys kept beside `ip` and `port` (`onStart` among them).
    #[must_use]
    pub fn with_extra(mut self, mut extra: Object) -> NodeAddr {
        extra.remove("ip");
        extra.remove("port");
        self.extra = (!extra.is_empty()).then_some(extra);
        self
    }

    /// IP address or host name.
    pub fn ip(&self) -> &str {
        &self.ip
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A key of the configuration other than `ip` and `port`.
    pub fn extra(&self, key: &str) -> Option<&Value> {
        self.extra.as_ref()?.get(key)
    }

    /// The IP address, where [`ip`](NodeAddr::ip) is not a name.
    pub fn address(&self) -> Option<IpAddr> {
        host::literal(&self.ip)
    }

    /// `HOST:PORT` as a URL has it, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        if self.ip.contains(':') && !self.ip.starts_with('[') {
            format!("[{}]:{}", self.ip, self.port)
        } else {
            format!("{}:{}", self.ip, self.port)
        }
    }

    /// The node's identifier. Depends on `ip` and `port` alone, as they are written.
    pub fn nid(&self) -> Nid {
        Nid::of_address(&self.ip, self.port)
    }

    /// The [`nid`](NodeAddr::nid) that the node has in the canonical spelling of its address: the same for all
    /// spellings of one address. What groups and protocols tell nodes apart by; people are shown the `nid`.
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

    /// Whether both are one node, however its address is written and whatever else is said of it.
    pub fn is_same_node(&self, other: &NodeAddr) -> bool {
        self.port == other.port && (self.ip == other.ip || host::canonical(&self.ip) == host::canonical(&other.ip))
    }

    /// Whether its address is written in its canonical form, so that its [`key`](NodeAddr::key) is its NID.
    pub fn is_canonical(&self) -> bool {
        host::canonical(&self.ip) == self.ip.as_str()
    }

    /// The same node, its address written as in `other`.
    #[must_use]
    pub fn spelled_like(&self, other: &NodeAddr) -> NodeAddr {
        NodeAddr { ip: other.ip.clone(), ..self.clone() }
    }

    /// Whether both are one node and write its address alike, and so have one NID.
    pub fn is_spelled_like(&self, other: &NodeAddr) -> bool {
        self.port == other.port && self.ip == other.ip
    }

    /// Whether somebody may be able to connect to it. A node at which nobody listens passes.
    ///
    /// # Errors
    /// [`AddrError::Ip`] for a host that no URL can have, [`AddrError::Undialable`] for port 0 and for addresses that
    /// are no node's (`0.0.0.0`, `::`, multicast, broadcast).
    pub fn check(&self) -> Result<(), AddrError> {
        check_host(&self.ip)?;
        let zero = (self.port == 0).then_some("port 0 stands for any free port");
        match host::undialable(&self.ip).or(zero) {
            None => Ok(()),
            Some(why) => Err(AddrError::Undialable { address: self.authority(), why }),
        }
    }

    /// The first digits of the [`nid`](NodeAddr::nid).
    pub fn sid(&self) -> Sid {
        self.nid().sid()
    }

    /// As the wire has it: `{ip, port, …}`.
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
    /// When it is not an object, or its `ip` is not text naming a host, or its `port` is not a whole number from 1 to
    /// 65535, or [nobody can connect to it](NodeAddr::check).
    pub fn from_value(value: &Value) -> Result<NodeAddr, AddrError> {
        let node = NodeAddr::from_config(value)?;
        node.check()?;
        Ok(node)
    }

    /// Reads the configuration of a node that is to be started, which may name what only a node that binds it can use:
    /// port 0, or every address of its machine.
    ///
    /// # Errors
    /// When it is not an object, or its `ip` is not text naming a host, or its `port` is not a whole number from 0 to
    /// 65535.
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

/// Reads `HOST:PORT`, an IPv6 address in brackets.
impl FromStr for NodeAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<NodeAddr, AddrError> {
        let shown = |text: &str| text.chars().take(64).collect();
        let (host, port) = text.rsplit_once(':').ok_or(AddrError::Missing("port"))?;
        let number = port.parse().ok().filter(|_| host::is_port(port)).ok_or_else(|| AddrError::Port(shown(port)))?;
        let bare = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').filter(|inner| inner.contains(':')),
            // where the address ends would be a guess
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

/// Why something is not the address of a node. Nothing has changed; the caller is to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// Not an object.
    #[error("a node is an object with an ip and a port, not {0}")]
    NotAnObject(&'static str),
    /// A key is absent.
    #[error("the node has no {0}")]
    Missing(&'static str),
    /// The host is not one.
    #[error("not an IP address or host name: {0:?}")]
    Ip(String),
    /// The port is not one.
    #[error("not a port (0 to 65535): {0}")]
    Port(String),
    /// An IPv6 address and a port without brackets between them.
    #[error("an IPv6 address with a port is written [ADDRESS]:PORT, not {0}")]
    Unbracketed(String),
    /// Nobody can connect to it, whoever listens there.
    #[error("{address} cannot be the address of a node: {why}")]
    Undialable {
        /// `HOST:PORT`.
        address: String,
        /// What it is instead.
        why: &'static str,
    },
}

/// A node's identifier: 32 bytes of SHA-256, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nid([u8; 32]);

impl Nid {
    /// The identifier of a thing whose `JSON.stringify` text this is.
    pub fn of_json(json: &str) -> Nid {
        Nid::of(json.as_bytes())
    }

    fn of(json: &[u8]) -> Nid {
        Nid(Sha256::digest(json).into())
    }

    fn of_address(ip: &str, port: u16) -> Nid {
        let mut json = Vec::with_capacity(ip.len() + 24);
        json.extend_from_slice(b"{\"ip\":");
        stringify::string(ip, &mut json);
        // to a vector, which takes everything
        let _ = write!(json, ",\"port\":{port}}}");
        Nid::of(&json)
    }

    /// The first [`SID_DIGITS`] digits.
    pub fn sid(&self) -> Sid {
        self.sid_of(SID_DIGITS)
    }

    /// The first `digits` digits, at most all 64.
    pub fn sid_of(&self, digits: usize) -> Sid {
        let mut text = self.to_string();
        text.truncate(digits);
        Sid(text.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Nid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        // 32 bytes are 64 digits, and digits are text
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

/// The identifier of a value: lower-case hexadecimal SHA-256 of its `JSON.stringify` text.
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
            /// Takes the name over.
            ///
            /// # Errors
            /// When the text is empty, too long or holds characters that cannot stand in a path.
            pub fn new(text: impl Into<EcoString>) -> Result<$name, NameError> {
                let text = text.into();
                let fits: fn(&str) -> bool = $fits;
                if fits(&text) { Ok($name(text)) } else { Err(NameError::new($kind, &text)) }
            }

            /// The text.
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
    /// The key of a node in a group's map: as a rule the first five digits of its NID, more where those are taken, or
    /// whatever the one who made the group chose.
    Sid, "SID (1 to 256 bytes)", |text| !text.is_empty() && text.len() <= MAX_NAME_BYTES
}

name! {
    /// The name of a group. `local` stands for the node itself, `all` for every node it knows.
    Gid, "group name (1 to 256 bytes, no slash, question mark, hash or control character)", is_path_segment
}

/// Whether `text` can name a group, service or method, which stand in the path of a request.
pub fn is_path_segment(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text != "."
        && text != ".."
        && !text.chars().any(|c| matches!(c, '/' | '?' | '#' | '\\') || c.is_control())
}

impl Gid {
    /// The node itself.
    pub fn local() -> Gid {
        Gid("local".into())
    }

    /// Every node that is known.
    pub fn all() -> Gid {
        Gid("all".into())
    }

    /// Whether this is `local`.
    pub fn is_local(&self) -> bool {
        &*self.0 == "local"
    }

    /// Whether this is `all`.
    pub fn is_all(&self) -> bool {
        &*self.0 == "all"
    }
}

/// A name that cannot be one.
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
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_the_references() {
        #[derive(Deserialize)]
        struct Vectors {
            nodes: Vec<Node>,
            ids: Vec<Id>,
        }
        #[derive(Deserialize)]
        struct Node {
            ip: String,
            port: u16,
            nid: String,
            sid: String,
        }
        #[derive(Deserialize)]
        struct Id {
            value: Value,
            id: String,
        }

        let vectors: Vectors = serde_json::from_str(include_str!("tests/vectors/ids.json")).unwrap();
        for node in vectors.nodes {
            let address = NodeAddr::new(node.ip, node.port);
            assert_eq!(address.nid().to_string(), node.nid);
            assert_eq!(address.sid().as_str(), node.sid);
        }
        for entry in vectors.ids {
            assert_eq!(id(&entry.value), entry.id, "{:?}", entry.value);
        }
    }

    #[test]
    fn a_node_keeps_its_further_keys() {
        let value = Value::from_json(serde_json::json!({"ip": "::1", "port": 80, "onStart": "x", "zone": 3}));
        let node = NodeAddr::from_value(&value).unwrap();
        assert_eq!(node.authority(), "[::1]:80");
        assert_eq!(node.to_value(), value);
        assert_eq!(node.nid(), NodeAddr::new("::1", 80).nid());
    }

    #[test]
    fn what_is_not_a_node_is_refused_by_name() {
        for (json, says) in [
            (serde_json::json!(3), "not number"),
            (serde_json::json!({"port": 1}), "no ip"),
            (serde_json::json!({"ip": "a"}), "no port"),
            (serde_json::json!({"ip": "a/b", "port": 1}), "a/b"),
            (serde_json::json!({"ip": "a@b", "port": 1}), "a@b"),
            (serde_json::json!({"ip": "a", "port": 65536}), "65536"),
            (serde_json::json!({"ip": "a", "port": 1.5}), "1.5"),
            (serde_json::json!({"ip": "a", "port": "80"}), "string"),
            (serde_json::json!({"ip": "", "port": 1}), "host name: \"\""),
            (serde_json::json!({"ip": "a:b", "port": 1}), "a:b"),
            (serde_json::json!({"ip": "a", "port": 0}), "a:0 cannot be"),
            (serde_json::json!({"ip": "0.0.0.0", "port": 1}), "0.0.0.0:1 cannot be"),
            (serde_json::json!({"ip": "::", "port": 1}), "[::]:1 cannot be"),
            (serde_json::json!({"ip": "239.0.0.1", "port": 1}), "multicast"),
            (serde_json::json!({"ip": "127.1", "port": 1}), "four numbers"),
        ] {
            let error = NodeAddr::from_value(&Value::from_json(json)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_node_at_which_nobody_listens_is_a_node() {
        // those of the course's examples among them
        for (ip, port) in [("127.0.0.1", 8080), ("192.0.2.1", 1), ("nowhere.invalid", 65_535), ("h", 1), ("[::1]", 9)] {
            let json = serde_json::json!({"ip": ip, "port": port});
            let node = NodeAddr::from_value(&Value::from_json(json.clone())).unwrap();
            assert_eq!(node.to_value(), Value::from_json(json), "it stays as it was written");
        }
    }

    #[test]
    fn a_node_that_is_to_be_started_may_take_any_free_port() {
        let config = Value::from_json(serde_json::json!({"ip": "0.0.0.0", "port": 0}));
        assert_eq!(NodeAddr::from_config(&config).unwrap(), NodeAddr::new("0.0.0.0", 0));
        assert!(NodeAddr::from_value(&config).is_err());
    }

    #[test]
    fn spellings_of_one_address_have_one_key_and_nids_of_their_own() {
        let node = NodeAddr::new("127.0.0.1", 8080);
        for spelling in ["localhost", "LOCALHOST", "::ffff:127.0.0.1", "[::ffff:7f00:1]"] {
            let other = NodeAddr::new(spelling, 8080);
            assert_eq!(other.key(), node.nid(), "{spelling}");
            assert_ne!(other.nid(), node.nid(), "{spelling}");
            assert!(other.is_same_node(&node) && !other.is_spelled_like(&node), "{spelling}");
        }
        for other in [NodeAddr::new("127.0.0.1", 8081), NodeAddr::new("::1", 8080), NodeAddr::new("127.0.0.2", 8080)] {
            assert_ne!(other.key(), node.key(), "{other}");
            assert!(!other.is_same_node(&node), "{other}");
        }
    }

    #[test]
    fn addresses_are_read_as_written() {
        for text in ["127.0.0.1:8080", "[::1]:80", "node-3.example:1"] {
            assert_eq!(text.parse::<NodeAddr>().unwrap().to_string(), text);
        }
        for (text, says) in [
            ("127.0.0.1", "no port"),
            (":80", "host name"),
            ("a b:1", "a b"),
            ("a:65536", "65536"),
            ("a:+80", "+80"),
            ("a:", "port"),
            ("a:0", "any free port"),
            ("0.0.0.0:80", "every address"),
            ("::1:80", "[ADDRESS]:PORT"),
            ("[a]:80", "[a]"),
            ("[::1:80", "[::1"),
        ] {
            let error = text.parse::<NodeAddr>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
