//! Comparing views: hashes first, then only the parts that differ, page by page.
//!
//! ```text
//! every probe and its answer state the hash of the whole view
//! A's hash differs from B's, and A's own has not changed for a while
//!   A -- Sync(hash of each part, first part, news) --> B    B takes in the news
//!   A <-- Page(B's entries of the parts that differ, next part, what A's news got wrong) -- B
//!   ... until there is no next part and A has no news: entries of those parts that B lacks or has older
//!   (if B's view is so much larger that A's parts are too coarse for it, B answers with the number of parts first)
//! ```
//!
//! A view consists of the members that are alive as far as this node knows, itself included, each with its
//! incarnation. Suspicions are left out, because a suspicion is worth something only from the node that holds it.
//! Removed members are left out, because nodes forget them at different times; but a node that is told that such a
//! member is alive answers with the verdict. A view is divided by the first bits of the members' ids into as many
//! parts as keep each small. The message that carries a page is bounded by [`PAGE`] whatever the size of the cluster.

use std::time::Duration;

use rand::Rng;

use super::interface::Output;
use super::machine::Swim;
use super::standing::{Claim, Incarnation, Status, Update};
use super::sync::{Comparison, MAX_ENTRIES, MAX_PARTS, PAGE, PART, Page, Sync, SyncError, entry_hash, part_of};
use crate::peer_id::PeerId;

impl<P: PeerId> Swim<P> {
    /// Returns the hash of this node's view: its members that are alive, and itself. Equal views have equal hashes on
    /// all nodes.
    pub fn view_hash(&self) -> u64 {
        let myself = if self.running { entry_hash(&self.me, self.incarnation) } else { 0 };
        self.others_hash ^ myself
    }

    /// Returns the number of parts into which a comparison divides this node's view.
    fn parts(&self) -> usize {
        (self.known / PART).next_power_of_two().clamp(1, MAX_PARTS)
    }

