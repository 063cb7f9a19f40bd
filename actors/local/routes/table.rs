//! The route table: names to what answers calls on them, by group. Kept outside the actor, so that a panic loses none.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use actix::Recipient;
use chinwag_protocol::{
    call::{CallError, ErrorKind},
    identity::Gid,
    value::{EcoString, Value},
};
use tokio::time::Instant;

use crate::{
    load::Fill,
    messages::{CallbackFuture, Lasting},
    request::Request,
    scripts::Directory,
};

/// Most callbacks that a node keeps. Each is a closure and a name.
pub const MAX_CALLBACKS: usize = 65_536;

/// Most services that can be put, and most functions of one.
pub const MAX_SERVICES: usize = 4_096;

/// What answers calls on a name.
#[derive(Clone)]
pub(crate) enum Target {
    /// An actor, and the names of its methods.
    Actor { recipient: Recipient<Request>, name: Rc<str>, methods: Rc<[EcoString]>, builtin: bool },
    /// A built-in actor that nobody has needed so far. To begin puts it in this place.
    Asleep { begin: Rc<dyn Fn()>, methods: Rc<[EcoString]> },
    /// An object of functions that was put.
    Shipped(Arc<Value>),
    /// A function that the script engine keeps.
    #[cfg_attr(not(feature = "scripts"), allow(dead_code))]
    Remote,
    /// A closure of this program.
    Callback { lasting: Lasting, callback: Rc<dyn Fn(Vec<Value>) -> CallbackFuture> },
}

/// The names, by group.
pub(crate) struct Table {
    groups: BTreeMap<Gid, BTreeMap<String, Target>>,
    callbacks: usize,
    /// Until when callbacks that answer once wait to be called, by name and in order of time.
    unclaimed: BTreeMap<String, Instant>,
    by_deadline: BTreeSet<(Instant, String)>,
    /// The same names, as shipped code sees them.
    directory: Directory,
}

impl Table {
    pub(crate) fn new(directory: Directory) -> Table {
        Table {
            groups: BTreeMap::new(),
            callbacks: 0,
            unclaimed: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            directory,
        }
    }

    /// Makes room for a group's names.
    pub(crate) fn open_group(&mut self, gid: &Gid) {
        self.groups.entry(gid.clone()).or_default();
        self.directory.change(|names| {
            names.entry(gid.to_string()).or_default();
        });
    }

    /// Keeps a function of the script engine under a name.
    ///
    /// # Errors
    /// Where there are too many callbacks.
    #[cfg_attr(not(feature = "scripts"), allow(dead_code))]
    pub(crate) fn add_remote(&mut self, name: &str) -> Result<(), CallError> {
        self.keep_callback(name, Target::Remote)
    }

    /// Keeps a closure of this program under a name, until `until` if it answers once.
    ///
    /// # Errors
    /// Where there are too many callbacks.
    pub(super) fn add_callback(
        &mut self,
        name: &str,
        lasting: Lasting,
        callback: Rc<dyn Fn(Vec<Value>) -> CallbackFuture>,
        until: Instant,
    ) -> Result<(), CallError> {
        self.keep_callback(name, Target::Callback { lasting, callback })?;
        if lasting == Lasting::Once {
            self.unclaimed.insert(name.to_owned(), until);
            self.by_deadline.insert((until, name.to_owned()));
        }
        Ok(())
    }

