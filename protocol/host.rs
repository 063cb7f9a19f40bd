//! Spellings of hosts: which spellings name the same host, and to which hosts it is possible to connect.
//!
//! | written | canonical |
//! |---|---|
//! | `127.0.0.1`, `localhost`, `LOCALHOST`, `localhost.`, `::ffff:127.0.0.1` | `127.0.0.1` |
//! | `::1`, `[::1]`, `0:0:0:0:0:0:0:1` | `::1` |
//! | `fd00:9::1`, `FD00:9:0:0::1` | `fd00:9::1` |
//! | `fe80::1`, `fe80::1%eth0` | `fe80::1` |
//! | `host2`, `HOST2`, `host2.` | `host2` |
//!
//! Hosts are compared by their canonical forms, and sent, hashed and shown as they were written.
//!
//! `localhost` is `127.0.0.1`, and never `::1`: a node that binds one of the two does not listen on the other, so they
//! can be two nodes. No other name is resolved, because the address of a name differs between machines and over time.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The address of `localhost`.
pub const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The length of the longest host name in bytes, as text in DNS (RFC 1035).
pub const MAX_HOST_BYTES: usize = 253;

/// The length of the longest part between two dots of a host name in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// Parses a host that is an IP address and not a name. An IPv6 address can be in brackets and have a zone. An IPv4
/// address in IPv6 form (`::ffff:127.0.0.1`) is the IPv4 address.
pub fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let text = inner.unwrap_or(host);
    if !text.contains(':') {
        // only IPv6 addresses have brackets
        return if inner.is_none() { text.parse::<Ipv4Addr>().ok().map(IpAddr::V4) } else { None };
    }
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    Some(address.parse::<Ipv6Addr>().ok()?.to_canonical())
}

/// Returns the canonical form of a host, by which hosts are compared.
///
/// ```
/// use chinwag_protocol::host::canonical;
/// assert_eq!(canonical("localhost"), canonical("127.0.0.1"));
/// assert_eq!(canonical("[FD00:9:0:0::1]"), "fd00:9::1");
/// assert_ne!(canonical("localhost"), canonical("::1"));
/// ```
pub fn canonical(host: &str) -> Cow<'_, str> {
    // the most frequent case, of which the parser accepts no other spelling
    if host.parse::<Ipv4Addr>().is_ok() {
        return Cow::Borrowed(host);
    }
    if let Some(address) = literal(host) {
        let text = address.to_string();
        return if text == host { Cow::Borrowed(host) } else { Cow::Owned(text) };
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.eq_ignore_ascii_case("localhost") {
        return Cow::Owned(LOCALHOST.to_string());
    }
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

/// Returns whether a text has the form of a host, so that it is safe as the host of a URL.
pub fn is_host(text: &str) -> bool {
    if text.contains([':', '[', ']']) {
        let zone = text.trim_end_matches(']').split_once('%').map_or("", |(_, zone)| zone);
        return literal(text).is_some() && text.len() <= MAX_HOST_BYTES && zone.bytes().all(is_name_byte);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= MAX_HOST_BYTES
        && name.split('.').all(|label| (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_name_byte))
}

/// The standards do not allow underscores in host names, but many have them.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Returns why it is impossible to connect to a host from any network, or `None` if it may be possible.
///
/// A name that does not resolve and an address at which nobody listens count as possible: connecting fails later, and
/// may succeed another time.
pub fn undialable(host: &str) -> Option<&'static str> {
    match literal(host) {
        Some(_) if host.contains('%') => {
            Some("a zone names a network interface of one machine and means nothing to others")
        }
        Some(address) if address.is_unspecified() => Some("it stands for every address of a machine, not for one"),
        Some(address) if address.is_multicast() => Some("it is a multicast address"),
        Some(IpAddr::V4(Ipv4Addr::BROADCAST)) => Some("it is the broadcast address"),
        Some(_) => None,
        // `127.1`, `0x7f.1` and `127.0.0.01` are addresses to some programs and names to others
        None if ends_in_a_number(host) => Some("an IPv4 address is four numbers from 0 to 255 without leading zeros"),
        None => None,
    }
}

/// Returns whether the last part of a name is a number, which is invalid (RFC 1123, WHATWG URL).
fn ends_in_a_number(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    !last.is_empty()
        && hexadecimal.map_or_else(
            || last.bytes().all(|byte| byte.is_ascii_digit()),
            |digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        )
}

/// Returns the host of an authority (`HOST` or `HOST:PORT`, as in an HTTP `Host` header), an IPv6 address without its
/// brackets. Returns `None` if the text as a whole is not an authority.
///
/// ```
/// use chinwag_protocol::host::of_authority;
/// assert_eq!(of_authority("[::1]:8080"), Some("::1"));
/// assert_eq!(of_authority("[::1]evil.example"), None);
/// assert_eq!(of_authority("localhost:evil"), None);
/// ```
pub fn of_authority(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').filter(|(host, _)| host.contains(':'))?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    // RFC 3986 allows an empty port
    let port = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.is_empty() || is_port(port));
    (port && is_host(host)).then_some(host)
}

