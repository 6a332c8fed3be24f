//! Who may look: on a public address only who has a token, unless the configuration opens it. And who may send files.
//!
//! # Not here
//! Sending messages: that door asks for tokens itself, because it knows the topics.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::ingest::access::tokens::Tokens;
use crate::ingest::http::{is_from_another_site, presented_token};

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

/// Puts a guard in front of routes that take files: with tokens, one that is held to no topics is needed, because a file's
/// rows may be of any.
pub fn for_files(routes: Router, tokens: Arc<Tokens>) -> Router {
    if routes.has_routes() { routes.route_layer(from_fn_with_state(tokens, check_sender)) } else { routes }
}

async fn check_sender(State(tokens): State<Arc<Tokens>>, request: Request, next: Next) -> Response {
    if is_from_another_site(request.headers()) {
        return (StatusCode::FORBIDDEN, "pages of other sites may not send files\n").into_response();
    }
    if tokens.is_empty() {
        return next.run(request).await;
    }
    let token = presented_token(request.headers()).and_then(|token| tokens.verify(&token).cloned());
    match token {
        Some(token) if token.may_publish_all() => next.run(request).await,
        Some(_) => {
            (StatusCode::FORBIDDEN, "this token is held to topics: files need one that is not\n").into_response()
        }
        None => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"gateway\"")];
            (StatusCode::UNAUTHORIZED, challenge, "a token of `[[http.token]]` is needed\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;
    use crate::ingest::access::Filter;
    use crate::ingest::access::tokens::TokenConfig;
    use crate::secret::Secret;

    async fn answer(tokens: &[TokenConfig], headers: &[(&str, &str)]) -> u16 {
        let routes = Router::new().route("/v1/upload", post(|| async {}));
        let mut request = Request::builder().method("POST").uri("/v1/upload");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let guarded = for_files(routes, Arc::new(Tokens::new(tokens)));
        guarded.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn files_need_a_token_that_is_held_to_no_topics() {
        let token = |secret: &str, publish: &[&str]| TokenConfig {
            name: secret.into(),
            secret: Secret::new(secret),
            publish: publish.iter().map(|filter| Filter::new(filter)).collect(),
        };
        let tokens = [token("all", &[]), token("some", &["a/#"])];
        assert_eq!(answer(&[], &[]).await, 200);
        assert_eq!(answer(&tokens, &[]).await, 401);
        assert_eq!(answer(&tokens, &[("authorization", "Bearer all")]).await, 200);
        assert_eq!(answer(&tokens, &[("authorization", "Bearer some")]).await, 403);
        assert_eq!(answer(&[], &[("host", "gw"), ("origin", "http://elsewhere")]).await, 403);
    }
}
