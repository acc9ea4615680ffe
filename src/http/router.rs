//! One matchit tree whose value is a set of methods.

use std::{fmt, pin::Pin, sync::Arc};

use hyper::{Method, Request, body::Incoming};

use super::{
    auth::Authenticator,
    context::Context,
    error::ApiError,
    extract::FromRequest,
    response::{IntoResponse, Response},
};

/// A line of the table.
pub struct Route {
    method: MethodFilter,
    path: &'static str,
    handler: Handler,
}

/// The methods that a line of the table is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodFilter {
    /// This one; `HEAD` beside `GET`.
    One(Method),
    /// Whatever a request may name, `OPTIONS` and those that HTTP does not know included.
    Any,
}

impl From<Method> for MethodFilter {
    fn from(method: Method) -> Self {
        Self::One(method)
    }
}

impl fmt::Display for MethodFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::One(method) => method.as_str(),
            Self::Any => "any",
        })
    }
}

type Handler = Arc<dyn Fn(Context, Request<Incoming>) -> Answer + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

/// A line of the table: `handler` answers `method` on `path` for callers that `access` admits.
pub fn route<A, I, O, F, Fut>(method: impl Into<MethodFilter>, path: &'static str, access: A, handler: F) -> Route
where
    A: Authenticator + Copy + Send + Sync + 'static,
    I: FromRequest + 'static,
    O: IntoResponse,
    F: Fn(Context, A::Caller, I) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ApiError>> + Send,
{
    let handler: Handler = Arc::new(move |context, request| {
        Box::pin(async move {
            // Who calls comes before what they say: a stranger's body is not even read.
            let caller = access.admit(&context, request.headers()).await?;
            let input = I::read(request, &context).await?;
            Ok(handler(context, caller, input).await?.into_response())
        })
    });
    Route { method: method.into(), path, handler }
}

/// Finds the handler for a request.
pub struct Router {
    listener: &'static str,
    routes: Vec<(MethodFilter, &'static str)>,
    tree: matchit::Router<Methods>,
}

struct Methods {
    path: &'static str,
    routes: Vec<(MethodFilter, Handler)>,
}

/// What the table says of a request.
pub enum RouteMatch {
    /// It has a handler.
    Handler {
        /// Answers it.
        handler: Handler,
        /// What the path has in place of the pattern's parameter, as it was sent; of several, the last.
        parameter: Option<String>,
    },
    /// It asks what may be asked: the value of `Allow`.
    Options(String),
}

impl Router {
    /// A router of these routes for a listener, whose name metrics know it by. Paths are matchit's patterns: `{id}` stands
    /// for one segment, and `{*rest}` at the end for one character or more, slashes included.
    ///
    /// # Panics
    /// Where two of the paths cannot be told apart: a mistake in the table.
    #[must_use]
    pub fn new(listener: &'static str, routes: impl IntoIterator<Item = Route>) -> Self {
        let mut table: Vec<Methods> = Vec::new();
        let mut listed = Vec::new();
        for Route { method, path, handler } in routes {
            listed.push((method.clone(), path));
            match table.iter_mut().find(|methods| methods.path == path) {
                Some(methods) => methods.routes.push((method, handler)),
                None => table.push(Methods { path, routes: vec![(method, handler)] }),
            }
        }
        let mut tree = matchit::Router::new();
        for methods in table {
            let bare = methods.path.trim_end_matches('/');
            // What takes the rest of a path takes the slash at its end, too.
            let takes_rest = bare.ends_with('}') && bare.contains("{*");
            let slashed = (!takes_rest).then(|| format!("{bare}/"));
            for path in [bare.to_owned()].into_iter().chain(slashed) {
                let methods = Methods { path: methods.path, routes: methods.routes.clone() };
                tree.insert(path, methods).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        Self { listener, routes: listed, tree }
    }

    /// The name of its listener.
    #[must_use]
    pub fn listener(&self) -> &'static str {
        self.listener
    }

    /// The table: each method and path, in its order.
    pub fn routes(&self) -> impl Iterator<Item = (&MethodFilter, &'static str)> {
        self.routes.iter().map(|(method, path)| (method, *path))
    }

    /// What the table says of a method on a path, and the path's pattern where it has one. `HEAD` is served wherever
    /// `GET` is, and `OPTIONS` everywhere.
    pub fn find(&self, method: &Method, path: &str) -> (Option<&'static str>, Result<RouteMatch, ApiError>) {
        let Ok(found) = self.tree.at(path) else { return (None, Err(ApiError::NotFound)) };
        let methods = found.value;
        let found = match methods.handler(method) {
            Some(handler) => Ok(RouteMatch::Handler {
                handler: Arc::clone(handler),
                parameter: found.params.iter().last().map(|(_, text)| text.to_owned()),
            }),
            None if method == Method::OPTIONS => Ok(RouteMatch::Options(methods.allow())),
            None => Err(ApiError::MethodNotAllowed { allow: methods.allow() }),
        };
        (Some(methods.path), found)
    }
}

impl Methods {
    /// Of a method by its own name, or else of any method.
    fn handler(&self, method: &Method) -> Option<&Handler> {
        let wanted = MethodFilter::One(if method == Method::HEAD { Method::GET } else { method.clone() });
        let of = |wanted: &MethodFilter| self.routes.iter().find(|(allowed, _)| allowed == wanted);
        of(&wanted).or_else(|| of(&MethodFilter::Any)).map(|(_, handler)| handler)
    }

    /// Asked only where some method is not allowed.
    fn allow(&self) -> String {
        let mut allowed = Vec::new();
        for (method, _) in &self.routes {
            if let MethodFilter::One(method) = method {
                allowed.push(method.as_str());
                if method == Method::GET {
                    allowed.push("HEAD");
                }
            }
        }
        allowed.push("OPTIONS");
        allowed.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        auth::{Anonymous, Public},
        extract::NoBody,
        response::NoContent,
    };
    use super::*;

    async fn nothing(_: Context, _: Anonymous, _: NoBody) -> Result<NoContent, ApiError> {
        Ok(NoContent)
    }

    fn router() -> Router {
        Router::new(
            "test",
            [
                route(Method::GET, "/things/", Public, nothing),
                route(Method::DELETE, "/things/{id}/", Public, nothing),
                route(MethodFilter::Any, "/anything/", Public, nothing),
                route(MethodFilter::Any, "/anything/{*rest}", Public, nothing),
            ],
        )
    }

    /// The pattern that is found, and its parameter; or the code of the refusal.
    fn found(method: &str, path: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let router = router();
        match router.find(&method, path) {
            (Some(pattern), Ok(RouteMatch::Handler { parameter, .. })) => {
                format!("{pattern} {}", parameter.as_deref().unwrap_or("-"))
            }
            (Some(pattern), Ok(RouteMatch::Options(allow))) => format!("{pattern} {allow}"),
            (_, Err(problem)) => problem.code().unwrap_or("not found").to_owned(),
            (None, Ok(_)) => unreachable!("what is found has a pattern"),
        }
    }

    #[test]
    fn a_parameter_is_one_segment_as_it_was_sent() {
        for path in ["/things/a%2Fb", "/things/a%2Fb/"] {
            assert_eq!(found("DELETE", path), "/things/{id}/ a%2Fb");
            assert_eq!(found("OPTIONS", path), "/things/{id}/ DELETE, OPTIONS");
            assert_eq!(found("GET", path), "method_not_allowed");
        }
        assert_eq!(found("DELETE", "/things/"), "method_not_allowed");
        assert_eq!(found("DELETE", "/things//"), "not found");
        assert_eq!(found("DELETE", "/things/a/b"), "not found");
    }

    #[test]
    fn a_path_of_any_method_has_them_all() {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "BREW"] {
            assert_eq!(found(method, "/anything"), "/anything/ -");
            assert_eq!(found(method, "/anything/"), "/anything/ -");
        }
    }

    #[test]
    fn the_rest_of_a_path_is_whatever_follows() {
        for rest in ["a", "a/", "a//b", "/", "../a", "%2e%2e/a"] {
            assert_eq!(found("GET", &format!("/anything/{rest}")), format!("/anything/{{*rest}} {rest}"));
        }
        assert_eq!(found("GET", "/anythingelse"), "not found");
    }
}
