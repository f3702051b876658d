//! In: the `Origin` header of a request. Out: whether that web page may use this server.
//! Bounded by the configured list; matches are exact, never by prefix or suffix.

use super::GateError;
use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

/// Browsers let any page open a WebSocket anywhere and send cookies and network position with it; the origin is the only
/// thing that tells our page from a foreign one. Programs send none and are judged by their token alone.
pub struct Origins(Vec<String>);

impl Origins {
    pub fn parse(origins: &[String]) -> Result<Self, GateError> {
        let parse = |origin: &String| normalize(origin).map_err(|what| GateError::Origin { origin: origin.clone(), what });
        origins.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// `Ok(Some)` is a foreign origin that is on the list: an event stream must name it in its answer.
    pub fn check<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a str>, String> {
        let mut given = headers.get_all(ORIGIN).iter();
        let Some(origin) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err("more than one Origin header".to_owned());
        }
        let origin = origin.to_str().map_err(|_| "the Origin header is not text".to_owned())?;
        let shown: String = origin.chars().filter(|c| !c.is_control()).take(100).collect();
        let normal = normalize(origin).map_err(|what| format!("origin '{shown}' is not allowed: {what}"))?;
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        // Ours is always https: the port speaks nothing else.
        if normalize(&format!("https://{host}")).is_ok_and(|own| own == normal) {
            return Ok(None);
        }
        if self.0.contains(&normal) {
            return Ok(Some(origin));
        }
        Err(format!("origin '{shown}' is not allowed; the server's setting listen.origins lists those that are"))
    }
}

/// `scheme://host[:port]` in lower case, without the scheme's own port.
fn normalize(origin: &str) -> Result<String, &'static str> {
    let lower = origin.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or("it has the shape https://host or https://host:port")?;
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err("its scheme is https or http"),
    };
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']' | b'_');
    if authority.is_empty() || !authority.bytes().all(is_host_byte) {
        return Err("after the scheme comes a host and perhaps a port, nothing else");
    }
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(origin: &str, host: &str) -> bool {
        let origins = Origins::parse(&["https://ours.com".to_owned(), "http://dev.local:3000".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        origins.check(&headers).is_ok()
    }

    #[test]
    fn only_exact_origins_pass() {
        for (origin, expected) in [
            ("https://ours.com", true),
            ("https://ours.com:443", true),
            ("HTTPS://Ours.Com", true),
            ("http://dev.local:3000", true),
            ("https://self:8443", true),
            ("http://self:8443", false),
            ("https://self", false),
            ("http://ours.com", false),
            ("https://ours.com:8443", false),
            ("https://evil-ours.com", false),
            ("https://ours.com.evil.com", false),
            ("https://ours.com/path", false),
            ("https://user@ours.com", false),
            ("http://dev.local", false),
            ("null", false),
            ("", false),
            ("file://", false),
        ] {
            assert_eq!(check(origin, "self:8443"), expected, "{origin}");
        }
        assert!(check("https://self", "self:443"));
        assert!(check("https://[::1]:8443", "[::1]:8443"));
        assert!(!check("https://", ""));
    }

    #[test]
    fn programs_without_origin_pass_and_two_origins_do_not() {
        let origins = Origins::parse(&[]).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(origins.check(&headers), Ok(None));
        headers.append(ORIGIN, HeaderValue::from_static("https://a"));
        headers.append(ORIGIN, HeaderValue::from_static("https://a"));
        headers.insert(HOST, HeaderValue::from_static("a"));
        assert!(origins.check(&headers).is_err());
    }

    #[test]
    fn a_bad_setting_is_named() {
        for bad in ["ours.com", "ftp://ours.com", "https://ours.com/", "*", "null"] {
            let text = Origins::parse(&[bad.to_owned()]).map(drop).unwrap_err().to_string();
            assert!(text.contains(&format!("'{bad}' is not an origin")), "{text}");
        }
    }
}
