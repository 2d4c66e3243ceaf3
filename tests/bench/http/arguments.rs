//! What the caller asks for.

use std::path::{Path, PathBuf};

use lexopt::prelude::{Long, ValueExt};

/// The command line.
pub(crate) struct Arguments {
    only: Option<String>,
    /// Of load in a round.
    pub(crate) seconds: u32,
    /// The `fluxheim` to measure.
    pub(crate) program: PathBuf,
    /// The document that takes the tables.
    pub(crate) write: Option<PathBuf>,
}

impl Arguments {
    /// Ends the process with exit code 64 when they make no sense.
    pub(crate) fn read(names: &[&str]) -> Self {
        Self::parse(names).unwrap_or_else(|error| {
            eprintln!("bench http: {error}");
            std::process::exit(64)
        })
    }

    fn parse(names: &[&str]) -> Result<Self, lexopt::Error> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let release = format!("target/{}-unknown-linux-gnu/release/fluxheim", std::env::consts::ARCH);
        let (mut only, mut seconds, mut program, mut write) = (None, SECONDS, None, false);
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("only") => only = Some(parser.value()?.string()?),
                Long("seconds") => seconds = parser.value()?.parse()?,
                Long("program") => program = Some(PathBuf::from(parser.value()?)),
                Long("write") => write = true,
                // Given by `cargo bench` itself.
                Long("bench") => {}
                _ => return Err(argument.unexpected()),
            }
        }
        let unknown = |only: &str| only.split(',').find(|name| !names.contains(name)).map(str::to_owned);
        if let Some(name) = only.as_deref().and_then(unknown) {
            return Err(format!("there is no {name}; there are: {}", names.join(", ")).into());
        }
        if !(1..=60).contains(&seconds) {
            return Err("--seconds takes 1 to 60".into());
        }
        if write && (only.is_some() || program.is_some()) {
            return Err(
                "--write keeps whole runs of the release program: leave --only and --program out".into()
            );
        }
        let program = program.unwrap_or_else(|| root.join(release));
        if !program.exists() {
            return Err(format!("{}: not built; run scripts/bench http", program.display()).into());
        }
        Ok(Self { only, seconds, program, write: write.then(|| root.join("docs/performance.md")) })
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only.split(',').any(|wanted| wanted == name))
    }
}

/// With these, a whole run stays below eight minutes.
const SECONDS: u32 = 2;
