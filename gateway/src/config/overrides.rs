//! What wins over the file: flags, then a few variables of the environment.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cli::ConfigArgs;

/// Flags and the environment. `default()`: no flags, and an environment without variables.
#[derive(Debug, Default)]
pub struct Overrides {
    pub name: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub http_bind: Option<SocketAddr>,
    pub environment: Environment,
}

impl Overrides {
    /// The flags, over this process's environment.
    pub fn from_args(args: &ConfigArgs) -> Self {
        Self {
            name: args.name.clone(),
            data_dir: args.data_dir.clone(),
            http_bind: args.http,
            environment: Environment::of_process(),
        }
    }
}

/// The value of a variable, if it is set.
type Lookup = dyn Fn(&str) -> Option<String>;

/// Where variables and the host's name come from; tests bring their own.
pub struct Environment {
    variable: Box<Lookup>,
    host_name: String,
}

impl Environment {
    pub fn of_process() -> Self {
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self::new(&host_name, |name| std::env::var(name).ok())
    }

    pub fn new(host_name: &str, variable: impl Fn(&str) -> Option<String> + 'static) -> Self {
        let host_name = host_name.trim();
        let host_name = if host_name.is_empty() { "gateway" } else { host_name };
        Self { variable: Box::new(variable), host_name: host_name.to_owned() }
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }

    pub(super) fn host_name(&self) -> &str {
        &self.host_name
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::new("gateway", |_| None)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables may hold secrets.
        f.debug_struct("Environment").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}
