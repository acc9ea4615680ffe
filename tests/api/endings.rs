//! What ends what: the README's table, a test a cell, and what is left of it when the session store forgets its last
//! writes, or when the process dies after the write that decides.

use std::time::Duration;

use postern::{accounts::UserRef, passwords::Password, store::TimeBudget};
use serde_json::json;

use super::Service;
use crate::{
    counting::Fault,
    forgetful::Forgetful as _,
    person::Person,
    service::{PASSWORD, Settings},
};

const NEW: &str = "new_password";

/// Somebody with two sessions, which are as many as one may have, and somebody else.
struct People {
    service: Service,
    this: Person,
    other: Person,
    grace: Person,
}

impl People {
    async fn meet() -> Self {
        let service = Service::start_with(Settings { max_sessions: 2, ..Settings::default() }).await;
        let this = service.signed_up("ada@example.org").await;
        let other = this.second_session().await;
        let grace = service.signed_up("grace@example.org").await;
        Self { service, this, other, grace }
    }

    /// What ends a session, done by this one or to it.
    async fn event(&self, event: Event) {
        let (this, user_admin) = (&self.this, self.service.user_admin());
        let (who, time) =
            (UserRef::Email(this.email.parse().expect("an address")), TimeBudget::new(Duration::from_mins(1)));
        match event {
            Event::Logout => drop(this.log_out().await.expect(200)),
            Event::EndOne => assert_eq!(self.other.end_session(&this.session_id().await).await.status, 204),
            Event::OneTooMany => drop(this.second_session().await),
            Event::RetiredToken => self.steal(Duration::ZERO).await,
            Event::ReplacedToken => self.steal(Duration::from_secs(12)).await,
            Event::PasswordChange => drop(this.change_password(PASSWORD, NEW).await.expect(200)),
            Event::LogoutEverywhere => drop(this.log_out_everywhere().await.expect(200)),
            Event::Deletion => assert_eq!(this.delete_account(json!({"password": PASSWORD})).await.status, 204),
            Event::AdministratorsPassword => {
                user_admin.set_password(&who, Password::new(NEW), &time).await.expect("a user");
            }
            Event::Deactivation => {
                let inactive = postern::model::AccountStatus::Inactive;
                user_admin.set_status(&who, inactive, &time).await.expect("a user");
            }
            Event::AdministratorsDeletion => drop(user_admin.delete(&who, &time).await.expect("a user")),
        }
    }

    /// Has a thief use a token, and so long after that its owner, where refresh tokens rotate; then who was displaced comes.
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
    LogoutEverywhere,
    Deletion,
    AdministratorsPassword,
    Deactivation,
    AdministratorsDeletion,
}

/// What becomes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ends,
    Lives,
}

impl Fate {
    async fn expect_of(self, session: &Person) {
        match self {
            Self::Ends => session.expect_ended().await,
            Self::Lives => session.expect_in_force().await,
        }
    }
}

/// A row of the table: a test for each cell.
macro_rules! row {
    ($row:ident: $event:ident, this: $this:ident, others: $others:ident, when_a_store_forgets: $forgotten:ident) => {
        mod $row {
            use super::*;

            #[tokio::test]
            async fn this_session() {
                let people = People::meet().await;
                people.event(Event::$event).await;
                Fate::$this.expect_of(&people.this).await;
            }

            #[tokio::test]
            async fn the_users_other_sessions() {
                let people = People::meet().await;
                people.event(Event::$event).await;
                Fate::$others.expect_of(&people.other).await;
            }

            #[tokio::test]
            async fn the_sessions_of_others() {
                let people = People::meet().await;
                people.event(Event::$event).await;
                Fate::Lives.expect_of(&people.grace).await;
            }

            #[tokio::test]
            async fn when_the_session_store_forgets_its_last_writes() {
                let people = People::meet().await;
                let user = people.service.user(&people.this.email).await.id;
                let saved = people.service.backend().save_sessions(user).await;
                people.event(Event::$event).await;
                people.service.backend().restore_sessions(&saved).await;
                Fate::$forgotten.expect_of(&people.this).await;
                Fate::$others.expect_of(&people.other).await;
            }

            #[tokio::test]
            async fn at_every_server_at_once() {
                let people = People::meet().await;
                let second = people.service.second().await;
                people.event(Event::$event).await;
                Fate::$this.expect_of(&people.this.at(&second)).await;
                Fate::$others.expect_of(&people.other.at(&second)).await;
            }
        }
    };
}

