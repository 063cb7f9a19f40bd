//! Supervised actors: an actor that panics is replaced, and its address leads to the replacement.
//!
//! ```text
//! Supervised::new(name)          an address, before there is an actor: the services of a node address each other
//! start(make, on_start)          make() runs inside the actor's own task, and its messages wait meanwhile
//!   the actor, or make, panics   its task ends, and with it the mailbox: callers that wait get `Crashed`
//!   the watcher sees the panic   another task runs make() again, after a pause that grows with each panic
//! close()                        the actor ends at once and is not replaced; callers get `Crashed`
//! ```
//!
//! actix's own `Supervisor` restarts an actor that *stops*, not one that panics, and drops the task's handle, so a
//! panic would go unnoticed. State that must survive a panic is not held by the actor; `make` hands it to each instance.

use std::{
    fmt,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, dev::ToEnvelope, prelude::Request};
use chinwag_protocol::call::{CallError, ErrorKind};
use futures_util::future::BoxFuture;
use tokio::task::{AbortHandle, JoinHandle};

use crate::request::crashed;

/// The pause before the replacement after a second panic. It doubles from there. A guess, as Erlang's supervisors pause not
/// at all.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause before a replacement, so that a service that always panics costs little and still comes back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Panics further apart than this count as separate, so the pause starts over.
const CALM: Duration = Duration::from_secs(60);

/// The result of a message, or why the actor did not return one.
pub(crate) type Delivery<T> = BoxFuture<'static, Result<T, CallError>>;

/// Delivers messages of one type to the actor that handles them, which the sender need not know.
pub(crate) trait Deliver<M: Message>: Send + Sync {
    /// Puts a message into the actor's mailbox. Dropping the returned future before the actor has reached the message
    /// takes the message back.
    ///
    /// # Errors
    /// [`ErrorKind::Crashed`] if the actor panicked while it handled the message or has been closed, and
    /// [`ErrorKind::Stopping`] if it no longer starts.
    fn deliver(&self, message: M) -> Delivery<M::Result>;
}

/// Starts an actor that is only started when it is first needed. Resolves when the actor has started or never will.
pub(crate) type StartOnDemand = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The address of a supervised actor. It stays valid when the actor is replaced.
pub(crate) struct Supervised<A: Actor>(Arc<Slot<A>>);

struct Slot<A: Actor> {
    name: Arc<str>,
    on_demand: Option<StartOnDemand>,
    /// Empty until the actor has been started.
    instance: OnceLock<Mutex<Instance<A>>>,
}

struct Instance<A: Actor> {
    addr: Addr<A>,
    task: AbortHandle,
    closed: bool,
}

impl<A: Actor> Clone for Supervised<A> {
    fn clone(&self) -> Supervised<A> {
        Supervised(self.0.clone())
    }
}

impl<A: Actor> fmt::Debug for Supervised<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervised({})", self.0.name)
    }
}

impl<A: Actor> Supervised<A> {
    /// The address of an actor that has yet to be started.
    pub(crate) fn new(name: impl Into<Arc<str>>) -> Supervised<A> {
        Supervised(Arc::new(Slot { name: name.into(), on_demand: None, instance: OnceLock::new() }))
    }

    /// The address of an actor that its first message starts. Only the node's own thread can start actors, so
    /// `start` asks that thread.
    pub(crate) fn on_demand(name: impl Into<Arc<str>>, start: StartOnDemand) -> Supervised<A> {
        Supervised(Arc::new(Slot { name: name.into(), on_demand: Some(start), instance: OnceLock::new() }))
    }

    fn instance(&self) -> Option<MutexGuard<'_, Instance<A>>> {
        self.0.instance.get().map(|instance| instance.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a message into the mailbox of the current instance, if the actor has been started.
    ///
    /// An address of the instance itself would be dead after a replacement, and cloning one takes two allocations.
    fn send<M>(&self, message: M) -> Result<Request<A, M>, M>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match self.instance() {
            Some(instance) => Ok(instance.addr.send(message)),
            None => Err(message),
        }
    }

    /// Ends the actor at once, and does not replace it. Tasks that it has spawned continue.
    pub(crate) fn close(&self) {
        if let Some(mut instance) = self.instance() {
            instance.closed = true;
            instance.task.abort();
        }
    }
}

impl<A, M> Deliver<M> for Supervised<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn deliver(&self, message: M) -> Delivery<M::Result> {
        let address = self.clone();
        match (self.send(message), &self.0.on_demand) {
            (Ok(request), _) => Box::pin(async move { request.await.map_err(|_| crashed(&address.0.name)) }),
            (Err(_), None) => Box::pin(std::future::ready(Err(not_running()))),
            (Err(message), Some(start)) => {
                let starting = start();
                Box::pin(async move {
                    starting.await;
                    let request = address.send(message).map_err(|_| not_running())?;
                    request.await.map_err(|_| crashed(&address.0.name))
                })
            }
        }
    }
}

fn not_running() -> CallError {
    CallError::new(ErrorKind::Stopping, "the node has not started, or has stopped")
}

