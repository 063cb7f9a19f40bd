//! One set for many nodes of one program, also after it has changed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::members::Group;
use crate::identity::{Nid, NodeAddr, Sid};

/// How many changes are remembered. A guess: those that are under way among the nodes at one time.
const REMEMBERED: usize = 16;

/// What nodes of one program that hold the same sets do to them, so that the same change of the same set makes one new
/// set for all of them. Without it, ten thousand nodes that each drop one of ten thousand members would hold ten
/// thousand copies.
///
/// Nothing follows from it but how much memory is used. Cloning it shares it.
///
/// ```
/// use std::sync::Arc;
/// use chinwag_protocol::{group::{Group, GroupConfig, Groups, Sharing}, identity::{Gid, NodeAddr}};
/// let [one, two, three] = [1, 2, 3].map(|port| NodeAddr::new("127.0.0.1", port));
/// let (sharing, town) = (Sharing::default(), Gid::new("town").unwrap());
/// let everybody: Arc<Group> = Arc::new([one.clone(), two.clone(), three.clone()].into());
/// let mut maps = [one, two].map(|me| Groups::new(me).sharing(sharing.clone()));
/// for map in &mut maps {
///     map.share(Arc::new(GroupConfig::new(town.clone())), everybody.clone()).unwrap();
///     map.forget(&three.nid());
/// }
/// let [mine, theirs] = maps.map(|map| map.get(&town).unwrap());
/// assert!(mine.len() == 2 && Arc::ptr_eq(&mine, &theirs));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sharing(Rc<RefCell<VecDeque<Changed>>>);

/// A set before and after a change.
#[derive(Debug)]
struct Changed {
    before: Arc<Group>,
    change: Change,
    after: Arc<Group>,
}

/// What is done to a set. The same done to the same set has the same result.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Add(NodeAddr),
    Forget(Nid),
    Restore(Sid, NodeAddr),
}

impl Sharing {
    /// Changes a set. One that nobody else holds is changed in place.
    pub(super) fn change(&self, members: &mut Arc<Group>, change: Change, make: impl FnOnce(&mut Group)) {
        if let Some(own) = Arc::get_mut(members) {
            return make(own);
        }
        let mut remembered = self.0.borrow_mut();
        let same = |known: &&Changed| Arc::ptr_eq(&known.before, members) && known.change == change;
        if let Some(known) = remembered.iter().rev().find(same) {
            *members = known.after.clone();
            return;
        }
        let mut after = (**members).clone();
        make(&mut after);
        let (before, after) = (members.clone(), Arc::new(after));
        *members = after.clone();
        if remembered.len() >= REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(Changed { before, change, after });
    }
}
