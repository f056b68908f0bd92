"""A training: it learns, goes on where it was stopped, shares work among processes, and tells what is wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from annotator.errors import AnnotatorError, OutputError, UsageError
from annotator.formats.bad_entries import SKIPPED
from annotator.model.checkpoint import load_checkpoint, save_checkpoint
from annotator.model.embedding import Grid
from annotator.model.network import SpatialEmbeddingNetwork
from annotator.options import PRESETS, CropOptions, ReadingOptions, TrainingJob, TrainingOptions
from annotator.training import loop
from annotator.training.initialization import initial_network, spec_of
from annotator.training.loop import Progress, train
from cli import shell
from cli.train import command
from tests.helpers.labelled import CAR, PERSON, SIZE, DrawnImages, write_coco

ROOT = Path(__file__).parents[2]
TRAIN = (sys.executable, "-m", "cli.train")
pytest.importorskip("lightning_fabric")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO file of twenty drawn images, and weights to start from."""
    folder = tmp_path_factory.mktemp("drawn")
    save_checkpoint(folder / "start.safetensors", tiny_network(), {}, torch.float32)
    return write_coco(folder, [DrawnImages().image(k) for k in range(20)])


def tiny_network(**changes: Any) -> SpatialEmbeddingNetwork:
    torch.manual_seed(0)
    spec = replace(
        spec_of(TrainingOptions()),
        class_ids=(PERSON, CAR),
        trained_size=SIZE,
        grid=Grid(2, 129, 1, 65),
        **changes,
    )
    return SpatialEmbeddingNetwork(spec)


def options(**changes: Any) -> TrainingOptions:
    """A training that takes a second."""
    tiny = CropOptions(size=SIZE, scale=(0.8, 1.25), centred=0.8)
    values = {"steps": 6, "batch_size": 2, "warmup_steps": 2, "frozen_stages": 0, "crop": tiny}
    return TrainingOptions(**(values | changes))


def job(drawn: Path, out: Path, given: TrainingOptions | None = None, **changes: Any) -> TrainingJob:
    values = {"weights": drawn.parent / "start.safetensors", "device": "cpu", "workers": 0, "save_every": 3}
    return TrainingJob(labels=drawn, images=None, out=out, options=given or options(), **(values | changes))


def trained(asked: TrainingJob, until: int | None = None) -> list[Progress]:
    """Train; stop after step `until`, as a killed training does."""
    reports = []
    steps = train(asked)
    for progress in steps:
        reports.append(progress)
        if progress.step == until:
            steps.close()
            break
    return reports


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPORT_EVERY", 1)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def losses(reports: list[Progress]) -> list[float]:
    return [progress.loss for progress in reports]


# ---- learning


@pytest.mark.usefixtures("every_step")
def test_a_training_lowers_the_loss_and_leaves_weights_that_load(drawn: Path, tmp_path: Path) -> None:
    reports = trained(job(drawn, tmp_path, options(steps=24, learning_rate=3e-3)))

    assert [progress.step for progress in reports] == list(range(1, 25))
    assert np.mean(losses(reports)[-6:]) < 0.8 * np.mean(losses(reports)[:6])
    checkpoint = load_checkpoint(tmp_path / "last.safetensors")
    assert checkpoint.spec == tiny_network().spec
    assert checkpoint.provenance["data"] == [{"name": "labels.json", "images": 20, "share": 1}]
    assert checkpoint.provenance["started_from"] == "start.safetensors"
    assert checkpoint.provenance["step"] == 24
    assert checkpoint.provenance["options"]["learning_rate"] == 3e-3
    logged = rows(tmp_path / "training.csv")
    assert [float(row["loss"]) for row in logged] == losses(reports)


@pytest.mark.usefixtures("every_step")
def test_what_is_left_out_of_the_data_is_told_once(tmp_path: Path, drawn: Path) -> None:
    content = json.loads(drawn.read_text())
    for entry in content["annotations"][:3]:
        entry["segmentation"] = [[1, 1, 2, 2]]
    labels = drawn.with_name("with_bad.json")
    labels.write_text(json.dumps(content))
    asked = job(labels, tmp_path, options(steps=2), validation=labels, reading=ReadingOptions(skip_bad=True))
    first, second = trained(asked)
    assert list(first.remarks) == [f"with_bad.json: left out 3 {SKIPPED}"] * 2
    assert not second.remarks


