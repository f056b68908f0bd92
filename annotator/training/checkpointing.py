"""What a training leaves on disk: the state to go on from, and checkpoints to label with; each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from annotator.errors import UsageError
from annotator.files import atomic_file
from annotator.limits import require_file
from annotator.model.checkpoint import save_checkpoint
from annotator.model.network import SpatialEmbeddingNetwork

STATE = "state.pt"
LAST = "last.safetensors"
BEST = "best.safetensors"


@dataclass
class State:
    """A training between two steps."""

    network: SpatialEmbeddingNetwork
    average: AveragedModel  # of the network's weights: what is saved and scored
    optimizer: Optimizer
    run_metadata: Mapping[str, Any]  # data and options: what shapes the weights
    step: int = 0  # steps done
    seconds: float = 0.0  # that they took, with loading and validations
    best: float = -1.0  # the best AP so far

    @property
    def averaged(self) -> SpatialEmbeddingNetwork:
        """The network with averaged weights."""
        network = self.average.module
        assert isinstance(network, SpatialEmbeddingNetwork)
        return network

    @torch.no_grad()
    def step_done(self, decay: float) -> None:
        """Count a step, and its weights in the average.

        That is an exponential moving one that starts as a plain mean, so that the first weights are soon forgotten.
        """
        share = 1 - min(decay, (1 + self.step) / (10 + self.step)) if self.step else 1.0
        pairs = [
            (average, value)
            for averages, values in zip(
                (self.averaged.parameters(), self.averaged.buffers()),
                (self.network.parameters(), self.network.buffers()),
                strict=True,
            )
            for average, value in zip(averages, values, strict=True)
        ]
        moving = [(average, value) for average, value in pairs if average.is_floating_point()]
        torch._foreach_lerp_([average for average, _ in moving], [value for _, value in moving], share)
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)
        self.average.n_averaged += 1
        self.step += 1

    def load(self, out: Path) -> None:
        """Go on from what is in `out`, if a training is. Raises UsageError when it is another one or damaged."""
        path = out / STATE
        if not path.exists():
            return
        try:
            require_file(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
            about = json.loads(state["about"])
        except Exception as error:  # damaged bytes make the unpickler fail in any way
            raise UsageError(
                f"{path} is damaged or of another version; delete it, and start from {LAST} with `weights`"
            ) from error
        if different := _differences(_plain(self.run_metadata), about):
            raise UsageError(
                f"{out} holds a training with {different}: go on with the same options, or take another `out`"
            )
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise UsageError(f"{out} holds the training of another network; take another `out`") from error
        self.step, self.best = state["step"], state["best"]
        self.seconds = state.get("seconds", 0.0)

    def save(self, out: Path) -> None:
        """Write the state and the last checkpoint. Raises OutputError; what was there stays."""
        state = {
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "about": json.dumps(_plain(self.run_metadata)),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_file(out / STATE) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # which is what torch makes of a full disk
                raise OSError(None, str(error)) from error
        self.save_checkpoint(out / LAST)

    def save_checkpoint(self, path: Path) -> None:
        """Write the averaged weights for labelling. Raises OutputError; what was there stays."""
        with atomic_file(path) as temporary:
            save_checkpoint(temporary, self.averaged, {**self.run_metadata, "step": self.step})


def _plain(about: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(about))


def _differences(asked: Mapping[str, Any], found: Mapping[str, Any], within: str = "") -> str:
    """The first difference between two nested records in words; "" when there is none."""
    for name in sorted(asked.keys() | found.keys()):
        a, b = asked.get(name), found.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            if inner := _differences(a, b, f"{within}{name}."):
                return inner
        elif a != b:
            return f"{within}{name} {b}, not {a}"
    return ""
