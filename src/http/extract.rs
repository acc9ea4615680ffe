//! The inputs that handlers read from a request.

use std::str::FromStr;

use hyper::{Request, body::Incoming};

use super::{context::Context, error::ApiError};

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

/// The path parameter. It is not percent-decoded: no character of an id needs encoding.
pub struct Path<T>(pub T);

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
        T::from_path(context.path_parameter.as_deref()).map(Self)
    }
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
