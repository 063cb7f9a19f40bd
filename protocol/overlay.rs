//! Overlays: which nodes know which others, if not every node knows all.
//!
//! Each node has a view of its own of a group, so the views of all nodes form a graph. This module has the usual graphs
//! over the nodes `0..n`. Every edge goes both ways, no node is its own neighbour, and every overlay is connected.
//!
//! | text | neighbours | takes | diameter |
//! |---|---|---|---|
//! | `line` | one before, one after | n >= 1 | n - 1 |
//! | `ring` | one before, one after, closed | n >= 3 | n / 2 |
//! | `star` | node 0 is the neighbour of all | n >= 2 | 2 |
//! | `torus` | four, on the most nearly square grid | n = a b; a, b >= 3 | (a + b) / 2 |
//! | `hypercube` | those whose number differs in one bit | n = 2^d | d |
//! | `regular:K` | K, drawn at random | K < n, K n even | about ln n / ln (K - 1) |
//! | `clique` | all others | n >= 1 | 1 |
//!
//! ```
//! use chinwag_protocol::overlay::Overlay;
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let overlay: Overlay = "torus".parse()?;
//! let neighbours = overlay.neighbours(12, &mut ChaCha8Rng::seed_from_u64(1))?;
//! assert_eq!(neighbours.of(0).collect::<Vec<_>>(), [1, 3, 4, 8]);
//! assert_eq!(overlay.neighbours(13, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string(),
//!     "a torus is a grid of at least 3 by 3: 13 nodes do not form one");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is absent: directed graphs, and trees other than the star. Plumtree builds its tree from traffic; gossip over
//! random peers needs none.

use std::{collections::BTreeSet, fmt, str::FromStr};

use rand::{Rng, RngExt as _};

/// The number of swaps per edge when a regular graph is drawn. At least 1; ten is the usual choice, as a few suffice to
/// make the result independent of the start (Milo et al. 2003, "On the uniform generation of random graphs with
/// prescribed degree sequences").
const SWAPS_PER_EDGE: usize = 10;

/// The shape of the graph of nodes that know each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// Each node knows the one before and the one after it.
    Line,
    /// A line whose two ends know each other.
    Ring,
    /// All nodes know node 0, which knows all of them.
    Star,
    /// A grid in which the nodes on opposite edges know each other.
    Torus,
    /// Nodes know each other if their numbers differ in one bit.
    Hypercube,
    /// Each node knows this many others, drawn at random. The graph is an expander: gossip spreads nearly as fast as in
    /// a clique.
    RandomRegular(u32),
    /// Every node knows all others.
    #[default]
    Clique,
}

/// The neighbours of each node.
///
/// ```
/// use chinwag_protocol::overlay::Overlay;
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let ring = Overlay::Ring.neighbours(6, &mut ChaCha8Rng::seed_from_u64(1))?;
/// assert_eq!(ring.of(0).collect::<Vec<_>>(), [1, 5]);
/// assert_eq!(ring.reachable(0, |node| node != 2 && node != 5), [0, 1]);
/// # Ok::<(), chinwag_protocol::overlay::OverlayError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// Every node knows all others, so one view serves all of this many nodes.
    Everyone(u32),
    /// The neighbours of each node, ascending.
    Lists(Vec<Vec<u32>>),
}

impl Neighbours {
    /// Returns the number of nodes.
    pub fn len(&self) -> usize {
        match self {
            Neighbours::Everyone(count) => *count as usize,
            Neighbours::Lists(lists) => lists.len(),
        }
    }

    /// Returns whether there are no nodes, which no overlay produces.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Iterates over a node's neighbours, ascending. A node that does not exist has none.
    pub fn of(&self, node: u32) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Neighbours::Everyone(count) if node < *count => Box::new((0..*count).filter(move |&other| other != node)),
            Neighbours::Everyone(_) => Box::new(std::iter::empty()),
            Neighbours::Lists(lists) => Box::new(lists.get(node as usize).into_iter().flatten().copied()),
        }
    }

    /// Returns the nodes that can be reached from `start` through nodes that are `up`, ascending and including `start`.
    /// The result is empty if `start` is not up.
    pub fn reachable(&self, start: u32, up: impl Fn(u32) -> bool) -> Vec<u32> {
        if start as usize >= self.len() || !up(start) {
            return Vec::new();
        }
        let Neighbours::Lists(lists) = self else {
            return (0..self.len() as u32).filter(|&node| up(node)).collect();
        };
        let mut reached = BTreeSet::from([start]);
        let mut frontier = vec![start];
        while let Some(node) = frontier.pop() {
            for &next in lists.get(node as usize).into_iter().flatten() {
                if up(next) && reached.insert(next) {
                    frontier.push(next);
                }
            }
        }
        reached.into_iter().collect()
    }
}

