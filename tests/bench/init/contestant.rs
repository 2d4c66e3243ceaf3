//! Which inits are compared, and how each is called.
//!
//! Owns the command lines and fluxheim-init's configuration; measures nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fluxheim_config::Control;

/// One init with its options.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    program: OsString,
    arguments: Vec<OsString>,
    /// The control that the stand-in is to leave off, or `all`, as its configuration says.
    off: &'static str,
}

/// Where the init runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A process like any other; tini as subreaper, as fluxheim-init and catatonit are by themselves.
    Plain,
    /// The first process of a pid namespace of its own.
    First,
}

impl Contestant {
    /// Every way of forwarding signals.
    pub(crate) fn all(folder: &Folder) -> Vec<Self> {
        vec![
            Self::fluxheim_init(folder),
            other("tini", "tini", &["-s", "--"]),
            other("tini -g", "tini", &["-s", "-g", "--"]),
            other("catatonit", "catatonit", &["--"]),
            other("catatonit -g", "catatonit", &["-g", "--"]),
            other("dumb-init", "dumb-init", &["--"]),
            other("dumb-init -c", "dumb-init", &["-c", "--"]),
        ]
    }

    /// No init at all, then one of each, since options don't change what these cost.
    pub(crate) fn for_cost(folder: &Folder) -> Vec<Self> {
        vec![
            Self::none(),
            Self::fluxheim_init(folder),
            Self::fluxheim_init_alone(folder),
            other("tini", "tini", &["-s", "--"]),
            other("tini, static", "tini-static", &["-s", "--"]),
            other("catatonit", "catatonit", &["--"]),
            other("dumb-init", "dumb-init", &["--"]),
        ]
    }

    /// The stand-in by itself.
    pub(crate) fn none() -> Self {
        Self { name: "none: exec of the child", program: stand_in().into(), arguments: vec![], off: "all" }
    }

    fn fluxheim_init(folder: &Folder) -> Self {
        Self {
            name: "fluxheim-init",
            program: program("fluxheim-init").into(),
            arguments: led_by(&folder.hardened),
            off: "",
        }
    }

    /// Every way of forwarding signals, with a child that may fork: the proxy may not.
    pub(crate) fn all_forking(folder: &Folder) -> Vec<Self> {
        let mut all = Self::all(folder);
        all[0] = Self { arguments: led_by(&folder.forking), off: "seccomp", ..Self::fluxheim_init(folder) };
        all
    }

    fn fluxheim_init_alone(folder: &Folder) -> Self {
        Self {
            name: "fluxheim-init, every control off",
            program: program("fluxheim-init").into(),
            arguments: led_by(&folder.off),
            off: "all",
        }
    }

    /// This init, told to start the stand-in, which does `act`.
    pub(crate) fn command(&self, place: Place, act: &str) -> Command {
        let mut command = match place {
            Place::Plain => Command::new(&self.program),
            Place::First => {
                let mut command = Command::new("unshare");
                command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(&self.program);
                command
            }
        };
        command.args(&self.arguments).env("STAND_IN_ACT", act);
        command.env("STAND_IN_OFF", self.off);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// An init that takes the child's command line after its options.
fn other(name: &'static str, program: &str, options: &[&str]) -> Contestant {
    let child = [stand_in().into_os_string()];
    let arguments = options.iter().map(OsString::from).chain(child).collect();
    Contestant { name, program: program.into(), arguments, off: "all" }
}

fn led_by(config: &Path) -> Vec<OsString> {
    vec!["--config".into(), config.into(), "--proxy".into(), stand_in().into()]
}

fn stand_in() -> PathBuf {
    program("examples/stand_in")
}

/// As `scripts/build-binaries --init-bench` leaves it.
fn program(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let path = target.join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH)).join(name);
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}; run scripts/bench init", path.display()))
}

/// What each says of itself.
pub(crate) fn versions() -> Vec<(&'static str, String)> {
    [("tini", "tini"), ("catatonit", "catatonit"), ("dumb-init", "dumb-init"), ("unshare", "util-linux")]
        .map(|(program, package)| {
            let asked = Command::new(program).arg("--version").output();
            let said = asked.unwrap_or_else(|error| {
                panic!("{program}: {error}; install it with: apt-get install {package}")
            });
            let said = [said.stdout, said.stderr].concat();
            let words = String::from_utf8_lossy(&said).trim().to_owned();
            let version =
                words.split_whitespace().find(|word| word.contains('.')).unwrap_or(&words).to_owned();
            (program, version)
        })
        .into()
}

/// fluxheim-init's configurations; removed when dropped.
pub(crate) struct Folder {
    path: PathBuf,
    hardened: PathBuf,
    forking: PathBuf,
    off: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        // In /tmp: wherever the repository is, only root can write what is above this.
        let path = std::env::temp_dir().join(format!("fluxheim-bench-{}", std::process::id()));
        // Left by a failed run whose process id came back.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let [hardened, forking, off] =
            ["fluxheim.toml", "forking.toml", "off.toml"].map(|name| path.join(name));
        std::fs::write(&forking, format!("{CONFIG}[hardening]\nseccomp = \"off\"\n")).unwrap();
        std::fs::write(&hardened, CONFIG).unwrap();
        let levels = Control::ALL.map(|control| format!("{} = \"off\"\n", control.name())).concat();
        std::fs::write(&off, format!("{CONFIG}[hardening]\n{levels}")).unwrap();
        Self { path, hardened, forking, off }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The default profile. The stand-in binds nothing; the address only has to be one.
const CONFIG: &str = "[server]\nhttp = [\"127.0.0.1:8080\"]\n";
