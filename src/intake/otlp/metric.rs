//! Metrics to points: measurement `otel_service`, the metric's name as field, attributes of resource, scope and data point
//! as tags, as DataKit makes them.
//!
//! A histogram is one point with `<name>_count`, `_sum`, `_min`, `_max` and `_avg`, and one for each bucket that is not empty,
//! `<name>_bucket` with the tag `le`; counts of buckets are not summed up. A summary has a point for each quantile besides.

use crate::buf::Padded;
use crate::intake::convert::{Builder, Conversion, Fault};
use crate::intake::protobuf::{Kind, each};
use crate::point::check::TAGS_MAX;
use crate::point::pb::{self, Wire};
use crate::point::{Category, Precision};

use super::attributes::{self, ATTRIBUTES_MAX, Shared, key_value, name};

const MEASUREMENT: &[u8] = b"otel_service";

/// Buckets of one histogram: an exporter has some tens.
const BUCKETS_MAX: usize = 1 << 16;

#[derive(Clone, Copy)]
struct Metric<'a> {
    name: &'a [u8],
    unit: &'a [u8],
}

/// What kind of data points a metric has.
#[derive(Clone, Copy)]
enum Data {
    Number,
    Histogram,
    Exponential,
    Summary,
}

/// Converts a request.
pub fn convert(body: Padded<'_>, cx: &mut Conversion<'_>) -> Result<(), Fault> {
    let bytes = body.bytes();
    let settings = cx.settings;
    let tags = &settings.options.host_tags;
    let (mut at, mut shared) = (None, Shared::default());
    super::each_item(bytes, 2, &mut |resource, scope, metric_bytes| {
        let place = (resource.as_ptr(), scope.as_ptr());
        if at != Some(place) {
            at = Some(place);
            shared = Shared::default();
            shared.add(resource, 1, TAGS_MAX)?;
            for field in pb::fields(scope) {
                if let (1, Wire::Len(name)) = field?
                    && !name.is_empty()
                {
                    shared.list.push((b"scope_name"[..].into(), name.into()));
                }
            }
            shared.add(scope, 3, TAGS_MAX)?;
        }
        let mut metric = Metric { name: b"", unit: b"" };
        for field in pb::fields(metric_bytes) {
            match field? {
                (1, Wire::Len(name)) => metric.name = name,
                (3, Wire::Len(unit)) => metric.unit = unit,
                _ => {}
            }
        }
        for field in pb::fields(metric_bytes) {
            let (data, points) = match field? {
                (5 | 7, Wire::Len(points)) => (Data::Number, points),
                (9, Wire::Len(points)) => (Data::Histogram, points),
                (10, Wire::Len(points)) => (Data::Exponential, points),
                (11, Wire::Len(points)) => (Data::Summary, points),
                _ => continue,
            };
            for point in pb::fields(points) {
                let (1, Wire::Len(point)) = point? else { continue };
                match data {
                    Data::Number => number(metric, point, &shared, bytes, cx)?,
                    Data::Histogram => histogram(metric, point, &shared, bytes, cx)?,
                    Data::Exponential => exponential(metric, point, &shared, bytes, cx)?,
                    Data::Summary => summary(metric, point, &shared, bytes, cx)?,
                }
                cx.flush_if_long(Category::Metric, Precision::Nanos, tags, body)?;
            }
        }
        Ok(())
    })?;
    cx.flush(Category::Metric, Precision::Nanos, tags, body)
}

/// Begins a point with the tags that its data point has, in the field of this number, and those it shares.
fn begin<'t>(
    metric: Metric<'_>,
    data_point: &[u8],
    number: u64,
    shared: &Shared<'_>,
    body: &'t [u8],
    cx: &'t mut Conversion<'_>,
) -> Result<Builder<'t>, Fault> {
    let mut point = Builder::new(cx.tape, body);
    for attribute in attributes::of(data_point, number).take(ATTRIBUTES_MAX) {
        let (key, value) = key_value(attribute?)?;
        point.tag(&name(key), &value.text()?);
    }
    for (name, value) in &shared.list {
        point.tag(name, value);
    }
    if !metric.unit.is_empty() {
        point.tag(b"unit", metric.unit);
    }
    Ok(point)
}

fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or_default()
}

fn number(
    metric: Metric<'_>,
    bytes: &[u8],
    shared: &Shared<'_>,
    body: &[u8],
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let mut at = 0;
    let mut point = begin(metric, bytes, 7, shared, body, cx)?;
    for field in pb::fields(bytes) {
        match field? {
            (3, Wire::Fixed64(ns)) => at = ns,
            (4, Wire::Fixed64(bits)) => point.float_field(metric.name, f64::from_bits(bits)),
            (6, Wire::Fixed64(bits)) => point.int_field(metric.name, bits as i64),
            _ => {}
        }
    }
    point.finish(MEASUREMENT, time(at));
    Ok(())
}

/// `<name><suffix>`.
fn suffixed(metric: Metric<'_>, suffix: &str) -> Vec<u8> {
    [metric.name, suffix.as_bytes()].concat()
}