impl Overlay {
    /// Builds the graph of `nodes` nodes. Only [`Overlay::RandomRegular`] uses `chance`.
    ///
    /// # Errors
    /// [`OverlayError`] if no such graph exists.
    pub fn neighbours(self, nodes: u32, chance: &mut impl Rng) -> Result<Neighbours, OverlayError> {
        if nodes == 0 {
            return Err(OverlayError::NoNodes);
        }
        let lists = match self {
            Overlay::Clique => return Ok(Neighbours::Everyone(nodes)),
            Overlay::Line => (0..nodes)
                .map(|node| {
                    let after = (node + 1 < nodes).then_some(node + 1);
                    node.checked_sub(1).into_iter().chain(after).collect()
                })
                .collect(),
            Overlay::Ring if nodes < 3 => return Err(OverlayError::Ring(nodes)),
            Overlay::Ring => circulant(nodes, 2),
            Overlay::Star if nodes < 2 => return Err(OverlayError::Star(nodes)),
            Overlay::Star => (0..nodes).map(|node| if node == 0 { (1..nodes).collect() } else { vec![0] }).collect(),
            Overlay::Torus => torus(nodes)?,
            Overlay::Hypercube if !nodes.is_power_of_two() => return Err(OverlayError::Hypercube(nodes)),
            Overlay::Hypercube => {
                let dimensions = nodes.trailing_zeros();
                let across = |node: u32| (0..dimensions).map(|bit| node ^ (1 << bit)).collect();
                (0..nodes).map(across).collect()
            }
            Overlay::RandomRegular(degree) => random_regular(nodes, degree, chance)?,
        };
        let mut lists: Vec<Vec<u32>> = lists;
        lists.iter_mut().for_each(|list| list.sort_unstable());
        Ok(Neighbours::Lists(lists))
    }
}

/// Builds the graph in which each node knows the `degree / 2` before and after it and, for an odd degree, the one
/// opposite.
fn circulant(nodes: u32, degree: u32) -> Vec<Vec<u32>> {
    let neighbours = |node: u32| {
        let sides = (1..=degree / 2).flat_map(move |step| [(node + step) % nodes, (node + nodes - step) % nodes]);
        sides.chain((degree % 2 == 1).then(|| (node + nodes / 2) % nodes)).collect()
    };
    (0..nodes).map(neighbours).collect()
}

fn torus(nodes: u32) -> Result<Vec<Vec<u32>>, OverlayError> {
    let width = (3..=nodes.isqrt()).rev().find(|width| nodes.is_multiple_of(*width));
    let width = width.map(|short| nodes / short).ok_or(OverlayError::Torus(nodes))?;
    let height = nodes / width;
    let around = |node: u32| {
        let (row, column) = (node / width, node % width);
        vec![
            row * width + (column + 1) % width,
            row * width + (column + width - 1) % width,
            (row + 1) % height * width + column,
            (row + height - 1) % height * width + column,
        ]
    };
    Ok((0..nodes).map(around).collect())
}

/// Draws a connected graph of this degree, nearly uniformly, by swapping pairs of edges of a circulant graph.
fn random_regular(nodes: u32, degree: u32, chance: &mut impl Rng) -> Result<Vec<Vec<u32>>, OverlayError> {
    let refused = |why| Err(OverlayError::Degree { degree, nodes, why });
    if degree >= nodes {
        return refused(Degree::TooMany);
    }
    if !(u64::from(nodes) * u64::from(degree)).is_multiple_of(2) {
        return refused(Degree::Odd);
    }
    if degree < 2 && nodes > degree + 1 {
        return refused(Degree::Apart);
    }
    // for more than half of all nodes, draw the nodes that each does not know
    if degree > (nodes - 1) / 2 {
        let missing = nodes - 1 - degree;
        let strangers = swapped(nodes, missing, chance);
        let known = |(node, strangers): (u32, &BTreeSet<u32>)| {
            (0..nodes).filter(|other| *other != node && !strangers.contains(other)).collect()
        };
        // at least half of all others are neighbours, so any two nodes share one, and the graph is connected
        return Ok((0..nodes).zip(&strangers).map(known).collect());
    }
    if degree == 2 {
        // swapping makes unions of rings, few of which are a single ring
        return Ok(shuffled_ring(nodes, chance));
    }
    loop {
        let lists = swapped(nodes, degree, chance).into_iter().map(|list| list.into_iter().collect()).collect();
        let graph = Neighbours::Lists(lists);
        if graph.reachable(0, |_| true).len() == nodes as usize {
            let Neighbours::Lists(lists) = graph else { continue };
            return Ok(lists);
        }
    }
}

