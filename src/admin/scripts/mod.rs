//! `kitgate pipeline`: to write scripts, and to see that they do what they should.
//!
//! - [`run`]: a script over sample data
//! - [`cases`]: scripts against what they are expected to make of their samples
//! - [`files`]: scripts as they lie in folders

pub mod cases;
pub mod files;
pub mod run;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};

use super::tools::arguments::Format;
use crate::pipeline::category::Category;
use crate::pipeline::lib::grok::Patterns;
use crate::pipeline::lib::time::Zone;
use crate::pipeline::set::ScriptSet;
use crate::pipeline::trial;
use crate::pipeline::vm::Host;

#[derive(Args, Clone, Debug)]
pub struct PipelineArguments {
    #[command(subcommand)]
    pub verb: PipelineVerb,
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
}

#[derive(Subcommand, Clone, Debug)]
pub enum PipelineVerb {
    /// Run a script over sample data and show what it makes of it; ends with 1 when it does not compile or a run fails.
    Run(RunArguments),
    /// Run the scripts of a folder over their samples, NAME.cases.jsonl beside NAME.p; ends with 1 when one does not do what
    /// is expected.
    Test {
        /// Its scripts can use each other. Called after a category it holds scripts for it, else for logs.
        dir: PathBuf,
    },
}

#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// The script. The others of its folder are there for `use()`.
    pub file: PathBuf,
    /// Sample data; without it, or with `-`, the standard input.
    pub data: Option<PathBuf>,
    #[arg(long, default_value = "logging", value_name = "NAME")]
    pub category: Scripted,
    /// What the data is; without it text for logs, and line protocol for the rest.
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    pub what: Option<Data>,
    /// All of the text is one point, instead of each of its lines.
    #[arg(long)]
    pub whole: bool,
    /// Also measure how long a run takes over the first point.
    #[arg(long)]
    pub benchmark: bool,
    /// The time zone, instead of this machine's.
    #[arg(long, value_name = "NAME")]
    pub tz: Option<String>,
}

/// What sample data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Data {
    /// The text is the `message` of a point.
    Text,
    /// Line protocol, in nanoseconds.
    Lines,
    /// Points in JSON, in either form.
    Json,
    /// PBPoints.
    Protobuf,
}

impl Data {
    fn format(self) -> trial::Format {
        match self {
            Data::Text => trial::Format::Text,
            Data::Lines => trial::Format::LineProtocol,
            Data::Json => trial::Format::Json,
            Data::Protobuf => trial::Format::Protobuf,
        }
    }
}

/// A category of scripts, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scripted(pub Category);

impl std::str::FromStr for Scripted {
    type Err = String;

    fn from_str(text: &str) -> Result<Scripted, String> {
        Category::named(text).map(Scripted).ok_or_else(|| {
            let names: Vec<&str> = Category::ALL.into_iter().map(Category::name).collect();
            format!("no such category; there are {}", names.join(", "))
        })
    }
}

/// Does what the command line says; whether all is well. The error is for people.
pub fn pipeline(given: &PipelineArguments, zone: &Zone, out: &mut dyn Write) -> Result<bool, String> {
    let written = |error: io::Error| format!("standard output: {error}");
    match &given.verb {
        PipelineVerb::Run(arguments) => run::run(arguments, given.format, zone, out),
        PipelineVerb::Test { dir } => {
            let report = cases::test(dir)?;
            match given.format {
                Format::Text => out.write_all(report.text().as_bytes()).map_err(written)?,
                Format::Json => writeln!(out, "{}", report.json()).map_err(written)?,
            }
            Ok(report.is_good())
        }
    }
}

/// The scripts of a folder, compiled with its patterns.
fn compiled(folder: &Path) -> ScriptSet {
    let texts = files::scripts(folder);
    let patterns = files::patterns(&folder.join("pattern"));
    let added = patterns.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let (patterns, refused) = Patterns::with(added);
    for (name, error) in refused {
        tracing::warn!(name, %error, "a pattern is left out");
    }
    ScriptSet::compile_with(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())), &patterns)
}

/// What runs have of the world here: a clock, or one time for good, and a zone. No databases, no tables, nobody to ask.
struct Desk {
    now_ns: Option<i64>,
    zone: Zone,
}

impl Host for Desk {
    fn now_ns(&self) -> i64 {
        self.now_ns.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
        })
    }

    fn zone(&self) -> &Zone {
        &self.zone
    }
}

fn zone_of(name: Option<&str>, local: &Zone) -> Result<Zone, String> {
    match name {
        None => Ok(local.clone()),
        Some(name) => Zone::named(name).ok_or_else(|| format!("no such time zone: {name}")),
    }
}
