//! Arguments, configuration, then [`kitgate::app::run`].
//!
//! Exit codes: 0 ended or good, 1 failed, 2 wrong arguments, 78 bad configuration (before any port is opened).

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use kitgate::{
    admin::{check, logging, process},
    app,
    config::{Resolved, Surroundings, resolve},
    rt,
};

/// Per-thread heaps suit one thread a core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXIT_FAILED: u8 = 1;
/// `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: u8 = 78;

/// An ingest gateway: durable before it answers.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve until a signal says stop; what no verb means too.
    Run {
        /// The configuration; without it the embedded default.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say what would happen, and what the host does not grant.
    Check {
        /// The configuration; without it the embedded default.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print every option with its default.
    Reference,
    /// Say which version this is.
    Version {
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    process::started_ms();
    match Arguments::parse().verb.unwrap_or(Verb::Run { config: None }) {
        Verb::Run { config } => match load(config) {
            Ok(Resolved { settings, .. }) => {
                logging::init(&settings.log);
                app::run(settings)
            }
            Err(code) => code,
        },
        Verb::Check { config } => match load(config) {
            Ok(Resolved { settings, .. }) => {
                let existed = settings.data_dir.exists();
                let findings = app::probe(&settings);
                if !existed {
                    // The probe had to make it; a check leaves nothing behind. Refused where it is not empty.
                    let _ = std::fs::remove_dir(&settings.data_dir);
                }
                print!("{}", check::report(&settings, &findings));
                if findings.iter().any(|finding| finding.fatal) {
                    EXIT_FAILED.into()
                } else {
                    ExitCode::SUCCESS
                }
            }
            Err(code) => code,
        },
        Verb::Reference => {
            print!("{}", kitgate::config::doc::reference());
            ExitCode::SUCCESS
        }
        Verb::Version { format } => {
            println!("{}", process::version(matches!(format, Format::Json)));
            ExitCode::SUCCESS
        }
    }
}

/// The settings in `file`; problems go to standard error as `file:line: what`.
fn load(file: Option<PathBuf>) -> Result<Resolved, ExitCode> {
    let name = file.as_ref().map_or_else(|| "embedded default".to_owned(), |file| file.display().to_string());
    let text = match file {
        None => String::new(),
        Some(file) => std::fs::read_to_string(&file).map_err(|error| {
            eprintln!("kitgate: cannot read {name}: {error}");
            ExitCode::from(EXIT_CONFIG)
        })?,
    };
    let around = Surroundings {
        var: &|name| std::env::var(name).ok(),
        hostname: &process::hostname(),
        ip: &process::outbound_ip,
        cores: &rt::shard::allowed_cores(),
    };
    let resolved = resolve(&text, &around).map_err(|problems| {
        problems.iter().for_each(|problem| eprintln!("kitgate: {name}:{problem}"));
        ExitCode::from(EXIT_CONFIG)
    })?;
    resolved.warnings.iter().for_each(|warning| eprintln!("kitgate: warning: {name}:{warning}"));
    Ok(resolved)
}