@pytest.mark.usefixtures("every_step")
def test_the_learning_rate_warms_up_and_decays_to_nothing(drawn: Path, tmp_path: Path) -> None:
    rates = [p.learning_rate for p in trained(job(drawn, tmp_path, options(steps=6, learning_rate=1e-3)))]
    decay = [(1 - step / 6) ** 0.9 for step in range(6)]
    assert rates == pytest.approx(
        [1e-3 * warm * left for warm, left in zip([0.5, 1, 1, 1, 1, 1], decay, strict=True)]
    )


def test_validation_scores_keeps_the_best_and_draws(drawn: Path, tmp_path: Path) -> None:
    asked = job(drawn, tmp_path, validation=drawn, validate_every=3, validation_images=5)
    reports = trained(asked)
    scores = [progress.scores for progress in reports if progress.scores]
    assert [set(each) for each in scores] == [{"AP", "AP50", "person.AP50", "car.AP50"} | set(scores[0])] * 2
    assert [row["step"] for row in rows(tmp_path / "validation.csv")] == ["3", "6"]
    assert load_checkpoint(tmp_path / "best.safetensors").provenance["step"] in (3, 6)
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == [f"{step:06}_{k}.png" for step in (3, 6) for k in range(4)]
    assert cv2.imread(str(tmp_path / "pictures" / "000003_0.png")).shape == (2 * SIZE[0], 2 * SIZE[1], 3)


@pytest.mark.usefixtures("every_step")
def test_minutes_are_a_length_in_time(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate falls to nothing with the time, which goes on counting where a stopped training goes on."""
    clock = iter(range(0, 10_000, 4))  # seconds; it is asked once or more for every step
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    asked = job(drawn, tmp_path, options(minutes=2, warmup_steps=1, learning_rate=1e-3), save_every=1)
    first = trained(asked, until=3)
    rest = trained(asked)
    rates = [progress.learning_rate for progress in first + rest]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.15e-3
    assert [p.step for p in rest] == list(range(4, rest[-1].step + 1))
    assert rest[-1].steps == rest[-1].step < 30
    assert load_checkpoint(tmp_path / "last.safetensors").provenance["step"] == rest[-1].step
    assert not trained(asked)  # it is done


@pytest.mark.usefixtures("every_step")
def test_crops_made_on_the_device_teach_as_well_and_go_on_where_they_were(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, whose memory holds all images."""
    monkeypatch.setattr(loop, "fit_on", lambda *given: True)
    undisturbed = trained(job(drawn, tmp_path / "a", options(steps=9, learning_rate=3e-3)))
    assert np.mean(losses(undisturbed)[-3:]) < 0.9 * np.mean(losses(undisturbed)[:3])
    asked = job(drawn, tmp_path / "b", options(steps=9, learning_rate=3e-3))
    trained(asked, until=3)
    assert losses(trained(asked)) == pytest.approx(losses(undisturbed)[3:], rel=1e-3)


def test_epochs_are_a_length_in_images(drawn: Path, tmp_path: Path) -> None:
    """20 images, batches of 4: 5 steps an epoch."""
    [*_, last] = trained(job(drawn, tmp_path, options(epochs=1, batch_size=4)))
    assert (last.step, last.steps) == (5, 5)


@pytest.mark.usefixtures("every_step")
def test_passes_that_are_accumulated_count_as_one_batch(drawn: Path, tmp_path: Path) -> None:
    """But for batch norm, which sees one pass at a time: its statistics are frozen here."""
    exact = {"steps": 3, "frozen_statistics": True, "precision": "32"}
    whole = trained(job(drawn, tmp_path / "whole", options(batch_size=4, **exact)))
    parts = trained(job(drawn, tmp_path / "parts", options(batch_size=2, accumulate=2, **exact)))
    # Sums in another order, and Adam divides small gradients by their size.
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)


def test_frozen_statistics_and_stages_stay_as_they_are(drawn: Path, tmp_path: Path) -> None:
    trained(job(drawn, tmp_path, options(frozen_statistics=True, frozen_stages=7, average_decay=0)))
    before, after = tiny_network().body.state_dict(), load_checkpoint(tmp_path / "last.safetensors").network
    changed = {
        name
        for name, tensor in after.body.state_dict().items()
        if not torch.allclose(tensor, before[name], atol=1e-3, rtol=1e-2)
    }
    assert changed
    assert not [name for name in changed if name.startswith("encoder") or "running" in name]


