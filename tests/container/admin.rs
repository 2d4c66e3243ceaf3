//! `docker exec NAME /fluxheim ctl ...`: beside the proxy, in the image's own confinement, without a shell.

use serde_json::Value;

use crate::docker::{Container, docker, mounted_config, try_docker, volume, wait};

const CONFIG: &str = r#"
[server]
http = ["0.0.0.0:8080"]
[admin]
socket = "/run/fluxheim/admin.sock"
[[vhosts]]
hosts = ["*"]
routes = [{ path = "/", static = "/srv/fluxheim" }]
"#;

const HARDENED: [&str; 5] = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--network=none",
    "--pids-limit=100",
];
const TMPFS: &str = "/run/fluxheim:uid=65532,gid=65532,mode=0700";

/// Exit code, stdout, stderr.
fn ctl(flux: &Container, user: &str, words: &str) -> (Option<i32>, String, String) {
    let args = ["exec", "-u", user, &flux.0, "/fluxheim", "ctl"];
    let output = try_docker(&args.into_iter().chain(words.split(' ')).collect::<Vec<_>>());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn ctl_reaches_the_proxy_beside_it() {
    let dir = mounted_config(CONFIG, &[]);
    let volume = volume(&dir);
    let options = [&HARDENED[..], &["--tmpfs", TMPFS, "-v", &volume]].concat();
    let flux = Container::run(&options);
    flux.wait_for("\"ready\"");
    let (code, out, err) = ctl(&flux, "65532", "status");
    assert!(code == Some(0) && out.contains("state          ready"), "{out}{err}");
    assert!(out.contains("/run/fluxheim/admin.sock (admin)"), "{out}");
    // Root without capabilities gets into no folder of another user's.
    for user in ["0", "1000"] {
        let (code, _, err) = ctl(&flux, user, "status");
        assert!(code == Some(78) && err.contains("permission denied"), "{user}: {err}");
    }
    let (_, posture, err) = ctl(&flux, "65532", "posture --format json");
    let posture: Value = serde_json::from_str(&posture).unwrap_or_else(|error| panic!("{error}: {err}"));
    assert_eq!(posture["verified"], true);
    let of = |name: &str| {
        let controls = posture["controls"].as_array().unwrap();
        controls.iter().find(|control| control["control"] == name).unwrap()["result"].clone()
    };
    assert_eq!((of("seccomp"), of("no_new_privs")), ("enforced".into(), "inherited".into()), "{posture}");
    let (code, out, err) = ctl(&flux, "65532", "reload");
    assert!(code == Some(0) && out.contains("nothing has changed"), "{out}{err}");
    std::fs::write(dir.path().join("fluxheim.toml"), format!("{CONFIG}\n[limitz]\n")).unwrap();
    let (code, _, err) = ctl(&flux, "65532", "reload");
    assert!(code == Some(78) && err.contains("limitz"), "{err}");
    let (code, out, err) = ctl(&flux, "65532", "status --socket /run/fluxheim/admin.sock");
    assert!(code == Some(0) && out.contains("REFUSED"), "{out}{err}");
    std::fs::write(dir.path().join("fluxheim.toml"), CONFIG).unwrap();
    assert_eq!(ctl(&flux, "65532", "drain").0, Some(0));
    assert_eq!(flux.exit_code(), 0, "{}", flux.logs());
}

/// As PID 1 too, and over a kill, which leaves the socket where it is.
#[test]
fn the_socket_is_there_again_after_a_kill_and_a_restart() {
    let dir = mounted_config(CONFIG, &[]);
    let volume = volume(&dir);
    for arguments in [&[][..], &["--exec"]] {
        let options = [&HARDENED[..], &["--tmpfs", TMPFS, "-v", &volume]].concat();
        let flux = Container::run_with(&options, arguments);
        flux.wait_for("\"ready\"");
        assert_eq!(ctl(&flux, "65532", "status").0, Some(0));
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(flux.init_pid().cast_signed()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        assert_eq!(flux.exit_code(), 137);
        docker(&["start", &flux.0]);
        let up = wait(|| (ctl(&flux, "65532", "status").0 == Some(0)).then_some(()));
        assert!(up.is_some(), "{}", flux.logs());
    }
}

#[test]
fn a_socket_on_the_read_only_root_is_refused_with_what_to_mount() {
    let dir = mounted_config(CONFIG, &[]);
    let volume = volume(&dir);
    let options = [&HARDENED[..], &["-v", &volume]].concat();
    for (arguments, said) in [
        (&[][..], "unwritable /run/fluxheim"),
        (&["--check-tls-storage"], "--tmpfs /run/fluxheim:uid=65532,gid=65532,mode=0700"),
    ] {
        let flux = Container::run_with(&options, arguments);
        assert_eq!(flux.exit_code(), 78, "{}", flux.logs());
        assert!(flux.logs().contains(said), "{}", flux.logs());
    }
}
