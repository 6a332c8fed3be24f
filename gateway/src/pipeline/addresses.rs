//! Where the doors really are, in files beside the data: for scripts that asked for port 0.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tracing::info;

/// Writes `{door}.addr`, or takes an old one away if the door is shut.
///
/// # Errors
/// The data directory cannot be written.
pub(super) fn note(data_dir: &Path, door: &str, address: Option<SocketAddr>) -> io::Result<()> {
    let path = data_dir.join(format!("{door}.addr"));
    match address {
        Some(address) => {
            info!(door, %address, "Open.");
            fs::write(path, format!("{address}\n"))
        }
        None => match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_that_is_shut_leaves_no_address_of_an_earlier_run() {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1883));
        note(dir.path(), "listen", Some(address)).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("listen.addr")).unwrap(), "127.0.0.1:1883\n");
        note(dir.path(), "listen", None).unwrap();
        note(dir.path(), "listen", None).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
