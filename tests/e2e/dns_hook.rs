//! `fluxheim dns-hook` by itself: whom it obeys, what it runs, and what it gives to what it runs.

use std::io::Write as _;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fluxheim::wire::hook::{Answer, FULL, GREETING, MOST_ANSWERED, MOST_ASKED, Request};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::hook::{Asked, Asking, Hook, script};
use crate::support::{folder, program, set_mode, wait};

#[path = "../fuzz/properties/hook.rs"]
mod property;

const VALUE: &str = "MsijOYZxqyjGnFGwhjrhfg-Xgbl5r68WPda0J9EgqqI";

fn present(name: &str) -> String {
    format!("present {name} {VALUE}\n")
}

/// One of them with a script of that text, and a connection to it.
struct Scene {
    folder: TempDir,
    asking: Asking,
    hook: Hook,
    asked: Asked,
}

impl Scene {
    fn set(text: &str, options: &[&str]) -> Self {
        let folder = folder();
        let path = script(folder.path(), text);
        let asking = Asking::at(folder.path().join("s"));
        let hook = Hook::start(&asking.path, options, &path);
        let asked = asking.come();
        Self { folder, asking, hook, asked }
    }

    fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

#[test]
fn the_program_gets_what_the_contract_says_and_nothing_else() {
    let text = "cd \"${0%/*}\" 2>/dev/null && pwd >where; printf '%s\\n' \"$@\" >args; env >env; cat >in; \
                ls -l /proc/self/fd >fds; umask >umask; \
                grep -E 'NoNewPrivs|CapEff|SigBlk' /proc/self/status >status; ulimit -c >core; \
                cut -d' ' -f5 /proc/$$/stat >group; echo $$ >>group";
    let mut scene = Scene::set(text, &["--pass-env", "TOKEN"]);
    assert_eq!(scene.asked.ask(&present("_acme-challenge.a.test.")), "done\n", "{}", scene.hook.said());
    assert_eq!(scene.written("args"), format!("present\n_acme-challenge.a.test.\n{VALUE}\n"));
    let env = scene.written("env");
    let names: Vec<_> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.contains(&"TOKEN") && names.contains(&"PATH"), "{env}");
    // PWD and the like are the shell's own.
    let known = ["TOKEN", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| known.contains(name)), "{env}");
    assert!(env.contains("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"), "{env}");
    assert_eq!((scene.written("in").as_str(), scene.written("umask").as_str()), ("", "0077\n"));
    let status = scene.written("status");
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("SigBlk:\t0000000000000000"), "{status}");
    let fds = scene.written("fds");
    // The fourth is that of the folder that `ls` reads.
    assert_eq!(fds.lines().filter(|line| line.contains("->")).count(), 4, "{fds}");
    assert!(["0\n", "1\n"].contains(&scene.written("core").as_str()));
    let group = scene.written("group");
    let numbers: Vec<_> = group.split_whitespace().collect();
    assert!(numbers.len() == 2 && numbers[0] == numbers[1], "{group}");
    scene.hook.wait_for("program done", "_acme-challenge.a.test.");
    assert!(!scene.hook.said().contains("secret of"), "{}", scene.hook.said());
    let mask = std::fs::read_to_string(format!("/proc/{}/status", scene.hook.pid())).unwrap();
    assert!(mask.contains("NoNewPrivs:\t1"), "{mask}");
}

