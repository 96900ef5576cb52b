//! The extensions that tell where a connection should go.

use std::ops::Range;

use super::reader::{Malformed, Reader};
use super::version::TlsVersion;

// Types of extensions, as IANA assigns them.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// The type of a host name within the extension `server_name`; no other one was ever assigned.
const HOST_NAME: u8 = 0;

/// The longest name of a host.
const MAX_NAME: usize = 255;

/// What was found, as places in the message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Extensions {
    pub(super) server_name: Option<Range<usize>>,
    /// Names with their lengths.
    pub(super) alpn: Range<usize>,
    /// The highest one.
    pub(super) version: Option<TlsVersion>,
}

impl Extensions {
    /// Reads the list. Unknown extensions are passed over, as are the reserved ones (GREASE).
    pub(super) fn read(&mut self, mut list: Reader<'_>) -> Result<(), Malformed> {
        let mut seen = [false; 3];
        while !list.is_empty() {
            let start = list;
            let kind = list.u16("an extension is cut off")?;
            let body = list.vector16("an extension is cut off")?;
            let (index, read): (_, fn(&mut Self, Reader<'_>) -> _) = match kind {
                SERVER_NAME => (0, Self::read_server_name),
                ALPN => (1, Self::read_alpn),
                SUPPORTED_VERSIONS => (2, Self::read_versions),
                _ => continue,
            };
            // One reader would take the first, another the last.
            start.check(!seen[index], "an extension is there twice")?;
            seen[index] = true;
            read(self, body)?;
        }
        Ok(())
    }

    fn read_server_name(&mut self, mut body: Reader<'_>) -> Result<(), Malformed> {
        let mut names = body.vector16("the list of server names is cut off")?;
        body.check(
            body.is_empty(),
            "something follows the list of server names",
        )?;
        names.check(!names.is_empty(), "the list of server names is empty")?;
        while !names.is_empty() {
            let start = names;
            let kind = names.u8("a server name is cut off")?;
            let name = names.vector16("a server name is cut off")?;
            if kind != HOST_NAME {
                continue;
            }
            start.check(self.server_name.is_none(), "there are two host names")?;
            name.check(is_host(name.bytes()), "the server name is no host name")?;
            self.server_name = Some(name.range());
        }
        Ok(())
    }

    fn read_alpn(&mut self, mut body: Reader<'_>) -> Result<(), Malformed> {
        let list = body.vector16("the list of protocols is cut off")?;
        body.check(body.is_empty(), "something follows the list of protocols")?;
        list.check(!list.is_empty(), "the list of protocols is empty")?;
        let mut names = list;
        while !names.is_empty() {
            let name = names.vector8("a protocol name is cut off")?;
            name.check(!name.is_empty(), "a protocol name is empty")?;
        }
        self.alpn = list.range();
        Ok(())
    }

    fn read_versions(&mut self, mut body: Reader<'_>) -> Result<(), Malformed> {
        let mut list = body.vector8("the list of versions is cut off")?;
        body.check(body.is_empty(), "something follows the list of versions")?;
        list.check(!list.is_empty(), "the list of versions is empty")?;
        while !list.is_empty() {
            let version = list.u16("a version is cut off")?;
            // Others are reserved or were drafts.
            if version >> 8 == 3 {
                self.version = self.version.max(Some(TlsVersion::new(version)));
            }
        }
        Ok(())
    }
}

/// What nginx lets pass (`ngx_stream_validate_host`), and nothing that would garble a log.
fn is_host(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_graphic() && *byte != b'/';
    let labels = name
        .strip_suffix(b".")
        .unwrap_or(name)
        .split(|&byte| byte == b'.');
    name.len() <= MAX_NAME
        && name.iter().all(allowed)
        && labels.into_iter().all(|label| !label.is_empty())
}
