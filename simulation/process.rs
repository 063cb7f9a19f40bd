//! The tasks of one node, controlled as an operating system controls a process.
//!
//! ```text
//! run    -> every task that the node's actors spawn belongs to the process
//! stop   -> no task runs; timers that come due meanwhile fire late, all at once   (SIGSTOP)
//! resume -> the tasks run again                                                  (SIGCONT)
//! kill   -> all tasks are dropped at once, timers included                       (SIGKILL)
//! ```
//!
//! Each node has a task set of its own, which one task of the simulation drives. Messages under way belong to the
//! network and not to their sender, so that they arrive after the sender has ended.

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
    /// `None` after the process was killed.
    tasks: RefCell<Option<LocalSet>>,
    stopped: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

impl Process {
    /// Runs `begin`, whose tasks then belong to the process. The caller must be inside the simulation's task set.
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

    /// Stops all tasks until they are resumed.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Resumes the tasks.
    pub(super) fn resume(&self) {
        self.stopped.set(false);
        self.wake();
    }

    /// Ends all tasks at once.
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

/// Runs the tasks of a process.
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
