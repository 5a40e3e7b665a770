//! Why a channel ended early, in a form that both of its ends can have.

use std::sync::Arc;

use weir_api::error::{Code, Error};

/// An error that can be handed out more than once.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: Code,
    message: Arc<str>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<Arc<str>>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<&Failure> for Error {
    fn from(failure: &Failure) -> Self {
        Self::new(failure.code, failure.message.as_ref())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::from(&failure)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self::new(error.code(), error.chain())
    }
}