#[test]
fn a_program_starts_in_the_root_folder_with_its_own_arguments_first() {
    let folder = folder();
    script(folder.path(), "pwd >\"$1/where\"; shift; echo \"$@\" >\"${0%/*}/args\"");
    let asking = Asking::at(folder.path().join("s"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_fluxheim"))
        .args(["dns-hook", "--socket", asking.path.to_str().unwrap(), "--"])
        .args([&folder.path().join("hook"), folder.path()])
        .arg("--zone")
        .spawn()
        .unwrap();
    let answer = asking.come().ask(&format!("cleanup _acme-challenge.a.test. {VALUE}\n"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer, "done\n");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("where"), "/\n");
    assert_eq!(read("args"), format!("--zone cleanup _acme-challenge.a.test. {VALUE}\n"));
}

#[test]
fn failures_are_told_by_code_and_last_line_in_one_bounded_line() {
    let text = "case $2 in \
                 one.*) echo out; echo first >&2; printf 'no such \\033[31mzone\\n\\n' >&2; exit 3 ;; \
                 two.*) kill -KILL $$ ;; \
                 three.*) head -c 5000000 /dev/zero | tr '\\0' 'x' >&2; exit 1 ;; \
                 four.*) head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; exit 0 ;; \
                esac";
    let mut scene = Scene::set(text, &[]);
    assert_eq!(scene.asked.ask(&present("one.a.test.")), "failed exited with 3: no such  [31mzone\n");
    let line = scene.hook.wait_for("program not done", "one.a.test.");
    assert_eq!((&line["stdout"], &line["stderr_bytes"]), (&"out\n".into(), &25.into()), "{line}");
    assert_eq!(scene.asked.ask(&present("two.a.test.")), "failed was ended by signal 9\n");
    let long = scene.asked.ask(&present("three.a.test."));
    assert!(long.starts_with("failed exited with 1: xxx") && long.len() < MOST_ANSWERED, "{long}");
    assert_eq!(scene.asked.ask(&present("four.a.test.")), "done\n");
    let line = scene.hook.wait_for("program done", "four.a.test.");
    assert_eq!(line["stdout_bytes"], 5_000_000);
    assert!(line.to_string().len() < 100_000);
}

#[test]
fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let text = "trap '' TERM; sleep 1000 & echo $! >\"${0%/*}/left\"; echo waiting >&2; \
                case $2 in short.*) exit 0 ;; esac; wait; wait";
    let mut scene = Scene::set(text, &["--timeout", "1s"]);
    let left = |scene: &Scene| gone(scene.written("left").trim());
    assert_eq!(scene.asked.ask(&present("short.a.test.")), "done\n");
    left(&scene);
    let begun = Instant::now();
    assert_eq!(
        scene.asked.ask(&present("long.a.test.")),
        "failed was ended after 1 s (--timeout): waiting\n"
    );
    assert!(begun.elapsed() >= Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(15));
    left(&scene);
    assert_eq!(scene.asked.ask(&present("short.a.test.")), "done\n", "the next one is run");
}

#[test]
fn a_program_that_leaves_its_group_is_ended_all_the_same() {
    let text = "exec python3 -c 'import os, sys, time\n\
                os.setpgid(0, os.getpgid(os.getppid()))\n\
                open(sys.argv[1], \"w\").write(str(os.getpid()))\ntime.sleep(1000)' \"${0%/*}/pid\"";
    let mut scene = Scene::set(text, &["--timeout", "2s"]);
    let answer = scene.asked.ask(&present("a.test."));
    assert_eq!(answer, "failed was ended after 2 s (--timeout)\n");
    let pid = scene.written("pid");
    assert!(!pid.is_empty(), "it has left its group");
    gone(&pid);
}

#[test]
fn a_program_ends_with_whom_it_was_started_by() {
    let text = "echo $$ >\"${0%/*}/pid\"; sleep 3; touch \"${0%/*}/made\"";
    let mut scene = Scene::set(text, &[]);
    scene.asked.send(&present("a.test."));
    wait(|| scene.written("pid").ends_with('\n').then_some(())).expect("it runs");
    scene.hook.signal(Signal::SIGKILL);
    scene.hook.wait();
    gone(scene.written("pid").trim());
    std::thread::sleep(Duration::from_secs(4));
    assert!(!scene.folder.path().join("made").exists(), "nobody would know of it");
}

/// Waits until that process is no more.
fn gone(pid: &str) {
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    wait(gone).unwrap_or_else(|| panic!("{pid} is left"));
}

/// The children of a process, whatever their state.
fn children(pid: &str) -> Vec<String> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    std::fs::read_to_string(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_is_left_to_it_is_reaped_while_nothing_runs() {
    let folder = folder();
    let path = script(
        folder.path(),
        "setsid sh -c 'sleep 1.5; echo >\"$0/ended\"' \"${0%/*}\" >/dev/null 2>&1 & sleep 0.5",
    );
    let asking = Asking::at(folder.path().join("s"));
    let mut unshare = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_fluxheim"), "dns-hook", "--socket"])
        .args([asking.path.as_path(), Path::new("--"), path.as_path()])
        .spawn()
        .unwrap();
    let answer = asking.come().ask(&present("a.test."));
    let hook = children(&unshare.id().to_string());
    assert_eq!((answer.as_str(), hook.len()), ("done\n", 1));
    // Its threads start children too, and whoever is adopted belongs to any of them.
    let left = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", hook[0])).unwrap();
        let of = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("children"))
        };
        tasks.filter_map(|task| of(task).ok()).collect::<String>()
    };
    assert!(!left().is_empty(), "one is left to it");
    wait(|| folder.path().join("ended").exists().then_some(())).expect("it ends by itself");
    let reaped = wait(|| left().is_empty().then_some(()));
    unshare.kill().unwrap();
    unshare.wait().unwrap();
    reaped.expect("it is reaped");
}

