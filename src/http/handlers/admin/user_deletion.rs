//! Deletion of users by administrators.

use super::{
    page_memory::{PageMemory, USER_BYTES},
    user_views::DeletionView,
};
use crate::{
    http::{
        admin_caller::AdminCaller,
        context::Context,
        error::ApiError,
        extract::{At, WithoutBody},
        fields::Fields,
        query::{Query, WithoutQuery},
        response::JsonText,
    },
    model::UserId,
    store::DeletionMode,
};

/// `DELETE /admin/api/users/{id}/`
pub async fn delete(
    context: Context,
    caller: AdminCaller,
    WithoutBody(At(id, mut query)): WithoutBody<At<UserId, Query>>,
) -> Result<Option<JsonText>, ApiError> {
    let dry_run = query.boolean("dry_run");
    let mode = mode(query.finish(dry_run)?);
    let memory = PageMemory::reserve(&context, 1, USER_BYTES)?;
    let deletion = context.user_admin.delete(vec![id], mode, &context.admin_call(&caller)).await?;
    if deletion.deleted.is_empty() {
        return Err(ApiError::UserNotFound);
    }
    Ok(dry_run.then(|| memory.json(&DeletionView::of(&deletion, mode))))
}

/// `POST /admin/api/users/delete/`
pub async fn delete_several(
    context: Context,
    caller: AdminCaller,
    WithoutQuery(mut body): WithoutQuery<Fields>,
) -> Result<JsonText, ApiError> {
    let (users, dry_run) = (body.user_ids("users"), body.boolean("dry_run"));
    let (users, dry_run) = body.finish(users.zip(dry_run))?;
    let memory = PageMemory::reserve(&context, users.len(), USER_BYTES)?;
    let mode = mode(dry_run);
    let deletion = context.user_admin.delete(users, mode, &context.admin_call(&caller)).await?;
    Ok(memory.json(&DeletionView::of(&deletion, mode)))
}

fn mode(dry_run: bool) -> DeletionMode {
    if dry_run { DeletionMode::DryRun } else { DeletionMode::Real }
}
