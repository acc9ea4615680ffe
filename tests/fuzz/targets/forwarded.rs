//! `X-Forwarded-For`, given once or several times: a line of the input for each.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use postern::http::TrustedProxies;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const ADDED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(invented) = headers(input.split(|byte| *byte == b'\n')) else { return };
    let trusted: TrustedProxies = "10.0.0.0/8".parse().expect("a network");

    assert_eq!(trusted.client(STRANGER, &invented), STRANGER);
    assert_eq!(TrustedProxies::default().client(PROXY, &invented), PROXY);
    let client = trusted.client(PROXY, &invented);
    assert!(client == PROXY || is_written(input, client), "{client}");

    let mut passed_on = invented;
    passed_on.append(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
    assert_eq!(trusted.client(PROXY, &passed_on), ADDED);
});

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

fn headers<'line>(lines: impl Iterator<Item = &'line [u8]>) -> Option<HeaderMap> {
    lines.map(|line| Some((X_FORWARDED_FOR, HeaderValue::from_bytes(line).ok()?))).collect()
}

/// Whether one of the entries is this address, in whatever spelling.
fn is_written(input: &[u8], address: IpAddr) -> bool {
    let entries = input.split(|byte| b"\n,".contains(byte)).filter_map(|entry| str::from_utf8(entry).ok());
    let mut spellings = entries.flat_map(|entry| {
        let entry = entry.trim_matches([' ', '\t']);
        let host = entry.rsplit_once(':').map_or(entry, |(host, _)| host);
        [entry, host].map(|text| text.trim_start_matches('[').trim_end_matches(']').to_owned())
    });
    spellings.any(|text| text.parse::<IpAddr>().is_ok_and(|written| written.to_canonical() == address))
}