#[test]
fn a_connection_stays_for_as_long_as_nothing_is_asked_and_no_longer_than_half_a_line() {
    let mut scene = Scene::set("true", &[]);
    let _others: Vec<_> = (0..3).map(|_| scene.asking.come()).collect();
    scene.hook.wait_for("connected to the proxy", "");
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(scene.asked.ask(&present("a.test.")), "done\n", "{}", scene.hook.said());
    assert_eq!(scene.hook.said().matches("connected to the proxy").count(), 1, "{}", scene.hook.said());
    assert!(!scene.hook.said().contains("waiting for the proxy"), "{}", scene.hook.said());
    let begun = Instant::now();
    assert_eq!(scene.asked.ask("present a.test."), "");
    assert!((3..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn tells_a_proxy_that_says_nothing_and_one_that_is_full_from_one_that_turns_it_away() {
    let folder = folder();
    let path = script(folder.path(), "true");
    let asking = Asking::at(folder.path().join("s"));
    let hook = Hook::start(&asking.path, &[], &path);
    hook.wait_for(
        "dns-hook runs as root and without --zone: whoever is the proxy may have any record made",
        "",
    );
    let silent: Vec<_> = (0..4).map(|_| asking.accept()).collect();
    hook.wait_for("waiting for the proxy", "it does not greet within 5 s");
    drop(silent);
    asking.accept().write_all(FULL.as_bytes()).unwrap();
    hook.wait_for("waiting for the proxy", "as many as it takes");
    drop(asking.accept());
    hook.wait_for("waiting for the proxy", "it does not let this user in");
}

#[test]
fn a_program_that_others_could_have_put_there_is_not_run() {
    let mut scene = Scene::set("touch \"${0%/*}/ran\"", &[]);
    let path = scene.folder.path().join("hook");
    let refused = |scene: &mut Scene, part: &str| {
        let answer = scene.asked.ask(&present("a.test.example."));
        assert!(
            answer.starts_with("refused hook program of dns-hook: ") && answer.contains(part),
            "{answer}"
        );
    };
    set_mode(&path, 0o775);
    refused(&mut scene, "its group 0 (rwx) can write the hook program");
    set_mode(&path, 0o755);
    chown(&path, Some(1234), None).unwrap();
    refused(&mut scene, "user 1234 can replace it");
    chown(&path, Some(0), None).unwrap();
    set_mode(scene.folder.path(), 0o777);
    let folder = scene.folder.path().display().to_string();
    refused(&mut scene, &folder);
    set_mode(scene.folder.path(), 0o700);
    std::fs::rename(&path, scene.folder.path().join("real")).unwrap();
    symlink("real", &path).unwrap();
    refused(&mut scene, "link");
    std::fs::remove_file(&path).unwrap();
    refused(&mut scene, "");
    assert!(!scene.folder.path().join("ran").exists());
    std::fs::rename(scene.folder.path().join("real"), &path).unwrap();
    assert_eq!(scene.asked.ask(&present("a.test.example.")), "done\n", "mended, it is run");
}

#[test]
fn refuses_at_the_start_what_can_never_be_run() {
    let folder = folder();
    let path = script(folder.path(), "true");
    set_mode(&path, 0o777);
    let start = |more: &[&str]| {
        let args = [&["dns-hook", "--socket", "/nowhere/s"], more, &["--", path.to_str().unwrap()]].concat();
        let output = program(&args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = start(&[]);
    assert!(code == Some(78) && said.contains("can write the hook program"), "{said}");
    let (code, said) = start(&["--pass-env", "NO_SUCH_VARIABLE"]);
    assert!(code == Some(78) && said.contains("NO_SUCH_VARIABLE: there is no such variable"), "{said}");
    assert_eq!(start(&["--pass-env", "A=secret"]).0, Some(64));
    let (code, said) = start(&["--allow-uid", "65534"]);
    assert!(code == Some(78) && said.contains("--allow-uid 65534: that stands for every user"), "{said}");
}

#[test]
fn what_is_no_request_runs_nothing_and_ends_the_connection() {
    let mut scene = Scene::set("touch \"${0%/*}/ran\"", &[]);
    let cases = [
        "present -a.test. VALUE\n".replace("VALUE", VALUE),
        "remove a.test. VALUE\n".replace("VALUE", VALUE),
        "present a.test. $(touch /tmp/x)\n".to_owned(),
        "GET / HTTP/1.1\r\n".to_owned(),
        format!("{}\n", "x".repeat(MOST_ASKED)),
        present("a.test.").repeat(2),
    ];
    for line in cases {
        let answer = scene.asked.ask(&line);
        assert!(answer.is_empty() || answer.starts_with("refused it is no "), "{line:?}: {answer}");
        assert_eq!(scene.asked.answer(), "", "{line:?}: it stays");
        scene.asked = scene.asking.come();
    }
    assert!(!scene.folder.path().join("ran").exists());
    assert_eq!(scene.asked.ask(&present("a.test.")), "done\n");
}

#[test]
fn nothing_is_done_outside_of_its_zones() {
    let mut scene = Scene::set("true", &["--zone", "a.test", "--zone", "B.test."]);
    for (name, done) in [("_acme-challenge.a.test.", true), ("x.b.test.", true), ("x.ba.test.", false)] {
        let answer = scene.asked.ask(&present(name));
        assert_eq!(answer == "done\n", done, "{answer}");
        assert!(done || answer == "refused x.ba.test. is in none of its zones: a.test, b.test (--zone)\n");
    }
}

#[test]
fn runs_one_at_a_time_for_a_name_and_none_for_whom_has_gone() {
    let text = "mkdir \"${0%/*}/$2\" || exit 9; echo \"$1\" >>\"${0%/*}/ran\"; \
                case $2 in a.*) sleep 0.5 ;; *) sleep 3 ;; esac; rmdir \"${0%/*}/$2\"";
    let mut scene = Scene::set(text, &[]);
    let (mut second, mut third) = (scene.asking.come(), scene.asking.come());
    scene.asked.send(&present("a.test."));
    wait(|| (!scene.written("ran").is_empty()).then_some(())).expect("it runs");
    second.send(&present("a.test."));
    std::thread::sleep(Duration::from_millis(100));
    third.send(&format!("cleanup a.test. {VALUE}\n"));
    // An order that is given up while it waits: what comes after it must not be undone by it.
    drop(second);
    assert_eq!((scene.asked.answer().as_str(), third.answer().as_str()), ("done\n", "done\n"));
    assert_eq!(scene.written("ran"), "present\ncleanup\n");
    let mut again = scene.asking.come();
    let names = ["b.test.", "c.test.", "d.test."];
    for (asked, name) in [&mut scene.asked, &mut again, &mut third].into_iter().zip(names) {
        asked.send(&present(name));
    }
    let all = || names.iter().all(|name| scene.folder.path().join(name).exists()).then_some(());
    wait(all).expect("of other names they run at once");
    assert_eq!([scene.asked.answer(), again.answer(), third.answer()], ["done\n"; 3]);
}

#[test]
fn told_to_stop_it_finishes_what_runs_and_takes_no_more() {
    let mut scene = Scene::set("touch \"${0%/*}/began\"; sleep 1; touch \"${0%/*}/ended\"", &[]);
    scene.asked.send(&present("a.test."));
    wait(|| scene.folder.path().join("began").exists().then_some(())).expect("it runs");
    scene.hook.signal(Signal::SIGTERM);
    assert_eq!(scene.asked.answer(), "done\n");
    assert_eq!(scene.hook.wait().code(), Some(0));
    assert!(scene.folder.path().join("ended").exists());
    assert!(scene.hook.said().contains("dns-hook stopped"), "{}", scene.hook.said());
}

#[test]
fn obeys_its_own_user_root_and_whom_it_is_told_and_nobody_else() {
    let folder = folder();
    set_mode(folder.path(), 0o755);
    let path = script(folder.path(), "true");
    // Another user listens: a shell tool would do, but none is there everywhere.
    let socket = folder.path().join("s");
    set_mode(folder.path(), 0o777);
    let mut listening = Command::new("python3")
        .args(["-c", LISTEN, socket.to_str().unwrap(), GREETING])
        .uid(1234)
        .gid(1234)
        .spawn()
        .unwrap_or_else(|error| panic!("python3: {error}; install it with: apt-get install -y python3"));
    wait(|| socket.exists().then_some(())).expect("it listens");
    set_mode(folder.path(), 0o755);
    let hook = Hook::start(&socket, &[], &path);
    hook.wait_for("waiting for the proxy", "user 1234 listens there");
    assert!(!hook.said().contains("program done"), "{}", hook.said());
    drop(hook);
    let hook = Hook::start(&socket, &["--allow-uid", "1234"], &path);
    hook.wait_for("program done", "a.test.");
    drop(hook);
    listening.kill().unwrap();
    listening.wait().unwrap();
}

/// Greets whoever comes and asks for one record.
const LISTEN: &str = "
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(9)
kept = []
while True:
    stream = server.accept()[0]
    try:
        stream.sendall(sys.argv[2].encode() + b'present a.test. ' + b'v' * 43 + b'\\n')
    except OSError:
        pass
    kept.append(stream)
";

#[test]
fn waits_for_a_proxy_that_is_not_there_and_says_so_once() {
    let folder = folder();
    let path = script(folder.path(), "true");
    let socket = folder.path().join("s");
    let hook = Hook::start(&socket, &[], &path);
    hook.wait_for("waiting for the proxy", "it can't be reached");
    std::thread::sleep(Duration::from_millis(1500));
    let asking = Asking::at(socket.clone());
    assert_eq!(asking.come().ask(&present("a.test.")), "done\n");
    let times = |text: &str| hook.said().matches(text).count();
    assert_eq!(times("it can't be reached"), 1, "{}", hook.said());
    // The proxy starts anew.
    drop(asking);
    std::fs::remove_file(&socket).unwrap();
    hook.wait_for("waiting for the proxy", "hung up");
    let asking = Asking::at(socket);
    assert_eq!(asking.come().ask(&present("a.test.")), "done\n");
}

/// The seeds of the fuzz target: seeds that nobody runs would rot. A seed's name says what becomes of it.
#[test]
fn seeds_of_the_fuzz_target_are_what_their_names_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/hook");
    let (mut taken, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let holds = property::holds(&std::fs::read(&path).unwrap());
        match path.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().0 {
            "valid" if holds => taken += 1,
            "refused" if !holds => refused += 1,
            _ => panic!("{}: {holds}", path.display()),
        }
    }
    assert!(taken > 3 && refused > 5);
}
