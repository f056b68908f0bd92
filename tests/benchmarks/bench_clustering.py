"""Clustering against the plain loop, side by side: python -m tests.benchmarks.bench_clustering

A 2048 x 1024 map with 50 instances as a trained network gives them, and pure noise.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from annotator.detection.clustering import Cluster, Foreground, cluster
from annotator.model.embedding import PAPER_GRID, decode
from tests.reference.plain_clustering import plain_cluster

SIZE = (1024, 2048)


GRID = PAPER_GRID.coordinates(SIZE)


def street_maps(instances: int, seed: int = 0) -> torch.Tensor:
    """Raw maps: elliptic objects of a street's sizes, whose pixels point near their centres."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(5, *SIZE, generator=generator) * 0.3
    raw[4] -= 5
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for _ in range(instances):
        rows, columns = np.exp(rng.uniform(np.log(20), np.log(130), 2))
        centre_y, centre_x = rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1])
        shape = ((y - centre_y) / rows) ** 2 + ((x - centre_x) / columns) ** 2
        inside = torch.from_numpy(shape < 1)
        to_centre = GRID[:, inside].mean(1)[:, None] - GRID[:, inside]
        count = to_centre.shape[1]
        raw[:2, inside] = torch.atanh(to_centre * (0.9 + 0.05 * torch.randn(2, count, generator=generator)))
        radius = torch.tensor([columns / 1023.5, rows / 1023], dtype=torch.float32) * 0.5
        raw[2:4, inside] = (torch.log(float(np.log(2)) / radius.square()) / 10)[:, None] + 0.01 * torch.randn(
            2, count, generator=generator
        )
        closeness = torch.from_numpy(1 - 0.6 * shape[shape < 1]).float()
        raw[4, inside] = 4 * closeness + 0.2 * torch.randn(count, generator=generator)
    return raw


def noise_maps(sigma: float, seed: int = 0) -> torch.Tensor:
    """Raw maps: pure noise: half of all pixels are foreground; bandwidths around exp(10 * sigma)."""
    raw = torch.randn(5, *SIZE, generator=torch.Generator().manual_seed(seed))
    raw[2:4] = raw[2:4] * 0.1 + sigma
    return raw


def clusters(raw: torch.Tensor) -> list[Cluster]:
    """From raw maps, as the product does it."""
    return list(cluster(Foreground.of(raw, 2, 0, GRID), 0.5, 128))


def main() -> None:
    """Print seconds of both, whether they agree, and how much faster the product is."""
    torch.set_num_threads(1)
    raw = street_maps(50)
    clusters(raw)  # warm
    fast = []
    for _ in range(5):
        begin = time.process_time()
        found = clusters(raw)
        fast.append(time.process_time() - begin)
    begin = time.process_time()
    maps = decode(raw, 2, GRID)
    plain = plain_cluster(maps, 0, 0.5, 128)
    slow = time.process_time() - begin
    equal = len(found) == len(plain) and all(
        np.array_equal(np.sort(f.pixels), np.flatnonzero(mask.numpy())) and f.score == score
        for f, (score, mask) in zip(found, plain, strict=True)
    )
    share = float((maps.seed[0] > 0.5).float().mean())
    print(f"50 objects, {len(found)} instances, foreground {share:.0%}: equal {equal}")
    print(f"plain {slow:.3f} CPU s, ours {min(fast):.4f} CPU s: {slow / min(fast):.0f} times faster")
    for sigma in (0.0, 0.4, 0.7, 1.0):
        raw = noise_maps(sigma)
        begin = time.process_time()
        count = len(clusters(raw))
        print(f"noise around sigma {sigma}: {count} instances, {time.process_time() - begin:.2f} CPU s")


if __name__ == "__main__":
    main()
