//! Searches for users: by email, by its beginning, and by the beginning of a word of the name.

use postern::model::{AccountStatus, Role, UserChange, UserCursor, UserFilter, UserOrder, UserPageQuery};

use super::{
    directory::{first, local_parts},
    suite::Fixture,
};
use crate::{Sql as _, support::time};

impl Fixture {
    async fn with_email_prefix(&self, prefix: &str) -> Vec<String> {
        self.walked(UserPageQuery { limit: 1, ..first(UserOrder::EmailPrefix(prefix.to_owned())) }).await.0
    }

    async fn with_word_prefix(&self, prefix: &str) -> Vec<String> {
        self.walked(UserPageQuery { limit: 1, ..first(UserOrder::WordPrefix(prefix.to_owned())) }).await.0
    }
}

#[tokio::test]
async fn search_by_word_filters_by_the_present_role_and_status() {
    let fixture = Fixture::empty().await;
    let ada = fixture.named("ada@example.org", "Ada Lovelace").await;
    let (role, status) = (Some(Role::Administrator), Some(AccountStatus::Inactive));
    let filter = UserFilter { role, status, ..UserFilter::default() };
    let found = async || {
        let order = UserOrder::WordPrefix("lov".to_owned());
        fixture.walked(UserPageQuery { filter, ..first(order) }).await.0
    };
    assert_eq!(found().await, Vec::<String>::new());

    fixture.changed(&ada, UserChange { role, status, ..UserChange::default() }).await;

    assert_eq!(found().await, ["ada"]);
}

#[tokio::test]
async fn user_is_found_by_exact_email() {
    let fixture = Fixture::empty().await;
    let ada = fixture.named("ada@example.org", "Ada Lovelace").await;
    fixture.named("ada2@example.org", "Ada Lovelace").await;

    let page = fixture.page(&first(UserOrder::ExactEmail(ada.email))).await;

    assert_eq!((local_parts(&page.users), page.next), (vec!["ada".to_owned()], None));
    let nobody = UserOrder::ExactEmail("nobody@example.org".parse().expect("an address"));
    assert!(fixture.page(&first(nobody)).await.users.is_empty());
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_their_email() {
    let fixture = Fixture::empty().await;
    for local in ["ada", "ada.l", "ada_l", "adb", "ad", "grace", "a~"] {
        fixture.named(&format!("{local}@example.org"), "Ada Lovelace").await;
    }

    for (prefix, found) in [
        ("ada", vec!["ada.l", "ada", "ada_l"]),
        ("ADA", vec!["ada.l", "ada", "ada_l"]),
        ("ada@", vec!["ada"]),
        ("ada@example.org", vec!["ada"]),
        ("ada@example.orga", vec![]),
        // These are characters, not patterns.
        ("ada_", vec!["ada_l"]),
        ("%", vec![]),
        ("'", vec![]),
        ("a~", vec!["a~"]),
        // No email has these.
        ("adä", vec![]),
        ("\u{10ffff}", vec![]),
        ("ada\0", vec![]),
        ("", vec!["ad", "ada.l", "ada", "ada_l", "adb", "a~", "grace"]),
    ] {
        assert_eq!(fixture.with_email_prefix(prefix).await, found, "{prefix:?}");
    }
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_a_word_of_their_name() {
    let fixture = Fixture::empty().await;
    let long = "x".repeat(70);
    for (local, name) in [
        ("1", "Ada Lovelace"),
        ("2", "Jean-Luc Adams"),
        ("3", "Adelheid Ada adam"),
        ("4", "Zo\u{eb} de la Tour"),
        ("5", "a1 a2 a3 a4 a5 a6 a7 a8 ninth"),
        ("6", &long),
        ("7", "O'Brien 100%_sure"),
        ("8", "\u{391}\u{3b4}\u{3b1} \u{1f600}"),
    ] {
        fixture.named(&format!("{local}@example.org"), name).await;
    }

    for (prefix, found) in [
        // By word: ada (1 and 3), adam is not the first of 3, adams (2).
        ("ada", vec!["1", "3", "2"]),
        ("AdA", vec!["1", "3", "2"]),
        ("adam", vec!["3", "2"]),
        ("luc", vec!["2"]),
        ("jean", vec!["2"]),
        // No word contains these.
        ("jean-luc", vec![]),
        ("ada lovelace", vec![]),
        (" ada", vec![]),
        ("zo", vec!["4"]),
        ("zo\u{eb}", vec!["4"]),
        ("ZO\u{eb}", vec!["4"]),
        ("zo\u{cb}", vec![]),
        ("a8", vec!["5"]),
        ("ninth", vec![]),
        (&long[..64], vec!["6"]),
        (&long[..65], vec![]),
        ("o'b", vec!["7"]),
        ("100%_", vec!["7"]),
        ("%", vec![]),
        ("\u{391}", vec!["8"]),
        ("\u{1f600}", vec!["8"]),
        ("ada\0", vec![]),
        ("\u{10ffff}", vec![]),
    ] {
        assert_eq!(fixture.with_word_prefix(prefix).await, found, "{prefix:?}");
    }
    let mut all = fixture.with_word_prefix("").await;
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[tokio::test]
async fn words_follow_renames_and_deletions() {
    let fixture = Fixture::empty().await;
    let ada = fixture.named("ada@example.org", "Ada Lovelace").await;

    let rename = postern::store::UserUpdate::Rename("Ada King-Noel".parse().expect("a name"));
    fixture.stores.users.update(ada.id, &rename, &time()).await.expect("a response");

    assert_eq!(fixture.with_word_prefix("lovelace").await, [""; 0]);
    assert_eq!(fixture.with_word_prefix("noel").await, ["ada"]);

    fixture.deleted(ada.id).await;
    assert_eq!(fixture.with_word_prefix("").await, [""; 0]);
    let none = "CREATE TABLE expectation (words integer CHECK (words = 0));
                INSERT INTO expectation SELECT count(*) FROM user_name_words";
    fixture.backend.sql(none).await.expect("no words are left");
}

#[tokio::test]
async fn cursor_of_a_stranger_is_only_a_position() {
    let fixture = Fixture::empty().await;
    for local in ["ada", "grace", "zuse"] {
        fixture.named(&format!("{local}@example.org"), "Ada Lovelace").await;
    }
    for (order, cursor) in [
        ("c", [[0xff, 0x7f, 0xff].as_slice(), &[0; 5]].concat()),
        ("e", b"'; DROP TABLE users; --\xf0\x9f\x98\x80".to_vec()),
        ("l", vec![0xff; 8]),
        ("n", vec![0; 8]),
        ("w", "\u{10ffff}".repeat(100).into_bytes()),
    ] {
        let bytes = [order.as_bytes(), &[0xff; 16], &cursor].concat();
        let text = base64_url(&bytes);
        let Ok(cursor) = text.parse::<UserCursor>() else { continue };
        for direction in [postern::model::Direction::Ascending, postern::model::Direction::Descending] {
            for order in [UserOrder::Created(direction), UserOrder::Email(direction), UserOrder::LastLogin(direction)] {
                if cursor.fits(&order) {
                    fixture.page(&UserPageQuery { after: Some(cursor.clone()), ..first(order) }).await;
                }
            }
        }
    }
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
