//! Builds, connects and stops the stages. Read this second.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::queue::LedgerRow;
use crate::view::View;

/// A running gateway.
pub struct Pipeline {
    metrics: Metrics,
    view: Arc<View>,
    listen_addr: Option<SocketAddr>,
    http_addr: Option<SocketAddr>,
}

/// What is known when everything has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub ledger: Vec<LedgerRow>,
}

impl Pipeline {
    /// Opens the queue, starts detect and the sinks, then opens the doors. Resolves once the doors are open.
    pub async fn start(_config: Config) -> anyhow::Result<Self> {
        anyhow::bail!("not built yet")
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Where `listen` really listens: the configuration may say port 0.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        self.listen_addr
    }

    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    pub fn ledger(&self) -> Vec<LedgerRow> {
        Vec::new()
    }

    /// Resolves once every consumer has passed every record that is in the queue now (detect: has read it).
    pub async fn drained(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Stops intake, sends the last acknowledgements, lets sinks finish, makes cursors durable.
    pub async fn shutdown(self) -> anyhow::Result<Summary> {
        Ok(Summary { ledger: Vec::new() })
    }
}
