//! The router: a matchit tree of paths, each with a handler for each method.

use std::{fmt, pin::Pin, sync::Arc};

use hyper::{Method, Request, body::Incoming};

use super::{
    auth::Authenticator,
    context::Context,
    error::ApiError,
    extract::FromRequest,
    response::{IntoResponse, Response},
};

/// A row of the route table.
pub struct Route {
    method: MethodFilter,
    path: &'static str,
    handler: Handler,
}

/// The methods that a route handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodFilter {
    /// This method. `GET` includes `HEAD`.
    One(Method),
    /// Every method, including `OPTIONS` and methods that HTTP does not define.
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

type Handler = Arc<dyn Fn(Context, Request<Incoming>) -> HandlerFuture + Send + Sync>;
type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

/// Returns a route: `handler` responds to `method` on `path` for the callers that `authenticator` accepts.
pub fn route<A, I, O, F, Fut>(
    method: impl Into<MethodFilter>,
    path: &'static str,
    authenticator: A,
    handler: F,
) -> Route
where
    A: Authenticator + Copy + Send + Sync + 'static,
    I: FromRequest + 'static,
    O: IntoResponse,
    F: Fn(Context, A::Caller, I) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ApiError>> + Send,
{
    let handler: Handler = Arc::new(move |context, request| {
        Box::pin(async move {
            // Authenticate first: the body of an unauthenticated request is never read.
            let caller = authenticator.authenticate(&context, request.headers()).await?;
            let input = I::from_request(request, &context).await?;
            // In a box of its own, which a request does not hold while its body arrives: the future of a login takes 17 KiB.
            context.state.memory.grow(const { size_of::<Fut>() as u64 })?;
            let response = boxed(handler(context, caller, input)).await?;
            Ok(response.into_response())
        })
    });
    Route { method: method.into(), path, handler }
}

fn boxed<'future, T>(
    future: impl Future<Output = T> + Send + 'future,
) -> Pin<Box<dyn Future<Output = T> + Send + 'future>> {
    Box::pin(future)
}

/// Finds the handler for a request.
pub struct Router {
    listener: &'static str,
    routes: Vec<(MethodFilter, &'static str)>,
    paths: Vec<&'static str>,
    tree: matchit::Router<Methods>,
}

/// A path of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutePath {
    /// The pattern.
    pub pattern: &'static str,
    /// The position in [`Router::paths`].
    pub index: usize,
}

#[derive(Clone)]
struct Methods {
    path: RoutePath,
    routes: Vec<(MethodFilter, Handler)>,
}

/// The route of a request.
pub enum RouteMatch {
    /// A handler for its path and method.
    Handler {
        /// The handler.
        handler: Handler,
        /// The values of the parameters of the path, in their order, as they were sent.
        path_parameters: Vec<String>,
    },
    /// `OPTIONS` on a path without a handler for it. Holds the value of `Allow`.
    Options(String),
}

impl Router {
    /// Returns the router of a listener; metrics use `listener` as a label. Paths are matchit patterns: `{id}` matches one
    /// segment, and `{*rest}` at the end matches one or more characters, including slashes.
    ///
    /// # Panics
    /// If two paths conflict: a bug in the route table.
    #[must_use]
    pub fn new(listener: &'static str, routes: impl IntoIterator<Item = Route>) -> Self {
        Self { listener, routes: Vec::new(), paths: Vec::new(), tree: matchit::Router::new() }.with(routes)
    }

