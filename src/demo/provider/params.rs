//! Parameters of a query or a form, by the rules of OAuth: none twice, and an empty one is as good as none.

use url::form_urlencoded;

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// A parameter that came twice (RFC 6749 §3.1, §3.2).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {0:?} comes more than once")]
pub struct RepeatedParameter(String);

impl Params {
    /// Reads `encoded` as `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// When a parameter comes more than once.
    pub fn parse(encoded: &[u8]) -> Result<Self, RepeatedParameter> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            if params.iter().any(|(known, _)| *known == name) {
                return Err(RepeatedParameter(name.into_owned()));
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(params))
    }

    /// The value of `name`, unless it is absent or empty (RFC 6749 §3.1).
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// As [`Params::value`], owned.
    pub fn owned(&self, name: &str) -> Option<String> {
        self.value(name).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let params = Params::parse(b"scope=openid+email&state=a%26b").expect("no repetition");
        assert_eq!(params.value("scope"), Some("openid email"));
        assert_eq!(params.value("state"), Some("a&b"));
    }

    /// RFC 6749 §3.1
    #[test]
    fn an_empty_parameter_is_as_good_as_none() {
        assert_eq!(Params::parse(b"state=&x").expect("no repetition").value("state"), None);
    }

    /// RFC 6749 §3.1
    #[test]
    fn a_repeated_parameter_is_refused_by_name() {
        let error = Params::parse(b"state=a&state=b").expect_err("repeated");
        assert_eq!(error, RepeatedParameter("state".to_owned()));
    }
}
