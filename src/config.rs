//! A node's configuration: what it can be told, in which ways, and what it is where nothing is said.
//!
//! | knob | default | |
//! |---|---|---|
//! | `ip` | 127.0.0.1 | address or host name to bind; other than loopback only when told `insecure` |
//! | `port` | 8080 | 0 takes a free one |
//! | `advertise` | where it is bound | where others reach it; the node's identity |
//! | `onStart` | | what to call once the node listens |
//! | `join` | | nodes to join through, `HOST:PORT`, each in turn until one answers |
//! | `groups` | | groups that the node is in from the start |
//! | `membership` | on | `off`: probes nobody, and is seen to live as any node that answers calls |
//! | failure detection | [`Settings::membership`] | periods, timeouts, confirmations |
//! | limits of a body | [`Limits`] | bytes, nesting, values |
//! | bounds on calls | [`Settings`] | under way, relayed, to one peer |
//!
//! As text it comes in any of three forms: the wire's typed values, JSON, or JSON as people type it, with bare keys
//! and single quotes.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use chinwag_actors::home::Settings;
use chinwag_protocol::{
    identity::{AddrError, Gid, NodeAddr},
    swim,
    value::{Object, Value},
    wire::{self, Limits},
};

/// The address a node binds where nothing is said.
pub const DEFAULT_IP: &str = "127.0.0.1";

/// The port a node binds where nothing is said.
pub const DEFAULT_PORT: u16 = 8080;

/// What a node is told at its start.
#[derive(Clone, Debug, Default)]
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
    /// Reads a configuration in any of the three forms.
    ///
    /// # Errors
    /// [`ConfigError`], quoting what was refused.
    ///
    /// ```
    /// let config = chinwag::config::Config::parse("{ip: '127.0.0.1', port: 8081}").unwrap();
    /// assert_eq!(config.port, Some(8081));
    /// ```
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let limits = Limits::default();
        let value = match wire::decode(text.as_bytes(), &limits) {
            Ok(value) => value,
            Err(_) => {
                let json: serde_json::Value = match serde_json::from_str(text) {
                    Ok(json) => json,
                    Err(_) => json5::from_str(text).map_err(|why| ConfigError::Unreadable {
                        text: text.chars().take(80).collect(),
                        why: why.to_string().lines().next().unwrap_or_default().to_owned(),
                    })?,
                };
                Value::from_json(json)
            }
        };
        Config::from_value(&value)
    }

    /// Reads a configuration that is a value already.
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
                "onStart" if value.is_nullish() => {}
                "onStart" => match value {
                    Value::Function(_) | Value::String(_) => config.on_start = Some(value.clone()),
                    other => return Err(ConfigError::OnStart(other.type_name())),
                },
                "membership" => config.settings.membership.on = switch(value)?,
                "join" => each(value, |seed| config.join(seed))?,
                "groups" => each(value, |gid| config.group(gid))?,
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
    /// Where the address is unknown, or would let strangers in.
    pub(crate) fn bind_address(&self) -> Result<SocketAddr, ConfigError> {
        let ip = self.ip.as_deref().unwrap_or(DEFAULT_IP);
        let port = self.port.unwrap_or(DEFAULT_PORT);
        let unknown = |why: String| ConfigError::UnknownHost { ip: ip.to_owned(), why };
        let address = match ip.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, port),
            Err(_) => {
                let mut found = (ip, port).to_socket_addrs().map_err(|why| unknown(why.to_string()))?;
                found.next().ok_or_else(|| unknown("it has no address".to_owned()))?
            }
        };
        if !address.ip().is_loopback() && !self.insecure {
            return Err(ConfigError::NotLoopback(address.ip()));
        }
        Ok(address)
    }
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
pub enum ConfigError {
    /// The text is in none of the three forms.
    #[error("the configuration is neither a serialized object nor JSON: {text:?} ({why})")]
    Unreadable {
        /// The beginning of the text.
        text: String,
        /// Where the most lenient reader gave up.
        why: String,
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
    Membership(#[from] swim::ConfigError),
    /// The address is none of this machine's, or none at all.
    #[error("unknown IP address or host {ip:?}: {why}")]
    UnknownHost {
        /// The host.
        ip: String,
        /// What the resolver says.
        why: String,
    },
    /// Strangers could reach the node.
    #[error("{0} is not a loopback address: anyone who reaches it could run calls on this node (--insecure allows it)")]
    NotLoopback(IpAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_are_read() {
        let typed = r#"{"type":"object","value":{"ip":{"type":"string","value":"127.0.0.1"},"port":{"type":"number","value":"8080"},"onStart":{"type":"function","value":"(s) => 1"}}}"#;
        let plain = r#"{"ip": "127.0.0.1", "port": 8080, "onStart": "(s) => 1"}"#;
        let typed_by_hand = r#"{"ip": "127.0.0.1", port: 8080, onStart: "(s) => console.log('hi!')"}"#;
        for text in [typed, plain, typed_by_hand] {
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
            ("{port: 65536}", "65536"),
            ("{port: -1}", "-1"),
            ("{port: 'x'}", "\"x\""),
            ("{ip: 3}", "number"),
            ("{onStart: 3}", "number"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn further_keys_are_kept_and_null_is_nothing() {
        let config = Config::parse("{zone: 'a', onStart: null}").unwrap();
        assert_eq!(config.extra.get("zone"), Some(&Value::from("a")));
        assert!(config.on_start.is_none());
    }

    #[test]
    fn strangers_are_let_in_only_on_request() {
        let at = |ip: &str, insecure| Config { ip: Some(ip.into()), insecure, ..Config::default() }.bind_address();
        assert!(at("127.0.0.1", false).is_ok() && at("::1", false).is_ok() && at("localhost", false).is_ok());
        assert!(matches!(at("0.0.0.0", false), Err(ConfigError::NotLoopback(_))));
        assert!(at("0.0.0.0", true).is_ok());
        assert!(matches!(at("999.1.1.1", true), Err(ConfigError::UnknownHost { .. })));
    }
}
