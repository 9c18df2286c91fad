//! Arguments, configuration, then [`kitgate::app::run`].
//!
//! Exit codes: 0 ended or good, 1 failed, 2 wrong arguments, 75 somebody has the data directory and does not answer (try
//! again), 78 bad configuration (before any port is opened).

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use kitgate::{
    admin::{
        check,
        control::{self, Request},
        logging, process,
        tools::{
            Failure, Tools,
            arguments::{DlqArguments, SpoolArguments, Where},
        },
    },
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
    /// Have the running gateway read its configuration again: all of it is applied, or nothing.
    Reload {
        /// The configuration of that gateway.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Have the running gateway hand over to a new process of the program that now lies at its path.
    Upgrade {
        /// The configuration of that gateway.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// What waits for delivery: see, check, mend, take out, put in, give up.
    Spool(SpoolArguments),
    /// What the destination refused for good: see, send again, give up.
    Dlq(DlqArguments),
    /// Print every option with its default.
    Reference,
    /// Say which version this is.
    Version {
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// An upgrade waits for requests in work and for the new process to recover the spool.
const ASK_PATIENCE: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    process::started_ms();
    rt::memory::keep_freed();
    match Arguments::parse().verb.unwrap_or(Verb::Run { config: None }) {
        Verb::Run { config } => match loaded(config.as_deref()) {
            Ok(Resolved { settings, .. }) => {
                logging::init(&settings.log);
                app::run(settings, &app::Source { file: config, load })
            }
            Err(code) => code,
        },
        Verb::Reload { config } => ask(config.as_deref(), &Request::Reload),
        Verb::Upgrade { config } => ask(config.as_deref(), &Request::Upgrade),
        Verb::Check { config } => match loaded(config.as_deref()) {
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
        Verb::Spool(given) => tool(&given.place, |tools| tools.spool(&given.verb)),
        Verb::Dlq(given) => tool(&given.place, |tools| tools.dlq(&given.verb)),
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

/// Runs a tool on the data of a configuration, or on a data directory.
fn tool(place: &Where, run: impl FnOnce(&mut Tools<'_>) -> Result<u8, Failure>) -> ExitCode {
    let settings = match &place.data_dir {
        None => loaded(place.config.as_deref()).map(|resolved| resolved.settings),
        Some(dir) => {
            let dir = toml::Value::String(dir.display().to_string());
            reported(resolved("--data-dir", &format!("data_dir = {dir}"))).map(|resolved| resolved.settings)
        }
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let mut tools = Tools {
        settings: &settings,
        open_offline: app::open_spools,
        format: place.format,
        out: &mut std::io::BufWriter::new(std::io::stdout().lock()),
        now_ms: process::now_ms(),
    };
    run(&mut tools).map_or_else(
        |failure| {
            eprintln!("kitgate: {}", failure.text());
            failure.code().into()
        },
        ExitCode::from,
    )
}

/// Asks the gateway that runs on the data directory of a configuration.
fn ask(config: Option<&Path>, request: &Request) -> ExitCode {
    let data_dir = match loaded(config) {
        Ok(resolved) => resolved.settings.data_dir,
        Err(code) => return code,
    };
    match control::call(&data_dir, request, ASK_PATIENCE) {
        Ok(answer) if answer.ok => {
            println!("{}", answer.text);
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            eprintln!("kitgate: {}", answer.text);
            EXIT_FAILED.into()
        }
        Err(error) => {
            eprintln!("kitgate: {}: {error}", data_dir.display());
            EXIT_FAILED.into()
        }
    }
}

/// The settings in `file`; problems go to standard error.
fn loaded(file: Option<&Path>) -> Result<Resolved, ExitCode> {
    let resolved = reported(load(file))?;
    let name = shown(file);
    resolved.warnings.iter().for_each(|warning| eprintln!("kitgate: warning: {name}:{warning}"));
    Ok(resolved)
}

/// Problems go to standard error.
fn reported(resolved: Result<Resolved, Vec<String>>) -> Result<Resolved, ExitCode> {
    resolved.map_err(|problems| {
        problems.iter().for_each(|problem| eprintln!("kitgate: {problem}"));
        ExitCode::from(EXIT_CONFIG)
    })
}

fn shown(file: Option<&Path>) -> String {
    file.map_or_else(|| "embedded default".to_owned(), |file| file.display().to_string())
}

/// The settings in `file`, or what is wrong with it, as `file:line: what`.
fn load(file: Option<&Path>) -> Result<Resolved, Vec<String>> {
    let name = shown(file);
    let read = |file: &Path| {
        std::fs::read_to_string(file)
            .map_err(|error| vec![format!("cannot read {}: {error}", file.display())])
    };
    let Some(file) = file else {
        let default = resolved(&name, "")?;
        // Tags that were set while it ran are kept beside the data.
        let kept = app::config_file(None, &default.settings.data_dir);
        return if kept.exists() {
            resolved(&kept.display().to_string(), &read(&kept)?)
        } else {
            Ok(default)
        };
    };
    resolved(&name, &read(file)?)
}

/// The settings in a configuration's text.
fn resolved(name: &str, text: &str) -> Result<Resolved, Vec<String>> {
    let around = Surroundings {
        var: &|name| std::env::var(name).ok(),
        hostname: &process::hostname(),
        ip: &process::outbound_ip,
        cores: &rt::shard::allowed_cores(),
    };
    resolve(text, &around)
        .map_err(|problems| problems.iter().map(|problem| format!("{name}:{problem}")).collect())
}
