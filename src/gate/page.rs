//! In: a path. Out: the file of the dashboard that lives there, with the headers that keep foreign code out of it.
//! Bounded: the files are part of the program.

use super::answer::{Answer, whole};
use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

struct Asset {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 11] = [
    Asset { path: "/", content_type: HTML, text: include_str!("../../web/index.html") },
    Asset { path: "/style.css", content_type: CSS, text: include_str!("../../web/style.css") },
    Asset { path: "/icon.svg", content_type: "image/svg+xml", text: include_str!("../../web/icon.svg") },
    Asset { path: "/app.js", content_type: SCRIPT, text: include_str!("../../web/app.js") },
    Asset { path: "/panels.js", content_type: SCRIPT, text: include_str!("../../web/panels.js") },
    Asset { path: "/paint.js", content_type: SCRIPT, text: include_str!("../../web/paint.js") },
    Asset { path: "/quality.js", content_type: SCRIPT, text: include_str!("../../web/quality.js") },
    Asset { path: "/link.js", content_type: SCRIPT, text: include_str!("../../web/link.js") },
    Asset { path: "/view.js", content_type: SCRIPT, text: include_str!("../../web/view.js") },
    Asset { path: "/check.js", content_type: SCRIPT, text: include_str!("../../web/check.js") },
    Asset { path: "/decimal.js", content_type: SCRIPT, text: include_str!("../../web/decimal.js") },
];

/// Only our own files, only connections to ourselves, and nobody may frame the page. No `Strict-Transport-Security`: it binds
/// a host name on all its ports, and on `localhost` it would break every other program of the developer.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Asked for again on each visit, so that a new server brings its new page.
    (header::CACHE_CONTROL, "no-cache"),
];

pub(super) fn is_known(path: &str) -> bool {
    ASSETS.iter().any(|asset| asset.path == path)
}

pub(super) fn find<E>(path: &str) -> Option<Response<Answer<E>>> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let mut response = whole(StatusCode::OK, asset.content_type, Bytes::from_static(asset.text.as_bytes()));
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_a_file_refers_to_is_served_and_nothing_is_foreign() {
        for asset in ASSETS {
            for mark in ["from \"./", "src=\"/", "href=\"/"] {
                for rest in asset.text.split(mark).skip(1) {
                    let name = rest.split('"').next().unwrap();
                    assert!(is_known(&format!("/{name}")), "{}: /{name}", asset.path);
                }
            }
            let without_namespace = asset.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!without_namespace.contains("http://") && !asset.text.contains("style=\""), "{}", asset.path);
        }
    }
}
