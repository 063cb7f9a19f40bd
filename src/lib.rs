//! Node groups and gossip on actix actors.
