//! What the engine has of the node: the services that it has received, and the functions that it has registered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use chinwag_protocol::value::Value;

use super::account::Account;

/// What the engine has of the node, and what was lost with the engines before it.
#[derive(Debug, Default)]
pub(super) struct Services {
    last: u64,
    /// By the address of the service, which the weak reference keeps from being used again.
    known: BTreeMap<usize, Known>,
    /// The functions that `createRPC` registered with the engine, by name.
    registered: BTreeMap<String, Account>,
    /// The names of functions that were registered with engines before, until their callers are told.
    lost: BTreeSet<String>,
}

#[derive(Debug)]
struct Known {
    number: u64,
    service: Weak<Value>,
    /// The engine that has received the service.
    engine: Option<u64>,
    /// Whether it keeps state in the engine.
    keeps_state: bool,
    /// Whether its state was lost with an engine, and its callers have not been told.
    lost: bool,
}

/// The most names that are remembered after their functions are lost.
const LOST: usize = 16_384;

impl Services {
    fn known(&mut self, service: &Arc<Value>) -> &mut Known {
        let last = &mut self.last;
        self.known.entry(Arc::as_ptr(service) as usize).or_insert_with(|| {
            *last += 1;
            Known { number: *last, service: Arc::downgrade(service), engine: None, keeps_state: false, lost: false }
        })
    }

    /// Returns the number of a service.
    pub(super) fn number(&mut self, service: &Arc<Value>) -> u64 {
        self.known(service).number
    }

    /// Returns the number of a service, and the service itself if this engine has not received it.
    pub(super) fn definition(&mut self, service: &Arc<Value>, engine: u64) -> (u64, Option<Value>) {
        let known = self.known(service);
        let is_new = known.engine.replace(engine) != Some(engine);
        (known.number, is_new.then(|| (**service).clone()))
    }

    /// Notes that a service keeps state in the engine.
    pub(super) fn keeps_state(&mut self, number: u64) {
        if let Some(known) = self.known.values_mut().find(|known| known.number == number) {
            known.keeps_state = true;
        }
    }

    /// Returns the numbers of services that exist no longer.
    pub(super) fn take_gone(&mut self) -> Vec<u64> {
        let mut gone = Vec::new();
        self.known.retain(|_, known| {
            let exists = known.service.strong_count() > 0;
            if !exists && known.engine.is_some() {
                gone.push(known.number);
            }
            exists
        });
        gone
    }

    /// Notes that the engine has registered a function.
    pub(super) fn register(&mut self, name: String, account: Account) {
        self.registered.insert(name, account);
    }

    pub(super) fn unregister(&mut self, names: &[String]) {
        for name in names {
            self.registered.remove(name);
        }
    }

    /// Returns on whose account a function was registered.
    pub(super) fn account_of(&self, name: &str) -> Option<Account> {
        self.registered.get(name).copied()
    }

    /// Notes that the engine is gone. Returns the names of the functions that were registered with it.
    pub(super) fn lose(&mut self) -> Vec<String> {
        for known in self.known.values_mut() {
            known.engine = None;
            known.lost |= std::mem::take(&mut known.keeps_state);
        }
        let names: Vec<String> = std::mem::take(&mut self.registered).into_keys().collect();
        if self.lost.len() + names.len() > LOST {
            self.lost.clear();
        }
        self.lost.extend(names.iter().take(LOST).cloned());
        names
    }

    /// Returns whether the state of a service was lost. Tells it once.
    pub(super) fn take_lost(&mut self, service: &Arc<Value>) -> bool {
        let known = self.known.get_mut(&(Arc::as_ptr(service) as usize));
        known.is_some_and(|known| std::mem::take(&mut known.lost))
    }

    /// Returns whether a registered function was lost. Tells it once.
    pub(super) fn take_lost_name(&mut self, name: &str) -> bool {
        self.lost.remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_receives_a_service_once_and_a_lost_one_is_reported_once() {
        let mut services = Services::default();
        let service = Arc::new(Value::Null);
        let (number, sent) = services.definition(&service, 1);
        assert_eq!(sent, Some(Value::Null));
        assert_eq!(services.definition(&service, 1), (number, None));
        assert!(!services.take_lost(&service));
        services.register("name".to_owned(), Account::NODE);
        let stateless = Arc::new(Value::Null);
        services.definition(&stateless, 1);
        services.keeps_state(number);
        assert_eq!(services.lose(), ["name"]);
        assert!(services.take_lost(&service) && !services.take_lost(&service));
        assert!(!services.take_lost(&stateless));
        assert!(services.take_lost_name("name") && !services.take_lost_name("name"));
        assert_eq!(services.definition(&service, 2), (number, Some(Value::Null)));
        drop(service);
        assert_eq!(services.take_gone(), [number]);
        assert_eq!(services.known.len(), 1);
    }
}
