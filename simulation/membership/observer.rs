//! What the nodes' subscribers report: removals, suspicions, and how far the removal of a victim has got.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};

use chinwag_actors::local::membership::Event;
use tokio::sync::Notify;

use super::figures::Removal;
use crate::{Net, address};

/// Records the events of all nodes.
pub(super) struct Observer {
    pub(super) net: Net,
    pub(super) observed: RefCell<Observations>,
    /// Notified when a node has removed the victim, or has added it again.
    pub(super) changed: Notify,
}

#[derive(Default)]
pub(super) struct Observations {
    pub(super) false_removals: u64,
    pub(super) paused_removals: u64,
    pub(super) suspicions: u64,
    pub(super) missed_events: u64,
    /// The node that was killed, and when.
    pub(super) victim: Option<(usize, Duration)>,
    /// The living nodes that have not removed the victim yet.
    pub(super) waiting: BTreeSet<usize>,
    pub(super) removal: Removal,
    /// The removals that are in effect: of which node, by which node.
    pub(super) gone: BTreeSet<(usize, usize)>,
}

impl Observations {
    pub(super) fn is_gone_somewhere(&self, node: usize) -> bool {
        self.gone.range((node, 0)..=(node, usize::MAX)).next().is_some()
    }
}

impl Observer {
    pub(super) fn new(net: Net) -> Observer {
        Observer { net, observed: RefCell::default(), changed: Notify::new() }
    }

    /// Records the events of a node for the rest of its life.
    pub(super) async fn subscribe(self: &Rc<Self>, node: usize) {
        // a node that has ended has no events
        let Ok(mut events) = self.net.node(node).events().await else { return };
        let observer = self.clone();
        tokio::task::spawn_local(async move {
            while let Some(event) = events.next().await {
                observer.note(node, &event);
            }
        });
    }

    /// Prepares for the kill of a node.
    pub(super) fn expect(&self, victim: usize, at: Duration) {
        let mut observed = self.observed.borrow_mut();
        let observed = &mut *observed;
        let living = (0..self.net.len()).filter(|node| *node != victim && self.net.lives(*node));
        // a node that has already removed it does not report it again
        observed.waiting = living.filter(|node| !observed.gone.contains(&(victim, *node))).collect();
        observed.victim = Some((victim, at));
        observed.removal = Removal::default();
    }

    /// Records that the victim is up again, and has forgotten which nodes it had removed.
    pub(super) fn returned(&self, victim: usize) {
        let mut observed = self.observed.borrow_mut();
        observed.victim = None;
        observed.waiting.clear();
        observed.gone.retain(|(_, by)| *by != victim);
    }

    pub(super) fn removal(&self, everywhere: bool) -> Removal {
        let removal = self.observed.borrow().removal;
        Removal { last: removal.last.filter(|_| everywhere), ..removal }
    }

    /// Whether a running node still has the victim in `all`.
    pub(super) async fn anyone_lists(&self, victim: usize) -> bool {
        let nid = self.net.addr(victim).nid();
        for node in (0..self.net.len()).filter(|node| self.net.is_up(*node)) {
            let all = self.net.node(node).group("all").members().await;
            if all.is_ok_and(|all| all.contains(&nid)) {
                return true;
            }
        }
        false
    }

    pub(super) async fn until(&self, holds: impl Fn(&Observations) -> bool) {
        loop {
            let next = self.changed.notified();
            if holds(&self.observed.borrow()) {
                break;
            }
            next.await;
        }
    }

    fn note(&self, node: usize, event: &Event) {
        let mut observed = self.observed.borrow_mut();
        if let Event::Lagged { missed } = event {
            observed.missed_events += missed;
        }
        let Some(peer) = event.peer() else { return };
        let Some(about) = address::index(&peer.node).filter(|about| *about < self.net.len()) else { return };
        // a verdict on an earlier life is not a false removal
        let life = peer.incarnation.life;
        let lives = self.net.lives(about) && (life == 0 || life >= self.net.incarnation(about));
        match event {
            Event::Suspected { .. } if lives => observed.suspicions += 1,
            Event::Failed { .. } => {
                observed.gone.insert((about, node));
                match (lives, self.net.is_up(about)) {
                    (true, true) => observed.false_removals += 1,
                    (true, false) => observed.paused_removals += 1,
                    (false, _) => {}
                }
                if let Some((_, since)) = observed.victim.filter(|(victim, _)| *victim == about && !lives)
                    && observed.waiting.remove(&node)
                {
                    let after = self.net.now() - since;
                    observed.removal.first.get_or_insert(after);
                    observed.removal.last = Some(after);
                    self.changed.notify_waiters();
                }
            }
            Event::Joined(_) | Event::Rejoined(_) => {
                observed.gone.remove(&(about, node));
                self.changed.notify_waiters();
            }
            _ => {}
        }
    }
}