/// What a distribution is in numbers.
#[derive(Default)]
struct Figures {
    time: u64,
    count: u64,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

impl Figures {
    fn write(&self, metric: Metric<'_>, mut point: Builder<'_>) {
        point.int_field(&suffixed(metric, "_count"), i64::try_from(self.count).unwrap_or(i64::MAX));
        for (value, suffix) in [(self.sum, "_sum"), (self.min, "_min"), (self.max, "_max")] {
            if let Some(value) = value {
                point.float_field(&suffixed(metric, suffix), value);
            }
        }
        if let Some(sum) = self.sum.filter(|_| self.count > 0) {
            point.float_field(&suffixed(metric, "_avg"), sum / self.count as f64);
        }
        point.finish(MEASUREMENT, time(self.time));
    }
}

fn histogram(
    metric: Metric<'_>,
    bytes: &[u8],
    shared: &Shared<'_>,
    body: &[u8],
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let mut figures = Figures::default();
    let (mut counts, mut bounds): (Vec<u64>, Vec<f64>) = (Vec::new(), Vec::new());
    for field in pb::fields(bytes) {
        match field? {
            (3, Wire::Fixed64(ns)) => figures.time = ns,
            (4, Wire::Fixed64(count)) => figures.count = count,
            (5, Wire::Fixed64(bits)) => figures.sum = Some(f64::from_bits(bits)),
            (11, Wire::Fixed64(bits)) => figures.min = Some(f64::from_bits(bits)),
            (12, Wire::Fixed64(bits)) => figures.max = Some(f64::from_bits(bits)),
            (6, value) => each(Kind::Fixed64, value, |value| {
                counts.extend(bits_of(value).filter(|_| counts.len() < BUCKETS_MAX));
                Ok(())
            })?,
            (7, value) => each(Kind::Double, value, |value| {
                bounds.extend(bits_of(value).filter(|_| bounds.len() < BUCKETS_MAX).map(f64::from_bits));
                Ok(())
            })?,
            _ => {}
        }
    }
    figures.write(metric, begin(metric, bytes, 9, shared, body, cx)?);
    if bounds.is_empty() {
        return Ok(());
    }
    for (index, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let mut point = begin(metric, bytes, 9, shared, body, cx)?;
        let bound = bounds.get(index).map_or_else(|| "inf".to_owned(), f64::to_string);
        point.tag(b"le", bound.as_bytes());
        point.int_field(&suffixed(metric, "_bucket"), i64::try_from(count).unwrap_or(i64::MAX));
        point.finish(MEASUREMENT, time(figures.time));
    }
    Ok(())
}

fn bits_of(value: Wire<'_>) -> Option<u64> {
    match value {
        Wire::Fixed64(bits) => Some(bits),
        _ => None,
    }
}

fn exponential(
    metric: Metric<'_>,
    bytes: &[u8],
    shared: &Shared<'_>,
    body: &[u8],
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let mut figures = Figures::default();
    for field in pb::fields(bytes) {
        match field? {
            (3, Wire::Fixed64(ns)) => figures.time = ns,
            (4, Wire::Fixed64(count)) => figures.count = count,
            (5, Wire::Fixed64(bits)) => figures.sum = Some(f64::from_bits(bits)),
            (12, Wire::Fixed64(bits)) => figures.min = Some(f64::from_bits(bits)),
            (13, Wire::Fixed64(bits)) => figures.max = Some(f64::from_bits(bits)),
            _ => {}
        }
    }
    figures.write(metric, begin(metric, bytes, 1, shared, body, cx)?);
    Ok(())
}

fn summary(
    metric: Metric<'_>,
    bytes: &[u8],
    shared: &Shared<'_>,
    body: &[u8],
    cx: &mut Conversion<'_>,
) -> Result<(), Fault> {
    let mut figures = Figures::default();
    for field in pb::fields(bytes) {
        match field? {
            (3, Wire::Fixed64(ns)) => figures.time = ns,
            (4, Wire::Fixed64(count)) => figures.count = count,
            (5, Wire::Fixed64(bits)) => figures.sum = Some(f64::from_bits(bits)),
            _ => {}
        }
    }
    figures.write(metric, begin(metric, bytes, 7, shared, body, cx)?);
    for field in pb::fields(bytes) {
        let (6, Wire::Len(quantile)) = field? else { continue };
        let (mut of, mut value) = (0.0, 0.0);
        for field in pb::fields(quantile) {
            match field? {
                (1, Wire::Fixed64(bits)) => of = f64::from_bits(bits),
                (2, Wire::Fixed64(bits)) => value = f64::from_bits(bits),
                _ => {}
            }
        }
        let mut point = begin(metric, bytes, 7, shared, body, cx)?;
        point.tag(b"quantile", of.to_string().as_bytes());
        point.float_field(metric.name, value);
        point.finish(MEASUREMENT, time(figures.time));
    }
    Ok(())
}
