//! The cluster of a node, and its statement.
//!
//! Two clusters that were not asked to merge must stay apart, even if a node of one takes over the address of a dead
//! member of the other. Every cluster therefore has an id, which each member states in all requests and answers:
//!
//! ```text
//! a node without other members     states no id, and takes the id of the first cluster it is in contact with
//! a node that others join through  draws an id when the first of them joins, which takes it
//! nodes that were put together     state no id at first; once they know each other, the one with the lowest id of its own
//!                                  draws one for all, or the next if that one does not
//! the same id                      a member
//! another id, merge requested      an operator put the node or it joins: the lower id wins, the other becomes a former id
//! a former id of either side       the other side has not heard of the merge yet: a member
//! another id otherwise             a stranger: its messages are rejected, and it is not the member whose address it has
//! ```
//!
//! A merge spreads by itself: a node that receives a statement with its own id among the former ids takes over the new
//! id. A node that an operator put is a request for a merge until both sides state the same id, however long they
//! cannot reach each other. Only one node draws an id, because many nodes that are put everywhere at once would
//! otherwise draw many. Passive nodes state nothing and are never strangers.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::interface::{MemberEvent, Output};
use super::machine::Swim;
use super::standing::Member;
use super::statement::{ClusterId, Relation, Statement};
use crate::peer_id::PeerId;

/// The number of periods with other members after which the first member draws an id. A guess: nodes that were put
/// together know each other by then.
const FIRST_TURN: u32 = 3;

/// The number of periods after which the next member draws an id, if none has. A guess: an id has reached all members
/// by then.
const TURN: u32 = 10;

