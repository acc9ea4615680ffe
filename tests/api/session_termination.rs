//! The table of docs/sessions.md of actions that end sessions, a test for each cell, also after a rollback of the session store
//! and after a crash behind the deciding write.

use std::time::Duration;

use postern::{accounts::UserRef, passwords::Password, store::DeletionMode};
use serde_json::json;

use super::Service;
use crate::session_rollback::SessionRollback as _;
use crate::support::{Fault, PASSWORD, Settings, TestUser, admin_call, time, with_status};

const NEW: &str = "new_password";

/// A user with two sessions, which is the limit, and another user.
struct People {
    service: Service,
    this: TestUser,
    other: TestUser,
    grace: TestUser,
}

impl People {
    async fn meet() -> Self {
        let service = Service::start_with(Settings { max_sessions: 2, ..Settings::default() }).await;
        let this = service.signed_up("ada@example.org").await;
        let other = this.second_session().await;
        let grace = service.signed_up("grace@example.org").await;
        Self { service, this, other, grace }
    }

    /// An action that ends sessions, made by this session or to it.
    async fn event(&self, event: Event) {
        let (this, user_admin) = (&self.this, self.service.user_admin());
        let (who, time) = (UserRef::Email(this.email.parse().expect("an address")), time());
        match event {
            Event::Logout => drop(this.log_out().await.expect(200)),
            Event::EndOne => assert_eq!(self.other.end_session(&this.session_id().await).await.status, 204),
            Event::OneTooMany => drop(this.second_session().await),
            Event::RetiredToken => self.steal(Duration::ZERO).await,
            Event::ReplacedToken => self.steal(Duration::from_secs(12)).await,
            Event::PasswordChange => drop(this.change_password(PASSWORD, NEW).await.expect(200)),
            Event::PasswordAndSessionsChange => {
                drop(this.change_password_and_sessions(PASSWORD, NEW).await.expect(200));
            }
            Event::LogoutEverywhere => drop(this.log_out_everywhere().await.expect(200)),
            Event::Deletion => assert_eq!(this.delete_account(json!({"password": PASSWORD})).await.status, 204),
            Event::AdministratorsPassword => {
                user_admin.set_password(&who, Password::new(NEW), &admin_call(&time)).await.expect("a user");
            }
            Event::Deactivation => {
                let inactive = postern::model::AccountStatus::Inactive;
                user_admin.edit(&who, with_status(inactive), &admin_call(&time)).await.expect("a user");
            }
            Event::AdministratorsDeletion => {
                let user = user_admin.find(&who, &time).await.expect("a user").id;
                user_admin.delete(vec![user], DeletionMode::Real, &admin_call(&time)).await.expect("a user");
            }
        }
    }

