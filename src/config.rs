//! The configuration of a node: its settings, their defaults, and the text forms in which they can be given.
//!
//! | knob | default | |
//! |---|---|---|
//! | `ip` | 127.0.0.1 | address or host name to bind; only loopback unless `insecure`; `localhost` is 127.0.0.1 |
//! | `port` | 8080 | port to bind; 0 takes a free port |
//! | `advertise` | the bound address | where others reach the node, `HOST:PORT`; the node's identity. Required to bind `0.0.0.0` or `::` |
//! | `onStart` | | function to call once the node listens |
//! | `join` | | nodes to join through, `HOST:PORT`; tried in turn until one answers |
//! | `groups` | | groups that the node is in from the start |
//! | `cluster` | empty | nodes of clusters with different names never become members of each other |
//! | `membership` | on | `off`: the node probes no peer; members see that it is alive, as they do of any node that answers calls |
//! | failure detection | [`Settings::membership`] | periods, timeouts, confirmations |
//! | limits of a body | [`Limits`] | bytes read and written, nesting, values |
//! | bounds on calls | [`Settings`] | under way, relayed, to one peer |
//! | services that are put | [`Settings`] | the memory of one, and of all together |
//!
//! The text is in one of two forms: the typed values of the wire, or JSON. (The program also takes JSON as people type it, with
//! bare keys and single quotes.)
//!
//! # Further keys
//!
//! A node object may have more keys, which the node keeps and `status.get` returns. A configuration that a program wrote, in the
//! wire's form (as `spawn` passes it on) or as a [`Value`], may therefore have any keys. A configuration that a person typed, as
//! JSON, may only have the keys above: any other key is probably mistyped, and a node that ignored it would not run as
//! configured.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use chinwag_actors::settings::Settings;
use chinwag_protocol::{
    host,
    identity::{AddrError, Gid, NodeAddr},
    swim,
    value::{Object, Value},
    wire::{self, Limits},
};

/// The length of the longest name of a cluster, in bytes. Every request between nodes carries the name.
const MAX_CLUSTER_BYTES: usize = 64;

/// The configuration of a node.
///
/// ```
/// let mut config = chinwag::Config::default();
/// config.port = Some(8081);
/// config.join("localhost:8080")?;
/// # Ok::<(), chinwag::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// The address or host name to bind.
    pub ip: Option<String>,
    /// The port to bind. Port 0 takes a free port.
    pub port: Option<u16>,
    /// The address at which other nodes reach the node, or `None` for the address that it binds.
    pub advertise: Option<NodeAddr>,
    /// Whether the node may bind an address that other machines can reach, although anyone who reaches it can run calls.
    pub insecure: bool,
    /// The function to call once the node listens, as source text.
    pub on_start: Option<Value>,
    /// All other keys, unchanged.
    pub extra: Object,
    /// The bounds on the bodies that the node reads and writes.
    pub limits: Limits,
    /// The bounds on calls, and how the node runs shipped functions and takes part in membership.
    pub settings: Settings,
}

impl Config {
    /// The address that a node binds by default.
    pub const DEFAULT_IP: &str = "127.0.0.1";

    /// The port that a node binds by default.
    pub const DEFAULT_PORT: u16 = 8080;

    /// The keys of a configuration.
    pub const KEYS: &[&str] = &["ip", "port", "advertise", "onStart", "membership", "join", "groups", "cluster"];