    fn entries(&self) -> impl Iterator<Item = Update<P>> + '_ {
        let myself = self.running.then_some((self.me, self.incarnation));
        let known = self.members.iter().filter(|member| member.status().is_known());
        let others = known.map(|member| (member.peer, member.incarnation));
        let by = self.me;
        let all = myself.into_iter().chain(others);
        all.map(move |(peer, incarnation)| Update { peer, incarnation, claim: Claim::Alive, by })
    }

    fn part_hashes(&self, parts: usize) -> Vec<u64> {
        let mut hashes = vec![0; parts];
        for entry in self.entries() {
            if let Some(hash) = hashes.get_mut(part_of(&entry.peer, parts)) {
                *hash ^= entry_hash(&entry.peer, entry.incarnation);
            }
        }
        hashes
    }

    /// Begins a comparison with a seed, for a node that joins. Returns the first request.
    pub fn begin_joining(&mut self, seed: &P) -> Sync<P> {
        // A seed that is a member has sent its news to the other members.
        self.company = self.known > 0 && !self.is_member(seed);
        self.begin_sync()
    }

    fn begin_sync(&self) -> Sync<P> {
        Sync { parts: self.part_hashes(self.parts()), first: 0, news: Vec::new() }
    }

    /// Takes the news of a comparison and answers it. The answer also tells the peer if this node suspects it or
    /// considers it removed.
    ///
    /// # Errors
    /// [`SyncError`] if the request is out of bounds. Nothing has changed then.
    pub fn answer_sync<R: Rng + ?Sized>(
        &mut self,
        now: Duration,
        from: P,
        sync: &Sync<P>,
        chance: &mut R,
    ) -> Result<(Page<P>, Vec<Output<P>>), SyncError> {
        let parts = sync.parts.len();
        if !parts.is_power_of_two() || parts > MAX_PARTS {
            return Err(SyncError::Parts(parts));
        }
        if sync.news.len() > MAX_ENTRIES {
            return Err(SyncError::Entries(sync.news.len()));
        }
        self.take_view(now, from, &sync.news, false, chance);
        let mut page = Page { differing: Vec::new(), entries: Vec::new(), next: None, parts: self.parts() };
        if page.parts > parts && sync.first < parts {
            page.next = Some(0);
            return Ok((page, std::mem::take(&mut self.outbox)));
        }
        let mine = self.part_hashes(parts);
        let mut sizes = vec![0; parts];
        for entry in self.entries() {
            sizes[part_of(&entry.peer, parts)] += 1;
        }
        let mut count = 0;
        for part in sync.first..parts {
            if mine[part] == sync.parts[part] {
                continue;
            }
            if count > 0 && count + sizes[part] > PAGE {
                page.next = Some(part);
                break;
            }
            count += sizes[part];
            page.differing.push(part);
        }
        let wanted = |entry: &Update<P>| page.differing.binary_search(&part_of(&entry.peer, parts)).is_ok();
        page.entries.extend(self.entries().filter(wanted));
        // Correct the sender if it considers a member alive that this node knows to be gone.
        for told in &sync.news {
            page.entries.extend(self.correction(told));
        }
        page.entries.extend(self.held_against(&from));
        Ok((page, std::mem::take(&mut self.outbox)))
    }

    /// Returns what this node knows of a peer that supersedes the news.
    fn correction(&self, told: &Update<P>) -> Option<Update<P>> {
        let member = self.find(&told.peer)?;
        let gone = matches!(member.status(), Status::Failed | Status::Left);
        let (peer, incarnation, claim) = (member.peer, member.incarnation, member.claim);
        (gone && incarnation >= told.incarnation).then_some(Update { peer, incarnation, claim, by: self.me })
    }

    /// Returns what this node knows of a peer that some node has heard from: the answer to an inquiry.
    pub fn known_of(&self, peer: &P) -> Option<Update<P>> {
        let member = self.find(peer)?;
        let (incarnation, claim) = (member.incarnation, member.claim);
        let heard = matches!(member.status(), Status::Alive | Status::Suspect | Status::Failed | Status::Left);
        // A suspicion counts only from the node that has it.
        let claim = if claim == Claim::Suspect { Claim::Alive } else { claim };
        heard.then_some(Update { peer: *peer, incarnation, claim, by: self.me })
    }

    /// Returns the suspicion or removal of a peer that this node knows, so that the peer can contradict it.
    pub fn held_against(&self, peer: &P) -> Option<Update<P>> {
        let member = self.find(peer)?;
        let (incarnation, claim) = (member.incarnation, member.claim);
        let held = matches!(member.status(), Status::Suspect | Status::Failed | Status::Left);
        (held && !incarnation.is_passive()).then_some(Update { peer: *peer, incarnation, claim, by: self.me })
    }

    /// Takes the answer to the request `sent` of a comparison. Returns the next request, or `None` if both sides agree
    /// on what was compared.
    pub fn take_page<R: Rng + ?Sized>(
        &mut self,
        now: Duration,
        from: P,
        (sent, page): (&Sync<P>, &Page<P>),
        chance: &mut R,
    ) -> (Option<Sync<P>>, Vec<Output<P>>) {
        let strange = self.company && self.is_strange(&from, &page.entries);
        self.take_view(now, from, &page.entries, strange, chance);
        let parts = sent.parts.len();
        if page.parts > parts && page.next == Some(0) {
            let outputs = std::mem::take(&mut self.outbox);
            let valid = page.parts.is_power_of_two() && page.parts <= MAX_PARTS;
            let finer = valid.then(|| Sync { parts: self.part_hashes(page.parts), first: 0, news: Vec::new() });
            return (finer, outputs);
        }
        let mut theirs: Vec<(P, Incarnation)> =
            page.entries.iter().map(|entry| (entry.peer, entry.incarnation)).collect();
        theirs.sort_unstable();
        let mut news: Vec<Update<P>> = Vec::new();
        if parts.is_power_of_two() && parts <= MAX_PARTS {
            let compared = |entry: &Update<P>| page.differing.contains(&part_of(&entry.peer, parts));
            let lacked = |entry: &Update<P>| {
                let at = theirs.binary_search_by(|(peer, _)| peer.cmp(&entry.peer));
                at.ok().is_none_or(|at| theirs[at].1 < entry.incarnation)
            };
            news.extend(self.entries().filter(compared).filter(lacked).take(MAX_ENTRIES));
        }
        if strange {
            for update in &news {
                self.broadcast(*update);
            }
        }
        // A next part that does not advance would make the comparison endless.
        let next = page.next.filter(|next| *next > sent.first && *next < parts);
        let outputs = std::mem::take(&mut self.outbox);
        if next.is_none() && news.is_empty() {
            return (None, outputs);
        }
        let until = now + self.whole_timeout();
        if let Some(comparison) = self.comparison.as_mut().filter(|comparison| comparison.peer == from) {
            comparison.until = until;
        }
        (Some(Sync { parts: self.part_hashes(parts), first: next.unwrap_or(parts), news }), outputs)
    }

    /// Returns whether a peer and this node seem to have been in different clusters, because most members on a page of
    /// the peer's view are not members here.
    fn is_strange(&self, from: &P, view: &[Update<P>]) -> bool {
        let others = view.iter().map(|update| update.peer).filter(|peer| *peer != self.me && peer != from);
        let members = others.clone().filter(|peer| self.is_member(peer)).count();
        others.count() > 2 * members
    }

    /// Takes the entries of a peer's view, and passes on what is news to others. If two clusters have met, that is all
    /// of it, since neither knows the other. Within a cluster a rumor has brought the news, so a node that missed it
    /// does not repeat it.
    fn take_view<R: Rng + ?Sized>(
        &mut self,
        now: Duration,
        from: P,
        view: &[Update<P>],
        strange: bool,
        chance: &mut R,
    ) {
        // Others may consider a peer dead that was known before.
        let known = self.find(&from).is_some();
        for update in view {
            let first_hand = known && update.peer == from;
            let news = self.learn(now, *update, chance);
            if news && update.peer != self.me && (strange || first_hand) {
                self.broadcast(*update);
            }
        }
    }

    /// Handles the hash of a peer's view in an answer. If it differs although this node's view is at rest, something
    /// was missed, so the nodes compare. A node compares with one peer at a time.
    pub(super) fn compare_hashes(&mut self, now: Duration, peer: P, theirs: u64) {
        if theirs == 0 || theirs == self.view_hash() {
            self.differs_since = None;
            return;
        }
        let settled = now.saturating_sub(self.changed) >= self.config.settle_time();
        let since = *self.differs_since.get_or_insert(now);
        // A view that changes all the time is compared after a while nevertheless.
        let long = now.saturating_sub(since) >= 5 * self.config.probe_interval;
        if settled || long {
            self.begin_comparison(now, peer);
        }
    }

    pub(super) fn begin_comparison(&mut self, now: Duration, peer: P) {
        let under_way = self.comparison.as_ref().is_some_and(|comparison| now < comparison.until);
        let passive = self.find(&peer).is_none_or(|member| member.incarnation.is_passive());
        if under_way || passive || !self.running {
            return;
        }
        let timeout = self.whole_timeout();
        self.company = self.known > 1;
        self.comparison = Some(Comparison { peer, until: now + timeout });
        self.outbox.push(Output::Sync { peer, sync: self.begin_sync(), timeout });
    }

    /// Ends the comparison with this peer, whether or not it succeeded.
    pub fn end_sync(&mut self, peer: &P) {
        if self.comparison.as_ref().is_some_and(|comparison| comparison.peer == *peer) {
            self.comparison = None;
            self.differs_since = None;
        }
    }
}
