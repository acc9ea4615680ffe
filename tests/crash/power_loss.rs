//! Power loss: all, some or none of the unsynced data is lost, and acknowledged writes survive.

use std::{collections::HashMap, fmt::Write as _, path::Path};

use rusqlite::Connection;

use crate::disk::Disk;
use crate::disk_model::{self, DiskModel, Loss};
use crate::journal::Call;
use crate::journal::Note;
use crate::support::{NEW_PASSWORD, PASSWORD, Postern, Serving, Tokens};
use crate::targets::data_of;
use crate::targets::postern;
use crate::targets::postern_with_data;

/// The losses to try at each power loss.
const LOSSES: [Loss; 6] = [Loss::Nothing, Loss::Everything, Loss::Some(1), Loss::Some(2), Loss::Some(3), Loss::Some(4)];

/// The disk calls of a server, and the times of its responses.
struct Record {
    postern: Postern,
    disk: Disk,
    /// The length of the journal at each response, in bytes.
    answered: Vec<usize>,
}

impl Record {
    async fn start() -> (Self, Serving) {
        let disk = Disk::new().await;
        disk.keep_journal();
        let postern = disk.under(postern_with_data()).with("POSTERN_THROTTLE", "off");
        let serving = postern.serve().await;
        (Self { postern, disk, answered: Vec::new() }, serving)
    }

    fn responded(&mut self) {
        self.answered.push(self.disk.journal_bytes());
    }

    fn directory(&self) -> std::path::PathBuf {
        data_of(&self.postern)
    }
}

/// Returns the content of the store in a data directory, which must be intact.
fn state(data: &Path) -> String {
    let file = data.join("postern.db");
    if !file.exists() {
        return "nothing".to_owned();
    }
    let store = Connection::open(file).expect("a store");
    let rows = |query: &str| {
        let mut statement = store.prepare(query).expect("valid SQL");
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
        let rows = statement.query_map([], row).expect("rows");
        rows.map(|row| row.expect("a row")).collect::<Vec<Vec<rusqlite::types::Value>>>()
    };
    assert_eq!(rows("PRAGMA integrity_check"), [[rusqlite::types::Value::Text("ok".to_owned())]]);
    let mut state = String::new();
    for table in rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") {
        let rusqlite::types::Value::Text(table) = &table[0] else { panic!("a name: {table:?}") };
        let rows = rows(&format!("SELECT * FROM {table} ORDER BY 1, 2"));
        writeln!(state, "{table}: {rows:?}").expect("memory");
    }
    state
}

/// The states of a store over time.
struct Course<'record> {
    notes: &'record [Note],
    directory: &'record Path,
    committed: HashMap<usize, String>,
}

impl Course<'_> {
    /// Returns the state after a power loss behind this many calls.
    fn after_cut(&self, calls: usize, loss: Loss) -> String {
        let image = tempfile::tempdir().expect("a temporary directory");
        let files = DiskModel::after(&self.notes[..calls]).files(loss);
        disk_model::write(&files, self.directory, image.path());
        state(image.path())
    }

    /// Returns the state that was visible behind this many calls.
    fn committed(&mut self, calls: usize) -> &str {
        if !self.committed.contains_key(&calls) {
            let state = self.after_cut(calls, Loss::Nothing);
            self.committed.insert(calls, state);
        }
        &self.committed[&calls]
    }

    /// A power loss behind this many calls leaves a state that was visible since the last response.
    fn expect_nothing_lost(&mut self, answered: &[usize], calls: usize, losses: &[Loss]) {
        let bytes = |calls: usize| self.notes[..calls].last().map_or(0, |note| note.journal_bytes);
        let last_response =
            answered.iter().copied().filter(|response| *response <= bytes(calls)).max().unwrap_or_default();
        let since = self.notes.partition_point(|note| note.journal_bytes <= last_response);
        for loss in losses {
            let found = self.after_cut(calls, *loss);
            let was_there = (since..=calls).rev().any(|earlier| self.committed(earlier) == found);
            assert!(was_there, "{loss:?} lost behind call {calls}, last response behind {since}: {found}");
        }
    }
}

/// Returns the numbers of calls with most to lose: before each sync, and at the end.
fn before_syncs(notes: &[Note]) -> Vec<usize> {
    let is_sync = |calls: &usize| matches!(notes[*calls].call, Call::Sync { .. });
    (0..notes.len()).filter(is_sync).chain([notes.len()]).collect()
}