    /// Reads a configuration in either of the two forms.
    ///
    /// # Errors
    /// [`ConfigError`], which quotes the rejected value.
    ///
    /// ```
    /// let config = chinwag::Config::parse(r#"{"ip": "127.0.0.1", "port": 8081}"#).unwrap();
    /// assert_eq!(config.port, Some(8081));
    /// ```
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let not_typed = match wire::decode(text.as_bytes(), &Limits::default()) {
            Ok(value) => return Config::from_value(&value),
            Err(why) => why,
        };
        let unreadable = |why: String| ConfigError::Unreadable { text: shown(text), why };
        let value =
            wire::decode_plain(text.as_bytes(), &Limits::default()).map_err(|why| unreadable(why.to_string()))?;
        let typed =
            |object: &Object| object.len() == 2 && object.get("type").is_some() && object.get("value").is_some();
        if value.as_object().is_some_and(typed) {
            return Err(unreadable(not_typed.to_string()));
        }
        Config::from_known_keys(&value)
    }

    /// Reads a configuration that a person wrote. A key that is not in [`KEYS`](Config::KEYS) is rejected, because it is probably
    /// mistyped.
    ///
    /// # Errors
    /// [`ConfigError`], which names the rejected key.
    ///
    /// ```
    /// use chinwag::{Config, protocol::value::{Object, Value}};
    /// let typed = Value::Object([("prot", 8080)].into_iter().collect::<Object>());
    /// assert!(Config::from_known_keys(&typed).is_err());
    /// ```
    pub fn from_known_keys(value: &Value) -> Result<Config, ConfigError> {
        let mut keys = value.as_object().into_iter().flat_map(Object::keys);
        match keys.find(|key| !Config::KEYS.contains(key)) {
            Some(key) => Err(ConfigError::UnknownKey { key: shown(key) }),
            None => Config::from_value(value),
        }
    }

    /// Reads a configuration from a value. Keys that are not in [`KEYS`](Config::KEYS) are kept.
    ///
    /// # Errors
    /// [`ConfigError`], which names the rejected key.
    ///
    /// ```
    /// use chinwag::{Config, protocol::value::{Object, Value}};
    /// let value = Value::Object([("port", 8080), ("shelf", 3)].into_iter().collect::<Object>());
    /// let config = Config::from_value(&value)?;
    /// assert_eq!((config.port, config.extra.get("shelf")), (Some(8080), Some(&3.into())));
    /// # Ok::<(), chinwag::ConfigError>(())
    /// ```
    pub fn from_value(value: &Value) -> Result<Config, ConfigError> {
        let object = value.as_object().ok_or(ConfigError::NotAnObject(value.type_name()))?;
        let mut config = Config::default();
        for (key, value) in object.iter() {
            match key {
                "ip" => {
                    let ip = value.as_str().ok_or_else(|| ConfigError::Ip(value.type_name().to_owned()))?;
                    config.ip = Some(ip.to_owned());
                }
                "port" => config.port = Some(port(value)?),
                "advertise" if value.is_nullish() => {}
                "advertise" => {
                    let read = value.as_str().map_or_else(|| NodeAddr::from_value(value), str::parse);
                    config.advertise = Some(read.map_err(ConfigError::Advertise)?);
                }
                "onStart" if value.is_nullish() => {}
                "onStart" => match value {
                    Value::Function(_) | Value::String(_) => config.on_start = Some(value.clone()),
                    other => return Err(ConfigError::OnStart(other.type_name())),
                },
                "membership" => config.settings.membership.on = switch(value)?,
                "join" => each(value, |seed| config.join(seed))?,
                "groups" => each(value, |gid| config.group(gid))?,
                "cluster" => {
                    let name = value.as_str().ok_or(ConfigError::NotText(value.type_name()))?;
                    config.cluster(name)?;
                }
                _ => {
                    config.extra.insert(key, value.clone());
                }
            }
        }
        Ok(config)
    }

    /// Adds a node to join through, `HOST:PORT`.
    ///
    /// # Errors
    /// [`ConfigError::Seed`], which quotes the rejected text.
    ///
    /// ```
    /// let mut config = chinwag::Config::default();
    /// config.join("node.example:8080")?;
    /// assert!(config.join("node.example").is_err());
    /// # Ok::<(), chinwag::ConfigError>(())
    /// ```
    pub fn join(&mut self, seed: &str) -> Result<(), ConfigError> {
        let read = seed.parse().map_err(|why: AddrError| ConfigError::Seed(shown(seed), why.to_string()))?;
        self.settings.membership.seeds.push(read);
        Ok(())
    }

    /// Sets the name of the cluster that the node belongs to.
    ///
    /// # Errors
    /// [`ConfigError::Cluster`] if the name is longer than 64 bytes or has control characters.
    ///
    /// ```
    /// let mut config = chinwag::Config::default();
    /// config.cluster("kitchen")?;
    /// assert_eq!(config.settings.membership.cluster, "kitchen");
    /// # Ok::<(), chinwag::ConfigError>(())
    /// ```
    pub fn cluster(&mut self, name: &str) -> Result<(), ConfigError> {
        if name.len() > MAX_CLUSTER_BYTES || name.chars().any(char::is_control) {
            return Err(ConfigError::Cluster(shown(name)));
        }
        self.settings.membership.cluster = name.to_owned();
        Ok(())
    }

    /// Adds a group that the node is in from the start.
    ///
    /// # Errors
    /// [`ConfigError::Group`], which quotes the rejected text.
    ///
    /// ```
    /// let mut config = chinwag::Config::default();
    /// config.group("lunch")?;
    /// // every node is in `all`
    /// assert!(config.group("all").is_err());
    /// # Ok::<(), chinwag::ConfigError>(())
    /// ```
    pub fn group(&mut self, gid: &str) -> Result<(), ConfigError> {
        let refused = || ConfigError::Group(shown(gid));
        let read = Gid::new(gid).map_err(|_| refused())?;
        if read.is_local() || read.is_all() || read.is_entry_of_distribution() {
            return Err(refused());
        }
        self.settings.membership.groups.push(read);
        Ok(())
    }

    /// The socket address to bind.
    ///
    /// # Errors
    /// [`ConfigError`] if the address is unknown, if other machines can reach it and the configuration is not `insecure`, or if
    /// other nodes cannot use it and no other address is advertised.
    pub(crate) fn bind_address(&self) -> Result<SocketAddr, ConfigError> {
        let ip = self.ip.as_deref().unwrap_or(Config::DEFAULT_IP);
        let port = self.port.unwrap_or(Config::DEFAULT_PORT);
        let unknown = |why: String| ConfigError::UnknownHost { ip: ip.to_owned(), why };
        // `localhost` is 127.0.0.1, as it is when addresses are compared, even if a resolver prefers ::1
        let literal = if ip.contains('%') { None } else { host::canonical(ip).parse::<IpAddr>().ok() };
        let address = match literal {
            Some(ip) => SocketAddr::new(ip, port),
            None => {
                let mut found = (ip, port).to_socket_addrs().map_err(|why| unknown(why.to_string()))?;
                found.next().ok_or_else(|| unknown("it has no address".to_owned()))?
            }
        };
        if !address.ip().is_loopback() && !self.insecure {
            return Err(ConfigError::NotLoopback(address.ip()));
        }
        match &self.advertise {
            Some(advertised) => advertised.check().map_err(ConfigError::Advertise)?,
            None if address.ip().to_canonical().is_unspecified() => {
                return Err(ConfigError::Unspecified { ip: address.ip(), port });
            }
            // the port is not known before it is bound
            None => NodeAddr::new(ip, port.max(1)).check().map_err(ConfigError::Advertise)?,
        }
        Ok(address)
    }
}

