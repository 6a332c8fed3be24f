//! The page: four files, embedded in the program.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;

use super::App;

struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const FILES: [File; 5] = [
    File { path: "/", content_type: "text/html; charset=utf-8", text: include_str!("../../dashboard/index.html") },
    File {
        path: "/app.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("../../dashboard/app.js"),
    },
    File {
        path: "/chart.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("../../dashboard/chart.js"),
    },
    File {
        path: "/style.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("../../dashboard/style.css"),
    },
    File { path: "/icon.svg", content_type: "image/svg+xml", text: include_str!("../../dashboard/icon.svg") },
];

pub(super) fn routes() -> Router<Arc<App>> {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(async || ([(header::CONTENT_TYPE, file.content_type)], file.text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser loads before it paints, in bytes: a page on a gateway's slow link must still come at once.
    const FIRST_PAINT_MAX_BYTES: usize = 150_000;

    #[test]
    fn the_first_paint_is_small() {
        let bytes: usize = FILES.iter().map(|f| f.text.len()).sum();
        assert!(bytes <= FIRST_PAINT_MAX_BYTES, "{bytes} bytes");
    }

    #[test]
    fn the_page_names_no_other_host_and_no_inline_code() {
        for file in &FILES {
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{}", file.path);
        }
        let html = FILES[0].text;
        assert!(!html.contains("style=") && !html.contains("onclick") && !html.contains("<script>"));
    }

    #[test]
    fn every_file_that_the_page_asks_for_is_served() {
        let html = FILES[0].text;
        for file in FILES.iter().skip(1).filter(|f| f.path != "/chart.js") {
            assert!(html.contains(&format!("\"{}\"", file.path)), "{}", file.path);
        }
        assert!(FILES.iter().any(|f| f.text.contains("\"/chart.js\"")));
    }
}
