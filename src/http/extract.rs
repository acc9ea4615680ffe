//! The inputs that handlers read from a request.

use std::str::FromStr;

use hyper::{
    Request,
    body::{Body as _, Incoming},
};

use super::{context::Context, error::ApiError, field_errors::FieldErrors};

/// The input of a handler.
pub trait FromRequest: Sized + Send {
    /// Reads and validates the input.
    fn from_request(
        request: Request<Incoming>,
        context: &Context,
    ) -> impl Future<Output = Result<Self, ApiError>> + Send;
}

/// No input. A body is ignored.
pub struct NoBody;

impl FromRequest for NoBody {
    async fn from_request(_: Request<Incoming>, _: &Context) -> Result<Self, ApiError> {
        Ok(Self)
    }
}

/// An input of a request without a body. A field that is ignored, such as a dry run in the body of a deletion, would do what the
/// client did not want. The body is not read, so a chunked one is rejected even if it is empty.
pub struct WithoutBody<I>(pub I);

impl<I: FromRequest> FromRequest for WithoutBody<I> {
    async fn from_request(request: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        let has_body = !request.body().is_end_stream();
        let input = I::from_request(request, context).await?;
        if has_body {
            let mut errors = FieldErrors::default();
            errors.add("body", "Expected no body.");
            return Err(ApiError::ValidationFailed(errors));
        }
        Ok(Self(input))
    }
}

/// The first parameter of the path. It is not percent-decoded: no character of an id needs encoding.
pub struct Path<T>(pub T);

/// The first two parameters of the path, as [`Path`] has one.
pub struct Paths<A, B>(pub A, pub B);

/// The first parameter of the path, as [`Path`] has it, and another input, which is not read if the parameter is invalid.
pub struct At<T, I>(pub T, pub I);

/// A type that a path parameter can have.
pub trait PathParameter: FromStr + Send {
    /// Returns the error for a text that cannot be parsed: the same as for a valid id that does not exist.
    fn not_found() -> ApiError;

    /// Parses the parameter of a path.
    fn from_path(parameter: Option<&str>) -> Result<Self, ApiError> {
        parameter.and_then(|text| text.parse().ok()).ok_or_else(Self::not_found)
    }
}

impl<T: PathParameter> FromRequest for Path<T> {
    async fn from_request(_: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        path_parameter(context, 0).map(Self)
    }
}

impl<A: PathParameter, B: PathParameter> FromRequest for Paths<A, B> {
    async fn from_request(_: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        Ok(Self(path_parameter(context, 0)?, path_parameter(context, 1)?))
    }
}

impl<T: PathParameter, I: FromRequest> FromRequest for At<T, I> {
    async fn from_request(request: Request<Incoming>, context: &Context) -> Result<Self, ApiError> {
        let parameter = path_parameter(context, 0)?;
        Ok(Self(parameter, I::from_request(request, context).await?))
    }
}

fn path_parameter<T: PathParameter>(context: &Context, index: usize) -> Result<T, ApiError> {
    T::from_path(context.path_parameters.get(index).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_path_parameter_is_not_found() {
        #[derive(Debug, PartialEq)]
        struct Number(u8);
        impl FromStr for Number {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
        impl PathParameter for Number {
            fn not_found() -> ApiError {
                ApiError::NotFound
            }
        }

        assert!(matches!(Number::from_path(Some("7")), Ok(Number(7))));
        for parameter in [None, Some("x"), Some("%37"), Some("256")] {
            assert!(matches!(Number::from_path(parameter), Err(ApiError::NotFound)), "{parameter:?}");
        }
    }
}
