//! Who may ask: pages of other origins and names that point here by DNS may not, and neither may those without the key.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use axum::http::{Method, StatusCode};
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// Who may ask.
pub(crate) struct Gate {
    /// Names, beside `localhost` and plain addresses, under which this server may be asked.
    hosts: Vec<String>,
    /// Digest of the key.
    key: Option<[u8; 32]>,
}

impl Gate {
    pub(crate) fn new(hosts: &[String], key: Option<&str>) -> Self {
        Self {
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            key: key.map(digest),
        }
    }

    /// Refuses what a page of another origin has the browser send.
    ///
    /// A page that rebinds its own name to this machine's address still sends that name as `Host`: plain addresses and
    /// `localhost` are no such names.
    pub(crate) fn origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = match headers.get(HOST).map(|host| host.to_str()) {
            Some(Ok(host)) => host,
            _ => return Err(forbidden("Host", "the name of this server", "none")),
        };
        if !self.is_ours(host) {
            let expected = "localhost, an address, or a name that the server was told (--host)";
            return Err(forbidden("Host", expected, format!("{host:?}")));
        }
        if let Some(origin) = headers.get(ORIGIN) {
            let own = origin
                .to_str()
                .ok()
                .and_then(|origin| origin.split_once("://"));
            if own.is_none_or(|(_, origin)| !origin.eq_ignore_ascii_case(host)) {
                return Err(forbidden("Origin", "this server's own pages", "another's"));
            }
        }
        // What has no Origin: a picture, a script, a link of another page. Links may be followed.
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let followed = *method == Method::GET && said("sec-fetch-mode") == Some("navigate");
        if matches!(said("sec-fetch-site"), Some("cross-site" | "same-site")) && !followed {
            return Err(forbidden(
                "Sec-Fetch-Site",
                "this server's own pages",
                "another's",
            ));
        }
        Ok(())
    }

    /// Refuses who does not bring the key.
    pub(crate) fn key(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(key) = &self.key else { return Ok(()) };
        let brought = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let brought = brought.and_then(|value| value.split_once(' '));
        match brought {
            // Digests are compared, so that the time it takes says nothing of the key.
            Some((scheme, brought))
                if scheme.eq_ignore_ascii_case("bearer") && digest(brought.trim()) == *key =>
            {
                Ok(())
            }
            _ => Err(Refusal {
                code: Some("invalid_api_key"),
                ..Refusal::new(
                    StatusCode::UNAUTHORIZED,
                    "this server answers those who bring its key: Authorization: Bearer KEY",
                )
            }),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(six) => six.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.to_ascii_lowercase();
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.hosts.contains(&name)
    }
}

fn forbidden(header: &str, expected: &str, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        format!("`{header}`: expected {expected}, got {got}"),
    )
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        let gate = Gate::new(&["Curt.Local".into()], None);
        gate.origin(&Method::POST, &headers.collect()).is_ok()
    }

    #[test]
    fn names_that_anybody_can_point_here_are_none_of_ours() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "192.168.0.7",
            "curt.local:1",
        ] {
            assert!(asked(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "",
            "[evil]",
            "curt.local.x",
        ] {
            assert!(!asked(&[("host", host)]), "{host}");
        }
        assert!(!asked(&[]));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:8080");
        assert!(asked(&[host, ("origin", "http://localhost:8080")]));
        for origin in [
            "http://localhost:8081",
            "https://evil.example",
            "null",
            "http://127.0.0.1:8080",
        ] {
            assert!(!asked(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(asked(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(!asked(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!asked(&[
            host,
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "navigate")
        ]));
    }
}
