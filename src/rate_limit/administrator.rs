//! The work of administrators.

use std::net::IpAddr;

use crate::passwords::WorkPermit;

/// Returns the permit for the work of an authenticated administrator or API client, which is not limited. It waits in the queue
/// of its address, so that it takes no turn of other addresses.
#[must_use]
pub fn administrator_permit(client: IpAddr) -> WorkPermit {
    WorkPermit::for_client(client)
}