impl<P: PeerId> Swim<P> {
    /// Returns the cluster that this node states.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster.id()
    }

    /// Sets whether this node is about to join others through seeds. Until it has tried them, it takes over no id
    /// without a request: it may have the address of a dead member of another cluster, which still probes that member.
    pub fn expect_to_join(&mut self, joins: bool) {
        self.cluster.joins = joins;
    }

    /// Returns whether this node is about to join others and is not a member yet.
    pub fn expects_to_join(&self) -> bool {
        self.cluster.joins
    }

    /// Returns the statement that this node makes in all requests and answers.
    pub fn statement(&self) -> Statement {
        Statement {
            incarnation: self.incarnation,
            cluster: self.cluster.id(),
            formerly: self.cluster.formerly(),
            view: self.view_hash(),
        }
    }

    /// Compares clusters with the node that made a statement, and merges with its cluster if that was requested. Call
    /// this for every request that arrives, before the rest of the request is handled, and reject the request of a
    /// stranger.
    ///
    /// `merge` means that the other node asks for a merge: an operator there put this node in a group, or the node
    /// joins.
    pub fn relate(&mut self, stated: &Statement, merge: bool) -> Relation {
        if stated.is_passive() {
            return Relation::Member;
        }
        let before = self.cluster.id();
        let Some(theirs) = stated.cluster else {
            return Relation::Member;
        };
        match before {
            Some(mine) if mine == theirs => {
                for former in stated.formerly {
                    self.cluster.remember(former);
                }
            }
            Some(_) if self.cluster.formerly.contains(&Some(theirs)) => {}
            None if self.cluster.joins && !merge => return Relation::Stranger,
            None => self.cluster.adopt(theirs, &stated.formerly),
            Some(mine) if stated.formerly.contains(&Some(mine)) => self.cluster.adopt(theirs, &stated.formerly),
            Some(mine) if merge && theirs < mine => self.cluster.adopt(theirs, &stated.formerly),
            Some(_) if merge => {
                self.cluster.remember(Some(theirs));
                for former in stated.formerly {
                    self.cluster.remember(former);
                }
            }
            Some(_) => return Relation::Stranger,
        }
        if let (Some(from), Some(into)) = (before, self.cluster.id())
            && from != into
        {
            self.outbox.push(Output::Event(MemberEvent::Merged { from, into }));
        }
        Relation::Member
    }

    /// Draws an id for the cluster if it has none. Call this when a node joins through this one. Nodes take the id of
    /// the node through which they join, so that those that join at the same time, and do not know each other yet, are
    /// in one cluster. If this node is about to join, it continues to try its own seeds.
    pub fn found_cluster<R: Rng + ?Sized>(&mut self, chance: &mut R) {
        if self.cluster.id().is_none() {
            let joins = self.cluster.joins;
            self.cluster.adopt(ClusterId(chance.random()), &[]);
            self.cluster.joins = joins;
        }
    }

    /// Draws an id for the cluster, if it has none and it is this node's turn. The member with the lowest id of its own
    /// is first, and the others wait for it.
    pub(super) fn draw_cluster_id<R: Rng + ?Sized>(&mut self, now: Duration, chance: &mut R) {
        if self.cluster.id.is_some() && !self.cluster.alone {
            return;
        }
        let takes_part = |member: &&Member<P>| member.status().is_known() && !member.incarnation.is_passive();
        let mut company = self.members.iter().filter(takes_part).peekable();
        if company.peek().is_none() {
            self.cluster.since = None;
            return;
        }
        let before = company.filter(|member| member.peer < self.me).count();
        let since = *self.cluster.since.get_or_insert(now);
        let turns = u32::try_from(before).unwrap_or(u32::MAX).saturating_mul(TURN).saturating_add(FIRST_TURN);
        if now.saturating_sub(since) >= self.config.probe_interval.saturating_mul(turns) {
            self.cluster.adopt(ClusterId(chance.random()), &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::swim::statement::Cluster;
    use crate::swim::{Incarnation, Input, SwimConfig};

    fn node(id: u64) -> Swim<u32> {
        let mut swim = Swim::new(id as u32, 1, SwimConfig::default()).unwrap();
        swim.cluster.id = ClusterId::new(id);
        swim
    }

    fn relate(one: &mut Swim<u32>, other: &Swim<u32>, merge: bool) -> Relation {
        one.relate(&other.statement(), merge)
    }

    #[test]
    fn the_lowest_member_draws_an_id_and_the_others_take_it() {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let mut nodes: Vec<Swim<u32>> = (1..=3).map(|me| Swim::new(me, 1, SwimConfig::default()).unwrap()).collect();
        let second = Duration::from_secs(1);
        nodes[0].draw_cluster_id(9 * second, &mut chance);
        assert_eq!(nodes[0].cluster(), None, "it is alone");
        for (node, me) in nodes.iter_mut().zip(1..) {
            for other in (1..=3).filter(|other| *other != me) {
                let _ = node.handle(second, Input::Know(other, Incarnation::of_life(1)), &mut chance);
            }
        }
        for now in 10..=13 {
            for node in &mut nodes {
                node.draw_cluster_id(now * second, &mut chance);
            }
        }
        let ids: Vec<bool> = nodes.iter().map(|node| node.cluster().is_some()).collect();
        assert_eq!(ids, [true, false, false]);
        let stated = nodes[0].statement();
        assert_eq!(nodes[1].relate(&stated, false), Relation::Member);
        assert_eq!(nodes[1].cluster(), nodes[0].cluster());
        // If the first member does not draw an id, the next one does.
        for now in 14..=40 {
            nodes[2].draw_cluster_id(now * second, &mut chance);
        }
        assert!(nodes[2].cluster().is_some());
    }

    #[test]
    fn nodes_that_join_through_one_at_the_same_time_are_in_one_cluster() {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let fresh = |me| Swim::new(me, 1, SwimConfig::default()).unwrap();
        let mut seed: Swim<u32> = fresh(9);
        seed.found_cluster(&mut chance);
        let id = seed.cluster();
        assert!(id.is_some(), "the seed has one before anybody is in");
        for me in 1..=3 {
            let mut newcomer = fresh(me);
            newcomer.expect_to_join(true);
            assert_eq!(relate(&mut newcomer, &seed, true), Relation::Member);
            assert!(newcomer.cluster() == id && !newcomer.expects_to_join());
            seed.found_cluster(&mut chance);
            assert_eq!(seed.cluster(), id);
        }
    }

    #[test]
    fn a_node_of_another_cluster_is_a_stranger_until_a_merge_is_requested() {
        let (mut low, mut high) = (node(3), node(8));
        assert_eq!(relate(&mut low, &high, false), Relation::Stranger);
        assert_eq!(relate(&mut high, &low, false), Relation::Stranger);
        assert_eq!((low.cluster(), high.cluster()), (ClusterId::new(3), ClusterId::new(8)));
        assert_eq!(relate(&mut low, &high, true), Relation::Member);
        assert_eq!(low.cluster(), ClusterId::new(3), "the lower id wins");
        // The answer states the former id, which is enough.
        assert_eq!(relate(&mut high, &low, false), Relation::Member);
        assert_eq!(high.cluster(), ClusterId::new(3));
        // A node that has not heard of the merge is a member, and hears of it from any other.
        let mut late = node(8);
        assert_eq!(relate(&mut low, &late, false), Relation::Member);
        assert_eq!(relate(&mut late, &high, false), Relation::Member);
        assert_eq!(late.cluster(), ClusterId::new(3));
    }

    #[test]
    fn the_lower_id_wins_when_a_merge_is_requested() {
        let (low, mut high) = (node(3), node(8));
        assert_eq!(relate(&mut high, &low, true), Relation::Member);
        assert_eq!(high.cluster(), ClusterId::new(3));
        let mut other = node(8);
        assert_eq!(relate(&mut other, &high, false), Relation::Member);
        assert_eq!(other.cluster(), ClusterId::new(3));
    }

    #[test]
    fn a_node_without_other_members_takes_any_id_without_moving_others() {
        let (mut lone, other) = (node(3), node(8));
        lone.cluster.set_alone(true);
        assert_eq!(lone.statement().cluster, None);
        assert_eq!(relate(&mut lone, &other, false), Relation::Member);
        assert_eq!(lone.cluster(), ClusterId::new(8));
        let mut former = node(3);
        assert_eq!(relate(&mut former, &lone, false), Relation::Stranger);
    }

    #[test]
    fn a_node_that_is_about_to_join_takes_no_id_without_a_request() {
        let (mut newcomer, [seed, other]) = (node(3), [node(8), node(9)]);
        newcomer.cluster = Cluster::default();
        newcomer.expect_to_join(true);
        assert_eq!(relate(&mut newcomer, &other, false), Relation::Stranger);
        assert_eq!(relate(&mut newcomer, &seed, true), Relation::Member);
        assert_eq!(newcomer.cluster(), ClusterId::new(8));
        assert_eq!(relate(&mut newcomer, &other, false), Relation::Stranger);
        // none of its seeds answers
        newcomer.cluster = Cluster::default();
        newcomer.expect_to_join(true);
        newcomer.expect_to_join(false);
        assert_eq!(relate(&mut newcomer, &other, false), Relation::Member);
    }

    #[test]
    fn former_ids_are_bounded() {
        let mut low = node(1);
        for id in 2..20 {
            assert_eq!(relate(&mut low, &node(id), true), Relation::Member);
        }
        let formerly: Vec<u64> = low.statement().formerly.iter().flatten().map(|id| id.number()).collect();
        assert_eq!(formerly, [16, 17, 18, 19]);
    }

    #[test]
    fn passive_nodes_are_never_strangers() {
        let mut low = node(1);
        let stated = Statement { cluster: ClusterId::new(9), ..Statement::default() };
        assert_eq!(low.relate(&stated, false), Relation::Member);
    }
}