/// The port of an address that is to be bound, as an error shows it.
fn shown_port(port: u16) -> String {
    if port == 0 { "PORT".to_owned() } else { port.to_string() }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Reads a switch: a boolean from a program, or `on` or `off` from a person.
fn switch(value: &Value) -> Result<bool, ConfigError> {
    match value {
        Value::Boolean(on) => Ok(*on),
        Value::String(text) if text == "on" => Ok(true),
        Value::String(text) if text == "off" => Ok(false),
        Value::String(text) => Err(ConfigError::Switch(format!("{:?}", shown(text)))),
        other => Err(ConfigError::Switch(other.type_name().to_owned())),
    }
}

/// Calls a function with a text, or with each text of an array.
fn each(value: &Value, mut take: impl FnMut(&str) -> Result<(), ConfigError>) -> Result<(), ConfigError> {
    match value {
        Value::String(text) => take(text),
        Value::Array(texts) => texts.iter().try_for_each(|text| {
            let text = text.unwrap_or(&Value::Undefined);
            take(text.as_str().ok_or(ConfigError::NotText(text.type_name()))?)
        }),
        other => Err(ConfigError::NotText(other.type_name())),
    }
}

fn port(value: &Value) -> Result<u16, ConfigError> {
    let shown = || match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        other => other.type_name().to_owned(),
    };
    // some launchers write the port as text
    let parsed = match value {
        Value::Number(number) if number.fract() == 0.0 && (0.0..=65_535.0).contains(number) => Some(*number as u16),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| ConfigError::Port(shown()))
}

