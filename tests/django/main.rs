//! The move from Django that docs/from-django.md describes, with a real Django: users of every hasher are imported and log in
//! with their old passwords, both servers run side by side, and the way back.

mod differences;
mod imports;
mod moving;
mod page;
mod project;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;
