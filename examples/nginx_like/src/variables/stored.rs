//! The values that a session stores.

/// The values that a session stores.
#[derive(Debug, Default)]
pub(super) struct StoredValues {
    slots: Vec<Slot>,
    captures: Vec<Option<Box<[u8]>>>,
    has_assigned: bool,
}

/// What is stored of a variable: nothing yet, that it has no value, or its value.
type Slot = Option<Option<Box<[u8]>>>;

impl StoredValues {
    pub(super) fn get(&self, slot: usize) -> Option<&Option<Box<[u8]>>> {
        self.slots.get(slot)?.as_ref()
    }

    /// Stores a value in one of `slots` slots. The first one allocates them.
    pub(super) fn set(&mut self, slot: usize, slots: usize, value: Option<Box<[u8]>>) {
        if self.slots.is_empty() {
            self.slots.resize(slots, None);
        }
        if let Some(stored) = self.slots.get_mut(slot) {
            *stored = Some(value);
        }
    }

    /// What the group `number`, from 1, has captured.
    pub(super) fn capture(&self, number: u8) -> Option<&[u8]> {
        let index = usize::from(number).checked_sub(1)?;
        self.captures.get(index)?.as_deref()
    }

    pub(super) fn set_captures(&mut self, captures: Vec<Option<Box<[u8]>>>) {
        self.captures = captures;
    }

    /// Whether the `set` directives have to run: true once.
    pub(super) const fn start_assignments(&mut self) -> bool {
        !std::mem::replace(&mut self.has_assigned, true)
    }
}
