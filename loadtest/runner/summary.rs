//! Medians, ratios, verdicts, and the record of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::case::{Case, Claim};
use super::measure::Sample;
use crate::shared::{Outcome, system};

/// All samples of one server at one number of connections, round by round.
pub struct Series {
    /// Server.
    pub server: String,
    /// Connections.
    pub connections: usize,
    /// One a round.
    pub rounds: Vec<Sample>,
}

impl Series {
    fn values(&self, measure: &str) -> Vec<f64> {
        self.rounds.iter().filter_map(|sample| sample.get(measure).copied()).collect()
    }
}

/// The middle value; of an even number, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (len, half) if len % 2 == 1 => sorted[half],
        (_, half) => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// A line of a record.
struct Row {
    server: String,
    connections: usize,
    measure: String,
    median: f64,
    min: f64,
    max: f64,
    reference: String,
    ratio: f64,
    claim: String,
    verdict: &'static str,
}

/// Prints the table and the claims; appends to the record when `record` is set. True when every claim holds.
pub fn report(
    name: &str,
    case: &Case,
    series: &[Series],
    record: Option<&Path>,
    note: &str,
) -> Outcome<bool> {
    let mut rows = measure_rows(case, series);
    print_table(case, series, &rows);
    let (claims, held) = claim_rows(case, series);
    println!("claims");
    for row in &claims {
        let to = if row.reference.is_empty() { String::new() } else { format!(" to {}", row.reference) };
        println!(
            "  {:<8} {}{to}, {}, {} connections: {:.3} [{:.3} .. {:.3}], claimed {}",
            row.verdict, row.server, row.measure, row.connections, row.median, row.min, row.max, row.claim
        );
    }
    rows.extend(claims);
    if let Some(folder) = record {
        append(folder, name, case, &rows, note)?;
    }
    Ok(held)
}

fn measure_rows(case: &Case, series: &[Series]) -> Vec<Row> {
    let reference = case.servers.first().map(|s| s.name.clone()).unwrap_or_default();
    let mut rows = Vec::new();
    for one in series {
        let Some(first) = one.rounds.first() else { continue };
        let base = series.iter().find(|s| s.server == reference && s.connections == one.connections);
        for measure in first.keys() {
            let values = one.values(measure);
            rows.push(Row {
                server: one.server.clone(),
                connections: one.connections,
                measure: (*measure).to_owned(),
                median: median(&values),
                min: values.iter().copied().fold(f64::INFINITY, f64::min),
                max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                reference: reference.clone(),
                ratio: base.map_or(f64::NAN, |base| median(&ratios(one, base, measure))),
                claim: String::new(),
                verdict: "",
            });
        }
    }
    rows
}

/// Round by round: what disturbs a round disturbs both.
fn ratios(of: &Series, to: &Series, measure: &str) -> Vec<f64> {
    let pairs = of.rounds.iter().zip(&to.rounds);
    pairs.filter_map(|(a, b)| Some(a.get(measure)? / b.get(measure)?)).collect()
}

fn claim_rows(case: &Case, series: &[Series]) -> (Vec<Row>, bool) {
    let mut rows = Vec::new();
    let mut held = true;
    for claim in &case.claims {
        for one in series.iter().filter(|s| s.server == claim.of) {
            let values = match &claim.to {
                None => one.values(&claim.measure),
                Some(to) => {
                    let base = series.iter().find(|s| s.server == *to && s.connections == one.connections);
                    base.map(|base| ratios(one, base, &claim.measure)).unwrap_or_default()
                }
            };
            let value = median(&values);
            let holds = holds(claim, value);
            held &= holds;
            rows.push(Row {
                server: one.server.clone(),
                connections: one.connections,
                measure: claim.measure.clone(),
                median: value,
                min: values.iter().copied().fold(f64::INFINITY, f64::min),
                max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                reference: claim.to.clone().unwrap_or_default(),
                ratio: if claim.to.is_some() { value } else { f64::NAN },
                claim: bound(claim),
                verdict: if holds { "held" } else { "MISSED" },
            });
        }
    }
    (rows, held)
}

fn holds(claim: &Claim, value: f64) -> bool {
    // A value that is not a number holds nothing.
    claim.at_most.is_none_or(|bound| value <= bound) && claim.at_least.is_none_or(|bound| value >= bound)
}

fn bound(claim: &Claim) -> String {
    match (claim.at_most, claim.at_least) {
        (Some(most), _) => format!("at most {most}"),
        (_, Some(least)) => format!("at least {least}"),
        _ => String::new(),
    }
}

fn print_table(case: &Case, series: &[Series], rows: &[Row]) {
    for one in series {
        let line = rows
            .iter()
            .filter(|row| row.server == one.server && row.connections == one.connections)
            .fold(String::new(), |mut line, row| {
                let _ = write!(line, "  {} {}", row.measure, short(row.median));
                if case.servers.first().is_some_and(|first| first.name != one.server) {
                    let _ = write!(line, " ({:.2})", row.ratio);
                }
                line
            });
        println!("{:<18} c={:<5}{line}", one.server, one.connections);
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn append(folder: &Path, name: &str, case: &Case, rows: &[Row], note: &str) -> Outcome<()> {
    const HEAD: &str = "date,machine,case,corpus,body_bytes,seconds,rounds,server,connections,measure,median,min,max,\
                        reference,ratio,claim,verdict,note";
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{date}-{}.csv", system::host_name()));
    let fresh = !path.exists();
    let mut file = std::fs::File::options().create(true).append(true).open(&path)?;
    if fresh {
        writeln!(file, "{HEAD}")?;
    }
    let machine = system::describe().replace(',', ";");
    let note = note.replace([',', '\n'], ";");
    let load = &case.load;
    for row in rows {
        writeln!(
            file,
            "{date},{machine},{name},{:?},{},{},{},{},{},{},{:.4},{:.4},{:.4},{},{:.4},{},{},{note}",
            load.corpus,
            load.body_bytes,
            load.seconds,
            load.rounds,
            row.server,
            row.connections,
            row.measure,
            row.median,
            row.min,
            row.max,
            row.reference,
            row.ratio,
            row.claim,
            row.verdict,
        )?;
    }
    println!("recorded in {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_missing_value_holds_no_claim() {
        let claim =
            Claim { of: "a".into(), to: None, measure: "m".into(), at_most: Some(1.0), at_least: None };
        assert!(holds(&claim, 0.9) && !holds(&claim, 1.1) && !holds(&claim, f64::NAN));
    }
}
