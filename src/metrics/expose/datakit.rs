//! The names that monitors of the old agent look at, kept where they mean something here.

use std::sync::Arc;

use super::{Page, Seconds};
use crate::metrics::counters::{Counter, DropReason, ShardCounters};
use crate::metrics::names::CATEGORIES;

pub(in crate::metrics) fn api_total(page: &mut Page<'_>) {
    page.requests(|page, labels, [count, _, _]| page.line("", labels, None, count));
}

pub(in crate::metrics) fn api_elapsed(page: &mut Page<'_>) {
    page.requests(|page, labels, [count, elapsed_ns, _]| {
        page.line("_sum", labels, None, Seconds(elapsed_ns));
        page.line("_count", labels, None, count);
    });
}

pub(in crate::metrics) fn api_size(page: &mut Page<'_>) {
    page.requests(|page, labels, [count, _, bytes]| {
        page.line("_sum", labels, None, bytes);
        page.line("_count", labels, None, count);
    });
}

/// DataKit's `name` is the client's `?input=`; here it is one word, because a label holds nothing a client chose.
const FEED_NAME: &str = "v1-write";

pub(in crate::metrics) fn feed_total(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let sum = page.sum(|shard| shard.categories[index].requests_in.get());
        page.line("", &[name, FEED_NAME], None, sum);
    }
}

pub(in crate::metrics) fn feed_point(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let points = page.sum(|shard| shard.categories[index].points_in.get());
        let requests = page.sum(|shard| shard.categories[index].requests_in.get());
        page.line("_sum", &[name, FEED_NAME], None, points);
        page.line("_count", &[name, FEED_NAME], None, requests);
    }
}

pub(in crate::metrics) fn dataway_points(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let delivered = page.sum(|shard| shard.categories[index].points_delivered.get());
        let dead = page.sum(|shard| shard.categories[index].points_dead.get());
        page.line("", &[name, "OK"], None, delivered);
        page.line("", &[name, "Bad Request"], None, dead);
    }
}

pub(in crate::metrics) fn last_errors(page: &mut Page<'_>) {
    for error in page.registry.errors().all() {
        page.line("", &[&error.input, &error.source, "unknown", &error.text], None, error.at_s);
    }
}

pub(in crate::metrics) fn error_total(page: &mut Page<'_>) {
    let mut counts: Vec<(String, u64)> = Vec::new();
    for error in page.registry.errors().all() {
        match counts.iter_mut().find(|(source, _)| *source == error.source) {
            Some((_, count)) => *count += error.count,
            None => counts.push((error.source, error.count)),
        }
    }
    for (source, count) in counts {
        page.line("", &[&source, "unknown"], None, count);
    }
}

pub(in crate::metrics) fn filtered_points(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let dropped = page.sum(|shard| shard.categories[index].dropped(DropReason::Filtered));
        page.line("", &[name], None, dropped);
    }
}

pub(in crate::metrics) fn filter_updates(page: &mut Page<'_>) {
    page.value(page.registry.filters.updates.get());
}

pub(in crate::metrics) fn filter_updated(page: &mut Page<'_>) {
    page.value(page.registry.filters.updated_s());
}

pub(in crate::metrics) fn filter_latency(page: &mut Page<'_>) {
    let filters = Arc::clone(&page.registry.filters);
    page.line("_sum", &[], None, Seconds(filters.pull_ns.get()));
    page.line("_count", &[], None, filters.pulls.iter().map(Counter::get).sum::<u64>());
}

pub(in crate::metrics) fn script_cost(page: &mut Page<'_>) {
    for script in page.registry.scripts.list() {
        let labels = [script.category, &script.name, script.namespace];
        let runs = script.read();
        page.line("_sum", &labels, None, Seconds(runs.ns));
        page.line("_count", &labels, None, runs.points);
    }
}

pub(in crate::metrics) fn scripts_updated(page: &mut Page<'_>) {
    page.value(page.registry.scripts.updated_s.get());
}

/// Of the old agent's queue on disk; its `path` is the folder of the spool.
pub(in crate::metrics) fn disk_bytes(page: &mut Page<'_>) {
    per_folder(page, |shard, category| shard.categories[category].spooled_bytes.get());
}

pub(in crate::metrics) fn disk_files(page: &mut Page<'_>) {
    per_folder(page, |shard, category| shard.categories[category].segments.get());
}

fn per_folder(page: &mut Page<'_>, read: impl Fn(&ShardCounters, usize) -> u64) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let sum = page.sum(|shard| read(shard, index));
        page.line("", &[&format!("spool/{name}")], None, sum);
    }
}

/// What was refused for ever, in the old agent's words.
pub(in crate::metrics) fn dropped_points(page: &mut Page<'_>) {
    for (index, name) in CATEGORIES.iter().enumerate() {
        let dead = page.sum(|shard| shard.categories[index].points_dead.get());
        page.line("", &[name, "write point 4xx"], None, dead);
    }
}