def test_a_fixed_bandwidth_is_never_learned(drawn: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "fixed.safetensors", tiny_network(fixed_sigma=0.625), {})
    trained(job(drawn, tmp_path / "out", weights=tmp_path / "fixed.safetensors"))
    network = load_checkpoint(tmp_path / "out" / "last.safetensors").network
    with torch.inference_mode():
        raw = network(torch.rand(1, 3, *SIZE))
    assert (raw[:, 2:4] == 0.625).all()
    assert raw[:, :2].std() > 0


# ---- going on


@pytest.mark.usefixtures("every_step")
def test_a_resumed_training_ends_with_the_same_bits_as_an_undisturbed_one(
    drawn: Path, tmp_path: Path
) -> None:
    whole = trained(job(drawn, tmp_path / "whole"))
    first = trained(job(drawn, tmp_path / "resumed"), until=4)  # step 4 is lost: saved was step 3
    second = trained(job(drawn, tmp_path / "resumed"))
    assert [progress.step for progress in second] == [4, 5, 6]
    assert losses([*first[:3], *second]) == losses(whole)
    folders = (tmp_path / "whole", tmp_path / "resumed")
    weights = [(folder / "last.safetensors").read_bytes() for folder in folders]
    states = [torch.load(folder / "state.pt") for folder in folders]
    assert states[0].pop("about") == states[1].pop("about")
    assert weights[0] == weights[1]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    kept = [[(row["step"], row["loss"]) for row in rows(folder / "training.csv")] for folder in folders]
    assert kept[0] == kept[1]  # what was done and lost is not told twice


def test_a_finished_training_has_nothing_left_to_do(drawn: Path, tmp_path: Path) -> None:
    trained(job(drawn, tmp_path, options(steps=3)))
    before = (tmp_path / "last.safetensors").read_bytes()
    assert trained(job(drawn, tmp_path, options(steps=3))) == []
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_another_training_in_the_same_folder_is_refused(drawn: Path, tmp_path: Path) -> None:
    trained(job(drawn, tmp_path, options(steps=3)))
    with pytest.raises(UsageError, match=r"options\.learning_rate 0\.0008, not 0\.002.*another `out`"):
        trained(job(drawn, tmp_path, options(steps=3, learning_rate=2e-3)))


