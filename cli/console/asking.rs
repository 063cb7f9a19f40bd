//! What the reader of lines asks of the node.

use tokio::sync::{mpsc, oneshot};

/// A request of the reader.
pub(super) enum Ask {
    /// Runs a line. The answer says whether it succeeded, and that the next line may be read.
    Run(String, oneshot::Sender<bool>),
    /// Asks for the names that can follow a dotted path.
    Names(String, std::sync::mpsc::Sender<Vec<String>>),
    /// Stops the code that runs while nobody waits for it, such as that of a timer.
    Interrupt,
}

/// The reader's side. When it is gone, there are no more lines.
#[derive(Clone)]
pub(super) struct Asking(mpsc::UnboundedSender<Ask>);

impl Asking {
    /// Returns both sides.
    pub(super) fn channel() -> (Asking, mpsc::UnboundedReceiver<Ask>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Asking(sender), receiver)
    }

    /// Runs a line, and waits for its end. Returns whether it succeeded, or `None` if the node is gone.
    pub(super) fn run(&self, line: String) -> Option<bool> {
        let (done, ran) = oneshot::channel();
        self.0.send(Ask::Run(line, done)).ok()?;
        ran.blocking_recv().ok()
    }

    /// Returns the names that can follow a dotted path.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let (tell, told) = std::sync::mpsc::channel();
        if self.0.send(Ask::Names(path.to_owned(), tell)).is_err() {
            return Vec::new();
        }
        told.recv().unwrap_or_default()
    }

    /// Stops the code that runs.
    pub(super) fn interrupt(&self) {
        // a node that is gone runs nothing
        let _ = self.0.send(Ask::Interrupt);
    }
}
