//! The route table, which maps names to the targets of calls, by group. It is held outside the actor, so that a panic loses no
//! name.
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
    scripts::{Change, Directory},
};

/// The most callbacks that a node keeps. Each is a closure and a name.
pub const MAX_CALLBACKS: usize = 65_536;

/// The most services that users can put, and the most functions of one service.
pub const MAX_SERVICES: usize = 4_096;

/// The target of calls on a name.
#[derive(Clone)]
pub(crate) enum Target {
    /// An actor, with the names of its methods.
    Actor { recipient: Recipient<Request>, name: Rc<str>, methods: Rc<[EcoString]>, builtin: bool },
    /// A built-in actor that has not been needed yet. `start` starts it, and replaces this target with the actor.
    OnDemand { start: Rc<dyn Fn()>, methods: Rc<[EcoString]> },
    /// An object of functions that a user has put.
    Shipped(Arc<Value>),
    /// A function that the script engine holds.
    #[cfg_attr(not(feature = "scripts"), allow(dead_code))]
    ScriptCallback,
    /// A closure of this program.
    Callback { lasting: Lasting, callback: Rc<dyn Fn(Vec<Value>) -> CallbackFuture> },
}

/// The route table of one node.
pub(crate) struct Table {
    groups: BTreeMap<Gid, BTreeMap<String, Target>>,
    callbacks: usize,
    /// The expiry times of callbacks that can be called once, by name. `by_deadline` has the same entries in order of time.
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

    /// Adds a group without names.
    pub(crate) fn open_group(&mut self, gid: &Gid) {
        self.groups.entry(gid.clone()).or_default();
        self.directory.change(Change::AddGroup(gid.to_string()));
    }

    /// Adds a function that the script engine holds.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] past [`MAX_CALLBACKS`].
    #[cfg_attr(not(feature = "scripts"), allow(dead_code))]
    pub(crate) fn add_script_callback(&mut self, name: &str) -> Result<(), CallError> {
        self.insert_callback(name, Target::ScriptCallback)
    }

    /// Adds a closure of this program. If it can be called once, it expires at `until`.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] past [`MAX_CALLBACKS`].
    pub(super) fn add_callback(
        &mut self,
        name: &str,
        lasting: Lasting,
        callback: Rc<dyn Fn(Vec<Value>) -> CallbackFuture>,
        until: Instant,
    ) -> Result<(), CallError> {
        self.insert_callback(name, Target::Callback { lasting, callback })?;
        if lasting == Lasting::Once {
            self.unclaimed.insert(name.to_owned(), until);
            self.by_deadline.insert((until, name.to_owned()));
        }
        Ok(())
    }

