//! Sharing sets between the nodes of one program, even after changes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::members::Group;
use crate::identity::{Nid, NodeAddr, Sid};

/// The number of changes that are remembered. A guess: those that the nodes make at about the same time.
const REMEMBERED: usize = 16;

/// The changes that nodes of one program make to the sets that they share. The same change of the same set results in
/// one new set for all of them. Without it, ten thousand nodes that each remove one of ten thousand members would hold
/// ten thousand copies.
///
/// It affects nothing but the use of memory. Clones share their changes.
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

/// A change of a set. The same change of the same set has the same result.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Add(NodeAddr),
    Forget(Nid),
    Restore(Sid, NodeAddr),
}

impl Sharing {
    /// Changes a set, in place if nobody else holds it.
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
