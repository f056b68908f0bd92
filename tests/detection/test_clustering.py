"""Clustering finds what the method finds, pixel for pixel, and masks lie where the source pixels are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.detection.clustering import LIMIT, Cluster, Foreground, cluster
from annotator.detection.postprocessing import cluster_batch, default_min_pixels
from annotator.instances import Instances
from annotator.masks import decode as decode_mask
from annotator.model.embedding import PAPER_GRID, Grid, decode
from annotator.model.network import NetworkSpec, RawMaps
from annotator.options import DetectionOptions
from tests.helpers.builders import PARITY, frame_ref, needs_parity
from tests.reference.plain_clustering import plain_cluster

CAR, PERSON = 26, 24


def spec_of(grid: Grid = PAPER_GRID, classes: tuple[int, ...] = (CAR,), n_sigma: int = 1) -> NetworkSpec:
    return NetworkSpec("erfnet", classes, n_sigma, grid, (0, 0, 0), (1, 1, 1), (64, 96))


def ideal_raw(labels: np.ndarray, classes: list[int], grid: Grid, channels: int = 1) -> torch.Tensor:
    """Raw maps of a perfect network for a label map whose object k + 1 has seed channel classes[k]."""
    where = grid.coordinates(labels.shape)
    raw = torch.zeros(3 + channels, *labels.shape)
    raw[2] = 0.9
    raw[3:] = -6
    for k, channel in enumerate(classes, 1):
        inside = torch.from_numpy(labels == k)
        centre = where[:, inside].mean(1)
        raw[:2, inside] = torch.atanh(centre[:, None] - where[:, inside])
        raw[3 + channel, inside] = 4 + 0.1 * k
    return raw


@needs_parity
@pytest.mark.parametrize("case", range(5))
def test_clustering_equals_the_parity_figures_pixel_for_pixel(case: int) -> None:
    figures = np.load(PARITY / f"cluster_{case}.npz")
    raw = torch.from_numpy(figures["prediction"])
    foreground = Foreground.of(raw, int(figures["n_sigma"]), 0, PAPER_GRID.coordinates(raw.shape[-2:]))

    found = list(cluster(foreground, float(figures["threshold"]), int(figures["min_pixels"])))

    instance_map = np.zeros(raw.shape[-2] * raw.shape[-1], np.uint8)
    masks = np.zeros((len(found), instance_map.size), bool)
    for k, instance in enumerate(found):
        instance_map[instance.pixels] = k + 1
        masks[k, instance.pixels] = True
    np.testing.assert_array_equal(instance_map.reshape(raw.shape[-2:]), figures["instance_map"])
    np.testing.assert_array_equal(np.array([f.score for f in found], np.float32), figures["scores"])
    shape = (len(found), *raw.shape[-2:])
    np.testing.assert_array_equal(np.packbits(masks.reshape(shape), axis=-1), figures["masks"])


def maps_of(raw: torch.Tensor, spec: NetworkSpec) -> RawMaps:
    """Raw maps (2 + S + C, H, W) of a frame, as a network that makes them at the processed size gives them."""
    return RawMaps(raw[None], spec, (raw.shape[1], raw.shape[2]))


def random_maps(
    seed: int, height: int, width: int, n_sigma: int, spread: float, sigma: float
) -> torch.Tensor:
    """Raw."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(2 + n_sigma + 1, height, width, generator=generator)
    raw[:2] *= spread
    raw[2 : 2 + n_sigma] = raw[2 : 2 + n_sigma] * 0.2 + sigma
    raw[-1] = (raw[-1] * 4).round() / 2  # many ties
    return raw


def both(
    raw: torch.Tensor, n_sigma: int, threshold: float, min_pixels: int
) -> tuple[list[Cluster], list[tuple[float, torch.Tensor]]]:
    """What we find in raw maps, and what the plain loop does."""
    grid = Grid(1, 100, 1, 100).coordinates(raw.shape[1:])
    fast = list(cluster(Foreground.of(raw, n_sigma, 0, grid), threshold, min_pixels))
    return fast, plain_cluster(decode(raw, n_sigma, grid), 0, threshold, min_pixels)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    n_sigma=st.sampled_from([1, 2]),
    spread=st.sampled_from([0, 0.01, 0.1, 1]),
    sigma=st.sampled_from([-1, 0, 0.3, 0.6, 1, 9, 20]),
    threshold=st.sampled_from([0.5, 0.7, 0.9]),
    min_pixels=st.sampled_from([1, 2, 5, 20, 128]),
)
def test_clustering_equals_the_plain_loop_on_any_maps(
    seed: int,
    height: int,
    width: int,
    n_sigma: int,
    spread: float,
    sigma: float,
    threshold: float,
    min_pixels: int,
) -> None:
    raw = random_maps(seed, height, width, n_sigma, spread, sigma)
    fast, plain = both(raw, n_sigma, threshold, min_pixels)
    assert [f.score for f in fast] == [score for score, _ in plain]
    for instance, (_, mask) in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(np.sort(instance.pixels), np.flatnonzero(mask.numpy()))


