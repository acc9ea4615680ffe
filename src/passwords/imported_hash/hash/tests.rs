use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// Hashes that Django 5.2 made.
const DJANGO: &str = include_str!("django_hashes.json");

const PBKDF2: &str = "pbkdf2_sha256$260000$UjGE118FhoK8CFGAHNilPs$Car5+iEpJHnYTDG0bNrijHM0iP2IBvRSNanarby06Ks=";
const ARGON2: &str =
    "argon2$argon2id$v=19$m=102400,t=2,p=8$NVBpRkY1NTBpd0FIbFpIOWEyeTVQaA$O32pdAN1PSr/DaYJfui54lVj5hpGGiC0WFaXNrolGBM";
const BCRYPT: &str = "bcrypt$$2b$12$XHNINrbRpP5TaPJVn5rdEOjzVBqbRdxZbYYE0Y6dquweU8ctsBeZi";
const SCRYPT: &str = "scrypt$16384$Wvk69yXhJlpbaR57HLBVhp$8$5$UeXhPlCnd0nKboI0irVN+0PzLymA6Sk2lkh5F0fZiLDAItw+cvVrMad6CivLqrUS6JyFQciIrzUExllr0eqw+g==";

#[derive(Deserialize)]
struct DjangoHash {
    password: Option<String>,
    algorithm: String,
    encoded: String,
}

fn parse(encoded: &str) -> ImportedHash {
    ImportedHash::parse(encoded).unwrap_or_else(|error| panic!("{error}: {encoded}"))
}

fn error(encoded: &str) -> UnusableHash {
    ImportedHash::parse(encoded).expect_err(encoded)
}

#[test]
fn hashes_of_django_match_their_passwords_only() {
    let hashes: Vec<DjangoHash> = serde_json::from_str(DJANGO).expect("JSON");
    let mut verified = 0;

    for DjangoHash { password, algorithm, encoded } in hashes {
        if ["md5", "unusable"].contains(&&*algorithm) {
            assert_eq!(error(&encoded), UnusableHash::Algorithm);
            continue;
        }
        let (hash, password) = (parse(&encoded), password.expect("a password"));
        assert!(hash.recipe().starts_with(&format!("{algorithm}$")), "{}", hash.recipe());
        assert!(hash.matches(&password), "{encoded}");
        if !encoded.contains("$1000000$") {
            assert!(!hash.matches(&format!("x{password}")), "{encoded}");
        }
        verified += 1;
    }

    assert_eq!(verified, 25);
}

#[test]
fn every_variant_and_version_of_argon2_is_verified() {
    // From the test suite of the reference implementation (P-H-C/phc-winner-argon2, src/test.c).
    for reference in [
        "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ",
        "$argon2i$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ] {
        let hash = parse(&format!("argon2{reference}"));

        assert!(hash.matches("password"), "{reference}");
        assert!(!hash.matches("passwore"), "{reference}");
    }
    assert_eq!(
        parse("argon2$argon2d$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA").recipe(),
        "argon2$argon2d$v=16$m=8,t=1,p=1"
    );
}

#[test]
fn bcrypt_ignores_what_follows_72_bytes() {
    // From the test suite of crypt_blowfish (wrapper.c).
    let hash = parse("bcrypt$$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui");
    let first = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    assert!(hash.matches(first) && hash.matches(&format!("{first}chars after 72 are ignored")));
    assert!(!hash.matches(&first[..71]));
}