    /// Removes callbacks that were not called in time. Returns when the next one expires.
    pub(super) fn expire_callbacks(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let (until, name) = self.by_deadline.first()?.clone();
            if until > now {
                return Some(until);
            }
            self.remove(&name);
        }
    }

    fn insert_callback(&mut self, name: &str, target: Target) -> Result<(), CallError> {
        if self.callbacks >= MAX_CALLBACKS {
            return Err(CallError::new(ErrorKind::Busy, format!("a node keeps at most {MAX_CALLBACKS} callbacks")));
        }
        self.local().insert(name.to_owned(), target);
        self.callbacks += 1;
        Ok(())
    }

    /// Adds an object of functions. Replaces an object that was put under the same name before.
    ///
    /// # Errors
    /// [`ErrorKind::Reserved`] if the name is built in, and [`ErrorKind::Busy`] past [`MAX_SERVICES`].
    pub(super) fn put(&mut self, name: &str, service: Arc<Value>, methods: Vec<String>) -> Result<(), CallError> {
        self.check_free(name)?;
        let is_new = !self.local().contains_key(name);
        if is_new && self.local().len() >= MAX_SERVICES + self.callbacks {
            return Err(CallError::new(ErrorKind::Busy, format!("a node keeps at most {MAX_SERVICES} services")));
        }
        self.remove(name);
        self.local().insert(name.to_owned(), Target::Shipped(service));
        let gid = Gid::local().to_string();
        self.directory.change(Change::SetService { gid, service: name.to_owned(), methods });
        Ok(())
    }

    /// Returns how full the table is.
    pub(crate) fn load(&self) -> [(&'static str, Fill); 2] {
        let services = self.groups.get("local").map_or(0, |local| local.len().saturating_sub(self.callbacks));
        [("services", Fill::new(services, MAX_SERVICES)), ("callbacks", Fill::new(self.callbacks, MAX_CALLBACKS))]
    }

    /// Sets the actor of a name, or replaces it. Has no effect if the group has been removed.
    pub(crate) fn set_actor(
        &mut self,
        gid: &Gid,
        name: &str,
        recipient: Recipient<Request>,
        methods: &Rc<[EcoString]>,
        builtin: bool,
    ) {
        let target = Target::Actor { recipient, name: name.into(), methods: methods.clone(), builtin };
        self.insert(gid, name, methods, target);
    }

    /// Reserves a name for a built-in actor, which starts with the first call on it.
    pub(crate) fn reserve(&mut self, name: &str, methods: &Rc<[EcoString]>, start: Rc<dyn Fn()>) {
        self.insert(&Gid::local(), name, methods, Target::OnDemand { start, methods: methods.clone() });
    }

    fn insert(&mut self, gid: &Gid, name: &str, methods: &[EcoString], target: Target) {
        if let Some(services) = self.groups.get_mut(gid) {
            services.insert(name.to_owned(), target);
            let methods = methods.iter().map(EcoString::to_string).collect();
            self.directory.change(Change::SetService { gid: gid.to_string(), service: name.to_owned(), methods });
        }
    }

    /// Whether a group's services are running. All of a group's names are added at once, some time after `open_group`.
    pub(super) fn is_running(&self, gid: &Gid) -> bool {
        self.groups.get(gid).is_some_and(|services| !services.is_empty())
    }

    /// Removes a group and its names.
    pub(crate) fn remove_group(&mut self, gid: &Gid) {
        self.groups.remove(gid);
        self.directory.change(Change::RemoveGroup(gid.to_string()));
    }

    /// Removes all names.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.directory.change(Change::Clear);
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
        if matches!(removed, Target::Callback { .. } | Target::ScriptCallback) {
            self.callbacks -= 1;
        }
        let gid = Gid::local().to_string();
        self.directory.change(Change::RemoveService { gid, service: name.to_owned() });
        Some(removed)
    }

    /// Checks that a name is not that of a built-in service.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), CallError> {
        let target = self.groups.get("local").and_then(|services| services.get(name));
        match target {
            Some(Target::Actor { builtin: true, .. } | Target::OnDemand { .. }) => {
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

    fn null_callback() -> Rc<dyn Fn(Vec<Value>) -> CallbackFuture> {
        Rc::new(|_| Box::pin(std::future::ready(Ok(Value::Null))))
    }

    #[actix::test]
    async fn removed_and_expired_callbacks_leave_nothing_behind() {
        let mut table = Table::new(Directory::new(false));
        let now = Instant::now();
        let second = Duration::from_secs(1);
        for number in 0..3 * MAX_CALLBACKS {
            let name = number.to_string();
            table.add_callback(&name, Lasting::Once, null_callback(), now + second).unwrap();
            assert!(table.remove(&name).is_some());
        }
        assert!(table.unclaimed.is_empty() && table.by_deadline.is_empty());
        assert_eq!(table.expire_callbacks(now), None);

        table.add_callback("first", Lasting::Once, null_callback(), now + second).unwrap();
        table.add_callback("second", Lasting::Once, null_callback(), now + 2 * second).unwrap();
        table.add_callback("always", Lasting::Always, null_callback(), now + second).unwrap();
        assert_eq!(table.expire_callbacks(now + second), Some(now + 2 * second));
        assert_eq!(table.callbacks, 2);
        assert_eq!(table.expire_callbacks(now + 2 * second), None);
        assert_eq!(table.callbacks, 1);
        assert!(table.find(&Gid::local(), "always").is_ok());
    }

    #[actix::test]
    async fn a_full_table_still_accepts_a_service_under_a_name_in_use() {
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
