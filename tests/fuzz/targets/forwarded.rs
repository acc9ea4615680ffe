//! `X-Forwarded-For`, with one or more header lines: each line of the input is one.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use postern::http::TrustedProxies;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const UNTRUSTED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const APPENDED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(forged) = headers(input.split(|byte| *byte == b'\n')) else { return };
    let trusted: TrustedProxies = "10.0.0.0/8".parse().expect("a network");

    assert_eq!(trusted.resolve(UNTRUSTED, &forged).address, UNTRUSTED);
    assert_eq!(TrustedProxies::default().resolve(PROXY, &forged).address, PROXY);
    let client = trusted.resolve(PROXY, &forged).address;
    assert!(client == PROXY || has_entry(input, client), "{client}");

    let mut forwarded = forged;
    forwarded.append(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
    assert_eq!(trusted.resolve(PROXY, &forwarded).address, APPENDED);
});

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

fn headers<'line>(lines: impl Iterator<Item = &'line [u8]>) -> Option<HeaderMap> {
    lines.map(|line| Some((X_FORWARDED_FOR, HeaderValue::from_bytes(line).ok()?))).collect()
}

/// Returns whether one of the entries is this address, in any spelling.
fn has_entry(input: &[u8], address: IpAddr) -> bool {
    let entries = input.split(|byte| b"\n,".contains(byte)).filter_map(|entry| str::from_utf8(entry).ok());
    let mut spellings = entries.flat_map(|entry| {
        let entry = entry.trim_matches([' ', '\t']);
        let host = entry.rsplit_once(':').map_or(entry, |(host, _)| host);
        [entry, host].map(|text| text.trim_start_matches('[').trim_end_matches(']').to_owned())
    });
    spellings.any(|text| text.parse::<IpAddr>().is_ok_and(|entry| entry.to_canonical() == address))
}
