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
    settings::Settings,
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
    /// An object of functions that a user has put, and the memory that it takes.
    Shipped { service: Arc<Value>, bytes: usize },
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
    /// The memory of all services that were put, in bytes.
    service_bytes: usize,
    limits: ServiceLimits,
    /// The expiry times of callbacks that can be called once, by name. `by_deadline` has the same entries in order of time.
    unclaimed: BTreeMap<String, Instant>,
    by_deadline: BTreeSet<(Instant, String)>,
    /// The same names, as shipped code sees them.
    directory: Directory,
}

/// How much memory services that were put may take, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct ServiceLimits {
    /// One service.
    pub each: usize,
    /// All services together.
    pub total: usize,
}

impl From<&Settings> for ServiceLimits {
    fn from(settings: &Settings) -> ServiceLimits {
        ServiceLimits { each: settings.bytes_of_a_service, total: settings.bytes_of_services }
    }
}

impl Table {
    pub(crate) fn new(directory: Directory, limits: ServiceLimits) -> Table {
        Table {
            groups: BTreeMap::new(),
            callbacks: 0,
            service_bytes: 0,
            limits,
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
    /// [`ErrorKind::Reserved`] if the name is built in, [`ErrorKind::BadArgument`] if the service takes more memory than one
    /// may, and [`ErrorKind::Busy`] past [`MAX_SERVICES`] or if all services together would take more memory than they may.
    /// Nothing has changed then.
    pub(super) fn put(&mut self, name: &str, service: Arc<Value>, methods: Vec<String>) -> Result<(), CallError> {
        self.check_free(name)?;
        let bytes = memory_bytes(name, &service, &methods);
        let ServiceLimits { each, total } = self.limits;
        if bytes > each {
            let why = format!("{name} takes {bytes} bytes of memory, and a service may take {each} at the most");
            return Err(CallError::argument("routes.put", 1, "service", why));
        }
        let replaced = self.local().get(name);
        let (is_new, freed) = (replaced.is_none(), replaced.map_or(0, Target::service_bytes));
        let held = self.service_bytes - freed;
        if held + bytes > total {
            let message = format!(
                "{name} takes {bytes} bytes of memory, and this node keeps {held} of {total} bytes of services already"
            );
            return Err(CallError::new(ErrorKind::Busy, message));
        }
        if is_new && self.local().len() >= MAX_SERVICES + self.callbacks {
            return Err(CallError::new(ErrorKind::Busy, format!("a node keeps at most {MAX_SERVICES} services")));
        }
        self.remove(name);
        self.local().insert(name.to_owned(), Target::Shipped { service, bytes });
        self.service_bytes += bytes;
        let gid = Gid::local().to_string();
        self.directory.change(Change::SetService { gid, service: name.to_owned(), methods });
        Ok(())
    }

    /// Returns how full the table is.
    pub(crate) fn load(&self) -> [(&'static str, Fill); 3] {
        let services = self.groups.get("local").map_or(0, |local| local.len().saturating_sub(self.callbacks));
        [
            ("services", Fill::new(services, MAX_SERVICES)),
            ("serviceBytes", Fill::new(self.service_bytes, self.limits.total)),
            ("callbacks", Fill::new(self.callbacks, MAX_CALLBACKS)),
        ]
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
            let replaced = services.insert(name.to_owned(), target);
            self.service_bytes -= replaced.as_ref().map_or(0, Target::service_bytes);
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
        self.service_bytes = 0;
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
        self.service_bytes -= removed.service_bytes();
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

impl Target {
    /// Returns the memory of a service that was put, in bytes.
    const fn service_bytes(&self) -> usize {
        match self {
            Target::Shipped { bytes, .. } => *bytes,
            _ => 0,
        }
    }
}

/// Returns about how many bytes of memory a service takes, with the names that the table and the directory keep.
fn memory_bytes(name: &str, service: &Value, methods: &[String]) -> usize {
    let names = methods.iter().map(|method| size_of::<String>() + method.capacity());
    service.memory_bytes() + 2 * (size_of::<(String, Target)>() + name.len()) + names.sum::<usize>()
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
        let mut table = Table::new(Directory::new(false), (&Settings::default()).into());
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
        let mut table = Table::new(Directory::new(false), (&Settings::default()).into());
        let service = Arc::new(Value::Null);
        for number in 0..MAX_SERVICES {
            table.put(&number.to_string(), service.clone(), Vec::new()).unwrap();
        }
        assert_eq!(table.put("more", service.clone(), Vec::new()).unwrap_err().kind, ErrorKind::Busy);
        table.put("0", service.clone(), Vec::new()).unwrap();
        table.remove("1");
        table.put("more", service, Vec::new()).unwrap();
    }

    /// A service that takes about this many bytes.
    fn service(bytes: usize) -> Arc<Value> {
        Arc::new(Value::Object([("text", "x".repeat(bytes))].into_iter().collect()))
    }

    #[actix::test]
    async fn services_are_held_up_to_a_number_of_bytes_each_and_together() {
        let limits = ServiceLimits { each: 10_000, total: 30_000 };
        let mut table = Table::new(Directory::new(false), limits);
        let refused = table.put("large", service(10_000), Vec::new()).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::BadArgument);
        let bytes = memory_bytes("large", &service(10_000), &[]);
        assert!(refused.message.contains(&bytes.to_string()) && refused.message.contains("10000"), "{refused}");
        assert_eq!(table.service_bytes, 0);
        // exactly as much as one service may take, and a byte more
        let most = 10_000 - (bytes - 10_000);
        assert!(table.put("large", service(most + 1), Vec::new()).is_err());
        for name in ["first", "again", "third"] {
            table.put(name, service(most), Vec::new()).unwrap();
        }
        assert_eq!(table.service_bytes, 30_000);
        let refused = table.put("fourth", service(1), Vec::new()).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy);
        assert!(refused.message.contains("keeps 30000 of 30000 bytes"), "{refused}");

        // what a replaced or a removed service took is free
        table.put("again", service(most), Vec::new()).unwrap();
        assert_eq!(table.service_bytes, 30_000);
        table.remove("first");
        table.put("fourth", service(1), vec!["a method".to_owned()]).unwrap();
        assert!(table.service_bytes > 20_000);
        for name in ["again", "third", "fourth"] {
            table.remove(name);
        }
        assert_eq!(table.service_bytes, 0);
        assert_eq!(table.load()[1].1, Fill::new(0, 30_000));
    }
}