impl<A: Actor<Context = Context<A>>> Supervised<A> {
    /// Starts the actor, and replaces it whenever it panics. `make` constructs each instance, and `on_start` is called with
    /// the address of each. Starting an actor a second time has no effect.
    pub(crate) fn start(&self, make: impl Fn() -> A + 'static, on_start: impl Fn(&Addr<A>) + 'static) {
        if self.0.instance.get().is_some() {
            return;
        }
        let make = Rc::new(make);
        let (addr, mut task) = spawn(make.clone());
        on_start(&addr);
        let instance = Instance { addr, task: task.abort_handle(), closed: false };
        // this cannot fail: actors start on the node's thread alone
        let _ = self.0.instance.set(Mutex::new(instance));
        let address = self.clone();
        actix::spawn(async move {
            let mut panics = 0_u32;
            loop {
                let since = tokio::time::Instant::now();
                match task.await {
                    Err(error) if error.is_panic() => {}
                    // it stopped or was closed, or the runtime is shutting down
                    _ => break,
                }
                panics = if since.elapsed() > CALM { 1 } else { panics.saturating_add(1) };
                let name = &address.0.name;
                log::error!(target: "chinwag::node", "{name} panicked ({panics} in a row) and is replaced");
                if panics > 1 {
                    let pause = FIRST_PAUSE.saturating_mul(1 << (panics - 2).min(16)).min(LONGEST_PAUSE);
                    tokio::time::sleep(pause).await;
                }
                if address.instance().is_none_or(|instance| instance.closed) {
                    break;
                }
                let (addr, next) = spawn(make.clone());
                on_start(&addr);
                let Some(mut instance) = address.instance() else { break };
                instance.addr = addr;
                instance.task = next.abort_handle();
                task = next;
            }
        });
    }
}

/// Runs an actor in a task that constructs it first, so that a constructor that panics is handled as an actor that does.
fn spawn<A: Actor<Context = Context<A>>>(make: Rc<impl Fn() -> A + 'static>) -> (Addr<A>, JoinHandle<()>) {
    let mut context = Context::new();
    // The mailbox has no bound of its own, as admission bounds the calls. actix's bound holds back no sender for long (each
    // clone of an address has a place beside it), makes a sender past it wait in a queue of wakers, and lets messages
    // overtake each other.
    context.set_mailbox_capacity(0);
    let addr = context.address();
    (addr, actix::spawn(async move { context.into_future(make()).await }))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use actix::ActorContext;

    use super::*;

    struct Fragile;

    impl Actor for Fragile {
        type Context = Context<Fragile>;
    }

    #[derive(Message)]
    #[rtype(result = "u32")]
    enum Do {
        Answer,
        Panic,
        Stop,
    }

    impl Handler<Do> for Fragile {
        type Result = u32;

        fn handle(&mut self, message: Do, context: &mut Context<Fragile>) -> u32 {
            match message {
                Do::Answer => 7,
                Do::Panic => panic!("on purpose"),
                Do::Stop => {
                    context.stop();
                    0
                }
            }
        }
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[actix::test]
    async fn an_actor_that_panics_is_replaced_each_time() {
        let made = Rc::new(Cell::new(0));
        let count = made.clone();
        let fragile = Supervised::new("fragile");
        let make = move || {
            count.set(count.get() + 1);
            Fragile
        };
        fragile.start(make, |_| {});
        for replaced in 1..=5 {
            assert_eq!(fragile.deliver(Do::Answer).await, Ok(7));
            assert_eq!(fragile.deliver(Do::Panic).await.unwrap_err().kind, ErrorKind::Crashed);
            until(|| made.get() == replaced + 1).await;
        }
    }

    #[actix::test]
    async fn an_actor_whose_constructor_panics_is_constructed_again() {
        let made = Rc::new(Cell::new(0));
        let count = made.clone();
        let fragile = Supervised::new("fragile");
        let make = move || {
            count.set(count.get() + 1);
            // the second instance and the third cannot be constructed
            assert!(!(2..=3).contains(&count.get()), "on purpose");
            Fragile
        };
        fragile.start(make, |_| {});
        assert_eq!(fragile.deliver(Do::Answer).await, Ok(7));
        assert!(fragile.deliver(Do::Panic).await.is_err());
        until(|| made.get() == 4).await;
        assert_eq!(fragile.deliver(Do::Answer).await, Ok(7));
    }

    #[actix::test]
    async fn the_first_message_starts_an_actor_that_is_started_on_demand() {
        let address: Rc<OnceLock<Supervised<Fragile>>> = Rc::default();
        let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<tokio::sync::oneshot::Sender<()>>();
        let start: StartOnDemand = Arc::new(move || {
            let (done, started) = tokio::sync::oneshot::channel();
            ask.send(done).unwrap();
            Box::pin(async move { started.await.unwrap() })
        });
        let lazy = address.get_or_init(|| Supervised::on_demand("lazy", start)).clone();
        let starts = address.clone();
        actix::spawn(async move {
            while let Some(done) = asked.recv().await {
                starts.get().unwrap().start(|| Fragile, |_| {});
                done.send(()).unwrap();
            }
        });
        assert_eq!(lazy.deliver(Do::Answer).await, Ok(7));
        assert_eq!(lazy.deliver(Do::Answer).await, Ok(7));
        let never = Supervised::<Fragile>::new("never");
        assert_eq!(never.deliver(Do::Answer).await.unwrap_err().kind, ErrorKind::Stopping);
    }

    #[actix::test]
    async fn an_actor_that_stops_or_is_closed_is_left_alone() {
        for close in [true, false] {
            let made = Rc::new(Cell::new(0));
            let count = made.clone();
            let leaving = Supervised::new("leaving");
            let make = move || {
                count.set(count.get() + 1);
                Fragile
            };
            leaving.start(make, |_| {});
            assert_eq!(leaving.deliver(Do::Answer).await, Ok(7));
            if close {
                leaving.close();
            } else {
                let _ = leaving.deliver(Do::Stop).await;
            }
            until(|| !leaving.instance().unwrap().addr.connected()).await;
            assert_eq!(made.get(), 1);
        }
    }
}
