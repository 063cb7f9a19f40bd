//! The functions of an engine that the node holds. [`original.rs`](super::original) says how.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use rquickjs::{Ctx, Object as JsObject, Persistent, Result, Value as Js};

use super::{
    account::{Account, Quota},
    realm::RealmName,
};

/// The functions of an engine that the node holds, by number.
pub(super) struct Originals {
    /// The last number that was given out to anything in the engine. Successors of the engine share it.
    numbers: Rc<Cell<u64>>,
    kept: RefCell<BTreeMap<u64, Kept>>,
    quota: RefCell<Quota>,
}

struct Kept {
    account: Account,
    realm: RealmName,
    function: Persistent<Js<'static>>,
    /// The object that the function was a member of.
    home: Option<Persistent<JsObject<'static>>>,
}

/// A function, and the object that it was a member of.
pub(super) struct Found<'js> {
    pub function: Js<'js>,
    pub home: Option<JsObject<'js>>,
}

impl Originals {
    pub(super) fn new(numbers: Rc<Cell<u64>>, most: usize) -> Originals {
        Originals { numbers, kept: RefCell::default(), quota: RefCell::new(Quota::new("functions for the node", most)) }
    }

    /// Keeps a function for the node. Returns its number.
    ///
    /// # Errors
    /// Says which quota is used up.
    pub(super) fn keep<'js>(
        &self,
        ctx: &Ctx<'js>,
        realm: RealmName,
        account: Account,
        function: &Js<'js>,
        home: Option<&JsObject<'js>>,
    ) -> std::result::Result<u64, String> {
        self.quota.borrow_mut().take(account)?;
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        let function = Persistent::save(ctx, function.clone());
        let home = home.map(|home| Persistent::save(ctx, home.clone()));
        self.kept.borrow_mut().insert(number, Kept { account, realm, function, home });
        Ok(number)
    }

    /// Returns a function, unless it belongs to another realm: code there must not get hold of it.
    pub(super) fn find<'js>(&self, ctx: &Ctx<'js>, realm: RealmName, number: u64) -> Result<Option<Found<'js>>> {
        let kept = self.kept.borrow();
        let Some(kept) = kept.get(&number).filter(|kept| kept.realm == realm) else { return Ok(None) };
        let (function, home) = (kept.function.clone(), kept.home.clone());
        Ok(Some(Found { function: function.restore(ctx)?, home: home.map(|home| home.restore(ctx)).transpose()? }))
    }

    /// Returns the realm of a function.
    pub(super) fn realm(&self, number: u64) -> Option<RealmName> {
        self.kept.borrow().get(&number).map(|kept| kept.realm)
    }

    /// Drops functions that the node no longer holds.
    pub(super) fn drop_all(&self, numbers: Vec<u64>) {
        let dropped: Vec<Kept> = {
            let mut kept = self.kept.borrow_mut();
            numbers.into_iter().filter_map(|number| kept.remove(&number)).collect()
        };
        let mut quota = self.quota.borrow_mut();
        dropped.iter().for_each(|kept| quota.give_back(kept.account));
    }

    /// Drops the functions of a realm, because it ends.
    pub(super) fn drop_realm(&self, realm: RealmName) {
        let of_realm = |(number, kept): (&u64, &Kept)| (kept.realm == realm).then_some(*number);
        let numbers = self.kept.borrow().iter().filter_map(of_realm).collect();
        self.drop_all(numbers);
    }

    /// Drops everything, because the QuickJS runtime ends.
    pub(super) fn release(&self) {
        self.kept.take();
    }
}
