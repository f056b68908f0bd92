"""Trees that stitch are grown from pairs of tracklets whose objects are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from annotator.masks import encode_window
from annotator.tracking.boosting import BoostedTrees, stitching_trees
from annotator.tracking.fit import LabelledSequence, arrays_of, main
from annotator.tracking.pair_features import COUNT

SIZE = (100, 400)
OTHER = 150  # further right
Row = tuple[int, int, int]  # frame, object, left edge


def write_mots(path: Path, rows: Sequence[Row], is_detected: bool) -> Path:
    """Cars of 20x20 pixels as MOTS text: with identities, or with scores as of a detector."""
    lines = []
    for frame, number, left in sorted(rows):
        mask = encode_window(np.ones((20, 20), np.bool_), 40, left, SIZE)
        identity, score = ("1", " 0.9") if is_detected else (str(1000 + number), "")
        lines.append(f"{frame} {identity} 1 {SIZE[0]} {SIZE[1]} {mask['counts'].decode()}{score}\n")
    path.write_text("".join(lines))
    return path


def sequence_of(folder: Path, seen: Sequence[int], missed: Sequence[int]) -> LabelledSequence:
    """Two cars that drive, of which the first isn't found in some of the frames."""
    frames = range(max(seen) + 1)
    rows = [(k, 1, 10 + 2 * k) for k in frames] + [(k, 2, OTHER + 2 * k) for k in frames]
    found = [(k, number, left) for k, number, left in rows if number == 2 or k not in missed]
    truth = write_mots(folder / "truth.txt", rows, is_detected=False)
    return LabelledSequence.read(truth, write_mots(folder / "found.txt", found, is_detected=True))


def test_pieces_of_an_object_are_one_and_pieces_of_others_are_not(tmp_path: Path) -> None:
    sequence = sequence_of(tmp_path, seen=range(40), missed=range(15, 25))
    assert len(sequence.tracklets) == 3  # two of the first car, one of the other
    features, is_one = sequence.pairs(stitching_trees())
    assert features.shape == (1, COUNT)
    assert is_one.tolist() == [True]


def test_a_piece_goes_on_with_the_next_one_only(tmp_path: Path) -> None:
    sequence = sequence_of(tmp_path, seen=range(60), missed=[*range(15, 22), *range(35, 42)])
    features, is_one = sequence.pairs(stitching_trees())
    assert is_one.tolist() == [True, True]  # the pair of the first piece and the last isn't asked for
    assert len(features) == 2


def test_trees_say_what_scikit_learn_says_that_grew_them() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 5)).astype(np.float32)
    is_one = features[:, 0] + features[:, 1] * features[:, 2] > rng.normal(0, 0.3, 400)
    model = ensemble.HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=15, early_stopping=False)
    model.fit(features, is_one)
    trees = BoostedTrees.from_arrays(arrays_of(model))
    np.testing.assert_allclose(trees.log_odds(features), model.decision_function(features), atol=1e-5)


def test_a_folder_without_truth_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fit", str(tmp_path), str(tmp_path), "--out", str(tmp_path / "trees")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert f"error: {tmp_path}: holds no MOTS text" in capsys.readouterr().err
