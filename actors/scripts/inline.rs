//! Drives an engine on the thread of the node, in the time of tokio. The simulator uses this.

use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    engine::Engine,
    engine_config::EngineConfig,
    messages::{Input, Output},
};

/// A handle to an engine on the thread of the node. The engine ends when it is dropped.
pub(super) struct InlineEngine {
    inputs: UnboundedSender<Input>,
}

impl InlineEngine {
    /// Starts a task with a new engine.
    pub(super) fn start(config: EngineConfig, outputs: UnboundedSender<Output>) -> InlineEngine {
        let (inputs, received) = unbounded_channel();
        actix::spawn(run(config, received, outputs));
        InlineEngine { inputs }
    }

    pub(super) fn send(&self, input: Input) {
        // the task may have ended with its node
        let _ = self.inputs.send(input);
    }
}

/// Drives the engine until all handles are dropped.
async fn run(config: EngineConfig, mut inputs: UnboundedReceiver<Input>, outputs: UnboundedSender<Output>) {
    let emit = Rc::new(move |output| {
        // the node drops the receiver when it stops
        let _ = outputs.send(output);
    });
    let mut engine = Engine::new(config, emit);
    loop {
        let due = engine.next_timer();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            input = inputs.recv() => match input {
                Some(input) => engine.take(input),
                None => return,
            },
            () = timer => {}
        }
        while engine.fire() {}
    }
}