#[tokio::test]
async fn acknowledged_writes_survive_a_power_loss() {
    let (mut record, serving) = Record::start().await;
    let api = serving.api();
    let mut ada = api.signed_up("ada@example.org").await;
    record.responded();
    let second = api.logged_in("ada@example.org", PASSWORD).await;
    record.responded();
    for _ in 0..2 {
        ada = api.rotated(&ada).await;
        record.responded();
    }
    api.log_out(&second).send().await.expect(200);
    record.responded();
    api.logged_in("ada@example.org", PASSWORD).await;
    record.responded();
    api.change_password(&ada, PASSWORD, NEW_PASSWORD).send().await.expect(200);
    record.responded();
    // This includes the audit trail, and a command that has the store for itself makes a checkpoint.
    assert_eq!(serving.stopped().await.code, Some(0));
    assert_eq!(record.postern.run(&["backup", "backup.db"]).await.code, Some(0));
    record.responded();

    let (notes, directory) = (record.disk.journal(), record.directory());
    let replayed: Vec<_> = DiskModel::after(&notes).files(Loss::Nothing).into_iter().collect();
    let mut there = disk_model::read(&directory);
    there.insert(directory.to_str().expect("UTF-8").to_owned(), None);
    assert_eq!(replayed, there.into_iter().collect::<Vec<_>>(), "every change was recorded");
    let mut course = Course { notes: &notes, directory: &directory, committed: HashMap::new() };
    for calls in before_syncs(&notes) {
        course.expect_nothing_lost(&record.answered, calls, &LOSSES);
    }
}

#[tokio::test]
async fn power_loss_during_a_checkpoint_loses_nothing() {
    let (mut record, serving) = Record::start().await;
    let api = serving.api();
    let is_merging = |note: &Note| matches!(&note.call, Call::Write { path, .. } if path.ends_with("/postern.db"));
    let mut number = 0;
    let (notes, merging) = loop {
        for _ in 0..20 {
            number += 1;
            api.signed_up(&format!("ada{number}@example.org")).await;
            record.responded();
        }
        let notes = record.disk.journal();
        let first_response = notes.partition_point(|note| note.journal_bytes <= record.answered[0]);
        let merging: Vec<_> = (first_response..notes.len()).filter(|calls| is_merging(&notes[*calls])).collect();
        if !merging.is_empty() && notes.len() > merging[merging.len() - 1] + 40 {
            break (notes, merging);
        }
        assert!(number < 1000, "the log is never merged");
    };
    serving.killed().await;

    let directory = record.directory();
    let mut course = Course { notes: &notes, directory: &directory, committed: HashMap::new() };
    let syncs = before_syncs(&notes[..merging[merging.len() - 1] + 40]);
    let around = syncs.into_iter().filter(|calls| *calls > merging[0].saturating_sub(20));
    let amid = merging.iter().copied().step_by(merging.len() / 8 + 1);
    for calls in around.chain(amid) {
        course.expect_nothing_lost(
            &record.answered,
            calls,
            &[Loss::Everything, Loss::Nothing, Loss::Some(1), Loss::Some(2)],
        );
    }
}

#[tokio::test]
async fn interrupted_first_start_is_completed_by_the_next_one() {
    let (mut record, serving) = Record::start().await;
    let ada = serving.api().signed_up("ada@example.org").await;
    record.responded();
    serving.killed().await;
    let notes = record.disk.journal();
    let first_response = notes.partition_point(|note| note.journal_bytes <= record.answered[0]);

    for calls in before_syncs(&notes[..first_response]) {
        for loss in [Loss::Everything, Loss::Nothing, Loss::Some(1)] {
            let restarted = postern();
            let files = DiskModel::after(&notes[..calls]).files(loss);
            disk_model::write(&files, &record.directory(), &restarted.directory.path().join("postern-data"));
            expect_well(&restarted, (calls == first_response).then_some(&ada)).await;
        }
    }
}

/// The server starts, and serves a new user and an earlier one.
async fn expect_well(postern: &Postern, there: Option<&Tokens>) {
    let serving = postern.serve().await;
    let api = serving.api();
    if let Some(tokens) = there {
        api.expect_rotates(tokens).await;
    }
    api.expect_rotates(&api.signed_up("grace@example.org").await).await;
    serving.killed().await;
}
