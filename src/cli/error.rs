//! How a command fails: one line on stderr and an exit code. Usage errors (bad config, bad file, used port) exit with 2.

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The user can mend it: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It was asked for rightly and failed all the same: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    pub fn usage(text: impl std::fmt::Display) -> Self {
        Self::Usage(text.to_string())
    }

    pub fn failed(text: impl std::fmt::Display) -> Self {
        Self::Failed(text.to_string())
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

impl From<crate::app::AppError> for CliError {
    fn from(error: crate::app::AppError) -> Self {
        match error {
            crate::app::AppError::Thread(_) | crate::app::AppError::Panicked(_) => Self::failed(error),
            // A used port, a missing certificate, a bad feed: the user can mend it.
            _ => Self::usage(error),
        }
    }
}
