"""The examples of a fleet: they parse, ask for options that there are, and the simulation counts right."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.annotate import command

EXAMPLES = Path(__file__).parents[2] / "examples"
DEPLOY = EXAMPLES / "deploy"
CAPACITY = runpy.run_path(str(EXAMPLES / "fleet_capacity.py"))


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_examples_ask_for_options_that_there_are(path: Path) -> None:
    known = {flag for parameter in command.params for flag in parameter.opts}
    lines = re.sub(r"\\\n", " ", path.read_text()).splitlines()
    calls = [line for line in lines if re.search(r"spatialemb-annotate .*--out", line)]
    assert calls
    for flag in re.findall(r"(?<= )--[a-z-]+", " ".join(calls)):
        assert flag in known


def test_the_array_is_a_script() -> None:
    assert subprocess.run(["bash", "-n", DEPLOY / "slurm_array.sh"], check=False).returncode == 0


def test_the_cluster_and_the_job_are_of_their_kinds() -> None:
    cluster = yaml.safe_load((DEPLOY / "ray_cluster.yaml").read_text())
    assert cluster["head_node_type"] in cluster["available_node_types"]
    job = yaml.safe_load((DEPLOY / "kuberay_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    images = {
        container["image"]
        for group in (
            job["spec"]["rayClusterSpec"]["headGroupSpec"],
            *job["spec"]["rayClusterSpec"]["workerGroupSpecs"],
        )
        for container in group["template"]["spec"]["containers"]
    }
    assert len(images) == 1, "all machines are alike"


def simulate(**fleet: Any) -> Any:
    few = {"recordings": 300, "workers": 20, "skip_s": 0.0, **fleet}
    return CAPACITY["simulate"](CAPACITY["Fleet"](**few))


def test_nothing_is_lost_where_nothing_fails() -> None:
    found = simulate(hours_between_failures=1e9)
    assert found.lost_hours == 0
    assert found.busy == pytest.approx(1, abs=0.05)


def test_chunks_save_what_failures_and_stragglers_cost() -> None:
    whole, chunks = (simulate(chunk_frames=k, hours_between_failures=2) for k in (0, 500))
    assert chunks.lost_hours < whole.lost_hours
    assert chunks.hours < whole.hours
    small = simulate(chunk_frames=100, hours_between_failures=2, skip_s=0.02)
    assert small.hours > chunks.hours, "frames before a chunk cost time, too"
