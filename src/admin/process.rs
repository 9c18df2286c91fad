//! What the kernel says of this process and its host. Figures come from `/proc/self`, which answers without touching a
//! disk; those that cannot be read are zero.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::process::{Resource, getrlimit};

use crate::metrics::Process;

/// Fills in everything but `ready`.
pub fn look(runtime: &'static str) -> Process {
    Process {
        version: env!("CARGO_PKG_VERSION"),
        target: target(),
        runtime,
        ready: false,
        now_ms: now_ms(),
        started_ms: started_ms(),
        resident_bytes: resident_bytes().unwrap_or(0),
        open_fds: open_fds().unwrap_or(0),
        max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        cpu_ms: cpu_ms().unwrap_or(0),
    }
}

/// `<architecture>-<system>`.
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// The version, as a line or as JSON.
pub fn version(json: bool) -> String {
    let (name, version, target) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), target());
    if json {
        serde_json::json!({ "name": name, "version": version, "target": target }).to_string()
    } else {
        format!("{name} {version} ({target})")
    }
}

/// The host's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The address from which this machine reaches others. Nothing is sent: connecting a datagram socket only asks the
/// routing table. The destination is an address reserved for documentation.
pub fn outbound_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// When this was first asked, which `main` does at once.
pub fn started_ms() -> u64 {
    static STARTED_MS: OnceLock<u64> = OnceLock::new();
    *STARTED_MS.get_or_init(now_ms)
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn open_fds() -> Option<u64> {
    // The directory is itself open while it is counted.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

fn cpu_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the command in parentheses, which may hold anything; user and system time are the
    // 14th and 15th.
    let (_, after_command) = stat.rsplit_once(") ")?;
    let mut fields = after_command.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_itself() {
        let before = look("test");
        assert!(before.resident_bytes > 1 << 20, "{before:?}");
        assert!(before.open_fds >= 3 && before.open_fds < before.max_fds, "{before:?}");
        assert!(before.started_ms <= before.now_ms, "{before:?}");
        let burned = (0..200_000_000_u64).fold(0_u64, |sum, n| std::hint::black_box(sum ^ n));
        let after = look("test");
        assert!(after.cpu_ms > before.cpu_ms, "{burned} {} {}", before.cpu_ms, after.cpu_ms);
    }
}
