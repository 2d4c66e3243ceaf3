"""What can be seen of a command without running it.

Owns the knowledge of our own programs' options (from their --help), of scripts and files of the repository, of kubectl's and helm's
command lines where these tools are there, and of the paths that the operator's listener and the admin socket answer.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from docs_blocks import Flaw, uncommented, words

# Subcommands of cargo that are neither its own aliases here nor missing anywhere.
CARGO = {"build", "run", "test", "doc", "deny", "audit", "nextest", "install", "clippy", "fmt", "update", "fetch"}
# Tools whose command lines could not be looked at, to be told.
MISSING: set[str] = set()
FOLDERS = ("scripts/", "image/", "docs/", "tests/", "src/", "supervisor/")


class Programs:
    """Options and orders of our programs and their subcommands (`fluxheim ctl`), as their --help lists them."""

    def __init__(self, helps: dict[str, str]) -> None:
        self.options = {name: set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text)) for name, text in helps.items()}
        # An order is two spaces into the list of orders: `upstreams drain UPSTREAM SERVER`.
        listed = helps["fluxheim ctl"].split("Orders:", 1)[-1]
        self.orders = {tuple(order.split()) for order in re.findall(r"^  ([a-z]+(?: [a-z]+)*)(?= [A-Z]| {2,}|$)", listed, re.M)}

    def judge(self, name: str, arguments: list[str]) -> None:
        """Refuses options that the program does not have, and orders that ctl does not."""
        if arguments and f"{name} {arguments[0]}" in self.options:
            name, arguments = f"{name} {arguments[0]}", arguments[1:]
        # What is behind `--` is another program's.
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        for word in own:
            option = word.split("=", 1)[0].strip("[]")
            if re.match(r"--?[a-zA-Z]", option) and option not in self.options[name] | {"--help", "-h"}:
                raise Flaw(f"{name} has no option {option}")
        if name == "fluxheim ctl":
            self.judge_order(arguments)

    def judge_order(self, arguments: list[str]) -> None:
        said = []
        for word in arguments:
            if re.fullmatch(r"[a-z]+", word):
                said.append(word)
            elif said or re.fullmatch(r"[A-Z]+|\[.*", word):
                break
        # In a sentence an order may be cut short: `ctl certs`.
        if said and not any(all(one == other for one, other in zip(said, order)) for order in self.orders):
            raise Flaw(f"fluxheim ctl has no order {' '.join(said)}")


def judge(text: str, programs: Programs) -> None:
    """Every program in the command that is known here."""
    try:
        typed = words(uncommented(text))
    except ValueError as error:
        raise Flaw(f"no shell takes it: {error}") from error
    for part in simple(typed):
        judge_simple(part, programs)


def simple(typed: list[str]) -> list[list[str]]:
    """The simple commands of a line: what stands between `;`, `|`, `&&` and parentheses."""
    parts: list[list[str]] = [[]]
    for word in typed:
        if word and set(word) <= set("();|&"):
            parts.append([])
        else:
            parts[-1].append(word)
    # What stands in $(...) within quotes.
    inner = [words(found) for part in parts for word in part for found in re.findall(r"\$\(([^()]+)\)", word)]
    return [part[1:] if part[:1] == ["sudo"] else part for part in parts + inner if part]


def judge_simple(part: list[str], programs: Programs) -> None:
    name, arguments = part[0], part[1:]
    for word in part:
        named = word.removeprefix("./")
        if named.startswith(FOLDERS) and not re.search(r"[*{<A-Z…]|\.\.\.", named) and not Path(named).exists():
            raise Flaw(f"there is no {named}")
    match name:
        case "fluxheim" | "fluxheim-init":
            programs.judge(name, arguments)
        case "docker" | "podman":
            judge_container(arguments, programs)
        case "cargo":
            judge_cargo(arguments)
        case "kubectl" | "helm":
            judge_tool(name, arguments)
            judge_inside(arguments, programs)
        case "curl":
            judge_urls(arguments)
        case _ if name.startswith("scripts/"):
            judge_script(name, arguments)


def judge_container(arguments: list[str], programs: Programs) -> None:
    """What is behind the image's name, or behind the container's."""
    if arguments[:1] == ["exec"]:
        judge_inside(arguments, programs)
        return
    image = next((at for at, word in enumerate(arguments) if re.fullmatch(r"(docker\.io/)?fluxheim/fluxheim(@\S+)?", word)), None)
    if arguments[:1] == ["run"] and image is not None:
        entry = arguments.index("--entrypoint") + 1 if "--entrypoint" in arguments else None
        programs.judge(arguments[entry][1:] if entry else "fluxheim-init", arguments[image + 1 :])


def judge_inside(arguments: list[str], programs: Programs) -> None:
    """A program of ours that is run inside a container."""
    program = next((at for at, word in enumerate(arguments) if word in ("/fluxheim", "/fluxheim-init")), None)
    if program is not None:
        programs.judge(arguments[program][1:], arguments[program + 1 :])


def judge_script(name: str, arguments: list[str]) -> None:
    if not Path(name).exists():
        raise Flaw(f"there is no {name}")
    text = Path(name).read_text()
    for word in arguments:
        option = word.split("=", 1)[0].strip("[]")
        # `scripts/checks.sh` has steps instead, which it knows itself.
        if option.startswith("--") and len(option) > 2 and option not in text and name != "scripts/run":
            raise Flaw(f"{name} has no option {option}")


def judge_cargo(arguments: list[str]) -> None:
    aliases = set(re.findall(r"^([\w-]+) *=", Path(".cargo/config.toml").read_text(), re.M))
    if arguments[0] not in CARGO | aliases:
        raise Flaw(f"cargo has no {arguments[0]} here")
    for option, package in zip(arguments, arguments[1:]):
        manifests = [Path("Cargo.toml"), *Path("supervisor").glob("*/Cargo.toml")]
        if option == "-p" and not package.isupper() and not any(f'name = "{package}"' in manifest.read_text() for manifest in manifests):
            raise Flaw(f"the workspace has no package {package}")


def judge_urls(arguments: list[str]) -> None:
    """Paths of the admin socket and of the operator's listener are those that the documents list."""
    for word in arguments:
        url = re.fullmatch(r"http://localhost(:9090)?(/[^?]*)", word)
        if not url:
            continue
        page = "docs/operations.md" if url[1] else "docs/admin-api.md"
        listed = re.findall(r"^## `[A-Z]+ (/\S+)`" if not url[1] else r"^\| `(/\w+)` \|", Path(page).read_text(), re.M)
        path = url[2]
        if (url[1] or path.startswith("/v1/")) and path not in listed:
            raise Flaw(f"{page} does not list {path}")


