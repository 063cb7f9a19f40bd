//! What people type: configurations and arguments in JSON5, and the messages about mistakes in them.
//!
//! The library reads the forms that programs write. This module adds a lenient reader, and details for people to the
//! library's errors: the known key that is nearest to a mistyped one, and the addresses of this machine that others may
//! be able to use.

use std::{fmt, net::IpAddr};

use chinwag::{
    Config, ConfigError, StartError, Value,
    protocol::wire::{self, Limits},
};

/// The limit on the nesting of what a person types.
const MAX_DEPTH: usize = 128;

/// Parses a configuration in a form that programs write, or in JSON5.
pub(super) fn configuration(text: &str) -> Result<Config, ConfigError> {
    let strict = Config::parse(text);
    if !matches!(strict, Err(ConfigError::Unreadable { .. }))
        || wire::decode_plain(text.as_bytes(), &Limits::default()).is_ok()
    {
        return strict;
    }
    let value = read_json(text).map_err(|Unreadable { text, why }| ConfigError::Unreadable { text, why })?;
    Config::from_known_keys(&value)
}

/// Why a node did not start, with details for a person.
pub(super) fn explained(why: &StartError) -> String {
    match why {
        StartError::Config(ConfigError::UnknownKey { key }) => format!(
            "the configuration has an unknown key {key:?}; did you mean {:?}? Its keys are {}",
            nearest_key(key),
            Config::KEYS.join(", ")
        ),
        StartError::Config(ConfigError::Unspecified { ip, port }) => format!(
            "{ip} stands for every address of this machine, which others cannot call; state the address at which they reach the node: {}",
            Listed(&usable_addresses(*ip, interfaces()), *port)
        ),
        why => why.to_string(),
    }
}

/// The key of a configuration that is nearest to a word.
fn nearest_key(word: &str) -> &'static str {
    let word = word.to_ascii_lowercase();
    let distance = |key: &&&str| strsim::osa_distance(&word, &key.to_ascii_lowercase());
    Config::KEYS.iter().min_by_key(distance).unwrap_or(&"ip")
}

/// Parses JSON as people type it: JSON5, with bare keys, single quotes, trailing commas and comments.
///
/// # Errors
/// [`Unreadable`] with the place.
pub(super) fn read_json(text: &str) -> Result<Value, Unreadable> {
    if let Ok(value) = wire::decode_plain(text.as_bytes(), &Limits::default()) {
        return Ok(value);
    }
    let refused = |why| Unreadable { text: shown(text), why };
    // json5 recurses once for each level
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(refused(format!("it is nested more than {MAX_DEPTH} deep")));
        }
    }
    json5::from_str(text).map_err(|why| refused(with_place(text, &why)))
}

/// What is wrong, and where. If the text ends too early, json5 reports where the unfinished part began, or nothing.
fn with_place(text: &str, why: &json5::Error) -> String {
    use json5::ErrorCode as Code;
    let ends_early = matches!(
        why.code(),
        Some(
            Code::EofParsingArray
                | Code::EofParsingBool
                | Code::EofParsingComment
                | Code::EofParsingEscapeSequence
                | Code::EofParsingIdentifier
                | Code::EofParsingNull
                | Code::EofParsingNumber
                | Code::EofParsingObject
                | Code::EofParsingString
                | Code::EofParsingValue
        )
    );
    if !ends_early {
        return why.to_string();
    }
    let line = text.split('\n').count();
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("it ends too early at line {line} column {column}: {why}")
}

/// A text that is not JSON in any form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// The beginning of the text.
    pub(super) text: String,
    /// What is wrong with it, and where: line and column.
    pub(super) why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON: {:?} ({})", self.text, self.why)
    }
}

/// The present addresses of this machine, or none if the system does not report them.
fn interfaces() -> Vec<IpAddr> {
    if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip).collect()
}

/// The addresses of a machine at which others reach a node that is bound to all of them: those that other machines can
/// use, or else the loopback ones.
fn usable_addresses(bound: IpAddr, all: Vec<IpAddr>) -> Vec<IpAddr> {
    let link_local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    // a socket that is bound to `::` usually accepts IPv4 too
    let served = |ip: &IpAddr| !link_local(ip) && (bound.is_ipv6() || ip.is_ipv4());
    let mut usable: Vec<IpAddr> = all.into_iter().filter(served).collect();
    if usable.iter().any(|ip| !ip.is_loopback()) {
        usable.retain(|ip| !ip.is_loopback());
    }
    usable.sort();
    usable.dedup();
    usable
}

