//! A short-lived buffer.

use super::output::ValueOutput;

/// The bytes that most values have at most.
const INLINE: usize = 256;

/// Bytes on the stack; longer ones are allocated.
#[derive(Debug)]
pub(super) struct Buffer {
    inline: [u8; INLINE],
    len: usize,
    /// Everything, once there is more than fits.
    long: Vec<u8>,
}

impl Buffer {
    pub(super) const fn new() -> Self {
        Self {
            inline: [0; INLINE],
            len: 0,
            long: Vec::new(),
        }
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        match self.long.is_empty() {
            true => &mut self.inline[..self.len],
            false => &mut self.long,
        }
    }
}

impl ValueOutput for Buffer {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.inline.get_mut(self.len..end) {
            Some(room) if self.long.is_empty() => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            _ => {
                if self.long.is_empty() {
                    self.long.extend_from_slice(&self.inline[..self.len]);
                }
                self.long.extend_from_slice(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_whatever_their_number() {
        for parts in [
            &[][..],
            &[1, 2],
            &[255, 1],
            &[256],
            &[256, 0, 1],
            &[257, 300, 1],
        ] {
            let mut buffer = Buffer::new();
            let mut expected = Vec::new();
            for (i, len) in parts.iter().enumerate() {
                let part = vec![i as u8; *len];
                buffer.push(&part);
                expected.extend(part);
            }
            assert_eq!(buffer.bytes(), expected, "{parts:?}");
        }
    }
}
