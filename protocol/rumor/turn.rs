//! [`Turn`]: what one call of the machine has at hand.

use std::time::Duration;

use rand::Rng;

use super::{Context, Output, View};

/// What one call of the machine knows of the world, and the outputs that it collects. The [`Context`] of the call
/// without its type parameters, so that the machine is compiled once for all kinds of views and generators.
pub(super) struct Turn<'a, P, M> {
    pub(super) now: Duration,
    pub(super) view: &'a dyn View<P>,
    pub(super) fanout: usize,
    pub(super) chance: &'a mut dyn Rng,
    pub(super) out: &'a mut Vec<Output<P, M>>,
}

impl<V: ?Sized, R: Rng + ?Sized> Context<'_, V, R> {
    pub(super) fn turn<'t, P, M>(&'t mut self, out: &'t mut Vec<Output<P, M>>) -> Turn<'t, P, M>
    where
        V: View<P>,
    {
        Turn { now: self.now, view: &self.view, fanout: self.fanout, chance: &mut self.chance, out }
    }
}
