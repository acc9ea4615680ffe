//! `/admin/api/me/`: the caller.

use serde::Serialize;

use crate::{
    api_keys::Scope,
    clock::rfc3339,
    http::{
        admin_caller::AdminCaller, context::Context, error::ApiError, extract::NoBody, query::WithoutQuery,
        response::Json,
    },
    model::AdminReach,
};

/// The caller of the admin API, and what it may do.
#[derive(Serialize)]
pub struct Me {
    /// The administrator; `null` for an API client.
    user: Option<MeUser>,
    /// The name of the API client; `null` for an administrator.
    api_key: Option<String>,
    /// Whether the caller may change anything.
    may_write: bool,
    /// Whether it may also create and change administrators.
    may_change_administrators: bool,
    /// Until when no reauthentication is required; `null` for an API client.
    authenticated_until: Option<String>,
}

/// The administrator.
#[derive(Serialize)]
pub struct MeUser {
    id: String,
    name: String,
    email: String,
}

/// `GET /admin/api/me/`
pub async fn me(_: Context, caller: AdminCaller, _: WithoutQuery<NoBody>) -> Result<Json<Me>, ApiError> {
    let may_change_administrators = caller.reach() == AdminReach::AllUsers;
    Ok(Json(match caller {
        AdminCaller::Administrator { current, authenticated_until } => Me {
            user: Some(MeUser {
                id: current.user.id.to_string(),
                name: current.user.name.as_str().to_owned(),
                email: current.user.email.as_str().to_owned(),
            }),
            api_key: None,
            may_write: true,
            may_change_administrators,
            authenticated_until: Some(rfc3339(authenticated_until)),
        },
        AdminCaller::ApiClient(client) => Me {
            user: None,
            api_key: Some(client.name.as_str().to_owned()),
            may_write: client.scopes.permit(Scope::Admin),
            may_change_administrators,
            authenticated_until: None,
        },
    }))
}
