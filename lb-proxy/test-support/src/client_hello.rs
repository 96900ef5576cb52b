//! ClientHellos, written by hand: the same bytes in every run.

/// What a ClientHello says.
#[derive(Clone, Copy, Default)]
pub struct ClientHello<'a> {
    /// The server name. None if it is empty.
    pub name: &'a str,
    /// The protocols of ALPN.
    pub alpn: &'a [&'a str],
    /// Whether it offers TLS 1.3, else 1.2.
    pub is_tls13: bool,
    /// The length of all bytes, filled up by a padding extension. As short as possible if it is 0.
    pub len: usize,
}

impl ClientHello<'_> {
    /// Its bytes, in one record.
    pub fn bytes(&self) -> Vec<u8> {
        let unpadded = self.with_padding(None);
        match self.len.checked_sub(unpadded.len() + 4) {
            Some(padding) => self.with_padding(Some(padding)),
            None => unpadded,
        }
    }

    fn with_padding(&self, padding: Option<usize>) -> Vec<u8> {
        let mut extensions = Vec::new();
        if let Some(padding) = padding {
            extensions.extend(extension(21, &vec![0; padding]));
        }
        if !self.name.is_empty() {
            let entry = [vec![0], prefixed(self.name.as_bytes(), 2)].concat();
            extensions.extend(extension(0, &prefixed(&entry, 2)));
        }
        if !self.alpn.is_empty() {
            let names = self.alpn.iter().map(|name| prefixed(name.as_bytes(), 1));
            let names: Vec<_> = names.collect();
            extensions.extend(extension(16, &prefixed(&names.concat(), 2)));
        }
        if self.is_tls13 {
            extensions.extend(extension(43, &prefixed(&[3, 4], 1)));
        }
        let body = [
            vec![3, 3],
            vec![7; 32],
            vec![0],
            prefixed(&[0x13, 0x01], 2),
            vec![1, 0],
            prefixed(&extensions, 2),
        ];
        let message = [vec![1], prefixed(&body.concat(), 3)].concat();
        [vec![0x16, 3, 1], prefixed(&message, 2)].concat()
    }
}

/// The ClientHello of a client of TLS 1.2 that asks for `name`.
pub fn asking_for(name: &str) -> Vec<u8> {
    let hello = ClientHello {
        name,
        ..ClientHello::default()
    };
    hello.bytes()
}

fn extension(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![0, kind], prefixed(bytes, 2)].concat()
}

/// `bytes` behind their length, a number of `width` bytes.
fn prefixed(bytes: &[u8], width: usize) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[4 - width..], bytes].concat()
}
