//! What people try while a store fails, and what they are answered.

use std::time::{Duration, Instant};

use super::Service;
use crate::support::{PASSWORD, Response, Server, TestUser};

/// The statuses that requests get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// A signed-in request, `/verify/` and `/introspect/`, which are answered alike.
    pub signed_in: u16,
    pub password_change: u16,
    /// With the right password, and with a wrong one.
    pub logins: [u16; 2],
    /// With a new email, and with a taken one.
    pub sign_ups: [u16; 2],
    pub refresh: u16,
    pub logout: u16,
}

/// What came of trying everything.
pub struct Tried {
    pub answers: Answers,
    /// The longest time that an answer took.
    pub longest: Duration,
}

/// Those who have accounts, each for one purpose.
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

    /// All at once.
    pub async fn try_everything(&self, service: &Service) -> Tried {
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
        // What a session that is gone gets there is no refusal.
        assert_eq!(introspect.0, if profile.0 == 401 { 200 } else { profile.0 });
        let all = [profile, verify, introspect, right, wrong, new, taken, change, refresh, logout];
        let longest = all.iter().map(|(_, took)| *took).max().expect("answers");
        let answers = Answers {
            signed_in: profile.0,
            password_change: change.0,
            logins: [right.0, wrong.0],
            sign_ups: [new.0, taken.0],
            refresh: refresh.0,
            logout: logout.0,
        };
        Tried { answers, longest }
    }
}

/// The status of an answer, and how long it took. One that a store is to blame for says when to come again.
async fn timed(answer: impl Future<Output = Response>) -> (u16, Duration) {
    let begun = Instant::now();
    let answer = answer.await;
    if answer.status == 503 {
        assert_eq!(answer.text("retry-after"), "1");
        assert!(answer.body.windows(13).any(|part| part == br#""unavailable""#), "{answer:?}");
    }
    (answer.status, begun.elapsed())
}