def test_the_distance_limit_is_where_the_exponential_passes_a_half() -> None:
    distance = torch.tensor([LIMIT, np.nextafter(LIMIT, np.float32(1))] * 16)
    claimed = torch.exp(-distance) > 0.5
    assert claimed.tolist() == [True, False] * 16


def test_maps_with_values_that_are_no_numbers_are_survived() -> None:
    raw = random_maps(0, 30, 30, 2, 0.1, 0.5)
    raw[:2, ::3] = torch.nan
    raw[2:4, ::2] = torch.inf
    fast, plain = both(raw, 2, 0.5, 5)
    assert len(fast) == len(plain)


def test_instances_come_with_class_and_score_best_first() -> None:
    labels = np.zeros((40, 60), int)
    labels[5:20, 5:25], labels[22:38, 30:55] = 1, 2
    spec = spec_of(classes=(PERSON, CAR))
    raw = ideal_raw(labels, [0, 1], spec.grid, channels=2)
    [found] = cluster_batch(maps_of(raw, spec), [frame_ref(size=(40, 60))], DetectionOptions())
    assert found.class_ids.tolist() == [CAR, PERSON]
    assert found.scores[0] > found.scores[1] > 0.9
    np.testing.assert_array_equal(decode_mask(found.masks[0]), labels == 2)
    np.testing.assert_array_equal(decode_mask(found.masks[1]), labels == 1)


def one_object(seed_logit: float = 4.0) -> tuple[torch.Tensor, np.ndarray, NetworkSpec]:
    """Raw maps of a perfect network for a rectangle, its pixels, and what the network is."""
    labels = np.zeros((40, 60), int)
    labels[10:30, 15:45] = 1
    spec = spec_of()
    raw = ideal_raw(labels, [0], spec.grid)
    raw[3, torch.from_numpy(labels == 1)] = seed_logit
    return raw, labels == 1, spec


def found_in(raw: torch.Tensor, spec: NetworkSpec, **options: float) -> Instances:
    frame = frame_ref(size=(raw.shape[1], raw.shape[2]))
    [found] = cluster_batch(maps_of(raw, spec), [frame], DetectionOptions(**options))
    return found


def test_an_instance_is_what_all_pixels_of_its_cluster_say_and_not_the_one_that_founded_it() -> None:
    raw, true, spec = one_object()
    seed_pixel = (12, 24)
    raw[3, *seed_pixel] = 6
    # The pixels' embeddings lie to both sides of the centre; the seed_pixel's is so far off it that its own ellipse
    # misses some at the other end.
    where = spec.grid.coordinates(raw.shape[1:])
    inside = torch.from_numpy(true)
    away = where[0] - where[0][inside].mean()
    raw[0, inside] = torch.atanh(-0.45 * away[inside])
    [first, *_] = cluster(Foreground.of(raw, 1, 0, where), 0.65, 5)
    assert len(first.pixels) < true.sum()
    np.testing.assert_array_equal(decode_mask(found_in(raw, spec).masks[0]), true)


def test_pixels_of_low_seed_scores_at_its_border_belong_to_an_instance() -> None:
    raw, true, spec = one_object()
    raw[3, 10, 15:45] = -0.5  # 0.38: no foreground, but above what an outline needs
    raw[3, 29, 15:45] = -1.5  # 0.18
    true[29] = False
    np.testing.assert_array_equal(decode_mask(found_in(raw, spec).masks[0]), true)


def test_the_score_is_the_seed_score_of_the_seed_pixel_times_means_over_the_mask() -> None:
    raw, true, spec = one_object(seed_logit=1.0)
    raw[3, 20, 30] = 3.0
    seed = torch.sigmoid(raw[3])
    found = found_in(raw, spec)  # all embeddings meet in the centre: phi is 1
    assert found.scores[0] == pytest.approx(
        float(seed[20, 30] * seed[torch.from_numpy(true)].mean()), rel=1e-5
    )


def test_instances_below_the_lowest_score_are_left_out() -> None:
    raw, _, spec = one_object(seed_logit=1.0)
    [score] = found_in(raw, spec).scores
    assert len(found_in(raw, spec, min_score=float(score) - 0.01)) == 1
    assert len(found_in(raw, spec, min_score=float(score) + 0.01)) == 0


