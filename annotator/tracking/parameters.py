"""Values that the tracker is set to, one frozen record for each part: what each means, and where it comes from.

Where a record says no more, values were chosen by hand on KITTI MOTS truth with the noise of a detector, scored as a
whole by `python -m tests.benchmarks.bench_tracking`. Time is in steps of `CONFIRMATION.step_s`, sizes are in pixels.
Trees that stitch are in stitching.safetensors, with a card beside them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Std:
    """A standard deviation that grows with the object: a share of its size and some pixels."""

    relative: float
    pixels: float


@dataclass(frozen=True)
class KalmanParameters:
    """Noise of the motion model (`kalman`), fitted on KITTI MOTS truth with noise; the fit itself was not kept."""

    measurement_noise: Std = Std(0.04, 1.0)  # of a box edge
    process_noise: Std = Std(0.02, 0.7)  # of the change of velocity in a step
    initial_velocity_std: Std = Std(0.35, 6.0)  # of the velocity of something seen once
    # Times as much variance of an edge behind which the object is expected to go on, and may.
    occlusion_inflation: float = 6.0
    outlier: float = (
        6.0  # squared deviation from which an edge counts for less: legs, and what is half hidden
    )


@dataclass(frozen=True)
class EgoMotionParameters:
    """How the camera's motion is fitted to that of objects (`ego_motion`)."""

    horizon: float = 0.3  # of the height of objects, from the top: the eyes of a driver
    object_std: Std = Std(0.1, 1.0)  # how far objects move from the flow; of their height, pixels per step
    rounds: int = 2  # of weighting
    max_rounds: int = 6  # more than `rounds` only where the camera begins to turn fast
    # What speaks for no pan and no expansion: each counts as so much weight measured at none.
    pan_prior: float = 0.1
    expansion_prior: float = 0.2


@dataclass(frozen=True)
class OcclusionParameters:
    """Where something may hide a side of an object (`detections`), and what that means for overlaps (`overlap`)."""

    reach: float = 3.0  # pixels behind a side in which a nearer object occludes it
    border: float = 2.0  # pixels from the edge of the frame
    pixel_weight: float = 0.5  # of a pixel that one mask shows behind a side at which the other is occluded


@dataclass(frozen=True)
class LinkingParameters:
    """Links from frame to frame (`linking`): log-odds that a tracklet and a detection are one object.

    Intercept and weights are of a logistic regression on KITTI MOTS truth with noise, which was not kept.
    """

    degrees_of_freedom: float = 4.0  # of Student's t: edges are often far off, by legs and by what hides them
    gate: float = 2.2  # mean log(1 + d^2 / degrees_of_freedom) of the edges from which two are not compared
    max_gap: float = (
        3.0  # steps that a tracklet may miss; stitching, which sees both ends, bridges longer ones
    )
    high_score: float = 0.5  # of detections that choose first
    min_hits: int = 3  # from which on the velocity of a tracklet says something
    intercept: float = -1.0
    # In the order of the columns of `linking.link_features`.
    weights: tuple[float, ...] = (-1.2, -1.7, 9.7, -7.0, 0.8, 0.36)
    flow_overlap: float = 3.0  # weight of the overlap where a detection comes from, by optical flow
    appearance: float = 6.0  # weight of the cosine of appearance vectors, which come from real pictures only
    usual_cosine: float = 0.8  # which speaks neither for nor against


@dataclass(frozen=True)
class EndpointParameters:
    """Ends of tracklets (`endpoints`) and what lies between two of them (`pair_features`); trees know these values."""

    measurement_noise: Std = Std(0.09, 1.0)  # more than in linking, as what ends is often half hidden already
    detections: int = 12  # at an end that its motion is filtered from
    max_looks: int = 6  # frames of a gap in which to look for what hides the object
    long: int = 40  # detections from which on a tracklet isn't longer


@dataclass(frozen=True)
class StitchingParameters:
    """Joining tracklets over gaps (`stitching`)."""

    gate: float = 2.9  # mean log(1 + d^2 / degrees of freedom) from which two ends are not compared
    # Log-odds of round after round, the certain first: what is joined has better known ends, and is in nobody's way. At
    # the end, the false link of a rare pair costs less than the identity that a missing one breaks.
    thresholds: tuple[float, ...] = (3.0, 1.0, -1.0, -2.0, -2.0)
    class_difference: float = 0.25  # share of different objects of a category that are of different classes
    class_noise: float = (
        0.002  # share of detections of another class than their track's, where all seem to agree
    )


@dataclass(frozen=True)
class FragmentParameters:
    """When detections of a frame are parts of one object (`fragments`)."""

    context: int = 8  # detections on each side that say how large an object is
    near: int = 2  # of them that say where it should be
    small: float = 0.9  # share of the usual area of a box up to which a detection may be a fragment
    max_gap: int = 4  # frames in a row that may show nothing but fragments
    max_stray: int = 8  # detections of a track that may be made of fragments
    inside: float = 0.7  # share of a fragment's box in the place where the object should be
    min_iou: float = 0.6  # of the box of all with that place
    min_gain: float = 0.1  # by so much more than that without one of them


@dataclass(frozen=True)
class WindowParameters:
    """How a recording of any length is cut (`windows`); chosen for memory."""

    length: int = 1024  # frames at least
    overlap: int = 128  # frames of it at least that the next one begins with
    beside_gap: int = (
        64  # frames of an overlap beside the longest gap, so that both its sides are seen together
    )


@dataclass(frozen=True)
class ConfidenceParameters:
    """What a detection's score counts for (`windows.confidence_weight`), and how much makes a tracklet."""

    none: float = 0.45  # score that counts for nothing
    full: float = 0.75  # score from which on a detection counts as a whole one
    min_tracklet: float = 1 / 3  # confidence of a tracklet that may become part of a track
    steady: int = 2  # a tracklet this many times as long as the shortest track is one, whatever its scores


@dataclass(frozen=True)
class ConfirmationParameters:
    """Time, and when a track is known to be real (`association`, `confirmation`)."""

    step_s: float = 0.1  # what is known of motion is in tenths of a second
    far_apart_s: float = 0.5  # from here on, a step is the usual time from frame to frame
    max_missed: int = 3  # frames that do not end a run of detections
    max_pending: int = 1024  # frames that wait for what becomes of their tracks
    # Of unrelated street scenes of one camera 0 to 0.3 of the instances have pixels that are found again in the image
    # before, and 0 to 0.1 of the certain ones make tracks; in sequences, of 1 frame a second too, over 0.7.
    min_related: float = 0.5


@dataclass(frozen=True)
class GapFillingParameters:
    """Masks for frames that missed an object (`gap_filling`).

    Two objects were found as one when the mask is larger than the one should be, fits it better without the other, and
    fits both together.
    """

    min_unoccupied: float = 0.5  # share of an interpolated mask that no detection covers
    min_growth: float = 1.1  # times as many pixels
    min_gain: float = 0.05  # IoU
    min_union_iou: float = 0.5


KALMAN = KalmanParameters()
EGO_MOTION = EgoMotionParameters()
OCCLUSION = OcclusionParameters()
LINKING = LinkingParameters()
ENDPOINTS = EndpointParameters()
STITCHING = StitchingParameters()
FRAGMENTS = FragmentParameters()
WINDOWS = WindowParameters()
CONFIDENCE = ConfidenceParameters()
CONFIRMATION = ConfirmationParameters()
GAP_FILLING = GapFillingParameters()
