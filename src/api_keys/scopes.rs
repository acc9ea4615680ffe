//! Scopes: what an API key permits.

use std::{fmt, str::FromStr};

/// What an API key permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To introspect tokens.
    Introspect,
    /// To read through the admin API.
    AdminRead,
    /// To read and write through the admin API, except administrators, who can only be read.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Introspect, Self::AdminRead, Self::Admin];

    /// Returns the name, as files of API keys and challenges have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Introspect => "introspect",
            Self::AdminRead => "admin:read",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Introspect => 1,
            Self::AdminRead => 1 << 1,
            Self::Admin => 1 << 2,
        }
    }
}

/// The scopes of an API key: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Returns whether these scopes permit what `scope` does: [`Scope::Admin`] includes [`Scope::AdminRead`].
    #[must_use]
    pub fn permit(self, scope: Scope) -> bool {
        self.has(scope) || (scope == Scope::AdminRead && self.has(Scope::Admin))
    }

    /// Returns the names of the scopes, as the file has them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::name).collect()
    }

    fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

/// The scopes of a key whose line names none.
impl Default for Scopes {
    fn default() -> Self {
        Self(Scope::Introspect.bit())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.names().join(","))
    }
}

/// Why a list of scopes is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidScopes {
    /// A scope is unknown or empty.
    Unknown,
    /// A scope is repeated.
    Repeated,
}

impl FromStr for Scopes {
    type Err = InvalidScopes;

    fn from_str(text: &str) -> Result<Self, InvalidScopes> {
        let mut scopes = Self(0);
        for name in text.split(',') {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name).ok_or(InvalidScopes::Unknown)?;
            if scopes.has(scope) {
                return Err(InvalidScopes::Repeated);
            }
            scopes.0 |= scope.bit();
        }
        Ok(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(text: &str) -> Vec<&'static str> {
        let scopes: Scopes = text.parse().expect("valid scopes");
        Scope::ALL.into_iter().filter(|scope| scopes.permit(*scope)).map(Scope::name).collect()
    }

    #[test]
    fn admin_includes_reading_and_no_introspection() {
        assert_eq!(permitted("introspect"), ["introspect"]);
        assert_eq!(permitted("admin:read"), ["admin:read"]);
        assert_eq!(permitted("admin"), ["admin:read", "admin"]);
        assert_eq!(permitted("admin:read,introspect"), ["introspect", "admin:read"]);
        assert_eq!(permitted("admin,admin:read"), ["admin:read", "admin"]);
    }

    #[test]
    fn unknown_and_repeated_scopes_are_rejected() {
        for text in ["", "Admin", "admin:write", "admin,", ",admin", "admin,,introspect", "admin;introspect", "*"] {
            assert_eq!(text.parse::<Scopes>(), Err(InvalidScopes::Unknown), "{text:?}");
        }
        assert_eq!("admin,introspect,admin".parse::<Scopes>(), Err(InvalidScopes::Repeated));
    }

    #[test]
    fn names_are_those_of_the_file() {
        let scopes: Scopes = "admin,introspect".parse().expect("valid scopes");

        assert_eq!(scopes.to_string(), "introspect,admin");
        assert_eq!(Scopes::default().to_string(), "introspect");
    }
}
