//! The page in a real browser, while the demo runs: drawn, filled, and without a complaint.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tests::browser::Browser;
use tests::eventually::eventually;
use tests::gateway::Home;
use tests::process::Process;

/// For the demo to start, and again for the page to fill.
const FILLED: Duration = Duration::from_secs(120);
/// From Ctrl-C to the end.
const END: Duration = Duration::from_secs(60);

/// Charts with something in them: an svg with a curve of several points, or a canvas that is not of one colour.
const CHARTS_DRAWN: &str = r#"
    const curves = [...document.querySelectorAll("svg path, svg polyline")].filter(shape =>
        (shape.getAttribute("d") || shape.getAttribute("points") || "").split(/[\s,LM]+/).length > 10);
    const canvases = [...document.querySelectorAll("canvas")].filter(canvas => {
        if (!canvas.width || !canvas.height) return false;
        const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
        return pixels.some(pixel => pixel !== pixels[0]);
    });
    return curves.length + canvases.length;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_charts_and_windows_of_the_running_demo_without_a_complaint() -> Result<()> {
    let home = Home::new()?;
    let data_dir = home.data_dir().display().to_string();
    let args = ["demo", "--seconds", "300", "--seed", "3", "--http", "127.0.0.1:0", "--data-dir", &data_dir];
    let mut demo = Process::start("gateway", &args, &[])?;
    let address = eventually("the demo's http address", FILLED, async || {
        demo.still_running()?;
        let address = std::fs::read_to_string(home.data_dir().join("http.addr")).context("no http.addr yet")?;
        Ok(address.trim().to_owned())
    })
    .await?;

    let browser = Browser::start().await?;
    browser.open(&format!("http://{address}/")).await?;
    let title = browser.run("return document.title").await?;
    assert!(title.as_str().is_some_and(|title| title.to_lowercase().contains("gateway")), "title: {title}");
    eventually("charts and windows on the page", FILLED, async || {
        demo.still_running()?;
        let charts = browser.run(CHARTS_DRAWN).await?;
        ensure!(charts.as_u64() >= Some(2), "{charts} charts with data");
        let windows = browser.run("return document.querySelectorAll('table tbody tr').length").await?;
        ensure!(windows.as_u64() >= Some(1), "{windows} rows of windows");
        Ok(())
    })
    .await?;
    let screenshot = browser.screenshot().await?;
    assert!(screenshot.len() > 20_000, "more than an empty page: {} bytes in base64", screenshot.len());
    assert_eq!(browser.complaints().await?, Vec::<String>::new());

    demo.signal(Signal::INT)?;
    let ended = demo.ended(END).await?;
    assert_eq!(ended.status.code(), Some(0), "Ctrl-C ends the demo in order:\n{}", ended.stderr);
    Ok(())
}
