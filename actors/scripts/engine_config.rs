//! What an engine is made from.

use std::sync::Arc;

use chinwag_protocol::identity::NodeAddr;

use super::{
    clock::{Pulse, Wall},
    directory::Directory,
    settings::ScriptSettings,
};

/// How an engine is made, again and again if need be.
#[derive(Clone)]
pub(super) struct Plan {
    pub settings: ScriptSettings,
    pub me: NodeAddr,
    pub directory: Directory,
    pub seed: [u8; 32],
    pub wall: Wall,
    pub pulse: Arc<Pulse>,
}
