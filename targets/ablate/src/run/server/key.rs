//! The key that a server asks for: read from the environment, sent, and written nowhere.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::arm::{Arm, ServerArm};
use crate::error::{Error, Result};

/// Environment variable that clients of such servers read their key from.
const USUAL: &str = "OPENAI_API_KEY";

/// A key, or a user and password, and where it comes from.
pub(super) struct Key {
    /// As a message says it.
    from: String,
    secret: String,
    /// What the request says.
    header: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.from)
    }
}

impl Key {
    /// The key of `arm`'s server, where there is one. `environment` gives the value of an environment variable.
    ///
    /// # Errors
    /// [`Error::Option`] where the variable that the arm names is not set, or holds what cannot be sent.
    pub(super) fn of(
        arm: &Arm,
        server: &ServerArm,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        let name = server.key_env.as_deref().unwrap_or(USUAL);
        let wrong = |expected: &str, got: &str| {
            let field = format!("arm {:?}: the key in {name}", arm.name);
            Err(Error::option(field, expected, got))
        };
        // Who is named in the address asks, and no other.
        if let Some((user, password)) = server.login() {
            return Ok(Some(Self {
                from: "the user in its address".into(),
                // RFC 7617.
                header: format!(
                    "Basic {}",
                    BASE64_STANDARD.encode(format!("{user}:{password}"))
                ),
                secret: password,
            }));
        }
        let secret = environment(name).unwrap_or_default();
        let secret = secret.trim();
        if secret.is_empty() {
            return match &server.key_env {
                Some(_) => wrong(
                    "an environment variable of that name",
                    "none, or an empty one",
                ),
                None => Ok(None),
            };
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("letters, digits and signs of ASCII", "others");
        }
        Ok(Some(Self {
            from: format!("the key in {name}"),
            header: format!("Bearer {secret}"),
            secret: secret.into(),
        }))
    }

    /// Where it comes from, as a message says it.
    pub(super) fn from(&self) -> &str {
        &self.from
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn header(&self) -> &str {
        &self.header
    }
}
