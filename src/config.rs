//! A node's configuration: what it can be told, in which ways, and what it is where nothing is said.
//!
//! | knob | default | |
//! |---|---|---|
//! | `ip` | 127.0.0.1 | address or host name to bind; other than loopback only when told `insecure`; `localhost` is 127.0.0.1 |
//! | `port` | 8080 | 0 takes a free one |
//! | `advertise` | where it is bound | where others reach it, `HOST:PORT`; the node's identity. Required to bind `0.0.0.0` or `::` |
//! | `onStart` | | what to call once the node listens |
//! | `join` | | nodes to join through, `HOST:PORT`, each in turn until one answers |
//! | `groups` | | groups that the node is in from the start |
//! | `cluster` | empty | nodes of clusters with different names never become members of each other |
//! | `membership` | on | `off`: probes nobody, and is seen to live as any node that answers calls |
//! | failure detection | [`Settings::membership`] | periods, timeouts, confirmations |
//! | limits of a body | [`Limits`] | bytes, nesting, values |
//! | bounds on calls | [`Settings`] | under way, relayed, to one peer |
//!
//! As text it comes in either of two forms: the wire's typed values, or JSON. (The program also takes JSON as people type
//! it, with bare keys and single quotes.)
//!
//! # Further keys
//!
//! A node object may carry keys beside these, which are kept and answered by `status.get`. So a configuration that a
//! program wrote, in the wire's form as `spawn` passes it on or as a [`Value`], may have any keys. A configuration that a
//! person typed, as JSON, may have the keys above alone: another one is most often mistyped, and a node
//! that ignored it would run otherwise than it was told.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use chinwag_actors::settings::Settings;
use chinwag_protocol::{
    host,
    identity::{AddrError, Gid, NodeAddr},
    swim,
    value::{Object, Value},
    wire::{self, Limits},
};

/// Longest name of a cluster, in bytes: every request between nodes carries it.
const MAX_CLUSTER_BYTES: usize = 64;

/// What a node is told at its start.
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
    /// Address or host name to bind.
    pub ip: Option<String>,
    /// Port to bind; 0 takes a free one.
    pub port: Option<u16>,
    /// Where others reach the node, if not where it is bound.
    pub advertise: Option<NodeAddr>,
    /// Binds an address that others can reach although nothing keeps strangers out.
    pub insecure: bool,
    /// What to call once the node listens: a function as source text.
    pub on_start: Option<Value>,
    /// Every other key, kept as it came.
    pub extra: Object,
    /// Bounds on what is read.
    pub limits: Limits,
    /// Bounds on calls.
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
    /// [`ConfigError`], quoting what was refused.
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

    /// Reads a configuration that a person wrote: any key but [`KEYS`](Config::KEYS) is most often mistyped, and refused.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key that does not fit.
    pub fn from_known_keys(value: &Value) -> Result<Config, ConfigError> {
        let mut keys = value.as_object().into_iter().flat_map(Object::keys);
        match keys.find(|key| !Config::KEYS.contains(key)) {
            Some(key) => Err(ConfigError::UnknownKey { key: shown(key) }),
            None => Config::from_value(value),
        }
    }

    /// Reads a configuration that is a value already. Keys other than [`KEYS`](Config::KEYS) are kept.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key that does not fit.
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
    /// [`ConfigError::Seed`], quoting what is none.
    pub fn join(&mut self, seed: &str) -> Result<(), ConfigError> {
        let read = seed.parse().map_err(|why: AddrError| ConfigError::Seed(shown(seed), why.to_string()))?;
        self.settings.membership.seeds.push(read);
        Ok(())
    }

    /// Names the cluster that the node belongs to.
    ///
    /// # Errors
    /// [`ConfigError::Cluster`] for a name that is longer than 64 bytes or has control characters.
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
    /// [`ConfigError::Group`], quoting what cannot be one.
    pub fn group(&mut self, gid: &str) -> Result<(), ConfigError> {
        let refused = || ConfigError::Group(shown(gid));
        let read = Gid::new(gid).map_err(|_| refused())?;
        if read.is_local() || read.is_all() {
            return Err(refused());
        }
        self.settings.membership.groups.push(read);
        Ok(())
    }

    /// The socket address to bind.
    ///
    /// # Errors
    /// Where the address is unknown, would let strangers in, or cannot be told to others and no other one is.
    pub(crate) fn bind_address(&self) -> Result<SocketAddr, ConfigError> {
        let ip = self.ip.as_deref().unwrap_or(Config::DEFAULT_IP);
        let port = self.port.unwrap_or(Config::DEFAULT_PORT);
        let unknown = |why: String| ConfigError::UnknownHost { ip: ip.to_owned(), why };
        // as addresses are compared: `localhost` is 127.0.0.1 although a resolver may prefer ::1
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
            // the port is known once it is bound
            None => NodeAddr::new(ip, port.max(1)).check().map_err(ConfigError::Advertise)?,
        }
        Ok(address)
    }
}

