//! On whose account code runs: who shipped it, and which service it belongs to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// On whose account code runs. Timers, callbacks, pending calls and processor time are counted for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    /// The number of the peer that shipped the code: an address or, on loopback, a connection. 0 is the node itself.
    pub shipper: u64,
    /// The number of the service that the code belongs to, or 0.
    pub service: u64,
}

impl Account {
    /// The node's own code, such as that of its prompt.
    pub(super) const NODE: Account = Account { shipper: 0, service: 0 };
}

/// Returns the number of the shipper at an address: the same for all ports, except on loopback, where each connection is
/// a shipper of its own.
pub(super) fn shipper_at(peer: Option<SocketAddr>) -> u64 {
    let Some(peer) = peer else { return 0 };
    let address = match peer.ip().to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // two networks that share all but the bits that differ here share a quota
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ (address.to_bits() as u64).rotate_left(32),
    };
    let port = if peer.ip().to_canonical().is_loopback() { u64::from(peer.port()) } else { 0 };
    // the address of no peer is 0
    (address.rotate_left(16) ^ port).max(1)
}

/// Counts what is held on each account, and bounds it.
///
/// A shipper other than the node itself may hold a quarter of the total, and a service an eighth. So one caller cannot
/// take everything, and neither can three.
#[derive(Debug)]
pub(super) struct Quota {
    what: &'static str,
    most: usize,
    total: usize,
    shippers: BTreeMap<u64, usize>,
    services: BTreeMap<u64, usize>,
}

impl Quota {
    /// Bounds `what`, a noun in the plural, by `most` in total.
    pub(super) fn new(what: &'static str, most: usize) -> Quota {
        Quota { what, most, total: 0, shippers: BTreeMap::new(), services: BTreeMap::new() }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// Says which bound has been reached.
    pub(super) fn take(&mut self, account: Account) -> Result<(), String> {
        let Quota { what, most, .. } = *self;
        if self.total >= most {
            return Err(format!("shipped functions hold {most} {what}, which is the limit"));
        }
        let held = |counts: &BTreeMap<u64, usize>, number| counts.get(&number).copied().unwrap_or(0);
        let (of_shipper, of_service) = ((most / 4).max(1), (most / 8).max(1));
        if account.shipper != 0 && held(&self.shippers, account.shipper) >= of_shipper {
            return Err(format!("the functions of one caller may hold {of_shipper} {what}"));
        }
        if account.service != 0 && held(&self.services, account.service) >= of_service {
            return Err(format!("the functions of one service may hold {of_service} {what}"));
        }
        self.total += 1;
        *self.shippers.entry(account.shipper).or_default() += 1;
        *self.services.entry(account.service).or_default() += 1;
        Ok(())
    }

    /// Counts one less.
    pub(super) fn give_back(&mut self, account: Account) {
        let less = |counts: &mut BTreeMap<u64, usize>, number| {
            if let Some(count) = counts.get_mut(&number) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&number);
                }
            }
        };
        self.total = self.total.saturating_sub(1);
        less(&mut self.shippers, account.shipper);
        less(&mut self.services, account.service);
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Quota, shipper_at};

    #[test]
    fn only_on_loopback_is_each_connection_a_shipper() {
        let shipper = |peer: &str| shipper_at(Some(peer.parse().unwrap()));
        assert_eq!(shipper("10.0.0.1:4000"), shipper("10.0.0.1:4001"));
        assert_eq!(shipper("[::ffff:10.0.0.1]:4000"), shipper("10.0.0.1:4001"));
        assert_ne!(shipper("10.0.0.1:4000"), shipper("10.0.0.2:4000"));
        assert_ne!(shipper("127.0.0.1:4000"), shipper("127.0.0.1:4001"));
        assert_ne!(shipper("[::1]:4000"), shipper("[::1]:4001"));
        assert_eq!(shipper_at(None), Account::NODE.shipper);
    }

    #[test]
    fn a_shipper_and_a_service_may_each_hold_only_a_share() {
        let mut quota = Quota::new("timers", 16);
        let of = |shipper, service| Account { shipper, service };
        for _ in 0..2 {
            quota.take(of(1, 7)).unwrap();
        }
        assert!(quota.take(of(2, 7)).unwrap_err().contains("one service may hold 2 timers"));
        quota.take(of(1, 0)).unwrap();
        quota.take(of(1, 8)).unwrap();
        assert!(quota.take(of(1, 0)).unwrap_err().contains("one caller may hold 4 timers"));
        // the node itself is bounded only by the total
        for _ in 0..12 {
            quota.take(Account::NODE).unwrap();
        }
        assert!(quota.take(of(3, 0)).unwrap_err().contains("hold 16 timers"));
        quota.give_back(of(1, 7));
        quota.take(of(2, 7)).unwrap();
        for account in [of(1, 7), of(2, 7), of(1, 0), of(1, 8)].into_iter().chain([Account::NODE; 12]) {
            quota.give_back(account);
        }
        assert!(quota.total == 0 && quota.shippers.is_empty() && quota.services.is_empty());
    }
}
