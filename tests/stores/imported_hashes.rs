//! What stores tell of imported hashes.

use postern::{
    model::{PasswordHash, User},
    store::{CompareAndSet, Insert},
};

use super::suite::{Fixture, hash};
use crate::{Sql as _, support::time};

const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

impl Fixture {
    async fn with_recipes(recipes: &[(&str, u64)]) -> Self {
        let fixture = Self::empty().await;
        let rows: Vec<_> = recipes.iter().map(|(recipe, users)| format!("('{recipe}', {users})")).collect();
        // Each store has its own literal for bytes.
        let statements = [format!("'\\x{KEY}'"), format!("x'{KEY}'")]
            .map(|key| format!("INSERT INTO imported_hashes_key (only_row, key) SELECT {{}}, {key}"));
        let [postgres, sqlite] = [statements[0].replace("{}", "true"), statements[1].replace("{}", "1")];
        if fixture.backend.sql(&postgres).await.is_err() {
            fixture.backend.sql(&sqlite).await.expect("valid SQL");
        }
        let recipes = format!("INSERT INTO imported_hashes (recipe, users) VALUES {}", rows.join(", "));
        fixture.backend.sql(&recipes).await.expect("valid SQL");
        fixture
    }

    async fn insert_with(&self, email: &str, password: Option<&str>) -> User {
        let password = password.map(|hash| PasswordHash::new(hash.to_owned()));
        let user = User { password, ..self.user(email) };
        assert_eq!(self.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
        user
    }

    async fn remaining_of_all(&self) -> (u64, u64) {
        let stats = self.stores.users.imported_hashes(&time()).await.expect("a response").expect("an import");
        (stats.remaining, stats.users)
    }
}

#[tokio::test]
async fn store_without_an_import_has_no_imported_hashes() {
    let fixture = Fixture::empty().await;
    fixture.inserted("ada@example.org").await;

    assert_eq!(fixture.stores.users.imported_hashes(&time()).await, Ok(None));
}

#[tokio::test]
async fn key_and_commonest_recipe_of_an_import_are_read() {
    let recipes = [("bcrypt$12", 3), ("pbkdf2_sha256$1000000", 2_000_000), ("scrypt$16384$8$5", 1)];
    let fixture = Fixture::with_recipes(&recipes).await;

    let stats = fixture.stores.users.imported_hashes(&time()).await.expect("a response").expect("an import");

    assert_eq!((stats.recipe.as_str(), *stats.key), ("pbkdf2_sha256$1000000", [7; 32]));
    assert_eq!((stats.remaining, stats.users), (0, 0));
    assert!(!format!("{stats:?}").contains("7, 7"), "the key is not printed");
}

#[tokio::test]
async fn users_count_as_remaining_until_they_renew_their_hash() {
    let fixture = Fixture::with_recipes(&[("bcrypt$12", 2)]).await;
    fixture.insert_with("ours@example.org", Some("$argon2id$ours")).await;
    fixture.insert_with("unusable@example.org", None).await;
    let ada = fixture.insert_with("ada@example.org", Some("bcrypt$$2b$12$x")).await;
    fixture.insert_with("bob@example.org", Some("pbkdf2_sha256$1$salt$hash")).await;
    assert_eq!(fixture.remaining_of_all().await, (2, 4));

    let renewed = fixture.stores.users.rehash(&ada, &hash("renewed"), &time()).await;

    assert_eq!(renewed, Ok(CompareAndSet::Written));
    assert_eq!(fixture.remaining_of_all().await, (1, 4));
}
