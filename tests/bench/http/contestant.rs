//! Who takes part, and a started one.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::configs;
use crate::processes::{Process, answers, cpu_seconds, free_address, resident};
use crate::stage::{Setup, Stage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    Fluxheim,
    Nginx,
    Haproxy,
    Caddy,
}

impl Contestant {
    pub(crate) const ALL: [Self; 4] = [Self::Fluxheim, Self::Nginx, Self::Haproxy, Self::Caddy];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fluxheim => "Fluxheim",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
        }
    }

    /// HAProxy has no files to serve.
    pub(crate) const fn serves_files(self) -> bool {
        !matches!(self, Self::Haproxy)
    }

    /// What it calls its version.
    pub(crate) fn version(self, stage: &Stage) -> String {
        let (mut command, argument) = match self {
            Self::Fluxheim => (Command::new(&stage.program), "--version"),
            Self::Nginx => (Command::new("nginx"), "-v"),
            Self::Haproxy => (Command::new("haproxy"), "-v"),
            Self::Caddy => (Command::new("caddy"), "version"),
        };
        let output = command.arg(argument).output().unwrap_or_else(|error| missing(self, &error));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let line = said.lines().next().unwrap_or_default();
        let digits = line.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
        line[digits..].split([' ', '-', '+']).next().unwrap_or_default().to_owned()
    }

    /// Starts it in a folder of its own and waits until it answers.
    pub(crate) fn start(self, stage: &Stage, setup: Setup) -> Running {
        let folder = stage.folder(self);
        let (http, https) = (free_address(), free_address());
        let place = configs::Place { folder: &folder, stage, setup, http, https };
        let mut command = self.command(stage, &folder, &place);
        let (began, told) = (Instant::now(), folder.join("stderr"));
        let stderr = File::create(&told).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        let process = Process(child.unwrap_or_else(|error| missing(self, &error)));
        let Some(started_in) = answers(http, began) else {
            panic!("{} does not answer: {}", self.name(), std::fs::read_to_string(told).unwrap());
        };
        Running { process, http, https, started_in }
    }

    fn command(self, stage: &Stage, folder: &Path, place: &configs::Place<'_>) -> Command {
        let text = match self {
            Self::Fluxheim => configs::fluxheim(place),
            Self::Nginx => configs::nginx(place),
            Self::Haproxy => configs::haproxy(place),
            Self::Caddy => configs::caddy(place),
        };
        let config = folder.join(if self == Self::Caddy { "Caddyfile" } else { "config.toml" });
        std::fs::write(&config, text).unwrap();
        let mut command = stage.on_proxy_cpu();
        match self {
            Self::Fluxheim => command.arg(&stage.program).arg("--config"),
            Self::Nginx => command.args(["nginx", "-c"]),
            Self::Haproxy => command.args(["haproxy", "-db", "-q", "-f"]),
            Self::Caddy => command.args(["caddy", "run", "--config"]),
        };
        command.arg(config).env("GOMAXPROCS", "1");
        // Where Caddy keeps what it would use again.
        command.env("HOME", folder).env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
        command
    }
}

fn missing(contestant: Contestant, error: &std::io::Error) -> ! {
    let name = contestant.name();
    panic!("{name}: {error}; install what is measured with: apt-get install -y caddy haproxy nginx-light")
}

/// Ended when dropped.
pub(crate) struct Running {
    process: Process,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    /// From exec to the first answer.
    pub(crate) started_in: Duration,
}

impl Running {
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.process.pid())
    }

    /// In KiB.
    pub(crate) fn resident(&self) -> f64 {
        resident(self.process.pid()) as f64
    }
}
