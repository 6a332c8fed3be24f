//! What stands at a door: certificates and who may come in, kept up to date while it is open.

use std::sync::Arc;

use super::access::{self, Access};
use super::{Error, tls};
use crate::metrics::Security;

/// Cheap to clone: all clones are the same guard.
#[derive(Clone, Debug)]
pub struct Guard {
    /// `None`: connections are plain TCP.
    pub tls: Option<Arc<tls::Server>>,
    pub access: Arc<Access>,
}

impl Guard {
    /// # Errors
    /// Certificates or users cannot be used.
    pub fn new(
        door: &'static str,
        tls: Option<&tls::ServerConfig>,
        access: &access::Config,
        metrics: &Security,
    ) -> Result<Self, Error> {
        let tls = tls.map(|config| tls::Server::new(config.clone(), door, metrics.clone())).transpose()?;
        let access = Access::new(access.clone(), door, metrics.clone())?;
        Ok(Self { tls: tls.map(Arc::new), access: Arc::new(access) })
    }

    /// Reads again the files that have changed; to be called every few seconds. Blocks for as long as that takes.
    pub fn refresh(&self) {
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
        self.access.refresh();
    }
}
