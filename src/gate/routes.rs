//! In: one HTTP request. Out: its answer; for a stream also the upgrade and the client that waits behind it.
//! Bounded: pure and synchronous, so a route can never hold a connection up.

use super::answer::{self, Answer, Refused, text};
use super::serve::{Pending, Sessions};
use super::{Gate, page, query, upgrade};
use crate::metrics::{Refusal, Route};
use crate::session::Client;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;
use wire::request::Encoding;

/// Seconds after which a client that was told 503 should try again.
const RETRY_AFTER: &str = "5";

pub(super) struct Context<S> {
    pub gate: Arc<Gate>,
    pub sessions: Rc<S>,
    pub peer: SocketAddr,
    pub turn_away: Option<Refusal>,
    /// Filled by `/v1/stream`; who drives the connection takes it after the 101.
    pub pending: RefCell<Option<Pending>>,
    /// Notified by an event stream whose peer takes nothing: the connection is to be dropped.
    pub cut: Rc<Notify>,
}

type Routed<E> = Result<Response<Answer<E>>, Refused>;

impl<S: Sessions> Context<S> {
    pub fn answer(&self, request: Request<Incoming>) -> Response<Answer<S::Events>> {
        let route = route_of(request.uri().path());
        let response = self.try_answer(route, request).unwrap_or_else(|refused| {
            // Without the address: it may hold a token.
            tracing::debug!(peer = %self.peer, route = route.name(), status = %refused.status, why = refused.message, "request refused");
            refused.into_response()
        });
        self.gate.metrics.request(route, response.status().as_u16());
        response
    }

    fn try_answer(&self, route: Route, request: Request<Incoming>) -> Routed<S::Events> {
        if self.turn_away.is_some() {
            return Err(unavailable("the server has no room for one more connection"));
        }
        if upgrade::single(request.headers(), &header::HOST)?.is_none() {
            return Err(Refused::bad_request("the Host header is missing"));
        }
        if request.method() != Method::GET {
            let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is known here");
            return Err(refused.with(header::ALLOW, "GET"));
        }
        match route {
            Route::Stream => self.stream(request),
            Route::Sse => self.events(&request),
            Route::Healthz => Ok(text(StatusCode::OK, "ok".to_owned())),
            Route::Readyz => Ok(self.readiness()),
            Route::Page | Route::Other => page::find(request.uri().path())
                .ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "nothing here; known: / /v1/stream /v1/sse /healthz /readyz")),
        }
    }

    fn stream(&self, mut request: Request<Incoming>) -> Routed<S::Events> {
        let upgrade = upgrade::check(&request)?;
        let (client, _) = self.admit(&request, upgrade.encoding)?;
        *self.pending.borrow_mut() = Some(Pending { upgrade: hyper::upgrade::on(&mut request), client });
        Ok(upgrade.into_response())
    }

    fn events(&self, request: &Request<Incoming>) -> Routed<S::Events> {
        let (client, foreign) = self.admit(request, Encoding::Json)?;
        if client.bare.is_none() {
            return Err(Refused::bad_request("an event stream needs its topics: /v1/sse?sub=TOPIC[,TOPIC...]"));
        }
        let mut response = answer::events(self.sessions.clone().events(client, self.cut.clone()));
        if let Some(origin) = foreign {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
        }
        Ok(response)
    }

    /// Everything that must hold before a client gets data, whatever the transport. Also gives the foreign origin, if any.
    fn admit<B: Body>(&self, request: &Request<B>, encoding: Encoding) -> Result<(Client, Option<HeaderValue>), Refused> {
        if self.gate.is_draining() {
            return Err(unavailable("the server is shutting down"));
        }
        if self.gate.pressure.refuses() {
            self.gate.metrics.refused(Refusal::Pressure);
            return Err(self.overloaded());
        }
        let headers = request.headers();
        let foreign = self.gate.origins.check(headers);
        let foreign = foreign.map_err(|message| Refused::new(StatusCode::FORBIDDEN, message))?;
        let foreign = foreign.and_then(|origin| HeaderValue::from_str(origin).ok());
        let query = query::parse(request.uri().query().unwrap_or("")).map_err(Refused::bad_request)?;
        let identity = self.gate.authenticator.identify(headers, query.token.as_deref());
        let identity = identity.map_err(|error| {
            let refused = Refused::new(StatusCode::UNAUTHORIZED, error.message());
            refused.with(header::WWW_AUTHENTICATE, "Bearer realm=\"tickwire\"")
        })?;
        Ok((Client { peer: self.peer, encoding, bare: query.subscription, identity }, foreign))
    }

    /// Sessions that run stay; only new ones have to wait.
    fn overloaded(&self) -> Refused {
        let seconds = self.gate.pressure.retry_after_s();
        let message = format!("the server is under pressure and takes no new clients now; try again in {seconds} s");
        let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, message);
        refused.with_value(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Not a refusal: asking is what the path is for.
    fn readiness<E>(&self) -> Response<Answer<E>> {
        let state = if self.gate.is_draining() { Err("draining".to_owned()) } else { (self.gate.ready)() };
        match state {
            Ok(()) => text(StatusCode::OK, "ready".to_owned()),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
        }
    }
}

fn route_of(path: &str) -> Route {
    match path {
        "/v1/stream" => Route::Stream,
        "/v1/sse" => Route::Sse,
        "/healthz" => Route::Healthz,
        "/readyz" => Route::Readyz,
        path if page::is_known(path) => Route::Page,
        _ => Route::Other,
    }
}

fn unavailable(message: &'static str) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, message).with(header::RETRY_AFTER, RETRY_AFTER)
}