def test_a_damaged_state_is_told(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(UsageError, match=r"state\.pt is damaged"):
        trained(job(drawn, tmp_path))


def test_crops_without_whole_field_pixels_are_refused(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`size` 65x97: both must be multiples of 2"):
        trained(job(drawn, tmp_path, options(crop=CropOptions(size=(65, 97)))))


def arguments(drawn: Path, out: Path, *more: str) -> list[str]:
    """Of the command."""
    weights = str(drawn.parent / "start.safetensors")
    given = [str(drawn), "--out", str(out), "--weights", weights, "--device", "cpu", "--crop-size", "64x96"]
    return [*given, "--batch-size", "2", "--save-every", "2", *more]


def test_a_killed_training_leaves_no_process_and_goes_on_to_the_same_weights(
    drawn: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert shell.run(command, arguments(drawn, whole, "--steps", "12", "--workers", "0")) == 0
    line = [*TRAIN, *arguments(drawn, killed, "--steps", "12", "--workers", "1")]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(line, cwd=ROOT, env=environment, start_new_session=True)
    while not (killed / "last.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 60
    while is_alive(process.pid) and time.monotonic() < until:
        time.sleep(0.2)
    assert not is_alive(process.pid)
    subprocess.run(line, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert (killed / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


def is_alive(session: int) -> bool:
    """Whether any process of a session is left."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


# ---- several processes


def test_two_processes_give_the_loss_of_one_with_the_doubled_batch(drawn: Path, tmp_path: Path) -> None:
    """Under torchrun with gloo, batch norm and all."""
    given = ["--steps", "3", "--precision", "32", "--workers", "0"]
    assert shell.run(command, [*arguments(drawn, tmp_path / "one", *given), "--batch-size", "4"]) == 0
    torchrun = [TRAIN[0], "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *TRAIN[1:]]
    two = [*torchrun, *arguments(drawn, tmp_path / "two", *given)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(two, cwd=ROOT, check=True, capture_output=True, env=environment)
    [alone], [shared] = (rows(tmp_path / name / "training.csv") for name in ("one", "two"))
    assert float(shared["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["auto", "16", "32"])
def test_a_gpu_trains_and_leaves_weights_for_any_device(drawn: Path, tmp_path: Path, precision: str) -> None:
    given = options(steps=24, learning_rate=3e-3, precision=precision)
    trained(job(drawn, tmp_path, given, device="cuda", validation=drawn, validate_every=12))
    logged = [float(row["loss"]) for row in rows(tmp_path / "training.csv")]
    assert logged[-1] < logged[0]
    assert load_checkpoint(tmp_path / "last.safetensors").provenance["step"] == 24


# ---- faults


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_last_good_weights(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "REPORT_EVERY", 1)
    trained(job(drawn, tmp_path), until=3)
    before = (tmp_path / "last.safetensors").read_bytes()
    monkeypatch.setattr(
        "annotator.training.distributed.spatial_embedding_loss", lambda raw, *given: raw.sum() * float("nan")
    )
    with pytest.raises(AnnotatorError, match=r"loss is nan at step 3.*lower the learning rate"):
        trained(job(drawn, tmp_path))
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_a_gradient_that_is_no_number_stops_the_training_before_it_does_harm(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "annotator.training.distributed.spatial_embedding_loss",
        lambda raw, *given: (raw * 0).abs().sqrt().sum(),
    )
    with pytest.raises(AnnotatorError, match=r"gradient is nan at step 0"):
        trained(job(drawn, tmp_path))
    assert not (tmp_path / "last.safetensors").exists()


@pytest.mark.parametrize(
    "fault",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")],
    ids=repr,
)
def test_memory_that_runs_out_is_told(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*given: Any) -> None:
        raise fault

    monkeypatch.setattr("annotator.training.distributed.spatial_embedding_loss", fail)
    with pytest.raises(AnnotatorError, match=r"out of memory at step 0: lower `batch_size`"):
        trained(job(drawn, tmp_path))


def test_a_full_disk_is_told_and_what_was_saved_stays(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(job(drawn, tmp_path, save_every=2), until=50)
    (tmp_path / "state.pt").unlink()
    before = (tmp_path / "last.safetensors").read_bytes()

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("annotator.training.checkpointing.torch.save", full)
    with pytest.raises(OutputError, match="No space left"):
        trained(job(drawn, tmp_path))
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert not [*tmp_path.glob("*.part"), *tmp_path.glob(".*.tmp")]


# ---- networks and presets


def test_weights_of_another_network_than_asked_for_are_refused(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unet_efficientnet_lite0, not erfnet"):
        trained(job(drawn, tmp_path, replace(PRESETS["paper-finetune"], epochs=None, steps=1)))


def test_presets_are_the_papers_two_stages() -> None:
    first, second = PRESETS["paper"], PRESETS["paper-finetune"]
    assert (first.crop.size, first.batch_size, first.learning_rate, first.epochs) == (
        (512, 512),
        16,
        5e-4,
        200,
    )
    assert (second.crop.size, second.batch_size, second.learning_rate, second.epochs) == (
        (1024, 1024),
        2,
        5e-5,
        50,
    )
    assert (first.crop.centred, second.crop.centred) == (1, 0)
    assert second.frozen_statistics
    assert asdict(first)["optimizer"] == "adam"


def test_the_papers_network_starts_at_random_on_the_papers_grid() -> None:
    network = initial_network(None, PRESETS["paper"])
    assert network.spec.architecture == "erfnet"
    assert network.spec.grid == Grid(2, 2048, 1, 1024)
    assert (network.spec.mean, network.spec.std) == ((0, 0, 0), (1, 1, 1))


def test_the_papers_network_trains(drawn: Path, tmp_path: Path) -> None:
    given = options(architecture="erfnet", image_size=SIZE, steps=2, precision="32")
    trained(job(drawn, tmp_path, given, weights=None))
    assert load_checkpoint(tmp_path / "last.safetensors").spec.architecture == "erfnet"
