//! Request parameters, from a query or a form body: unknown ones are ignored, repeated ones refused (RFC 6749 §3.1).

use url::form_urlencoded;

/// The parameters of one request.
#[derive(Default)]
pub struct Parameters(Vec<(String, String)>);

/// A parameter that stands there more than once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter is repeated")]
pub struct Repeated;

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text, the query's or a body's.
    pub fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The value of `name`, if it is there.
    ///
    /// # Errors
    /// [`Repeated`].
    pub fn single(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (first, None) => Ok(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_repeated_names_are_refused() {
        let parameters = Parameters::parse(b"a=%2Fx+y&b=1&b=2&c");
        assert_eq!(parameters.single("a"), Ok(Some("/x y")));
        assert_eq!(parameters.single("b"), Err(Repeated));
        assert_eq!(parameters.single("c"), Ok(Some("")));
        assert_eq!(parameters.single("d"), Ok(None));
    }
}
