//! A tty as a stream of raw bytes: opened, set up, read and written without blocking.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex, ioctl_tiocexcl, ioctl_tiocnxcl, isatty, tcflush,
    tcgetattr, tcsetattr,
};
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;

use super::SerialConfig;

/// One part in so many may be missing: drivers tell what their divider gives, and receivers bear 2 %.
const BAUD_TOLERANCE: u32 = 50;

/// Why a device cannot be used now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("is not there: plug the device in, or correct `path`")]
    Absent,
    #[error("permission denied: let the gateway's user into the device's group, often `dialout`")]
    Denied,
    #[error("is in use: another program has it for itself")]
    InUse,
    #[error("is no serial device: correct `path`")]
    NotATty,
    #[error("{0}")]
    Open(io::Error),
    #[error("cannot be set to {baud} baud: {source}; set `baud` to one that it can do")]
    Setup { baud: u32, source: io::Error },
    #[error("runs at {got} baud instead of {baud}: set `baud` to one that it can do")]
    Baud { baud: u32, got: u32 },
}

/// An open line.
pub(super) struct Port {
    fd: AsyncFd<OwnedFd>,
}

impl Port {
    /// Opens the device and sets it up: raw bytes, 8N1. What it has received before stays to be read.
    ///
    /// # Errors
    /// The device is not there, belongs to others, or cannot do what it is told.
    pub(super) async fn open(config: &SerialConfig) -> Result<Self, Error> {
        let (path, baud, rtscts) = (config.path.clone(), config.baud, config.rtscts);
        // A USB device that does not answer holds up its opener for seconds.
        let opened = spawn_blocking(move || open(&path, baud, rtscts)).await;
        let fd = opened.map_err(|e| Error::Open(io::Error::other(e)))??;
        #[expect(deprecated, reason = "an OwnedFd is one descriptor for as long as it lives; the successor is unsafe")]
        let fd = AsyncFd::new(fd);
        Ok(Self { fd: fd.map_err(Error::Open)? })
    }

    /// 0: the line was hung up. Safe to cancel.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            let read = ready.try_io(|fd| match retry_on_intr(|| rustix::io::read(fd, &mut *buffer)) {
                // What a line says that was hung up is either of both.
                Err(Errno::IO) => Ok(0),
                other => Ok(other?),
            });
            if let Ok(read) = read {
                return read;
            }
        }
    }

    /// How many bytes the line took. Safe to cancel.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.writable().await?;
            if let Ok(written) = ready.try_io(|fd| Ok(retry_on_intr(|| rustix::io::write(fd, bytes))?)) {
                return written;
            }
        }
    }

    /// What the line takes at once; the rest is left.
    pub(super) fn try_write(&self, bytes: &[u8]) -> usize {
        // An error means that the line is gone, and with it whoever would read.
        rustix::io::write(self.fd.get_ref(), bytes).unwrap_or_default()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let fd = self.fd.get_ref();
        // Neither error tells anything new: the device is gone. Without the flush, closing waits for a device that has
        // raised its hand against more bytes, for up to half a minute.
        if tcflush(fd, QueueSelector::OFlush).is_ok() {
            ioctl_tiocnxcl(fd).unwrap_or_default();
        }
    }
}

fn open(path: &Path, baud: u32, rtscts: bool) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => Error::Absent,
        Errno::ACCESS | Errno::PERM => Error::Denied,
        Errno::BUSY => Error::InUse,
        other => Error::Open(other.into()),
    })?;
    if !isatty(&fd) {
        return Err(Error::NotATty);
    }
    set_up(&fd, baud, rtscts)?;
    Ok(fd)
}

fn set_up(fd: &OwnedFd, baud: u32, rtscts: bool) -> Result<(), Error> {
    let setup = |errno: Errno| Error::Setup { baud, source: errno.into() };
    // Two readers would take each other's bytes.
    ioctl_tiocexcl(fd).map_err(setup)?;
    let mut termios = tcgetattr(fd).map_err(setup)?;
    termios.make_raw();
    // One byte is enough for a read; none means that the line was hung up.
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    let control = &mut termios.control_modes;
    control.remove(ControlModes::CSIZE | ControlModes::PARENB | ControlModes::CSTOPB);
    // Boards that reset when the line is closed would do so at each start of the gateway.
    control.remove(ControlModes::HUPCL);
    // Few sensors have modem lines.
    control.insert(ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL);
    control.set(ControlModes::CRTSCTS, rtscts);
    termios.set_speed(baud).map_err(setup)?;
    tcsetattr(fd, OptionalActions::Now, &termios).map_err(setup)?;
    // It succeeds if anything could be done.
    let got = tcgetattr(fd).map_err(setup)?.output_speed();
    if got.abs_diff(baud) > baud / BAUD_TOLERANCE { Err(Error::Baud { baud, got }) } else { Ok(()) }
}