fn shuffled_ring(nodes: u32, chance: &mut impl Rng) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..nodes).collect();
    for last in (1..nodes).rev() {
        order.swap(last as usize, chance.random_range(0..=last) as usize);
    }
    let mut lists = vec![Vec::new(); nodes as usize];
    for (&one, &next) in order.iter().zip(order.iter().cycle().skip(1)) {
        lists[one as usize].push(next);
        lists[next as usize].push(one);
    }
    lists
}

fn swapped(nodes: u32, degree: u32, chance: &mut impl Rng) -> Vec<BTreeSet<u32>> {
    let mut lists: Vec<BTreeSet<u32>> =
        circulant(nodes, degree).into_iter().map(|list| list.into_iter().collect()).collect();
    let mut edges: Vec<(u32, u32)> = (0..nodes)
        .zip(&lists)
        .flat_map(|(node, list)| list.iter().filter(move |other| **other > node).map(move |&other| (node, other)))
        .collect();
    if edges.len() < 2 {
        return lists;
    }
    for _ in 0..edges.len() * SWAPS_PER_EDGE {
        let (first, second) = (chance.random_range(0..edges.len()), chance.random_range(0..edges.len()));
        let (a, b) = edges[first];
        let (c, d) = if chance.random() { edges[second] } else { (edges[second].1, edges[second].0) };
        // a-b and c-d become a-d and c-b
        if a == c || a == d || b == c || b == d || lists[a as usize].contains(&d) || lists[c as usize].contains(&b) {
            continue;
        }
        for (one, old, new) in [(a, b, d), (b, a, c), (c, d, b), (d, c, a)] {
            lists[one as usize].remove(&old);
            lists[one as usize].insert(new);
        }
        edges[first] = (a, d);
        edges[second] = (c, b);
    }
    lists
}

/// Why an overlay does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// There are no nodes.
    #[error("an overlay takes at least one node")]
    NoNodes,
    /// There are fewer than three nodes.
    #[error("a ring takes at least 3 nodes, not {0}")]
    Ring(u32),
    /// There is one node.
    #[error("a star takes at least 2 nodes, not {0}")]
    Star(u32),
    /// No grid of at least 3 by 3 has this many nodes.
    #[error("a torus is a grid of at least 3 by 3: {0} nodes do not form one")]
    Torus(u32),
    /// The number of nodes is not a power of two.
    #[error("a hypercube takes a power of two of nodes, not {0}")]
    Hypercube(u32),
    /// No regular graph has this degree.
    #[error("no overlay of {nodes} nodes has degree {degree}: {why}")]
    Degree {
        /// The degree.
        degree: u32,
        /// The number of nodes.
        nodes: u32,
        /// The reason.
        why: Degree,
    },
    /// The text does not name an overlay.
    #[error(
        "unknown overlay {0:?}: expected \"line\", \"ring\", \"star\", \"torus\", \"hypercube\", \"regular:K\" or \"clique\""
    )]
    Unknown(String),
}

/// Why no regular graph has a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degree {
    /// There are not that many other nodes.
    TooMany,
    /// The degree times the number of nodes is odd, but has to be twice the number of edges.
    Odd,
    /// With fewer than two neighbours each, the nodes are not connected.
    Apart,
}

impl fmt::Display for Degree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Degree::TooMany => "it must be less than the number of nodes",
            Degree::Odd => "degree times nodes must be even",
            Degree::Apart => "it would not be connected",
        })
    }
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Overlay::Line => f.write_str("line"),
            Overlay::Ring => f.write_str("ring"),
            Overlay::Star => f.write_str("star"),
            Overlay::Torus => f.write_str("torus"),
            Overlay::Hypercube => f.write_str("hypercube"),
            Overlay::RandomRegular(degree) => write!(f, "regular:{degree}"),
            Overlay::Clique => f.write_str("clique"),
        }
    }
}

impl FromStr for Overlay {
    type Err = OverlayError;

