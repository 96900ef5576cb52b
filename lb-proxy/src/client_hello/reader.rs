//! Reads a message from front to back and knows the offset of each part.

use std::ops::Range;

/// A rule that a message breaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Malformed {
    /// The offset in the message.
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// The unread rest of a part of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageReader<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> MessageReader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self {
            message,
            at: 0,
            end: message.len(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// The range of the rest in the message.
    pub(super) fn range(&self) -> Range<usize> {
        self.at..self.end
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.message[self.range()]
    }

    /// Returns an error at this offset unless `rule` holds.
    pub(super) fn check(&self, rule: bool, what: &'static str) -> Result<(), Malformed> {
        if rule {
            return Ok(());
        }
        Err(Malformed { at: self.at, what })
    }

    /// Takes the next `len` bytes.
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<Self, Malformed> {
        self.check(len <= self.len(), what)?;
        let end = self.at + len;
        let part = Self { end, ..*self };
        self.at = end;
        Ok(part)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let byte = self.take(1, what)?;
        Ok(byte.bytes()[0])
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        let high = self.u8(what)?;
        let low = self.u8(what)?;
        Ok(u16::from_be_bytes([high, low]))
    }

    /// Takes a part behind its length in one byte.
    pub(super) fn vector8(&mut self, what: &'static str) -> Result<Self, Malformed> {
        let len = self.u8(what)?;
        self.take(len.into(), what)
    }

    /// Takes a part behind its length in two bytes.
    pub(super) fn vector16(&mut self, what: &'static str) -> Result<Self, Malformed> {
        let len = self.u16(what)?;
        self.take(len.into(), what)
    }
}
