//! `SIGHUP` and `kitgate reload`: a new configuration holds as a whole, or the old one stays and it is said why.
//!
//! First everything that can go wrong, while the old configuration is in force: reading, checking, certificates, binding. Then
//! the new one is put in place, which cannot fail.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::sockets::{self, Bound};
use super::{filters, scripts};
use crate::config::{Listener, Settings};
use crate::shard::common::Live;
use crate::shard::{Change, Common};

/// For the shards to have carried it out: uploads in flight get some seconds to end.
const APPLY_PATIENCE: Duration = Duration::from_secs(15);

/// What can only be changed by a new process: `kitgate upgrade` does it without refusing a connection.
fn needs_restart(before: &Settings, after: &Settings) -> Vec<&'static str> {
    let changed = [
        ("data_dir", before.data_dir != after.data_dir),
        ("shards", before.shards != after.shards),
        ("spool", before.spool != after.spool),
        ("log", before.log != after.log),
    ];
    changed.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
}

/// What a reload would change, by the names of tables.
fn changes(before: &Settings, after: &Settings) -> Vec<&'static str> {
    let changed = [
        ("compat", before.compat != after.compat),
        ("ack", before.ack != after.ack),
        ("hostname", before.hostname != after.hostname),
        ("http_api", before.http != after.http),
        ("limits", before.limits != after.limits),
        ("global_host_tags", before.global_host_tags != after.global_host_tags),
        ("global_election_tags", before.global_election_tags != after.global_election_tags),
        (
            "io",
            before.auto_timestamp_correction != after.auto_timestamp_correction
                || before.filters != after.filters,
        ),
        ("rum", before.rum != after.rum),
        ("intake.datadog", before.datadog != after.datadog),
        ("intake.skywalking", before.skywalking != after.skywalking),
        ("intake.profiling", before.profiling != after.profiling || before.go_pulls != after.go_pulls),
        ("intake.otlp", before.otlp != after.otlp),
        ("intake.zipkin", before.zipkin != after.zipkin),
        ("dialtesting", before.dialtesting != after.dialtesting),
        ("pipeline", before.pipeline != after.pipeline),
        ("destination", before.destination != after.destination),
        ("shutdown", before.shutdown != after.shutdown),
    ];
    changed.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
}

/// Applies settings to the running shards; says what has changed, or why nothing has.
pub fn apply(
    settings: Settings,
    common: &Common,
    shards: &[flume::Sender<Change>],
    bound: &mut Vec<Bound>,
) -> Result<String, String> {
    let before = common.live_owned();
    let fixed = needs_restart(&before.settings, &settings);
    if !fixed.is_empty() {
        let fixed = fixed.join(", ");
        return Err(format!("{fixed}: only a new process can change this; see `kitgate upgrade`"));
    }
    let changed = changes(&before.settings, &settings);
    let listeners = settings.http.listen.clone();
    let live = Live::new(settings, Some(&before)).map_err(|error| error.to_string())?;
    let same = |bound: &Bound, listener: &Listener| {
        bound.name == listener.name && bound.configured == listener.address
    };
    let fresh = |listener: &&Listener| !bound.iter().any(|bound| same(bound, listener));
    let wanted: Vec<_> = listeners.iter().filter(fresh).cloned().collect();
    let opened = sockets::bind(&wanted, shards.len(), Vec::new()).map_err(|error| error.to_string())?;
    let mut dealt = sockets::deal(&opened, shards.len()).map_err(|error| error.to_string())?;

    // From here on nothing fails.
    let stays = |bound: &Bound| listeners.iter().any(|listener| same(bound, listener));
    let close: Vec<_> = bound
        .iter()
        .filter(|bound| !stays(bound))
        .map(|bound| (bound.name, bound.configured.clone()))
        .collect();
    bound.retain(stays);
    for opened in &opened {
        tracing::info!(address = %opened.address, listener = opened.name, "listening");
    }
    bound.extend(opened);
    let live = Arc::new(live);
    common.set_live(Arc::clone(&live));
    if before.settings.filters != live.settings.filters
        || before.settings.destination != live.settings.destination
    {
        filters::put_in_force(common, &live);
    }
    // Whatever has changed in the configuration: files may have.
    scripts::put_in_force(common, &live);
    common.tls.store(live.tls.as_ref().map(|loaded| Arc::clone(&loaded.config)));
    common.desk.sourcemaps.look_again();
    let (done, results) = flume::unbounded::<io::Result<()>>();
    for shard in shards {
        let change = Change {
            before: Arc::clone(&before),
            live: Arc::clone(&live),
            open: if dealt.is_empty() { Vec::new() } else { dealt.remove(0) },
            close: close.clone(),
            done: done.clone(),
        };
        if shard.send(change).is_err() {
            return Err("the gateway is stopping".to_owned());
        }
    }
    for _ in shards {
        match results.recv_timeout(APPLY_PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a socket that was bound cannot be listened on"),
            Err(_) => tracing::warn!("a shard takes its time to carry out the reload"),
        }
    }
    Ok(match changed.is_empty() {
        true => "nothing has changed".to_owned(),
        false => format!("applied: {}", changed.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_new_process_is_named() {
        let before = Settings::default();
        assert!(needs_restart(&before, &before).is_empty() && changes(&before, &before).is_empty());
        let mut after = before.clone();
        after.shards = vec![0, 1];
        after.spool.capacity_bytes += 1;
        assert_eq!(needs_restart(&before, &after), ["shards", "spool"]);
        let mut after = before.clone();
        after.limits.connections_max += 1;
        after.global_host_tags.clear();
        assert!(needs_restart(&before, &after).is_empty());
        assert_eq!(changes(&before, &after), ["limits", "global_host_tags"]);
    }
}
