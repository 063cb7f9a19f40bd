//! The addresses of simulated nodes. Each node has its own IP address, which contains its number.

use chinwag_protocol::identity::NodeAddr;

/// The port of every simulated node. The nodes differ in their IP addresses.
pub(super) const PORT: u16 = 8080;

/// The address of the node with this number, in 10.0.0.0/8.
pub(super) fn address(index: usize) -> NodeAddr {
    NodeAddr::new(format!("10.{}.{}.{}", (index >> 16) & 255, (index >> 8) & 255, index & 255), PORT)
}

/// The number of the node with this address.
pub(super) fn index(address: &NodeAddr) -> Option<usize> {
    if address.port() != PORT {
        return None;
    }
    let mut parts = address.ip().strip_prefix("10.")?.split('.').map(str::parse::<u8>);
    let mut next = || parts.next()?.ok().map(usize::from);
    Some(next()? << 16 | next()? << 8 | next()?)
}