    /// Forgets the callbacks that nobody has called in time. Returns when the next one is to be forgotten.
    pub(super) fn forget_unclaimed(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let (until, name) = self.by_deadline.first()?.clone();
            if until > now {
                return Some(until);
            }
            self.remove(&name);
        }
    }

    fn keep_callback(&mut self, name: &str, target: Target) -> Result<(), CallError> {
        if self.callbacks >= MAX_CALLBACKS {
            return Err(CallError::new(ErrorKind::Busy, format!("a node keeps at most {MAX_CALLBACKS} callbacks")));
        }
        self.local().insert(name.to_owned(), target);
        self.callbacks += 1;
        Ok(())
    }

    /// Keeps an object of functions under a name, in place of what was put there before.
    ///
    /// # Errors
    /// Where the name is built in, or there are too many services.
    pub(super) fn put(&mut self, name: &str, service: Arc<Value>, methods: Vec<String>) -> Result<(), CallError> {
        self.check_free(name)?;
        let fresh = !self.local().contains_key(name);
        if fresh && self.local().len() >= MAX_SERVICES + self.callbacks {
            return Err(CallError::new(ErrorKind::Busy, format!("a node keeps at most {MAX_SERVICES} services")));
        }
        self.remove(name);
        self.local().insert(name.to_owned(), Target::Shipped(service));
        self.directory.change(|names| {
            names.entry(Gid::local().to_string()).or_default().insert(name.to_owned(), methods);
        });
        Ok(())
    }

    /// How many of what was put and is kept there are.
    pub(crate) fn load(&self) -> [(&'static str, Fill); 2] {
        let services = self.groups.get("local").map_or(0, |local| local.len().saturating_sub(self.callbacks));
        [("services", Fill::new(services, MAX_SERVICES)), ("callbacks", Fill::new(self.callbacks, MAX_CALLBACKS))]
    }

    /// Puts an actor under a name, or another in the same place. Of a group that has gone nothing is kept.
    pub(crate) fn seat(
        &mut self,
        gid: &Gid,
        name: &str,
        recipient: Recipient<Request>,
        methods: &Rc<[EcoString]>,
        builtin: bool,
    ) {
        let target = Target::Actor { recipient, name: name.into(), methods: methods.clone(), builtin };
        self.keep(gid, name, methods, target);
    }

    /// Keeps a name for a built-in actor that begins with the first call on it.
    pub(crate) fn reserve(&mut self, name: &str, methods: &Rc<[EcoString]>, begin: Rc<dyn Fn()>) {
        self.keep(&Gid::local(), name, methods, Target::Asleep { begin, methods: methods.clone() });
    }

    fn keep(&mut self, gid: &Gid, name: &str, methods: &[EcoString], target: Target) {
        if let Some(services) = self.groups.get_mut(gid) {
            services.insert(name.to_owned(), target);
            self.directory.change(|names| {
                let methods = methods.iter().map(EcoString::to_string).collect();
                names.entry(gid.to_string()).or_default().insert(name.to_owned(), methods);
            });
        }
    }

    /// Whether a group's services are to be found. They come all at once, a little after the room for them.
    pub(super) fn runs(&self, gid: &Gid) -> bool {
        self.groups.get(gid).is_some_and(|services| !services.is_empty())
    }

    /// Takes a group's names away.
    pub(crate) fn remove_group(&mut self, gid: &Gid) {
        self.groups.remove(gid);
        self.directory.change(|names| drop(names.remove(gid.as_str())));
    }

    /// Takes all names away.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.directory.change(|names| names.clear());
    }

    pub(super) fn find(&self, gid: &Gid, service: &str) -> Result<&Target, CallError> {
        let services = self
            .groups
            .get(gid)
            .ok_or_else(|| CallError::new(ErrorKind::UnknownGroup, format!("this node knows no group {gid}")))?;
        services.get(service).ok_or_else(|| unknown_service(gid, service))
    }

    fn local(&mut self) -> &mut BTreeMap<String, Target> {
        self.groups.entry(Gid::local()).or_default()
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Target> {
        if let Some(until) = self.unclaimed.remove(name) {
            self.by_deadline.remove(&(until, name.to_owned()));
        }
        let removed = self.local().remove(name)?;
        if matches!(removed, Target::Callback { .. } | Target::Remote) {
            self.callbacks -= 1;
        }
        self.directory.change(|names| drop(names.get_mut("local").map(|local| local.remove(name))));
        Some(removed)
    }

    /// Refuses a name that is built in.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), CallError> {
        let held = self.groups.get("local").and_then(|services| services.get(name));
        match held {
            Some(Target::Actor { builtin: true, .. } | Target::Asleep { .. }) => {
                Err(CallError::new(ErrorKind::Reserved, format!("the service {name} is built in")))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn unknown_service(gid: &Gid, service: &str) -> CallError {
    let shown: String = service.chars().take(64).collect();
    CallError::new(ErrorKind::UnknownService, format!("this node knows no service {shown} in group {gid}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn nothing() -> Rc<dyn Fn(Vec<Value>) -> CallbackFuture> {
        Rc::new(|_| Box::pin(std::future::ready(Ok(Value::Null))))
    }

    #[actix::test]
    async fn callbacks_that_are_claimed_or_forgotten_leave_nothing_behind() {
        let mut table = Table::new(Directory::new(false));
        let now = Instant::now();
        let second = Duration::from_secs(1);
        for number in 0..3 * MAX_CALLBACKS {
            let name = number.to_string();
            table.add_callback(&name, Lasting::Once, nothing(), now + second).unwrap();
            assert!(table.remove(&name).is_some());
        }
        assert!(table.unclaimed.is_empty() && table.by_deadline.is_empty());
        assert_eq!(table.forget_unclaimed(now), None);

        table.add_callback("first", Lasting::Once, nothing(), now + second).unwrap();
        table.add_callback("second", Lasting::Once, nothing(), now + 2 * second).unwrap();
        table.add_callback("always", Lasting::Always, nothing(), now + second).unwrap();
        assert_eq!(table.forget_unclaimed(now + second), Some(now + 2 * second));
        assert_eq!(table.callbacks, 2);
        assert_eq!(table.forget_unclaimed(now + 2 * second), None);
        assert_eq!(table.callbacks, 1);
        assert!(table.find(&Gid::local(), "always").is_ok());
    }

    #[actix::test]
    async fn a_service_is_put_in_the_place_of_one_of_its_name_in_a_full_table() {
        let mut table = Table::new(Directory::new(false));
        let service = Arc::new(Value::Null);
        for number in 0..MAX_SERVICES {
            table.put(&number.to_string(), service.clone(), Vec::new()).unwrap();
        }
        assert_eq!(table.put("more", service.clone(), Vec::new()).unwrap_err().kind, ErrorKind::Busy);
        table.put("0", service.clone(), Vec::new()).unwrap();
        table.remove("1");
        table.put("more", service, Vec::new()).unwrap();
    }
}
