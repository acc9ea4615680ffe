//! Where the admin API is served, and for whom.

use std::{str::FromStr, time::Duration};

use super::networks::Networks;

/// The listener that serves the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdminListener {
    /// The operations listener.
    #[default]
    Operations,
    /// The public listener.
    Public,
    /// None.
    Off,
}

impl FromStr for AdminListener {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "operations" => Ok(Self::Operations),
            "public" => Ok(Self::Public),
            "off" => Ok(Self::Off),
            _ => Err("operations, public or off".to_owned()),
        }
    }
}

/// Who may call the admin API of a listener.
#[derive(Debug, Clone)]
pub struct AdminAccess {
    /// The networks of the clients. Others get the response of an unknown path. `None`: every network.
    pub networks: Option<Networks>,
    /// How long after the last authentication with the password an administrator may call it (default 1 h, 1 min to 24 h).
    pub max_authentication_age: Duration,
}

impl Default for AdminAccess {
    fn default() -> Self {
        Self { networks: None, max_authentication_age: Duration::from_hours(1) }
    }
}