// Known to the session store alone: an old copy of it revives such a session until that expires.
row!(logout: Logout, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(ending_one_session: EndOne, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(the_oldest_of_too_many: OneTooMany, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(a_retired_token: RetiredToken, this: Ends, others: Lives, when_a_store_forgets: Lives);
row!(a_replaced_token: ReplacedToken, this: Ends, others: Lives, when_a_store_forgets: Lives);
// Carried by the epoch, or by the user's row: restored sessions stay dead.
row!(a_password_change: PasswordChange, this: Lives, others: Ends, when_a_store_forgets: Lives);
row!(logout_everywhere: LogoutEverywhere, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(deletion: Deletion, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(a_password_set_by_an_administrator: AdministratorsPassword, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(deactivation: Deactivation, this: Ends, others: Ends, when_a_store_forgets: Ends);
row!(deletion_by_an_administrator: AdministratorsDeletion, this: Ends, others: Ends, when_a_store_forgets: Ends);

#[tokio::test]
async fn activation_revives_nothing() {
    let people = People::meet().await;
    people.event(Event::Deactivation).await;
    let who = UserRef::Email(people.this.email.parse().expect("an address"));
    let (user_admin, time) = (people.service.user_admin(), TimeBudget::new(Duration::from_mins(1)));

    user_admin.set_status(&who, postern::model::AccountStatus::Active, &time).await.expect("a user");

    people.this.expect_ended().await;
    people.other.expect_ended().await;
    people.service.log_in(&people.this.email, PASSWORD).await.expect(200);
}

/// Has the server die in the middle of an event, when the write that decides has been made and the sessions that it ended
/// are about to be removed; what is left is for a second server to say.
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
async fn a_password_change_stands_when_the_process_dies_after_it_was_decided() {
    let people = People::meet().await;

    let second = died_after_deciding(&people, Event::PasswordChange).await;

    people.this.at(&second).expect_in_force().await;
    people.other.at(&second).expect_ended().await;
    second.log_in(&people.this.email, NEW).await.expect(200);
}

#[tokio::test]
async fn a_logout_everywhere_stands_when_the_process_dies_after_it_was_decided() {
    let people = People::meet().await;

    let second = died_after_deciding(&people, Event::LogoutEverywhere).await;

    people.this.at(&second).expect_ended().await;
    people.other.at(&second).expect_ended().await;
    second.log_in(&people.this.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_deletion_stands_when_the_process_dies_after_it_was_decided() {
    let people = People::meet().await;

    let second = died_after_deciding(&people, Event::Deletion).await;

    people.this.at(&second).expect_ended().await;
    people.other.at(&second).expect_ended().await;
    second.log_in(&people.this.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
    second.sign_up(&people.this.email).await.expect(201);
}

#[tokio::test]
async fn a_sign_up_after_a_deletion_has_nothing_of_the_old_account() {
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
async fn what_has_been_decided_is_answered_so_although_the_ended_sessions_cannot_be_removed() {
    for event in [Event::PasswordChange, Event::LogoutEverywhere, Event::Deletion] {
        let people = People::meet().await;
        people.service.counting.set_fault(Fault::FailOn("sessions.remove_ended"));

        people.event(event).await;

        people.other.expect_ended().await;
    }
}

#[tokio::test]
async fn a_login_after_a_password_change_survives_the_removal_of_the_sessions_that_it_has_ended() {
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

    since.expect_in_force().await;
    people.this.expect_in_force().await;
    people.other.expect_ended().await;
}
