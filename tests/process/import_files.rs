//! `postern import django`: the files that it writes never replace one that it reads, nor each other.

use std::{fs, os::unix::fs::symlink};

use crate::support::{DjangoUser, Postern, write_csv};

/// Checks that an import is refused, and that it has created and changed no file.
async fn expect_untouched(postern: &Postern, arguments: &[&str], option: &str) {
    let content = || fs::read(postern.path("users.csv")).expect("the source");
    let names = || {
        let mut names: Vec<_> = fs::read_dir(postern.path(""))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    let before = (names(), content());

    let ended = postern.run(&[&["import", "django"], arguments].concat()).await;

    ended.expect_failed(64, &format!("{option}: names the same file as "));
    assert_eq!((names(), content()), before, "{arguments:?}");
}

#[tokio::test]
async fn files_to_write_name_neither_the_source_nor_each_other() {
    let postern = Postern::new();
    write_csv(&postern.path("users.csv"), &DjangoUser::many(2));
    fs::write(postern.path("url"), "postgres://ada@127.0.0.1:1/django").expect("a file");
    fs::set_permissions(postern.path("url"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    fs::create_dir(postern.path("sub")).expect("a directory");
    fs::hard_link(postern.path("users.csv"), postern.path("hard.csv")).expect("a link");
    symlink("users.csv", postern.path("link.csv")).expect("a link");
    symlink("users.csv", postern.path("linked.csv.new")).expect("a link");
    symlink("absent.csv", postern.path("dangling.csv")).expect("a link");
    let source = ["--from", "users.csv"];
    let temporary = "the temporary file of --map (its name with .new)";

    for (arguments, option) in [
        (&["--rejects", "users.csv"][..], "--rejects"),
        (&["--rejects", "users.csv", "--dry-run"], "--rejects"),
        (&["--rejects", "sub/../users.csv"], "--rejects"),
        (&["--rejects", "hard.csv"], "--rejects"),
        (&["--rejects", "link.csv"], "--rejects"),
        (&["--map", "users.csv"], "--map"),
        (&["--map", "link.csv"], "--map"),
        (&["--map", "linked.csv"], temporary),
        (&["--map", "new.csv", "--rejects", "sub/../new.csv"], "--map"),
        (&["--map", "absent.csv", "--rejects", "dangling.csv"], "--map"),
        (&["--map", "import-rejects.csv"], "--map"),
        (&["--map", "new.csv", "--rejects", "./new.csv.new"], temporary),
    ] {
        expect_untouched(&postern, &[&source, arguments].concat(), option).await;
    }
    expect_untouched(&postern, &["--from-file", "url", "--rejects", "url"], "--rejects").await;
    expect_untouched(&postern, &["--from-file", "url", "--map", "url"], "--map").await;
    let other = [&source[..], &["--map", "sub/users.csv", "--rejects", "/dev/null"]].concat();
    postern.run(&[&["import", "django"], &other[..]].concat()).await.expect_done();
}