def judge_tool(name: str, arguments: list[str]) -> None:
    """The tool's own reading of its command line; what would be installed is rendered. A tool that is missing is told at the end."""
    tool = shutil.which(name)
    if tool is None:
        MISSING.add(name)
        return
    if name == "helm" and arguments[0] == "install":
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(Path("image/kubernetes/base/fluxheim.toml").read_text())
            config.flush()
            filled = [re.sub(r"(config=).*", rf"\g<1>{config.name}", re.sub(r"sha256:(\.\.\.)", "sha256:" + "0" * 64, word)) for word in arguments]
            expect([tool, "template", *filled[1:]])
        return
    # Options before --help are read first, and those that don't exist refused.
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    expect([tool, *own, "--help"])
    if "--kustomize" in arguments:
        expect([tool, "kustomize", arguments[arguments.index("--kustomize") + 1]])


def syntax(program: str) -> str:
    """What a shell program's own shell has against it."""
    shell = program.splitlines()[0].removeprefix("#!").split()
    if Path(shell[0]).name not in ("sh", "bash"):
        raise Flaw(f"{shell[0]} is no shell: fence it as what it is")
    return subprocess.run([*shell, "-n"], input=program, capture_output=True, text=True, check=False).stderr.strip()


def expect(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Flaw(f"{' '.join(command)}: {done.stderr.strip()}")
