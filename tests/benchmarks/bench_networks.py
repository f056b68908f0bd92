"""What encoders and decoders cost on a CPU, in PyTorch and OpenVINO: python -m tests.benchmarks.bench_networks

Needs `pip install openvino nncf`. One 768x384 image, one thread, CPU milliseconds, the best of eight; with random
weights, as only time counts here.
"""

from __future__ import annotations

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

SHAPE = (1, 3, 384, 768)
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
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    torch.set_num_threads(1)
    core, images = openvino.Core(), torch.rand(SHAPE)

    def compiled(model: Any, precision: str) -> Callable[[], Any]:
        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        return lambda: request.infer({0: images.numpy()})

    print(
        "| network | parameters | PyTorch | OpenVINO f32 | bf16 | INT8 |",
        "|---|---|---|---|---|---|",
        sep="\n",
    )
    for name, make in NETWORKS.items():
        network = make().eval()
        model = openvino.convert_model(network, example_input=images, input=list(SHAPE))
        noise = [np.random.default_rng(k).random(SHAPE, np.float32) for k in range(3)]
        quantised = nncf.quantize(model, nncf.Dataset(noise), subset_size=3)
        network.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            times = [milliseconds(lambda: network(images.contiguous(memory_format=torch.channels_last)))]  # noqa: B023
        times += [
            milliseconds(run)
            for run in (compiled(model, "f32"), compiled(model, "bf16"), compiled(quantised, "f32"))
        ]
        count = sum(p.numel() for p in network.parameters()) / 1e6
        print(f"| {name} | {count:.1f} M |", " | ".join(f"{each:.0f}" for each in times), "|", flush=True)


if __name__ == "__main__":
    main()