#[test]
fn known_variants_of_bcrypt_are_verified() {
    for variant in ["2a", "2b", "2y"] {
        let hash = parse(&format!("bcrypt$${variant}$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"));
        assert!(hash.matches("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), "{variant}");
    }
    assert_eq!(error(&BCRYPT.replace("$2b$", "$2x$")), UnusableHash::Malformed);
}

#[test]
fn unknown_algorithms_are_unusable() {
    for encoded in [
        "",
        "!",
        "!GSUDoIgMnx1AQsxD9KElUcBBHiipHozH4s9b18W1",
        "!$x",
        "plain text",
        "md5$salt$56ce9e6edc57775f4a7e173aa459c0a3",
        "56ce9e6edc57775f4a7e173aa459c0a3",
        "sha1$salt$0123456789012345678901234567890123456789",
        "pbkdf2_sha512$1$salt$hash",
        "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "PBKDF2_SHA256$1$salt$hash",
    ] {
        assert_eq!(error(encoded), UnusableHash::Algorithm, "{encoded}");
    }
}

#[test]
fn scrypt_whose_time_is_that_of_pbkdf2_is_unusable() {
    for n in ["$2$", "$512$"] {
        assert_eq!(error(&SCRYPT.replacen("$16384$", n, 1)), UnusableHash::Algorithm, "{n}");
    }
}

#[test]
fn malformed_hashes_are_unusable() {
    let changes = [
        (PBKDF2, "$260000$", "$0$"),
        (PBKDF2, "$260000$", "$-1$"),
        (PBKDF2, "$260000$", "$+260000$"),
        (PBKDF2, "$260000$", "$0260000$"),
        (PBKDF2, "$260000$", "$260_000$"),
        (PBKDF2, "$260000$", "$$"),
        (PBKDF2, "UjGE118FhoK8CFGAHNilPs", ""),
        (PBKDF2, "UjGE118FhoK8CFGAHNilPs", "a\0b"),
        (PBKDF2, "UjGE118FhoK8CFGAHNilPs", "a$b"),
        (PBKDF2, "Ks=", "Kt="),
        (PBKDF2, "Ks=", "Ks"),
        (PBKDF2, "Ks=", ""),
        (PBKDF2, "Car5", "Ca é"),
        (PBKDF2, "pbkdf2_sha256", "pbkdf2_sha1"),
        (ARGON2, "argon2id", "argon2x"),
        (ARGON2, "v=19", "v=18"),
        (ARGON2, "$v=19", "$x"),
        (ARGON2, "m=102400", "m=63"),
        (ARGON2, "p=8", "p=12801"),
        (ARGON2, "p=8", "p=0"),
        (ARGON2, "t=2", "t=0"),
        (ARGON2, "p=8", "p=8,keyid=AAAA"),
        (ARGON2, "NVBpRkY1NTBpd0FIbFpIOWEyeTVQaA", "NVBpRkY1"),
        (ARGON2, "rolGBM", "rolGBN"),
        (ARGON2, "O32pdAN1PSr/DaYJfui54lVj5hpGGiC0WFaXNrolGBM", "O32pdAN1PSr/"),
        (BCRYPT, "$12$", "$03$"),
        (BCRYPT, "$12$", "$1$"),
        (BCRYPT, "$12$", "$ 9$"),
        (BCRYPT, "sBeZi", "sBeZ"),
        (BCRYPT, "sBeZi", "sBeZia"),
        (BCRYPT, "sBeZi", "sBeZé"),
        (BCRYPT, "XHNINrbRpP5TaPJVn5rdEO", "XHNINrbRpP5TaPJVn5rdEP"),
        (SCRYPT, "$16384$", "$16383$"),
        (SCRYPT, "$16384$", "$1$"),
        (SCRYPT, "$8$5$", "$0$5$"),
        (SCRYPT, "$8$5$", "$8$0$"),
        (SCRYPT, "$8$5$", "$8$"),
        (SCRYPT, "Wvk69yXhJlpbaR57HLBVhp", ""),
    ];

    for (encoded, part, other) in changes {
        let edited = encoded.replacen(part, other, 1);
        assert_ne!(edited, encoded, "{part}");
        assert_eq!(error(&edited), UnusableHash::Malformed, "{edited}");
    }
    assert_eq!(error(&PBKDF2.replace("UjGE118FhoK8CFGAHNilPs", &"s".repeat(1000))), UnusableHash::Malformed);
}

#[test]
fn parameters_over_the_limits_are_too_costly() {
    let changes = [
        (PBKDF2, "$260000$", "$3000001$"),
        (PBKDF2, "$260000$", "$99999999999999999999999999$"),
        (ARGON2, "m=102400", "m=132097"),
        (ARGON2, "m=102400", "m=4294967295"),
        (ARGON2, "t=2", "t=17"),
        (ARGON2, "t=2", "t=4294967296"),
        (ARGON2, "p=8", "p=16777216"),
        (BCRYPT, "$12$", "$15$"),
        (BCRYPT, "$12$", "$31$"),
        (BCRYPT, "$12$", "$99$"),
        (SCRYPT, "$16384$", "$262144$"),
        (SCRYPT, "$16384$", "$9223372036854775808$"),
        (SCRYPT, "$8$5$", "$8$41$"),
        (SCRYPT, "$16384$Wvk69yXhJlpbaR57HLBVhp$8$5$", "$2$Wvk69yXhJlpbaR57HLBVhp$8192$2$"),
        (SCRYPT, "$8$5$", "$4294967295$4294967295$"),
    ];

    for (encoded, part, other) in changes {
        let edited = encoded.replacen(part, other, 1);
        assert_ne!(edited, encoded, "{part}");
        assert_eq!(error(&edited), UnusableHash::TooCostly, "{edited}");
    }
}

#[test]
fn parameters_that_are_recommended_are_within_the_limits() {
    for (encoded, part, other) in [
        (PBKDF2, "$260000$", "$1$"),
        (PBKDF2, "$260000$", "$3000000$"),
        (ARGON2, "t=2", "t=16"),
        (ARGON2, "m=102400,t=2,p=8", "m=131072,t=3,p=4"),
        (BCRYPT, "$12$", "$04$"),
        (BCRYPT, "$12$", "$14$"),
        (SCRYPT, "$16384$", "$1024$"),
        (SCRYPT, "$16384$Wvk69yXhJlpbaR57HLBVhp$8$5$", "$131072$Wvk69yXhJlpbaR57HLBVhp$8$1$"),
    ] {
        parse(&encoded.replacen(part, other, 1));
    }
}

#[test]
fn dummy_has_the_recipe_and_the_work_of_a_hash() {
    for encoded in [PBKDF2, ARGON2, BCRYPT, &BCRYPT.replace("bcrypt$", "bcrypt_sha256$"), SCRYPT] {
        let hash = parse(encoded);

        let dummy = ImportedHash::dummy(hash.recipe()).expect("a recipe");

        assert_eq!((dummy.recipe(), dummy.work()), (hash.recipe(), hash.work()));
        assert_eq!((dummy.hash.len(), dummy.salt == hash.salt), (hash.hash.len(), false));
        assert!(!dummy.matches("Str0ng-pass-9"), "{encoded}");
    }
    assert!(ImportedHash::dummy("pbkdf2_sha1$7").is_ok_and(|dummy| dummy.hash.len() == 20));
    assert!(ImportedHash::dummy("md5").is_err() && ImportedHash::dummy("bcrypt$31").is_err());
}

#[test]
fn debug_text_hides_salt_and_hash() {
    assert_eq!(format!("{:?}", parse(PBKDF2)), "ImportedHash { recipe: \"pbkdf2_sha256$260000\", .. }");
}

/// A cheap hash of each algorithm.
const CHEAP: [&str; 4] = [
    "pbkdf2_sha1$7$salt$IAZDHExmIZw9+OyUpypB8QUfSqk=",
    "argon2$argon2i$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
    "bcrypt$$2y$04$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
    "scrypt$1024$salt$1$1$UeXhPlCnd0nKboI0irVN+0PzLymA6Sk2lkh5F0fZiLDAItw+cvVrMad6CivLqrUS6JyFQciIrzUExllr0eqw+g==",
];

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in "(pbkdf2_sha256|pbkdf2_sha1|argon2|bcrypt|bcrypt_sha256|scrypt)(\\$[ -~é]{0,30}){0,6}") {
        let _ = ImportedHash::parse(&text);
        let _ = ImportedHash::dummy(&text);
    }

    #[test]
    fn edited_hash_is_unusable_or_cheap_to_compare(
        cheap in prop::sample::select(&CHEAP[..]),
        at in any::<prop::sample::Index>(),
        edit in "[0-9$,=a-zA-Z+]?",
        password in "\\PC{0,80}",
    ) {
        let at = at.index(cheap.len());
        let edited = format!("{}{edit}{}", &cheap[..at], &cheap[at + 1..]);
        if let Ok(hash) = ImportedHash::parse(&edited) && hash.work().amount <= 1000 {
            hash.matches(&password);
        }
    }
}