/// Why a configuration was rejected. Nothing has been started.
///
/// ```
/// use chinwag::{Config, ConfigError};
/// let mistyped = Config::parse(r#"{"prot": 8080}"#).unwrap_err();
/// assert_eq!(mistyped, ConfigError::UnknownKey { key: "prot".to_owned() });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is in neither of the two forms.
    #[error("the configuration is neither a serialized object nor JSON: {text:?} ({why})")]
    Unreadable {
        /// The beginning of the text.
        text: String,
        /// Why the text cannot be read.
        why: String,
    },
    /// A person typed a key that no configuration has.
    #[error("the configuration has an unknown key {key:?}; its keys are {}", Config::KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The configuration is not an object.
    #[error("a configuration is an object with ip and port, not {0}")]
    NotAnObject(&'static str),
    /// The address is not text.
    #[error("not an IP address: {0}")]
    Ip(String),
    /// The port is not a number from 0 to 65,535.
    #[error("not a port (0 to 65535): {0}")]
    Port(String),
    /// `onStart` is not a function.
    #[error("onStart is a function or its source, not {0}")]
    OnStart(&'static str),
    /// The name of the cluster is not valid.
    #[error("a cluster's name has at most 64 bytes and no control characters, not {0:?}")]
    Cluster(String),
    /// `membership` is neither on nor off.
    #[error("membership is on or off, not {0}")]
    Switch(String),
    /// A node to join through is not `HOST:PORT`.
    #[error("not a node to join through (HOST:PORT): {0:?} ({1})")]
    Seed(String, String),
    /// The text is not the name of a group that a node can be in.
    #[error("not the name of a group to be in: {0:?}")]
    Group(String),
    /// A node to join through or a group is not text.
    #[error("expected text or an array of texts, got {0}")]
    NotText(&'static str),
    /// A setting of failure detection is out of its range.
    #[error("membership: {0}")]
    Membership(#[from] swim::SwimConfigError),
    /// The host is not an address and does not resolve to one.
    #[error("unknown IP address or host {ip:?}: {why}")]
    UnknownHost {
        /// The host.
        ip: String,
        /// The error of the resolver.
        why: String,
    },
    /// Other nodes cannot use the address that the node would tell them.
    #[error("a node tells others its address: {0}; --advertise HOST:PORT states another")]
    Advertise(#[source] AddrError),
    /// The node would bind every address, and has no single address to tell others.
    #[error("{ip} is every address of this machine and others cannot call that; state where they reach the node: --advertise HOST:{}", shown_port(*.port))]
    Unspecified {
        /// The address to bind.
        ip: IpAddr,
        /// The port to bind.
        port: u16,
    },
    /// Other machines could reach the node.
    #[error("{0} is not a loopback address: anyone who reaches it could run calls on this node (--insecure allows it)")]
    NotLoopback(IpAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_in_both_forms() {
        let typed = r#"{"type":"object","value":{"ip":{"type":"string","value":"127.0.0.1"},"port":{"type":"number","value":"8080"},"onStart":{"type":"function","value":"(s) => 1"}}}"#;
        let plain = r#"{"ip": "127.0.0.1", "port": 8080, "onStart": "(s) => 1"}"#;
        for text in [typed, plain] {
            let config = Config::parse(text).unwrap();
            assert_eq!((config.ip.as_deref(), config.port), (Some("127.0.0.1"), Some(8080)));
            assert!(config.on_start.is_some(), "{text}");
        }
        assert!(matches!(Config::parse(typed).unwrap().on_start, Some(Value::Function(_))));
        assert!(matches!(Config::parse(plain).unwrap().on_start, Some(Value::String(_))));
    }

    #[test]
    fn an_error_quotes_the_rejected_value() {
        for (text, says) in [
            ("{", "\"{\""),
            ("[1]", "array"),
            (r#"{"port": 65536}"#, "65536"),
            (r#"{"port": -1}"#, "-1"),
            (r#"{"port": "x"}"#, "\"x\""),
            (r#"{"ip": 3}"#, "number"),
            (r#"{"onStart": 3}"#, "number"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn further_keys_are_kept_from_a_program_and_rejected_from_a_person() {
        let typed = |key: &str| {
            let value = Value::Object([(key, Value::from("a")), ("onStart", Value::Null)].into_iter().collect());
            Config::parse(&wire::encode(&value))
        };
        // a node object may have any key, even one that looks mistyped
        for key in ["zone", "prot", "type"] {
            let config = typed(key).unwrap();
            assert_eq!(config.extra.get(key), Some(&Value::from("a")));
            assert!(config.on_start.is_none());
        }
        for (text, key) in [(r#"{"prot": 8080}"#, "prot"), (r#"{"ip": "127.0.0.1", "Port": 1}"#, "Port")] {
            assert_eq!(Config::parse(text).unwrap_err(), ConfigError::UnknownKey { key: key.to_owned() }, "{text}");
        }
        let unknown = Config::parse(r#"{"zone": "a"}"#).unwrap_err().to_string();
        assert!(unknown.contains("\"zone\"") && unknown.contains("ip, port, advertise"), "{unknown}");
    }

    #[test]
    fn a_broken_configuration_in_typed_form_is_not_read_as_json() {
        let error = Config::parse(r#"{"type":"object","value":{"port":{"type":"numbr","value":"1"}}}"#).unwrap_err();
        assert!(matches!(&error, ConfigError::Unreadable { why, .. } if why.contains("numbr")), "{error}");
    }

    #[test]
    fn a_node_that_binds_every_address_needs_an_advertised_address() {
        let bound = |ip: &str, advertise: Option<NodeAddr>| {
            Config { ip: Some(ip.into()), port: Some(8080), advertise, insecure: true, ..Config::default() }
                .bind_address()
        };
        for ip in ["0.0.0.0", "::", "[::]", "::ffff:0.0.0.0", "0"] {
            let error = bound(ip, None).unwrap_err();
            assert!(matches!(error, ConfigError::Unspecified { .. }), "{ip}: {error}");
            assert!(error.to_string().contains("--advertise "), "{error}");
            assert!(bound(ip, Some(NodeAddr::new("192.0.2.1", 8080))).is_ok(), "{ip}");
        }
        for (ip, advertise, says) in [
            ("0.0.0.0", Some(NodeAddr::new("0.0.0.0", 8080)), "every address"),
            ("127.0.0.1", Some(NodeAddr::new("192.0.2.1", 0)), "port 0"),
            ("127.0.0.1", Some(NodeAddr::new("a b", 1)), "a b"),
            ("127.1", None, "four numbers"),
        ] {
            let error = bound(ip, advertise).unwrap_err().to_string();
            assert!(error.contains(says), "{ip}: {error}");
        }
    }

    #[test]
    fn localhost_binds_127_0_0_1() {
        let at =
            |ip: &str| Config { ip: Some(ip.into()), ..Config::default() }.bind_address().unwrap().ip().to_string();
        for (ip, bound) in [("localhost", "127.0.0.1"), ("LOCALHOST", "127.0.0.1"), ("[::1]", "::1"), ("0:0::1", "::1")]
        {
            assert_eq!(at(ip), bound, "{ip}");
        }
    }

    #[test]
    fn an_advertised_address_is_text_or_a_node() {
        for text in [r#"{"advertise": "node.example:9"}"#, r#"{"advertise": {"ip": "node.example", "port": 9}}"#] {
            assert_eq!(Config::parse(text).unwrap().advertise, Some(NodeAddr::new("node.example", 9)));
        }
        for (text, says) in [(r#"{"advertise": "node.example:0"}"#, "port 0"), (r#"{"advertise": 3}"#, "number")] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_other_than_loopback_needs_insecure() {
        let at = |ip: &str, insecure| Config { ip: Some(ip.into()), insecure, ..Config::default() }.bind_address();
        assert!(at("127.0.0.1", false).is_ok() && at("::1", false).is_ok() && at("localhost", false).is_ok());
        assert!(matches!(at("0.0.0.0", false), Err(ConfigError::NotLoopback(_))));
        assert!(at("192.0.2.1", true).is_ok());
        assert!(matches!(at("999.1.1.1", true), Err(ConfigError::UnknownHost { .. })));
    }
}
