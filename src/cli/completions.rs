//! Completions of the command line for bash, zsh and fish.
//!
//! Owns the scripts' form. What there is to complete is read from the usage texts, so there is no second list.

use std::fmt::Write;

use fluxheim_config::Profile;

use super::{CTL_HELP, DNS_HOOK_HELP, HELP};

/// A shell that has completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    const ALL: [(&'static str, Self); 3] = [("bash", Self::Bash), ("zsh", Self::Zsh), ("fish", Self::Fish)];

    /// The shell of that name.
    ///
    /// # Errors
    /// Names those that there are.
    pub(super) fn from_name(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, shell)| *shell)
            .ok_or_else(|| format!("completions are for bash, zsh or fish, not {name:?}"))
    }
}

/// A flag as a usage text shows it.
struct Flag {
    name: &'static str,
    /// The word for its value, such as `PATH`.
    takes: Option<&'static str>,
    about: &'static str,
}

/// `--flag VALUE    about`, with `-x, ` in front where there is a short form.
fn flag(line: &'static str) -> Option<Flag> {
    let line = line.trim_start();
    let line = line.split_once(", ").filter(|(short, _)| short.len() == 2).map_or(line, |(_, rest)| rest);
    let (usage, about) = line.strip_prefix("--")?.split_once("  ")?;
    let (name, takes) = usage.split_once(' ').map_or((usage, None), |(name, value)| (name, Some(value)));
    Some(Flag { name, takes, about: about.trim() })
}

fn flags(text: &'static str) -> Vec<Flag> {
    text.lines().filter_map(flag).collect()
}

/// First words of the orders of `ctl`, each once.
fn orders() -> Vec<&'static str> {
    let listed = CTL_HELP.split_once("Orders:\n").map_or("", |(_, listed)| listed);
    // Lines that go on are indented further.
    let words = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut words: Vec<_> = words.filter_map(|line| line.split_whitespace().next()).collect();
    words.dedup();
    words
}

/// What a flag's value may be; `None` is a file.
fn values(flag: &Flag) -> Option<String> {
    match flag.takes? {
        "FORMAT" => Some("text json".to_owned()),
        "NAME" if flag.name == "profile" => Some(Profile::ALL.map(Profile::name).join(" ")),
        // Words of the operator's own.
        "TIME" | "NAME" | "ZONE" | "UID" => Some(String::new()),
        _ => None,
    }
}

/// The script for `shell`.
#[must_use]
pub fn script(shell: Shell) -> String {
    let all = [HELP, CTL_HELP, DNS_HOOK_HELP].map(flags);
    match shell {
        Shell::Bash => bash(&all),
        // zsh runs the other's script, as its own manual (zshcompsys(1), bashcompinit) says how.
        Shell::Zsh => {
            format!("#compdef fluxheim\nautoload -U +X bashcompinit && bashcompinit\n{}", bash(&all))
        }
        Shell::Fish => fish(&all),
    }
}

/// Those of the program, of `ctl` and of `dns-hook`.
type Flags = [Vec<Flag>; 3];

fn bash(all: &Flags) -> String {
    let words =
        |flags: &[Flag]| flags.iter().map(|flag| format!("--{}", flag.name)).collect::<Vec<_>>().join(" ");
    let [own, ctl, hook] = all.each_ref().map(|flags| words(flags));
    let (mut cases, mut seen) = (String::new(), Vec::new());
    for flag in all.iter().flatten().filter(|flag| flag.takes.is_some()) {
        if seen.contains(&flag.name) {
            continue;
        }
        seen.push(flag.name);
        let list = values(flag).map_or_else(|| "-f".to_owned(), |values| format!("-W '{values}'"));
        // Writing to a string can't fail.
        let _ = writeln!(cases, "    --{}) COMPREPLY=($(compgen {list} -- \"$word\")); return ;;", flag.name);
    }
    format!(
        r#"_fluxheim() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} each words='ctl dns-hook completions {own}'
    case ${{COMP_WORDS[COMP_CWORD-1]}} in
{cases}    completions) COMPREPLY=($(compgen -W 'bash zsh fish' -- "$word")); return ;;
    esac
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [ "$each" = ctl ] && words='{orders} {ctl}'
        [ "$each" = dns-hook ] && words='{hook}'
    done
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _fluxheim fluxheim
"#,
        orders = orders().join(" "),
    )
}

fn fish([own, ctl, hook]: &Flags) -> String {
    let mut out = String::from("complete -c fluxheim -f\n");
    let mut line = |condition: &str, rest: &str| {
        // Writing to a string can't fail.
        let _ = writeln!(out, "complete -c fluxheim -n '{condition}' {rest}");
    };
    let outside = "not __fish_seen_subcommand_from ctl dns-hook";
    let (inside, hooked) = ("__fish_seen_subcommand_from ctl", "__fish_seen_subcommand_from dns-hook");
    line(outside, "-a 'ctl dns-hook completions'");
    line("__fish_seen_subcommand_from completions", "-a 'bash zsh fish'");
    line(inside, &format!("-a '{}'", orders().join(" ")));
    for (condition, flags) in [(outside, own), (inside, ctl), (hooked, hook)] {
        for flag in flags {
            let value = match (flag.takes, values(flag)) {
                (None, _) => String::new(),
                (_, Some(values)) => format!(" -x -a '{values}'"),
                (_, None) => " -r -F".to_owned(),
            };
            line(condition, &format!("-l {}{value} -d '{}'", flag.name, flag.about.replace('\'', "\\'")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_flags_and_orders_from_the_usage_texts() {
        let names: Vec<_> = flags(HELP).iter().map(|flag| flag.name).collect();
        for name in
            ["config", "profile", "check-tls-storage", "format", "also", "hash-password", "version", "help"]
        {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        assert_eq!(orders()[..4], ["status", "reload", "drain", "posture"]);
        assert!(orders().contains(&"certs"), "{:?}", orders());
    }

    #[test]
    fn every_script_has_every_flag() {
        for (_, shell) in Shell::ALL {
            let script = script(shell);
            for flag in flags(HELP).iter().chain(&flags(CTL_HELP)).chain(&flags(DNS_HOOK_HELP)) {
                assert!(script.contains(flag.name), "{shell:?} lacks {}", flag.name);
            }
            assert!(script.contains("k8s-restricted") && script.contains("upstreams"));
        }
    }
}