def test_only_the_classes_asked_for_are_labelled() -> None:
    labels = np.zeros((40, 60), int)
    labels[5:20, 5:25], labels[22:38, 30:55] = 1, 2
    spec = spec_of(classes=(PERSON, CAR))
    raw = ideal_raw(labels, [0, 1], spec.grid, channels=2)
    options = DetectionOptions(classes=("person",))
    [found] = cluster_batch(maps_of(raw, spec), [frame_ref(size=(40, 60))], options)
    assert found.class_ids.tolist() == [PERSON]


def test_a_frame_processed_at_a_third_gets_smooth_masks_of_its_full_size() -> None:
    y, x = np.mgrid[:60, :90]
    disc = ((x - 45) ** 2 + (y - 30) ** 2 < 20**2).astype(int)
    spec = spec_of()
    raw = ideal_raw(disc, [0], spec.grid)
    [found] = cluster_batch(
        maps_of(raw, spec),
        [frame_ref(size=(180, 270))],
        DetectionOptions(),
    )
    y, x = np.mgrid[:180, :270]
    true = (x - 136) ** 2 + (y - 91) ** 2 < 60**2
    mask = decode_mask(found.masks[0])
    iou = (mask & true).sum() / (mask | true).sum()
    staircase = np.kron(disc, np.ones((3, 3), int)).astype(bool)
    assert iou > 0.97
    assert iou > (staircase & true).sum() / (staircase | true).sum()


@pytest.mark.parametrize("processed", [(121, 181), (120, 180), (60, 91)])
@pytest.mark.parametrize("frame", [(121, 181), (363, 543), (91, 135)])
def test_maps_at_half_the_processed_size_give_masks_where_the_objects_are(
    processed: tuple[int, int], frame: tuple[int, int]
) -> None:
    """A disc at the lower right border, which maps that end beyond the image would move."""
    spec = spec_of()

    def disc(size: tuple[int, int], of: tuple[int, int], stride: int) -> np.ndarray:
        """(H, W) in pixels that are `stride` of those of an image of size `of`."""
        y, x = (
            (np.arange(length) + 0.5) * stride * extent / pixels
            for length, pixels, extent in zip(size, of, (1, 1.5), strict=True)
        )
        return (x[None] - 1.2) ** 2 + (y[:, None] - 0.8) ** 2 < 0.3**2

    maps = -(-processed[0] // 2), -(-processed[1] // 2)
    inside = torch.from_numpy(disc(maps, processed, 2))
    where = spec.grid.coordinates(maps, 2)
    raw = torch.zeros(4, *maps)
    raw[2], raw[3] = 0.9, -5.7  # the outline lies midway between pixels
    raw[3, inside] = 4
    raw[:2, inside] = torch.atanh(where[:, inside].mean(1)[:, None] - where[:, inside])
    given = RawMaps(raw[None], spec, processed, 2)
    [found] = cluster_batch(given, [frame_ref(size=frame)], DetectionOptions())
    mask, true = decode_mask(found.masks[0]), disc(frame, frame, 1)
    assert (mask & true).sum() / (mask | true).sum() > 0.92
    off = [np.mean(a) - np.mean(b) for a, b in zip(np.nonzero(mask), np.nonzero(true), strict=True)]
    assert max(map(abs, off)) < 0.2 * frame[0] / processed[0] + 0.1


def test_min_pixels_follows_the_size_that_the_network_was_trained_at() -> None:
    at_paper_size = NetworkSpec("erfnet", (CAR,), 1, PAPER_GRID, (0, 0, 0), (1, 1, 1), (1024, 2048))
    at_half = NetworkSpec("erfnet", (CAR,), 1, PAPER_GRID, (0, 0, 0), (1, 1, 1), (512, 1024))
    assert default_min_pixels(at_paper_size) == 128
    assert default_min_pixels(at_half) == 32


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("beyond", [-1e4, torch.inf, -torch.inf])
def test_raw_maps_beyond_what_exp_holds_are_read_without_a_word(beyond: float) -> None:
    labels = np.zeros((40, 60), int)
    labels[10:30, 10:30] = 1
    spec = spec_of()
    raw = ideal_raw(labels, [0], spec.grid)
    raw[3, labels == 0] = -1e4
    raw[0, labels == 0] = beyond
    [found] = cluster_batch(
        maps_of(raw, spec),
        [frame_ref(size=(80, 120))],
        DetectionOptions(),
    )
    assert len(found) == 1