/// A list for people.
struct Listed<'a>(&'a [IpAddr], u16);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listed(addresses, port) = self;
        let port = if *port == 0 { "PORT".to_owned() } else { port.to_string() };
        if addresses.is_empty() {
            return write!(f, "--advertise HOST:{port}");
        }
        for (number, ip) in addresses.iter().enumerate() {
            let or = if number == 0 { "" } else { " or " };
            match ip {
                IpAddr::V4(ip) => write!(f, "{or}--advertise {ip}:{port}")?,
                IpAddr::V6(ip) => write!(f, "{or}--advertise [{ip}]:{port}")?,
            }
        }
        Ok(())
    }
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_may_be_json5() {
        let typed = r#"{"ip": "127.0.0.1", port: 8080, onStart: "(s) => console.log('hi!')",}"#;
        let config = configuration(typed).unwrap();
        assert_eq!((config.ip.as_deref(), config.port), (Some("127.0.0.1"), Some(8080)));
        assert!(matches!(config.on_start, Some(Value::String(_))));
        // the library reads what programs write
        let written = r#"{"type":"object","value":{"port":{"type":"number","value":"8080"}}}"#;
        assert_eq!(configuration(written).unwrap().port, Some(8080));
        let broken = configuration(r#"{"type":"object","value":{"port":{"type":"numbr","value":"1"}}}"#).unwrap_err();
        assert!(matches!(&broken, ConfigError::Unreadable { why, .. } if why.contains("numbr")), "{broken}");
        let early = configuration("{port: 1").unwrap_err().to_string();
        assert!(early.contains("early at line 1 column 9"), "{early}");
    }

    #[test]
    fn an_unknown_key_is_reported_with_the_nearest_one() {
        for (text, nearest) in [
            ("{prot: 8080}", "port"),
            (r#"{"ip": "127.0.0.1", "Port": 1}"#, "port"),
            ("{ipp: '::1'}", "ip"),
            ("{onstart: '() => 1'}", "onStart"),
            ("{group: 'g'}", "groups"),
            ("{advertize: 'a:1'}", "advertise"),
        ] {
            let error = explained(&configuration(text).unwrap_err().into());
            assert!(error.contains(&format!("did you mean {nearest:?}? Its keys are ip, port")), "{text}: {error}");
        }
    }

    #[test]
    fn json5_is_read() {
        for (text, value) in [
            ("{a: 1}", serde_json::json!({"a": 1})),
            ("{'a': [1, 2,],}", serde_json::json!({"a": [1, 2]})),
            ("/* none */ [\"x\", 'y'] // two", serde_json::json!(["x", "y"])),
            ("[.5, +1, 0x10]", serde_json::json!([0.5, 1, 16])),
            ("null", serde_json::Value::Null),
        ] {
            assert_eq!(read_json(text), Ok(Value::from_json(value)), "{text}");
        }
        assert!(matches!(read_json("[NaN]").unwrap().as_array().unwrap().get(0), Some(Value::Number(n)) if n.is_nan()));
        for (text, place) in [
            ("{a: 1", "early at line 1 column 6"),
            ("'a\\\nb", "early at line 2 column 2"),
            ("{a 1}", "line 1 column 4"),
            ("[1,\n 2}", "line 2 column 3"),
            ("", "early at line 1 column 1"),
        ] {
            let why = read_json(text).unwrap_err().why;
            assert!(why.contains(place), "{text:?}: {why}");
        }
        let deep = read_json(&"[".repeat(1_000_000)).unwrap_err();
        assert!(deep.why.contains("128 deep") && deep.text.len() <= 80, "{deep}");
    }

    #[test]
    fn an_address_of_every_interface_is_refused_with_usable_addresses() {
        let error = explained(&ConfigError::Unspecified { ip: "0.0.0.0".parse().unwrap(), port: 80 }.into());
        assert!(error.contains("--advertise ") && error.contains(":80"), "{error}");
    }

    #[test]
    fn usable_addresses_are_those_of_other_machines_or_else_loopback() {
        let all = || {
            ["127.0.0.1", "::1", "192.0.2.7", "169.254.1.1", "fe80::1", "2001:db8::7", "192.0.2.7"]
                .map(|ip| ip.parse::<IpAddr>().unwrap())
                .to_vec()
        };
        let shown = |bound: &str, all, port| Listed(&usable_addresses(bound.parse().unwrap(), all), port).to_string();
        assert_eq!(shown("0.0.0.0", all(), 80), "--advertise 192.0.2.7:80");
        assert_eq!(shown("::", all(), 80), "--advertise 192.0.2.7:80 or --advertise [2001:db8::7]:80");
        assert_eq!(shown("0.0.0.0", all()[..2].to_vec(), 0), "--advertise 127.0.0.1:PORT");
        assert_eq!(shown("0.0.0.0", Vec::new(), 0), "--advertise HOST:PORT");
    }
}
