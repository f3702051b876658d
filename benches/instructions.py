#!/usr/bin/env python3
"""Instructions of each stage of a tick's way, counted by valgrind's callgrind.

`instructions.py write` makes benches/results/instructions.md; `instructions.py check` counts again and fails if a stage differs from that
table by more than TOLERANCE. The program is the stage benches (`cargo bench --bench stages`), which with `--count` does each stage a fixed
number of times; callgrind counts inside one of its functions and dumps at each call of another.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "benches/results/instructions.md"
REMAKE = "just instructions"
TOLERANCE = 0.05
# A stage of few instructions may change by so many whatever their share.
SLACK = 3.0


def main():
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command not in ("write", "check"):
        sys.exit(__doc__)
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing: apt-get install valgrind")
    counted = count(build())
    if command == "write":
        TABLE.write_text(page(counted))
        print(f"wrote {TABLE.relative_to(ROOT)}: {len(counted)} stages")
        return
    wrong = differences(table(TABLE.read_text()), counted)
    for line in wrong:
        print(line)
    if wrong:
        sys.exit(f"{len(wrong)} stages do not fit benches/results/instructions.md; if that is meant, remake it: {REMAKE}")
    print(f"{len(counted)} stages within {TOLERANCE:.0%} of benches/results/instructions.md")


def build():
    """The program of the stage benches, as `cargo bench` builds it."""
    cargo = ["cargo", "bench", "--locked", "--bench", "stages", "--no-run", "--message-format", "json-render-diagnostics"]
    built = subprocess.run(cargo, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    for message in map(json.loads, built.stdout.splitlines()):
        if message.get("executable") and message["target"]["name"] == "stages":
            return message["executable"]
    sys.exit("cargo built no stage benches")


def count(program):
    """Instructions of one step of each stage, in the order of the program."""
    with tempfile.TemporaryDirectory() as folder:
        valgrind = [
            "valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--collect-atstart=no",
            "--toggle-collect=stages::count::counted", "--dump-before=stages::count::stage_ends",
        ]
        ran = subprocess.run([*valgrind, program, "--count"], stdout=subprocess.PIPE, check=True, text=True)
        stages = [line.split() for line in ran.stdout.splitlines()]
        counted = {}
        for number, (name, rounds) in enumerate(stages, start=1):
            dump = pathlib.Path(folder, f"out.{number}").read_text()
            total = sum(int(total) for total in re.findall(r"^(?:totals|summary): (\d+)", dump, re.MULTILINE)[:1])
            if total == 0:
                sys.exit(f"callgrind counted nothing for {name}")
            counted[name] = total / int(rounds)
    return counted


def page(counted):
    lines = [
        "# Instructions of each stage",
        "",
        f"Made by `{REMAKE}`; `just instructions-check` fails beyond {TOLERANCE:.0%}; see [README.md](README.md) for how to read it.",
        "",
        f"{tool('rustc', '--version')}; {tool('valgrind', '--version')}; {os.uname().machine}.",
        "",
        "| stage | instructions |",
        "|---|---:|",
    ]
    return "\n".join(lines + [f"| {name} | {instructions:.1f} |" for name, instructions in counted.items()]) + "\n"


def tool(*command):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def table(text):
    return {name: float(number) for name, number in re.findall(r"^\| (\S+/\S+) \| ([0-9.]+) \|$", text, re.MULTILINE)}


def differences(old, new):
    """One line for each stage that is too far off, too dear or too cheap; or that only one of both knows."""
    lines = [f"{name}: not in the table" for name in new if name not in old]
    lines += [f"{name}: in the table, but counted no longer" for name in old if name not in new]
    for name in old.keys() & new.keys():
        was, now = old[name], new[name]
        if abs(now - was) > max(was * TOLERANCE, SLACK):
            lines.append(f"{name}: {was:.1f} instructions in the table, now {now:.1f} ({now / was - 1:+.1%})")
    return sorted(lines)


if __name__ == "__main__":
    main()
