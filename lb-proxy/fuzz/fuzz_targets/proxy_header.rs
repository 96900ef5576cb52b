//! Parses arbitrary bytes as a PROXY header. The first byte sets how much of the rest has arrived so far.
#![no_main]

use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{DEFAULT_LIMIT, ProxyHeader, Tlv, write_v1, write_v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&split, stream)) = input.split_first() else {
        return;
    };
    let split = stream.len() * usize::from(split) / 256;
    let whole = ProxyHeader::parse(stream, DEFAULT_LIMIT);
    match ProxyHeader::parse(&stream[..split], DEFAULT_LIMIT) {
        Ok(ParseStatus::Incomplete { at_least }) => {
            assert!(at_least > 0);
            if let Ok(ParseStatus::Complete(header)) = whole {
                assert!(split + at_least <= header.len);
            }
        }
        decided => assert_eq!(decided, whole),
    }
    let header = match whole {
        Ok(ParseStatus::Complete(header)) => header,
        Ok(ParseStatus::Incomplete { .. }) => return,
        Err(error) => return assert!(error.offset <= stream.len()),
    };
    assert!(header.len <= stream.len());
    let _ = (header.authority(), header.netns());
    assert_eq!(header.ssl().is_some(), header.tlv(Tlv::SSL).is_some());
    let _ = header
        .ssl()
        .map(|ssl| (ssl.is_verified(), ssl.tlvs().count()));

    // A written header is read back unchanged.
    let mut line = Vec::new();
    write_v1(header.addresses, &mut line);
    let again = ProxyHeader::parse(&line, DEFAULT_LIMIT).expect("we wrote it");
    let addresses = again.complete().expect("we wrote all of it").addresses;
    let mut written = Vec::new();
    write_v2(addresses, header.tlvs(), true, &mut written).expect("it was accepted");
    let again = ProxyHeader::parse(&written, usize::MAX).expect("we wrote it");
    let again = again.complete().expect("we wrote all of it");
    assert_eq!(again.addresses, addresses);
    // Without addresses it is a LOCAL header, and receivers ignore its TLVs.
    if addresses.is_some() {
        let is_forwarded = |tlv: &Tlv<'_>| tlv.kind != Tlv::CRC32C;
        assert!(
            again
                .tlvs()
                .filter(is_forwarded)
                .eq(header.tlvs().filter(is_forwarded))
        );
    }
});
