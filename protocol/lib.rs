//! The protocols of chinwag as pure state machines and values.

pub mod call;
pub mod fanout;
pub mod group;
pub mod identity;
pub mod overlay;
pub mod rumor;
pub mod swim;
pub mod value;
pub mod wire;
