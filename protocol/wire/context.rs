//! What all parts of one reading share: the limits, what is left of them, and the first fault.

use std::cell::{Cell, RefCell};

use serde::de::{DeserializeSeed, Error};

use super::error::offset_in;
use super::{DecodeError, Reason};
use crate::value::Limits;

/// How often, on the whole, text may be read again: a value that comes before its type, and a value nested as a
/// JSON string, are read twice, and inside each other more often. A guess: eight levels of one, any depth of the
/// other (whose text doubles with each level).
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

    /// Keeps the fault, and gives serde an error to carry out. The place is known once it arrives there.
    pub(super) fn fault<E: Error>(&self, reason: Reason) -> E {
        let mut fault = self.fault.borrow_mut();
        fault.get_or_insert(DecodeError::new(reason, None));
        E::custom("refused")
    }

    /// Accounts for so many values.
    pub(super) fn count<E: Error>(&self, values: usize) -> Result<(), E> {
        match self.values.get().checked_sub(values) {
            Some(left) => {
                self.values.set(left);
                Ok(())
            }
            None => Err(self.fault(Reason::TooMany(self.limits.values))),
        }
    }

    /// Refuses what nests too deep.
    pub(super) fn enter<E: Error>(&self, depth: usize) -> Result<(), E> {
        self.count(1)?;
        if depth < self.limits.depth { Ok(()) } else { Err(self.fault(Reason::TooDeep(self.limits.depth))) }
    }

    /// Remembers that there is a reference.
    pub(super) fn refer(&self) {
        self.referred.set(true);
    }

    /// Whether there was a reference.
    pub(super) const fn referred(&self) -> bool {
        self.referred.get()
    }

    /// The length of the message.
    pub(super) const fn length(&self) -> usize {
        self.text.len()
    }

    /// Reads `text`, which is the message or stands in it.
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

    /// Reads `text`, which stands in the message, once more.
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

    /// Notes where in the message the first fault showed, and which it was if serde found it.
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

    /// The fault that ended the reading.
    pub(super) fn take_fault(&self) -> DecodeError {
        let unknown = || DecodeError::new(Reason::NotJson("unreadable".to_owned()), None);
        self.fault.take().unwrap_or_else(unknown)
    }
}