    /// Uses a rotating token twice, as a thief and the owner would, with this time in between; then once more the
    /// superseded one.
    async fn steal(&self, pause: Duration) {
        let rotating = self.service.second_with(Settings { rotation_enabled: true, ..Settings::default() }).await;
        let (mut thief, mut owner) = (self.this.at(&rotating), self.this.at(&rotating));
        thief.rotate().await;
        if pause.is_zero() {
            thief.rotate().await;
            owner.refresh().await.expect_problem(401, "invalid_refresh_token");
        } else {
            self.service.advance(pause);
            owner.rotate().await;
            thief.refresh().await.expect_problem(401, "invalid_refresh_token");
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Logout,
    EndOne,
    OneTooMany,
    RetiredToken,
    ReplacedToken,
    PasswordChange,
    PasswordAndSessionsChange,
    LogoutEverywhere,
    Deletion,
    AdministratorsPassword,
    Deactivation,
    AdministratorsDeletion,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ends,
    Lives,
}

impl Fate {
    async fn expect_of(self, session: &TestUser) {
        match self {
            Self::Ends => session.expect_ended().await,
            Self::Lives => session.expect_valid().await,
        }
    }
}

/// A row of the table: a test for each cell.
macro_rules! row {
    ($row:ident: $event:ident, this: $this:ident, others: $others:ident, when_a_store_forgets: $forgotten:ident) => {
        mod $row {
            use super::*;

            #[tokio::test]
            async fn ends_or_keeps_its_own_session_as_documented() {
                let people = People::meet().await;
                people.event(Event::$event).await;
                Fate::$this.expect_of(&people.this).await;
            }

            #[tokio::test]
            async fn ends_or_keeps_the_users_other_sessions_as_documented() {
                let people = People::meet().await;
                people.event(Event::$event).await;
                Fate::$others.expect_of(&people.other).await;
            }

            #[tokio::test]
            async fn spares_sessions_of_other_users() {
                let people = People::meet().await;
                people.event(Event::$event).await;
                Fate::Lives.expect_of(&people.grace).await;
            }

            #[tokio::test]
            async fn survives_a_session_store_rollback_as_documented() {
                let people = People::meet().await;
                let user = people.service.user(&people.this.email).await.id;
                let saved = people.service.backend().save_sessions(user).await;
                people.event(Event::$event).await;
                people.service.backend().restore_sessions(&saved).await;
                Fate::$forgotten.expect_of(&people.this).await;
                Fate::$others.expect_of(&people.other).await;
            }

            #[tokio::test]
            async fn takes_effect_at_every_server_at_once() {
                let people = People::meet().await;
                let second = people.service.second().await;
                people.event(Event::$event).await;
                Fate::$this.expect_of(&people.this.at(&second)).await;
                Fate::$others.expect_of(&people.other.at(&second)).await;
            }
        }
    };
}

// Only the session store knows of these: a rollback revives such a session until it expires.
row!(logout: Logout, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(ending_one_session: EndOne, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(login_beyond_the_limit: OneTooMany, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(reused_token: RetiredToken, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(superseded_token: ReplacedToken, this: Ends, others: Lives, when_a_store_forgets: Lives);
// Recorded in the epoch or the user's row: restored sessions stay invalid.
row!(password_change: PasswordChange, this: Lives, others: Ends, when_a_store_forgets: Lives);
row!(
    password_change_that_ends_all_sessions: PasswordAndSessionsChange,
    this: Ends, others: Ends, when_a_store_forgets: Ends
);
row!(logout_everywhere: LogoutEverywhere, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(deletion: Deletion, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(password_set_by_an_administrator: AdministratorsPassword, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(deactivation: Deactivation, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(deletion_by_an_administrator: AdministratorsDeletion, this: Ends, others: Ends, when_a_store_forgets: Ends);

#[tokio::test]
async fn activation_revives_no_session() {
    let people = People::meet().await;
    people.event(Event::Deactivation).await;
    let who = UserRef::Email(people.this.email.parse().expect("an address"));
    let (user_admin, time) = (people.service.user_admin(), time());

    user_admin
        .edit(&who, with_status(postern::model::AccountStatus::Active), &admin_call(&time))
        .await
        .expect("a user");

    people.this.expect_ended().await;
    people.other.expect_ended().await;
    people.service.log_in(&people.this.email, PASSWORD).await.expect(200);
}

/// Interrupts an action between its deciding write and the removal of the ended sessions, and returns a second server.
async fn died_after_deciding(people: &People, event: Event) -> Service {
    let second = people.service.second().await;
    people.service.counting.set_fault(Fault::HangOn("sessions.remove_ended"));
    tokio::select! {
        () = people.event(event) => panic!("{event:?} ends although its last write hangs"),
        () = people.service.counting.called("sessions.remove_ended") => {}
    }
    second
}

#[tokio::test]
async fn password_change_survives_a_crash_after_its_deciding_write() {
    let people = People::meet().await;

    let second = died_after_deciding(&people, Event::PasswordChange).await;

    people.this.at(&second).expect_valid().await;
    people.other.at(&second).expect_ended().await;
    second.log_in(&people.this.email, NEW).await.expect(200);
}

#[tokio::test]
async fn change_of_all_sessions_survives_a_crash_after_its_deciding_write() {
    let people = People::meet().await;

    let second = died_after_deciding(&people, Event::PasswordAndSessionsChange).await;

    people.this.at(&second).expect_ended().await;
    people.other.at(&second).expect_ended().await;
    second.log_in(&people.this.email, NEW).await.expect(200);
}

#[tokio::test]
async fn logout_everywhere_survives_a_crash_after_its_deciding_write() {
    let people = People::meet().await;

    let second = died_after_deciding(&people, Event::LogoutEverywhere).await;

    people.this.at(&second).expect_ended().await;
    people.other.at(&second).expect_ended().await;
    second.log_in(&people.this.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn deletion_survives_a_crash_after_its_deciding_write() {
    let people = People::meet().await;

    let second = died_after_deciding(&people, Event::Deletion).await;

    people.this.at(&second).expect_ended().await;
    people.other.at(&second).expect_ended().await;
    second.log_in(&people.this.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
    second.sign_up(&people.this.email).await.expect(201);
}

#[tokio::test]
async fn new_account_has_nothing_of_a_deleted_one() {
    let people = People::meet().await;
    let user = people.service.user(&people.this.email).await.id;
    let saved = people.service.backend().save_sessions(user).await;
    people.event(Event::Deletion).await;

    let again = people.service.signed_up(&people.this.email).await;
    people.service.backend().restore_sessions(&saved).await;

    people.this.expect_ended().await;
    assert_eq!(again.sessions().await.expect(200)["sessions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn failed_removal_of_ended_sessions_is_no_error() {
    let changes = [Event::PasswordChange, Event::PasswordAndSessionsChange];
    for event in changes.into_iter().chain([Event::LogoutEverywhere, Event::Deletion]) {
        let people = People::meet().await;
        people.service.counting.set_fault(Fault::FailOn("sessions.remove_ended"));

        people.event(event).await;

        people.other.expect_ended().await;
    }
}

#[tokio::test]
async fn removal_of_ended_sessions_spares_a_later_login() {
    let people = People::meet().await;
    let second = people.service.second().await;
    people.service.counting.set_fault(Fault::HangOn("sessions.remove_ended"));

    let late = async {
        people.service.counting.called("sessions.remove_ended").await;
        let since = second.logged_in(&people.this.email, NEW).await;
        people.service.counting.set_fault(Fault::None);
        since
    };
    let ((), since) = tokio::join!(people.event(Event::PasswordChange), late);

    since.expect_valid().await;
    people.this.expect_valid().await;
    people.other.expect_ended().await;
}
