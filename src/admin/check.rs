//! What `kitgate check` prints: what would happen, in sentences, and what the host does not grant.

use std::fmt::Write;

use crate::{
    config::{Ack, Compat, Destination, Full, LISTENERS, Settings, units},
    rt::probe::Finding,
};

/// The whole text. It shows no token.
pub fn report(settings: &Settings, findings: &[Finding]) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        writeln!(out, "{name:<12} {text}").expect("BUG: writing to a String cannot fail");
    };
    line(
        "compat",
        match settings.compat {
            Compat::Documented => "as documented".to_owned(),
            Compat::Datakit184 => "as DataKit 1.84.1".to_owned(),
        },
    );
    for listener in &settings.http.listen {
        let tls = settings.http.tls.is_some() && listener.name == LISTENERS[0];
        line("listens on", format!("{} ({})", listener.address.url(tls), listener.name));
    }
    let cores: Vec<String> = settings.shards.iter().map(usize::to_string).collect();
    line("shards", format!("{}, on core {}", cores.len(), cores.join(", ")));
    line(
        "answers when",
        match settings.ack {
            Ack::Memory => "points are in memory (a crash loses them)".to_owned(),
            Ack::Disk => "points are synced to disk".to_owned(),
            Ack::Upstream => "the destination has taken the points".to_owned(),
        },
    );
    let spool = &settings.spool;
    let full = match spool.full {
        Full::Refuse => "new data is refused with 503",
        Full::EvictOldest => "the oldest data is dropped",
    };
    let capacity = units::show_size(spool.capacity_bytes);
    line("spools to", format!("{}, up to {capacity} per category; then {full}", spool.dir.display()));
    for (category, bytes) in &spool.capacity_bytes_of {
        line("", format!("up to {} of {category}", units::show_size(*bytes)));
    }
    line("delivers to", settings.destination.to_string());
    if let Destination::Dataway(dataway) = &settings.destination {
        let compression = format!("{:?}", dataway.compression).to_lowercase();
        line("", format!("{compression}, {} requests at once per category", dataway.workers));
    }
    let tags: Vec<String> =
        settings.global_host_tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    line("adds tags", tags.join(", "));
    if findings.is_empty() {
        line("host", "grants everything that is needed".to_owned());
    }
    for finding in findings {
        line(if finding.fatal { "CANNOT START" } else { "warning" }, finding.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_would_happen() {
        let text = report(&Settings::default(), &[]);
        for part in [
            "listens on   http://127.0.0.1:9529 (datakit)\n",
            "listens on   http://127.0.0.1:12800 (skywalking)\n",
            "shards       1, on core 0\n",
            "answers when points are synced to disk\n",
            "spools to    ./kitgate-data/spool, up to 2GiB per category; then new data is refused with 503\n",
            "delivers to  readable files in ./kitgate-data/archive\n",
            "adds tags    host=localhost\n",
            "host         grants everything that is needed\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let finding = Finding { fatal: true, what: "no ring".to_owned(), fix: "grant it".to_owned() };
        let text = report(&Settings::default(), &[finding]);
        assert!(text.ends_with("CANNOT START no ring\n    grant it\n"), "{text}");
    }
}
