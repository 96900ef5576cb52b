//! Parses the extensions that routing needs: server name, ALPN and versions.

use std::ops::Range;

use super::reader::{Malformed, MessageReader};
use super::version::TlsVersion;

// Types of extensions, as IANA assigns them.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// The type of a host name within the extension `server_name`. No other type was ever assigned.
const HOST_NAME: u8 = 0;

/// The extensions of a message, as ranges of its bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Extensions {
    pub(super) server_name: Option<Range<usize>>,
    /// Protocol names, each behind its length.
    pub(super) alpn: Range<usize>,
    /// The highest version offered.
    pub(super) version: Option<TlsVersion>,
}

impl Extensions {
    /// Parses the list. Skips unknown and reserved (GREASE) extensions.
    pub(super) fn parse(&mut self, mut list: MessageReader<'_>) -> Result<(), Malformed> {
        let mut seen = [false; 3];
        while !list.is_empty() {
            let start = list;
            let kind = list.u16("an extension is cut off")?;
            let body = list.vector16("an extension is cut off")?;
            let (index, parse): (_, fn(&mut Self, MessageReader<'_>) -> _) = match kind {
                SERVER_NAME => (0, Self::parse_server_name),
                ALPN => (1, Self::parse_alpn),
                SUPPORTED_VERSIONS => (2, Self::parse_versions),
                _ => continue,
            };
            // TLS servers differ in whether they use the first or the last of two.
            start.check(!seen[index], "an extension occurs twice")?;
            seen[index] = true;
            parse(self, body)?;
        }
        Ok(())
    }

    fn parse_server_name(&mut self, mut body: MessageReader<'_>) -> Result<(), Malformed> {
        let mut names = body.vector16("the list of server names is cut off")?;
        body.check(body.is_empty(), "bytes follow the list of server names")?;
        names.check(!names.is_empty(), "the list of server names is empty")?;
        while !names.is_empty() {
            let start = names;
            let kind = names.u8("a server name is cut off")?;
            let name = names.vector16("a server name is cut off")?;
            if kind != HOST_NAME {
                continue;
            }
            start.check(self.server_name.is_none(), "there are two host names")?;
            self.server_name = Some(name.range());
        }
        Ok(())
    }

    fn parse_alpn(&mut self, mut body: MessageReader<'_>) -> Result<(), Malformed> {
        let list = body.vector16("the list of protocols is cut off")?;
        body.check(body.is_empty(), "bytes follow the list of protocols")?;
        list.check(!list.is_empty(), "the list of protocols is empty")?;
        let mut names = list;
        while !names.is_empty() {
            let name = names.vector8("a protocol name is cut off")?;
            name.check(!name.is_empty(), "a protocol name is empty")?;
        }
        self.alpn = list.range();
        Ok(())
    }

    fn parse_versions(&mut self, mut body: MessageReader<'_>) -> Result<(), Malformed> {
        let mut list = body.vector8("the list of versions is cut off")?;
        body.check(body.is_empty(), "bytes follow the list of versions")?;
        list.check(!list.is_empty(), "the list of versions is empty")?;
        while !list.is_empty() {
            let version = list.u16("a version is cut off")?;
            // All other values are reserved or were drafts.
            if version >> 8 == 3 {
                self.version = self.version.max(Some(TlsVersion::new(version)));
            }
        }
        Ok(())
    }
}
