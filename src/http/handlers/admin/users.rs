//! Users, for administrators: the list, and one user.

use super::{
    page_memory::{PageMemory, USER_BYTES},
    user_query::user_page_query,
    user_views::{OwnedUserView, UserPageView},
};
use crate::{
    accounts::{NewUser, UserEdit, UserRef},
    http::{
        admin_caller::AdminCaller,
        context::Context,
        error::ApiError,
        extract::{At, Path, PathParameter, WithoutBody},
        fields::Fields,
        query::{Query, WithoutQuery},
        response::{Created, Json, JsonText},
    },
    model::{AccountStatus, Role, UserId},
};

impl PathParameter for UserId {
    fn not_found() -> ApiError {
        ApiError::UserNotFound
    }
}

/// `GET /admin/api/users/`
pub async fn list(context: Context, _: AdminCaller, mut query: Query) -> Result<JsonText, ApiError> {
    let page = user_page_query(&mut query);
    let page = query.finish(page)?;
    let memory = PageMemory::reserve(&context, page.limit as usize, USER_BYTES)?;
    let page = context.user_admin.page(&page, &context.call.time).await?;
    Ok(memory.json(&UserPageView::from(&page)))
}

/// `POST /admin/api/users/`
pub async fn create(
    context: Context,
    caller: AdminCaller,
    WithoutQuery(mut body): WithoutQuery<Fields>,
) -> Result<Created<OwnedUserView>, ApiError> {
    let role = body.optional("role", role).unwrap_or(Role::Member);
    let status = body.optional("status", status).unwrap_or(AccountStatus::Active);
    let email_verified = body.optional_boolean("email_verified");
    let password = body.optional_password("password");
    let names = body.name("name").zip(body.email("email"));
    let ((name, email), email_verified) = body.finish(names.zip(email_verified))?;
    let new = NewUser { email, email_verified, name, role, status, password };
    let user = context.user_admin.create(new, &context.admin_call(&caller)).await?;
    Ok(Created(OwnedUserView(user)))
}

/// `GET /admin/api/users/{id}/`
pub async fn show(
    context: Context,
    _: AdminCaller,
    WithoutQuery(Path(id)): WithoutQuery<Path<UserId>>,
) -> Result<Json<OwnedUserView>, ApiError> {
    Ok(Json(OwnedUserView(context.user_admin.summary(id, &context.call.time).await?)))
}

/// `PATCH /admin/api/users/{id}/`
pub async fn edit(
    context: Context,
    caller: AdminCaller,
    WithoutQuery(At(id, mut body)): WithoutQuery<At<UserId, Fields>>,
) -> Result<Json<OwnedUserView>, ApiError> {
    let edit = user_edit(&mut body);
    let edit = body.finish(Some(edit))?;
    let edited = context.user_admin.edit(&UserRef::Id(id), edit, &context.admin_call(&caller)).await?;
    Ok(Json(OwnedUserView(edited.user)))
}

/// Takes the new values of a user: at least one.
fn user_edit(body: &mut Fields) -> UserEdit {
    const FIELDS: [&str; 5] = ["name", "email", "email_verified", "role", "status"];
    if !FIELDS.into_iter().any(|field| body.has(field)) {
        body.add_error("body", format!("Give at least one of: {}.", FIELDS.join(", ")));
    }
    UserEdit {
        name: body.optional("name", Fields::name),
        email: body.optional("email", Fields::email),
        email_verified: body.optional("email_verified", Fields::boolean),
        role: body.optional("role", role),
        status: body.optional("status", status),
    }
}

fn role(body: &mut Fields, field: &'static str) -> Option<Role> {
    body.choice(field, &Role::ALL, Role::name)
}

fn status(body: &mut Fields, field: &'static str) -> Option<AccountStatus> {
    body.choice(field, &AccountStatus::ALL, AccountStatus::name)
}

/// `PUT /admin/api/users/{id}/password/`
pub async fn set_password(
    context: Context,
    caller: AdminCaller,
    WithoutQuery(At(id, mut body)): WithoutQuery<At<UserId, Fields>>,
) -> Result<Json<OwnedUserView>, ApiError> {
    let password = body.password("password");
    let password = body.finish(password)?;
    let user = context.user_admin.set_password(&UserRef::Id(id), password, &context.admin_call(&caller)).await?;
    Ok(Json(OwnedUserView(user)))
}

/// `DELETE /admin/api/users/{id}/password/`
pub async fn disable_password(
    context: Context,
    caller: AdminCaller,
    WithoutBody(WithoutQuery(Path(id))): WithoutBody<WithoutQuery<Path<UserId>>>,
) -> Result<Json<OwnedUserView>, ApiError> {
    let user = context.user_admin.disable_password(&UserRef::Id(id), &context.admin_call(&caller)).await?;
    Ok(Json(OwnedUserView(user)))
}
