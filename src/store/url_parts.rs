//! The parts of a store URL (RFC 3986). An error names the invalid part and never quotes the user, the password or a value.

use std::{borrow::Cow, net::Ipv6Addr};

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// The maximum length of a host name, and of a label in it, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// The maximum length of a parameter's name in an error: more than any known name has.
const MAX_NAME_BYTES: usize = 40;

/// The parts of a URL, still percent-encoded except the user and the password.
pub(super) struct UrlParts<'url> {
    /// The scheme in lower case.
    pub scheme: String,
    /// The user. `None` if it is absent or empty.
    pub user: Option<String>,
    /// The password. `None` if it is absent or empty.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// The hosts with their ports.
    pub hosts: &'url str,
    /// The path without its first `/`.
    pub path: &'url str,
    query: &'url str,
}

impl<'url> UrlParts<'url> {
    /// Splits a URL with one of these schemes.
    ///
    /// # Errors
    /// Returns what is expected instead: `example` if the scheme is another one.
    pub(super) fn parse(text: &'url str, schemes: &[&str], example: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or(example)?;
        let scheme = scheme.to_ascii_lowercase();
        if !schemes.contains(&scheme.as_str()) {
            return Err(example.to_owned());
        }
        if rest.contains(char::is_control) {
            return Err(
                "no control characters (percent-encode those of a password, such as a line feed as %0A)".to_owned()
            );
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        check_reserved(authority, rest)?;
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        check_percent(credentials, " in the user or the password")?;
        check_percent(hosts, " in the host")?;
        check_percent(rest, " after the host")?;
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self {
            scheme,
            user: Some(decode(user, "user")?.into_owned()).filter(|user| !user.is_empty()),
            password: Some(Zeroizing::new(percent_decode_str(password).collect()))
                .filter(|bytes: &Zeroizing<Vec<u8>>| !bytes.is_empty()),
            hosts,
            path: path.strip_prefix('/').unwrap_or(path),
            query,
        })
    }

    /// Returns the parameters of the query.
    ///
    /// # Errors
    /// Returns what is expected instead if a parameter has no value, or is there twice.
    pub(super) fn parameters(&self) -> Result<Parameters, String> {
        let mut parameters = Parameters(Vec::new());
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("each parameter after `?` as name=value")?;
            let (name, value) = (decode(name, "name of each parameter")?, decode(value, "value of each parameter")?);
            if parameters.0.iter().any(|(other, _)| *other == name) {
                let noun = printable_name(&name).map(|name| format!("the parameter `{name}`"));
                return Err(format!("{} only once", noun.as_deref().unwrap_or("each parameter")));
            }
            parameters.0.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Ok(parameters)
    }
}

/// The parameters of a URL.
pub(super) struct Parameters(Vec<(String, Zeroizing<String>)>);

impl Parameters {
    /// Removes a parameter, and returns its value.
    pub(super) fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        let index = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(index).1)
    }

    /// Returns the names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Returns what is expected instead of a parameter that is not supported.
pub(super) fn unsupported_parameter(name: &str, advice: &str) -> String {
    printable_name(name)
        .map_or_else(|| "known parameters only".to_owned(), |name| format!("no parameter `{name}`: {advice}"))
}

/// Returns the name of a parameter, unless it does not look like one: it may be the rest of a password.
fn printable_name(name: &str) -> Option<&str> {
    let is_name = name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || "_-.".contains(character));
    is_name.then_some(name)
}

/// Decodes a part of a URL.
///
/// # Errors
/// Returns what is expected instead if the part is not UTF-8.
pub(super) fn decode<'part>(part: &'part str, noun: &str) -> Result<Cow<'part, str>, String> {
    percent_decode_str(part).decode_utf8().map_err(|_| format!("the {noun} in UTF-8, percent-encoded"))
}

/// Returns the host and the port of `host`, `host:port`, `[IPv6 address]` or `[IPv6 address]:port`. The host is decoded, and
/// without brackets. It may be a path that starts with `/`.
///
/// # Errors
/// Returns what is expected instead.
pub(super) fn host_and_port(text: &str, default_port: u16) -> Result<(String, u16), String> {
    const IN_BRACKETS: &str = "an IPv6 address in brackets, such as [2001:db8::1]:5432";
    let Some(rest) = text.strip_prefix('[') else {
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        if port.contains(':') {
            return Err(IN_BRACKETS.to_owned());
        }
        return Ok((host_name(host)?, parse_port(port, default_port)?));
    };
    let (address, port) = rest.split_once(']').ok_or(IN_BRACKETS)?;
    let address = decode(address, "host")?.into_owned();
    let without_zone = address.split('%').next().unwrap_or_default();
    if without_zone.parse::<Ipv6Addr>().is_err() {
        return Err(IN_BRACKETS.to_owned());
    }
    let port = if port.is_empty() { port } else { port.strip_prefix(':').ok_or(IN_BRACKETS)? };
    Ok((address, parse_port(port, default_port)?))
}