/// Returns whether a text is a port that consists of digits.
pub(crate) fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_have_one_canonical_form() {
        for (canonical_form, spellings) in [
            (
                "127.0.0.1",
                &["127.0.0.1", "localhost", "LocalHost", "localhost.", "::ffff:127.0.0.1", "[::ffff:7f00:1]"][..],
            ),
            ("::1", &["::1", "[::1]", "0:0:0:0:0:0:0:1", "[0::0:1]"]),
            ("fd00:9::1", &["fd00:9::1", "fd00:9:0:0::1", "FD00:9::1", "[fd00:0009::1]"]),
            ("fe80::1", &["fe80::1", "fe80::1%eth0", "[fe80::1%25]", "FE80::1%2"]),
            ("host2", &["host2", "HOST2", "Host2."]),
            ("node-3.example", &["node-3.example", "Node-3.EXAMPLE"]),
        ] {
            for spelling in spellings {
                assert_eq!(canonical(spelling), canonical_form, "{spelling}");
                assert_eq!(canonical(&canonical(spelling)), canonical_form, "the form of {spelling} is its own");
            }
        }
        for (one, other) in [("localhost", "::1"), ("host2", "host2.example"), ("127.0.0.1", "127.0.0.2"), ("a", "b")] {
            assert_ne!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn texts_that_could_escape_the_host_of_a_url_are_not_hosts() {
        let longest = ["x".repeat(63), "x".repeat(63), "x".repeat(63), "x".repeat(61)].join(".");
        for host in
            ["a", "a.", "a_b-c.d", "127.0.0.1", "::1", "[::1]", "fe80::1%eth0", "xn--bcher-kva.example", &longest]
        {
            assert!(is_host(host), "{host}");
        }
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a@b",
            "a?b",
            "a#b",
            "a%b",
            "a\\b",
            "[a]",
            "[127.0.0.1]",
            "a:1",
            ":",
            "[::1",
            "::1]",
            "[[::1]]",
            "::1%a/b",
            "[::1]a",
            "bücher.example",
            "a\n",
            &"x".repeat(64),
            &(longest.clone() + "y"),
        ] {
            assert!(!is_host(text), "{text:?}");
        }
    }

    #[test]
    fn undialable_hosts_are_told_from_others() {
        for (host, says) in [
            ("0.0.0.0", "every address"),
            ("::", "every address"),
            ("[::]", "every address"),
            ("::ffff:0.0.0.0", "every address"),
            ("224.0.0.1", "multicast"),
            ("::ffff:239.1.2.3", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("fe80::1%eth0", "zone"),
            ("127.1", "four numbers"),
            ("0", "four numbers"),
            ("2130706433", "four numbers"),
            ("0x7f000001", "four numbers"),
            ("127.0.0.01", "four numbers"),
            ("300.1.1.1", "four numbers"),
            ("127.0.0.1.", "four numbers"),
        ] {
            assert!(undialable(host).is_some_and(|why| why.contains(says)), "{host}: {:?}", undialable(host));
        }
        for host in
            ["127.0.0.1", "localhost", "::1", "fe80::1", "10.0.0.255", "192.0.2.1", "nowhere.invalid", "0xyz", "h2"]
        {
            assert_eq!(undialable(host), None, "{host}");
        }
    }

    #[test]
    fn an_authority_is_a_host_with_an_optional_port() {
        for (authority, host) in [
            ("localhost", "localhost"),
            ("localhost:8080", "localhost"),
            ("localhost:", "localhost"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[::1]:", "::1"),
            ("[::1]:65535", "::1"),
        ] {
            assert_eq!(of_authority(authority), Some(host), "{authority}");
        }
        for authority in [
            "",
            ":",
            ":80",
            "localhost:evil",
            "localhost:80:80",
            "localhost:+80",
            "localhost:65536",
            "localhost:8080 ",
            " localhost",
            "localhost/",
            "evil@localhost",
            "localhost@evil.example",
            "::1",
            "[::1]evil.example",
            "[::1",
            "[localhost]",
            "[]",
            "[::1]]:80",
            "[::1]:80:80",
            "localhost, evil.example",
            "localhost\\evil",
        ] {
            assert_eq!(of_authority(authority), None, "{authority:?}");
        }
    }
}
