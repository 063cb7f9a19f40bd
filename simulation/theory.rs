//! What mathematics says of a rumor, to hold beside what was measured.
//!
//! Everyone who hears it passes it on once, to `fanout` members drawn at random, each message lost with probability
//! `loss`, all in step. With `s` the share that has heard and `i` the share that heard in the step before, those who have
//! not heard escape each of the `fanout (1 - loss) i n` messages on the way:
//!
//! ```text
//! i' = (1 - s) (1 - exp(-fanout (1 - loss) i))        s' = s + i'
//! ```
//!
//! the epidemic of Kermack and McKendrick (1927) in steps of one latency. While few have heard it grows by a factor of
//! `fanout (1 - loss)` a step, as a logistic curve does; it does not end at 1, but where `s = 1 - exp(-fanout (1 - loss) s)`:
//! the fan-out's limit, which anti-entropy has to make up for.

/// The share that has heard after 0, 1, 2, … latencies, until it moves no more: one of `nodes` knows at 0.
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
    // below a hundredth of a node nothing happens any more; 1,000 bounds a fan-out at the threshold
    while fresh * nodes as f64 > 0.01 && shares.len() < 1_000 {
        fresh = (1.0 - share) * (1.0 - libm::exp(-reach * fresh));
        share = (share + fresh).min(1.0);
        shares.push(share);
    }
    shares
}

/// The share that a large group's infect-and-die reaches, if the rumor takes off: the fan-out's limit.
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
    // a contraction from above; converges slowly only near the threshold
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
    fn below_the_threshold_it_goes_nowhere() {
        assert_eq!(limit(2.0, 0.5), 0.0);
        assert!(epidemic(1_000, 1.0, 0.5).pop().unwrap() < 0.01);
        assert_eq!(epidemic(1, 5.0, 0.0)[0], 1.0);
    }
}
