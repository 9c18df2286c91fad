//! The command line of the tools.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::point::Category;

/// A category, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named(pub Category);

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Named, String> {
        Category::from_name(text).map(Named).ok_or_else(|| {
            let names: Vec<&str> = Category::ALL.into_iter().map(Category::name).collect();
            format!("no such category; there are {}", names.join(", "))
        })
    }
}

/// For people or for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// What every tool is told.
#[derive(Args, Clone, Debug)]
pub struct Where {
    /// The configuration of the gateway whose data it is; without it the embedded default.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "data_dir")]
    pub config: Option<PathBuf>,
    /// The data directory itself, instead of a configuration.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub struct SpoolArguments {
    #[command(flatten)]
    pub place: Where,
    #[command(subcommand)]
    pub verb: SpoolVerb,
}

#[derive(Args, Clone, Debug)]
pub struct DlqArguments {
    #[command(flatten)]
    pub place: Where,
    #[command(subcommand)]
    pub verb: DlqVerb,
}

#[derive(Subcommand, Clone, Debug)]
pub enum SpoolVerb {
    /// What waits in every category.
    Ls,
    /// The segments of one category.
    Stat { category: Named },
    /// Check every checksum; ends with 1 when something is damaged.
    Verify { category: Option<Named> },
    /// Move damaged segments into quarantine and write their good frames again. The gateway must not run.
    Repair { category: Named },
    /// Print what is spooled.
    Dump(DumpArguments),
    /// Spool the frames of another data directory, spool directory, segment, or file of frames.
    Replay {
        /// What has been replayed before is left out.
        from: PathBuf,
        /// Also what was delivered there, or was replayed here before.
        #[arg(long)]
        all: bool,
    },
    /// Give up spooled frames for good.
    Drop {
        category: Named,
        #[command(flatten)]
        what: DropArguments,
        /// Do it; without this only say what would go.
        #[arg(long)]
        yes: bool,
    },
    /// Spool what the old agent's disk queue holds (`<install>/cache/dw-wal`); its files stay as they are.
    ImportDatakit { from: PathBuf },
}

/// How a dump looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DumpAs {
    /// Points as line protocol, a comment before each frame.
    Lines,
    /// One JSON object a frame, with its points.
    Json,
    /// One line a frame, without its points.
    Headers,
    /// The frames themselves, for `replay`.
    Frames,
}

#[derive(Args, Clone, Debug)]
pub struct DumpArguments {
    pub category: Option<Named>,
    /// Only this segment, by its number in hexadecimal; delivered frames in it are shown too.
    #[arg(long, value_name = "ID", requires = "category")]
    pub segment: Option<String>,
    #[arg(long = "as", value_enum, default_value_t = DumpAs::Lines)]
    pub form: DumpAs,
    /// Delivered frames too, as far as they are still there.
    #[arg(long)]
    pub delivered: bool,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct DropArguments {
    /// What is older: a frame's number, a time (2026-01-31T12:00:00Z), or an age (36h).
    #[arg(long, value_name = "SEQ|TIME|AGE")]
    pub before: Option<String>,
    /// Everything that waits.
    #[arg(long)]
    pub all: bool,
}

#[derive(Subcommand, Clone, Debug)]
pub enum DlqVerb {
    /// What the destination refused, by category and reason.
    Ls,
    /// Letters with their reasons and answers.
    Show {
        #[command(flatten)]
        which: Which,
        /// Their points, too.
        #[arg(long)]
        points: bool,
    },
    /// Spool letters again; they are marked, and not sent a second time.
    Redrive {
        #[command(flatten)]
        which: Which,
    },
    /// Give up letters for good.
    Purge {
        #[command(flatten)]
        which: Which,
        /// Do it; without this only say what would go.
        #[arg(long)]
        yes: bool,
    },
}

/// Which letters are meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Which {
    pub category: Option<Named>,
    /// Those of this package.
    #[arg(long, visible_alias = "id", value_name = "ID")]
    pub package: Option<String>,
    /// Those of this frame.
    #[arg(long)]
    pub seq: Option<u64>,
    /// Those with this reason, as `ls` shows it.
    #[arg(long)]
    pub reason: Option<String>,
    /// All of them.
    #[arg(long)]
    pub all: bool,
}

impl Which {
    /// Whether anything was named at all.
    pub fn says_which(&self) -> bool {
        self.all
            || self.category.is_some()
            || self.package.is_some()
            || self.seq.is_some()
            || self.reason.is_some()
    }
}
