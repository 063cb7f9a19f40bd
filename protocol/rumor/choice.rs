//! Choosing peers, and the depth to which payloads are pushed.

use rand::{Rng, RngExt};

use super::View;

/// Draws `count` different peers other than `me` and `avoid`, or all such peers if there are fewer.
pub(super) fn choose<P: Copy + Eq>(
    view: &dyn View<P>,
    me: P,
    count: usize,
    avoid: Option<P>,
    chance: &mut dyn Rng,
) -> Vec<P> {
    choose_around(view, me, 0, count, avoid, chance)
}

/// Like [`choose`], but the first peers are up to `around` neighbours of `me` on the [ring](View::around) of all
/// members.
pub(super) fn choose_around<P: Copy + Eq>(
    view: &dyn View<P>,
    me: P,
    around: usize,
    count: usize,
    avoid: Option<P>,
    chance: &mut dyn Rng,
) -> Vec<P> {
    let members = view.len();
    let mut chosen = Vec::with_capacity(count.min(members));
    let fits = |chosen: &[P], peer: P| peer != me && Some(peer) != avoid && !chosen.contains(&peer);
    if around > 0 {
        // if a rumor goes in one direction only, the direction is the same on all nodes
        for peer in view.around(me).into_iter().flatten().rev().take(around.min(count)) {
            if fits(&chosen, peer) {
                chosen.push(peer);
            }
        }
    }
    let neighbours = chosen.len();
    // For few of many peers, drawing until they differ is cheapest. The bound is for a view that holds one peer many
    // times.
    if count.saturating_mul(3) < members {
        for _ in 0..4 * count + 16 {
            if chosen.len() == count {
                return chosen;
            }
            let peer = view.peer(draw(members, chance));
            if fits(&chosen, peer) {
                chosen.push(peer);
            }
        }
        chosen.truncate(neighbours);
    }
    // A partial Fisher-Yates shuffle.
    let mut places: Vec<usize> = (0..members).collect();
    for at in 0..members {
        if chosen.len() == count {
            break;
        }
        places.swap(at, at + draw(members - at, chance));
        let peer = view.peer(places[at]);
        if fits(&chosen, peer) {
            chosen.push(peer);
        }
    }
    chosen
}

/// Returns up to `count` peers that come after `me` on the [ring](View::around) of all members, the next one first.
pub(super) fn following<P: Copy + Eq>(view: &dyn View<P>, me: P, count: usize, avoid: Option<P>) -> Vec<P> {
    let (mut chosen, mut last) = (Vec::new(), me);
    while chosen.len() < count
        && let Some([_, next]) = view.around(last)
        && next != me
        && !chosen.contains(&next)
    {
        last = next;
        if Some(next) != avoid {
            chosen.push(next);
        }
    }
    chosen
}

/// Draws in 64 bits for any size of `usize`, so that a seed gives the same result on every machine.
fn draw(below: usize, chance: &mut dyn Rng) -> usize {
    chance.random_range(0..below as u64) as usize
}

/// Returns the hop up to which payloads are pushed: ceil(ln n / ln F) - 1, and at least 1. At the next hop, F to its
/// power would be at least the size of the group, so many pushes would be redundant.
///
/// This uses integers, because at n = 10,000 and F = 10 a rounded logarithm can be off by one.
pub(super) fn push_depth(members: usize, fanout: usize) -> u32 {
    let fanout = fanout.max(2);
    let mut reached = fanout;
    let mut hops = 1;
    while reached < members {
        reached = reached.saturating_mul(fanout);
        hops += 1;
    }
    (hops - 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_push_depth_of_the_default_fanout_matches_the_formula() {
        for (members, fanout, depth) in
            [(100, 5, 2), (1_000, 7, 3), (10_000, 10, 3), (100_000, 12, 4), (2, 1, 1), (100, 99, 1), (5, 1, 2)]
        {
            assert_eq!(push_depth(members, fanout), depth, "n = {members}, F = {fanout}");
        }
    }

    #[test]
    fn all_peers_are_equally_likely() {
        let members: Vec<u32> = (0..10).collect();
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        for count in [1, 5] {
            let mut drawn = [0u32; 10];
            for _ in 0..8_000 {
                for peer in choose(&&members[..], 3, count, None, &mut chance) {
                    drawn[peer as usize] += 1;
                }
            }
            let expected = 8_000.0 * count as f64 / 9.0;
            for (peer, times) in drawn.into_iter().enumerate().filter(|(peer, _)| *peer != 3) {
                // Five standard deviations.
                let off = (f64::from(times) - expected).abs();
                assert!(off < 5.0 * expected.sqrt(), "{peer} drawn {times} times of {expected}");
            }
            assert_eq!(drawn[3], 0);
        }
    }

    #[test]
    fn following_visits_all_other_members() {
        let members = [3u32, 9, 1, 7, 5];
        assert_eq!(following(&&members[..], 5, 2, None), [7, 9]);
        assert_eq!(following(&&members[..], 5, 9, Some(9)), [7, 1, 3]);
        assert_eq!(following(&&members[..], 4, 9, None), [5, 7, 9, 1, 3]);
        assert!(following(&&members[..1], 3, 9, None).is_empty());
        assert!(following(&&members[..2], 3, 9, Some(9)).is_empty());
    }

    proptest! {
        #[test]
        fn as_many_as_asked_for_all_different(
            mut members in proptest::collection::vec(0u8..40, 0..60), around in 0usize..3, count in 0usize..60,
            avoid: Option<u8>, seed: u64,
        ) {
            let chosen = choose_around(&&members[..], 7, around, count, avoid, &mut ChaCha8Rng::seed_from_u64(seed));
            members.sort_unstable();
            members.dedup();
            members.retain(|peer| *peer != 7 && Some(*peer) != avoid);
            prop_assert_eq!(chosen.len(), count.min(members.len()));
            let mut distinct = chosen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), chosen.len());
            prop_assert!(chosen.iter().all(|peer| members.contains(peer)));
        }
    }
}
