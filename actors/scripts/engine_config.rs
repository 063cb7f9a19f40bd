//! Everything that an engine is created from.

use std::sync::Arc;

use chinwag_protocol::identity::NodeAddr;

use super::{clock::WallClock, directory::Directory, settings::ScriptSettings, turn::Turn};

/// Everything that an engine is created from. An engine that has to be replaced passes it on to its successor.
#[derive(Clone)]
pub(super) struct EngineConfig {
    pub settings: ScriptSettings,
    pub me: NodeAddr,
    pub directory: Directory,
    pub seed: [u8; 32],
    /// The number after which the engine numbers what it makes.
    pub after: u64,
    pub clock: WallClock,
    pub turn: Arc<Turn>,
}
