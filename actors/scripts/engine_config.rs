//! What an engine is made from.

use std::sync::Arc;

use chinwag_protocol::identity::NodeAddr;

use super::{
    clock::{Heartbeat, WallClock},
    directory::Directory,
    settings::ScriptSettings,
};

/// How an engine is made, again and again if need be.
#[derive(Clone)]
pub(super) struct EngineConfig {
    pub settings: ScriptSettings,
    pub me: NodeAddr,
    pub directory: Directory,
    pub seed: [u8; 32],
    pub clock: WallClock,
    pub heartbeat: Arc<Heartbeat>,
}
