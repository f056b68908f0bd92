"""What encoders and decoders cost on a CPU, in PyTorch and OpenVINO: python -m tests.benchmarks.bench_networks

Needs `pip install openvino nncf`. One image, one thread, CPU milliseconds, the best of eight; with random weights, as
only time counts here. The paper's network at the paper's size: `--only ERFNet --size 1024 2048`; the last two columns
say how many times as fast as PyTorch OpenVINO is in full precision and with eight bits.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from annotator.model import timm_unet
from annotator.model.erfnet import BranchedERFNet
from annotator.model.timm_unet import TimmUNet

BRANCHES = (4, 8)
WIDE, MIDDLE, NARROW = timm_unet.WIDTHS, (96, 64, 48, 32), (64, 48, 32, 24)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "EfficientNet-Lite0 (the default)": lambda: unet("tf_efficientnet_lite0", WIDE),
    "EfficientNet-Lite0, decoders 96-64-48-32": lambda: unet("tf_efficientnet_lite0", MIDDLE),
    "EfficientNet-Lite0, decoders 64-48-32-24": lambda: unet("tf_efficientnet_lite0", NARROW),
    "EfficientNet-Lite1": lambda: unet("tf_efficientnet_lite1", WIDE),
    "EfficientNet-Lite2": lambda: unet("tf_efficientnet_lite2", WIDE),
    "ResNet-18 (dense)": lambda: unet("resnet18", WIDE),
    "ERFNet": lambda: BranchedERFNet(BRANCHES),
}


def unet(encoder: str, widths: tuple[int, ...]) -> TimmUNet:
    timm_unet.WIDTHS = widths
    try:
        return TimmUNet(BRANCHES, encoder)
    finally:
        timm_unet.WIDTHS = WIDE


def milliseconds(run: Callable[[], Any]) -> float:
    """CPU milliseconds, the best of eight."""
    run()
    best = float("inf")
    for _ in range(8):
        begin = time.process_time()
        run()
        best = min(best, time.process_time() - begin)
    return 1000 * best


def main() -> None:
    """Print a row for every network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    parser.add_argument("--size", type=int, nargs=2, default=(384, 768), metavar=("H", "W"))
    chosen = parser.parse_args()
    shape = (1, 3, *chosen.size)
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    torch.set_num_threads(1)
    core, images = openvino.Core(), torch.rand(shape)

    def compiled(model: Any, precision: str) -> Callable[[], Any]:
        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        return lambda: request.infer({0: images.numpy()})

    print(
        "| network | parameters | PyTorch | OpenVINO f32 | bf16 | INT8 | f32 | INT8 |",
        "|---|---|---|---|---|---|---|---|",
        sep="\n",
    )
    for name in chosen.only:
        network = NETWORKS[name]().eval()
        model = openvino.convert_model(network, example_input=images, input=list(shape))
        noise = [np.random.default_rng(k).random(shape, np.float32) for k in range(3)]
        quantised = nncf.quantize(model, nncf.Dataset(noise), subset_size=3)
        network.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            times = [milliseconds(lambda: network(images.contiguous(memory_format=torch.channels_last)))]  # noqa: B023
        times += [
            milliseconds(run)
            for run in (compiled(model, "f32"), compiled(model, "bf16"), compiled(quantised, "f32"))
        ]
        count = sum(p.numel() for p in network.parameters()) / 1e6
        cells = [f"{each:.0f}" for each in times] + [f"{times[0] / times[k]:.1f} times" for k in (1, 3)]
        print(f"| {name} | {count:.1f} M |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
