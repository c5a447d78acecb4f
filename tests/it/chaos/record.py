#!/usr/bin/env python3
"""Records what the Chaos Toolkit does with the experiments of `experiments.json`, into `recorded.json`.

    pip install chaostoolkit==1.21.4 jsonpath2
    record.py path/to/chaos

Every case has a name, an experiment (or its text) and arguments. Experiments may leave a file `marker`.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def entry(run):
    return [run["activity"].get("name"), run.get("status")]


def state(state):
    if state is None:
        return None
    probes = [
        [p["activity"].get("name"), p.get("status"), p.get("tolerance_met")]
        for p in state["probes"]
    ]
    return {"met": state["steady_state_met"], "probes": probes}


def journal(path):
    if not path.exists():
        return None
    j = json.loads(path.read_text())
    return {
        "status": j["status"],
        "deviated": j["deviated"],
        "before": state(j["steady_states"]["before"]),
        "after": state(j["steady_states"]["after"]),
        "run": [entry(r) for r in j["run"]],
        "rollbacks": [entry(r) for r in j["rollbacks"]],
        "outputs": [r["output"] for r in j["run"]],
    }


def log_lines(text):
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    found = re.findall(r"^\[[-\d]+ [:\d]+ (\w+)\] (.*)$", plain, re.M)
    return [f"[{level}] {text}" for level, text in found]


def record(chaos, case):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source = folder / f"experiment.{case.get('format', 'json')}"
        experiment = case["experiment"]
        source.write_text(experiment if isinstance(experiment, str) else json.dumps(experiment))
        for name, text in case.get("files", {}).items():
            (folder / name).write_text(text)
        environment = {**os.environ, "HOME": str(folder), **case.get("env", {})}
        command = [chaos, "--no-version-check", "--no-log-file"]
        validated = subprocess.run(
            [*command, "validate", source.name],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )
        ran = subprocess.run(
            [*command, "run", *case.get("args", []), source.name],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )
        return {
            "validate": validated.returncode,
            "exit": ran.returncode,
            "journal": journal(folder / "journal.json"),
            "marker": (folder / "marker").exists(),
            "log": log_lines(ran.stderr),
        }


def main():
    chaos = sys.argv[1]
    cases = json.loads((HERE / "experiments.json").read_text())
    recorded = {case["name"]: record(chaos, case) for case in cases}
    text = json.dumps(recorded, indent=1, ensure_ascii=False)
    (HERE / "recorded.json").write_text(text + "\n")


main()
