//! One matchit tree whose value is a set of methods.

use std::{pin::Pin, sync::Arc};

use hyper::{Method, Request, body::Incoming};

use super::{
    access::Access,
    input::Input,
    output::{Output, Response},
    problem::Problem,
    service::Context,
};

/// A line of the table.
pub struct Route {
    method: Method,
    path: &'static str,
    handler: Handler,
}

type Handler = Arc<dyn Fn(Context, Request<Incoming>) -> Answer + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// A line of the table: `handler` answers `method` on `path` for callers that `access` admits.
pub fn route<A, I, O, F, Fut>(method: Method, path: &'static str, access: A, handler: F) -> Route
where
    A: Access + Copy + Send + Sync + 'static,
    I: Input + 'static,
    O: Output,
    F: Fn(Context, A::Caller, I) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<O, Problem>> + Send,
{
    let handler: Handler = Arc::new(move |context, request| {
        Box::pin(async move {
            // Who calls comes before what they say: a stranger's body is not even read.
            let caller = access.admit(&context, request.headers()).await?;
            let input = I::read(request, &context).await?;
            Ok(handler(context, caller, input).await?.into_response())
        })
    });
    Route { method, path, handler }
}

/// Finds the handler for a request.
pub struct Router {
    listener: &'static str,
    routes: Vec<(Method, &'static str)>,
    tree: matchit::Router<Methods>,
}

struct Methods {
    path: &'static str,
    routes: Vec<(Method, Handler)>,
}

/// What the table says of a request.
pub enum Found {
    /// It has a handler.
    Handler(Handler),
    /// It asks what may be asked: the value of `Allow`.
    Options(String),
}

impl Router {
    /// A router of these routes for a listener, whose name metrics know it by.
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
            for path in [bare.to_owned(), format!("{bare}/")] {
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
    pub fn routes(&self) -> impl Iterator<Item = (&Method, &'static str)> {
        self.routes.iter().map(|(method, path)| (method, *path))
    }

    /// What the table says of a method on a path, and the path's pattern where it has one. `HEAD` is served wherever
    /// `GET` is, and `OPTIONS` everywhere.
    pub fn find(&self, method: &Method, path: &str) -> (Option<&'static str>, Result<Found, Problem>) {
        let Ok(found) = self.tree.at(path) else { return (None, Err(Problem::NotFound)) };
        let methods = found.value;
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let handler = methods.routes.iter().find(|(method, _)| method == wanted);
        let found = match handler {
            Some((_, handler)) => Ok(Found::Handler(Arc::clone(handler))),
            None if method == Method::OPTIONS => Ok(Found::Options(methods.allow())),
            None => Err(Problem::MethodNotAllowed { allow: methods.allow() }),
        };
        (Some(methods.path), found)
    }
}

impl Methods {
    fn allow(&self) -> String {
        let mut allowed = Vec::new();
        for (method, _) in &self.routes {
            allowed.push(method.as_str());
            if method == Method::GET {
                allowed.push("HEAD");
            }
        }
        allowed.push("OPTIONS");
        allowed.join(", ")
    }
}