    /// Parses the output of [`Display`](fmt::Display).
    ///
    /// # Errors
    /// [`OverlayError::Unknown`], quoting the text.
    fn from_str(text: &str) -> Result<Overlay, OverlayError> {
        let unknown = || OverlayError::Unknown(text.chars().take(64).collect());
        Ok(match text {
            "line" => Overlay::Line,
            "ring" => Overlay::Ring,
            "star" => Overlay::Star,
            "torus" => Overlay::Torus,
            "hypercube" => Overlay::Hypercube,
            "clique" => Overlay::Clique,
            other => {
                let degree = other.strip_prefix("regular:").ok_or_else(unknown)?;
                Overlay::RandomRegular(degree.parse().map_err(|_| unknown())?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    fn lists(overlay: Overlay, nodes: u32, seed: u64) -> Vec<Vec<u32>> {
        let graph = overlay.neighbours(nodes, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        assert_eq!(graph.len(), nodes as usize);
        assert_eq!(graph.reachable(0, |_| true).len(), nodes as usize, "{overlay} of {nodes} is not connected");
        let lists: Vec<Vec<u32>> = (0..nodes).map(|node| graph.of(node).collect()).collect();
        for (node, list) in (0..).zip(&lists) {
            assert!(list.is_sorted_by(|a, b| a < b), "{overlay} of {nodes}: {node} knows {list:?}");
            for &other in list {
                assert_ne!(node, other, "{overlay} of {nodes}");
                assert!(lists[other as usize].contains(&node), "{overlay} of {nodes}: {node}-{other} is one-way");
            }
        }
        lists
    }

    fn degrees(overlay: Overlay, nodes: u32) -> Vec<usize> {
        lists(overlay, nodes, 1).iter().map(Vec::len).collect()
    }

    #[test]
    fn each_overlay_has_the_expected_degrees() {
        assert_eq!(degrees(Overlay::Line, 4), [1, 2, 2, 1]);
        assert_eq!(degrees(Overlay::Line, 1), [0]);
        assert_eq!(degrees(Overlay::Star, 4), [3, 1, 1, 1]);
        for (overlay, nodes, degree) in [
            (Overlay::Ring, 3, 2),
            (Overlay::Ring, 100, 2),
            (Overlay::Torus, 9, 4),
            (Overlay::Torus, 100, 4),
            (Overlay::Torus, 15, 4),
            (Overlay::Hypercube, 1, 0),
            (Overlay::Hypercube, 128, 7),
            (Overlay::Clique, 1, 0),
            (Overlay::Clique, 50, 49),
            (Overlay::RandomRegular(1), 2, 1),
            (Overlay::RandomRegular(2), 50, 2),
            (Overlay::RandomRegular(3), 100, 3),
            (Overlay::RandomRegular(8), 1_000, 8),
            (Overlay::RandomRegular(90), 100, 90),
            (Overlay::RandomRegular(99), 100, 99),
        ] {
            assert!(degrees(overlay, nodes).iter().all(|&found| found == degree), "{overlay} of {nodes}");
        }
    }

    #[test]
    fn an_impossible_overlay_is_rejected_with_the_reason() {
        for (overlay, nodes, says) in [
            ("clique", 0, "at least one node"),
            ("ring", 2, "at least 3"),
            ("star", 1, "at least 2"),
            ("torus", 7, "7 nodes do not form one"),
            ("torus", 8, "8 nodes do not form one"),
            ("hypercube", 100, "power of two"),
            ("regular:100", 100, "less than the number"),
            ("regular:3", 101, "even"),
            ("regular:1", 4, "connected"),
            ("regular:0", 2, "connected"),
        ] {
            let overlay: Overlay = overlay.parse().unwrap();
            let error = overlay.neighbours(nodes, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string();
            assert!(error.contains(says), "{overlay}: {error}");
        }
        for text in ["", "Ring", "regular", "regular:", "regular:-1", "regular:4294967296"] {
            assert!(text.parse::<Overlay>().unwrap_err().to_string().contains("regular:K"), "{text}");
        }
    }

    #[test]
    fn different_seeds_draw_different_graphs() {
        let overlay = Overlay::RandomRegular(4);
        assert_eq!(lists(overlay, 100, 1), lists(overlay, 100, 1));
        assert_ne!(lists(overlay, 100, 1), lists(overlay, 100, 2));
    }

    #[test]
    fn nodes_that_are_down_separate_others() {
        let line = Overlay::Line.neighbours(5, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        assert_eq!(line.reachable(0, |node| node != 2), [0, 1]);
        assert!(line.reachable(2, |node| node != 2).is_empty());
        assert!(line.reachable(9, |_| true).is_empty());
    }

    proptest! {
        #[test]
        fn every_regular_degree_that_exists_is_drawn(nodes in 1_u32..60, degree in 0_u32..60, seed: u64) {
            let overlay = Overlay::RandomRegular(degree);
            let possible = degree < nodes && (nodes * degree) % 2 == 0 && (degree >= 2 || nodes == degree + 1);
            if possible {
                prop_assert!(lists(overlay, nodes, seed).iter().all(|list| list.len() == degree as usize));
            } else {
                prop_assert!(overlay.neighbours(nodes, &mut ChaCha8Rng::seed_from_u64(seed)).is_err());
            }
            prop_assert_eq!(overlay.to_string().parse(), Ok(overlay));
        }
    }
}
