"""Import label files with datumaro and print what it sees; run by an interpreter that has datumaro.

python datumaro_import.py FOLDER cvat|coco  ->  [[frame, label, area, attributes, group], ...] as JSON
"""

from __future__ import annotations

import json
import sys

import datumaro
import pycocotools.mask as coco

folder, kind = sys.argv[1:]
dataset = datumaro.Dataset.import_from(folder, kind)
names = [category.name for category in dataset.categories()[datumaro.AnnotationType.label]]
found = []
for item in dataset:
    for entry in item.annotations:
        if entry.type == datumaro.AnnotationType.polygon:
            height, width = item.media.size or (1000, 1000)
            area = int(coco.area(coco.frPyObjects([list(entry.points)], height, width))[0])
        elif entry.type == datumaro.AnnotationType.mask:
            area = int(entry.image.sum())
        else:
            continue  # COCO boxes come as annotations of their own
        found.append([item.id, names[entry.label], area, entry.attributes, entry.group])
print(json.dumps([len(dataset), found], default=str))
