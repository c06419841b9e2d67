//! A server that answers in place of curt.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Longest that one request of a server may take, in seconds: a day.
const LONGEST_TIMEOUT_S: f64 = 86_400.0;

/// An OpenAI-compatible server.
///
/// It is asked with the sampling of the other arms, by the names that servers use; `greedy` is a temperature of 0. What
/// OpenAI's own interface does not have goes by the name that llama.cpp, llama-cpp-python, vLLM and their kin know, and only
/// where the sampling says it: `top_k`, `min_p`, and a penalty other than 1 as `repeat_penalty` (llama.cpp,
/// llama-cpp-python) and `repetition_penalty` (vLLM). A server that takes several answers to a request (`n`) is asked once.
///
/// A user and password in the address are taken out of it as it is read: they are sent, and never written or shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct ServerArm {
    /// Address up to and without `/chat/completions`, such as `http://127.0.0.1:8000/v1`; without user and password.
    pub url: String,
    /// The model's name there; without it the first that the server lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Seconds that one request may take.
    pub timeout_s: f64,
    /// Environment variable that holds the server's key; without it `OPENAI_API_KEY`, where that is set. The key itself is
    /// no part of an arm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    #[serde(skip)]
    login: Option<Login>,
}

/// User and password, as they stand in an address.
#[derive(Clone, PartialEq)]
struct Login(String);

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// A server as an arm file or a record writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default = "timeout")]
    timeout_s: f64,
    #[serde(default)]
    key_env: Option<String>,
}

fn timeout() -> f64 {
    120.0
}

impl From<Written> for ServerArm {
    fn from(written: Written) -> Self {
        let (url, login) = without_login(&written.url);
        Self {
            url,
            login,
            model: written.model,
            timeout_s: written.timeout_s,
            key_env: written.key_env,
        }
    }
}

/// An address without its user and password, and these.
fn without_login(url: &str) -> (String, Option<Login>) {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..host_end].rsplit_once('@') {
        Some((login, host)) => (
            format!("{scheme}{host}{}", &rest[host_end..]),
            Some(Login(login.into())),
        ),
        None => (url.into(), None),
    }
}

impl ServerArm {
    /// The address of `what` there.
    pub(crate) fn address(&self, what: &str) -> String {
        format!("{}{what}", self.url.trim_end_matches('/'))
    }

    /// User and password in the address that was given, decoded.
    pub(crate) fn login(&self) -> Option<(String, String)> {
        let Login(login) = self.login.as_ref()?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some((decoded(user), decoded(password)))
    }

    /// Whether what is sent stays on this machine.
    pub fn is_on_this_machine(&self) -> bool {
        let rest = self.url.strip_prefix("http://").unwrap_or(&self.url);
        let host = &rest[..rest.find('/').unwrap_or(rest.len())];
        let host = match host.strip_prefix('[') {
            Some(six) => six.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let loopback = |ip: std::net::IpAddr| ip.is_loopback();
        host == "localhost" || host.parse().is_ok_and(loopback)
    }

    /// Refuses a server that cannot be asked. `arm`: its name in errors.
    pub(super) fn validate(&self, arm: &str) -> Result<()> {
        let wrong = |field: &str, expected: String, got: &dyn fmt::Display| {
            Err(Error::option(
                format!("arm {arm:?}: {field}"),
                expected,
                got,
            ))
        };
        let Some(rest) = self.url.strip_prefix("http://") else {
            let scheme = self.url.split("://").next().unwrap_or_default();
            let got = if scheme == self.url { "none" } else { scheme };
            return wrong(
                "server.url",
                "an address that begins with http://".into(),
                &got,
            );
        };
        // Neither could be told from a secret.
        if rest.contains(['?', '#']) {
            let expected = "an address without `?` and `#`; a key is named by server.key_env (--server-key-env)";
            return wrong("server.url", expected.into(), &"one with them");
        }
        if rest.is_empty() || rest.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return wrong(
                "server.url",
                "an address without spaces".into(),
                &format!("{:?}", self.url),
            );
        }
        if !(self.timeout_s > 0.0 && self.timeout_s <= LONGEST_TIMEOUT_S) {
            let expected = format!("seconds above 0, at most {LONGEST_TIMEOUT_S}");
            return wrong("server.timeout_s", expected, &self.timeout_s);
        }
        if self.login.is_some() && self.key_env.is_some() {
            let expected = "either a user in server.url or a key in server.key_env".into();
            return wrong("server", expected, &"both");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_the_address_and_never_shown() {
        for (given, shown, user, password) in [
            ("http://u:pw@h:1/v1/", "http://h:1/v1/", "u", "pw"),
            ("http://u:p@w@h/v1", "http://h/v1", "u", "p@w"),
            ("http://u%3A:%70%77@h/v1", "http://h/v1", "u:", "pw"),
            ("http://key@h", "http://h", "key", ""),
        ] {
            let arm: ServerArm =
                serde_json::from_value(serde_json::json!({ "url": given })).unwrap();
            assert_eq!(arm.url, shown);
            assert_eq!(arm.login(), Some((user.into(), password.into())));
            let seen = format!("{arm:?}{}", serde_json::to_string(&arm).unwrap());
            for secret in ["pw", "p@w", "key@", "%70"] {
                assert!(!seen.contains(secret), "{seen}");
            }
        }
        let at_the_end: ServerArm =
            serde_json::from_value(serde_json::json!({ "url": "http://h/v1@2" })).unwrap();
        assert_eq!(
            (at_the_end.url.as_str(), at_the_end.login()),
            ("http://h/v1@2", None)
        );
        for url in [
            "https://u:pw@h",
            "u:pw@h",
            "http://h/v1?key=pw",
            "http://u:pw@",
        ] {
            let arm: ServerArm = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
            let error = arm.validate("a").unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn what_stays_on_this_machine_is_told_from_what_leaves_it() {
        for (url, stays) in [
            ("http://127.0.0.1:8000/v1", true),
            ("http://localhost/v1", true),
            ("http://[::1]:8000/v1", true),
            ("http://10.0.0.2:8000/v1", false),
            ("http://127.0.0.1.example.org/v1", false),
        ] {
            let arm: ServerArm = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
            assert_eq!(arm.is_on_this_machine(), stays, "{url}");
        }
    }
}
