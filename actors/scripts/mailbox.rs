//! The messages that wait for an engine on a thread, and the loop that hands them to it.

use std::{
    rc::Rc,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
};

use tokio::time::Instant;

use super::{
    engine::Engine,
    engine_config::EngineConfig,
    messages::{Input, Output},
    turn::Turn,
};

/// Where messages for an engine are put. The engine ends when this is dropped.
#[derive(Clone)]
pub(super) struct Mailbox {
    inputs: Sender<Input>,
    turn: Arc<Turn>,
}

/// Where the engine takes them.
pub(super) struct Inputs(Receiver<Input>);

/// Returns a mailbox for the engine whose turns `turn` describes.
pub(super) fn mailbox(turn: Arc<Turn>) -> (Mailbox, Inputs) {
    let (inputs, received) = channel();
    (Mailbox { inputs, turn }, Inputs(received))
}

impl Mailbox {
    /// Puts a message.
    pub(super) fn post(&self, input: Input) {
        match &input {
            // this concerns the code that runs now
            Input::Waiting(waits) => return self.turn.set_node_waits(*waits),
            Input::Interrupt => return self.turn.interrupt(),
            Input::Run(invocation) => self.turn.set_waits_here(Some(invocation.account.shipper)),
            Input::Reply { account, .. } => self.turn.set_waits_here(Some(account.shipper)),
            _ => {}
        }
        // the engine may have ended
        let _ = self.inputs.send(input);
    }
}

/// Drives an engine until its mailbox is dropped. Messages and timers take turns, so that neither has to wait for more
/// than one turn of the other.
pub(super) fn drive(inputs: Inputs, config: EngineConfig, emit: Rc<dyn Fn(Output)>) {
    let turn = config.turn.clone();
    let mut engine = Engine::new(config, emit);
    loop {
        let wait = engine.next_timer().map(|due| due.saturating_duration_since(Instant::now()));
        let input = match wait {
            Some(wait) => inputs.0.recv_timeout(wait),
            None => inputs.0.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match input {
            Ok(input) => {
                turn.set_waits_here(None);
                engine.take(input);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        engine.fire();
    }
}
