//! The mathematical model of a rumor, for comparison with measurements.
//!
//! Every node that hears the rumor passes it on once, in the next step, to `fanout` random members. Each message is
//! lost with probability `loss`. Let `s` be the share of nodes that have heard the rumor, and `i` the share that heard
//! it in the last step. Each other node escapes all of the `fanout (1 - loss) i n` messages of the step with the
//! probability in this equation:
//!
//! ```text
//! i' = (1 - s) (1 - exp(-fanout (1 - loss) i))        s' = s + i'
//! ```
//!
//! This is the epidemic of Kermack and McKendrick (1927) in steps of one latency. While few nodes have heard the rumor,
//! the share grows by a factor of `fanout (1 - loss)` per step, like a logistic curve. It ends below 1, at the solution of
//! `s = 1 - exp(-fanout (1 - loss) s)`. Anti-entropy has to reach the remaining nodes.

/// The share of nodes that have heard the rumor after 0, 1, 2, … latencies, until it no longer changes. One of `nodes`
/// has heard it at 0.
///
/// ```
/// use chinwag_simulation::theory::epidemic;
/// let shares = epidemic(1_000, 5.0, 0.0);
/// assert_eq!(shares[0], 0.001);
/// assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]));
/// ```
pub fn epidemic(nodes: usize, fanout: f64, loss: f64) -> Vec<f64> {
    let reach = fanout * (1.0 - loss);
    let mut share = 1.0 / nodes.max(1) as f64;
    let mut fresh = share;
    let mut shares = vec![share];
    // less than a hundredth of a node changes nothing; 1,000 steps bound a fan-out at the threshold
    while fresh * nodes as f64 > 0.01 && shares.len() < 1_000 {
        fresh = (1.0 - share) * (1.0 - libm::exp(-reach * fresh));
        share = (share + fresh).min(1.0);
        shares.push(share);
    }
    shares
}

/// The share of a large group that infect-and-die reaches if the rumor spreads at all.
///
/// ```
/// use chinwag_simulation::theory::limit;
/// assert!((limit(2.0, 0.0) - 0.7968).abs() < 1e-4);
/// assert_eq!(limit(1.0, 0.0), 0.0);
/// ```
pub fn limit(fanout: f64, loss: f64) -> f64 {
    let reach = fanout * (1.0 - loss);
    if reach <= 1.0 {
        return 0.0;
    }
    let mut share = 1.0;
    // a contraction from above, which converges slowly only near the threshold
    for _ in 0..10_000 {
        let next = 1.0 - libm::exp(-reach * share);
        if share - next < 1e-12 {
            break;
        }
        share = next;
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epidemic_ends_at_the_limit() {
        for (fanout, loss) in [(2.0, 0.0), (5.0, 0.3), (10.0, 0.0), (3.0, 0.5)] {
            let last = epidemic(1_000_000, fanout, loss).pop().unwrap();
            assert!((last - limit(fanout, loss)).abs() < 1e-3, "{fanout} {loss}: {last}");
        }
    }

    #[test]
    fn below_the_threshold_a_rumor_does_not_spread() {
        assert_eq!(limit(2.0, 0.5), 0.0);
        assert!(epidemic(1_000, 1.0, 0.5).pop().unwrap() < 0.01);
        assert_eq!(epidemic(1, 5.0, 0.0)[0], 1.0);
    }
}
