use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Path as AtPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};

use super::*;
use crate::setup::plan::{Plan, Step};
use crate::setup::state;

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Each panel but rows, with the title of its dashboard.
fn for_each_panel(mut look: impl FnMut(&str, &Value)) {
    for dashboard in dashboards().unwrap().values() {
        for panel in list(&dashboard.json["panels"]).iter().filter(|p| p["type"] != "row") {
            look(&dashboard.title, panel);
        }
    }
}

#[test]
fn every_panel_has_a_unit_and_says_what_it_shows_and_what_it_means_when_it_is_empty() {
    for_each_panel(|dashboard, panel| {
        let place = format!("{dashboard}: {}", panel["title"]);
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(panel["description"].as_str().is_some_and(|d| d.len() > 20), "{place}: no description");
        assert!(defaults["unit"].is_string(), "{place}: no unit");
        assert!(!list(&defaults["thresholds"]["steps"]).is_empty(), "{place}: no thresholds");
        assert!(!list(&panel["targets"]).is_empty(), "{place}: no queries");
        assert!(defaults["noValue"].is_string(), "{place}: empty, it would not say why");
    });
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    for dashboard in dashboards().unwrap().values() {
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeMap::new());
        for panel in list(&dashboard.json["panels"]) {
            let id = panel["id"].as_u64().unwrap();
            assert!(ids.insert(id), "{}: panel {id} twice", dashboard.title);
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{}: panel {id} leaves the grid", dashboard.title);
            for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                if let Some(other) = cells.insert(cell, id) {
                    panic!("{}: panels {other} and {id} overlap", dashboard.title);
                }
            }
        }
    }
}

#[test]
fn links_between_dashboards_lead_to_dashboards_that_exist() {
    let uids: BTreeSet<String> = dashboards().unwrap().into_keys().collect();
    let mut links = 0;
    for (path, text) in FILES.iter().filter(|(path, _)| path.starts_with("dashboards/")) {
        for link in text.split("\"/d/").skip(1) {
            let uid = link.split(['/', '?', '"']).next().unwrap_or_default();
            assert!(uids.contains(uid), "{path} links to {uid}");
            links += 1;
        }
    }
    assert!(links >= 6, "{links} links");
}

/// As much of Grafana as setup talks to: <https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/>.
#[derive(Default)]
struct Fake {
    folders: Vec<Value>,
    /// uid → (folder's uid, dashboard)
    dashboards: BTreeMap<String, (String, Value)>,
}

type Shared = Arc<Mutex<Fake>>;

async fn dashboard(State(fake): State<Shared>, AtPath(uid): AtPath<String>) -> (StatusCode, Json<Value>) {
    match fake.lock().unwrap().dashboards.get(&uid) {
        Some((folder, board)) => {
            let mut board = board.clone();
            board["id"] = 7.into();
            board["version"] = 3.into();
            (StatusCode::OK, Json(json!({ "meta": { "folderUid": folder }, "dashboard": board })))
        }
        None => (StatusCode::NOT_FOUND, Json(json!({ "message": "Dashboard not found" }))),
    }
}

async fn put(State(fake): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut fake = fake.lock().unwrap();
    let known = fake.folders.iter().any(|f| f["uid"] == body["folderUid"]);
    if headers["authorization"] != "Bearer secret" || !known || body["overwrite"] != true {
        return (StatusCode::FORBIDDEN, Json(json!({ "message": "no" })));
    }
    let (uid, folder) = (body["dashboard"]["uid"].as_str().unwrap(), body["folderUid"].as_str().unwrap());
    fake.dashboards.insert(uid.into(), (folder.into(), body["dashboard"].clone()));
    (StatusCode::OK, Json(json!({ "status": "success", "uid": uid })))
}

async fn folders(State(fake): State<Shared>) -> Json<Value> {
    Json(Value::Array(fake.lock().unwrap().folders.clone()))
}

async fn make_folder(State(fake): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let folder = json!({ "uid": "f1", "title": body["title"] });
    fake.lock().unwrap().folders.push(folder.clone());
    Json(folder)
}

async fn serve(fake: Shared) -> Grafana {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/api/dashboards/uid/{uid}", get(dashboard))
        .route("/api/dashboards/db", axum::routing::post(put))
        .route("/api/folders", get(folders).post(make_folder))
        .with_state(fake);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let api = Api::new("Grafana", &format!("http://{address}"), "Bearer secret").unwrap();
    Grafana { api, folder: "Sensors".into() }
}

async fn plan(grafana: &Grafana) -> Plan {
    let wanted = state::State { dashboards: dashboards().unwrap(), ..state::State::default() };
    let found = grafana.read(wanted.dashboards.keys().map(String::as_str)).await.unwrap();
    Plan::new(&wanted, &state::State { dashboards: found, ..state::State::default() }, false)
}

async fn apply(grafana: &Grafana, plan: &Plan) {
    for step in &plan.steps {
        let Step::PutDashboard { dashboard, .. } = step else { panic!("{step}") };
        grafana.put(dashboard).await.unwrap();
    }
}

#[tokio::test]
async fn dashboards_are_put_once_into_one_folder_and_what_was_edited_is_put_back() {
    let fake = Shared::default();
    let grafana = serve(fake.clone()).await;
    let first = plan(&grafana).await;
    assert_eq!(first.steps.len(), 4);
    apply(&grafana, &first).await;
    assert_eq!(plan(&grafana).await, Plan::default(), "what Grafana adds itself is no drift");

    fake.lock().unwrap().dashboards.get_mut("sensors-fleet").unwrap().1["title"] = "Mine".into();
    let mend = plan(&grafana).await;
    assert_eq!(
        mend.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["dashboard Fleet overview: differs: replace"]
    );
    apply(&grafana, &mend).await;
    assert_eq!(plan(&grafana).await, Plan::default());
    let fake = fake.lock().unwrap();
    assert_eq!(fake.folders.len(), 1);
    assert!(fake.dashboards.values().all(|(folder, _)| folder == "f1"));
}

#[test]
fn files_are_written_once_and_a_changed_one_is_put_back() {
    let dir = std::env::temp_dir().join(format!("cloud-sink-grafana-{}", std::process::id()));
    let plan = || {
        let found = state::State { files: read_files(&dir).unwrap(), ..state::State::default() };
        Plan::new(&state::State { files: files(), ..state::State::default() }, &found, false)
    };
    let apply = |plan: &Plan| {
        for step in &plan.steps {
            let Step::WriteFile { path, text, .. } = step else { panic!("{step}") };
            write_file(&dir, path, text).unwrap();
        }
    };
    assert_eq!(plan().steps.len(), FILES.len());
    apply(&plan());
    assert_eq!(plan(), Plan::default());
    std::fs::write(dir.join("dashboards/device.json"), "{}").unwrap();
    assert_eq!(
        plan().steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["file dashboards/device.json: differs: replace"]
    );
    apply(&plan());
    assert_eq!(plan(), Plan::default());
    std::fs::remove_dir_all(&dir).unwrap();
}
