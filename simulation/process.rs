//! What runs on one node: its tasks, as an operating system holds those of a process.
//!
//! ```text
//! run    -> whatever the node's actors spawn belongs to the process
//! stop   -> none of it gets a turn: timers that come due meanwhile fire late, all at once    (SIGSTOP)
//! go on  -> it does at once what it was held from                                           (SIGCONT)
//! kill   -> all of it is dropped where it stands, timers included                           (SIGKILL)
//! ```
//!
//! Each node has a task set of its own within the simulation's, driven by one task there. Messages on the wire are
//! tasks of the network, not of the sender: they arrive though it dies.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::task::LocalSet;

/// One life of a node.
pub(super) struct Process {
    /// None once it was killed.
    tasks: RefCell<Option<LocalSet>>,
    stopped: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

impl Process {
    /// Runs what `begin` starts, and all that comes of it. To be called where the simulation's tasks are spawned.
    pub(super) fn run<T>(begin: impl FnOnce() -> T) -> (Rc<Process>, T) {
        let tasks = LocalSet::new();
        let begun = {
            let _entered = tasks.enter();
            begin()
        };
        let (tasks, stopped, driver) = (RefCell::new(Some(tasks)), Cell::new(false), RefCell::default());
        let process = Rc::new(Process { tasks, stopped, driver });
        tokio::task::spawn_local(Driver(process.clone()));
        (process, begun)
    }

    /// Gives it no turn until it goes on.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        self.stopped.set(false);
        self.wake();
    }

    /// Ends it where it stands.
    pub(super) fn kill(&self) {
        let tasks = self.tasks.borrow_mut().take();
        drop(tasks);
        self.wake();
    }

    fn wake(&self) {
        if let Some(driver) = self.driver.borrow_mut().take() {
            driver.wake();
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({})", if self.stopped.get() { "stopped" } else { "running" })
    }
}

/// Gives a process its turns.
struct Driver(Rc<Process>);

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let process = &self.0;
        let mut tasks = process.tasks.borrow_mut();
        let Some(tasks) = &mut *tasks else { return Poll::Ready(()) };
        let mut driver = process.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|driver| driver.will_wake(context.waker())) {
            *driver = Some(context.waker().clone());
        }
        drop(driver);
        if process.stopped.get() {
            return Poll::Pending;
        }
        Pin::new(tasks).poll(context)
    }
}