/// A port that is to be bound, as part of an address.
fn shown_port(port: u16) -> String {
    if port == 0 { "PORT".to_owned() } else { port.to_string() }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Yes or no, in the words of people and of programs.
fn switch(value: &Value) -> Result<bool, ConfigError> {
    match value {
        Value::Boolean(on) => Ok(*on),
        Value::String(text) if text == "on" => Ok(true),
        Value::String(text) if text == "off" => Ok(false),
        Value::String(text) => Err(ConfigError::Switch(format!("{:?}", shown(text)))),
        other => Err(ConfigError::Switch(other.type_name().to_owned())),
    }
}

/// A text, or each of several.
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
    // some launchers quote it
    let parsed = match value {
        Value::Number(number) if number.fract() == 0.0 && (0.0..=65_535.0).contains(number) => Some(*number as u16),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| ConfigError::Port(shown()))
}

/// Why a node cannot be configured so. Nothing has been started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is in neither of the two forms.
    #[error("the configuration is neither a serialized object nor JSON: {text:?} ({why})")]
    Unreadable {
        /// The beginning of the text.
        text: String,
        /// Where the reader gave up.
        why: String,
    },
    /// A key that no configuration has, typed by a person.
    #[error("the configuration has an unknown key {key:?}; its keys are {}", Config::KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// Not an object.
    #[error("a configuration is an object with ip and port, not {0}")]
    NotAnObject(&'static str),
    /// The address is not text.
    #[error("not an IP address: {0}")]
    Ip(String),
    /// The port is not one.
    #[error("not a port (0 to 65535): {0}")]
    Port(String),
    /// What is to be called is not a function.
    #[error("onStart is a function or its source, not {0}")]
    OnStart(&'static str),
    /// Not the name of a cluster.
    #[error("a cluster's name has at most 64 bytes and no control characters, not {0:?}")]
    Cluster(String),
    /// Neither on nor off.
    #[error("membership is on or off, not {0}")]
    Switch(String),
    /// Not the name of a node to join through.
    #[error("not a node to join through (HOST:PORT): {0:?} ({1})")]
    Seed(String, String),
    /// Not the name of a group that a node can be in.
    #[error("not the name of a group to be in: {0:?}")]
    Group(String),
    /// Nodes to join through, and groups, are text.
    #[error("expected text or an array of texts, got {0}")]
    NotText(&'static str),
    /// A knob of membership is out of its range.
    #[error("membership: {0}")]
    Membership(#[from] swim::SwimConfigError),
    /// The address is none of this machine's, or none at all.
    #[error("unknown IP address or host {ip:?}: {why}")]
    UnknownHost {
        /// The host.
        ip: String,
        /// What the resolver says.
        why: String,
    },
    /// Others could not use the address that they would be told.
    #[error("a node tells others its address: {0}; --advertise HOST:PORT states another")]
    Advertise(#[source] AddrError),
    /// Bound to every address, the node has none to tell others.
    #[error("{ip} is every address of this machine and others cannot call that; state where they reach the node: --advertise HOST:{}", shown_port(*.port))]
    Unspecified {
        /// The address to bind.
        ip: IpAddr,
        /// The port to bind.
        port: u16,
    },
    /// Strangers could reach the node.
    #[error("{0} is not a loopback address: anyone who reaches it could run calls on this node (--insecure allows it)")]
    NotLoopback(IpAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
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
    fn what_does_not_fit_is_named() {
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
    fn a_program_may_write_further_keys_and_a_person_may_not() {
        let typed = |key: &str| {
            let value = Value::Object([(key, Value::from("a")), ("onStart", Value::Null)].into_iter().collect());
            Config::parse(&wire::encode(&value))
        };
        // even one that looks mistyped: a node object may carry anything
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
    fn a_typed_configuration_that_is_broken_is_not_taken_for_one_that_a_person_typed() {
        let error = Config::parse(r#"{"type":"object","value":{"port":{"type":"numbr","value":"1"}}}"#).unwrap_err();
        assert!(matches!(&error, ConfigError::Unreadable { why, .. } if why.contains("numbr")), "{error}");
    }

    #[test]
    fn what_is_bound_everywhere_has_to_be_told_where_it_is_reached() {
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
    fn localhost_is_bound_where_it_is_said_to_be() {
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
    fn strangers_are_let_in_only_on_request() {
        let at = |ip: &str, insecure| Config { ip: Some(ip.into()), insecure, ..Config::default() }.bind_address();
        assert!(at("127.0.0.1", false).is_ok() && at("::1", false).is_ok() && at("localhost", false).is_ok());
        assert!(matches!(at("0.0.0.0", false), Err(ConfigError::NotLoopback(_))));
        assert!(at("192.0.2.1", true).is_ok());
        assert!(matches!(at("999.1.1.1", true), Err(ConfigError::UnknownHost { .. })));
    }
}