/// Returns a port, or the default if the text is empty.
///
/// # Errors
/// Returns what is expected instead.
pub(super) fn parse_port(text: &str, default_port: u16) -> Result<u16, String> {
    if text.is_empty() {
        return Ok(default_port);
    }
    let port = text.parse().ok().filter(|port| *port != 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
    port.ok_or_else(|| "a port between 1 and 65535 after the host, as in user:password@host:port".to_owned())
}

/// Returns a decoded host name, IPv4 address or path.
fn host_name(text: &str) -> Result<String, String> {
    let host = decode(text, "host")?;
    if host.is_empty() {
        return Err("a host, as in //user:password@host".to_owned());
    }
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let name = host.strip_suffix('.').unwrap_or(&host);
    let is_name = name.len() <= MAX_HOST_BYTES && name.split('.').all(is_label);
    if !host.starts_with('/') && !is_name {
        return Err("a host name of ASCII letters, digits, `-`, `_` and `.`, or an address".to_owned());
    }
    Ok(host.into_owned())
}

/// Checks that `/`, `?`, `#` and `@` are where a URL has them. In a password they must be percent-encoded.
fn check_reserved(authority: &str, rest: &str) -> Result<(), String> {
    let encoded = |reserved: char| format!("%{:02X}", u32::from(reserved));
    let has_credentials = authority.contains('@');
    if let Some(first) = rest.chars().next().filter(|_| rest.contains('@') && !authority.is_empty()) {
        return Err(if has_credentials {
            "`@` only before the host: percent-encode it in the user, the password and after the host, as %40"
                .to_owned()
        } else {
            format!("`{first}` in the user or the password percent-encoded, as {}", encoded(first))
        });
    }
    if authority.matches('@').count() > 1 {
        return Err("`@` in the user or the password percent-encoded, as %40".to_owned());
    }
    match rest.split_once('#') {
        Some((_, "insecure")) => {
            Err("no `#insecure`: TLS always verifies the certificate (trust a private CA by its file)".to_owned())
        }
        Some(_) => Err("no `#`: percent-encode it in a password or a name, as %23".to_owned()),
        None => Ok(()),
    }
}

/// Checks that each `%` begins an encoded character other than NUL, which no store accepts.
fn check_percent(part: &str, place: &str) -> Result<(), String> {
    for encoded in part.split('%').skip(1) {
        let digits = encoded.as_bytes().get(..2).unwrap_or_default();
        if digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("`%`{place} percent-encoded, as %25"));
        }
        if digits == b"00" {
            return Err(format!("no %00{place}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        UrlParts::parse(url, &["store"], "store://…").err().expect("an invalid URL")
    }

    #[test]
    fn reserved_characters_of_a_password_must_be_encoded() {
        for (character, encoded) in [('@', "%40"), ('/', "%2F"), ('?', "%3F"), ('#', "%23"), ('%', "%25")] {
            let raw = error(&format!("store://ada:hun{character}ter2@localhost/x"));

            assert_eq!(raw, format!("`{character}` in the user or the password percent-encoded, as {encoded}"));
            let url = format!("store://ada:hun{encoded}ter2@localhost/x");
            let parts = UrlParts::parse(&url, &["store"], "").expect("a URL");
            let password = parts.password.expect("a password");
            assert_eq!(*password, format!("hun{character}ter2").into_bytes());
            assert_eq!((parts.user.as_deref(), parts.hosts, parts.path), (Some("ada"), "localhost", "x"));
        }
    }

    #[test]
    fn several_reserved_characters_are_all_explained() {
        assert!(error("store://ada:a@b/c@localhost/x").contains("%40"));
        assert!(error("store://ada:a/b?c#d@localhost/x").contains("%2F"));
        assert!(error("store://ada:secret@localhost/x#y").contains("%23"));
        assert!(error("store://ada:secret@localhost/x?y=%zz").contains("`%` after the host"));
        assert!(error("store://ada:%00@localhost").contains("no %00"));
        assert!(error("store://ada:a\nb@localhost").contains("control characters"));
    }

    #[test]
    fn scheme_in_any_case_is_accepted_and_another_one_is_not() {
        assert!(UrlParts::parse("STORE://localhost", &["store"], "").is_ok_and(|parts| parts.scheme == "store"));
        for text in ["x", "", "other://localhost", "store:localhost", "store:/localhost", "jdbc:store://localhost"] {
            assert_eq!(error(text), "store://…");
        }
    }

    #[test]
    fn hosts_and_ports_are_checked() {
        for (text, host, port) in [
            ("db.example.org", "db.example.org", 1),
            ("my_db.:65535", "my_db.", 65535),
            ("localhost:", "localhost", 1),
            ("[::1]", "::1", 1),
            ("[fe80::1%25eth0]:2", "fe80::1%eth0", 2),
            ("%2Frun%2Fstore", "/run/store", 1),
        ] {
            assert_eq!(host_and_port(text, 1), Ok((host.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            ":1",
            "a:0",
            "a:65536",
            "a:+1",
            "a:x",
            "::1",
            "[::1",
            "[a]",
            "[::1]2",
            "a b",
            "bücher.example",
            "a..b",
            "%20",
            "a%40b",
            ".",
        ] {
            assert!(host_and_port(text, 1).is_err(), "{text}");
        }
    }

    #[test]
    fn parameters_have_values_and_are_there_once() {
        let parameters = |query: &str| {
            UrlParts::parse(&format!("store://localhost?{query}"), &["store"], "").and_then(|parts| parts.parameters())
        };

        let mut valid = parameters("a=1&&b=%20=").expect("parameters");
        assert_eq!(valid.take("b").as_ref().map(|value| value.as_str()), Some(" ="));
        assert_eq!(valid.iter().collect::<Vec<_>>(), [("a", "1")]);
        assert_eq!(parameters("a=1&a=2").err().as_deref(), Some("the parameter `a` only once"));
        assert_eq!(parameters("hunter2").err().as_deref(), Some("each parameter after `?` as name=value"));
        assert!(parameters("a=%ff").is_err());
        assert_eq!(unsupported_parameter("hunter@2", ""), "known parameters only");
    }
}
