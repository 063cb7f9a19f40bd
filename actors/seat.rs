//! Seats: where an actor sits, and who replaces it when it panics.
//!
//! ```text
//! supervise(name, seat, make)
//!   make() -> actor -> seat         calls go to whoever sits there
//!   the actor panics                its task ends, and with it the mailbox: callers that wait are told `Crashed`
//!   the watcher sees the JoinError  make() -> new actor -> the same seat, after a pause that grows with each panic
//!   the seat is closed              the actor ends at once, for good: callers are told `Crashed`
//! ```
//!
//! A built-in actor that many nodes never need has a [`LateSeat`], filled when the first call comes for it.
//!
//! actix's own `Supervisor` restarts an actor that *stops*, not one that panics, and drops the task's handle, so a
//! panic would go unnoticed. State that must survive a panic is not held by the actor but handed to it by `make`.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, dev::ToEnvelope, prelude::Request};
use chinwag_protocol::call::CallError;
use tokio::task::{AbortHandle, JoinHandle};

use crate::request::crashed;

/// Pause before the second panic's replacement; it doubles from there. A guess, as Erlang's supervisors use none.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Longest pause before a replacement, so that a service which always panics costs little and yet comes back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Panics further apart than this are not the same trouble: the pause starts over.
const CALM: Duration = Duration::from_secs(60);

/// Where the actor that presently does a job is found.
pub struct Seat<A: Actor>(Arc<Place<A>>);

struct Place<A: Actor> {
    name: Arc<str>,
    sitting: Mutex<Sitting<A>>,
}

struct Sitting<A: Actor> {
    addr: Addr<A>,
    task: AbortHandle,
    closed: bool,
}

impl<A: Actor> Clone for Seat<A> {
    fn clone(&self) -> Seat<A> {
        Seat(self.0.clone())
    }
}

impl<A: Actor> fmt::Debug for Seat<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat<{}>", std::any::type_name::<A>())
    }
}

impl<A: Actor> Seat<A> {
    fn lock(&self) -> MutexGuard<'_, Sitting<A>> {
        self.0.sitting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message into the mailbox of whoever sits there now. What comes of it is for who awaits the request; one
    /// that is dropped before the actor came to it is not performed.
    ///
    /// A kept address would be dead after a replacement, and a copy of one takes two allocations.
    pub fn send<M>(&self, message: M) -> Request<A, M>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.lock().addr.send(message)
    }

    /// The same, for nobody to wait.
    pub fn do_send<M>(&self, message: M)
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send,
        M::Result: Send,
    {
        self.lock().addr.do_send(message);
    }

    /// Sends a message and waits for what comes of it.
    ///
    /// # Errors
    /// [`ErrorKind::Crashed`](chinwag_protocol::call::ErrorKind::Crashed) where the actor panicked over it, or has been
    /// closed.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.send(message).await.map_err(|_| crashed(&self.0.name))
    }

    /// Ends the actor at once, for good. What it had handed to tasks of their own goes on.
    pub fn close(&self) {
        let mut sitting = self.lock();
        sitting.closed = true;
        sitting.task.abort();
    }
}

/// The seat of an actor that starts when it is first needed. Only the node's own thread can start it: whoever finds the
/// seat empty has the route table do so (`routes::Begin`).
pub struct LateSeat<A: Actor> {
    name: &'static str,
    seat: Arc<OnceLock<Seat<A>>>,
}

impl<A: Actor> Clone for LateSeat<A> {
    fn clone(&self) -> LateSeat<A> {
        LateSeat { name: self.name, seat: self.seat.clone() }
    }
}

impl<A: Actor> fmt::Debug for LateSeat<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LateSeat({})", self.name)
    }
}

impl<A: Actor> LateSeat<A> {
    /// An empty one.
    pub(crate) fn new(name: &'static str) -> LateSeat<A> {
        LateSeat { name, seat: Arc::default() }
    }

    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The seat; none where nobody was needed so far.
    pub fn get(&self) -> Option<&Seat<A>> {
        self.seat.get()
    }

    /// Seats an actor, for good.
    pub(crate) fn fill(&self, seat: Seat<A>) {
        // it is begun once
        let _ = self.seat.set(seat);
    }

    /// As [`Seat::close`].
    pub fn close(&self) {
        if let Some(seat) = self.seat.get() {
            seat.close();
        }
    }
}

/// Starts an actor whose seat is kept filled: when it panics, `make` makes another.
///
/// `seated` is told each address that comes to sit there, the first included.
pub fn supervise<A>(
    name: impl Into<Arc<str>>,
    make: impl Fn() -> A + 'static,
    seated: impl Fn(&Addr<A>) + 'static,
) -> Seat<A>
where
    A: Actor<Context = Context<A>>,
{
    let name = name.into();
    let (addr, mut task) = start(make());
    seated(&addr);
    let sitting = Sitting { addr, task: task.abort_handle(), closed: false };
    let seat = Seat(Arc::new(Place { name: name.clone(), sitting: Mutex::new(sitting) }));
    let kept = seat.clone();
    actix::spawn(async move {
        let mut panics = 0_u32;
        loop {
            let since = tokio::time::Instant::now();
            match task.await {
                Err(error) if error.is_panic() => {}
                // stopped or closed, or the runtime is going down
                _ => break,
            }
            panics = if since.elapsed() > CALM { 1 } else { panics.saturating_add(1) };
            log::error!(target: "chinwag::node", "{name} panicked ({panics} in a row) and is replaced");
            if panics > 1 {
                let pause = FIRST_PAUSE.saturating_mul(1 << (panics - 2).min(16)).min(LONGEST_PAUSE);
                tokio::time::sleep(pause).await;
            }
            if kept.lock().closed {
                break;
            }
            let (addr, next) = start(make());
            seated(&addr);
            let mut sitting = kept.lock();
            sitting.addr = addr;
            sitting.task = next.abort_handle();
            task = next;
        }
    });
    seat
}

fn start<A: Actor<Context = Context<A>>>(actor: A) -> (Addr<A>, JoinHandle<()>) {
    let mut context = Context::new();
    // no bound of its own, as admission bounds the calls: actix's holds back no sender for long (each copy of an address has a
    // place beside it), costs one that is past it a wait in a queue of wakers, and lets messages overtake each other
    context.set_mailbox_capacity(0);
    let addr = context.address();
    (addr, actix::spawn(context.into_future(actor)))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use actix::{ActorContext, Handler, Message};

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
        let seat = supervise(
            "fragile",
            move || {
                count.set(count.get() + 1);
                Fragile
            },
            |_| {},
        );
        for replaced in 1..=5 {
            assert_eq!(seat.send(Do::Answer).await.unwrap(), 7);
            assert!(seat.send(Do::Panic).await.is_err());
            until(|| made.get() == replaced + 1).await;
        }
    }

    #[actix::test]
    async fn an_actor_that_stops_or_is_closed_is_left_alone() {
        for close in [true, false] {
            let made = Rc::new(Cell::new(0));
            let count = made.clone();
            let seat = supervise(
                "leaving",
                move || {
                    count.set(count.get() + 1);
                    Fragile
                },
                |_| {},
            );
            if close {
                seat.close();
            } else {
                let _ = seat.send(Do::Stop).await;
            }
            until(|| !seat.lock().addr.connected()).await;
            assert_eq!(made.get(), 1);
        }
    }
}
