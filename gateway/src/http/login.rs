//! Who may look: on a public address only who has a token, unless the configuration opens it.
//!
//! # Not here
//! Sending: the doors ask for tokens themselves.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::ingest::access::tokens::Tokens;
use crate::ingest::http::presented_token;

/// Who may read the page, its data and the metrics.
#[derive(Clone)]
pub enum Login {
    /// Whoever reaches the address.
    Open,
    /// Whoever has one of these; without any, nobody.
    Token(Arc<Tokens>),
}

/// Lets a request through, or asks for a token: by Basic, which browsers know how to ask for.
pub(super) async fn check(State(login): State<Login>, request: Request, next: Next) -> Response {
    let may = match &login {
        Login::Open => true,
        Login::Token(tokens) => presented_token(request.headers()).is_some_and(|token| tokens.verify(&token).is_some()),
    };
    if may {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"gateway\", charset=\"UTF-8\"")];
    let text = "a token of `[[http.token]]` is needed: as the password, with any user, or as `Authorization: Bearer`\n";
    (StatusCode::UNAUTHORIZED, challenge, text).into_response()
}
