"""All label formats: to add one, write its folder and name it here, and with the choices of --format if it writes."""

from __future__ import annotations

from collections.abc import Mapping

from annotator.formats.cityscapes.format import CITYSCAPES, POLYGONS, RESULTS
from annotator.formats.coco.format import COCO, COCO_RESULTS
from annotator.formats.cvat.format import CVAT
from annotator.formats.frames.format import FRAMES
from annotator.formats.interface import Format
from annotator.formats.labelme.format import LABELME
from annotator.formats.mots.format import MOTS
from annotator.formats.run.format import RUN
from annotator.formats.yolo.format import YOLO
from annotator.options import FORMATS as CHOICES

# In the order in which a path is asked whether it is one: the first that says so has it.
ALL = (RUN, CITYSCAPES, YOLO, RESULTS, CVAT, POLYGONS, LABELME, COCO_RESULTS, COCO, MOTS, FRAMES)

FORMATS: Mapping[str, Format] = {each.name: each for each in ALL}
ALWAYS = (FRAMES.name,)  # frames.csv says which frame a label belongs to
WRITABLE: Mapping[str, Format] = {name: FORMATS[name] for name in (*CHOICES, *ALWAYS)}  # as they are written
KNOWN = ", ".join(each.described for each in ALL if each.described)
