//! The steps of an import.

use serde::Serialize;

use super::{
    error::ImportError,
    id_map::IdMap,
    mapping::Mapping,
    progress::Progress,
    report::{Report, Reported},
    rows::ROWS,
    source::SourceRows,
};
use crate::store::{DecidedUser, ImportDecision, StagedUser, UserImport};

/// How many decided users are read at once.
const PAGE: u32 = 5000;

/// The reason of [`ImportDecision::IdTaken`].
const ID_TAKEN: &str = "the account with this id has another email: if the email has changed since an earlier run, restore it or \
                        delete the account; if the account is of another project, give each project ids of its own with \
                        --joined-column or --id-column";

/// An import that is ready to run.
pub struct ImportRun<'store> {
    /// The rows of the source.
    pub source: SourceRows,
    /// How rows become users.
    pub mapping: Mapping,
    /// The store.
    pub store: &'store mut dyn UserImport,
    /// The report to write.
    pub report: Report,
    /// The map to write, if any.
    pub map: Option<IdMap>,
    /// Whether to insert the users.
    pub insert: Insertion,
}

/// Whether an import inserts users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// It does.
    Real,
    /// It only decides and reports.
    DryRun,
}

/// The outcome of an import, in numbers of users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ImportSummary {
    /// Rows of the source.
    pub read: u64,
    /// Users that were inserted; in a dry run, that would be inserted.
    pub imported: u64,
    /// Users that a former run has inserted.
    pub already_imported: u64,
    /// Inserted users without a password.
    pub without_password: u64,
    /// Users with a note in the report.
    pub noted: u64,
    /// Users that were refused.
    pub refused: u64,
}

impl ImportRun<'_> {
    /// Imports the users, and updates `summary` on the way.
    ///
    /// # Errors
    /// Returns [`ImportError`] if the source, the store or a file fails. Whole batches of users may be inserted then.
    pub async fn run(mut self, summary: &mut ImportSummary) -> Result<(), ImportError> {
        self.stage(summary).await?;
        let planned = self.store.decide().await?;
        match self.insert {
            Insertion::Real => self.merge(planned, summary).await?,
            Insertion::DryRun => summary.imported = planned,
        }
        self.conclude(summary).await
    }

    /// Reads the source into the staging table.
    async fn stage(&mut self, summary: &mut ImportSummary) -> Result<(), ImportError> {
        let mut progress = Progress::start("reading", self.source.total);
        let mut is_complete = false;
        while let Some(batch) = self.source.rows.recv().await {
            let batch = batch?;
            is_complete = batch.len() < ROWS;
            let rows = batch.len() as u64;
            let mut staged: Vec<StagedUser> = Vec::with_capacity(batch.len());
            for row in batch {
                match row.and_then(|user| self.mapping.user(user)) {
                    Ok(user) => staged.push(user),
                    Err(broken) => {
                        summary.refused += 1;
                        self.report.refuse(&broken)?;
                        staged.extend(self.mapping.unreadable(&broken));
                    }
                }
            }
            self.report.flush()?;
            if !staged.is_empty() {
                self.store.stage(staged).await?;
            }
            summary.read += rows;
            progress.advance(rows);
        }
        if is_complete { Ok(()) } else { Err(ImportError::Reader) }
    }

    async fn merge(&mut self, planned: u64, summary: &mut ImportSummary) -> Result<(), ImportError> {
        let mut progress = Progress::start("importing", Some(planned));
        while let Some(batch) = self.store.merge().await? {
            summary.imported += batch.inserted;
            progress.advance(batch.planned);
        }
        if summary.imported > 0 {
            self.store.finish().await?;
        }
        Ok(())
    }

    /// Writes the report and the map.
    async fn conclude(mut self, summary: &mut ImportSummary) -> Result<(), ImportError> {
        let mut after = 0;
        loop {
            let page = self.store.decided(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            for user in &page {
                self.report_user(user, summary)?;
            }
            self.report.flush()?;
        }
        self.map.map_or(Ok(()), IdMap::finish)
    }

    fn report_user(&mut self, user: &DecidedUser, summary: &mut ImportSummary) -> Result<(), ImportError> {
        let remark = user.remark.as_deref();
        let (reported, reason) = match user.decision {
            ImportDecision::Insert => {
                summary.without_password += u64::from(!user.has_password);
                (Reported::Noted, remark)
            }
            ImportDecision::AlreadyImported => (Reported::Noted, None),
            ImportDecision::Refused | ImportDecision::Unreadable => (Reported::Refused, remark.or(Some("invalid"))),
            ImportDecision::RepeatedId => (Reported::Refused, Some("the source has this id more than once")),
            ImportDecision::RepeatedEmail => {
                (Reported::Refused, Some("the source has this email more than once, perhaps in upper and lower case"))
            }
            ImportDecision::IdTaken => (Reported::Refused, Some(ID_TAKEN)),
            ImportDecision::EmailTaken => (Reported::Refused, Some("another account already has this email")),
        };
        summary.already_imported += u64::from(user.decision == ImportDecision::AlreadyImported);
        let is_imported = reported == Reported::Noted;
        if let Some(map) = self.map.as_mut().filter(|_| is_imported) {
            map.add(&user.old_id, user.id)?;
        }
        let Some(reason) = reason else { return Ok(()) };
        *(if is_imported { &mut summary.noted } else { &mut summary.refused }) += 1;
        self.report.add(user.row, [&user.old_id, &user.email], reported, reason)
    }
}
