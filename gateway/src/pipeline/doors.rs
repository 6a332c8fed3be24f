//! Opens the doors, and the one HTTP server that some of them share with the page.
//!
//! # Invariants
//! - Doors stop with the stage of doors; the HTTP server stays until all else has stopped, to give the last answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;

use super::{Error, Pipeline, addresses, renewal, results};
use crate::config::{self, Config};
use crate::http::{self, Login};
use crate::ingest::access::{self, tokens::Tokens};
use crate::ingest::listen::{Doorway, Listener};
use crate::ingest::{self, Guard, Results, csv};

impl Pipeline {
    /// Starts the doors for CSV files; gives what of them is answered by HTTP.
    pub(super) fn open_imports(&mut self, config: &mut Config) -> Result<Router, Error> {
        let (folders, upload) = (std::mem::take(&mut config.csv), config.upload.take());
        if folders.is_empty() && upload.is_none() {
            return Ok(Router::new());
        }
        let (ingest, imports) = (self.metrics.ingest.clone(), self.metrics.imports.clone());
        let importer = csv::Importer::open(self.queue.appender(), &self.monitor, self.clock, ingest, imports)?;
        let mut routes = csv::progress_routes(&importer);
        for folder in folders {
            let name = format!("csv {}", folder.dir.display());
            self.doors.spawn(name, csv::watch(folder, importer.clone(), self.doors.stop_signal()));
        }
        if let Some(upload) = upload {
            let dir = upload.dir.clone();
            let opened = csv::open_upload(upload, &importer, self.monitor.pressure());
            let (upload, task) = opened.map_err(|error| Error::DataDir { dir, error })?;
            routes = routes.merge(upload);
            self.doors.spawn("upload", task.run(self.doors.stop_signal()));
        }
        Ok(routes)
    }

    pub(super) async fn serve_http(&mut self, config: &Config, imports: Router) -> Result<(), Error> {
        if let Some(http) = &config.http {
            let server = http::Server::bind(http.bind).await?;
            self.http_addr = Some(server.addr());
            let tokens = Arc::new(Tokens::new(&http.tokens));
            // Without tokens on a public address the configuration has been asked whether that is wanted.
            let is_open = http.open_reading || http.tokens.is_empty() || server.addr().ip().is_loopback();
            let guard = Guard::new("http", http.tls.as_ref(), &access::Config::default(), &self.metrics.security)?;
            let tls = guard.tls.clone();
            self.services.spawn("http renewal", renewal::keep(guard, self.services.stop_signal()));
            let doors = self.open_http_door(http, tokens.clone()).merge(http::for_files(imports, tokens.clone()));
            let books = self.monitor.clone();
            let sources = http::Sources {
                gateway: config.gateway.name.clone(),
                view: self.view.clone(),
                metrics: self.metrics.clone(),
                ledger: Arc::new(move || books.ledger()),
                readiness: self.readiness.subscribe(),
                pressure: self.monitor.pressure(),
                clock: self.clock_status.clone(),
            };
            let login = if is_open { Login::Open } else { Login::Token(tokens) };
            let site = http::Site { sources, doors, login, tls, limits: http.limits.clone() };
            self.services.spawn("http", server.run(site, self.services.stop_signal()));
        }
        note_address(config, "http", self.http_addr)
    }

    /// Its routes; the door itself stops with the others, while the server still gives its last answers.
    fn open_http_door(&mut self, http: &config::Http, tokens: Arc<Tokens>) -> Router {
        let Some(ingest) = &http.ingest else { return Router::new() };
        let parts = ingest::http::Parts {
            config: ingest.clone(),
            tokens,
            appender: self.queue.appender(),
            clock: self.clock,
            pressure: self.monitor.pressure(),
            requests: self.requests.clone(),
            metrics: self.metrics.ingest.clone(),
        };
        let door = ingest::http::Door::new(parts, self.doors.stop_signal());
        let routes = door.routes();
        self.doors.spawn("http door", door.run());
        routes
    }

    pub(super) fn open_doors(&mut self, mut config: Config) -> Result<(), Error> {
        let (clock, metrics, stop) = (self.clock, &self.metrics.ingest, self.doors.stop_signal());
        if let Some(listen) = config.listen.take() {
            let guard = Guard::new("listen", listen.tls.as_ref(), &listen.access, &self.metrics.security)?;
            self.services.spawn("renewal", renewal::keep(guard.clone(), self.services.stop_signal()));
            let listener = Listener::bind(listen)?;
            self.listen_addr = Some(listener.local_addr());
            let results = Results::new(&config.gateway.name);
            let doorway = Doorway {
                appender: self.queue.appender(),
                monitor: self.monitor.clone(),
                clock,
                metrics: metrics.clone(),
                results: results.clone(),
                guard,
            };
            self.doors.spawn("listen", listener.run(doorway, stop.clone()));
            let asking = self.requests.listen();
            self.doors.spawn("requests", results::ask(asking, clock, results.clone(), stop.clone()));
            self.doors.spawn("results", results::tell(self.view.clone(), results, stop.clone()));
        }
        for mqtt in std::mem::take(&mut config.mqtt) {
            let name = mqtt.name.clone();
            let (appender, monitor) = (self.queue.appender(), self.monitor.clone());
            let run = ingest::mqtt::run(
                mqtt,
                appender,
                monitor,
                clock,
                metrics.clone(),
                self.requests.listen(),
                stop.clone(),
            );
            self.doors.spawn(name, run);
        }
        for serial in std::mem::take(&mut config.serial) {
            let name = serial.name.clone();
            let (appender, asking) = (self.queue.appender(), self.requests.listen());
            let run = ingest::serial::run(serial, appender, clock, self.metrics.clone(), asking, stop.clone());
            self.doors.spawn(name, run);
        }
        note_address(&config, "listen", self.listen_addr)
    }
}

fn note_address(config: &Config, door: &str, address: Option<SocketAddr>) -> Result<(), Error> {
    let dir = &config.gateway.data_dir;
    addresses::note(dir, door, address).map_err(|error| Error::DataDir { dir: dir.clone(), error })
}