    /// Adds routes to those of the listener.
    ///
    /// # Panics
    /// If two paths conflict, or one is already in the table: a bug in the route table.
    #[must_use]
    pub fn with(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        let mut table: Vec<Methods> = Vec::new();
        for Route { method, path, handler } in routes {
            self.routes.push((method.clone(), path));
            if let Some(methods) = table.iter_mut().find(|methods| methods.path.pattern == path) {
                methods.routes.push((method, handler));
                continue;
            }
            let path = RoutePath { pattern: path, index: self.paths.len() };
            self.paths.push(path.pattern);
            table.push(Methods { path, routes: vec![(method, handler)] });
        }
        for methods in table {
            let bare = methods.path.pattern.trim_end_matches('/');
            // `{*rest}` also matches the trailing slash.
            let takes_rest = bare.ends_with('}') && bare.contains("{*");
            let slashed = (!takes_rest).then(|| format!("{bare}/"));
            for path in [bare.to_owned()].into_iter().chain(slashed) {
                self.tree.insert(path, methods.clone()).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        self
    }

    /// Returns the name of the listener.
    #[must_use]
    pub fn listener(&self) -> &'static str {
        self.listener
    }

    /// Returns the method and path of each route, in the order of the table.
    pub fn routes(&self) -> impl Iterator<Item = (&MethodFilter, &'static str)> {
        self.routes.iter().map(|(method, path)| (method, *path))
    }

    /// Returns the patterns of the paths, each once, in the order of the table.
    #[must_use]
    pub fn paths(&self) -> &[&'static str] {
        &self.paths
    }

    /// Returns the pattern that matches a path, if any, and the route of a method on it. `HEAD` uses the handler of `GET`;
    /// `OPTIONS` is allowed on every path.
    pub fn find(&self, method: &Method, path: &str) -> (Option<RoutePath>, Result<RouteMatch, ApiError>) {
        let Ok(found) = self.tree.at(path) else { return (None, Err(ApiError::NotFound)) };
        let methods = found.value;
        let route_match = match methods.handler(method) {
            Some(handler) => Ok(RouteMatch::Handler {
                handler: Arc::clone(handler),
                path_parameters: found.params.iter().map(|(_, text)| text.to_owned()).collect(),
            }),
            None if method == Method::OPTIONS => Ok(RouteMatch::Options(methods.allow())),
            None => Err(ApiError::MethodNotAllowed { allow: methods.allow() }),
        };
        (Some(methods.path), route_match)
    }
}

impl Methods {
    /// Returns the handler of this method, or else that of any method.
    fn handler(&self, method: &Method) -> Option<&Handler> {
        let wanted = MethodFilter::One(if method == Method::HEAD { Method::GET } else { method.clone() });
        let find = |wanted: &MethodFilter| self.routes.iter().find(|(filter, _)| filter == wanted);
        find(&wanted).or_else(|| find(&MethodFilter::Any)).map(|(_, handler)| handler)
    }

    /// Returns the value of `Allow`. Never called for a path with [`MethodFilter::Any`].
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

    async fn no_content(_: Context, _: Anonymous, _: NoBody) -> Result<NoContent, ApiError> {
        Ok(NoContent)
    }

    fn router() -> Router {
        Router::new(
            "test",
            [
                route(Method::GET, "/things/", Public, no_content),
                route(Method::DELETE, "/things/{id}/", Public, no_content),
                route(Method::GET, "/things/{id}/parts/{part}/", Public, no_content),
                route(MethodFilter::Any, "/anything/", Public, no_content),
                route(MethodFilter::Any, "/anything/{*rest}", Public, no_content),
            ],
        )
    }

    /// Returns the matching pattern with its parameter or the value of `Allow`; or else the error code.
    fn find(method: &str, path: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let router = router();
        match router.find(&method, path) {
            (Some(path), Ok(RouteMatch::Handler { path_parameters, .. })) if path_parameters.is_empty() => {
                format!("{} -", path.pattern)
            }
            (Some(path), Ok(RouteMatch::Handler { path_parameters, .. })) => {
                format!("{} {}", path.pattern, path_parameters.join(" "))
            }
            (Some(path), Ok(RouteMatch::Options(allow))) => format!("{} {allow}", path.pattern),
            (_, Err(error)) => error.code().unwrap_or("not found").to_owned(),
            (None, Ok(_)) => unreachable!("every route has a pattern"),
        }
    }

    #[test]
    fn parameter_is_one_segment_as_it_was_sent() {
        for path in ["/things/a%2Fb", "/things/a%2Fb/"] {
            assert_eq!(find("DELETE", path), "/things/{id}/ a%2Fb");
            assert_eq!(find("OPTIONS", path), "/things/{id}/ DELETE, OPTIONS");
            assert_eq!(find("GET", path), "method_not_allowed");
        }
        assert_eq!(find("DELETE", "/things/"), "method_not_allowed");
        assert_eq!(find("DELETE", "/things//"), "not found");
        assert_eq!(find("DELETE", "/things/a/b"), "not found");
    }

    #[test]
    fn parameters_are_in_the_order_of_the_path() {
        assert_eq!(find("GET", "/things/a/parts/%62/"), "/things/{id}/parts/{part}/ a %62");
    }

    #[test]
    fn any_method_includes_unknown_methods() {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "BREW"] {
            assert_eq!(find(method, "/anything"), "/anything/ -");
            assert_eq!(find(method, "/anything/"), "/anything/ -");
        }
    }

    #[test]
    fn rest_parameter_matches_one_or_more_characters() {
        for rest in ["a", "a/", "a//b", "/", "../a", "%2e%2e/a"] {
            assert_eq!(find("GET", &format!("/anything/{rest}")), format!("/anything/{{*rest}} {rest}"));
        }
        assert_eq!(find("GET", "/anythingelse"), "not found");
    }
}
