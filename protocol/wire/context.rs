//! The state that all parts of a reader share: the limits, how much of them is left, and the first fault.

use std::cell::{Cell, RefCell};

use serde::de::{DeserializeSeed, Error};

use super::error::offset_in;
use super::{DecodeError, Reason};
use crate::value::Limits;

/// How much text may be read again, in lengths of the message. A value that comes before its type and a value nested as
/// a JSON string are read twice, and more often inside each other. A guess: it allows eight levels of the former and
/// any depth of the latter (whose text doubles with each level).
const REREADS: usize = 8;

pub(super) struct Context<'c> {
    pub(super) limits: &'c Limits,
    /// The message.
    text: &'c str,
    values: Cell<usize>,
    reread: Cell<usize>,
    referred: Cell<bool>,
    fault: RefCell<Option<DecodeError>>,
}

impl<'c> Context<'c> {
    pub(super) const fn new(text: &'c str, limits: &'c Limits) -> Self {
        Self {
            limits,
            text,
            values: Cell::new(limits.values),
            reread: Cell::new(text.len().saturating_mul(REREADS).saturating_add(4096)),
            referred: Cell::new(false),
            fault: RefCell::new(None),
        }
    }

    /// Stores the fault, and returns an error for serde to pass on. The position of the fault is known once that error
    /// arrives.
    pub(super) fn fault<E: Error>(&self, reason: Reason) -> E {
        let mut fault = self.fault.borrow_mut();
        fault.get_or_insert(DecodeError::new(reason, None));
        E::custom("refused")
    }

    /// Counts values against the limit.
    pub(super) fn count<E: Error>(&self, values: usize) -> Result<(), E> {
        match self.values.get().checked_sub(values) {
            Some(left) => {
                self.values.set(left);
                Ok(())
            }
            None => Err(self.fault(Reason::TooMany(self.limits.values))),
        }
    }

    /// Counts a value, and rejects it if it nests too deep.
    pub(super) fn enter<E: Error>(&self, depth: usize) -> Result<(), E> {
        self.count(1)?;
        if depth < self.limits.depth { Ok(()) } else { Err(self.fault(Reason::TooDeep(self.limits.depth))) }
    }

    /// Notes that the message has a reference.
    pub(super) fn refer(&self) {
        self.referred.set(true);
    }

    /// Returns whether the message has a reference.
    pub(super) const fn referred(&self) -> bool {
        self.referred.get()
    }

    /// Returns the length of the message.
    pub(super) const fn length(&self) -> usize {
        self.text.len()
    }

    /// Reads `text`, which is the message or a part of it.
    pub(super) fn read<'de, S: DeserializeSeed<'de>>(
        &self,
        text: &'de str,
        seed: S,
    ) -> Result<S::Value, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        // depth is counted here, in values
        json.disable_recursion_limit();
        let read = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        if let Err(error) = &read {
            self.locate(error, text);
        }
        read
    }

    /// Reads `text`, which is a part of the message, another time.
    pub(super) fn read_again<'de, S: DeserializeSeed<'de>, E: Error>(
        &self,
        text: &'de str,
        seed: S,
    ) -> Result<S::Value, E> {
        match self.reread.get().checked_sub(text.len()) {
            Some(left) => self.reread.set(left),
            None => {
                return Err(self.fault(Reason::TooCostly("values inside strings, or before their types")));
            }
        }
        self.read(text, seed).map_err(|_| E::custom("refused"))
    }

    /// Notes where in the message the first fault is, and what it is if serde found it.
    fn locate(&self, error: &serde_json::Error, text: &str) {
        let begin = (text.as_ptr() as usize)
            .checked_sub(self.text.as_ptr() as usize)
            .filter(|begin| begin + text.len() <= self.text.len());
        let mut fault = self.fault.borrow_mut();
        match fault.take() {
            Some(found) if found.offset().is_some() => *fault = Some(found),
            Some(found) => {
                let offset = begin.map(|begin| begin + offset_in(text, error.line(), error.column()));
                *fault = Some(DecodeError::new(found.reason().clone(), offset));
            }
            None => *fault = Some(DecodeError::from_json(error, text, begin)),
        }
    }

    /// Returns the fault that ended the reading.
    pub(super) fn take_fault(&self) -> DecodeError {
        let unknown = || DecodeError::new(Reason::NotJson("unreadable".to_owned()), None);
        self.fault.take().unwrap_or_else(unknown)
    }
}
