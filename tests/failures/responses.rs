//! The requests that are made while a store fails, and the responses to them.

use std::time::{Duration, Instant};

use super::Service;
use crate::support::{PASSWORD, Response, Server, TestUser};

/// The statuses of the responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// To a signed-in request, to `/verify/` and to `/introspect/`, which must agree.
    pub signed_in: u16,
    pub password_change: u16,
    /// To the right password, and to a wrong one.
    pub logins: [u16; 2],
    /// To a new email, and to a taken one.
    pub sign_ups: [u16; 2],
    pub refresh: u16,
    pub logout: u16,
}

/// The responses to all requests.
pub struct Observed {
    pub statuses: Statuses,
    /// The longest response time.
    pub longest: Duration,
}

/// The users who make the requests.
pub struct People {
    pub ada: TestUser,
    changing: TestUser,
    leaving: TestUser,
}

impl People {
    pub async fn sign_up(service: &Server) -> Self {
        let signed_up = async |name: &str| service.signed_up(&format!("{name}@example.org")).await;
        Self { ada: signed_up("ada").await, changing: signed_up("changing").await, leaving: signed_up("leaving").await }
    }

    /// Makes all requests at once.
    pub async fn try_everything(&self, service: &Service) -> Observed {
        let Self { ada, changing, leaving } = self;
        let signed_in = async { tokio::join!(timed(ada.profile()), timed(ada.verify()), timed(ada.introspected())) };
        let logins = async {
            tokio::join!(
                timed(service.log_in(&ada.email, PASSWORD)),
                timed(service.log_in(&leaving.email, "wrong_password"))
            )
        };
        let sign_ups =
            async { tokio::join!(timed(service.sign_up("new@example.org")), timed(service.sign_up(&ada.email))) };
        let others = async {
            tokio::join!(
                timed(changing.change_password(PASSWORD, "new_password")),
                timed(ada.refresh()),
                timed(leaving.log_out())
            )
        };
        let ((profile, verify, introspect), (right, wrong), (new, taken), (change, refresh, logout)) =
            tokio::join!(signed_in, logins, sign_ups, others);
        assert_eq!(verify.0, profile.0);
        // Introspection of an ended session is no error.
        assert_eq!(introspect.0, if profile.0 == 401 { 200 } else { profile.0 });
        let all = [profile, verify, introspect, right, wrong, new, taken, change, refresh, logout];
        let longest = all.iter().map(|(_, took)| *took).max().expect("responses");
        let statuses = Statuses {
            signed_in: profile.0,
            password_change: change.0,
            logins: [right.0, wrong.0],
            sign_ups: [new.0, taken.0],
            refresh: refresh.0,
            logout: logout.0,
        };
        Observed { statuses, longest }
    }
}

/// Returns the status of a response and its time. A 503 must have `Retry-After`, and a 500 must not.
async fn timed(response: impl Future<Output = Response>) -> (u16, Duration) {
    let begun = Instant::now();
    let response = response.await;
    if response.status == 503 {
        assert_eq!(response.text("retry-after"), "1");
        assert!(response.body.windows(13).any(|part| part == br#""unavailable""#), "{response:?}");
    }
    assert!(response.status != 500 || response.text("retry-after").is_empty());
    (response.status, begun.elapsed())
}
