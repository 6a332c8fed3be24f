//! What is measured: the gateway or mosquitto as a child process, and the kernel's accounts of its threads.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::certificate::Certificate;
use crate::load::Tls;
use crate::{Result, Tell};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Names of the queue's threads begin so: its writer, and those of its engine.
const QUEUE_THREADS: [&str; 2] = ["queue-writer", "sled-io"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Listen,
    ListenTls,
    /// Dials a broker on this port.
    Mqtt(u16),
    /// Not ours; for comparison.
    Mosquitto,
}

/// A running server; killed when dropped.
pub(crate) struct Subject {
    child: Child,
    door: Door,
    target: SocketAddr,
    dir: PathBuf,
}

/// CPU time by kind of thread, and memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    door_s: f64,
    queue_s: f64,
    pub(crate) rss_bytes: u64,
}

impl Subject {
    /// `listen_options` are further lines of `[listen]`. `None`: there is no such server on this machine.
    pub(crate) fn start(
        door: Door,
        listen_options: &str,
        dir: &Path,
        certificate: &Certificate,
    ) -> Result<Option<Self>> {
        let dir = dir.join(format!("doors-bench-{}-data", std::process::id()));
        fs::create_dir_all(&dir)?;
        let started = match door {
            Door::Mosquitto => mosquitto(&dir)?,
            Door::Listen | Door::ListenTls | Door::Mqtt(_) => Some(gateway(door, listen_options, &dir, certificate)?),
        };
        let Some((child, target)) = started else {
            eprintln!("there is no mosquitto on this machine: left out");
            fs::remove_dir_all(&dir)?;
            return Ok(None);
        };
        Ok(Some(Self { child, door, target, dir }))
    }

    pub(crate) fn target(&self) -> SocketAddr {
        self.target
    }

    /// What clients need to speak to it.
    pub(crate) fn tls(&self, certificate: &Certificate) -> Tls {
        (self.door == Door::ListenTls).then(|| certificate.client().expect("a certificate that was just made"))
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let root = PathBuf::from(format!("/proc/{}", self.child.id()));
        let (mut door_s, mut queue_s) = (0.0, 0.0);
        for task in fs::read_dir(root.join("task"))? {
            let task = task?.path();
            // First number: nanoseconds on a processor.
            let spent = fs::read_to_string(task.join("schedstat"))?;
            let spent_ns: f64 = spent.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
            let name = fs::read_to_string(task.join("comm"))?;
            let is_queue = QUEUE_THREADS.iter().any(|queue| name.starts_with(queue));
            *(if is_queue { &mut queue_s } else { &mut door_s }) += spent_ns / 1e9;
        }
        let status = fs::read_to_string(root.join("status"))?;
        let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let rss_kib: u64 = rss.split_whitespace().next().ok_or("VmRSS is empty")?.parse()?;
        Ok(Usage { door_s, queue_s, rss_bytes: rss_kib * 1024 })
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        fs::remove_dir_all(&self.dir)?;
        // mosquitto tells of the signal.
        if !status.success() && self.door != Door::Mosquitto {
            return Err(format!("the gateway ended with {status}").into());
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Errors only if it has ended already, which is what is wanted.
        self.child.kill().and_then(|()| self.child.wait()).map(drop).unwrap_or_default();
    }
}

impl Usage {
    pub(crate) fn tell_since(self, before: Self, messages: u64, tell: Tell<'_>) {
        let per_million = |now: f64, then: f64| (now - then) / messages as f64 * 1e6;
        tell("door_cpu", per_million(self.door_s, before.door_s));
        tell("queue_cpu", per_million(self.queue_s, before.queue_s));
        tell("rss_mib", self.rss_bytes as f64 / (1 << 20) as f64);
    }
}

fn gateway(door: Door, listen_options: &str, dir: &Path, certificate: &Certificate) -> Result<(Child, SocketAddr)> {
    let listen = format!("[listen]\nbind = \"127.0.0.1:0\"\nconnections_max = 2000\n{listen_options}\n");
    let doors = match door {
        Door::ListenTls => {
            let (cert, key) = (&certificate.certificate_file, &certificate.key_file);
            format!("{listen}tls_cert_file = {cert:?}\ntls_key_file = {key:?}\n")
        }
        Door::Mqtt(port) => format!("[[mqtt]]\nurl = \"mqtt://127.0.0.1:{port}\"\nstatus = false\n"),
        Door::Listen | Door::Mosquitto => listen,
    };
    let text = format!(
        "[gateway]\nname = \"bench\"\ndata_dir = {dir:?}\n[http]\nenabled = false\n[detect]\nenabled = false\n\
         [queue]\nmax_size = \"8GiB\"\n{doors}"
    );
    let path = dir.join("gateway.toml");
    fs::write(&path, text)?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["run", "--log-level", "error", "--config"])
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()?;
    if let Door::Mqtt(port) = door {
        return Ok((child, SocketAddr::from(([127, 0, 0, 1], port))));
    }
    let address = dir.join("listen.addr");
    let target = wait_for(&mut child, || fs::read_to_string(&address).ok()?.trim().parse().ok())?;
    Ok((child, target))
}

fn mosquitto(dir: &Path) -> Result<Option<(Child, SocketAddr)>> {
    let Some(program) =
        ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].into_iter().find(|p| Path::new(p).exists())
    else {
        return Ok(None);
    };
    let target = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.local_addr()?;
    let config = dir.join("mosquitto.conf");
    let port = target.port();
    fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\n"))?;
    let mut child =
        Command::new(program).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let errors = child.stderr.take();
    std::thread::spawn(move || {
        errors.into_iter().flat_map(|e| BufReader::new(e).lines().map_while(std::result::Result::ok)).for_each(
            |line| {
                eprintln!("mosquitto: {line}");
            },
        );
    });
    wait_for(&mut child, || TcpStream::connect(target).ok())?;
    Ok(Some((child, target)))
}

fn wait_for<T>(child: &mut Child, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("the server ended with {status}").into());
        }
        if Instant::now() > deadline {
            return Err(format!("the server is not ready after {} s", START_TIMEOUT.as_secs()).into());
        }
        std::thread::sleep(POLL_EVERY);
    }
}
